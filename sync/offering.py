"""What is new here and has only been announced to this peer: pushed a moment later, if it does not say meanwhile that
it has it, or is to have it from somebody else.

Of n nodes that all hear each other each new entry would else cross almost every one of the n (n - 1) / 2 links.
"""

from __future__ import annotations

from collections.abc import Collection

from sync.limits import OFFER_S
from sync.logs import LogId


class Offers:
    """Of one session. What only we can have, for it is our own, is pushed as soon as it was announced."""

    def __init__(self, own: Collection[bytes]) -> None:
        self._own = own
        self._untold: dict[LogId, None] = {}
        self._due: dict[LogId, float] = {}

    def __bool__(self) -> bool:
        return bool(self._untold or self._due)

    def add(self, log: LogId) -> None:
        """Something of it is new. What is offered already does not wait longer for that."""
        self._untold[log] = None

    @property
    def untold(self) -> bool:
        """Whether anything is to be announced now."""
        return bool(self._untold)

    def told(self, now: float) -> None:
        """It has been."""
        for log in self._untold:
            self._due.setdefault(log, now if log.feed in self._own else now + OFFER_S)
        self._untold.clear()

    def take_due(self, now: float) -> list[LogId]:
        """What is to be pushed now."""
        due = [log for log, when in self._due.items() if when <= now]
        for log in due:
            del self._due[log]
        return due

    @property
    def next_due(self) -> float | None:
        return min(self._due.values(), default=None)
