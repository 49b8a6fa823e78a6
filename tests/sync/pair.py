"""Nodes without people, keys or disks, and wires between them: enough of a shell to run sessions to their end.

An entry is its own name: feed, lane, seq and branch, padded to a size. Its id is the SHA-256 of that, so any node can
check a `prev`. Two branches of one log are the two stories of a cheating author.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import TypeAlias, assert_never

from sync.events import AskDrained
from sync.logs import LogId, LogState
from sync.names import Names
from sync.ranges import NOTHING, Ranges
from sync.session import (
    Hangup,
    Input,
    Level,
    LogsGrew,
    Output,
    PeerSettled,
    ReadRun,
    RecordReceived,
    RunDone,
    RunRead,
    Send,
    Session,
    Started,
    TakeRun,
    TimeCame,
    WakeAt,
)
from sync.wire import Ack, Gone, Record, Run, Vector, decode

Choose: TypeAlias = Callable[[int], int]
"""Which of so many things happens next."""


def log(number: int, lane: int = 1) -> LogId:
    return LogId(number.to_bytes(16), lane)


def entry(of: LogId, seq: int, branch: str = "a", size: int = 0) -> bytes:
    return b"%b %d %d %b" % (of.feed, of.lane, seq, branch.encode()) + bytes(size)


def entry_id(packed: bytes) -> bytes:
    return sha256(packed.rstrip(b"\x00")).digest()


class Node:
    """What a node holds and has given up, as far as sessions care."""

    def __init__(self, held: dict[LogId, Ranges] | None = None, *, size: int = 0, large: LogId | None = None) -> None:
        self._size = size
        self._large = large
        self.entries: dict[LogId, dict[int, bytes]] = {}
        self.gone: dict[LogId, Ranges] = {}
        self.branches: dict[LogId, tuple[int, str]] = {}
        self.states: dict[LogId, LogState] = {}
        self.forks: list[tuple[LogId, int]] = []
        self.refused: list[tuple[LogId, int]] = []
        self.refuses: Callable[[LogId, int], bool] = lambda log, seq: False
        self.ends: list[End] = []
        for of, seqs in (held or {}).items():
            self.write(of, seqs)

    def branch(self, of: LogId, seq: int) -> str:
        """Which story of this log's author the node has heard."""
        first, branch = self.branches.get(of, (0, "a"))
        return branch if seq >= first else "a"

    def write(self, of: LogId, seqs: Ranges) -> None:
        mine = self.entries.setdefault(of, {})
        for start, stop in seqs.spans:
            for seq in range(start, stop):
                size = 3_000 if of == self._large else self._size
                mine[seq] = entry(of, seq, self.branch(of, seq), size)
        self._settle(of, seqs)

    def give_up(self, of: LogId, seqs: Ranges) -> None:
        self.gone[of] = self.gone.get(of, NOTHING).union(seqs)
        for start, stop in seqs.spans:
            for seq in range(start, stop):
                self.entries.get(of, {}).pop(seq, None)
        self._settle(of, seqs)

    def _settle(self, of: LogId, seqs: Ranges) -> None:
        settled = self.states[of].settled.union(seqs) if of in self.states else seqs
        newest = self.entries.get(of, {}).get(settled.top - 1)
        self.states[of] = LogState(settled, entry_id(newest) if newest else b"")

    def settled(self) -> dict[LogId, Ranges]:
        return {of: state.settled for of, state in self.states.items()}

    def read(self, order: ReadRun) -> RunRead:
        mine = self.entries.get(order.log, {})
        packed: list[bytes] = []
        size = 0
        for seq in range(order.start, order.stop):
            if seq not in mine or (packed and size + len(mine[seq]) > order.bytes_max):
                break
            packed.append(mine[seq])
            size += len(mine[seq])
        prev = None
        if order.with_prev and packed:
            below = order.start - 1
            prev = entry_id(entry(order.log, below, self.branch(order.log, below)))
        gone = self.gone.get(order.log, NOTHING).intersect(Ranges(((order.start, order.stop),)))
        return RunRead(order.log, order.start, prev, tuple(packed), gone)

    def take(self, order: TakeRun) -> tuple[RunDone, bool]:
        """Whether it was taken, and whether anything is new."""
        of, start, stop = order.log, order.start, order.start + len(order.packed)
        state = self.states.get(of, LogState(NOTHING, b""))
        mine = self.entries.setdefault(of, {})
        contradicted = [seq for seq in range(start, stop) if mine.get(seq, order.packed[seq - start])
                        != order.packed[seq - start]]  # fmt: skip
        below = mine.get(start - 1)
        if order.prev is not None and below is not None and entry_id(below) != order.prev:
            contradicted.append(start - 1)
        can_link = order.prev is not None or start == 0 or (start == state.settled.top and state.tip != b"")
        self.forks += [(of, seq) for seq in contradicted]
        if contradicted or not can_link or self.refuses(of, start):
            self.refused.append((of, start))
            return RunDone(of, start, stop - start, False), False
        mine.update(zip(range(start, stop), order.packed, strict=True))
        new = not state.settled.covers(start, stop)
        self._settle(of, Ranges(((start, stop),)))
        return RunDone(of, start, stop - start, True), new

    def grow(self, *logs: LogId, now: float = 0.0) -> None:
        for end in self.ends:
            end.tell(LogsGrew(logs), now)


