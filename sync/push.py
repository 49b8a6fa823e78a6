"""What we still owe the peer, in which order, and how much of it may be under way.

Law 1: while a lane has anything to push, read or send, nothing of a later lane leaves. Within a lane, logs that may
       come later (`Session(later=...)`) wait for the others.
Law 2: no entry is sent twice, but for what the peer asked for again (WANT), or a run that it refused for want of its
       predecessor: once more, with prev.
Law 3: at most WINDOW_RUNS_MAX runs and WINDOW_BYTES_MAX packed bytes are unacknowledged; one run always may be.
Law 4: the link is given no more than it takes in a quarter of a second, as far as it has shown: what is urgent is
       behind that much, never behind a window.
Law 5: before anything is read it is asked what of it is withheld from this peer (`Withholds`). That is passed over
       until `weigh_again`; where it is not known yet, the log waits for that too, and holds up no other.
Logs of one lane take turns, READ_ENTRIES_MAX entries at a time, so that a full log does not hold up the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sync.events import AskDrained, Output, ReadRun, RunRead, Send
from sync.limits import (
    LANES,
    LINK_BYTES_FIRST,
    LINK_BYTES_MAX,
    LINK_BYTES_MIN,
    LINK_FAST_S,
    LINK_SLOW_S,
    OFFER_BYTES_MIN,
    READ_BYTES_MAX,
    READ_ENTRIES_MAX,
    READS_MAX,
    RUN_BYTES_MAX,
    RUN_BYTES_SLOW,
    RUN_ENTRIES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_RUNS_MAX,
)
from sync.logs import LogId
from sync.names import Names
from sync.octets import RemoteProtocolError
from sync.peer import Peer, PeerLog
from sync.ranges import NOTHING, Ranges, Span
from sync.refs import LogRef
from sync.wire import RUN_OVERHEAD_BYTES, Gone, Run, encode


class _Ready(NamedTuple):
    """A run that was read and waits for the window."""

    view: PeerLog
    start: int
    prev: bytes | None
    packed: tuple[bytes, ...]
    size: int


class Sent(NamedTuple):
    """A run under way."""

    view: PeerLog
    start: int
    stop: int
    prev_said: bool
    size: int


@dataclass(slots=True)
class _Lane:
    queue: deque[PeerLog] = field(default_factory=deque)
    ready: deque[_Ready] = field(default_factory=deque)
    reads: int = 0


Withholds = Callable[[LogId, int, int], Ranges | None]
"""What of a log's [start, stop) the peer is not to be pushed for now; None: not known yet."""


def cut(sizes: Sequence[int], bytes_max: int) -> tuple[int, ...]:
    """Where runs end that hold entries of these packed sizes: exclusive indexes, the last one is len(sizes)."""
    ends: list[int] = []
    size = begin = 0
    for index, more in enumerate(sizes):
        if index > begin and (size + more > bytes_max or index - begin == RUN_ENTRIES_MAX):
            ends.append(index)
            size, begin = 0, index
        size += more
    return (*ends, len(sizes)) if sizes else ()


