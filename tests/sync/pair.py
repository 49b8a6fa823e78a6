"""Nodes without people, keys or disks, and wires between them: enough of a shell to run sessions to their end.

An entry is its own name: feed, lane, seq and branch, padded to a size. Its id is the SHA-256 of that, so any node can
check a `prev`. Two branches of one log are the two stories of a cheating author.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import TypeAlias, assert_never

from sync.feeds import FeedList
from sync.frontier import Frontier
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.push import Withholds
from sync.ranges import NOTHING, Ranges
from sync.session import (
    AskDrained,
    Drained,
    Hangup,
    Input,
    Level,
    LogsGrew,
    Noticed,
    Output,
    PeerSettled,
    PeerTook,
    ReadRun,
    RecordReceived,
    RunDone,
    RunRead,
    Send,
    Session,
    SourceFree,
    Started,
    TakeRun,
    TimeCame,
    WakeAt,
    Weighed,
)
from sync.sources import Sources
from sync.wire import Record, decode

Choose: TypeAlias = Callable[[int], int]
"""Which of so many things happens next."""


def log(number: int, lane: int = 1) -> LogId:
    return LogId(number.to_bytes(16), lane)


def entry(of: LogId, seq: int, branch: str = "a", size: int = 0) -> bytes:
    return b"%b %d %d %b" % (of.feed, of.lane, seq, branch.encode()) + bytes(size)


def entry_id(packed: bytes) -> bytes:
    return sha256(packed.rstrip(b"\x00")).digest()


class Node:
    """What a node holds and has given up, and what it keeps of its peers, as far as sessions care."""

    def __init__(
        self,
        held: dict[LogId, Ranges] | None = None,
        *,
        size: int = 0,
        large: LogId | None = None,
        feeds: FeedList | None = None,
        epoch: int = 1,
    ) -> None:
        self._size = size
        self._large = large
        self.entries: dict[LogId, dict[int, bytes]] = {}
        self.gone: dict[LogId, Ranges] = {}
        self.branches: dict[LogId, tuple[int, str]] = {}
        self.frontier = Frontier(epoch, feeds)
        self.sources = Sources()
        self.memories: dict[object, Memory] = {}
        self.pasts: dict[int, dict[LogId, Ranges]] = {0: {}}
        self.forks: list[tuple[LogId, int]] = []
        self.refused: list[tuple[LogId, int]] = []
        self.refuses: Callable[[LogId, int], bool] = lambda log, seq: False
        self.withholds: Withholds = lambda log, start, stop: NOTHING
        """From whoever it meets."""
        self.ends: list[End] = []
        for of, seqs in (held or {}).items():
            self.write(of, seqs)

    @property
    def states(self) -> dict[LogId, LogState]:
        return self.frontier.states

    def recall(self, peer: object) -> Memory | None:
        """What is kept of a peer, its views completed with what we had at its base, as a store does it."""
        memory = self.memories.get(peer)
        if memory is None:
            return None
        then = self.pasts[memory.base]
        views = {of: then.get(of, NOTHING) for of in self.frontier.since(memory.base)}
        return replace(memory, views={**views, **memory.views})

    def keep(self, peer: object, session: Session) -> None:
        memory = session.memory()
        if memory is not None:
            self.pasts[memory.base] = self.settled()
            self.memories[peer] = memory

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
        self.grow(self._settle(of, seqs))

    def give_up(self, of: LogId, seqs: Ranges) -> None:
        self.gone[of] = self.gone.get(of, NOTHING).union(seqs)
        for start, stop in seqs.spans:
            for seq in range(start, stop):
                self.entries.get(of, {}).pop(seq, None)
        self.grow(self._settle(of, seqs))

    def _settle(self, of: LogId, seqs: Ranges) -> list[tuple[LogId, Ranges]]:
        """One commit; what `grow` is to be told."""
        settled = self.frontier.settled(of).union(seqs)
        newest = self.entries.get(of, {}).get(settled.top - 1)
        number = self.frontier.upto + 1
        before = self.frontier.change({of: LogState(settled, entry_id(newest) if newest else b"")}, number)
        self.frontier.upto = number
        return before

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

    def take(self, order: TakeRun) -> tuple[RunDone, list[tuple[LogId, Ranges]]]:
        """Whether it was taken, and what grew by it."""
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
            return RunDone(of, start, stop - start, False), []
        mine.update(zip(range(start, stop), order.packed, strict=True))
        before = self._settle(of, Ranges(((start, stop),)))
        return RunDone(of, start, stop - start, True), before

    def weigh(self, withholds: Withholds | None = None) -> None:
        """Withhold this from now on, or nothing any more; every session hears of it."""
        self.withholds = withholds or (lambda log, start, stop: NOTHING)
        for end in self.ends:
            end.tell(Weighed(), end.world.now)

    def grow(self, before: list[tuple[LogId, Ranges]]) -> None:
        """Every session hears of what grew; then sessions hear what is theirs now."""
        for end in self.ends:
            if before:
                end.tell(LogsGrew(tuple(before)), end.world.now)
        self.share()

    def share(self) -> None:
        for number, logs in self.sources.take_due().items():
            for end in self.ends:
                if end.number == number:
                    end.tell(SourceFree(tuple(logs)), end.world.now)


class End:
    """One node's side of one session."""

    def __init__(self, world: World, node: Node, session: Session, number: int, name: object) -> None:
        self.world = world
        self.node = node
        self.session = session
        self.number = number
        self.name = name
        """What the node calls its peer."""
        self.peer: End | None = None
        self.inbox: deque[bytes] = deque()
        self.work: deque[ReadRun | TakeRun | AskDrained] = deque()
        self.sent: list[bytes] = []
        self.outputs: list[Output] = []
        self.levels = 0
        self.wake: float | None = None
        self.hangup: str | None = None
        self.noticed: list[str] = []
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
                case ReadRun() | TakeRun() | AskDrained():
                    self.work.append(output)
                case Level():
                    self.levels += 1
                case WakeAt(when):
                    self.wake = when if self.wake is None else min(self.wake, when)
                case Hangup(reason):
                    self.hangup = reason
                case Noticed(reason):
                    self.noticed.append(reason)
                case PeerSettled() | PeerTook():
                    pass
                case _:
                    assert_never(output)
        if not isinstance(event, LogsGrew):  # All sessions hear of that one first.
            self.node.share()
        return outputs

    def do_work(self, now: float) -> None:
        order = self.work.popleft()
        match order:
            case ReadRun():
                self.tell(self.node.read(order), now)
            case AskDrained():
                self.tell(Drained(), now)
            case TakeRun():
                done, before = self.node.take(order)
                self.node.grow(before)
                self.tell(done, now)


