"""A bundle read a second time: from beepmesh/bundles/README.md, straight on the library, with nothing of beepmesh."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.crypto.naive_open import hpke_open, mac

CHUNK = 65_536


def expanded(secret: bytes, salt: bytes, label: bytes) -> bytes:
    return mac(mac(salt, secret), label + b"\x01")


def opened(key: bytes, number: int, chunk: bytes, header: bytes) -> bytes | None:
    for last in (b"\0", b"\1"):
        try:
            return ChaCha20Poly1305(key).decrypt(bytes(3) + number.to_bytes(8) + last, chunk, header)[4:]
        except InvalidTag:
            continue
    return None


def records(data: bytes, link_secret: bytes, prekey_seeds: list[bytes]) -> list[bytes] | None:
    """The records of a whole bundle, each without its length; None for one that is not for these prekeys."""
    header, body = data[:64], data[64:]
    assert header[:9] == b"beepmesh\x01"
    salt = header[9:41]
    assert not any(header[41:])
    organisation = mac(link_secret, b"beepmesh/bundle/1")
    outer = expanded(organisation, salt, b"beepmesh/bundle-file/1")
    chunks = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
    stream = opened(outer, 0, chunks[0], header)
    assert stream is not None
    key, begin = outer, 0
    if stream[4] == 2:
        length = 4 + int.from_bytes(stream[:4])
        begin = -(-length // (CHUNK - 20))
        head = b"".join(opened(outer, number, chunks[number], header) or b"" for number in range(begin))[5:length]
        wraps = [head[at : at + 1_168] for at in range(0, len(head), 1_168)]
        inner = unwrapped(wraps, prekey_seeds, header)
        if inner is None:
            return None
        key = expanded(organisation + inner, salt, b"beepmesh/bundle-inner/1")
    stream = b"".join(
        opened(key, number, chunk, header) or b"" for number, chunk in enumerate(chunks[begin:], start=begin)
    )
    found, at = [], 0
    while length := int.from_bytes(stream[at : at + 4]):
        found.append(stream[at + 4 : at + 4 + length])
        at += 4 + length
    assert not any(stream[at:])
    return found


def unwrapped(wraps: list[bytes], prekey_seeds: list[bytes], header: bytes) -> bytes | None:
    for wrap in wraps:
        for seed in prekey_seeds:
            try:
                return hpke_open(seed, b"beepmesh/bundle-wrap/1" + header, wrap)
            except InvalidTag:
                continue
    return None