class End:
    """One node's side of one session."""

    def __init__(self, node: Node, session: Session) -> None:
        self.node = node
        self.session = session
        self.peer: End | None = None
        self.inbox: deque[bytes] = deque()
        self.work: deque[ReadRun | TakeRun] = deque()
        self.sent: list[bytes] = []
        self.outputs: list[Output] = []
        self.levels = 0
        self.wake: float | None = None
        self.hangup: str | None = None
        node.ends.append(self)

    def tell(self, event: Input, now: float) -> list[Output]:
        outputs = self.session.handle(event, now)
        kinds = [type(output) is Send for output in outputs]
        assert kinds == sorted(kinds, reverse=True), "a Send after an order that may be answered at once"
        self.outputs += outputs
        for output in outputs:
            match output:
                case Send(data):
                    self.sent.append(data)
                    if self.peer is not None:
                        self.peer.inbox.append(data)
                case ReadRun() | TakeRun():
                    self.work.append(output)
                case Level():
                    self.levels += 1
                case WakeAt(when):
                    self.wake = when
                case Hangup(reason):
                    self.hangup = reason
                case PeerSettled() | AskDrained():
                    pass
                case _:
                    assert_never(output)
        return outputs

    def do_work(self, now: float) -> None:
        order = self.work.popleft()
        if isinstance(order, ReadRun):
            self.tell(self.node.read(order), now)
            return
        done, new = self.node.take(order)
        if new:
            self.node.grow(order.log, now=now)
        self.tell(done, now)


class World:
    """Nodes, wires and one clock. Time passes only when nothing else can happen."""

    def __init__(self, choose: Choose | None = None) -> None:
        self.now = 100.0
        self.ends: list[End] = []
        self.steps = 0
        self._choose = choose or (lambda count: self.steps % count)

    def connect(self, a: Node, b: Node, *, record_bytes_max: int = 163_840, lanes: tuple[int, int] = (7, 7)) -> None:
        ends = [
            End(node, Session(node.states, record_bytes_max=record_bytes_max, lanes=mask))
            for node, mask in zip((a, b), lanes, strict=True)
        ]
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        self.ends += ends
        for end in ends:
            end.tell(Started(), self.now)

    def cut(self) -> None:
        """Every link breaks, with all that was on it; orders under way are dropped with their sessions."""
        for end in self.ends:
            end.node.ends.clear()
        self.ends.clear()

    def step(self) -> bool:
        """One thing happens; False when nothing can any more."""
        able: list[Callable[[], object]] = []
        for end in self.ends:
            if end.inbox:
                able.append(lambda end=end: end.tell(RecordReceived(end.inbox.popleft()), self.now))  # type: ignore[misc]  # mypy infers no type for a lambda with a default.
            if end.work:
                able.append(lambda end=end: end.do_work(self.now))  # type: ignore[misc]  # as above
        self.steps += 1
        if able:
            able[self._choose(len(able)) % len(able)]()
            return True
        waiting = [end for end in self.ends if end.wake is not None]
        if not waiting:
            return False
        first = min(waiting, key=lambda end: end.wake or 0.0)
        assert first.wake is not None
        self.now, first.wake = max(self.now, first.wake), None
        first.tell(TimeCame(), self.now)
        return True

    def run(self, steps_max: int = 1_000_000) -> None:
        for _ in range(steps_max):
            if not self.step():
                return
        raise AssertionError("the session never ends")


def meet(a: Node, b: Node, choose: Choose | None = None) -> World:
    """One whole session."""
    world = World(choose)
    world.connect(a, b)
    world.run()
    return world


def seqs(*spans: tuple[int, int]) -> Ranges:
    return Ranges.of(*spans)


def first(count: int) -> Ranges:
    return Ranges.of((0, count))


def records(end: End) -> list[Record]:
    """What an end has sent, decoded."""
    return [decode(data, bytes_max=1 << 20) for data in end.sent]


def sent_entries(end: End) -> list[tuple[LogId, int]]:
    """(log, seq) of every entry an end has pushed, in order."""
    names = Names()
    pushed: list[tuple[LogId, int]] = []
    for record in records(end):
        match record:
            case Run(reference, start, _, packed):
                of = names.resolve(reference)
                pushed += [(of, seq) for seq in range(start, start + len(packed))]
            case Vector(_, states) | Ack(_, states):
                for state in states:
                    names.resolve(state.log)
            case Gone(reference, _):
                names.resolve(reference)
            case _:
                pass
    return pushed


def has_after(mine: Node, theirs: Node) -> dict[LogId, set[int]]:
    """What a node should hold after a whole session with another: its own, and what it had not settled."""
    union: dict[LogId, set[int]] = {of: set(entries) for of, entries in mine.entries.items()}
    for of, entries in theirs.entries.items():
        settled = mine.states[of].settled if of in mine.states else NOTHING
        union.setdefault(of, set()).update(seq for seq in entries if seq not in settled)
    return {of: numbers for of, numbers in union.items() if numbers}


def holds(node: Node) -> dict[LogId, set[int]]:
    return {of: set(entries) for of, entries in node.entries.items() if entries}
