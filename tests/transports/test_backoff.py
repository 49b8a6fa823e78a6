"""When a hub is dialled again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transports.backoff import CHANGED_S, LONGEST_S, Backoff

chances = st.floats(0, 1)


def test_the_first_dial_is_at_once() -> None:
    assert Backoff().due_at == 0


@given(st.lists(chances, max_size=40))
def test_waits_grow_to_five_minutes_and_no_further(drawn: list[float]) -> None:
    backoff, now = Backoff(), 0.0
    for number, chance in enumerate(drawn):
        backoff.failed(now, chance)
        assert now < backoff.due_at <= now + min(2.0**number, LONGEST_S)
        now = backoff.due_at


@given(st.integers(1, 40), chances)
def test_a_changed_network_is_tried_soon(failures: int, chance: float) -> None:
    backoff = Backoff()
    for _ in range(failures):
        backoff.failed(100, 1)
    backoff.changed(100, chance)
    assert 100 < backoff.due_at <= 100 + CHANGED_S


@given(chances, chances)
def test_what_the_hub_asked_for_is_kept_whatever_changes(first: float, second: float) -> None:
    backoff = Backoff()
    backoff.ended(50, first, retry_after_s=30)
    backoff.changed(51, second)
    assert 80 <= backoff.due_at <= 95


def test_a_good_link_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(9):
        backoff.failed(0, 1)
    backoff.ended(0, 1)
    assert backoff.due_at == 1
