"""A pin names a TLS certificate by what is in it, so that neither a clock nor an authority has to be right.

A pin is the SHA-256 of the certificate, or of its public key (SubjectPublicKeyInfo, RFC 5280 section 4.1) so that a
renewed certificate keeps it; written in hexadecimal, whole or its first 16 bytes. Finding another key with the same
16 bytes takes 2^128 attempts.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from contextlib import suppress

_PIN = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{64})")


def pin_of(text: str) -> bytes:
    """The 16 or 32 bytes of a written pin. Raises ValueError."""
    bare = text.strip().lower().replace(":", "")
    if not _PIN.fullmatch(bare):
        raise ValueError("a pin is 32 or 64 hexadecimal digits")
    return bytes.fromhex(bare)


def own_pin(certificate: bytes) -> str:
    """The short pin of a certificate's public key, as it is told to those who shall dial. Raises ValueError."""
    return hashlib.sha256(public_key_info(certificate)).hexdigest()[:32]


def matches(pin: bytes, certificate: bytes) -> bool:
    """Whether the pin names this certificate (DER) or its public key."""
    named = [certificate]
    with suppress(ValueError):
        named.append(public_key_info(certificate))
    return any(hmac.compare_digest(hashlib.sha256(one).digest()[: len(pin)], pin) for one in named)


def public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo inside a certificate, with its own header. Raises ValueError where there is none.

    It is the seventh field of the signed part, or the sixth where the version is left out.
    """
    _, outer_at, outer_end = _element(certificate, 0, len(certificate))
    _, at, end = _element(certificate, outer_at, outer_end)
    tag, _, after = _element(certificate, at, end)
    left = 6 if tag == 0xA0 else 5
    at = after if left == 6 else at
    for _ in range(left - 1):
        _, _, at = _element(certificate, at, end)
    tag, _, after = _element(certificate, at, end)
    if tag != 0x30:
        raise ValueError("no public key where a certificate has one")
    return certificate[at:after]


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the contents of one DER element that lies within at..end. Raises ValueError."""
    if at + 2 > end:
        raise ValueError("a certificate that ends too soon")
    tag, length, start = data[at], data[at + 1], at + 2
    if length >= 0x80:
        count = length - 0x80
        if not 1 <= count <= 3 or start + count > end:
            raise ValueError("a certificate with a length that cannot be")
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + length > end:
        raise ValueError("a certificate that ends too soon")
    return tag, start, start + length
