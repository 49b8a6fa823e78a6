"""Lifetimes and priorities: what is asked for is never cut short."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.errors import Usage
from beepmesh.messages import lifetimes
from beepmesh.messages.lifetimes import DAY_S, HOUR_S


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5_400), ("36h", 36 * HOUR_S), ("14d", 14 * DAY_S), (" 2W ", 14 * DAY_S), ("1 h", HOUR_S)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert lifetimes.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "14", "d", "-1d", "0h", "1.5h", "1y", "14d3h", "٣d", "9999999d", "1d\nx"])
def test_anything_else_is_wrongly_asked(text: str) -> None:
    with pytest.raises(Usage):
        lifetimes.duration_s(text)


@pytest.mark.parametrize(
    ("text", "ttl"), [("1m", 0), ("1h", 0), ("90m", 1), ("36h", 3), ("14d", 5), ("15d", 6), ("90d", 7)]
)
def test_the_class_is_the_smallest_that_lives_long_enough(text: str, ttl: int) -> None:
    assert lifetimes.ttl_of_text(text) == ttl


@given(st.integers(1, 90 * DAY_S))
@settings(max_examples=200, deadline=None)
def test_no_message_dies_earlier_than_asked(seconds: int) -> None:
    ttl = lifetimes.ttl_class(seconds)
    assert lifetimes.ttl_seconds(ttl) >= seconds
    assert ttl == 0 or lifetimes.ttl_seconds(ttl - 1) < seconds


def test_more_than_ninety_days_is_refused_with_what_to_ask() -> None:
    with pytest.raises(Usage, match="90d"):
        lifetimes.ttl_class(90 * DAY_S + 1)


def test_a_reserved_class_lives_as_long_as_the_longest() -> None:
    assert lifetimes.ttl_seconds(15) == 90 * DAY_S
    assert lifetimes.expires_ms(1_000, 15) == 1_000 + 90 * DAY_S * 1_000


def test_priorities_have_names_and_back() -> None:
    for name in lifetimes.PRIORITY_NAMES:
        assert lifetimes.priority_name(lifetimes.priority_class(name.upper())) == name
    assert lifetimes.priority_name(9) == "class 9"
    with pytest.raises(Usage, match="sos, urgent, routine, bulk"):
        lifetimes.priority_class("panic")


def test_urgent_things_go_on_the_urgent_lane_and_no_message_on_a_lane_that_is_never_pushed() -> None:
    lanes = [lifetimes.lane_of(priority) for priority in range(4)]
    assert lanes == [0, 0, 1, 1]


def test_an_sos_lives_ninety_days_and_the_rest_fourteen() -> None:
    assert [lifetimes.ttl_seconds(lifetimes.ttl_default(priority)) // DAY_S for priority in range(4)] == [
        90,
        14,
        14,
        14,
    ]
