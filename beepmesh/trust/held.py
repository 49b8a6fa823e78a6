"""Which of several statements about one thing are kept: always the top of an order, never the first that came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from beepmesh.crypto.certificates import DeviceCertificate, FeedCertificate, RegistrarCertificate, Revocation
from beepmesh.crypto.prekeys import PrekeyBundle

Dated = TypeVar("Dated", DeviceCertificate, FeedCertificate)
Item = TypeVar("Item")
Order = tuple[int, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Held(Generic[Dated]):
    certificate: Dated
    issuer: RegistrarCertificate


@dataclass(frozen=True, slots=True)
class Said:
    revocation: Revocation
    issuer: RegistrarCertificate


def top(items: list[Item], item: Item, order: Callable[[Item], Order], most: int) -> tuple[list[Item], bool]:
    """The `most` highest, highest first, and whether item is a new one among them. One order key is one item."""
    if any(order(known) == order(item) for known in items):
        return items, False
    kept = sorted([*items, item], key=order, reverse=True)[:most]
    return kept, any(known is item for known in kept)


def age(held: Held[Dated]) -> Order:
    # The same certificate may come with an older or newer one of its registrar, who may reach further by then.
    return held.certificate.not_before, held.certificate.data, held.issuer.not_before.to_bytes(8) + held.issuer.data


def start(bundle: PrekeyBundle) -> Order:
    return bundle.start_hour, bundle.public, bundle.signature


def earliness(said: Said) -> Order:
    return -said.revocation.time, said.revocation.data, said.issuer.data
