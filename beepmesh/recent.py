"""Entries that were committed a moment ago, kept so that passing them on reads no disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, TypeAlias

from beepmesh.events import ReadEntries
from beepmesh.messages.entry import Entry
from beepmesh.messages.token import Token
from beepmesh.store.contract import ReadResult
from sync.logs import LogId
from sync.ranges import Ranges

RECENT_BYTES_MAX: Final = 2 * 1024 * 1024
Asked: TypeAlias = tuple[LogId, int, int, int, bool]
ENTRY_BYTES: Final = 1_024  # What an entry takes here beside its body, so that empty ones are bounded too.

ANSWERS_MAX: Final = 64  # Links ask for the same ones shortly after each other.


class Recent:
    def __init__(self) -> None:
        self.entries: OrderedDict[tuple[LogId, int], Entry] = OrderedDict()
        self._answers: dict[Asked, ReadResult | None] = {}
        """Since anything changed: what is new is read for one link after the other."""
        self._proved: set[bytes] = set()
        self._bytes = 0

    def read(self, order: ReadEntries) -> ReadResult | None:
        """What the store would answer, the same object until something changes; None where only the store knows."""
        asked = order.log, order.start, order.stop, order.bytes_max, order.with_prev
        if asked not in self._answers:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            self._answers[asked] = self._read(order)
        return self._answers[asked]

    def _read(self, order: ReadEntries) -> ReadResult | None:
        entries: list[Entry] = []
        total = 0
        for seq in range(order.start, order.stop):
            entry = self.entries.get((order.log, seq))
            if entry is None:
                return None
            total += entry.body_bytes
            if entries and total > order.bytes_max:
                break
            entries.append(entry)
        if entries[-1].id not in self._proved:
            return None  # An entry above it, or the token of one, may vouch for it.
        prev = entries[0].prev if order.with_prev and order.start else None
        proved = self._proved.intersection(entry.id for entry in entries)
        return ReadResult(prev, tuple(entries), Ranges(), frozenset(proved))

    def keep(self, entries: Iterable[Entry], proved: frozenset[bytes]) -> None:
        """New ones, and the ids of those whose own signature is good."""
        self._answers.clear()
        for entry in entries:
            place = (entry.log, entry.seq)
            if place not in self.entries:
                self.entries[place] = entry
                self._bytes += ENTRY_BYTES + entry.body_bytes
                if entry.id in proved:
                    self._proved.add(entry.id)
        while self._bytes > RECENT_BYTES_MAX:
            self._drop(self.entries.popitem(last=False)[1])

    def forget(self, tokens: Iterable[Token]) -> None:
        """These were delivered."""
        self._answers.clear()
        for token in tokens:
            entry = self.entries.pop(token.place, None)
            if entry is not None:
                self._drop(entry)

    def mend(self, entries: Iterable[Entry]) -> None:
        """The signatures of these are good, whatever was kept."""
        for entry in entries:
            held = self.entries.get((entry.log, entry.seq))
            if held is not None and held.id == entry.id:
                self._answers.clear()
                self.entries[(entry.log, entry.seq)] = held._replace(signature=entry.signature)
                self._proved.add(entry.id)

    def _drop(self, entry: Entry) -> None:
        self._proved.discard(entry.id)
        self._bytes -= ENTRY_BYTES + entry.body_bytes
