"""From ways that people take to the contacts that come of it.

Everything is whole seconds and whole centimetres, so that a seed means the same contacts on every machine. A way is a
sequence of legs (t, x, y): be there then; between two legs one moves straight and evenly, after the last one stands.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, TypeAlias

from simulations.extras import extra
from simulations.tables import Between
from simulations.traces import Contact, Places, Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

Metres: TypeAlias = Annotated[int, Between(1, 200_000)]
Seconds: TypeAlias = Annotated[int, Between(1, 3_600)]
Hours: TypeAlias = Annotated[float, Between(0.1, 24 * 60)]
Days: TypeAlias = Annotated[float, Between(0.01, 60)]
Share: TypeAlias = Annotated[float, Between(0, 1)]

METRE: Final = 100
MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 24 * HOUR
ROW_SPEED: Final = 180
DRIVE_SPEED: Final = 700
"""Centimetres a second, as all speeds here: rubble and water are on the roads."""

BLOCK_M: Final = 160
"""From one street to the next that leads anywhere."""
NEVER: Final = 2**40
PLACE_COUNT_MAX: Final = 150_000
"""Of all nodes together, in a trace's `places`: enough for a map, and some megabytes."""


class Spot(NamedTuple):
    """Centimetres east and north, from 0."""

    x: int
    y: int


class Leg(NamedTuple):
    t: int
    x: int
    y: int


