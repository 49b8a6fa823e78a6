"""What a control feed, or a feed certificate, says: the words in which the roster is told and the store remembers.

`data` is one deterministic CBOR array. For kinds 1 to 5 it is the opened plaintext of a CONTROL body and starts with
the kind itself; for kind 0 it is what stands in a FEED_CERTIFICATE body behind its first byte.

| kind | data |
|---|---|
| 0 feed certificate | `[feed certificate, registrar certificate]` |
| 1 device certificate | `[1, device certificate, registrar certificate]` |
| 2 prekey bundle | `[2, bundle]` |
| 3 revocation | `[3, statement, registrar certificate]` |
| 4 fork proof | `[4, header_a, signature_a, header_b, signature_b]` |
| 5 feed page | `[5, start 4, feeds]`: 1 to 128 feed ids of 16 bytes, and the number of the first one, big-endian |

A registrar's certificate travels with everything it signed: no such fact ever waits for another one to be judged. A
page waits for the pages before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beepmesh.errors import Refused
from sync import cbor

FEED_CERTIFICATE: Final = 0
DEVICE_CERTIFICATE: Final = 1
PREKEY_BUNDLE: Final = 2
REVOCATION: Final = 3
FORK_PROOF: Final = 4
FEED_PAGE: Final = 5

FACT_BYTES_MAX: Final = 4_096  # The largest is a revocation: 2,560 B, its registrar certificate, and their frame.
FEED_PAGE_FEEDS_MAX: Final = 128  # 2 KiB, half of what a fact may take.

_FIELDS: Final = {
    FEED_CERTIFICATE: 2,
    DEVICE_CERTIFICATE: 2,
    PREKEY_BUNDLE: 1,
    REVOCATION: 2,
    FORK_PROOF: 4,
    FEED_PAGE: 2,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement and the feed (16 B) and seq where it stands. The entry's own signature was verified before."""

    feed: bytes
    seq: int
    kind: int
    data: bytes


def parts_of(fact: Fact) -> tuple[bytes, ...]:
    """The byte strings of its data, in the table's order. Raises Refused("fact-malformed" or "fact-unknown")."""
    count = _FIELDS.get(fact.kind)
    if count is None:
        raise Refused("fact-unknown", f"kind {fact.kind}")
    try:
        items = cbor.decode(fact.data, bytes_max=FACT_BYTES_MAX)
    except cbor.CborError as error:
        raise Refused("fact-malformed", str(error)) from None
    if not isinstance(items, list):
        raise Refused("fact-malformed", "no array")
    if fact.kind != FEED_CERTIFICATE:
        # In Python True is 1; in CBOR it is something else.
        if not items or type(items[0]) is not int or items[0] != fact.kind:
            raise Refused("fact-malformed", "another kind inside")
        items = items[1:]
    parts = tuple(item for item in items if isinstance(item, bytes))
    if len(parts) != len(items) or len(parts) != count:
        raise Refused("fact-malformed", "parts")
    return parts


def feed_certificate_data(certificate: bytes, registrar: bytes) -> bytes:
    """Kind 0: what a FEED_CERTIFICATE body says, in clear."""
    return cbor.encode([certificate, registrar])


def device_certificate_data(certificate: bytes, registrar: bytes) -> bytes:
    return cbor.encode([DEVICE_CERTIFICATE, certificate, registrar])


def prekey_bundle_data(bundle: bytes) -> bytes:
    return cbor.encode([PREKEY_BUNDLE, bundle])


def revocation_data(statement: bytes, registrar: bytes) -> bytes:
    return cbor.encode([REVOCATION, statement, registrar])


def fork_proof_data(header_a: bytes, signature_a: bytes, header_b: bytes, signature_b: bytes) -> bytes:
    return cbor.encode([FORK_PROOF, header_a, signature_a, header_b, signature_b])


def feed_page_data(start: bytes, feeds: bytes) -> bytes:
    return cbor.encode([FEED_PAGE, start, feeds])
