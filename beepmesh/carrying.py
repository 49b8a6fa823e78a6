"""Who leads where: a device's history of meetings, and what it says about mail for a crowd (trust/crowds.py).

What calls for help and what is for several devices is given to everybody. Other mail is given to a peer that is of its
crowd, or that leads there better than we do; else it is a *gift*. Its author may give a few at once, for some stranger
may know the reader. Small mail earns every holder another gift with each GIFT_MEETINGS meetings that pass, so what the
rule does not find spreads, the sooner the more people meet; and while we know nothing of its crowd, all are given it.

Chances are those of PRoPHETv2 (Grasic et al., CHANTS 2011), kept by crowd. When the disk is full, that copy of large
mail goes first which adds least: what a peer that got it will bring, this one need not (`worth`).

Measured without the product on recorded contacts, crowds of about three in teams of six: share of what single foremost
journeys deliver and transmissions for each delivered message. 1,000 texts, beside epidemic with acknowledgements:
infocom05 1.00 and 19 (23), cambridge-city 0.99 and 26 (31), a flooded district 1.00 and 37 (62), ws16 0.99 and 55
(81), primary-school 0.98 and 139 (164). 1,000 of 100 to 300 kB, stores of 10 MB: infocom05 1.00 and 19, cambridge-city
0.88 and 23, the district 0.79 and 24; the best published scheme 0.99, 0.85 and 0.57.

A device may boast. With a tenth of all telling that they lead everywhere and handing nothing on, texts lost 0.003 of
their deliveries at infocom05 and in the district and 0.01 at cambridge-city, hardly more than if they only handed
nothing on: what they attract is given to others too, and gifts need nobody's word.

A view is what a device tells another one of its chances: `n x (crowd 2 | level 2)`, crowds ascending, level 1 to 65,535
(levels of one byte cost 3 % of the deliveries).

Time is any steady clock in seconds: what passes while the device is off fades nothing.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from math import exp
from operator import itemgetter
from typing import Final, TypeAlias

from beepmesh.errors import Refused
from beepmesh.trust.crowds import NOBODY, is_crowd
from sync.logs import LogId

VIEW_CROWDS_MAX: Final = 128
VIEW_BYTES_MAX: Final = 4 * VIEW_CROWDS_MAX
HISTORY_CROWDS_MAX: Final = 256
GIFTS: Final = 8  # That an author gives at once.
GIFT_MEETINGS: Final = 16  # 40 loses 0.01 at a school, 10 costs half as much again in the district.
COPIES_MAX: Final = 8_192  # Copies of which it is known to whom they were given; of others it is as if to nobody.

_LITTLE: Final = 0.02  # With less of a chance than this we are no judge of where small mail leads.
_FADE_S: Final = 14 * 86_400.0
_FADED_EACH_S: Final = 600.0  # In between no chance loses more than 0.0005 of itself.
_STEP: Final = 0.5  # How far one meeting brings a chance towards certainty,
_APART_S: Final = 1_800.0  # if the two have been apart for so long; else less.
_THROUGH: Final = 0.9  # What a chance through somebody else is worth.
_BELIEVED: Final = 0.9  # Of what a peer says that it leads to: nobody makes a copy worthless by a word.
_LEAST: Final = 1e-6  # Who leads nowhere still keeps what was given to few rather than what was given to many.
_LEVELS: Final = 65_535

_TOLD: Final = struct.Struct(">HH")
_KEPT: Final = struct.Struct(">Hff")
_CHANCE: Final = itemgetter(1)

Copy: TypeAlias = tuple[LogId, int]
"""Where an entry stands."""


class View:
    """By crowd, the chance to meet one of it, above 0 and up to 1. Never changed."""

    __slots__ = ("_chances", "_crowds", "told")

    def __init__(self, told: Mapping[int, float]) -> None:
        self.told = told
        self._crowds: list[int] = []
        """Ascending; made when it is first asked for, as what follows is, crowd by crowd."""
        self._chances: dict[int, float] = {}

    def chance(self, crowd: int) -> float:
        """For a crowd: that of the likeliest part of it, or of the next wider one where its parts are not known."""
        chance = self._chances.get(crowd)
        if chance is None:
            chance = self._chances[crowd] = self._likeliest(crowd)
        return chance

    def _likeliest(self, crowd: int) -> float:
        if not self._crowds:
            self._crowds = sorted(self.told)
        chance = max((self.told[part] for part in self._parts(crowd)), default=0.0)
        while not chance and crowd:
            crowd >>= 1  # The wider one that holds it.
            chance = self.told.get(crowd, 0.0)
        return chance

    def _parts(self, crowd: int) -> Iterator[int]:
        """Those of which something is told: with so many bits more they stand next to each other."""
        crowds = self._crowds
        for more in range(crowds[-1].bit_length() - crowd.bit_length() + 1 if crowds else 0):
            first, beyond = crowd << more, crowd + 1 << more
            at = bisect_left(crowds, first)
            while at < len(crowds) and crowds[at] < beyond:
                yield crowds[at]
                at += 1


@dataclass(slots=True)
class _Copy:
    """What is known of one copy here."""

    since: int
    """How many meetings there had been when it was first looked at."""
    gifts: int = 0
    given: dict[bytes, float] = field(default_factory=dict)
    """By device, how well it said that it leads there."""


class Carrying:
    """One device's."""

    def __init__(self, history: bytes = b"") -> None:
        """`history`: what `encode` gave; what cannot be read is forgotten."""
        self._chances: dict[int, float] = {}
        self._met_at: dict[int, float] = {}
        self._view: View | None = None
        self._meetings = 0
        self._faded_at: float | None = None
        self._copies: OrderedDict[Copy, _Copy] = OrderedDict()
        for at in range(0, len(history) - len(history) % _KEPT.size, _KEPT.size):
            crowd, chance, ago = _KEPT.unpack_from(history, at)
            if is_crowd(crowd) and 0 < chance <= 1 and ago >= 0 and len(self._chances) < HISTORY_CROWDS_MAX:
                self._chances[crowd], self._met_at[crowd] = chance, -ago

    def encode(self, now: float) -> bytes:
        """What to keep: at most 2,560 B. Meetings of which the time is not known count as long ago."""
        ago = {crowd: max(now - met_at, 0.0) for crowd, met_at in self._met_at.items()}
        return b"".join(_KEPT.pack(crowd, chance, ago.get(crowd, _APART_S)) for crowd, chance in self._chances.items())

    def met(self, crowd: int, now: float) -> None:
        """A link to one of that crowd has come up."""
        self._meetings += 1
        self._fade(now)
        apart = now - self._met_at.get(crowd, now - _APART_S)
        chance = self._chances.get(crowd, 0.0)
        self._chances[crowd] = chance + (1 - chance) * _STEP * min(max(apart / _APART_S, 0.0), 1.0) or _LEAST
        self._met_at[crowd] = now
        self._trim()

    def heard(self, crowd: int, view: View) -> None:
        """One of that crowd told its chances: what it leads to, we lead to through it."""
        through = self._chances.get(crowd, 0.0) * _THROUGH
        chances = self._chances
        for known, chance in view.told.items():
            brought = through * chance
            if brought > _LEAST and brought > chances.get(known, 0.0):
                chances[known] = brought
        self._trim()

    @property
    def view(self) -> View:
        """Our own chances."""
        if self._view is None:
            self._view = View(dict(self._chances))
        return self._view

    def gives(self, copy: Copy, crowd: int, device: bytes, view: View | None, *, own: bool, large: bool) -> bool | None:
        """Whether to give a copy to a peer outside its crowd; None: that depends on its view. `own`: this device wrote
        it. Meetings are counted for a copy from when we are first asked about it."""
        known = self._known(copy)
        ours = self.view.chance(crowd)
        if device in known.given or (ours < _LITTLE and not large):
            return True
        if view is None:
            return None
        if view.chance(crowd) > ours:
            return True
        earned = 0 if large else (self._meetings - known.since) // GIFT_MEETINGS
        return known.gifts < earned + (GIFTS if own else 0)

    def gave(self, copy: Copy, crowd: int, device: bytes, view: View) -> None:
        """It has taken a copy, and is not of its crowd."""
        known, led = self._known(copy), view.chance(crowd)
        known.gifts += device not in known.given and led <= self.view.chance(crowd)
        known.given[device] = led

    def worth(self, copy: Copy, crowd: int) -> float:
        """What our copy adds to the message's chance, beside those that we gave away."""
        if crowd == NOBODY:
            return 1.0
        left = 1.0
        known = self._copies.get(copy)
        for led in known.given.values() if known else ():
            left *= 1 - _BELIEVED * led
        return (self.view.chance(crowd) + _LEAST) * left

    def _known(self, copy: Copy) -> _Copy:
        known = self._copies.get(copy)
        if known is None:
            known = self._copies[copy] = _Copy(self._meetings)
            if len(self._copies) > COPIES_MAX:
                self._copies.popitem(last=False)
        return known

    def _fade(self, now: float) -> None:
        if self._faded_at is None:
            self._faded_at = now
        elif now >= self._faded_at + _FADED_EACH_S:
            factor = exp((self._faded_at - now) / _FADE_S)
            self._chances = {crowd: chance * factor for crowd, chance in self._chances.items()}
            self._faded_at = now

    def _trim(self) -> None:
        self._view = None
        if (excess := len(self._chances) - HISTORY_CROWDS_MAX) > 0:
            for crowd, _ in nsmallest(excess, self._chances.items(), key=_CHANCE):
                del self._chances[crowd]
                self._met_at.pop(crowd, None)


def pack_view(view: View) -> bytes:
    """What to tell others: the highest chances."""
    told = view.told
    if len(told) > VIEW_CROWDS_MAX:
        told = dict(sorted(told.items(), key=_CHANCE, reverse=True)[:VIEW_CROWDS_MAX])
    flat: list[int] = []
    for crowd in sorted(told):
        # Never rounded up: who leads there just as well would seem to do better.
        if level := int(told[crowd] * _LEVELS):
            flat += (crowd, level)
    return struct.pack(f">{len(flat)}H", *flat)


def read_view(data: bytes) -> View:
    """Raises Refused("view-malformed")."""
    if len(data) > VIEW_BYTES_MAX or len(data) % _TOLD.size:
        raise Refused("view-malformed", f"{len(data)} bytes")
    told: dict[int, float] = {}
    last = 0
    for crowd, level in _TOLD.iter_unpack(data):
        if crowd <= last or not level:
            raise Refused("view-malformed", "order or level")
        told[crowd] = level / _LEVELS
        last = crowd
    return View(told)
