"""Grounds are what their names promise, and one seed means the same contacts everywhere."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import get_args, get_type_hints

import pytest

from simulations.bound import flood
from simulations.mobility import GROUNDS, Conference, Convoy, Flood, Ground, Streets
from simulations.town import Town
from simulations.traces import Trace, statistics
from simulations.workload import EVERYBODY, Message

SMALL: dict[str, Ground] = {
    "streets": Streets(nodes=40, hours=1),
    "town": Town(people=60, days=0.5, step_s=30),
    "flood": Flood(villages=3, people=4, days=0.7, step_s=30),
    "conference": Conference(people=12, days=0.5, step_s=60),
    "convoy": Convoy(hours=4),
}


def digest(trace: Trace) -> str:
    return sha256(repr(trace.contacts).encode()).hexdigest()[:16]


def reached(trace: Trace, src: int) -> set[int]:
    """By a message to everybody that is written at the beginning."""
    return {src, *(node for _, node in flood(trace, [Message(0, 0.0, src, EVERYBODY, 1, 1e9, 1)]))}


def test_every_ground_is_tried_here() -> None:
    assert {name: type(ground) for name, ground in SMALL.items()} == dict(GROUNDS)


# Marks of scenarios were measured on these contacts: where they change, the marks are to be measured again.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("streets", "2f8e0d98536fa161"),
        ("town", "790fcdcb8996d99b"),
        ("flood", "04c19e5e63352b6b"),
        ("conference", "a535c4d3abb32f92"),
        ("convoy", "8b1044185d69f0cf"),
    ],
)
def test_a_seed_means_the_same_contacts_on_every_machine(name: str, expected: str) -> None:
    trace = SMALL[name].draw(random.Random(1))
    assert digest(trace) == expected
    assert trace.contacts != SMALL[name].draw(random.Random(2)).contacts
    assert list(trace.contacts) == sorted(trace.contacts, key=lambda c: (c.start, c.a, c.b))
    assert all(contact.a < contact.b < trace.nodes for contact in trace.contacts)


def test_without_boats_and_mules_water_keeps_villages_apart() -> None:
    ground = Flood(villages=4, people=5, boats=0, mules=0, days=1, step_s=60)
    trace = ground.draw(random.Random(1))
    assert trace.nodes == 21
    assert reached(trace, 0) == {0}
    for village in range(4):
        assert reached(trace, 1 + village * 5) <= set(range(1 + village * 5, 6 + village * 5))


def test_boats_alone_bring_everything_everywhere() -> None:
    trace = Flood(villages=4, people=5, boats=2, mules=0, days=2, step_s=60).draw(random.Random(1))
    assert {pair for pair in ((c.a, c.b) for c in trace.contacts) if pair[0] == 0} == {(0, 1), (0, 2)}
    assert reached(trace, 5) == set(range(trace.nodes))


def test_mules_reach_the_next_village_and_headquarters_is_left_to_boats() -> None:
    trace = Flood(villages=4, people=5, boats=0, mules=1, days=2, step_s=60).draw(random.Random(1))
    assert reached(trace, 2) - set(range(1, 6))
    assert reached(trace, 2) <= set(range(1, 11))


def test_a_town_has_its_roles_and_everybody_can_be_reached() -> None:
    trace = Town(people=100, days=1, step_s=60).draw(random.Random(1))
    roles = trace.meta["roles"]
    assert roles == {"hq": 1, "medic": 10, "rescue": 12, "logistics": 9, "official": 7, "injured": 8, "resident": 53}
    assert reached(trace, 0) == set(range(100))
    assert trace.places is not None
    assert {trace.places.at(step)[0] for step in range(len(trace.places.steps))} == {(1_500, 1_500)}


def test_a_conference_is_met_in_its_house_and_not_in_bed() -> None:
    trace = Conference(people=30, days=1).draw(random.Random(1))
    asleep = [contact for contact in trace.contacts if contact.start < 7 * 3_600]
    assert len(asleep) < len(trace.contacts) / 20
    assert statistics(trace).pair_share > 0.95


def test_a_convoy_stays_one_and_carries_from_post_to_post() -> None:
    trace = Convoy(lorries=5, posts=3, people=2, hours=12).draw(random.Random(1))
    assert trace.nodes == 11
    assert not any(contact.a // 2 != contact.b // 2 for contact in trace.contacts if contact.b < 6)
    assert reached(trace, 0) == set(range(11))


@pytest.mark.parametrize(
    ("ground", "per_node_day", "median_s"),
    [
        (Town(days=1), (150, 500), (30, 200)),
        (Streets(nodes=200, hours=2), (150, 600), (10, 120)),
    ],
)
def test_contacts_are_as_many_and_as_long_as_in_recorded_traces(
    ground: Ground, per_node_day: tuple[int, int], median_s: tuple[int, int]
) -> None:
    found = statistics(ground.draw(random.Random(1)))
    assert per_node_day[0] < found.contacts_per_node_day < per_node_day[1]
    assert median_s[0] <= found.contact_median_s < median_s[1]


@pytest.mark.parametrize("name", list(GROUNDS))
def test_the_least_that_each_setting_may_be_is_enough(name: str) -> None:
    least = {}
    for setting, kind in get_type_hints(GROUNDS[name], include_extras=True).items():
        number, between = get_args(kind)
        least[setting] = number(between.low)
    trace = GROUNDS[name](**least).draw(random.Random(1))
    assert trace.nodes >= 1
    assert trace.duration <= 60 * 60
