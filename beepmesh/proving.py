"""Which signatures of a run are checked, and where a run is cut so that others need to check no more.

A signature costs 55 us, a hash link 1 us. Each header holds the id of the entry below it, so one good signature
vouches for all that hangs together below it: an entry is *proved* if its own signature was found to be good, and
*vouched for* by a proved one above it. What is only vouched for may have a signature that somebody spoiled on the way.
It is true all the same, but whoever holds it must be able to show that to others, for it is settled and never asked for
again. Hence

Laws
1. Above every held entry that is not proved stands one that is, nothing missing between, and both fit into one run; or
   one of which the delivery token is held, for that has a signature which was checked, and names what is below.
2. The lowest entry above a hole is proved. (A hole is what is not settled; what is settled and gone is none.)
3. A run is pushed up to a proved entry, or to below a token: tokens travel first. Only what fills a hole may end at its
   edge, where the receiver's law 2 helps.

By 1, whatever was taken can be pushed to somebody who has nothing of it; by 2 and 3, to somebody who has what is above.
Runs that hang together are not proved by the newest of them all, though that would be cheaper: law 1 would not hold.
Quota can break 1 and 2, for it takes entries away. What nobody would take then is said to be gone, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from beepmesh.messages.entry import Entry, verify_entry
from beepmesh.store.contract import ReadResult, packed_bytes
from sync.limits import RUN_BYTES_MAX, RUN_ENTRIES_MAX
from sync.logs import LogId


class Read(Protocol):
    """`Store.read`."""

    def __call__(self, log: LogId, start: int, stop: int, /, *, bytes_max: int, with_prev: bool) -> ReadResult: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """A run that somebody pushed: read and permitted, and nothing of it proved."""

    log: LogId
    start: int
    prev_said: bool
    """Whether the peer named the predecessor. Otherwise it was taken to be the newest entry known here."""
    public: bytes
    """The feed's key, 32 B."""
    entries: tuple[Entry, ...]
    """All that came, linked to each other."""
    kept: tuple[Entry, ...]
    """Without those that may not be taken, whoever signed them."""
    counts: Counter[str]
    """Why the others may not."""
    each: bool
    """Only what is proved by itself is taken: it is on lane 0, or the laws above would not hold otherwise."""
    checked: tuple[Entry, ...]
    """Whose own signatures matter, beside the newest one's."""
    edge: bool
    """Whether what comes above the run is settled here."""
    size: int
    """Packed bytes."""


class Proof(NamedTuple):
    good: frozenset[bytes]
    """Ids of the entries whose own signature is good."""
    vouched: bool
    """Whether the newest entry of the run is beyond doubt."""


def prove(offers: Iterable[Offer], read: Read | None) -> tuple[Proof, ...]:
    """Check what has to be checked; for a worker thread (libsodium is called without the interpreter's lock).

    What is held is read only where a run may need it to be vouched for. None: nothing can be read now.
    """
    return tuple(_prove(offer, read) for offer in offers)


def prove_each(offer: Offer) -> Proof:
    """Of one with `each` set: the store is not needed."""
    return Proof(_good(offer), vouched=False)


def _prove(offer: Offer, read: Read | None) -> Proof:
    if offer.each:
        return prove_each(offer)
    newest = offer.entries[-1]
    good = verify_entry(offer.public, newest)
    # A run that is false as a whole costs one signature.
    if not good and not (offer.edge and read is not None and _fits_edge(offer, read)):
        return Proof(frozenset(), vouched=False)
    return Proof(_good(offer) | ({newest.id} if good else frozenset()), vouched=True)


def _good(offer: Offer) -> frozenset[bytes]:
    return frozenset(entry.id for entry in offer.checked if verify_entry(offer.public, entry))


def _fits_edge(offer: Offer, read: Read) -> bool:
    """Whether a proved entry, or a token, stands directly above the run, and law 1 holds with it."""
    newest = offer.entries[-1]
    found = read(offer.log, newest.seq + 1, newest.seq + 2, bytes_max=0, with_prev=False)
    return found.above == newest.id or any(
        above.prev == newest.id
        and len(offer.entries) < RUN_ENTRIES_MAX
        and offer.size + packed_bytes(above) <= RUN_BYTES_MAX
        and (above.id in found.proved or verify_entry(offer.public, above))
        for above in found.entries
    )


class Cut(NamedTuple):
    """Where entries that were read are cut into runs."""

    ends: tuple[int, ...]
    """Exclusive, ascending. What stands above the last one is left for the next read."""
    proved: tuple[Entry, ...]
    """Whose signatures were checked for it, and are good."""
    spoiled: int
    """How many of the first entries nobody would take from here; then there are no ends."""


def cut(public: bytes | None, read: ReadResult, sizes: Sequence[int], *, run_bytes_max: int, whole: bool) -> Cut:
    """Runs of at most eight entries and so many packed bytes (`sizes`, one for each entry), each with a proved end.

    Where the end that size asks for is spoiled, it moves down, or else up as far as any run may reach. `whole` is
    whether these are all the entries that were asked for, so that the peer may hold the one above. `public` is None
    where nobody vouches for the feed any more: then nothing can be checked here.
    """
    entries = read.entries
    checked: dict[bytes, bool] = {}

    def good(entry: Entry) -> bool:
        if public is None or entry.id in read.proved or (entry is entries[-1] and entry.id == read.above):
            return True
        if entry.id not in checked:
            checked[entry.id] = verify_entry(public, entry)
        return checked[entry.id]

    def end_of(begin: int) -> int | None:
        usual, last = _reach(sizes, begin, run_bytes_max), _reach(sizes, begin, RUN_BYTES_MAX)
        candidates = (*range(usual, begin, -1), *range(usual + 1, last + 1))
        return next((end for end in candidates if good(entries[end - 1])), None)

    ends: list[int] = []
    at = spoiled = 0
    while at < len(entries) and (end := end_of(at)) is not None:
        ends.append(end)
        at = end
    if not ends and entries:
        if whole and len(entries) < RUN_ENTRIES_MAX and _reach(sizes, 0, RUN_BYTES_MAX) == len(entries):
            ends.append(len(entries))
        else:
            spoiled = next((begin for begin in range(len(entries)) if end_of(begin) is not None), len(entries))
    return Cut(tuple(ends), tuple(entry for entry in entries if checked.get(entry.id)), spoiled)


def _reach(sizes: Sequence[int], begin: int, bytes_max: int) -> int:
    """The end of the largest run from there on: one entry at least."""
    end, total = begin + 1, sizes[begin]
    while end < len(sizes) and end - begin < RUN_ENTRIES_MAX and (total := total + sizes[end]) <= bytes_max:
        end += 1
    return end
