"""Contacts are those of people who are near each other, whoever counts them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from simulations.traces import Contact, Trace, merged
from simulations.walking import BLOCK_M, METRE, PLACE_COUNT_MAX, Leg, Spot, Way, corner_near, meetings

REACH = 30
STEP = 5


def place(way: Sequence[Leg], now: int) -> tuple[int, int]:
    for before, after in pairwise(way):
        if before.t <= now < after.t:
            part, whole = now - before.t, after.t - before.t
            return before.x + (after.x - before.x) * part // whole, before.y + (after.y - before.y) * part // whole
    return way[-1].x, way[-1].y


@st.composite
def ways(draw: st.DrawFn) -> list[list[Leg]]:
    spots = st.tuples(st.integers(0, 200), st.integers(0, 200))
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        legs = [Leg(0, *draw(spots))]
        for pause in draw(st.lists(st.integers(1, 30), max_size=6)):
            legs.append(Leg(legs[-1].t + pause, *draw(st.sampled_from([draw(spots), tuple(legs[-1][1:])]))))
        drawn.append(legs)
    return drawn


@given(drawn=ways(), duration=st.integers(1, 80))
def test_contacts_are_what_one_finds_who_measures_every_pair_at_every_step(
    drawn: list[list[Leg]], duration: int
) -> None:
    seen = []
    for now in range(0, duration, STEP):
        at = [place(way, now) for way in drawn]
        for a, (x, y) in enumerate(at):
            for b, (other_x, other_y) in enumerate(at[:a]):
                if (x - other_x) ** 2 + (y - other_y) ** 2 <= REACH**2:
                    seen.append((float(now), float(min(now + STEP, duration)), a, b))
    trace = meetings("drawn", drawn, duration_s=duration, step_s=STEP, reach_cm=REACH)
    assert list(trace.contacts) == merged(seen)
    assert trace.places is not None
    for step in range(len(trace.places.steps)):
        assert trace.places.at(step) == [(x / 100, y / 100) for x, y in (place(way, step * STEP) for way in drawn)]


def test_a_way_goes_along_two_streets_at_its_pace() -> None:
    way = Way(Spot(0, 0))
    legs = [*way.wait(10), *way.along_streets(Spot(300, 401), 100, random.Random(1)), *way.wait_until(5)]
    assert [leg.t for leg in legs] in ([10, 13, 18, 18], [10, 15, 18, 18])
    assert legs[1][1:] in ((300, 0), (0, 401))
    assert legs[-1] == (18, 300, 401)
    assert list(way.along_streets(Spot(300, 1), 100, random.Random(1))) == [Leg(22, 300, 1)]


@given(
    seed=st.integers(0, 99),
    column=st.integers(0, 5),
    metres=st.integers(0, 5_000),
    side=st.integers(5, 9).map(lambda n: n * BLOCK_M),
)
def test_the_next_corner_is_in_town_and_no_further_than_asked(seed: int, column: int, metres: int, side: int) -> None:
    at = Spot(column * BLOCK_M * METRE, 0)
    to = corner_near(random.Random(seed), at, metres, side)
    assert all(0 <= there <= side * METRE and there % (BLOCK_M * METRE) == 0 for there in to)
    assert all(abs(there - here) <= metres * METRE for there, here in zip(to, at, strict=True))


def test_places_of_many_are_sampled_seldom_enough() -> None:
    trace: Trace = meetings(
        "many", [[Leg(0, i * 2, 0)] for i in range(1_000)], duration_s=10_000, step_s=10, reach_cm=1
    )
    assert trace.places is not None
    assert PLACE_COUNT_MAX / 2 < len(trace.places.steps) * 1_000 <= PLACE_COUNT_MAX
    assert trace.contacts == ()


def test_who_stands_together_from_first_to_last_has_one_contact() -> None:
    still = [[Leg(0, 0, 0)], [Leg(0, 30, 0)], [Leg(0, 31, 40)]]
    trace = meetings("still", still, duration_s=100, step_s=10, reach_cm=30)
    assert trace.contacts == (Contact(0, 100, 0, 1),)
