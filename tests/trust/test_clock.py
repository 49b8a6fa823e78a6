"""Which time to believe and which to write."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.trust.clock import AHEAD_S_MAX, author_time, believed_s

HQ_S = 1_800_000_000


def test_a_plausible_clock_is_believed() -> None:
    assert believed_s(HQ_S, HQ_S) == HQ_S
    assert believed_s(HQ_S + AHEAD_S_MAX, HQ_S) == HQ_S + AHEAD_S_MAX


def test_a_clock_that_says_1970_or_jumped_is_not() -> None:
    assert believed_s(0, HQ_S) == HQ_S
    assert believed_s(HQ_S - 1, HQ_S) == HQ_S
    assert believed_s(HQ_S + AHEAD_S_MAX + 1, HQ_S) == HQ_S


@given(st.lists(st.integers(0, 10_000), max_size=30))
@settings(max_examples=100, deadline=None)
def test_the_authors_time_always_rises(clock_ms: list[int]) -> None:
    last = 0
    for now_ms in clock_ms:
        time_ms = author_time(now_ms, last)
        assert time_ms > last
        assert time_ms >= now_ms
        last = time_ms
