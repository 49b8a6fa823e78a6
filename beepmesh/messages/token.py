"""Delivery tokens: whoever opened an envelope for one device says so, and nobody learns who that was.

The envelope's commitment is the hash of 16 secret bytes that only its readers find (crypto/seal.py), and the entry's
signature covers the commitment. So those bytes, with what of the header cannot be inferred, prove to everybody that the
entry was opened. Relays then drop their copies; the author's ledger says "delivered". Nobody signs a token.

Law 1: only an entry with exactly one hint has a token: of several readers one would speak for all.
Law 2: a token stands at its entry's seq, in a log of its own beside the entry's: `token_log`. Holes there are normal,
       and nothing links one token to the next.
Law 3: a token is as good as the signature in it: check `verify_token` with the feed's key before it is believed.

Packed, 175 bytes, big-endian; the seq is the place in the run:

    feed 16 | lane << 6 | ttl << 2 | priority 1 | prev 32 | author time ms 6 | hint 4 | body length 4 | SHA-256(rest) 32
    | signature 64 | secret 16
"""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from beepmesh.crypto.seal import HINT_BYTES, face_of
from beepmesh.errors import Refused
from beepmesh.messages.entry import BODY_BYTES_MAX, FACE_BYTES, Entry, hash_of, rest_hash, restore, verify_entry
from sync.logs import LogId

TOKEN_PACKED_BYTES: Final = 175
TOKEN_LANES: Final = (0, 1, 2)  # Of entries that have tokens: bulk is carried by nobody who did not ask for it.

_LABEL: Final = b"beepmesh/tokens/1"
_PACKED: Final = struct.Struct(">16sB32sHI4sI32s64s16s")  # Author time as 2 + 4 bytes, as in entries.
_URGENT: Final = 0


class Token(NamedTuple):
    """That the entry at `seq` of `log` was opened, and enough of that entry to check it."""

    feed: bytes
    """16 B, the author's; as all up to `signature` it is the entry's own."""
    lane: int
    seq: int
    prev: bytes
    time_ms: int
    ttl: int
    priority: int
    hints: bytes
    """4 B: there is one."""
    body_bytes: int
    rest_hash: bytes
    """32 B, SHA-256 of the body behind its face (entry.py)."""
    signature: bytes
    secret: bytes
    """16 B, by which the envelope's commitment is known."""

    @property
    def log(self) -> LogId:
        """The log of the entry."""
        return LogId(self.feed, self.lane)

    @property
    def place(self) -> tuple[LogId, int]:
        """Where the entry stands."""
        return self.log, self.seq

    @property
    def entry(self) -> Entry:
        """The entry without its body, if the token is true."""
        whole = hash_of(face_of(self.secret), self.rest_hash)
        return restore((*self[:9], whole), self.signature, None)

    @property
    def entry_id(self) -> bytes:
        """32 B, the id of the entry, if the token is true."""
        return self.entry.id


@lru_cache(maxsize=1_024)  # Asked several times for each token that comes or leaves.
def token_log(log: LogId) -> LogId:
    """The log under which the tokens of that log's entries are reconciled, each at its entry's seq."""
    return LogId(sha256(_LABEL + log.feed + bytes((log.lane,))).digest()[:16], _URGENT)


def token_of(entry: Entry, secret: bytes) -> Token:
    """What to publish of an entry with one hint that was opened here; its body is still there."""
    assert entry.body is not None
    assert len(entry.hints) == HINT_BYTES
    feed, lane, seq, prev, time_ms, ttl, priority, hints, body_bytes = entry[:9]
    rest = rest_hash(entry.body)
    return Token(
        feed, lane, seq, prev, time_ms, ttl, priority, hints, body_bytes, rest, entry.signature, secret
    )  # fmt: skip


def pack_token(token: Token) -> bytes:
    """What goes on the air inside a run of the token log."""
    classes = token.lane << 6 | token.ttl << 2 | token.priority
    high, low = token.time_ms >> 32, token.time_ms & 0xFFFFFFFF
    return _PACKED.pack(
        token.feed, classes, token.prev, high, low, token.hints, token.body_bytes, token.rest_hash, token.signature,
        token.secret,
    )  # fmt: skip


def is_token(packed: bytes, log: LogId) -> bool:
    """Whether this is meant as a token, in the log where it belongs. No feed has the id of a token log."""
    return len(packed) == TOKEN_PACKED_BYTES and token_log(LogId(packed[:16], packed[16] >> 6)) == log


def unpack_token(packed: bytes, log: LogId, seq: int) -> Token:
    """The token at that place of a token log, nothing of it verified yet. Raises Refused("token-malformed")."""
    if not is_token(packed, log):
        raise Refused("token-malformed", f"{len(packed)} bytes, or of another log")
    feed, classes, prev, high, low, hints, body_bytes, rest, signature, secret = _PACKED.unpack(packed)
    if not FACE_BYTES <= body_bytes <= BODY_BYTES_MAX:
        raise Refused("token-malformed", f"{body_bytes} bytes of body")
    lane, ttl, priority = classes >> 6, classes >> 2 & 0x0F, classes & 3
    return Token(
        feed, lane, seq, prev, high << 32 | low, ttl, priority, hints, body_bytes, rest, signature, secret
    )  # fmt: skip


def verify_token(public: bytes, token: Token) -> bool:
    """Whether the feed's key has signed an entry that this token opens. One signature: 66 us."""
    return verify_entry(public, token.entry)
