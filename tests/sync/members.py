"""Nodes with a disk that may be lost or put back, and a second process that writes to it.

What a process knows stands in its Frontier; what a power cut leaves, on its Disk. An entry tells its story: "a", or
"b5" for what its author told others from seq 5 on. Whoever learns that a log has two stories takes no more of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from sync.feeds import FeedList
from sync.frontier import Frontier
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from sync.session import LogsGrew, ReadRun, RunDone, RunRead, Session, TakeRun
from sync.sources import Sources
from tests.sync.pair import Node, entry, entry_id

EMPTY = LogState(NOTHING, b"")
Before = list[tuple[LogId, Ranges]]


def story(packed: bytes) -> str:
    return packed.rstrip(b"\x00").rsplit(b" ", 1)[1].decode()


def written(of: LogId, seq: int, branch: str, size: int = 0) -> bytes:
    """The entry at seq in that story of its author."""
    return entry(of, seq, branch if branch == "a" or seq >= int(branch[1:]) else "a", size)


def below(of: LogId, seq: int, packed: bytes) -> bytes:
    """The id of the entry that this one, at seq, builds on."""
    return entry_id(written(of, seq - 1, story(packed)))


def signed(of: LogId, seq: int, packed: bytes) -> bool:
    """Whether this is an entry of that log at that seq, as its signature would tell."""
    return packed.startswith(entry(of, seq, ""))


@dataclass(slots=True)
class Disk:
    """Everything durable of one node."""

    epoch: int
    number: int = 0
    pages: int = 0
    """How many of the organisation's list it knows."""
    entries: dict[LogId, dict[int, bytes]] = field(default_factory=dict)
    gone: dict[LogId, Ranges] = field(default_factory=dict)
    states: dict[LogId, LogState] = field(default_factory=dict)
    changes: dict[LogId, list[tuple[int, Ranges]]] = field(default_factory=dict)
    """What was settled of each log from each change number on."""
    memories: dict[object, Memory] = field(default_factory=dict)
    frozen: set[LogId] = field(default_factory=set)

    def copy(self) -> Disk:
        return Disk(
            self.epoch, self.number, self.pages, {of: dict(mine) for of, mine in self.entries.items()}, dict(self.gone),
            dict(self.states), {of: list(past) for of, past in self.changes.items()}, dict(self.memories),
            set(self.frozen),
        )  # fmt: skip

    def commit(self, of: LogId, seqs: Ranges, *, tip_lost: bool = False) -> None:
        """Settle these, of which the held ones are in `entries` already."""
        old = self.states.get(of, EMPTY)
        settled = old.settled.union(seqs)
        newest = self.entries.get(of, {}).get(settled.top - 1)
        tip = entry_id(newest) if newest else old.tip if settled.top == old.settled.top and not tip_lost else b""
        if (settled, tip) != (old.settled, old.tip):
            self.number += 1
            self.states[of] = LogState(settled, tip)
            self.changes.setdefault(of, []).append((self.number, settled))

    def settled_at(self, of: LogId, number: int) -> Ranges:
        past = self.changes.get(of, [])
        found = bisect_right(past, number, key=lambda change: change[0])
        return past[found - 1][1] if found else NOTHING

    def changed(self, number: int) -> list[tuple[LogId, LogState, int]]:
        """What changed after that, in the order of changes."""
        found = [(of, self.states[of], past[-1][0]) for of, past in self.changes.items() if past[-1][0] > number]
        return sorted(found, key=lambda change: change[2])


