"""A town after an earthquake: most live in camps, some at home; teams dig, medics go out, lorries bring water.

Every role has its day. They meet where the town still works: camps, clinics, water points, depots, headquarters.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from simulations.tables import Between
from simulations.traces import Trace
from simulations.walking import (
    DAY,
    DRIVE_SPEED,
    HOUR,
    METRE,
    MINUTE,
    Days,
    Leg,
    Metres,
    Seconds,
    Share,
    Spot,
    Way,
    beside,
    corner,
    meetings,
    own,
    pace,
)

Some: TypeAlias = Annotated[int, Between(1, 1_000)]
Role = Literal["hq", "medic", "rescue", "logistics", "official", "injured", "resident"]

SHARES: Final[Sequence[tuple[Role, float]]] = (
    ("medic", 0.10),
    ("rescue", 0.12),
    ("logistics", 0.09),
    ("official", 0.07),
    ("injured", 0.08),
)
"""Of all people; the rest are residents."""
TEAM: Final = 5
"""People of a rescue team, who go everywhere together."""


@dataclass(frozen=True, slots=True)
class Town:
    """Node 0 is headquarters, in the middle."""

    people: Annotated[int, Between(2, 20_000)] = 300
    side_m: Metres = 3_000
    days: Days = 1.5
    camps: Some = 5
    clinics: Some = 3
    water_points: Some = 6
    depots: Some = 2
    sites: Some = 10
    """Where houses fell and people dig."""
    camp_share: Share = 0.6
    """Of the residents: the others sleep at home."""
    reach_m: Metres = 30
    step_s: Seconds = 10

    def draw(self, chance: random.Random) -> Trace:
        roles: list[Role] = ["hq"]
        for role, share in SHARES:
            roles.extend(role for _ in range(round(share * self.people)))
        while len(roles) < self.people:
            roles.append("resident")
        places = _Places(own(chance), self)
        teams = [chance.getrandbits(64) for _ in range(self.people)]
        ways = []
        for node, role in enumerate(roles):
            # A team has one luck, and so one way; its members stand a few steps from each other.
            luck = random.Random(teams[node // TEAM]) if role == "rescue" else own(chance)
            ways.append(_DAYS[role](places, luck, own(chance)))
        meta: dict[str, object] = {
            "what": "a town after an earthquake",
            "hq": 0,
            "roles": dict(Counter(roles)),
            "side_m": self.side_m,
            "reach_m": self.reach_m,
        }
        return meetings(
            "town",
            ways,
            duration_s=round(self.days * DAY),
            step_s=self.step_s,
            reach_cm=self.reach_m * METRE,
            meta=meta,
        )


class _Places:
    """Where things are, and how people get from one to another."""

    def __init__(self, chance: random.Random, town: Town) -> None:
        def some(count: int) -> list[Spot]:
            return [corner(chance, town.side_m) for _ in range(count)]

        self.town = town
        self.headquarters = Spot(town.side_m * METRE // 2, town.side_m * METRE // 2)
        self.camps = some(town.camps)
        self.clinics = some(town.clinics)
        self.water = some(town.water_points)
        self.depots = some(town.depots)
        self.sites = some(town.sites)

    def anywhere(self, chance: random.Random) -> Spot:
        return corner(chance, self.town.side_m)


def _headquarters(places: _Places, _: random.Random, __: random.Random) -> Iterator[Leg]:
    yield Leg(0, *places.headquarters)


def _resident(places: _Places, chance: random.Random, _: random.Random) -> Iterator[Leg]:
    """Fetches water, queues, looks after the house and the neighbours, and otherwise sits before the tent."""
    in_camp = chance.random() < places.town.camp_share
    home = beside(chance, chance.choice(places.camps), 120) if in_camp else places.anywhere(chance)
    water = min(places.water, key=lambda spot: abs(spot.x - home.x) + abs(spot.y - home.y))
    house = places.anywhere(chance) if in_camp else home
    way = Way(home)
    yield from way.wait(0)
    while True:
        day = way.t // DAY * DAY
        yield from way.wait_until(day + 6 * HOUR + chance.randint(0, 2 * HOUR))
        while way.t < day + 20 * HOUR:
            to = chance.choices([water, chance.choice(places.clinics), house, places.anywhere(chance)], [6, 1, 2, 1])[0]
            yield from way.along_streets(beside(chance, to, 15), pace(chance), chance)
            yield from way.wait(chance.randint(5, 40) * MINUTE)
            yield from way.along_streets(home, pace(chance), chance)
            until = way.t + chance.randint(30, 150) * MINUTE
            while way.t < until:
                yield from way.straight(beside(chance, home, 40), pace(chance))
                yield from way.wait(chance.randint(2, 30) * MINUTE)
        yield from way.straight(home, pace(chance))
        yield from way.wait_until(day + DAY)


def _injured(places: _Places, chance: random.Random, _: random.Random) -> Iterator[Leg]:
    """Comes to a clinic during the first hours and lies there."""
    way = Way(chance.choice(places.sites))
    yield from way.wait(chance.randint(0, 6 * HOUR) if chance.random() < 0.5 else 0)
    yield from way.along_streets(beside(chance, chance.choice(places.clinics), 40), pace(chance) // 2, chance)


def _medic(places: _Places, chance: random.Random, _: random.Random) -> Iterator[Leg]:
    """Half the time in the clinic, half at the camps and sites; tells headquarters once a day."""
    clinic = chance.choice(places.clinics)
    errands = [*places.camps, *places.sites]
    yield from _outings(places, chance, clinic, errands, out=(20, 90), back=(20, 120), speed=DRIVE_SPEED // 2)


def _official(places: _Places, chance: random.Random, _: random.Random) -> Iterator[Leg]:
    """Between headquarters and everything else."""
    errands = [*places.camps, *places.clinics, *places.depots, *places.water]
    yield from _outings(places, chance, places.headquarters, errands, out=(20, 60), back=(30, 120), speed=DRIVE_SPEED)


def _lorry(places: _Places, chance: random.Random, _: random.Random) -> Iterator[Leg]:
    """From a depot to whoever needs water, food and blankets."""
    depot = chance.choice(places.depots)
    errands = [*places.camps, *places.camps, *places.water, *places.clinics, places.headquarters]
    yield from _outings(places, chance, depot, errands, out=(10, 40), back=(15, 60), speed=DRIVE_SPEED)


def _rescuer(places: _Places, chance: random.Random, self: random.Random) -> Iterator[Leg]:
    """Digs for hours, sleeps by headquarters. `chance` is the team's."""
    apart = Spot(self.randrange(20 * METRE), self.randrange(20 * METRE))
    errands = [Spot(spot.x + apart.x, spot.y + apart.y) for spot in places.sites]
    base = beside(chance, places.headquarters, 100)
    base = Spot(base.x + apart.x, base.y + apart.y)
    yield from _outings(places, chance, base, errands, out=(60, 240), back=(30, 90), speed=DRIVE_SPEED // 2)


def _outings(
    places: _Places,
    chance: random.Random,
    base: Spot,
    errands: Sequence[Spot],
    *,
    out: tuple[int, int],
    back: tuple[int, int],
    speed: int,
) -> Iterator[Leg]:
    """By day out and back, minutes each; by night at the base. Each day ends at headquarters for half an hour."""
    way = Way(base)
    yield from way.wait(0)
    while True:
        day = way.t // DAY * DAY
        yield from way.wait_until(day + 6 * HOUR + chance.randint(0, HOUR))
        while way.t < day + 19 * HOUR:
            yield from way.along_streets(beside(chance, chance.choice(errands), 10), speed, chance)
            yield from way.wait(chance.randint(*out) * MINUTE)
            yield from way.along_streets(base, speed, chance)
            yield from way.wait(chance.randint(*back) * MINUTE)
        yield from way.along_streets(places.headquarters, speed, chance)
        yield from way.wait(30 * MINUTE)
        yield from way.along_streets(base, speed, chance)
        yield from way.wait_until(day + DAY)


_DAYS: Final = {
    "hq": _headquarters,
    "resident": _resident,
    "injured": _injured,
    "medic": _medic,
    "official": _official,
    "logistics": _lorry,
    "rescue": _rescuer,
}
