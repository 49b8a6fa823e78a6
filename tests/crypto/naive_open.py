"""The envelope opened a second time, and tokens read: from beepmesh/crypto/README.md, straight on the libraries.

Nothing here comes from beepmesh, and nothing is shared with it: HPKE and X-Wing are written out from RFC 9180 and
draft-connolly-cfrg-xwing-kem with ML-KEM-768 and X25519 as the only black boxes. It is slow, it checks nothing but
what it must, and where it disagrees with `seal.py` one of the two is wrong.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SUITE_ID = b"HPKE" + bytes.fromhex("647a00010003")  # X-Wing, HKDF-SHA256, ChaCha20-Poly1305


@dataclass(frozen=True)
class Place:
    org: bytes
    feed: bytes
    feed_public: bytes
    lane: int
    seq: int


def mac(key: bytes, label: bytes) -> bytes:
    return hmac.new(key, label, hashlib.sha256).digest()


def labeled_extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return mac(salt or bytes(32), b"HPKE-v1" + SUITE_ID + label + ikm)


def labeled_expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    stated = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    return mac(prk, stated + b"\x01")[:length]


def xwing_decapsulate(seed: bytes, encapsulated: bytes) -> bytes:
    expanded = hashlib.shake_256(seed).digest(96)
    curve = X25519PrivateKey.from_private_bytes(expanded[64:])
    lattice_part, curve_part = encapsulated[:1_088], encapsulated[1_088:]
    lattice_secret = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(lattice_part)
    curve_secret = curve.exchange(X25519PublicKey.from_public_bytes(curve_part))
    curve_public = curve.public_key().public_bytes_raw()
    return hashlib.sha3_256(lattice_secret + curve_secret + curve_part + curve_public + b"\\.//^\\").digest()


def xwing_public(seed: bytes) -> bytes:
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).public_key().public_bytes_raw()
    return lattice + X25519PrivateKey.from_private_bytes(expanded[64:]).public_key().public_bytes_raw()


def hpke_open(seed: bytes, info: bytes, sealed: bytes) -> bytes:
    shared = xwing_decapsulate(seed, sealed[:1_120])
    context = b"\x00" + labeled_extract(b"", b"psk_id_hash", b"") + labeled_extract(b"", b"info_hash", info)
    secret = labeled_extract(shared, b"secret", b"")
    key = labeled_expand(secret, b"key", context, 32)
    nonce = labeled_expand(secret, b"base_nonce", context, 12)
    return ChaCha20Poly1305(key).decrypt(nonce, sealed[1_120:], b"")


def open_envelope(
    body: bytes, index: int, place: Place, receiver_public: bytes, prekey_seed: bytes, senders: dict[bytes, bytes]
) -> tuple[bytes, bytes, bytes]:
    """(sender device id, payload, token). Raises whatever it stumbles over."""
    assert body[:2] == b"\x01\x03"
    commit, at = body[2:18], 21 if place.lane else 19
    count = body[at - 1]
    slot = body[at + 1_298 * index : at + 1_298 * (index + 1)]
    assert index < count
    assert slot[0] == 0
    receiver = hashlib.sha256(receiver_public).digest()[:16]
    init = hpke_open(prekey_seed, b"beepmesh/init/1" + place.org + receiver, slot[2:1_250])
    sender, root, signature = init[:16], init[16:48], init[48:]
    prekey_id = hashlib.sha256(b"beepmesh/prekey-id/1" + xwing_public(prekey_seed)).digest()[:8]
    signed = b"beepmesh/init/1" + hashlib.sha256(root).digest() + receiver_public + prekey_id + place.feed_public
    Ed25519PublicKey.from_public_bytes(senders[sender]).verify(signature, signed)
    chain = mac(root, b"beepmesh/chain/1" + sender + receiver)
    associated = place.feed + bytes([place.lane]) + place.seq.to_bytes(8, "big") + commit
    content_key = ChaCha20Poly1305(mac(mac(chain, b"\x01"), commit)).decrypt(bytes(12), slot[1_250:], associated)
    token = mac(content_key, b"beepmesh/token/1")[:16]
    assert hashlib.sha256(b"beepmesh/commit/2" + token).digest()[:16] == commit
    body_key = mac(content_key, b"beepmesh/body/1")
    return sender, ChaCha20Poly1305(body_key).decrypt(bytes(12), body[at + 1_298 * count :], associated), token


def hint(mine_seed: bytes, theirs_public: bytes, receiver: bytes, place: Place) -> bytes:
    private = X25519PrivateKey.from_private_bytes(mine_seed)
    shared = private.exchange(X25519PublicKey.from_public_bytes(theirs_public))
    stated = receiver + place.feed + bytes([place.lane]) + (place.seq >> 3).to_bytes(8, "big")
    start = 4 * (place.seq & 7)
    return mac(mac(shared, b"beepmesh/hint/1"), stated)[start : start + 4]


def body_hash(body: bytes) -> bytes:
    return hashlib.sha256(body[:18] + hashlib.sha256(body[18:]).digest()).digest()


def header_proved_by(packed: bytes, seq: int, public: bytes) -> bytes | None:
    """The header that a delivery token proves; None if it proves none."""
    feed, classes, prev, time_ms, hint = packed[:16], packed[16], packed[17:49], packed[49:55], packed[55:59]
    length, rest, signature, secret = packed[59:63], packed[63:95], packed[95:159], packed[159:]
    face = b"\x01\x03" + hashlib.sha256(b"beepmesh/commit/2" + secret).digest()[:16]
    lane, ttl, priority = classes // 64, classes // 4 % 16, classes % 4
    place = b"\x02" + feed + bytes([lane]) + seq.to_bytes(4, "big") + prev
    body = length + hashlib.sha256(face + rest).digest()
    header = place + time_ms + bytes([16 * ttl + priority, 1]) + hint + body
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, b"beepmesh/entry/2" + header)
    except InvalidSignature:
        return None
    return header


def unpack(payload: bytes, dictionary: bytes) -> bytes:
    length = int.from_bytes(payload[1:4], "big")
    coded = payload[4 : 4 + length]
    if payload[0] == 0:
        return coded
    assert payload[0] == 1
    words = zstandard.ZstdCompressionDict(dictionary)
    return zstandard.ZstdDecompressor(dict_data=words, format=zstandard.FORMAT_ZSTD1_MAGICLESS).decompress(coded)