class Pace:
    """How much the link is given at a time: it grows while the link is quick and shrinks when it is not."""

    def __init__(self) -> None:
        self._most = LINK_BYTES_FIRST
        self._given = 0
        self._asked_at: float | None = None

    @property
    def run_bytes_max(self) -> int:
        """Packed bytes of a run of several entries."""
        return min(max(self._most // 4, RUN_BYTES_SLOW), RUN_BYTES_MAX)

    @property
    def room(self) -> bool:
        return self._asked_at is None

    def give(self, size: int, now: float) -> bool:
        """So much was given to the link; whether to ask it now to say when all of it has left."""
        self._given += size
        if self._given < self._most or self._asked_at is not None:
            return False
        self._asked_at = now
        return True

    def drained(self, now: float) -> None:
        """It has left."""
        if self._asked_at is None:
            return
        took = now - self._asked_at
        self._asked_at = None
        if took <= LINK_FAST_S:
            self._most = min(2 * self._most, LINK_BYTES_MAX)
        elif took > LINK_SLOW_S:
            self._most = max(int(self._given * LINK_SLOW_S / took), LINK_BYTES_MIN)
        self._given = 0


class Push:
    """One side's pushing. `pump` after anything changed."""

    def __init__(self, peer: Peer, names: Names, later: Callable[[LogId], bool], withholds: Withholds) -> None:
        self.entries_sent = 0
        self.offered: list[PeerLog] = []
        """What is to be offered now, and held back until the peer answers."""
        self.record_bytes_max = 0
        """The peer's; known from its HELLO, before which nothing is queued."""
        self.lanes_open = 0
        """How many lanes, from 0 on, may be pushed."""
        self.pace = Pace()
        self._peer = peer
        self._names = names
        self.later = later
        self._lanes = tuple(_Lane() for _ in range(2 * LANES))  # Of each lane what goes first, and what may wait.
        self._withholds = withholds
        self._undecided: dict[LogId, PeerLog] = {}
        self._passed_over: dict[LogId, PeerLog] = {}
        self._reading: dict[LogId, tuple[_Lane, Span, bool]] = {}
        self._asking: deque[Callable[[float], None]] = deque()
        self._window: deque[Sent] = deque()
        self._window_bytes = 0
        self._jobs = 0  # In all lanes: logs in line, reads under way and runs that are ready.

    @property
    def run_bytes_max(self) -> int:
        """Packed bytes of a run of several entries."""
        return min(self.pace.run_bytes_max, self.record_bytes_max - RUN_OVERHEAD_BYTES)

    @property
    def idle(self) -> bool:
        """Nothing is left to push and everything pushed is acknowledged."""
        return not self._window and not self.busy

    @property
    def busy(self) -> bool:
        """Something is left to push."""
        return self._jobs > 0 or bool(self._undecided)

    def enqueue(self, view: PeerLog) -> None:
        """If anything of this log is owed, it takes its turn."""
        if view.owes and not view.queued:
            view.queued = True
            self._jobs += 1
            self._lanes[2 * view.log.lane + self.later(view.log)].queue.append(view)

    def pump(self, out: list[Output], now: float) -> None:
        """Send and read what the window, the link and the order of lanes allow."""
        if not self._jobs:  # Nearly always: whatever happens ends in a call of this.
            return
        for lane in self._lanes[: 2 * self.lanes_open]:
            while lane.ready:
                if not self._send_next(lane, out, now):
                    return
            while lane.queue and lane.reads < READS_MAX and self._fits(RUN_BYTES_MAX):
                self._ask(lane, lane.queue.popleft(), out)
            if lane.queue or lane.ready or lane.reads:
                return

    def read(self, event: RunRead, out: list[Output]) -> None:
        """What the store answered becomes runs; what it does not have is said to be gone."""
        log, start, prev, packed, gone = event.log, event.start, event.prev, event.packed, event.gone
        view = self._peer.log(log)
        lane, (first, stop), with_prev = self._reading.pop(log)
        end = start + len(packed)
        assert first == start, "a RunRead that answers no ReadRun"
        assert end <= stop, "more was read than asked for"
        assert prev is not None or not with_prev or not packed, "prev was asked for"
        lane.reads -= 1
        self._jobs -= 1
        view.queued = False
        # The store could neither give nor excuse the first entry: for this session that is the same as gone.
        gone = Ranges(((start, stop),)) if not packed and not gone else gone.intersect(Ranges(((end, stop),)))
        ends = event.ends or cut([len(entry) for entry in packed], self.run_bytes_max)
        unsent = self._prepare(lane, view, start, prev, packed, ends)
        if unsent < end:
            gone = gone.add(unsent, unsent + 1)
        view.put_back(gone.gaps(unsent, stop))
        for span in gone.spans:
            self._peer.gave(view, *span)
        if gone and start != view.fork:
            out.append(Send(encode(Gone(self.name(log), gone))))
        self.enqueue(view)

    def ask_drained(self, tell: Callable[[float], None], out: list[Output]) -> None:
        """Have the link say when all has left that was given to it; `tell` is told the time."""
        self._asking.append(tell)
        out.append(AskDrained())

    def drained(self, now: float) -> None:
        """The answer to the one that was asked first."""
        if self._asking:
            self._asking.popleft()(now)

    def weigh_again(self) -> None:
        """Other things may be withheld now."""
        undecided, self._undecided = self._undecided, {}
        passed_over, self._passed_over = self._passed_over, {}
        for view in passed_over.values():
            view.put_back(view.withheld.spans)
            view.withheld = NOTHING
        for view in (undecided | passed_over).values():
            self.enqueue(view)

    def acked(self, runs_done: int, refused: Sequence[int]) -> list[Sent]:
        """The peer has dealt with so many more runs; those that it settled. Raises RemoteProtocolError."""
        if runs_done > len(self._window):
            raise RemoteProtocolError("ack-beyond", f"{runs_done} runs of {len(self._window)}")
        done = [self._window.popleft() for _ in range(runs_done)]
        self._window_bytes -= sum(sent.size for sent in done)
        bad = set(refused)
        for index, sent in enumerate(done):
            if index not in bad:
                self._peer.took(sent.view, sent.start, sent.stop)
        for index in reversed(refused):
            sent = done[index]
            left = sent.view.holds.gaps(sent.start, sent.stop)
            if left and not sent.prev_said:
                # It got the entry below from elsewhere, or lost sight of it: it cannot infer prev, so say it.
                sent.view.explicit = True
                sent.view.put_back(left)
                self.enqueue(sent.view)
        return [sent for index, sent in enumerate(done) if index not in bad]

    def name(self, log: LogId) -> LogRef:
        """What to call a log in a record that leaves now."""
        is_listed = self._names.is_listed(log)
        return self._names.mention(log, tagged=not is_listed and self._peer.knows_feed(log.feed))

    def _fits(self, size: int) -> bool:
        window = self._window
        return not window or (len(window) < WINDOW_RUNS_MAX and self._window_bytes + size <= WINDOW_BYTES_MAX)

    def _ask(self, lane: _Lane, view: PeerLog, out: list[Output]) -> None:
        entries_max, bytes_max = READ_ENTRIES_MAX, READ_BYTES_MAX
        if view.explicit or (view.todo and view.todo[-1][0] < view.top):
            # Every run here needs a prev, and a read gives one prev: so one run at a time.
            entries_max, bytes_max = RUN_ENTRIES_MAX, self.run_bytes_max
        if view.stopped:
            span: Span | None = None
        elif view.fork_due:
            view.fork_due = False
            span = (view.fork, view.fork + 1)
        else:
            span = self._next(view, entries_max)
        if span is None:
            view.queued = False
            self._jobs -= 1
            return
        start, stop = span
        with_prev = start > 0 and not view.infers_prev(start)
        self._reading[view.log] = lane, span, with_prev
        lane.reads += 1
        out.append(ReadRun(view.log, start, stop, bytes_max, self.run_bytes_max, with_prev))

    def _next(self, view: PeerLog, entries_max: int) -> Span | None:
        """The next span that may be pushed, as far as it goes."""
        while (span := view.next_todo(entries_max)) is not None:
            if view.wanted.covers(*span):
                return span
            withheld = self._withholds(view.log, *span)
            if withheld is None:
                view.put_back((span,))
                self._undecided[view.log] = view
                return None
            self._undecided.pop(view.log, None)
            withheld = withheld.minus(view.wanted)
            if not withheld:
                return span
            view.withheld = view.withheld.union(withheld)
            self._passed_over[view.log] = view
            self._peer.withheld_unsaid |= bool(withheld.intersect(view.told))  # For others it does not wait yet.
            if left := withheld.gaps(*span):
                view.put_back(left[1:])
                return left[0]
        return None

    def _prepare(
        self, lane: _Lane, view: PeerLog, start: int, prev: bytes | None, packed: tuple[bytes, ...], ends: Sequence[int]
    ) -> int:
        """Cut entries into runs; the seq of the first that fits into no record of the peer's, or the end."""
        assert not packed or ends[-1] == len(packed), "a run ends where what was read ends"
        begin = 0
        for end in ends:
            run = packed[begin:end]
            size = sum(map(len, run))
            if size > self.record_bytes_max - RUN_OVERHEAD_BYTES:
                return start + begin
            lane.ready.append(_Ready(view, start + begin, prev, run, size))
            self._jobs += 1
            begin, prev = end, None
        return start + len(packed)

    def _send_next(self, lane: _Lane, out: list[Output], now: float) -> bool:
        """Send the first ready run, or put it back if things changed while it waited; False if it must wait."""
        view, start, prev, packed, size = lane.ready[0]
        stop = start + len(packed)
        said = not view.infers_prev(start)
        if view.stopped:
            view.fork_due |= start == view.fork
            return self._withdraw(lane, ((start, stop),))
        owed = view.owed(start, stop)
        if start != view.fork and owed != ((start, stop),):
            return self._withdraw(lane, owed)
        if said and prev is None:
            return self._withdraw(lane, ((start, stop),))
        if view.to_offer and size > OFFER_BYTES_MIN:
            view.to_offer, view.held_back = False, True
            self.offered.append(view)
        if view.held_back:
            return self._hold_all(lane, view)
        if not self._fits(size) or not self.pace.room:
            return False
        lane.ready.popleft()
        self._jobs -= 1
        out.append(Send(encode(Run(self.name(view.log), start, (prev or None) if said else None, packed))))
        view.top = max(view.top, stop)
        view.told = view.told.add(start, stop)
        if view.withheld:  # It was wanted all the same.
            view.withheld = view.withheld.minus(Ranges(((start, stop),)))
        self._peer.gave(view, start, stop)
        self._window.append(Sent(view, start, stop, said or start == 0, size))
        self._window_bytes += size
        self.entries_sent += len(packed)
        if self.pace.give(size, now):
            self.ask_drained(self.pace.drained, out)
        return True

    def _hold_all(self, lane: _Lane, view: PeerLog) -> bool:
        """Whatever of this log is ready is read again when it may be pushed."""
        held = [run for run in lane.ready if run.view is view]
        lane.ready = deque(run for run in lane.ready if run.view is not view)
        self._jobs -= len(held)
        view.put_back(tuple((run.start, run.start + len(run.packed)) for run in held))
        return True

    def _withdraw(self, lane: _Lane, left: tuple[Span, ...]) -> bool:
        """The first ready run is out of date; what is left of it is read again."""
        view = lane.ready.popleft().view
        self._jobs -= 1
        view.put_back(left)
        self.enqueue(view)
        return True
