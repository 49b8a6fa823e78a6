"""Who leads where: a device's history of meetings, and what it says about large mail for a crowd (trust/crowds.py).

Small and urgent mail is given to everybody. Large mail is given to a peer that is of its crowd, or that leads there
better than we do; its author also gives it to the first few. Chances are those of PRoPHETv2 (Grasic et al., CHANTS
2011), kept by crowd. When the disk is full, that copy goes first which adds least: what a peer that got it will
bring, this one need not (`worth`).

Measured without the product on recorded contacts, 1,000 messages of 100 to 300 kB, stores of 10 MB, one device a
crowd: share of what single foremost journeys deliver, and transmissions for each delivered message: infocom05 1.00 and
18, cambridge-city 0.90 and 19, a flooded district 0.92 and 20; the best published scheme 0.99, 0.85 and 0.57.

A view is what a device tells another one of its chances: `n x (crowd 2 | level 2)`, crowds ascending, level 1 to 65,535
(levels of one byte cost 3 % of the deliveries).

Time is any steady clock in seconds: what passes while the device is off fades nothing.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Mapping
from math import exp
from typing import Final, TypeAlias

from beepmesh.errors import Refused
from beepmesh.trust.crowds import NOBODY, crowd_of, holds, is_crowd, is_in
from sync.logs import LogId

VIEW_CROWDS_MAX: Final = 128
VIEW_BYTES_MAX: Final = 4 * VIEW_CROWDS_MAX
HISTORY_CROWDS_MAX: Final = 256
GIFTS: Final = 8  # Peers that an author gives large mail to although they lead nowhere yet.
COPIES_MAX: Final = 4_096  # Copies of which it is known to whom they were given; of others it is as if to nobody.

_FADE_S: Final = 14 * 86_400.0
_STEP: Final = 0.5  # How far one meeting brings a chance towards certainty,
_APART_S: Final = 1_800.0  # if the two have been apart for so long; else less.
_THROUGH: Final = 0.9  # What a chance through somebody else is worth.
_BELIEVED: Final = 0.9  # Of what a peer says that it leads to: nobody makes a copy worthless by a word.
_LEAST: Final = 1e-6  # Who leads nowhere still keeps what was given to few rather than what was given to many.
_LEVELS: Final = 65_535

_TOLD: Final = struct.Struct(">HH")
_KEPT: Final = struct.Struct(">Hff")

View: TypeAlias = Mapping[int, float]
"""By crowd, the chance to meet one of it, above 0 and up to 1."""
Copy: TypeAlias = tuple[LogId, int]
"""Where an entry stands."""


class Carrying:
    """One device's."""

    def __init__(self, org: bytes, history: bytes = b"") -> None:
        """`history`: what `encode` gave; what cannot be read is forgotten."""
        self._org = org
        self._bits = 0
        self._chances: dict[int, float] = {}
        self._met_at: dict[int, float] = {}
        self._faded_at: float | None = None
        self._given: OrderedDict[Copy, dict[bytes, float]] = OrderedDict()
        for at in range(0, len(history) - len(history) % _KEPT.size, _KEPT.size):
            crowd, chance, ago = _KEPT.unpack_from(history, at)
            if is_crowd(crowd) and 0 < chance <= 1 and ago >= 0 and len(self._chances) < HISTORY_CROWDS_MAX:
                self._chances[crowd], self._met_at[crowd] = chance, -ago

    def encode(self, now: float) -> bytes:
        """What to keep: at most 2,560 B. Meetings of which the time is not known count as long ago."""
        ago = {crowd: max(now - met_at, 0.0) for crowd, met_at in self._met_at.items()}
        return b"".join(_KEPT.pack(crowd, chance, ago.get(crowd, _APART_S)) for crowd, chance in self._chances.items())

    def met(self, device: bytes, bits: int, now: float) -> None:
        """A link to that device has come up. We count by crowds of so many bits (`crowds.bits_for`)."""
        self._bits = bits
        self._fade(now)
        crowd = crowd_of(device, self._bits, self._org)
        apart = now - self._met_at.get(crowd, now - _APART_S)
        chance = self._chances.get(crowd, 0.0)
        self._chances[crowd] = chance + (1 - chance) * _STEP * min(max(apart / _APART_S, 0.0), 1.0) or _LEAST
        self._met_at[crowd] = now
        self._trim()

    def heard(self, device: bytes, view: View) -> None:
        """It told its chances: what it leads to, we lead to through it."""
        through = self._chances.get(crowd_of(device, self._bits, self._org), 0.0) * _THROUGH
        for crowd, chance in view.items():
            if through * chance > max(self._chances.get(crowd, 0.0), _LEAST):
                self._chances[crowd] = through * chance
        self._trim()

    def view(self) -> bytes:
        """What to tell others: the highest chances."""
        highest = sorted(self._chances.items(), key=lambda item: (-item[1], item[0]))[:VIEW_CROWDS_MAX]
        # Never rounded up: who leads there just as well would seem to do better.
        told = sorted((crowd, int(chance * _LEVELS)) for crowd, chance in highest)
        return b"".join(_TOLD.pack(crowd, level) for crowd, level in told if level)

    def chance(self, crowd: int) -> float:
        """How likely we are to meet one of the crowd, or who leads there."""
        return chance_in(self._chances, crowd)

    def gives(self, copy: Copy, crowd: int, device: bytes, view: View, *, own: bool) -> bool:
        """Whether to give that peer a copy. `own`: this device wrote it."""
        given = self._given.get(copy, {})
        led = chance_in(view, crowd)
        near = is_in(device, crowd, self._org)
        if not (near or led > self.chance(crowd) or device in given or (own and len(given) < GIFTS)):
            return False
        if not near:
            self._given.setdefault(copy, {})[device] = led
            self._given.move_to_end(copy)
            if len(self._given) > COPIES_MAX:
                self._given.popitem(last=False)
        return True

    def worth(self, copy: Copy, crowd: int) -> float:
        """What our copy adds to the message's chance, beside those that we gave away."""
        if crowd == NOBODY:
            return 1.0
        left = 1.0
        for led in self._given.get(copy, {}).values():
            left *= 1 - _BELIEVED * led
        return (self.chance(crowd) + _LEAST) * left

    def _fade(self, now: float) -> None:
        if self._faded_at is not None and now > self._faded_at:
            factor = exp((self._faded_at - now) / _FADE_S)
            self._chances = {crowd: chance * factor for crowd, chance in self._chances.items()}
        self._faded_at = now

    def _trim(self) -> None:
        while len(self._chances) > HISTORY_CROWDS_MAX:
            least = min(self._chances, key=lambda crowd: (self._chances[crowd], crowd))
            del self._chances[least]
            self._met_at.pop(least, None)


def chance_in(view: View, crowd: int) -> float:
    """What a view says about a crowd; where it counts by wider or narrower ones, about the likeliest of them."""
    exact = view.get(crowd)
    if exact is not None:
        return exact
    return max((chance for told, chance in view.items() if holds(told, crowd) or holds(crowd, told)), default=0.0)


def read_view(data: bytes) -> dict[int, float]:
    """Raises Refused("view-malformed")."""
    if len(data) > VIEW_BYTES_MAX or len(data) % _TOLD.size:
        raise Refused("view-malformed", f"{len(data)} bytes")
    view: dict[int, float] = {}
    last = 0
    for crowd, level in _TOLD.iter_unpack(data):
        if crowd <= last or not level:
            raise Refused("view-malformed", "order or level")
        view[crowd] = level / _LEVELS
        last = crowd
    return view
