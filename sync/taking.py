"""The runs that the peer pushed and the node is taking, in the order in which they came: what an ACK will speak of."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sync.limits import WINDOW_BYTES_MAX, WINDOW_RUNS_MAX
from sync.logs import LogId
from sync.octets import RemoteProtocolError


@dataclass(slots=True)
class TakenRun:
    log: LogId
    start: int
    count: int
    size: int
    done: bool = False

    @property
    def stop(self) -> int:
        return self.start + self.count


class Taking:
    """Of one session."""

    def __init__(self) -> None:
        self.size = 0
        """Packed bytes of all of them."""
        self.owed = 0
        """How many at the head are done, and to be acknowledged."""
        self._runs: deque[TakenRun] = deque()

    def __len__(self) -> int:
        return len(self._runs)

    def begin(self, log: LogId, start: int, count: int, size: int) -> None:
        """Raises RemoteProtocolError: window-exceeded."""
        self.size += size
        if self._runs and (len(self._runs) >= WINDOW_RUNS_MAX or self.size > WINDOW_BYTES_MAX):
            raise RemoteProtocolError("window-exceeded")
        self._runs.append(TakenRun(log, start, count, size))

    def end(self, log: LogId, start: int, count: int) -> None:
        """The node has dealt with it."""
        asked = (log, start, count)
        run = next((run for run in self._runs if not run.done and (run.log, run.start, run.count) == asked), None)
        assert run is not None, "a RunDone that answers no TakeRun"
        run.done = True
        while self.owed < len(self._runs) and self._runs[self.owed].done:
            self.owed += 1

    def take_owed(self) -> list[TakenRun]:
        """Those to be acknowledged now."""
        runs = [self._runs.popleft() for _ in range(self.owed)]
        self.size -= sum(run.size for run in runs)
        self.owed = 0
        return runs
