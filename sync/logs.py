"""What a node has settled of each log, and one number over all of it.

A log is one feed in one lane. Of each log a node keeps the settled seqs - held, or given up for good - and its tip.
A sum adds up one leaf for each log modulo 2^2048, so it changes in O(1) when one log does. Why so wide, and what a
malicious member can do to it, is in README.md, "Open to a member".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256, shake_128
from typing import Final, NamedTuple

from sync.limits import PUSHED_LANES
from sync.ranges import Ranges

SUM_BYTES: Final = 256
SUM_MODULUS: Final = 2 ** (8 * SUM_BYTES)
ROOT_BYTES: Final = 8
CHAIN_BYTES: Final = 4
NO_CHAIN: Final = bytes(CHAIN_BYTES)
"""Of a node that does not know every tip: forks are not looked for between it and others."""
_LEAF: Final = b"beepmesh/leaf/2"
_FORM_OF_ONE: Final = struct.Struct(">BIQQ")


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


def reconciled(log: LogId) -> bool:
    """Whether logs of its lane are told and pushed; lane 3 is only ever asked for."""
    return bool(PUSHED_LANES >> log.lane & 1)


def form(log: LogId, settled: Ranges) -> bytes:
    """What is hashed of a state: feed 16 | lane 1 | number of spans 4 | (start 8 | stop 8)*, numbers big-endian."""
    if len(settled.spans) == 1:  # Of most logs nothing is missing in between.
        return log.feed + _FORM_OF_ONE.pack(log.lane, 1, *settled.spans[0])
    flat = [number for span in settled.spans for number in span]
    return log.feed + struct.pack(f">BI{len(flat)}Q", log.lane, len(flat) // 2, *flat)


def leaf(log: LogId, settled: Ranges, tip: bytes = b"") -> int:
    """2,048 bits: SHAKE128("beepmesh/leaf/2" | form | tip). 0 of an empty state, and in a lane that is not reconciled.

    Leaves of positions have no tip; leaves of chains have one where it is known.
    """
    if not settled.spans or not reconciled(log):
        return 0
    return _leaf(form(log, settled) + tip)


@lru_cache(maxsize=1_024)  # 0.5 MB. What a state comes to is asked when it begins, when it ends and at each meeting.
def _leaf(said: bytes) -> int:
    return int.from_bytes(shake_128(_LEAF + said).digest(SUM_BYTES))


def step(log: LogId, old: Ranges, new: Ranges) -> int:
    """What a sum of positions grows by where this is settled of a log instead of that."""
    return 0 if old.spans == new.spans else leaf(log, new) - leaf(log, old)


def root(positions: int, salt: bytes) -> bytes:
    """8 B that stand for a sum of positions on one link. `salt` is the link's own, so nobody can prepare equals."""
    return sha256(b"beepmesh/root/2" + salt + positions.to_bytes(SUM_BYTES)).digest()[:ROOT_BYTES]


def chain(chains: int, salt: bytes) -> bytes:
    """4 B that stand for a sum of chains on one link: of two nodes with equal positions, whether any log is forked."""
    return sha256(b"beepmesh/chain/2" + salt + chains.to_bytes(SUM_BYTES)).digest()[:CHAIN_BYTES]


def view_digest(positions: int) -> bytes:
    """32 B over a whole view, for memory.py."""
    return sha256(b"beepmesh/view/2" + positions.to_bytes(SUM_BYTES)).digest()
