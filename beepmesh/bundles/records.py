"""What a bundle says: records, one after the other, as one stream of bytes. No key and no file is known here.

    record = length 4 | kind 1 | contents (length - 1)         length 0: zeros up to the end of the stream
    run    = kind 1: feed 16 | lane 1 | start 4 | prev 32 | (length 4 | packed entry or token)*
    head   = kind 2: wraps of 1,168 each; only as the first record

A run is what ENTRIES says on a link (sync/wire.py), with its predecessor always named: it can be taken by whoever has
nothing of its log. `prev` is zeros where start is 0, and for tokens. Numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from beepmesh.errors import Refused
from beepmesh.messages.entry import NO_PREV, PACKED_BYTES_MAX, SEQ_MAX
from sync.limits import RUN_BYTES_MAX, RUN_ENTRIES_MAX
from sync.logs import LogId

RUN: Final = 1
HEAD: Final = 2
AUDIENCE: Final = 3
AUDIENCE_BYTES: Final = 32
LENGTH_BYTES: Final = 4
_RUN: Final = struct.Struct(">16sBI32s")
_LENGTH: Final = struct.Struct(">I")
RUN_OVERHEAD_BYTES: Final = LENGTH_BYTES + 1 + _RUN.size
RECORD_BYTES_MAX: Final = RUN_OVERHEAD_BYTES + PACKED_BYTES_MAX + RUN_BYTES_MAX
"""One run: a single entry of the largest kind, or several in RUN_BYTES_MAX, with their lengths."""
WRAP_BYTES: Final = 1_168
"""A file's inner secret (32 B) for one device: HPKE adds 1,136."""
WRAPS_MAX: Final = 1_024
HEAD_OVERHEAD_BYTES: Final = LENGTH_BYTES + 1
HEAD_BYTES_MAX: Final = HEAD_OVERHEAD_BYTES + WRAPS_MAX * WRAP_BYTES


class Run(NamedTuple):
    """Consecutive entries, or tokens, of one log; nothing of them is checked."""

    log: LogId
    start: int
    prev: bytes
    """32 B."""
    packed: tuple[bytes, ...]


def encode_run(run: Run) -> bytes:
    """The record."""
    parts = [bytes((RUN,)), _RUN.pack(run.log.feed, run.log.lane, run.start, run.prev)]
    for data in run.packed:
        parts += (_LENGTH.pack(len(data)), data)
    contents = b"".join(parts)
    return _LENGTH.pack(len(contents)) + contents


def encode_audience(digest: bytes) -> bytes:
    """The record by which the writer knows whom it was for."""
    assert len(digest) == AUDIENCE_BYTES
    return _LENGTH.pack(1 + AUDIENCE_BYTES) + bytes((AUDIENCE,)) + digest


def audience_in(record: bytes) -> bytes:
    """The digest, where the record is one of those; else nothing."""
    return record[1:] if len(record) == 1 + AUDIENCE_BYTES and record[0] == AUDIENCE else b""


def encode_head(wraps: Sequence[bytes]) -> bytes:
    """The record that comes first where only some devices may open what follows."""
    contents = bytes((HEAD,)) + b"".join(wraps)
    return _LENGTH.pack(len(contents)) + contents


def head_bytes(stream: bytes) -> int:
    """How long the head at the beginning of a stream is, its length included; 0 where there is none.

    Raises Refused("bundle-malformed").
    """
    if len(stream) <= LENGTH_BYTES or stream[LENGTH_BYTES] != HEAD:
        return 0
    length = int.from_bytes(stream[:LENGTH_BYTES])
    if not 1 + WRAP_BYTES <= length <= HEAD_BYTES_MAX - LENGTH_BYTES or (length - 1) % WRAP_BYTES:
        raise Refused("bundle-malformed", "a head of the wrong length")
    return LENGTH_BYTES + length


def wraps_of(head: bytes) -> list[bytes]:
    """The wraps of a whole head."""
    return [head[at : at + WRAP_BYTES] for at in range(HEAD_OVERHEAD_BYTES, len(head), WRAP_BYTES)]


def decode_run(record: bytes) -> Run:
    """What follows a record's length. Raises Refused("bundle-malformed")."""
    begin = 1 + _RUN.size
    if len(record) <= begin or record[0] != RUN:
        raise Refused("bundle-malformed", "a record of an unknown kind, or too short")
    feed, lane, start, prev = _RUN.unpack_from(record, 1)
    packed: list[bytes] = []
    at, total = begin, 0
    while at < len(record):
        size = int.from_bytes(record[at : at + LENGTH_BYTES])
        at += LENGTH_BYTES + size
        total += size
        if not size or size > PACKED_BYTES_MAX or at > len(record):
            raise Refused("bundle-malformed", "an entry of the wrong length")
        packed.append(record[at - size : at])
    if len(packed) > RUN_ENTRIES_MAX or (len(packed) > 1 and total > RUN_BYTES_MAX):
        raise Refused("bundle-malformed", "a run that no link would carry")
    if lane > 3 or start + len(packed) - 1 > SEQ_MAX or (not start and prev != NO_PREV):
        raise Refused("bundle-malformed", "a place that there cannot be")
    return Run(LogId(feed, lane), start, prev, tuple(packed))


class Reading:
    """Cuts the stream into records again, also where pieces of it are missing."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._in_step = False
        self.ended = False
        """The padding was reached: nothing follows."""

    def feed(self, data: bytes, first: int) -> list[bytes]:
        """The records that this piece completes, without their lengths. `first`: where in it the first one begins; its
        size if none does.

        Raises Refused("bundle-malformed") where the stream makes no sense: then the piece is lost, as with `lose`.
        """
        if self.ended:
            return []
        self._begun += data if self._in_step else data[first:]
        self._in_step = self._in_step or first < len(data)
        records: list[bytes] = []
        at = 0
        while len(self._begun) >= at + LENGTH_BYTES:
            length = int.from_bytes(self._begun[at : at + LENGTH_BYTES])
            end = at + LENGTH_BYTES + length
            if length == 0:
                self.ended = not any(self._begun[at:])
            if length > RECORD_BYTES_MAX or (length == 0 and not self.ended):
                self.lose()
                raise Refused("bundle-malformed", "a record beyond its bound, or padding that is none")
            if self.ended or end > len(self._begun):
                break
            records.append(bytes(self._begun[at + LENGTH_BYTES : end]))
            at = end
        del self._begun[:at]
        return records

    def lose(self) -> None:
        """A piece is missing here: the next one is read from its own first record on."""
        self._begun.clear()
        self._in_step = False
