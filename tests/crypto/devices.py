"""Devices for the tests of sealing: all keys from one name, so that a failure can be run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256, shake_256

from beepmesh.crypto.prekeys import PrekeyBundle, PrekeyRing
from beepmesh.crypto.primitives import AgreementKey, Entropy, SigningKey
from beepmesh.crypto.seal import URGENT_LANE, Opened, Recipient, hint_key, open_slot, seal

NOW_S = 1_795_000_000  # November 2026
ORG = sha256(b"org").digest()[:16]
TOWARDS = b"\x02\x01"  # A crowd: half of everybody.


def seed(name: str) -> bytes:
    return sha256(name.encode()).digest()


def entropy_from(name: str) -> Entropy:
    """Different bytes at each call, the same at each run."""
    count = 0

    def entropy(length: int) -> bytes:
        nonlocal count
        count += 1
        return shake_256(f"{name}|{count}".encode()).digest(length)

    return entropy


@dataclass(frozen=True)
class Device:
    key: SigningKey
    link: AgreementKey
    feed_key: SigningKey
    ring: PrekeyRing
    bundle: PrekeyBundle

    @property
    def id(self) -> bytes:
        return sha256(self.key.public).digest()[:16]

    @property
    def feed(self) -> bytes:
        return sha256(self.feed_key.public).digest()[:16]

    def to(self, other: Device) -> Recipient:
        return Recipient(other.id, other.key.public, other.bundle, hint_key(self.link, other.link.public))

    def seal(
        self, payload: bytes, *to: Device, lane: int = 1, seq: int = 7, crowd: bytes | None = None
    ) -> tuple[bytes, bytes]:
        if crowd is None:
            crowd = b"" if lane == URGENT_LANE else TOWARDS
        return seal(
            payload,
            org=ORG,
            sender_device=self.id,
            sender_key=self.key,
            feed_public=self.feed_key.public,
            feed=self.feed,
            lane=lane,
            seq=seq,
            recipients=[self.to(other) for other in to],
            entropy=entropy_from("seal"),
            crowd=crowd,
        )

    def open(
        self,
        body: bytes,
        index: int,
        writer: Device,
        known: Callable[[bytes], bytes | None],
        *,
        lane: int = 1,
        seq: int = 7,
        org: bytes = ORG,
        ring: PrekeyRing | None = None,
    ) -> Opened:
        """What this device reads in an entry of writer's feed."""
        return open_slot(
            body,
            index,
            org=org,
            feed_public=writer.feed_key.public,
            feed=writer.feed,
            lane=lane,
            seq=seq,
            device=self.id,
            device_public=self.key.public,
            ring=self.ring if ring is None else ring,
            device_public_of=known,
        )


def device(name: str, now_s: int = NOW_S) -> Device:
    key = SigningKey(seed(name))
    ring, bundle = PrekeyRing.empty().rotate(now_s, key, entropy_from(f"{name} prekey"))
    return Device(key, AgreementKey(seed(f"{name} link")), SigningKey(seed(f"{name} feed")), ring, bundle)


def knowing(*devices: Device) -> Callable[[bytes], bytes | None]:
    """A roster of these devices."""
    return {each.id: each.key.public for each in devices}.get
