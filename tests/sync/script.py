"""A peer whose every record a test writes by hand, honest or not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from sync.events import Input, Output, RecordReceived, Send, Started
from sync.limits import RECORD_BYTES_MIN
from sync.logs import CHAIN_BYTES, ROOT_BYTES, LogId
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from sync.session import Session
from sync.wire import (
    WIRE_VERSION,
    Ack,
    Ask,
    Check,
    Gone,
    Hello,
    LogRef,
    Record,
    Remembered,
    Run,
    Sketch,
    Sketched,
    State,
    States,
    Stop,
    Vector,
    Want,
    Withheld,
    decode,
    encode,
)
from tests.sync.pair import End, Node, World, entry

Said: TypeAlias = (
    Hello | States | Vector | Run | Ack | Gone | Withheld | Want | Stop | Ask | Check | Sketch | Sketched | bytes
)

SALT = b"of this link"
LOWEST, HIGHEST = bytes(ROOT_BYTES), b"\xff" * ROOT_BYTES
"""Roots of a peer that speaks first, and of one that waits to be told."""


def hello(
    root: bytes = LOWEST,
    *,
    lanes: int = 15,
    record_bytes_max: int = RECORD_BYTES_MIN,
    known: int = 0,
    check: bytes = b"",
    epoch: int = 7,
    upto: int = 0,
    chain: bytes = bytes(CHAIN_BYTES),
    memory: Remembered | None = None,
    delta: bool = False,
    hold: bool = False,
) -> Hello:
    return Hello(WIRE_VERSION, lanes, record_bytes_max, known, check, epoch, upto, root, chain, memory, delta, hold)


def run(of: LogRef, start: int, count: int = 1, prev: bytes | None = None, size: int = 0) -> Run:
    """Entries of that log; of log(1) where it is named by a number."""
    log = of if isinstance(of, LogId) else LogId((1).to_bytes(16), 1)
    return Run(of, start, prev, tuple(entry(log, seq, size=size) for seq in range(start, start + count)))


class Scripted:
    """A session under test, and its peer in the test's hands."""

    def __init__(
        self,
        node: Node,
        *,
        lanes: int = 15,
        record_bytes_max: int = 163_840,
        memory: Memory | None = None,
        number: int = 1,
        watched: Collection[bytes] = (),
        started: bool = True,
        later: Callable[[LogId], bool] = lambda _: False,
    ) -> None:
        self.node = node
        self.world = World()
        self.session = Session(
            node.frontier, record_bytes_max=record_bytes_max, salt=SALT, memory=memory, sources=node.sources,
            number=number, watched=watched, lanes=lanes, later=later,
            withholds=lambda log, start, stop: node.withholds(log, start, stop),
        )  # fmt: skip
        self.end = End(self.world, node, self.session, number, "peer")
        if started:
            self.tell(Started())

    @property
    def now(self) -> float:
        return self.world.now

    def tell(self, event: Input) -> list[Output]:
        return self.end.tell(event, self.now)

    def say(self, *records: Said) -> list[Output]:
        outputs: list[Output] = []
        for record in records:
            outputs += self.tell(RecordReceived(record if isinstance(record, bytes) else encode(record)))
        return outputs

    def greet(
        self, settled: dict[LogId, Ranges] | None = None, *, lanes: int = 15, record_bytes_max: int = RECORD_BYTES_MIN
    ) -> Scripted:
        """The peer remembers nothing and tells everything; it is told what differs."""
        states = tuple(State(of, seqs) for of, seqs in sorted((settled or {}).items(), key=lambda item: item[0][::-1]))
        self.say(hello(lanes=lanes, record_bytes_max=record_bytes_max), Vector(False, states))
        return self

    def work(self) -> None:
        """The node does all it was ordered to."""
        while self.end.work:
            self.end.do_work(self.now)

    @property
    def heard(self) -> list[Record]:
        return [decode(data, bytes_max=1 << 20) for data in self.end.sent]

    @property
    def said_hello(self) -> Hello:
        first = self.heard[0]
        assert isinstance(first, Hello)
        return first

    @property
    def runs(self) -> list[Run]:
        return [record for record in self.heard if isinstance(record, Run)]

    @property
    def acks(self) -> list[Ack]:
        return [record for record in self.heard if isinstance(record, Ack)]

    @property
    def gone(self) -> list[Gone]:
        return [record for record in self.heard if isinstance(record, Gone)]

    @property
    def told(self) -> list[States]:
        return [record for record in self.heard if isinstance(record, States)]

    def count(self, kind: type[Output]) -> int:
        return sum(1 for output in self.end.outputs if isinstance(output, kind))


def sends(outputs: list[Output]) -> list[Record]:
    return [decode(output.data, bytes_max=1 << 20) for output in outputs if isinstance(output, Send)]


__all__ = ["HIGHEST", "LOWEST", "NOTHING", "SALT", "Said", "Scripted", "hello", "run", "sends"]
