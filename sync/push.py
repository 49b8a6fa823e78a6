"""What we still owe the peer, in which order, and how much of it may be under way.

Law 1: while a lane has anything to push, read or send, nothing of a later lane leaves.
Law 2: no entry is sent twice, but for a run that the peer refused for want of its predecessor: once more, with prev.
Law 3: at most WINDOW_RUNS_MAX runs and WINDOW_BYTES_MAX packed bytes are unacknowledged; one run always may be.
Logs of one lane take turns, READ_ENTRIES_MAX entries at a time, so that a full log does not hold up the others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from sync.events import Output, ReadRun, RunRead, Send
from sync.limits import (
    PUSHED_LANES,
    READ_BYTES_MAX,
    READ_ENTRIES_MAX,
    READS_MAX,
    RUN_BYTES_MAX,
    RUN_ENTRIES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_RUNS_MAX,
)
from sync.logs import LogId
from sync.names import Names
from sync.peer import Peer, PeerLog
from sync.ranges import Ranges, Span
from sync.wire import RUN_OVERHEAD_BYTES, Gone, RemoteProtocolError, Run, encode


class _Ready(NamedTuple):
    """A run that was read and waits for the window."""

    view: PeerLog
    start: int
    prev: bytes | None
    packed: tuple[bytes, ...]
    size: int


class _Sent(NamedTuple):
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

    @property
    def busy(self) -> bool:
        return bool(self.queue or self.ready or self.reads)


class Push:
    """One side's pushing. `pump` after anything changed."""

    def __init__(self, peer: Peer, names: Names) -> None:
        self.entries_sent = 0
        self.record_bytes_max = 0
        """The peer's; known from its HELLO, before which nothing is queued."""
        self._peer = peer
        self._names = names
        self._lanes = tuple(_Lane() for _ in range(PUSHED_LANES.bit_length()))
        self._reading: dict[LogId, tuple[Span, bool]] = {}
        self._window: deque[_Sent] = deque()
        self._window_bytes = 0

    @property
    def idle(self) -> bool:
        """Nothing is left to push and everything pushed is acknowledged."""
        return not self._window and not any(lane.busy for lane in self._lanes)

    def enqueue(self, view: PeerLog) -> None:
        """If anything of this log is owed, it takes its turn."""
        if view.owes and not view.queued:
            view.queued = True
            self._lanes[view.log.lane].queue.append(view)

    def pump(self, out: list[Output]) -> None:
        """Send and read what the window and the order of lanes allow."""
        for lane in self._lanes:
            while lane.ready:
                if not self._send_next(lane, out):
                    return
            while lane.queue and lane.reads < READS_MAX and self._fits(RUN_BYTES_MAX):
                self._ask(lane, lane.queue.popleft(), out)
            if lane.busy:
                return

    def read(self, event: RunRead, out: list[Output]) -> None:
        """What the store answered becomes runs; what it does not have is said to be gone."""
        log, start, prev, packed, gone = event.log, event.start, event.prev, event.packed, event.gone
        view, lane = self._peer.log(log), self._lanes[log.lane]
        (first, stop), with_prev = self._reading.pop(log)
        end = start + len(packed)
        assert first == start, "a RunRead that answers no ReadRun"
        assert end <= stop, "more was read than asked for"
        assert prev is not None or not with_prev or not packed, "prev was asked for"
        lane.reads -= 1
        view.queued = False
        if prev is not None and view.may_fork_at(start):
            view.compare(prev)
        # The store could neither give nor excuse the first entry: for this session that is the same as gone.
        gone = Ranges(((start, stop),)) if not packed and not gone else gone.intersect(Ranges(((end, stop),)))
        unsent = self._prepare(lane, view, start, prev, packed, event.ends)
        if unsent < end:
            gone = gone.add(unsent, unsent + 1)
        view.put_back(gone.gaps(unsent, stop))
        if gone and start != view.fork:
            reference = self._names.mention(log)
            if reference is not None:
                out.append(Send(encode(Gone(reference, gone))))
        self.enqueue(view)

    def acked(self, runs_done: int) -> None:
        """The peer has dealt with so many more runs, and said what it settled of them. Raises RemoteProtocolError."""
        if runs_done > len(self._window):
            raise RemoteProtocolError("ack-beyond", f"{runs_done} runs of {len(self._window)}")
        done = [self._window.popleft() for _ in range(runs_done)]
        self._window_bytes -= sum(sent.size for sent in done)
        for sent in reversed(done):
            view = sent.view
            if sent.prev_said or view.cut_short:
                continue
            refused = view.holds.gaps(sent.start, sent.stop)
            if refused:
                # It got the entry below from elsewhere, or lost sight of it: it cannot infer prev, so say it.
                view.explicit = True
                view.put_back(refused)
                self.enqueue(view)

    def _fits(self, size: int) -> bool:
        window = self._window
        return not window or (len(window) < WINDOW_RUNS_MAX and self._window_bytes + size <= WINDOW_BYTES_MAX)

    def _ask(self, lane: _Lane, view: PeerLog, out: list[Output]) -> None:
        entries_max, bytes_max = READ_ENTRIES_MAX, READ_BYTES_MAX
        if view.explicit or (view.todo and view.todo[0][0] < view.top):
            # Every run here needs a prev, and a read gives one prev: so one run at a time.
            entries_max, bytes_max = RUN_ENTRIES_MAX, RUN_BYTES_MAX
        if view.fork_due:
            view.fork_due = False
            span: Span | None = (view.fork, view.fork + 1)
        else:
            span = view.next_todo(entries_max)
        if span is None:
            view.queued = False
            return
        start, stop = span
        with_prev = start > 0 and (not view.infers_prev(start) or view.may_fork_at(start))
        self._reading[view.log] = span, with_prev
        lane.reads += 1
        out.append(ReadRun(view.log, start, stop, bytes_max, with_prev))

    def _prepare(
        self,
        lane: _Lane,
        view: PeerLog,
        start: int,
        prev: bytes | None,
        packed: tuple[bytes, ...],
        ends: tuple[int, ...],
    ) -> int:
        """Cut entries into runs; the seq of the first that fits into no record of the peer's, or the end."""
        single_bytes_max = self.record_bytes_max - RUN_OVERHEAD_BYTES
        begin = size = 0
        for index, entry in enumerate(packed):
            full = size + len(entry) > RUN_BYTES_MAX or index - begin == RUN_ENTRIES_MAX
            if size and (index in ends if ends else full):
                lane.ready.append(_Ready(view, start + begin, prev, packed[begin:index], size))
                begin, size, prev = index, 0, None
            if len(entry) > single_bytes_max:
                if size:
                    lane.ready.append(_Ready(view, start + begin, prev, packed[begin:index], size))
                return start + index
            size += len(entry)
        if size:
            lane.ready.append(_Ready(view, start + begin, prev, packed[begin:], size))
        return start + len(packed)

    def _send_next(self, lane: _Lane, out: list[Output]) -> bool:
        """Send the first ready run, or put it back if things changed while it waited; False if it must wait."""
        view, start, prev, packed, size = lane.ready[0]
        stop = start + len(packed)
        said = not view.infers_prev(start)
        if start != view.fork and view.holds.meets(start, stop):
            return self._withdraw(lane, view.holds.gaps(start, stop))
        if said and prev is None:
            return self._withdraw(lane, ((start, stop),))
        if not self._fits(size):
            return False
        lane.ready.popleft()
        reference = self._names.mention(view.log)
        if reference is None:
            return True  # A log beyond LOGS_MAX: it waits for a session in which fewer are spoken of.
        out.append(Send(encode(Run(reference, start, prev if said else None, packed))))
        view.reach(stop, tip_known=True)
        self._window.append(_Sent(view, start, stop, said or start == 0, size))
        self._window_bytes += size
        self.entries_sent += len(packed)
        return True

    def _withdraw(self, lane: _Lane, left: tuple[Span, ...]) -> bool:
        """The first ready run is out of date; what is left of it is read again."""
        view = lane.ready.popleft().view
        view.put_back(left)
        self.enqueue(view)
        return True
