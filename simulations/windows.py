"""Contacts taken away because a device is off, and contacts added because a wire or a signal is there at times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from simulations.traces import Contact, Trace, merged


class Absence(NamedTuple):
    """A node is off from `start` to `stop`, in seconds."""

    start: float
    stop: float
    node: int


def without(trace: Trace, absences: Iterable[Absence]) -> Trace:
    """The trace as it is when these nodes are off at these times. A contact that spans an absence becomes two."""
    off: defaultdict[int, list[Absence]] = defaultdict(list)
    for absence in sorted(absences):
        off[absence.node].append(absence)
    if not off:
        return trace
    kept: list[Contact] = []
    for contact in trace.contacts:
        kept += _outside(contact, sorted([*off.get(contact.a, ()), *off.get(contact.b, ())]))
    return replace(trace, contacts=tuple(sorted(kept, key=_order)))


def with_windows(trace: Trace, windows: Iterable[Contact]) -> Trace:
    """The trace with these contacts as well; what overlaps in one pair becomes one contact."""
    added = [window for window in windows if window.start < window.stop]
    return replace(trace, contacts=tuple(merged([*trace.contacts, *added]))) if added else trace


def regular(a: int, b: int, every_s: float, for_s: float, first_s: float, until_s: float) -> list[Contact]:
    """A window of that length again and again, up to the end."""
    count = max(0, int((until_s - first_s) // every_s) + 1)
    starts = [first_s + every_s * number for number in range(count)]
    return [Contact(start, min(start + for_s, until_s), min(a, b), max(a, b)) for start in starts if start < until_s]


def _outside(contact: Contact, absences: list[Absence]) -> list[Contact]:
    parts: list[Contact] = []
    start = contact.start
    for absence in absences:
        if absence.stop <= start or absence.start >= contact.stop:
            continue
        if absence.start > start:
            parts.append(contact._replace(start=start, stop=absence.start))
        start = absence.stop
    if start < contact.stop:
        parts.append(contact._replace(start=start))
    return parts


def _order(contact: Contact) -> tuple[float, int, int]:
    return contact.start, contact.a, contact.b
