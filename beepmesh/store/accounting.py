"""What whoever keeps accounts adds up: how much each feed had carried, month by month, counted once at first accept.

Law 1: what counts for a month is a function of the entries alone, by their signed headers: not of the way they came,
       how often, or whether the delivery token came first. Two who got the same entries in time have the same sums.
Law 2: in time is what comes within LATE_S of its month's end. What comes later, or is dated later than it came, counts
       for the month in which it came, and is told apart: the sums of a month that is over do not change any more.
Law 3: it is written in the commit that takes the entry.

A stored byte counts for the whole lifetime that its author asked for, whenever somebody erases it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from beepmesh.crypto.primitives import SIGNATURE_BYTES
from beepmesh.messages.entry import SIGNED_BYTES, Entry
from beepmesh.messages.lifetimes import DAY_S, HOUR_S, ttl_seconds

LATE_S: Final = 7 * DAY_S  # A valley is without coverage for three days; whoever was away for a week is late.
AHEAD_S: Final = DAY_S  # So far ahead may its author's clock be of ours.
HEADER_BYTES: Final = SIGNED_BYTES + SIGNATURE_BYTES  # Without hints.
IN_TIME: Final = 0


class Usage(NamedTuple):
    """The sums of one feed (16 B). `came`: see law 2; IN_TIME, or a month."""

    feed: bytes
    month: int
    came: int
    messages: int
    """Of the entries, those that are sealed to somebody."""
    entries: int
    bytes: int
    byte_hours: int


class Accounts(Protocol):
    """The part of a store that keeps accounts, and numbers what comes in. Every method may raise StoreProblem."""

    def number_intake(self) -> None: ...

    def keep_accounts(self) -> None:
        """From now on commits add up what they accept first; each process says it for itself."""
        ...

    def usage(self, month: int) -> list[Usage]:
        """What counts for that month, late ones too, by feed."""
        ...

    def note_relayed(self, month: int, sent: Mapping[bytes, int]) -> None:
        """So many bytes more were sent to these devices (16 B)."""
        ...

    def relayed(self, month: int) -> dict[bytes, int]: ...


def month_of(time_ms: int) -> int:
    """The month in UTC, as 12 * year + month - 1."""
    day = datetime.fromtimestamp(time_ms // 1_000, UTC)
    return 12 * day.year + day.month - 1


def month_of_text(text: str) -> int:
    """Of "2026-11". Raises ValueError."""
    day = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    return 12 * day.year + day.month - 1


def text_of(month: int) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}"


def counts_for(time_ms: int, now_ms: int) -> tuple[int, int]:
    """The author's month and `came` of an entry so dated, which comes now."""
    try:
        month = month_of(time_ms)
        in_time = month >= month_of(now_ms - LATE_S * 1_000) and time_ms <= now_ms + AHEAD_S * 1_000
    except (OverflowError, ValueError):  # Beyond the year 9999.
        month, in_time = 0, False
    return month, IN_TIME if in_time else month_of(now_ms)


def added_up(entries: Iterable[Entry], now_ms: int) -> list[Usage]:
    """The sums of entries that come now."""
    sums: dict[tuple[bytes, int, int], list[int]] = {}
    for entry in entries:
        one = sums.setdefault((entry.feed, *counts_for(entry.time_ms, now_ms)), [0, 0, 0, 0])
        size = HEADER_BYTES + len(entry.hints) + entry.body_bytes
        one[0] += bool(entry.hints)
        one[1] += 1
        one[2] += size
        one[3] += size * (ttl_seconds(entry.ttl) // HOUR_S)
    return [Usage(*key, *one) for key, one in sums.items()]
