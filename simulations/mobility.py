"""Contacts drawn from a seed: people who walk, drive and row, where the network is gone.

Each class is one kind of ground with its settings; `draw` gives the trace, with places for a map. Node 0 is
headquarters where there is one. Time 0 is midnight where there are days. Who does what stands in `meta["roles"]`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Annotated, Final, Protocol, TypeAlias

from simulations.tables import Between
from simulations.town import Town
from simulations.traces import Trace
from simulations.walking import (
    DAY,
    DRIVE_SPEED,
    HOUR,
    METRE,
    MINUTE,
    ROW_SPEED,
    Days,
    Hours,
    Leg,
    Metres,
    Seconds,
    Share,
    Spot,
    Way,
    beside,
    corner,
    corner_near,
    meetings,
    own,
    pace,
)

Legs = Iterator[Leg]
Some: TypeAlias = Annotated[int, Between(1, 1_000)]
Minutes: TypeAlias = Annotated[int, Between(1, 24 * 60)]


class Ground(Protocol):
    """Settings from which contacts are drawn."""

    def draw(self, chance: random.Random) -> Trace: ...


@dataclass(frozen=True, slots=True)
class Streets:
    """People on a grid of streets without end of the day: a walk nearby, a pause, now and then a ride across town."""

    nodes: Annotated[int, Between(2, 20_000)] = 1_000
    hours: Hours = 3.0
    people_per_km2: Annotated[float, Between(0.1, 100_000)] = 33.0
    reach_m: Metres = 30
    step_s: Seconds = 10
    ride_share: Share = 0.05
    walk_m: Metres = 1_000
    """How far the next place is at most, each way."""
    pause_min: Minutes = 60
    """How long one stays there at most."""

    def draw(self, chance: random.Random) -> Trace:
        side_m = isqrt(int(self.nodes * 1_000_000 / self.people_per_km2))
        ways = [self._walk(own(chance), side_m) for _ in range(self.nodes)]
        meta: dict[str, object] = {"what": "walkers on streets", "side_m": side_m, "reach_m": self.reach_m}
        return meetings(
            "streets",
            ways,
            duration_s=round(self.hours * HOUR),
            step_s=self.step_s,
            reach_cm=self.reach_m * METRE,
            meta=meta,
        )

    def _walk(self, chance: random.Random, side_m: int) -> Legs:
        way = Way(corner(chance, side_m))
        yield from way.wait(0)
        while True:
            yield from way.wait(chance.randint(0, self.pause_min * MINUTE))
            if chance.random() < self.ride_share:
                yield from way.along_streets(corner(chance, side_m), DRIVE_SPEED, chance)
            else:
                to = corner_near(chance, way.at, self.walk_m, side_m)
                yield from way.along_streets(to, pace(chance), chance)


@dataclass(frozen=True, slots=True)
class Flood:
    """Villages that water has cut off from each other and from headquarters. By day boats go round, each its own way,
    and mules - people who carry - wade from their village to the next one, from house to house there, and back."""

    villages: Some = 6
    people: Some = 15
    """In each village."""
    boats: Annotated[int, Between(0, 100)] = 2
    mules: Annotated[int, Between(0, 100)] = 2
    days: Days = 3.0
    reach_m: Metres = 30
    step_s: Seconds = 10
    stop_min: Minutes = 20
    """How long a boat stays at a landing."""

    def draw(self, chance: random.Random) -> Trace:
        square = 1_500 * METRE
        columns = isqrt(self.villages) + 1
        # Headquarters stands in the middle of the first row; villages fill the rows below it.
        headquarters = Spot(columns * square // 2, square // 4)
        landings = [
            Spot(
                (index % columns) * square + chance.randrange(square // 4, square // 2),
                (index // columns + 1) * square + chance.randrange(square // 4, square // 2),
            )
            for index in range(self.villages)
        ]
        ways = [_stay(headquarters)]
        ways += [self._boat(own(chance), headquarters, landings, number) for number in range(self.boats)]
        for index in range(self.villages * self.people):
            village = index // self.people
            carries = index % self.people == 0 and village < self.mules
            yonder = landings[(village + 1) % self.villages]
            ways.append(self._villager(own(chance), landings[village], yonder if carries else None))
        roles = Counter(hq=1, boat=self.boats, mule=min(self.mules, self.villages))
        roles["villager"] = len(ways) - roles.total()
        meta: dict[str, object] = {
            "what": f"{self.villages} villages cut off by water, {self.boats} boats",
            "hq": 0,
            "boats": list(range(1, self.boats + 1)),
            "roles": dict(roles),
            "reach_m": self.reach_m,
        }
        return meetings(
            "flood",
            ways,
            duration_s=round(self.days * DAY),
            step_s=self.step_s,
            reach_cm=self.reach_m * METRE,
            meta=meta,
        )

    def _boat(self, chance: random.Random, home: Spot, landings: list[Spot], number: int) -> Legs:
        """One round after the other from six in the morning; none that would begin after three in the afternoon."""
        way = Way(home)
        yield from way.wait(0)
        while True:
            round_ = landings[number::2] + landings[1 - number % 2 :: 2] if self.boats > 1 else list(landings)
            if chance.random() < 0.5:
                round_.reverse()
            if way.t % DAY > 15 * HOUR:
                yield from way.wait_until((way.t // DAY + 1) * DAY)
            if way.t % DAY < 6 * HOUR:
                yield from way.wait_until(way.t // DAY * DAY + 6 * HOUR + chance.randint(0, 30 * MINUTE))
            for landing in round_:
                yield from way.straight(beside(chance, landing, 15), ROW_SPEED)
                yield from way.wait(self.stop_min * MINUTE)
            yield from way.straight(home, ROW_SPEED)
            yield from way.wait(chance.randint(20, 60) * MINUTE)

    def _villager(self, chance: random.Random, village: Spot, yonder: Spot | None) -> Legs:
        """Home by night; by day between the houses and the landing. A mule is away from noon on."""
        home = beside(chance, village, 150)
        way = Way(home)
        yield from way.wait(0)
        while True:
            day = way.t // DAY * DAY
            yield from way.wait_until(day + 6 * HOUR + chance.randint(0, 2 * HOUR))
            while way.t < day + 19 * HOUR:
                if yonder is not None and day + 12 * HOUR < way.t < day + 15 * HOUR:
                    for _ in range(4):
                        yield from way.straight(beside(chance, yonder, 100), ROW_SPEED // 3)
                        yield from way.wait(chance.randint(5, 20) * MINUTE)
                    yield from way.straight(home, ROW_SPEED // 3)
                    continue
                to = beside(chance, village, 20 if chance.random() < 0.2 else 150)
                yield from way.straight(to, pace(chance))
                yield from way.wait(chance.randint(2, 50) * MINUTE)
            yield from way.straight(home, pace(chance))
            yield from way.wait_until(day + DAY)


@dataclass(frozen=True, slots=True)
class Conference:
    """People who share a house for some days: talks in rooms at the same time, breaks and lunch in one hall."""

    people: Annotated[int, Between(2, 5_000)] = 60
    rooms: Some = 3
    days: Days = 3.0
    reach_m: Metres = 8
    step_s: Seconds = 20

    def draw(self, chance: random.Random) -> Trace:
        ways = [self._visitor(own(chance), own(chance)) for _ in range(self.people)]
        meta: dict[str, object] = {"what": f"a conference in {self.rooms} rooms", "reach_m": self.reach_m}
        return meetings(
            "conference",
            ways,
            duration_s=round(self.days * DAY),
            step_s=self.step_s,
            reach_cm=self.reach_m * METRE,
            meta=meta,
        )

    def _visitor(self, chance: random.Random, bed: random.Random) -> Legs:
        """The day begins at nine: four blocks of 90 minutes, breaks of 30 between them, lunch of 90, and an evening."""
        home = Spot(bed.randrange(400 * METRE), (100 + bed.randrange(400)) * METRE)
        way = Way(home)
        yield from way.wait(0)
        while True:
            day = way.t // DAY * DAY
            yield from way.wait_until(day + 8 * HOUR + chance.randint(0, 90) * MINUTE)
            for begins, talk in ((9, True), (10.5, False), (11, True), (12.5, False), (14, True), (15.5, False)):
                yield from self._block(way, chance, day + round(begins * HOUR), talk)
            yield from self._block(way, chance, day + 16 * HOUR, talk=True)
            if chance.random() < 0.6:
                yield from self._mingle(way, chance, day + chance.randint(18, 22) * HOUR)
            yield from way.straight(home, pace(chance))
            yield from way.wait_until(day + DAY)

    def _block(self, way: Way, chance: random.Random, begins: int, talk: bool) -> Legs:
        """Up to an hour and a half; some skip a talk and stay in the hall."""
        minutes = 90 if talk or begins % DAY == round(12.5 * HOUR) else 30
        if not talk or chance.random() < 0.15:
            yield from self._mingle(way, chance, begins + minutes * MINUTE)
            return
        room = chance.randrange(self.rooms)
        seat = Spot((room * 40 + chance.randrange(12)) * METRE, (60 + chance.randrange(20)) * METRE)
        yield from way.straight(seat, pace(chance))
        yield from way.wait_until(begins + minutes * MINUTE - chance.randint(0, 300))

    def _mingle(self, way: Way, chance: random.Random, until: int) -> Legs:
        """From one group of people in the hall to the next."""
        while way.t < until:
            group = chance.randrange(10)
            spot = Spot((group % 5 * 12 + 4) * METRE, (group // 5 * 20 + 10) * METRE)
            yield from way.straight(beside(chance, spot, 3), pace(chance))
            yield from way.wait(chance.randint(30, 900))


@dataclass(frozen=True, slots=True)
class Convoy:
    """Lorries in a line on one long road, from end to end and back, past posts where people wait for them."""

    lorries: Some = 12
    posts: Annotated[int, Between(2, 100)] = 4
    people: Some = 3
    """At each post; node 0 is one of the first."""
    road_km: Annotated[int, Between(1, 1_000)] = 30
    hours: Hours = 24.0
    reach_m: Metres = 100
    step_s: Seconds = 5

    def draw(self, chance: random.Random) -> Trace:
        road = self.road_km * 1_000 * METRE
        stops = [Spot(road * post // max(1, self.posts - 1), 200 * METRE) for post in range(self.posts)]
        ways = [_pottering(own(chance), stops[index // self.people]) for index in range(self.posts * self.people)]
        # All lorries wait at the same places for the same time, so that they stay one convoy.
        ways += [self._lorry(own(chance), stops, number) for number in range(self.lorries)]
        meta: dict[str, object] = {
            "what": "a convoy between posts",
            "hq": 0,
            "roles": {"post": self.posts * self.people, "lorry": self.lorries},
            "reach_m": self.reach_m,
        }
        return meetings(
            "convoy",
            ways,
            duration_s=round(self.hours * HOUR),
            step_s=self.step_s,
            reach_cm=self.reach_m * METRE,
            meta=meta,
        )

    def _lorry(self, chance: random.Random, stops: list[Spot], number: int) -> Legs:
        gap = number * 70 * METRE
        way = Way(Spot(stops[0].x + gap, stops[0].y))
        yield from way.wait(0)
        leave = 0
        while True:
            for there in (*stops[1:], *reversed(stops[:-1])):
                leave += 30 * MINUTE
                yield from way.wait_until(leave + number * 12)
                # In pieces, each a little faster or slower: lorries fall behind and catch up.
                begin, pieces = way.at.x, 10
                for piece in range(1, pieces + 1):
                    x = begin + (there.x + gap - begin) * piece // pieces
                    yield from way.straight(Spot(x, there.y), DRIVE_SPEED + chance.randint(-150, 150))
                leave += abs(there.x + gap - begin) // (DRIVE_SPEED - 150)


GROUNDS: Final[Mapping[str, type[Ground]]] = {
    "streets": Streets,
    "town": Town,
    "flood": Flood,
    "conference": Conference,
    "convoy": Convoy,
}


def _stay(spot: Spot) -> Legs:
    yield Leg(0, *spot)


def _pottering(chance: random.Random, post: Spot) -> Legs:
    """All day a few steps around one place."""
    way = Way(beside(chance, post, 40))
    yield from way.wait(0)
    while True:
        yield from way.wait(chance.randint(5, 60) * MINUTE)
        yield from way.straight(beside(chance, post, 60), pace(chance))
