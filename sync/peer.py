"""What we know of the other node: for each log what it holds, what it was told, what we still owe it.

Law 1: knowledge only grows. What a peer announced, pushed or was given is remembered until the session ends.
Law 2: of a log without a view here the peer has settled just what we have; a view is made before ours grows.
       That counts in the lanes that are known and that both take part in; in others views hold what it pushed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sync.frontier import Frontier
from sync.limits import LANES, PUSHED_LANES, SPANS_MAX
from sync.logs import LogId
from sync.octets import RemoteProtocolError
from sync.ranges import NOTHING, Ranges, Span

NO_FORK = -1


@dataclass(slots=True)
class PeerLog:
    """One log as the two of us see it."""

    log: LogId
    holds: Ranges = NOTHING
    """What the peer announced as settled or pushed to us."""
    given: Ranges = NOTHING
    """What it pushed to us in this session."""
    told: Ranges = NOTHING
    """Our settled seqs as the peer last heard them from us."""
    seen: Ranges = NOTHING
    """Our settled seqs when we last looked for something to push."""
    top: int = 0
    """One beyond the newest entry it has, with what we pushed: there it can infer prev by itself."""
    todo: list[Span] = field(default_factory=list)
    """What is to be pushed and not yet asked of the store, the next one last."""
    missing: Ranges = NOTHING
    """What the peer has, we lack, and may still come."""
    withheld: Ranges = NOTHING
    """What it may not be pushed for now."""
    wanted: Ranges = NOTHING
    """What the peer asked for and was not sent since, whether it has settled it or not."""
    excused: Ranges = NOTHING
    """What the peer has and will not come: it said GONE, or the node refused it."""
    spared: Ranges = NOTHING
    """What the peer has and need not be waited for: it said WITHHELD, or pushes it once more, with prev."""
    fork: int = NO_FORK
    """The seq at which our entry is another than the peer's."""
    fork_due: bool = False
    explicit: bool = False
    """Every run says its prev from now on: the peer refused one that did not."""
    queued: bool = False
    stopped: bool = False
    """The peer wants nothing pushed here."""
    to_offer: bool = False
    """What is large of it is offered before it is pushed."""
    told_again: bool = False
    """The peer told us last what we had heard: it offers to push it."""
    held_back: bool = False
    """It came from another peer a moment ago: the peer is told, and may have it from there."""
    paused: bool = False
    """We want nothing pushed here, for another node does it."""

    def grew(self, ours: Ranges) -> bool:
        """Note what is to be pushed of our settled seqs; whether the peer has some of the new ones anyway."""
        new = ours.minus(self.seen)
        self.seen = ours
        owed = new.minus(self.holds)
        spans = owed.spans
        if spans and self.todo and self.todo[0][1] == spans[0][0]:
            self.todo[0] = self.todo[0][0], spans[0][1]
            spans = spans[1:]
        self.todo[:0] = reversed(spans)
        return owed != new

    def next_todo(self, entries_max: int) -> Span | None:
        """Take the next span to push, without what the peer got elsewhere meanwhile."""
        while self.todo:
            start, stop = self.todo.pop()
            owed = self.owed(start, stop)
            if owed != ((start, stop),):
                self.todo.extend(reversed(owed))
                continue
            if stop - start > entries_max:
                self.todo.append((start + entries_max, stop))
                stop = start + entries_max
            return start, stop
        return None

    def owed(self, start: int, stop: int) -> tuple[Span, ...]:
        """What of this the peer does not have, or asked for all the same."""
        holds = self.holds.minus(self.wanted) if self.wanted else self.holds
        return holds.gaps(start, stop)

    def put_back(self, spans: tuple[Span, ...]) -> None:
        """These are still to be pushed, before the rest."""
        self.todo.extend(reversed(spans))

    @property
    def owes(self) -> bool:
        return not (self.stopped or self.held_back) and (self.fork_due or bool(self.todo))

    def infers_prev(self, start: int) -> bool:
        """Whether a run from start on needs no prev."""
        return start == 0 or (start == self.top and not self.explicit)

    def found_forked(self) -> None:
        """Where both have settled the same, our newest entry is another than the peer's: both are to be pushed."""
        if self.fork == NO_FORK and self.top:
            self.fork = self.top - 1
            self.fork_due = self.explicit = True


