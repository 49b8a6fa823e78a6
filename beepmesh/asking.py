"""What the engine asks of the disk and of libsodium, answered in the worker thread: one transaction, or one batch."""

from __future__ import annotations

from typing import Final, TypeAlias, assert_never

from beepmesh.events import (
    BatchCommitted,
    BatchFailed,
    Commit,
    CrowdsRead,
    EntriesRead,
    Input,
    LinkDown,
    PeerRecalled,
    ProveRuns,
    ReadCrowds,
    ReadEntries,
    RecallPeer,
    Reopened,
    ReopenEntries,
    RunsProved,
)
from beepmesh.home import Home
from beepmesh.proving import prove
from beepmesh.store.contract import StoreProblem

PROVED_HERE_MAX: Final = 1  # Runs with one signature each: 55 us, and the way to the thread and back costs 70.

Asked: TypeAlias = Commit | ReadEntries | ReadCrowds | RecallPeer | ReopenEntries | ProveRuns
"""Orders that are answered with one event before anything else happens."""


def is_quick(order: Asked) -> bool:
    """Whether answering needs no disk, and takes less than the way to the thread and back."""
    if not isinstance(order, ProveRuns) or len(order.offers) > PROVED_HERE_MAX:
        return False
    return not any(offer.checked or offer.edge for _, offer in order.offers)


def answer(home: Home, order: Asked, now_ms: int) -> Input:
    """Raises StoreProblem."""
    store = home.store
    match order:
        case Commit(batch):
            return BatchCommitted(batch, store.commit(batch, keys=home.keys(), now_ms=home.dated_ms(now_ms)))
        case ReadEntries(_, log, start, stop, bytes_max, with_prev):
            return EntriesRead(order, store.read(log, start, stop, bytes_max=bytes_max, with_prev=with_prev))
        case ReadCrowds(_, spans):
            return CrowdsRead(order, tuple(store.crowds(log, *span) for log, span in spans))
        case RecallPeer(_, device):
            return PeerRecalled(order, store.recall(device))
        case ReopenEntries():
            return Reopened(order, home.unopened())
        case ProveRuns(offers):
            return RunsProved(order, prove([offer for _, offer in offers], None if is_quick(order) else store.read))
        case _:
            assert_never(order)


def unanswered(order: Asked, problem: StoreProblem) -> Input:
    """What to go on with where the disk refused."""
    match order:
        case Commit():
            return BatchFailed(problem.reason)
        case ReadEntries(link) | ReadCrowds(link):
            return LinkDown(link, "closed-here")  # Its session cannot go on without; the next one asks again.
        case RecallPeer():
            return PeerRecalled(order, None)  # It is told more than it needs, no worse.
        case ReopenEntries():
            return Reopened(order, ())  # They are tried again when the node starts.
        case ProveRuns(offers):
            return RunsProved(order, prove([offer for _, offer in offers], None))
        case _:
            assert_never(order)
