"""The envelope: one payload sealed to some devices, so that only they learn it and who wrote it.

    body   = kind 0x01 | suite 0x03 | com 16 | crowd 2 | n 1 | n slots
           | AEAD(KDF(CEK, "beepmesh/body/1"), nonce 0, payload, ad)         crowd: not in lane 0
    slot   = 0x00 | week 1 | HPKE(prekey, info, init) 1,248 | AEAD(KDF(mk0, com), nonce 0, CEK, ad) 48       1,298 B
           | 0x01 | tag 8 | wrapped CEK 48    reserved for chains: skipped here, so that it may stand beside the others
    init   = sender device id 16 | root 32 | signature 64
    info   = "beepmesh/init/1" | organisation id 16 | receiver device id 16
    ad     = feed 16 | lane 1 | seq 8 | com 16        numbers big-endian, here and below

    CEK random 32; token = KDF(CEK, "beepmesh/token/1")[:16]; com = SHA-256("beepmesh/commit/2" | token)[:16]
    root random 32, one for each slot; ck = KDF(root, "beepmesh/chain/1" | sender id | receiver id); mk0 = KDF(ck, 0x01)
    signature by D over "beepmesh/init/1" | SHA-256(root) | receiver D public 32 | prekey id 8 | F public 32
    hints of 8 seqs = KDF(KDF(X25519(link keys), "beepmesh/hint/1"), receiver id 16 | feed 16 | lane 1 | seq // 8, 8 B)
    hint            = the 4 bytes at 4 (seq mod 8) of these 32

KDF is HMAC-SHA256, AEAD is ChaCha20-Poly1305, D the sender's device key, F the key of the feed the entry stands in.
Each AEAD key is made for one use, so its nonce is zero.

What it gives: the signature names sender, receiver, prekey and feed at once, so a slot cannot be pointed at a third
device nor moved to another feed; `ad` binds lane and seq; com makes all receivers get one text, or none. A reader may
publish the token: everybody sees that it fits com, and nobody who published it (messages/token.py).

Laws
1. Opening decides nothing: no key is used up, nothing is remembered. An insider who copies hints and slots into an
   entry of his own costs each receiver a refused attempt and no message.
2. Whatever is wrong raises Refused and nothing else: `envelope-malformed`, `envelope-no-prekey` (destroyed, or never
   ours), `envelope-open` (not for this device, or changed), `envelope-unknown-sender`, `envelope-binding` (signed for
   another receiver, prekey or feed), `envelope-commit`.
3. The payload goes in and comes out as it is; `payload.py` packs it (compression, padding) before and after.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from beepmesh.crypto.prekeys import PrekeyBundle, PrekeyRing
from beepmesh.crypto.primitives import (
    HPKE_OVERHEAD_BYTES,
    KEY_BYTES,
    NONCE_BYTES,
    SIGNATURE_BYTES,
    TAG_BYTES,
    AgreementKey,
    CryptoFailure,
    Entropy,
    PrekeySecret,
    SigningKey,
    aead_open,
    aead_seal,
    equal,
    hpke_open,
    hpke_seal,
    kdf,
    sha256,
    verify,
)
from beepmesh.errors import Refused

KIND: Final = 0x01
SUITE: Final = 0x03
WRAPS_MAX: Final = 24  # 31 kB of slots; more recipients are more entries of one message.
HINT_BYTES: Final = 4  # One false alarm in 4,000 million for each pair of entry and known device.
HINTS_A_BLOCK: Final = 8  # What one KDF output holds.
ID_BYTES: Final = 16
COMMIT_BYTES: Final = 16
TOKEN_BYTES: Final = 16
HEAD_BYTES: Final = 3 + COMMIT_BYTES
URGENT_LANE: Final = 0  # It goes to everybody. In others mail says towards whom it is to be carried: trust/crowds.py.
CROWD_BYTES: Final = 2
CROWD_END: Final = HEAD_BYTES - 1 + CROWD_BYTES  # Of a body, so much shows it.
INIT_BYTES: Final = ID_BYTES + KEY_BYTES + SIGNATURE_BYTES
WRAPPED_BYTES: Final = KEY_BYTES + TAG_BYTES
SLOT_BYTES: Final = 2 + INIT_BYTES + HPKE_OVERHEAD_BYTES + WRAPPED_BYTES
CHAIN_SLOT_BYTES: Final = 1 + 8 + WRAPPED_BYTES

_INIT_SLOT: Final = 0x00
_CHAIN_SLOT: Final = 0x01
_INIT_LABEL: Final = b"beepmesh/init/1"
_CHAIN_LABEL: Final = b"beepmesh/chain/1"
_BODY_LABEL: Final = b"beepmesh/body/1"
_TOKEN_LABEL: Final = b"beepmesh/token/1"
_COMMIT_LABEL: Final = b"beepmesh/commit/2"
_HINT_LABEL: Final = b"beepmesh/hint/1"
_NONCE: Final = bytes(NONCE_BYTES)
_PLACE = struct.Struct(">16sBQ")
_HINTED = struct.Struct(">16s16sBQ")


@dataclass(frozen=True, slots=True)
class Recipient:
    """A device to seal to. Its bundle passed `prekeys.check`."""

    device: bytes  # 16 B
    device_public: bytes  # 32 B, D
    bundle: PrekeyBundle
    hint_key: bytes = field(repr=False)  # of this pair of devices, see hint_key


@dataclass(frozen=True, slots=True)
class Opened:
    """A payload, and the device that wrote it."""

    sender: bytes  # 16 B device id; its signature was checked
    payload: bytes = field(repr=False)
    binding: bytes
    """104 B, SHA-256(root) 32 | prekey id 8 | signature 64: the sender's own word that the feed is his."""
    token: bytes = field(repr=False)
    """16 B that only readers know, until one of them tells."""


