"""The signed log entry: write it, pack it for the air, unpack it, check it.

Law 1: the id is the SHA-256 of the header and the header holds the hash of the body, so a body may be
       erased and the header still verifies.
Law 2: `prev` is the id of the entry before it in the same log, so one good signature vouches for whatever stands
       below it (proving.py says how far that is relied on).
Law 3: what a receiver can infer inside a run (feed, lane, seq, prev, body hash) is signed but not sent.

Header, 98 + 4 n bytes, fixed layout, big-endian (no second encoding of one meaning can exist):

    version 1 | feed 16 | lane 1 | seq 4 | prev 32 | author time ms 6 | ttl << 4 | priority 1 | n 1 | hints 4 n
    | body length 4 | body hash 32

The body hash is SHA-256(face | SHA-256(rest)): the face is the first 18 bytes of the body (or all of it, if it has
fewer), the rest what follows. So a delivery token (token.py) shows an envelope's face without the body.

Packed inside a run, 72 + 4 n bytes and the body, or with one hint 75 and the body:

    ttl << 4 | erased << 3 | single << 2 | priority 1 | author time ms 6 | n 1 | hints 4 n | signature 64 | body
    (erased: body length 4 | body hash 32 in place of the body)
    (single: n is 1 and its byte is left out. Most messages are for one device. No entry may say n = 1 otherwise)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from beepmesh.crypto.primitives import SigningKey, verify
from beepmesh.errors import Refused
from sync.logs import LogId

ENTRY_VERSION: Final = 2
HINTS_MAX: Final = 24  # One per wrapped device; see crypto/seal.py WRAPS_MAX.
BODY_BYTES_MAX: Final = 112 * 1024  # 64 KiB of incompressible text padded (67.6 kB) and 24 wraps of 1,298 B.
PACKED_BYTES_MAX: Final = BODY_BYTES_MAX + 72 + 4 * HINTS_MAX
SEQ_MAX: Final = 2**32 - 1
TIME_MS_MAX: Final = 2**48 - 1
FACE_BYTES: Final = 18  # Of an envelope: kind, suite and commitment, see crypto/seal.py.
NO_PREV: Final = bytes(32)  # What the first entry of a log names as its predecessor.

_SIGNED: Final = b"beepmesh/entry/2"
_HEAD: Final = struct.Struct(">B16sBI32sHIBB")  # Author time as 2 + 4 bytes: struct has no 6-byte integer.
_TAIL: Final = struct.Struct(">I32s")
SIGNED_BYTES: Final = _HEAD.size + _TAIL.size  # What is signed, without hints.
_PACKED: Final = struct.Struct(">BHI")
_ERASED: Final = 0x08
_SINGLE: Final = 0x04
_SIGNATURE_BYTES: Final = 64


class Entry(NamedTuple):
    """One entry of one log. `body` is None once erased; everything else stays and still verifies."""

    feed: bytes
    """16 B, SHA-256 of the signing key, truncated."""
    lane: int
    seq: int
    """Counts from 0 in its log without gaps."""
    prev: bytes
    """32 B, the id of entry seq - 1; NO_PREV for seq 0."""
    time_ms: int
    """What the author's clock said; never falls along one log, may be years off."""
    ttl: int
    """Lifetime class 0..15, see lifetimes.py."""
    priority: int
    """0 sos, 1 urgent, 2 routine, 3 bulk."""
    hints: bytes
    """4 B for each wrapped device, in the order of the wraps; empty for control entries."""
    body_bytes: int
    body_hash: bytes
    signature: bytes
    body: bytes | None
    id: bytes
    """32 B, SHA-256 of the header."""

    @property
    def log(self) -> LogId:
        return LogId(self.feed, self.lane)

    @property
    def header(self) -> bytes:
        return _header(self[:10])

    def erased(self) -> Entry:
        """The same entry without its body."""
        return self._replace(body=None)


Head = tuple[bytes, int, int, bytes, int, int, int, bytes, int, bytes]


def _header(head: Head) -> bytes:
    feed, lane, seq, prev, time_ms, ttl, priority, hints, body_bytes, body_hash = head
    return (
        _HEAD.pack(
            ENTRY_VERSION,
            feed,
            lane,
            seq,
            prev,
            time_ms >> 32,
            time_ms & 0xFFFFFFFF,
            ttl << 4 | priority,
            len(hints) >> 2,
        )
        + hints
        + _TAIL.pack(body_bytes, body_hash)
    )


def rest_hash(body: bytes) -> bytes:
    """SHA-256 of what follows the face."""
    return sha256(body[FACE_BYTES:]).digest()


def hash_of(face: bytes, rest: bytes) -> bytes:
    """The hash of a body, by its face and its `rest_hash`."""
    return sha256(face + rest).digest()


def _body_hash(body: bytes) -> bytes:
    return hash_of(body[:FACE_BYTES], rest_hash(body))


