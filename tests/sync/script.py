"""A peer whose every record a test writes by hand, honest or not."""

from __future__ import annotations

from sync.limits import RECORD_BYTES_MIN
from sync.logs import LogId
from sync.ranges import Ranges
from sync.session import Output, RecordReceived, Send, Session, Started
from sync.wire import Ack, Gone, Hello, Record, Run, State, Vector, decode, encode
from tests.sync.pair import End, Node, entry

OTHER_ROOT = b"other root, 16 B"


def name(of: LogId) -> bytes:
    return of.feed + bytes([of.lane])


def state(of: LogId | int, settled: Ranges, tip: bytes = b"") -> State:
    return State(of if isinstance(of, int) else name(of), settled, tip[:8])


def run(of: LogId | int, start: int, count: int = 1, prev: bytes | None = None, size: int = 0) -> Run:
    log = LogId((1).to_bytes(16), 1) if isinstance(of, int) else of
    packed = tuple(entry(log, seq, size=size) for seq in range(start, start + count))
    return Run(of if isinstance(of, int) else name(of), start, prev, packed)


class Scripted:
    """A session under test, and its peer in the test's hands."""

    def __init__(self, node: Node, *, lanes: int = 7, record_bytes_max: int = 163_840) -> None:
        self.node = node
        self.end = End(node, Session(node.states, record_bytes_max=record_bytes_max, lanes=lanes))
        self.now = 100.0
        self.end.tell(Started(), self.now)

    def say(self, *records: Hello | Vector | Run | Ack | Gone | bytes) -> list[Output]:
        outputs: list[Output] = []
        for record in records:
            data = record if isinstance(record, bytes) else encode(record)
            outputs += self.end.tell(RecordReceived(data), self.now)
        return outputs

    def greet(
        self, *states: State, root: bytes = OTHER_ROOT, lanes: int = 7, record_bytes_max: int = RECORD_BYTES_MIN
    ) -> Scripted:
        self.say(Hello(1, 0, root, lanes, record_bytes_max), Vector(False, states))
        return self

    def work(self) -> None:
        """The node does all it was ordered to."""
        while self.end.work:
            self.end.do_work(self.now)

    @property
    def root(self) -> bytes:
        hello = self.heard[0]
        assert isinstance(hello, Hello)
        return hello.root

    @property
    def heard(self) -> list[Record]:
        return [decode(data, bytes_max=1 << 20) for data in self.end.sent]

    @property
    def runs(self) -> list[Run]:
        return [record for record in self.heard if isinstance(record, Run)]

    @property
    def acks(self) -> list[Ack]:
        return [record for record in self.heard if isinstance(record, Ack)]

    @property
    def gone(self) -> list[Gone]:
        return [record for record in self.heard if isinstance(record, Gone)]

    def count(self, kind: type[Output]) -> int:
        return sum(1 for output in self.end.outputs if isinstance(output, kind))


def sends(outputs: list[Output]) -> list[Record]:
    return [decode(output.data, bytes_max=1 << 20) for output in outputs if isinstance(output, Send)]