class Peer:
    """All logs of one peer. Reads the node's frontier."""

    def __init__(self, frontier: Frontier) -> None:
        self.known_lanes = 0
        """So many lanes of it, from lane 0 on, are known."""
        self.lanes = PUSHED_LANES
        """Bit set of the lanes that both are told of; of the others nothing is known."""
        self._frontier = frontier
        self._logs: dict[LogId, PeerLog] = {}
        self._spans = 0
        self._awaited: dict[LogId, None] = {}
        self.withheld_unsaid = False
        """The peer waits for something that is withheld."""
        self.flipped: list[LogId] = []
        """Logs that have become awaited, or are no longer, since the session looked."""

    @property
    def awaited(self) -> Collection[LogId]:
        """Logs of which the peer has something that we lack and may still get."""
        return self._awaited

    @property
    def views(self) -> Iterable[PeerLog]:
        """The logs that were looked at. Of every other one the peer has settled what we have (law 2)."""
        return self._logs.values()

    def log(self, log: LogId, before: Ranges | None = None) -> PeerLog:
        """The view of a log. `before`: what we had settled there, if that has just grown."""
        view = self._logs.get(log)
        if view is None:
            ours = self._frontier.settled(log) if before is None else before
            view = self._logs[log] = PeerLog(log, told=ours)
            if len(self._logs) > SPANS_MAX:
                raise RemoteProtocolError("logs-too-many")
            if self._knows(log.lane):
                view.holds = view.seen = ours
                view.top = ours.top
        return view

    def holds(self, log: LogId) -> Ranges:
        """What the peer has settled of a log."""
        view = self._logs.get(log)
        if view is not None:
            return view.holds
        return self._frontier.settled(log) if self._knows(log.lane) else NOTHING

    def knows_feed(self, feed: bytes) -> bool:
        """Whether it has settled anything of that feed, so that it can find it by a tag."""
        return any(self.holds(LogId(feed, lane)) for lane in range(LANES))

    def remembered(self, views: Mapping[LogId, Ranges]) -> None:
        """What it had settled when we last met, where that differs from what we have now. Nothing was looked at yet."""
        assert not self._logs
        for log, settled in views.items():
            if self._is_told(log.lane):
                self.announced(log, settled)
        self.known_lanes = LANES

    def rest(self, told: Mapping[LogId, Ranges]) -> None:
        """The peer has settled this; and of every other log just what we told it."""
        for log, settled in told.items():
            self.announced(log, settled)  # Before the peer is known: a new view begins with nothing.
        self.known_lanes = LANES
        for view in self._logs.values():
            if view.log not in told and self._is_told(view.log.lane):
                self.announced(view.log, view.told)

    def told_all(self) -> None:
        """We have just told, or sketched, everything as it is now."""
        for view in self._logs.values():
            view.told = self._frontier.settled(view.log)
            self.withheld_unsaid |= bool(view.withheld)

    def everything(self, told: Mapping[LogId, Ranges], lanes: range) -> None:
        """The peer has settled this, and nothing else in these lanes."""
        for log in dict.fromkeys((*self._logs, *self._frontier.states, *told)):
            theirs = told.get(log, NOTHING)
            if log.lane in lanes and (log in self._logs or theirs != self._frontier.settled(log)):
                self.announced(log, theirs)
        self.known_lanes = lanes.stop

    def forgotten(self) -> None:
        """What was remembered is wrong; what it pushed in this session is not."""
        self.known_lanes = 0
        for view in self._logs.values():
            self._hold(view, view.given)
            view.seen = view.missing = NOTHING
            view.top = view.given.top
            self.weigh(view)

    def announced(self, log: LogId, settled: Ranges) -> PeerLog:
        """The peer said what it has settled. Raises RemoteProtocolError: ranges-too-many."""
        view = self.log(log)
        view.told_again = view.holds.spans == settled.spans
        if not view.told_again:
            self._hold(view, view.holds.union(settled))
        view.top = max(view.top, settled.top)
        self._await(view)
        return view

    def pushed(self, log: LogId, start: int, stop: int) -> None:
        """The peer has these entries, for it just sent them. Raises RemoteProtocolError: ranges-too-many."""
        view = self.log(log)
        given = view.given.add(start, stop)
        self._count(len(given.spans) - len(view.given.spans))
        view.given = given
        self._hold(view, view.holds.add(start, stop))
        view.top = max(view.top, stop)
        for span in self._frontier.settled(log).gaps(start, stop):
            view.missing = view.missing.add(*span)
        self.weigh(view)

    def took(self, view: PeerLog, start: int, stop: int) -> None:
        """The peer has settled a run of ours. Raises RemoteProtocolError: ranges-too-many."""
        self._hold(view, view.holds.add(start, stop))

    def wants(self, view: PeerLog, seqs: Ranges) -> None:
        """The peer asked for these, which are settled here. Raises RemoteProtocolError: ranges-too-many."""
        new = seqs.minus(view.wanted)
        self._want(view, view.wanted.union(new))
        view.put_back(new.spans)

    def gave(self, view: PeerLog, start: int, stop: int) -> None:
        """These were pushed to the peer, or said to be gone."""
        if view.wanted:
            self._want(view, view.wanted.minus(Ranges(((start, stop),))))

    def excuse(self, log: LogId, seqs: Ranges) -> PeerLog:
        """These are not to be waited for. Raises RemoteProtocolError: ranges-too-many."""
        view = self.log(log)
        excused = view.excused.union(seqs)
        self._count(len(excused.spans) - len(view.excused.spans))
        view.excused = excused
        view.missing = view.missing.minus(seqs)
        self.weigh(view)
        return view

    def refused(self, view: PeerLog, seqs: Ranges, *, final: bool) -> None:
        """A run did not settle these. Raises RemoteProtocolError: ranges-too-many."""
        if final:
            self.excuse(view.log, seqs)
        elif not view.paused:  # What was stopped comes once more when it is asked to go on.
            self.spare(view, seqs)

    def withholds(self, under_way: Callable[[LogId], Ranges]) -> None:
        """Nothing of what it owes is to be waited for, but in lane 0, and what is stopped: of that it weighed nothing.
        Raises RemoteProtocolError: ranges-too-many."""
        for view in [self._logs[log] for log in self._awaited if log.lane]:
            if not view.paused:
                self.spare(view, view.missing.minus(under_way(view.log)))

    def spare(self, view: PeerLog, seqs: Ranges) -> None:
        """These come by themselves, if they come. Raises RemoteProtocolError: ranges-too-many."""
        self._spare(view, view.spared.union(seqs))
        view.missing = view.missing.minus(seqs)
        self.weigh(view)

    def paused(self, view: PeerLog) -> None:
        """Nothing of this is to be pushed here for now: nor does anything come by itself."""
        if view.spared:
            self._spare(view, NOTHING)
            self._await(view)

    def came(self, view: PeerLog, ours: Ranges) -> None:
        """We have settled this now, and need not wait for it."""
        if view.missing.spans:
            view.missing = view.missing.minus(ours)
            self.weigh(view)

    def weigh(self, view: PeerLog) -> None:
        """What is missing in this log changed."""
        if bool(view.missing) == (view.log in self._awaited):
            return
        self.flipped.append(view.log)
        if view.missing:
            self._awaited[view.log] = None
        else:
            del self._awaited[view.log]

    def differing(self) -> list[LogId]:
        """The logs of which the peer has settled something else than we have."""
        settled = self._frontier.settled
        return [log for log, view in self._logs.items() if view.holds.spans != settled(log).spans]

    def _knows(self, lane: int) -> bool:
        return lane < self.known_lanes and self._is_told(lane)

    def _is_told(self, lane: int) -> bool:
        return bool(self.lanes >> lane & 1)

    def _await(self, view: PeerLog) -> None:
        missing = view.holds.minus(self._frontier.settled(view.log)).minus(view.excused).minus(view.spared)
        if missing.spans or view.missing.spans:
            view.missing = missing
            self.weigh(view)

    def _want(self, view: PeerLog, wanted: Ranges) -> None:
        self._count(len(wanted.spans) - len(view.wanted.spans))
        view.wanted = wanted

    def _spare(self, view: PeerLog, spared: Ranges) -> None:
        self._count(len(spared.spans) - len(view.spared.spans))
        view.spared = spared

    def _hold(self, view: PeerLog, holds: Ranges) -> None:
        if holds is not view.holds:
            self._count(len(holds.spans) - len(view.holds.spans))
            view.holds = holds

    def _count(self, more: int) -> None:
        self._spans += more
        if self._spans > SPANS_MAX:
            raise RemoteProtocolError("ranges-too-many", "in all logs together")
