"""What a node has settled of each log, and one number over all of it.

A log is one feed in one lane. Of each log a node keeps the settled seqs - held, or given up for good - and its tip.
The root is the sum of one leaf for each log modulo 2^128: it changes in O(1) when one log does, and two nodes whose
roots are equal need to say nothing more. What a malicious member can do to it is in README.md, "Open to a member".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from sync.limits import PUSHED_LANES
from sync.ranges import Ranges

TIP_BYTES: Final = 8  # What of a tip goes on the wire and into the root.
_MODULUS: Final = 2**128


class LogId(NamedTuple):
    """Names one log everywhere. Sort by (lane, feed) wherever order leaves the process."""

    feed: bytes
    """16 B."""
    lane: int
    """0 urgent, 1 messages, 2 status, 3 bulk."""

    def __repr__(self) -> str:
        return f"{self.feed.hex()[:8]}/{self.lane}"


@dataclass(frozen=True, slots=True)
class LogState:
    """What is durable here of one log."""

    settled: Ranges
    """Held, or expired, evicted or refused for good: nobody needs to send these again."""
    tip: bytes
    """32 B, the id of the entry at settled.top - 1; empty when that is not known. It tells forked logs apart."""


def leaf(log: LogId, state: LogState) -> int:
    """128 bits of SHA-256 over `"beepmesh/leaf/1" | feed 16 | lane 1 | spans 4 | (start 8 | stop 8)* | tip 0 or 8`.

    Numbers are big-endian. Of an empty state the leaf is 0, and so it is in lane 3, which is not reconciled.
    """
    spans = state.settled.spans
    if not spans or not PUSHED_LANES >> log.lane & 1:
        return 0
    flat = [number for span in spans for number in span]
    form = b"beepmesh/leaf/1" + log.feed + struct.pack(f">BI{len(flat)}Q", log.lane, len(spans), *flat)
    return int.from_bytes(sha256(form + state.tip[:TIP_BYTES]).digest()[:16])


def root(states: Mapping[LogId, LogState]) -> bytes:
    """16 B over everything a node has settled in the reconciled lanes."""
    return RootSum(states.items()).root


class RootSum:
    """The root of a set of states that changes one log at a time."""

    def __init__(self, states: Iterable[tuple[LogId, LogState]] = ()) -> None:
        self._sum = sum(leaf(log, state) for log, state in states) % _MODULUS

    def replace(self, log: LogId, old: LogState | None, new: LogState | None) -> None:
        """One log went from old to new; None means that nothing was, or is, known of it."""
        change = (leaf(log, new) if new else 0) - (leaf(log, old) if old else 0)
        self._sum = (self._sum + change) % _MODULUS

    @property
    def root(self) -> bytes:
        return self._sum.to_bytes(16)
