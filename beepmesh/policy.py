"""What is given up first when the disk is full, and when a body has outlived its time. Pure: the stores carry it out.

Law 1: what has expired goes first; what only this device may have, what calls for help, and what everybody is judged
       by is never given up while it lives.
Law 2: no clock kills a message early, neither its author's nor the holder's: what looks wrong is not counted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from beepmesh.messages.lifetimes import (
    BULK,
    DAY_S,
    HOUR_S,
    LANE_FILES,
    LANE_LATER,
    LANE_URGENT,
    SOS,
    URGENT,
    ttl_seconds,
)

# Ranks: of two entries the one of the lower rank is given up first, within a rank the one that ends sooner.
EXPIRED: Final = 0  # Only its header is still good for anything: it proves what came after it.
OTHERS_BULK: Final = 1
OTHERS_ROUTINE: Final = 2
TOKENS: Final = 3  # Of deliveries, while their entries would live; then EXPIRED. No entry has this rank.
OWN_BULK: Final = 4  # That some peer holds too.
OTHERS_URGENT: Final = 5
KEPT: Final = 6  # Never given up.

NEVER_MS: Final = 2**63 - 1  # The end of what does not end; the largest integer of SQLite.
# Expiry is looked at every hour; an hour more than a day lets a device that is switched on daily keep pace.
HOLDING_STEP_MS_MAX: Final = (DAY_S + HOUR_S) * 1_000
_AHEAD_MS_MAX: Final = DAY_S * 1_000


def keep_rank(*, lane: int, priority: int, own: bool, carried: bool, expired: bool, needed: bool) -> int:
    """The rank of an entry.

    `carried`: some peer has settled it. `expired`: its body is gone. `needed`: it is a fact in force, or addressed to
    us and not opened yet.
    """
    bulk = lane in (LANE_LATER, LANE_FILES) or priority == BULK
    if expired:
        return EXPIRED
    if needed or priority == SOS:
        return KEPT
    if own:
        return OWN_BULK if bulk and carried else KEPT
    if bulk:
        return OTHERS_BULK
    return OTHERS_URGENT if lane == LANE_URGENT or priority == URGENT else OTHERS_ROUTINE


class HoldingClock(NamedTuple):
    """How long this store has been holding things. Entries end by it, because a wall clock may say anything."""

    holding_ms: int
    """Never falls."""
    seen_ms: int
    """What the wall clock said last."""
    latest_ms: int
    """The latest that it ever said."""
    latest_holding_ms: int
    """What `holding_ms` was then."""

    @classmethod
    def started(cls, now_ms: int) -> HoldingClock:
        return cls(0, now_ms, now_ms, 0)

    def at(self, now_ms: int) -> HoldingClock:
        """It goes on by what the wall clock went on, by a day and an hour at most, and never back."""
        passed_ms = now_ms - self.seen_ms
        if self.seen_ms < self.latest_ms < now_ms:
            # Our clock had lost its battery and was set right. Without this a box that starts five times a day in
            # 1970 would count five days for one.
            passed_ms = now_ms - self.latest_ms - (self.holding_ms - self.latest_holding_ms)
        holding_ms = self.holding_ms + min(max(passed_ms, 0), HOLDING_STEP_MS_MAX)
        if now_ms >= self.latest_ms:
            return HoldingClock(holding_ms, now_ms, now_ms, holding_ms)
        return self._replace(holding_ms=holding_ms, seen_ms=now_ms)


def ends_ms(holding_ms: int, now_ms: int, time_ms: int, ttl: int) -> int:
    """When an entry written at time_ms that came now ends, by the holding clock.

    Its lifetime does not begin anew at each hop. Where the author's clock or ours makes no sense it does.
    """
    lifetime_ms = ttl_seconds(ttl) * 1_000
    left_ms = time_ms + lifetime_ms - now_ms
    sensible = time_ms <= now_ms + _AHEAD_MS_MAX and 0 < left_ms < lifetime_ms
    return holding_ms + (left_ms if sensible else lifetime_ms)
