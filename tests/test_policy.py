"""What goes first, what never goes, and a clock that no wall clock can hurry."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.messages.lifetimes import BULK, LIFETIMES_S, ROUTINE, SOS, TTL_DEFAULT, URGENT
from beepmesh.policy import (
    EXPIRED,
    HOLDING_STEP_MS_MAX,
    KEPT,
    OTHERS_BULK,
    OTHERS_ROUTINE,
    OTHERS_URGENT,
    OWN_BULK,
    TOKENS,
    HoldingClock,
    ends_ms,
    keep_rank,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_800_000_000_000
LIFETIME_MS = LIFETIMES_S[TTL_DEFAULT] * 1_000


def rank(
    lane: int, priority: int, *, own: bool = False, carried: bool = False, expired: bool = False, needed: bool = False
) -> int:
    return keep_rank(lane=lane, priority=priority, own=own, carried=carried, expired=expired, needed=needed)


@pytest.mark.parametrize(
    ("expected", "ranked"),
    [
        (EXPIRED, rank(0, SOS, expired=True)),
        (EXPIRED, rank(1, ROUTINE, own=True, expired=True)),
        (OTHERS_BULK, rank(2, ROUTINE)),
        (OTHERS_BULK, rank(3, URGENT)),
        (OTHERS_BULK, rank(1, BULK)),
        (OTHERS_ROUTINE, rank(1, ROUTINE)),
        (OWN_BULK, rank(1, BULK, own=True, carried=True)),
        (OTHERS_URGENT, rank(0, URGENT)),
        (OTHERS_URGENT, rank(0, ROUTINE)),
        (KEPT, rank(1, BULK, own=True)),
        (KEPT, rank(1, ROUTINE, own=True, carried=True)),
        (KEPT, rank(1, SOS)),
        (KEPT, rank(2, BULK, needed=True)),
    ],
)
def test_an_entry_has_the_rank_of_its_use(expected: int, ranked: int) -> None:
    assert ranked == expected


def test_the_ranks_are_in_the_order_in_which_things_go() -> None:
    order = [EXPIRED, OTHERS_BULK, OTHERS_ROUTINE, TOKENS, OWN_BULK, OTHERS_URGENT, KEPT]
    assert order == list(range(7))


def test_what_only_we_have_what_calls_for_help_and_what_is_needed_is_kept_while_it_lives() -> None:
    for lane, priority, flags in itertools.product(range(4), range(4), itertools.product((False, True), repeat=3)):
        own, carried, needed = flags
        kept = rank(lane, priority, own=own, carried=carried, needed=needed) == KEPT
        bulk = lane in (2, 3) or priority == BULK
        assert kept == (needed or priority == SOS or (own and not (bulk and carried)))
        assert rank(lane, priority, own=own, carried=carried, needed=needed, expired=True) == EXPIRED


def told(*times_ms: int) -> list[int]:
    """What the holding clock says after each of these readings of the wall clock."""
    clock = HoldingClock.started(times_ms[0])
    said: list[int] = []
    for time_ms in times_ms[1:]:
        clock = clock.at(time_ms)
        said.append(clock.holding_ms)
    return said


def test_the_holding_clock_goes_with_the_wall_clock() -> None:
    assert told(NOW_MS, NOW_MS, NOW_MS + HOUR_MS, NOW_MS + DAY_MS) == [0, HOUR_MS, DAY_MS]


def test_a_clock_that_is_set_from_1970_to_today_moves_it_by_one_step() -> None:
    assert told(0, HOUR_MS, NOW_MS, NOW_MS + HOUR_MS) == [
        HOUR_MS,
        HOUR_MS + HOLDING_STEP_MS_MAX,
        2 * HOUR_MS + HOLDING_STEP_MS_MAX,
    ]


def test_a_clock_that_is_set_back_stops_it_and_it_goes_on_from_there() -> None:
    assert told(NOW_MS, NOW_MS - 90 * DAY_MS, NOW_MS - 90 * DAY_MS + HOUR_MS) == [0, HOUR_MS]


def test_a_box_that_starts_in_1970_and_is_set_right_five_times_a_day_counts_one_day() -> None:
    readings = [NOW_MS]
    for start in range(1, 6):
        # Two hours switched off, half an hour in 1970, then right.
        readings += [0, HOUR_MS // 2, NOW_MS + start * 5 * HOUR_MS]
    assert told(*readings)[-1] == 25 * HOUR_MS


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=20))
def test_it_never_falls_and_never_leaps(times_ms: list[int]) -> None:
    said = [0, *told(*times_ms)]
    assert all(0 <= after - before <= HOLDING_STEP_MS_MAX for before, after in itertools.pairwise(said))


@given(st.lists(st.integers(0, HOLDING_STEP_MS_MAX), min_size=1, max_size=20), st.data())
def test_a_true_clock_is_followed_exactly_whatever_it_says_in_between_after_losing_its_battery(
    steps_ms: list[int], data: st.DataObject
) -> None:
    readings, now_ms = [NOW_MS], NOW_MS
    for step_ms in steps_ms:
        now_ms += step_ms
        if step_ms and data.draw(st.booleans()):
            on_ms = data.draw(st.integers(0, step_ms - 1))
            readings += [5, 5 + on_ms]
        readings.append(now_ms)
    assert told(*readings)[-1] == sum(steps_ms)


@pytest.mark.parametrize(
    ("written_ms", "left_ms"),
    [
        (NOW_MS, LIFETIME_MS),
        (NOW_MS - 5 * DAY_MS, LIFETIME_MS - 5 * DAY_MS),
        (NOW_MS - LIFETIME_MS + 1, 1),
        (NOW_MS - LIFETIME_MS, LIFETIME_MS),  # By its author's clock it is over; but here it is, with its body.
        (0, LIFETIME_MS),
        (NOW_MS + DAY_MS, LIFETIME_MS),
        (2**48 - 1, LIFETIME_MS),
    ],
)
def test_a_message_gets_no_younger_at_a_hop_and_no_wrong_clock_ends_it(written_ms: int, left_ms: int) -> None:
    assert ends_ms(77, NOW_MS, written_ms, TTL_DEFAULT) == 77 + left_ms


def test_a_holder_in_1970_lets_a_message_live_its_whole_life() -> None:
    assert ends_ms(0, HOUR_MS, NOW_MS, TTL_DEFAULT) == LIFETIME_MS