def hint_key(mine: AgreementKey, theirs_link_public: bytes) -> bytes:
    """32 B that two devices share, whichever of them asks. Costs a key agreement: keep it.

    Raises CryptoFailure for a link key of low order; no certificate that passed its check holds one.
    """
    return kdf(mine.agree(theirs_link_public), _HINT_LABEL)


def hint(hint_key: bytes, receiver_device: bytes, feed: bytes, lane: int, seq: int) -> bytes:
    """4 B by which a receiver finds its slot, and which tell nobody else anything."""
    return hints_of_block(hint_key, receiver_device, feed, lane, seq // HINTS_A_BLOCK)[seq % HINTS_A_BLOCK]


def hints_of_block(hint_key: bytes, receiver_device: bytes, feed: bytes, lane: int, block: int) -> list[bytes]:
    """The hints of seqs 8 block to 8 block + 7 for one computation: a relay looks for itself in every entry."""
    made = kdf(hint_key, _HINTED.pack(receiver_device, feed, lane, block))
    return [made[at : at + HINT_BYTES] for at in range(0, len(made), HINT_BYTES)]


def seal(
    payload: bytes,
    *,
    org: bytes,
    sender_device: bytes,
    sender_key: SigningKey,
    feed_public: bytes,
    feed: bytes,
    lane: int,
    seq: int,
    recipients: Sequence[Recipient],
    entropy: Entropy,
    crowd: bytes = b"",
) -> tuple[bytes, bytes]:
    """(hints, body) for the entry that will stand at feed, lane, seq; hints and slots in the recipients' order.

    `crowd`: 2 B, but none in URGENT_LANE."""
    assert len(crowd) == _crowd_bytes(lane)
    assert 1 <= len(recipients) <= WRAPS_MAX
    assert len({recipient.device for recipient in recipients}) == len(recipients)
    content_key = entropy(KEY_BYTES)
    face = face_of(_token(content_key))
    commit = face[2:]
    associated = _PLACE.pack(feed, lane, seq) + commit
    hints, parts = [], [face, crowd, bytes([len(recipients)])]
    for recipient in recipients:
        root = entropy(KEY_BYTES)
        bundle = recipient.bundle
        signature = sender_key.sign(_bound(root, recipient.device_public, bundle.prekey_id, feed_public))
        init = hpke_seal(bundle.public, _info(org, recipient.device), sender_device + root + signature)
        key = kdf(_message_key(root, sender_device, recipient.device), commit)
        parts += [bytes([_INIT_SLOT, bundle.week]), init, aead_seal(key, _NONCE, content_key, associated)]
        hints.append(hint(recipient.hint_key, recipient.device, feed, lane, seq))
    parts.append(aead_seal(kdf(content_key, _BODY_LABEL), _NONCE, payload, associated))
    return b"".join(hints), b"".join(parts)


def open_slot(
    body: bytes,
    index: int,
    *,
    org: bytes,
    feed_public: bytes,
    feed: bytes,
    lane: int,
    seq: int,
    device: bytes,
    device_public: bytes,
    ring: PrekeyRing,
    device_public_of: Callable[[bytes], bytes | None],
) -> Opened:
    """What slot `index` holds for this device. device_public_of: D public of a device id; None if unknown."""
    commit, slot, sealed = _parts(body, index, HEAD_BYTES + _crowd_bytes(lane))
    init, prekey_id = _opened_init(slot, ring, _info(org, device))
    sender, root, signature = init[:ID_BYTES], init[ID_BYTES:-SIGNATURE_BYTES], init[-SIGNATURE_BYTES:]
    sender_public = device_public_of(sender)
    if sender_public is None:
        raise Refused("envelope-unknown-sender")
    if not verify(sender_public, _bound(root, device_public, prekey_id, feed_public), signature):
        raise Refused("envelope-binding")
    associated = _PLACE.pack(feed, lane, seq) + commit
    key = kdf(_message_key(root, sender, device), commit)
    try:
        content_key = aead_open(key, _NONCE, slot[-WRAPPED_BYTES:], associated)
        token = _token(content_key)
        if not equal(face_of(token)[2:], commit):
            raise Refused("envelope-commit")
        payload = aead_open(kdf(content_key, _BODY_LABEL), _NONCE, sealed, associated)
    except CryptoFailure:
        raise Refused("envelope-open") from None
    return Opened(sender, payload, sha256(root) + prekey_id + signature, token)


def face_of(token: bytes) -> bytes:
    """How the envelope with this token begins: kind | suite | com, 18 B."""
    return bytes([KIND, SUITE]) + sha256(_COMMIT_LABEL + token)[:COMMIT_BYTES]


def crowd_of_body(body: bytes) -> bytes:
    """The 2 B by which an entry of another lane than URGENT_LANE is carried; none if its body is no envelope."""
    if len(body) < CROWD_END or body[0] != KIND or body[1] != SUITE:
        return b""
    return body[HEAD_BYTES - 1 : CROWD_END]


def _crowd_bytes(lane: int) -> int:
    return 0 if lane == URGENT_LANE else CROWD_BYTES


def _parts(body: bytes, index: int, head_bytes: int) -> tuple[bytes, bytes, bytes]:
    """(com, the slot, the sealed payload)."""
    if len(body) < head_bytes or body[0] != KIND or body[1] != SUITE:
        raise Refused("envelope-malformed", "head")
    count = body[head_bytes - 1]
    if not 1 <= count <= WRAPS_MAX or not 0 <= index < count:
        raise Refused("envelope-malformed", "count")
    at, slot = head_bytes, b""
    for number in range(count):
        kind = body[at : at + 1]
        if kind not in (b"\x00", b"\x01"):
            raise Refused("envelope-malformed", "slot")
        end = at + (SLOT_BYTES if kind[0] == _INIT_SLOT else CHAIN_SLOT_BYTES)
        if number == index:
            slot = body[at:end]
        at = end
    if len(body) < at + TAG_BYTES or slot[0] == _CHAIN_SLOT:
        raise Refused("envelope-malformed", "slot")
    return body[2 : HEAD_BYTES - 1], slot, body[at:]  # com ends where HEAD_BYTES has its count.


def _opened_init(slot: bytes, ring: PrekeyRing, info: bytes) -> tuple[bytes, bytes]:
    """(init 112 B, id of the prekey that opened it)."""
    candidates: list[tuple[bytes, PrekeySecret]] = ring.candidates(slot[1])
    if not candidates:
        raise Refused("envelope-no-prekey")
    for prekey_id, secret in candidates:
        try:
            return hpke_open(secret, info, slot[2:-WRAPPED_BYTES]), prekey_id
        except CryptoFailure:
            continue  # The week fits several prekeys; only the last refusal is one.
    raise Refused("envelope-open")


def _info(org: bytes, receiver: bytes) -> bytes:
    return _INIT_LABEL + org + receiver


def _bound(root: bytes, receiver_public: bytes, prekey_id: bytes, feed_public: bytes) -> bytes:
    return _INIT_LABEL + sha256(root) + receiver_public + prekey_id + feed_public


def _message_key(root: bytes, sender: bytes, receiver: bytes) -> bytes:
    return kdf(kdf(root, _CHAIN_LABEL + sender + receiver), b"\x01")


def _token(content_key: bytes) -> bytes:
    return kdf(content_key, _TOKEN_LABEL)[:TOKEN_BYTES]