class Member(Node):
    """One device, by its number. Shared by all: the pages of the list of feeds; `proofs`, the entries that tell of a
    fork and of which log; `forked`, the logs whose author tells two stories."""

    def __init__(
        self,
        number: int,
        *,
        pages: Sequence[Sequence[bytes]] = (),
        proofs: dict[tuple[LogId, int], LogId] | None = None,
        forked: Collection[LogId] = (),
    ) -> None:
        super().__init__()
        self.number = number
        self.pages = pages
        self.proofs = {} if proofs is None else proofs
        self.forked = forked
        self.feed = 1_000 * (number + 1)
        self.fickle: Callable[[], bool] = lambda: False
        """Whether it refuses the next run for a reason that passes."""
        self.refusals = 0
        self.losses = 0
        """How often it lost its disk, or a part of what was on it."""
        self.tipless: set[LogId] = set()
        """Logs of which it has not known the tip at some time."""
        self.wrote: dict[LogId, int] = {}
        self._epochs = 0
        self.live(Disk(self._new_epoch()))

    def _new_epoch(self) -> int:
        self._epochs += 1
        return 65_537 * self.number + self._epochs

    # Processes come and go.

    def live(self, disk: Disk) -> None:
        """A new process on that disk."""
        assert not self.ends
        self.disk = disk
        self.entries, self.gone = disk.entries, disk.gone
        self.sources = Sources()
        feeds = FeedList()
        for page in self.pages[: disk.pages]:
            feeds.grow(page)
        self.frontier = Frontier(disk.epoch, feeds, disk.changed(0), disk.frozen)

    def restore(self, disk: Disk) -> None:
        """Everything since is lost, also what it had written and where it was; so it writes under another name."""
        self.live(disk)
        self._write_anew()

    def lose_disk(self) -> None:
        self.live(Disk(self._new_epoch()))
        self._write_anew()

    def renew_epoch(self) -> None:
        self.disk.epoch = self.frontier.epoch = self._new_epoch()

    def learn_page(self) -> None:
        if self.disk.pages < len(self.pages):
            self.frontier.feeds.grow(self.pages[self.disk.pages])
            self.disk.pages += 1

    def _write_anew(self) -> None:
        self.losses += 1
        self.feed += 10
        self.wrote.clear()

    # Memory.

    def recall(self, peer: object) -> Memory | None:
        memory = self.disk.memories.get(peer)
        if memory is None or memory.base > self.frontier.upto:
            return None
        views = {of: self.disk.settled_at(of, memory.base) for of in self.frontier.since(memory.base)}
        return replace(memory, views={**views, **memory.views})

    def keep(self, peer: object, session: Session) -> None:
        memory = session.memory()
        if memory is not None:
            self.disk.memories[peer] = memory

    # Commits.

    def write(self, of: LogId, seqs: Ranges, branch: str = "a", size: int = 0) -> None:
        self.write_elsewhere(of, seqs, branch, size)
        self.grow(self._learn(of))

    def write_elsewhere(self, of: LogId, seqs: Ranges, branch: str = "a", size: int = 0) -> None:
        """Another process writes; this one will hear of it."""
        mine = self.entries.setdefault(of, {})
        for start, stop in seqs.spans:
            mine.update((seq, written(of, seq, branch, size)) for seq in range(start, stop))
        self.disk.commit(of, seqs)

    def drop(self, of: LogId, seqs: Ranges, *, tip_lost: bool) -> None:
        """Expired, evicted or given up unseen: settled from now on, and not held."""
        self.gone[of] = self.gone.get(of, NOTHING).union(seqs)
        mine = self.entries.get(of, {})
        for seq in [seq for seq in mine if seq in seqs]:
            del mine[seq]
        self.disk.commit(of, seqs, tip_lost=tip_lost)
        if of in self.disk.states and not self.disk.states[of].tip:
            self.tipless.add(of)
        self.grow(self._learn(of))

    def _learn(self, of: LogId) -> Before:
        """This process committed; what another one has written before is not known by that."""
        number = self.disk.number
        if not self.disk.changes.get(of) or self.disk.changes[of][-1][0] != number:
            return []  # It brought nothing new.
        if number == self.frontier.upto + 1:
            self.frontier.upto = number
        return self.frontier.change({of: self.disk.states[of]}, number)

    def poll(self) -> None:
        """Hear of what other processes have written."""
        before: Before = []
        for of, state, number in self.disk.changed(self.frontier.upto):
            before += self.frontier.change({of: state}, number)
            self.frontier.upto = number
        self.grow(before)

    # Orders.

    def read(self, order: ReadRun) -> RunRead:
        answer = super().read(order)
        if order.with_prev and answer.packed:
            return replace(answer, prev=below(order.log, order.start, answer.packed[0]))
        return answer

    def take(self, order: TakeRun) -> tuple[RunDone, Before]:
        of, start, stop = order.log, order.start, order.start + len(order.packed)
        if of in self.disk.frozen or self.fickle():
            self.refusals += 1
            return RunDone(of, start, stop - start, False), []
        if any(not signed(of, seq, each) for seq, each in enumerate(order.packed, start)):
            self.refused.append((of, start))  # Out of order on the link, mentions can come to stand for other logs.
            return RunDone(of, start, stop - start, False), []
        state = self.frontier.states.get(of, EMPTY)
        link = order.prev or (state.tip if start == state.settled.top else b"")
        if start and link != below(of, start, order.packed[0]):
            assert not link or of in self.forked, "an honest run that does not build on what is held"
            self.refused.append((of, start))
            return RunDone(of, start, stop - start, False), []
        if self._contradicted(of, start, order.packed):
            self.forks.append((of, start))
            return RunDone(of, start, stop - start, False), self._found(of)
        self.entries.setdefault(of, {}).update(zip(range(start, stop), order.packed, strict=True))
        self.disk.commit(of, Ranges(((start, stop),)))
        for seq in range(start, stop):
            if (of, seq) in self.proofs:
                self._freeze(self.proofs[of, seq])
        return RunDone(of, start, stop - start, True), self._learn(of)

    def _contradicted(self, of: LogId, start: int, packed: Iterable[bytes]) -> bool:
        mine = self.entries.get(of, {})
        told = dict(enumerate(packed, start))
        stop = start + len(told)
        if any(seq in mine and mine[seq] != new for seq, new in told.items()):
            return True
        if start and start - 1 in mine and entry_id(mine[start - 1]) != below(of, start, told[start]):
            return True
        return stop in mine and below(of, stop, mine[stop]) != entry_id(told[stop - 1])

    def _found(self, of: LogId) -> Before:
        """Freeze it, and tell everybody in an urgent entry."""
        self._freeze(of)
        own = LogId(self.feed.to_bytes(16), 0)
        seq = self.next_own(own)
        self.proofs[own, seq] = of
        self.write_elsewhere(own, Ranges(((seq, seq + 1),)))
        return self._learn(own)

    def _freeze(self, of: LogId) -> None:
        self.disk.frozen.add(of)
        self.frontier.freeze(of)

    def next_own(self, own: LogId, count: int = 1) -> int:
        seq = self.wrote.get(own, 0)
        self.wrote[own] = seq + count
        return seq

    def grow(self, before: Before) -> None:
        if before:
            for end in list(self.ends):
                end.tell(LogsGrew(tuple(before)), end.world.now)
        self.share()
