"""What we know of the other node: for each log what it holds, what it was told, what we still owe it.

Law: knowledge only grows. What a peer announced, pushed or was given is remembered until the session ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.limits import RANGES_MAX, SPANS_MAX
from sync.logs import TIP_BYTES, LogId, LogState
from sync.ranges import NOTHING, Ranges, Span
from sync.wire import RemoteProtocolError

NO_FORK = -1


@dataclass(slots=True)
class PeerLog:
    """One log as the two of us see it."""

    log: LogId
    holds: Ranges = NOTHING
    """What the peer announced as settled or pushed to us."""
    top: int = 0
    """One beyond the newest entry it has, with what we pushed."""
    chain: int = 0
    """The start from which it can infer prev by itself: its top, if it knows the entry below; otherwise -1."""
    tip: bytes = b""
    """First 8 B of the id of its entry at tip_top - 1, while we have not compared it with ours; else empty."""
    tip_top: int = 0
    seen: Ranges = NOTHING
    """Our settled seqs when we last looked for something to push."""
    todo: deque[Span] = field(default_factory=deque)
    """What is to be pushed and not yet asked of the store."""
    missing: Ranges = NOTHING
    """What the peer has, we lack, and may still come."""
    excused: Ranges = NOTHING
    """What the peer has and will not come: it said GONE, or the node refused it."""
    told: Ranges = NOTHING
    """Our settled seqs as the peer last heard them from us."""
    fork: int = NO_FORK
    """The seq at which our entry is another than the peer's."""
    fork_due: bool = False
    explicit: bool = False
    """Every run says its prev from now on: the peer refused one that did not."""
    cut_short: bool = False
    """The peer's states have as many ranges as fit, so it may have settled more than they say."""
    queued: bool = False

    def grew(self, ours: Ranges) -> bool:
        """Note what is to be pushed of our settled seqs; whether the peer has some of the new ones anyway."""
        new = ours.minus(self.seen)
        self.seen = ours
        self.missing = self.missing.minus(new)
        owed = new.minus(self.holds)
        for start, stop in owed.spans:
            if self.todo and self.todo[-1][1] == start:
                self.todo[-1] = (self.todo[-1][0], stop)
            else:
                self.todo.append((start, stop))
        return owed != new

    def next_todo(self, entries_max: int) -> Span | None:
        """Take the next span to push, without what the peer got elsewhere meanwhile."""
        while self.todo:
            start, stop = self.todo.popleft()
            if self.holds.meets(start, stop):
                self.todo.extendleft(reversed(self.holds.gaps(start, stop)))
                continue
            if stop - start > entries_max:
                self.todo.appendleft((start + entries_max, stop))
                stop = start + entries_max
            return start, stop
        return None

    def put_back(self, spans: tuple[Span, ...]) -> None:
        """These are still to be pushed, before the rest."""
        self.todo.extendleft(reversed(spans))

    @property
    def owes(self) -> bool:
        return self.fork_due or bool(self.todo)

    def reach(self, top: int, *, tip_known: bool) -> None:
        """The peer has, or is about to get, everything it needs to know its entry top - 1."""
        if top > self.top:
            self.top = top
            self.chain = top if tip_known else -1
        elif top == self.top and tip_known:
            self.chain = top

    def infers_prev(self, start: int) -> bool:
        """Whether a run from start on needs no prev."""
        return start == 0 or (start == self.chain and not self.explicit)

    def may_fork_at(self, start: int) -> bool:
        """Whether a run from start on builds on an entry whose id the peer announced and we have not compared."""
        return self.tip_top == start and bool(self.tip) and self.fork == NO_FORK

    def compare(self, ours: bytes) -> None:
        """Our entry at tip_top - 1 has this id: if the peer's has another one, ours is to be pushed, too."""
        if self.fork == NO_FORK and self.tip and ours and ours[:TIP_BYTES] != self.tip:
            self.fork = self.tip_top - 1
            self.fork_due = self.explicit = True
        self.tip = b""


class Peer:
    """All logs of one peer. Reads the node's shared mapping of durable states."""

    def __init__(self, ours: Mapping[LogId, LogState]) -> None:
        self._ours = ours
        self._logs: dict[LogId, PeerLog] = {}
        self._equal: Mapping[LogId, LogState] = {}
        self._spans = 0
        self._awaited: set[LogId] = set()

    @property
    def awaited(self) -> bool:
        """Whether the peer has something that we lack and may still get."""
        return bool(self._awaited)

    def equals(self, states: Mapping[LogId, LogState]) -> None:
        """The peer has settled just this. Logs are looked up when they are needed: often none ever is."""
        self._equal = states

    def log(self, log: LogId) -> PeerLog:
        view = self._logs.get(log)
        if view is None:
            view = self._logs[log] = PeerLog(log)
            state = self._equal.get(log)
            if state is not None:
                view.holds = view.told = view.seen = state.settled
                view.reach(state.settled.top, tip_known=bool(state.tip))
        return view

    def announced(self, log: LogId, settled: Ranges, tip: bytes) -> PeerLog:
        """The peer said what it has settled. Raises RemoteProtocolError: ranges-too-many."""
        view = self.log(log)
        self._hold(view, view.holds.union(settled))
        top = settled.top
        view.cut_short = len(settled.spans) >= RANGES_MAX
        view.reach(top, tip_known=bool(tip))
        if tip:
            view.tip, view.tip_top = tip, top
        mine = self._ours.get(log)
        if mine is not None and tip and mine.settled.top == top:
            view.compare(mine.tip)
        view.missing = (view.holds if mine is None else view.holds.minus(mine.settled)).minus(view.excused)
        self.weigh(view)
        return view

    def pushed(self, log: LogId, start: int, stop: int) -> None:
        """The peer has these entries, for it just sent them. Raises RemoteProtocolError: ranges-too-many."""
        view = self.log(log)
        self._hold(view, view.holds.add(start, stop))
        view.reach(stop, tip_known=True)
        mine = self._ours.get(log)
        for span in ((start, stop),) if mine is None else mine.settled.gaps(start, stop):
            view.missing = view.missing.add(*span)
        self.weigh(view)

    def excuse(self, log: LogId, seqs: Ranges) -> None:
        """These are not to be waited for. Raises RemoteProtocolError: ranges-too-many."""
        view = self.log(log)
        excused = view.excused.union(seqs)
        self._count(len(excused.spans) - len(view.excused.spans))
        view.excused = excused
        view.missing = view.missing.minus(seqs)
        self.weigh(view)

    def weigh(self, view: PeerLog) -> None:
        """What is missing in this log changed."""
        if view.missing:
            self._awaited.add(view.log)
        else:
            self._awaited.discard(view.log)

    def _hold(self, view: PeerLog, holds: Ranges) -> None:
        self._count(len(holds.spans) - len(view.holds.spans))
        view.holds = holds

    def _count(self, more: int) -> None:
        self._spans += more
        if self._spans > SPANS_MAX:
            raise RemoteProtocolError("ranges-too-many", "in all logs together")
