"""How much may pass in a day over links that cost money: a core that is told what has passed and asked what may.

Laws
1. Lane 0 always passes, and so do the few bytes by which two nodes agree on what each lacks: without them nothing
   urgent could be told either.
2. What comes counts as what goes; only what goes can be held back. A lane is pushed until its share of the day is used
   up: bulk a half, large mail three quarters, messages all. So the day's end still has room for what matters more.
3. A day is 24 hours of a holding clock (`policy.py`), from when the budget was first kept. By the wall clock, a box
   that came up once in 2030 would have waited for 2030 ever after. A clock that goes back opens no second budget, and
   one that jumps ahead opens one at most.
"""

from __future__ import annotations

from typing import Final

from beepmesh.policy import HoldingClock

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SHARES: Final = (None, 1.0, 0.75, 0.5)  # By lane; None: no limit.
METER_NAME: Final = "metering/budget"  # Where the store keeps it.
RECORD_BYTES: Final = 70  # What WebSocket, TLS, TCP and IP add to a record that leaves alone.
LINK_BYTES: Final = 6_000  # TCP, TLS with a certificate, the upgrade, and their ends.
_KEPT_FIELDS: Final = 6


class Meter:
    """One day's budget of one node. `limit_bytes` 0: none."""

    def __init__(self, limit_bytes: int, kept: bytes = b"", now_ms: int = 0) -> None:
        """`kept` is what `take_unkept` gave last; anything else counts as nothing."""
        self.limit_bytes = limit_bytes
        self.day, self.spent_bytes = 0, 0
        self._clock = HoldingClock.started(now_ms)
        self.withheld = False
        """Something waits for the next day."""
        if len(kept) == 8 * _KEPT_FIELDS:
            self.day, self.spent_bytes, *clock = (int.from_bytes(kept[at : at + 8]) for at in range(0, len(kept), 8))
            self._clock = HoldingClock(*clock)
        self._kept = self.day, self.spent_bytes
        self.turn(now_ms)

    @property
    def left_ms(self) -> int:
        """How much of the day is left, at the last `turn`."""
        return (self.day + 1) * DAY_MS - self._clock.holding_ms

    def take_unkept(self) -> bytes:
        """What a restart must not forget, if there is a limit and that has changed since; else nothing.

        That time has passed is no change: the clock goes on from where it was kept, by a day at most.
        """
        now = self.day, self.spent_bytes
        changed, self._kept = now != self._kept, now
        return self.encode() if changed and self.limit_bytes else b""

    def encode(self) -> bytes:
        """All of it: the day, the bytes, and the holding clock, 8 bytes each."""
        return b"".join(field.to_bytes(8) for field in (self.day, self.spent_bytes, *self._clock))

    def turn(self, now_ms: int) -> bool:
        """The wall clock says this now; whether a new day has begun for what waits."""
        self._clock = self._clock.at(max(0, now_ms))
        day = self._clock.holding_ms // DAY_MS
        if day <= self.day:
            return False
        waited, self.withheld = self.withheld, False
        self.day, self.spent_bytes = day, 0
        return waited

    def opened(self) -> None:
        """A link has come to be."""
        self.spent_bytes += LINK_BYTES

    def passed(self, record_bytes: int) -> None:
        """One record has gone or come."""
        self.spent_bytes += record_bytes + RECORD_BYTES

    def allows(self, lane: int) -> bool:
        """Whether more of this lane may be pushed today; a no is remembered."""
        share = SHARES[min(lane, len(SHARES) - 1)]
        if share is None or not self.limit_bytes or self.spent_bytes < self.limit_bytes * share:
            return True
        self.withheld = True
        return False
