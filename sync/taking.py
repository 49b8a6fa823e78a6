"""Runs that the peer pushed and the node is taking, in the order in which they came: that is how ACK counts them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sync.limits import WINDOW_BYTES_MAX, WINDOW_RUNS_MAX
from sync.logs import LogId
from sync.octets import RemoteProtocolError
from sync.ranges import Ranges


@dataclass(slots=True)
class Taken:
    """One of them."""

    log: LogId
    start: int
    stop: int
    size: int
    final: bool
    """It is not pushed again if it is refused now: it said its prev, or needs none."""
    done: bool = False


class Taking:
    """One session's."""

    def __init__(self) -> None:
        self.bytes = 0
        """Packed, of all that is not acknowledged."""
        self.owed = 0
        """How many at the head are done, and to be acknowledged."""
        self._runs: deque[Taken] = deque()

    @property
    def count(self) -> int:
        return len(self._runs)

    def under_way(self, log: LogId) -> Ranges:
        """What is being taken of this log."""
        return Ranges.of(*((run.start, run.stop) for run in self._runs if run.log == log and not run.done))

    def begin(self, log: LogId, start: int, count: int, size: int, *, final: bool) -> None:
        """A run came. Raises RemoteProtocolError: window-exceeded."""
        self.bytes += size
        if self._runs and (len(self._runs) >= WINDOW_RUNS_MAX or self.bytes > WINDOW_BYTES_MAX):
            raise RemoteProtocolError("window-exceeded")
        self._runs.append(Taken(log, start, start + count, size, final))

    def done(self, log: LogId, start: int, stop: int) -> Taken:
        """The node has dealt with it."""
        same = (run for run in self._runs if not run.done and (run.log, run.start, run.stop) == (log, start, stop))
        taken = next(same, None)
        assert taken is not None, "a RunDone that answers no TakeRun"
        taken.done = True
        while self.owed < len(self._runs) and self._runs[self.owed].done:
            self.owed += 1
        return taken

    def acknowledged(self) -> list[Taken]:
        """Those that are done; they are forgotten now."""
        runs = [self._runs.popleft() for _ in range(self.owed)]
        self.bytes -= sum(run.size for run in runs)
        self.owed = 0
        return runs