class World:
    """Nodes, wires and one clock. Time passes only when nothing else can happen."""

    def __init__(self, choose: Choose | None = None) -> None:
        self.now = 100.0
        self.ends: list[End] = []
        self.steps = 0
        self._numbers = count(1)
        self._salts = 0
        self._choose = choose or (lambda count: self.steps % count)

    def connect(
        self, a: Node, b: Node, *, record_bytes_max: int = 163_840, lanes: tuple[int, int] = (15, 15), salt: bytes = b""
    ) -> None:
        ends: list[End] = []
        for node, other, mask in ((a, b, lanes[0]), (b, a, lanes[1])):
            number = next(self._numbers)
            session = Session(
                node.frontier,
                record_bytes_max=record_bytes_max,
                salt=salt or str(self._salts).encode(),
                memory=node.recall(id(other)),
                sources=node.sources,
                number=number,
                lanes=mask,
                withholds=lambda log, start, stop, node=node: node.withholds(log, start, stop),  # type: ignore[misc]  # mypy infers no type for a lambda with a default.
            )
            ends.append(End(self, node, session, number, id(other)))
        self._salts += 1
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        self.ends += ends
        for end in ends:
            end.tell(Started(), self.now)

    def cut(self) -> None:
        """Every link breaks, with all that was on it; orders under way are dropped with their sessions."""
        for end in self.ends:
            end.node.keep(end.name, end.session)
            end.node.ends.remove(end)
            end.node.sources.leave(end.number)
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
    """One whole session; both remember it."""
    world = World(choose)
    world.connect(a, b)
    world.run()
    for end in world.ends:
        end.node.keep(end.name, end.session)
    return world


def seqs(*spans: tuple[int, int]) -> Ranges:
    return Ranges.of(*spans)


def first(count: int) -> Ranges:
    return Ranges.of((0, count))


def records(end: End) -> list[Record]:
    """What an end has sent, decoded."""
    return [decode(data, bytes_max=1 << 20) for data in end.sent]


def sent_entries(end: End) -> list[tuple[LogId, int]]:
    """(log, seq) of every entry an end has pushed and the other has got, in order."""
    assert end.peer is not None
    pushed: list[tuple[LogId, int]] = []
    for output in end.peer.outputs:
        if isinstance(output, TakeRun):
            pushed += [(output.log, seq) for seq in range(output.start, output.start + len(output.packed))]
    return pushed


def sent_bytes(*ends: End) -> int:
    return sum(len(data) for end in ends for data in end.sent)


def has_after(mine: Node, theirs: Node) -> dict[LogId, set[int]]:
    """What a node should hold after a whole session with another: its own, and what it had not settled."""
    union: dict[LogId, set[int]] = {of: set(entries) for of, entries in mine.entries.items()}
    for of, entries in theirs.entries.items():
        settled = mine.states[of].settled if of in mine.states else NOTHING
        union.setdefault(of, set()).update(seq for seq in entries if seq not in settled)
    return {of: numbers for of, numbers in union.items() if numbers}


def holds(node: Node) -> dict[LogId, set[int]]:
    return {of: set(entries) for of, entries in node.entries.items() if entries}
