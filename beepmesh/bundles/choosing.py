"""What goes into a bundle, and in which order. Reads a store, writes nothing.

Order: the control entries of all devices, for nothing can be judged without them; what is urgent; tokens; then lane 1
and lane 2, those logs first that somebody wrote to last. Within a log the old comes before the new, as on a link; where
not everything fits, the newest WINDOW entries come first, and so on down. Bulk (lane 3) is given to nobody unasked.

For named devices lanes 1 and 2 are sifted: a run goes along if one of its entries may be for one of them. Nobody knows
more of whom mail is for than its crowd (trust/crowds.py), so mail for their neighbours may be in it, and for several.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from typing import Final

from beepmesh.bundles.records import Run
from beepmesh.events import ReadEntries
from beepmesh.giving import Giving
from beepmesh.messages.entry import NO_PREV
from beepmesh.store.contract import Store
from beepmesh.trust.crowds import NOBODY
from beepmesh.trust.roster import Roster
from sync.limits import RUN_ENTRIES_MAX
from sync.logs import LogId, LogState, reconciled
from sync.ranges import Span

WINDOW: Final = 64
READ_BYTES: Final = 262_144  # A span is read in pieces of this size.

Wanted = Callable[[LogId, int, int], bool]
"""Whether one of the entries of that span may be for those whom the bundle is for."""


def wanted_by(devices: Collection[bytes], store: Store, roster: Roster) -> Wanted:
    """For these devices (16 B); for everybody where there are none."""
    crowds = roster.crowds()

    def wanted(log: LogId, start: int, stop: int) -> bool:
        if not devices or log.lane == 0:
            return True
        named = store.crowds(log, start, stop)
        return any(
            crowd == NOBODY or any(crowds.has(crowd, device) for device in devices)
            for crowd in (named.get(seq, NOBODY) for seq in range(start, stop))
        )

    return wanted


def runs_of(store: Store, roster: Roster, wanted: Wanted, *, all_fits: bool) -> Iterator[Run]:
    """All that this node may hand on, what matters most first."""
    giving = Giving(roster)
    for log, state in in_order(store, roster):
        if all_fits or log.lane == 0:
            spans: Iterable[Span] = state.settled.spans
        else:
            spans = _windows(store, giving, log, state)
        for start, stop in spans:
            yield from _runs(store, giving, log, start, stop, wanted)


def in_order(store: Store, roster: Roster) -> list[tuple[LogId, LogState]]:
    """The logs of which anything may be told."""

    def rank(item: tuple[LogId, LogState]) -> tuple[int, int, bytes]:
        log, state = item
        if log.lane:
            newest = store.entry(log, state.settled.top - 1)
            return 2 + log.lane, 0 if newest is None else -newest.time_ms, log.feed
        if roster.device(log.feed) is not None:
            return 0, 0, log.feed
        return (1 if roster.vouches(log.feed) else 2), 0, log.feed

    return sorted(((log, state) for log, state in store.states().items() if reconciled(log)), key=rank)


def _windows(store: Store, giving: Giving, log: LogId, state: LogState) -> Iterator[Span]:
    """From the newest down. Below each edge stands a proved entry: the windows below it need nothing of it."""
    for start, stop in reversed(state.settled.spans):
        while stop - start > WINDOW:
            begin, edge = stop - WINDOW - RUN_ENTRIES_MAX, stop - WINDOW
            if begin >= start:
                read = store.read(log, begin, edge, bytes_max=READ_BYTES, with_prev=False)
                ends = giving.runs(ReadEntries(0, log, begin, edge + 1, READ_BYTES, with_prev=False), read)[0].ends
                edge = begin + ends[-1] if ends else edge
            yield edge, stop
            stop = edge
        yield start, stop


def _runs(store: Store, giving: Giving, log: LogId, start: int, stop: int, wanted: Wanted) -> Iterator[Run]:
    """Of one span, cut where it can be proved."""
    at = start
    while at < stop:
        read = store.read(log, at, stop, bytes_max=READ_BYTES, with_prev=True)
        order = ReadEntries(0, log, at, stop, READ_BYTES, with_prev=True)
        given, spoiled = giving.runs(order, read)
        ends = given.ends or (*range(RUN_ENTRIES_MAX, len(given.packed), RUN_ENTRIES_MAX), len(given.packed))
        for begin, end in pairwise((0, *ends)):
            if begin < end and wanted(log, at + begin, at + end):
                before = read.entries[begin].prev if read.entries else NO_PREV
                yield Run(log, at + begin, before, given.packed[begin:end])
        passed = ends[-1] or spoiled
        if not passed:  # Given up, or delivered: whatever is missing here.
            passed = next((end - at for begin, end in given.gone.spans if begin <= at < end), 1)
        at += passed


def entries_of(store: Store) -> tuple[int, int]:
    """(entries held, bytes that they take in a bundle at most), by what the store counts."""
    size = store.size()
    return size.entries, size.body_bytes + size.entries * _ENTRY_BYTES


_ENTRY_BYTES: Final = 256  # Framing, header, signature, and its part of a run's 58 bytes; a token has less.
