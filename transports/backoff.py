"""When to dial again: a core that is given the time and the chances.

Laws:
1. After the n-th failure in a row the wait is anything up to FIRST_S * 2^n, LONGEST_S at most, evenly (full jitter):
   those who were cut off together do not come back together.
2. A link that was established begins anew, and so does a changed network; but a wait that the other side asked for is
   kept, whatever changes, and is lengthened by up to a half.
"""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 300.0
SHORTEST_S: Final = 0.1
CHANGED_S: Final = 2.0
"""A network that has just come up is tried within this: an address often comes a moment after the interface."""


class Backoff:
    """`due_at` says when to dial; inf while there is no reason to."""

    def __init__(self) -> None:
        self.due_at = 0.0
        self._failures = 0
        self._asked_until = 0.0

    def failed(self, now: float, chance: float, retry_after_s: float = 0.0) -> None:
        """A dial came to nothing. `chance` is in 0..1."""
        longest = min(FIRST_S * 2 ** min(self._failures, 20), LONGEST_S)
        self._failures += 1
        self._wait(now, chance, longest, retry_after_s)

    def ended(self, now: float, chance: float, retry_after_s: float = 0.0) -> None:
        """A link that was good has ended."""
        self._failures = 0
        self._wait(now, chance, FIRST_S, retry_after_s)

    def changed(self, now: float, chance: float) -> None:
        """The network has changed: what did not work may work now."""
        self._failures = 0
        self.due_at = max(self._asked_until, min(self.due_at, now + max(SHORTEST_S, CHANGED_S * chance)))

    def _wait(self, now: float, chance: float, longest_s: float, retry_after_s: float) -> None:
        self._asked_until = now + retry_after_s * (1 + chance / 2) if retry_after_s > 0 else 0.0
        self.due_at = max(self._asked_until, now + max(SHORTEST_S, longest_s * chance))
