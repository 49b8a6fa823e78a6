"""What two nodes hold before they meet: N entries by A authors, all of it from one seed.

Authors write by Zipf's law (s = 1), each at least once if there are enough entries; their places in the organisation's
list are random. Of 100 entries 1 is in lane 0, 79 in lane 1, 15 in lane 2 and 5 in lane 3, which is not reconciled and
so never differs here. What differs is either the newest entries (each author's all at one side, by the toss of a coin)
or entries at random places, each at a random side.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from math import lgamma, log
from typing import Literal

from sync.feeds import FeedList
from sync.logs import LogId, LogState
from sync.ranges import Ranges

Where = Literal["newest", "holes"]
Place = tuple[LogId, int]
"""An entry: its log and its seq."""

_LANE_WEIGHTS = (1, 79, 15, 5)
_BULK = 3


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two nodes that had the same, and what each of them has got since then and the other has not."""

    common: tuple[tuple[LogId, LogState, int], ...]
    """With change numbers, which do not fall."""
    upto: int
    """The change number of both, then."""
    apart: tuple[tuple[Place, ...], tuple[Place, ...]]

    @property
    def logs_apart(self) -> int:
        """Of how many logs they have different states."""
        return len({of for side in self.apart for of, _ in side})

    def bound_bytes(self, world: World, where: Where) -> float:
        """The least that any way needs to say what is missing, both directions: bits of the number of possible cases.

        Newest: which logs advanced, and by how much: sum over sides of log2 C(logs, k) + log2 C(d - 1, k - 1).
        Holes: which of all entries are missing: sum over sides of log2 C(entries, d).
        """
        bits = 0.0
        for side in self.apart:
            logs, entries = len({of for of, _ in side}), len(side)
            if where == "holes":
                bits += _bits(world.entries, entries)
            elif entries:
                bits += _bits(world.logs, logs) + _bits(entries - 1, logs - 1)
        return bits / 8


class World:
    """N entries in the order in which they were written."""

    def __init__(self, entries: int, authors: int, seed: int = 1) -> None:
        self.entries = entries
        self.authors = authors
        self._seed = seed
        self._feeds = [sha256(b"feed %d" % number).digest()[:16] for number in range(authors)]
        chance = random.Random(seed)
        weights = list(accumulate(1 / rank for rank in range(1, authors + 1)))
        written = chance.choices(range(authors), cum_weights=weights, k=entries)
        if entries >= authors:
            for author, at in enumerate(chance.sample(range(entries), authors)):
                written[at] = author
        lanes = chance.choices(range(4), _LANE_WEIGHTS, k=entries)
        # Each entry is the number of its log: 4 times the author, and the lane.
        self._entries = array("L", (author << 2 | lane for author, lane in zip(written, lanes, strict=True)))
        self.logs = sum(1 for number in set(self._entries) if number & 3 != _BULK)
        """Those that are reconciled."""
        self._listed = chance.sample(self._feeds, authors)

    def feed_list(self) -> FeedList:
        """The organisation's list, with all authors in it."""
        listed = FeedList()
        listed.grow(self._listed)
        return listed

    def meeting(self, differing: int, where: Where) -> Meeting:
        """Two nodes that differ in so many entries."""
        chance = random.Random(f"{self._seed} {differing} {where}")
        coins = [chance.randrange(2) for _ in range(self.authors)]
        reconciled = [at for at, number in enumerate(self._entries) if number & 3 != _BULK]
        newest = reconciled[len(reconciled) - differing :]
        differs = set(newest if where == "newest" else chance.sample(reconciled, differing))
        tops, changed = [0] * (4 * self.authors), [0] * (4 * self.authors)
        gaps: dict[int, list[int]] = {}
        apart: tuple[list[Place], list[Place]] = ([], [])
        for at, number in enumerate(self._entries):
            seq = tops[number]
            tops[number] = seq + 1
            if at in differs:
                side = coins[number >> 2] if where == "newest" else chance.randrange(2)
                apart[side].append((self._log(number), seq))
                gaps.setdefault(number, []).append(seq)
            else:
                changed[number] = at + 1
        common = sorted((at, number) for number, at in enumerate(changed) if at and number & 3 != _BULK)
        states = ((self._log(number), _without(tops[number], gaps.get(number, ())), at) for at, number in common)
        stated = tuple((of, LogState(settled, tip(of, settled.top - 1)), at) for of, settled, at in states)
        return Meeting(stated, self.entries, (tuple(apart[0]), tuple(apart[1])))

    def before(self, meeting: Meeting) -> Iterator[Place]:
        """What both nodes have, in the order in which it was written."""
        apart = {*meeting.apart[0], *meeting.apart[1]}
        tops = [0] * (4 * self.authors)
        for number in self._entries:
            place = self._log(number), tops[number]
            tops[number] += 1
            if number & 3 != _BULK and place not in apart:
                yield place

    def _log(self, number: int) -> LogId:
        return LogId(self._feeds[number >> 2], number & 3)


def tip(of: LogId, seq: int) -> bytes:
    """Stands for the id of an entry."""
    return sha256(b"%b %d %d" % (of.feed, of.lane, seq)).digest()


def _without(top: int, gaps: Iterable[int]) -> Ranges:
    return Ranges.of((0, top)).minus(Ranges.of(*((seq, seq + 1) for seq in gaps)))


def _bits(of: int, chosen: int) -> float:
    """log2 of the number of ways to choose."""
    return (lgamma(of + 1) - lgamma(chosen + 1) - lgamma(of - chosen + 1)) / log(2)