def read_header(header: bytes, signature: bytes) -> Entry:
    """An entry known by its header and signature alone, as fork proofs carry it. Raises Refused("entry-malformed")."""
    if len(header) < _HEAD.size + _TAIL.size:
        raise Refused("entry-malformed", "a truncated header")
    version, feed, lane, seq, prev, time_high, time_low, classes, hint_count = _HEAD.unpack_from(header)
    hints = header[_HEAD.size : -_TAIL.size]
    if version != ENTRY_VERSION or len(hints) != 4 * hint_count or hint_count > HINTS_MAX or classes & 0x0C:
        raise Refused("entry-malformed", "a header of another form")
    body_bytes, body_hash = _TAIL.unpack(header[-_TAIL.size :])
    head = (feed, lane, seq, prev, time_high << 32 | time_low, classes >> 4, classes & 3, hints, body_bytes, body_hash)
    return restore(head, signature, None)


def restore(head: Head, signature: bytes, body: bytes | None) -> Entry:
    """An entry from its parts as a store keeps them: the id is computed, nothing is verified."""
    return Entry(*head, signature, body, sha256(_header(head)).digest())


def write(
    key: SigningKey,
    *,
    lane: int,
    seq: int,
    prev: bytes,
    time_ms: int,
    ttl: int,
    priority: int,
    hints: bytes,
    body: bytes,
) -> Entry:
    """A new entry of the key's own feed."""
    assert len(body) <= BODY_BYTES_MAX
    assert len(hints) <= 4 * HINTS_MAX
    assert len(hints) % 4 == 0
    assert 0 <= seq <= SEQ_MAX
    assert len(prev) == 32
    assert 0 <= ttl < 16
    assert 0 <= priority < 4
    assert 0 <= lane < 4
    feed = sha256(key.public).digest()[:16]
    time_ms = min(max(time_ms, 0), TIME_MS_MAX)
    head = (feed, lane, seq, prev, time_ms, ttl, priority, hints, len(body), _body_hash(body))
    header = _header(head)
    return Entry(*head, key.sign(_SIGNED + header), body, sha256(header).digest())


def pack(entry: Entry) -> bytes:
    """What of the entry goes on the air inside a run."""
    hints, body = entry.hints, entry.body
    flags = entry.ttl << 4 | entry.priority
    if body is None:
        flags |= _ERASED
        body = _TAIL.pack(entry.body_bytes, entry.body_hash)
    count = b""
    if len(hints) == 4:
        flags |= _SINGLE
    else:
        count = bytes((len(hints) >> 2,))
    start = _PACKED.pack(flags, entry.time_ms >> 32, entry.time_ms & 0xFFFFFFFF)
    return start + count + hints + entry.signature + body


def is_erased(packed: bytes) -> bool:
    """Whether an entry in a run comes without its body."""
    return bool(packed[0] & _ERASED)


def unpack(packed: bytes, *, feed: bytes, lane: int, seq: int, prev: bytes) -> Entry:
    """The entry, nothing of it verified yet. Raises Refused("entry-malformed" or "entry-oversized")."""
    if len(packed) > PACKED_BYTES_MAX:
        raise Refused("entry-oversized", f"{len(packed)} bytes")
    if len(packed) < _PACKED.size + 1 + _SIGNATURE_BYTES:
        raise Refused("entry-malformed", "truncated")
    flags, time_high, time_low = _PACKED.unpack_from(packed)
    begin, hint_count = _PACKED.size, 1
    if not flags & _SINGLE:
        begin, hint_count = begin + 1, packed[begin]
        if hint_count == 1 or hint_count > HINTS_MAX:
            raise Refused("entry-malformed", "one hint at length, or too many")
    at = begin + 4 * hint_count
    hints, signature, rest = packed[begin:at], packed[at : at + 64], packed[at + 64 :]
    if len(signature) != _SIGNATURE_BYTES:
        raise Refused("entry-malformed", "truncated")
    body: bytes | None
    if flags & _ERASED:
        if len(rest) != _TAIL.size:
            raise Refused("entry-malformed", "an erased body of the wrong length")
        body_bytes, body_hash = _TAIL.unpack(rest)
        body = None
    else:
        body_bytes, body_hash, body = len(rest), _body_hash(rest), rest
    if body_bytes > BODY_BYTES_MAX:
        raise Refused("entry-oversized", f"{body_bytes} bytes of body")
    head = (feed, lane, seq, prev, time_high << 32 | time_low, flags >> 4, flags & 3, hints, body_bytes, body_hash)
    return Entry(*head, signature, body, sha256(_header(head)).digest())


def unpack_run(packed: Sequence[bytes], *, feed: bytes, lane: int, start: int, prev: bytes) -> list[Entry]:
    """Consecutive entries from seq start on, each linked to the one before it by construction."""
    if start < 0 or start + len(packed) - 1 > SEQ_MAX:
        raise Refused("entry-malformed", "a sequence number out of range")
    entries: list[Entry] = []
    for seq, data in enumerate(packed, start):
        entry = unpack(data, feed=feed, lane=lane, seq=seq, prev=prev)
        entries.append(entry)
        prev = entry.id
    return entries


def verify_entry(public: bytes, entry: Entry) -> bool:
    """Whether the entry's own signature is the feed key's."""
    return verify(public, _SIGNED + entry.header, entry.signature)