class Way:
    """Where one walker is at the end of what he did so far. Each method says the legs that it adds."""

    def __init__(self, at: Spot) -> None:
        self.t = 0
        self.at = at

    def wait(self, seconds: int) -> Iterator[Leg]:
        self.t += max(0, seconds)
        yield Leg(self.t, *self.at)

    def wait_until(self, t: int) -> Iterator[Leg]:
        return self.wait(t - self.t)

    def straight(self, to: Spot, cm_per_s: int) -> Iterator[Leg]:
        length = isqrt((to.x - self.at.x) ** 2 + (to.y - self.at.y) ** 2)
        self.t += max(1, -(-length // cm_per_s))
        self.at = to
        yield Leg(self.t, *to)

    def along_streets(self, to: Spot, cm_per_s: int, chance: random.Random) -> Iterator[Leg]:
        """Streets run east and north: one turn on the way."""
        if self.at.x != to.x and self.at.y != to.y:
            corner = Spot(to.x, self.at.y) if chance.random() < 0.5 else Spot(self.at.x, to.y)
            yield from self.straight(corner, cm_per_s)
        yield from self.straight(to, cm_per_s)


def meetings(
    name: str,
    ways: Sequence[Iterable[Leg]],
    *,
    duration_s: int,
    step_s: int,
    reach_cm: int,
    meta: dict[str, object] | None = None,
) -> Trace:
    """The trace of nodes 0, 1, ... on these ways, looked at every `step_s`: near are those within `reach_cm`.

    A contact lasts from the step that saw it first to the first one that does not. Of each way one leg is held at a
    time. Raises ExtraMissing.
    """
    with extra("numpy", "Drawing contacts"):
        import numpy as np

    nodes = len(ways)
    motion = _Motion(ways)
    codes = since = np.empty(0, np.int64)
    contacts: list[Contact] = []
    every = max(1, -(-duration_s * nodes // (PLACE_COUNT_MAX * step_s))) * step_s
    places: list[bytes] = []
    for now in range(0, duration_s, step_s):
        moved = motion.advance(now)
        if now % every == 0:
            places.append(np.stack([motion.x, motion.y], axis=1).astype("<i4").tobytes())
        if not moved:
            continue
        near = _near(motion.x, motion.y, reach_cm, nodes)
        stays = _found(codes, near)
        contacts += _ended(codes[~stays], since[~stays], now, nodes)
        begins = near[~_found(near, codes)]
        codes = np.concatenate([codes[stays], begins])
        since = np.concatenate([since[stays], np.full(len(begins), now, np.int64)])
        order = np.argsort(codes, kind="stable")
        codes, since = codes[order], since[order]
    contacts += _ended(codes, since, duration_s, nodes)
    contacts.sort(key=lambda contact: (contact.start, contact.a, contact.b))
    return Trace(name, nodes, tuple(contacts), meta or {}, Places(every, nodes, tuple(places)))


def own(chance: random.Random) -> random.Random:
    """One walker's luck, so that one more step of his moves nobody else."""
    return random.Random(chance.getrandbits(64))


def pace(chance: random.Random) -> int:
    """Of one who walks, in centimetres a second."""
    return chance.randint(80, 160)


def beside(chance: random.Random, spot: Spot, metres: int) -> Spot:
    """Some place no further than that from there, east or west and north or south."""
    reach = metres * METRE
    return Spot(
        max(0, spot.x + chance.randint(-reach, reach)),
        max(0, spot.y + chance.randint(-reach, reach)),
    )


def corner(chance: random.Random, side_m: int) -> Spot:
    """A crossing of two streets in a town of that many metres each way."""
    last = side_m // BLOCK_M
    return Spot(*(chance.randint(0, last) * BLOCK_M * METRE for _ in range(2)))


def corner_near(chance: random.Random, at: Spot, metres: int, side_m: int) -> Spot:
    """One no further than that from there; the town's edge throws back, so that people do not pile up on it."""
    last, most = side_m // BLOCK_M, metres // BLOCK_M
    found = []
    for here in at:
        there = abs(here // (BLOCK_M * METRE) + chance.randint(-most, most))
        found.append(max(0, min(there, 2 * last - there)) * BLOCK_M * METRE)
    return Spot(*found)


class _Motion:
    """The leg on which each node is, and with it where it is."""

    def __init__(self, ways: Sequence[Iterable[Leg]]) -> None:
        import numpy as np

        self._ways = [iter(way) for way in ways]
        first = np.array([next(way) for way in self._ways], np.int64).reshape(-1, 3)
        self._from = first.copy()
        self._from[:, 0] = 0
        self._to = self._from.copy()
        self._resting = False
        self.x, self.y = first[:, 1].copy(), first[:, 2].copy()

    def advance(self, now: int) -> bool:
        """Go on to that time. Says whether anybody may have moved since the last call."""
        due = (self._to[:, 0] <= now).nonzero()[0].tolist()
        for node in due:
            before = leg = Leg(*self._to[node].tolist())
            while leg.t <= now:
                before, leg = leg, next(self._ways[node], Leg(NEVER, leg.x, leg.y))
            self._from[node] = before
            self._to[node] = leg
        rested, self._resting = self._resting, bool((self._from[:, 1:] == self._to[:, 1:]).all())
        if rested and self._resting and not due:
            return False
        (begun, x, y), (ends, to_x, to_y) = self._from.T, self._to.T
        self.x = x + (to_x - x) * (now - begun) // (ends - begun)
        self.y = y + (to_y - y) * (now - begun) // (ends - begun)
        return True


def _near(x: Numbers, y: Numbers, reach: int, nodes: int) -> Numbers:
    """a * nodes + b of every pair a < b within reach, sorted; found by squares that are as wide as the reach."""
    import numpy as np

    width = int(x.max()) // reach + 3
    square = (y // reach) * width + x // reach + 1
    order = np.argsort(square, kind="stable")
    square, x, y = square[order], x[order], y[order]
    here = np.arange(nodes)
    found = []
    for first, last in (
        (here + 1, np.searchsorted(square, square + 1, "right")),
        (np.searchsorted(square, square + width - 1, "left"), np.searchsorted(square, square + width + 1, "right")),
    ):
        count = np.maximum(last - first, 0)
        one = np.repeat(here, count)
        other = np.arange(len(one)) + np.repeat(first - (np.cumsum(count) - count), count)
        close = (x[one] - x[other]) ** 2 + (y[one] - y[other]) ** 2 <= reach * reach
        a, b = order[one[close]], order[other[close]]
        found.append(np.minimum(a, b) * nodes + np.maximum(a, b))
    return np.sort(np.concatenate(found))


def _found(wanted: Numbers, among: Numbers) -> NDArray[np.bool_]:
    """For each of `wanted` whether it is `among`, which is sorted."""
    import numpy as np

    if not len(among):
        return np.zeros(len(wanted), np.bool_)
    found: NDArray[np.bool_] = among[np.minimum(np.searchsorted(among, wanted), len(among) - 1)] == wanted
    return found


def _ended(codes: Numbers, since: Numbers, now: int, nodes: int) -> Iterator[Contact]:
    for code, start in zip(codes.tolist(), since.tolist(), strict=True):
        yield Contact(float(start), float(now), code // nodes, code % nodes)
