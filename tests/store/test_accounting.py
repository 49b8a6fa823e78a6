"""Accounts: what counts for which month, once, whatever way it came."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from beepmesh.messages.entry import pack
from beepmesh.messages.lifetimes import ttl_seconds
from beepmesh.store.accounting import (
    AHEAD_S,
    IN_TIME,
    LATE_S,
    Usage,
    added_up,
    counts_for,
    month_of,
    month_of_text,
    text_of,
)
from tests.store.writing import NOW_MS, Author


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def test_a_month_is_read_as_it_is_written() -> None:
    assert text_of(month_of(at("2026-11-30T23:59:59"))) == "2026-11"
    assert month_of(at("2026-12-01")) == month_of_text("2026-12") == month_of_text("2026-11") + 1
    assert text_of(month_of_text("2027-01") - 1) == "2026-12"
    for wrong in ("2026", "2026-13", "11-2026", "2026-11-01", ""):
        with pytest.raises(ValueError):
            month_of_text(wrong)


def test_it_counts_for_its_authors_month_for_a_week_after_that_is_over() -> None:
    november, december = month_of_text("2026-11"), month_of_text("2026-12")
    sent = at("2026-11-30T23:00:00")
    assert counts_for(sent, at("2026-12-01") + LATE_S * 1_000 - 1) == (november, IN_TIME)
    assert counts_for(sent, at("2026-12-01") + LATE_S * 1_000) == (november, december)


def test_a_clock_that_runs_ahead_or_says_1970_counts_for_when_it_came() -> None:
    now = at("2026-11-30T12:00:00")
    november = month_of(now)
    assert counts_for(now + AHEAD_S * 1_000, now) == (november + 1, IN_TIME)
    assert counts_for(now + AHEAD_S * 1_000 + 1, now) == (november + 1, november)
    assert counts_for(0, now) == (12 * 1970, november)
    assert counts_for(2**48 - 1, now) == (0, november)


def test_a_byte_counts_for_the_hours_that_its_author_asked_for_whatever_is_left_of_it() -> None:
    author = Author("Bilal", ttl=3)
    entries = author.run(3, b"sealed to somebody")
    size = sum(len(entry.header) + len(entry.signature) + len(entry.body or b"") for entry in entries)
    expected = Usage(author.log.feed, month_of(NOW_MS), IN_TIME, 3, 3, size, size * ttl_seconds(3) // 3_600)
    assert added_up(entries, NOW_MS) == [expected]
    assert added_up([entry.erased() for entry in entries], NOW_MS) == [expected]
    assert len(pack(entries[0])) < size / 3, "in a run its neighbours say a part of it"
