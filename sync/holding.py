"""Logs that came from another peer a moment ago: the peer is told of them, and they are pushed to it a little later."""

from __future__ import annotations

from math import inf

from sync.limits import HOLD_BACK_S, HOLD_BACK_URGENT_S
from sync.logs import LogId
from sync.peer import PeerLog


class Holding:
    """One session's."""

    def __init__(self) -> None:
        self.until = inf
        """When the next of them is to be pushed."""
        self._dues: dict[LogId, float] = {}

    @property
    def count(self) -> int:
        return len(self._dues)

    def hold(self, view: PeerLog, now: float) -> None:
        """Not to be pushed yet."""
        view.held_back = True
        due = self._dues[view.log] = now + (HOLD_BACK_S if view.log.lane else HOLD_BACK_URGENT_S)
        self.until = min(due, self.until)

    def release(self, view: PeerLog) -> None:
        """May be pushed now."""
        if view.held_back:
            view.held_back = False
            del self._dues[view.log]
            self.until = min(self._dues.values(), default=inf)

    def due(self, now: float) -> list[LogId]:
        """Those that were held back for long enough, in the order in which they came."""
        return [log for log, due in self._dues.items() if now >= due] if now >= self.until else []
