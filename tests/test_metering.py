"""A day's budget for links that cost money."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beepmesh.metering import DAY_MS, HOUR_MS, LINK_BYTES, RECORD_BYTES, SHARES, Meter

records = st.lists(st.integers(1, 65_535), max_size=60)
limits = st.integers(1, 1_000_000)
LIMIT = 10_000


def spend(meter: Meter, sizes: list[int]) -> None:
    for size in sizes:
        meter.passed(size)


@given(limits, records)
def test_what_is_urgent_always_passes(limit: int, sizes: list[int]) -> None:
    meter = Meter(limit)
    spend(meter, sizes)
    assert meter.allows(0)
    assert not meter.withheld


@given(limits, records)
def test_a_lane_that_may_not_stops_all_below_it_and_none_above(limit: int, sizes: list[int]) -> None:
    meter = Meter(limit)
    spend(meter, sizes)
    allowed = [meter.allows(lane) for lane in range(len(SHARES))]
    assert allowed == sorted(allowed, reverse=True)


@given(records)
def test_without_a_limit_everything_passes(sizes: list[int]) -> None:
    meter = Meter(0)
    spend(meter, sizes)
    assert all(meter.allows(lane) for lane in range(len(SHARES)))


@given(limits, records, st.integers(1, 60_000))
def test_a_lane_is_overrun_by_one_record_at_most(limit: int, sizes: list[int], size: int) -> None:
    meter = Meter(limit)
    for one in sizes:
        if not meter.allows(1):
            break
        meter.passed(one)
    assert meter.spent_bytes < limit + 65_535 + RECORD_BYTES


@given(limits, records, st.integers(4 * DAY_MS, 2**41))
def test_a_restart_forgets_nothing_and_a_clock_that_goes_back_opens_no_second_budget(
    limit: int, sizes: list[int], now_ms: int
) -> None:
    meter = Meter(limit, b"", now_ms)
    spend(meter, sizes)
    again = Meter(limit, meter.encode(), now_ms)
    assert again.spent_bytes == meter.spent_bytes
    assert not again.turn(now_ms - 3 * DAY_MS)
    assert again.spent_bytes == meter.spent_bytes
    again.turn(now_ms + DAY_MS)
    assert again.spent_bytes == 0


def test_a_clock_that_was_wrong_once_neither_starves_nor_feeds() -> None:
    now_ms = 20_000 * DAY_MS
    meter = Meter(LIMIT, b"", now_ms)
    meter.turn(now_ms + 1_000 * DAY_MS)
    meter.passed(LIMIT)
    assert not meter.allows(1)
    mended = Meter(LIMIT, meter.encode(), now_ms)
    opened = 0
    for hour in range(10 * 24):
        opened += mended.turn(now_ms + hour * HOUR_MS)
        if mended.allows(1):
            mended.passed(LIMIT)
        mended.allows(1)
    assert opened in (9, 10)


@given(st.lists(st.integers(0, 2**41), max_size=40))
def test_whatever_the_clock_says_a_day_is_left_at_most(clock: list[int]) -> None:
    meter = Meter(LIMIT)
    for now_ms in clock:
        before = meter.day
        meter.turn(now_ms)
        assert 0 <= meter.day - before <= 2
        assert 0 < meter.left_ms <= DAY_MS


def test_time_that_passes_is_not_written_down() -> None:
    meter = Meter(LIMIT, b"", DAY_MS)
    meter.passed(1)
    assert meter.take_unkept()
    meter.turn(DAY_MS + HOUR_MS)
    assert not meter.take_unkept()


def test_a_new_day_is_told_where_something_waits() -> None:
    meter = Meter(LIMIT, b"", 5 * DAY_MS)
    meter.opened()
    assert meter.spent_bytes == LINK_BYTES
    assert not meter.turn(6 * DAY_MS)
    meter.passed(LIMIT)
    assert not meter.allows(1)
    assert meter.turn(7 * DAY_MS)
    assert meter.allows(3)
    assert not meter.turn(8 * DAY_MS)


def test_what_was_kept_and_is_damaged_counts_as_nothing() -> None:
    assert Meter(1, b"x").spent_bytes == 0
