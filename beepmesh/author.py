"""What this device writes: contents sealed to the devices of people, and control statements sealed to the organisation.

    content + persons -> compose -> drafts of envelopes        (body kind 1)
    feed certificate  -> feed_certificate_draft                (body kind 2, in clear: it names no device)
    statement         -> control_draft                         (body kind 3)

A draft is an entry without its place: seq, prev and time are known only inside the store's transaction, and what is
sealed is bound to feed, lane and seq. So the sealing itself waits in `Draft.make`.

    control body = 3 | ChaCha20-Poly1305(place key, nonce 0, data)
    place key    = kdf(control key, "beepmesh/control/1" | feed 16 | lane 1 | seq 8)

Each place makes a key of its own and a place is written once: that is why its nonce may be zero.

Laws
1. Nobody is sealed to who is revoked, or expired for longer than the grace; nor is this device itself.
2. Who could not be sealed to is said, never forgotten: `Composed.missing`.
3. Reading raises Refused("control-malformed") or Refused("control-sealed"), and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.certificates import DeviceCertificate
from beepmesh.crypto.payload import pack
from beepmesh.crypto.primitives import TAG_BYTES, CryptoFailure, Entropy, aead_open, aead_seal, kdf, sha256
from beepmesh.crypto.seal import CROWD_BYTES, URGENT_LANE, WRAPS_MAX, hint_key, seal
from beepmesh.crypto.seal import Recipient as SealedRecipient
from beepmesh.errors import Refused
from beepmesh.messages.content import Content, content_id, encode_content
from beepmesh.messages.entry import Entry
from beepmesh.messages.lifetimes import LANE_LATER, LANE_MESSAGES, LANE_URGENT, TTL_LONGEST, URGENT
from beepmesh.store.contract import Draft, Fact, Sealing, Statement
from beepmesh.trust.crowds import NOBODY, Crowds
from beepmesh.trust.facts import FACT_BYTES_MAX, FEED_CERTIFICATE, FEED_PAGE
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster
from sync import cbor

SMALL_BYTES_MAX: Final = 8 * 1_024  # What is packed larger is large mail: given to those only who lead to its reader.

BODY_ENVELOPE: Final = 1
BODY_FEED_CERTIFICATE: Final = 2
BODY_CONTROL: Final = 3

_CONTROL_LABEL: Final = b"beepmesh/control/1"
_SALT_LABEL: Final = b"beepmesh/control-salt/1"
_SALT_BYTES: Final = 16
_NONCE: Final = bytes(12)

Make = Callable[[bytes, int, int], tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Composed:
    """The entries that carry a content, and whom they do not reach yet."""

    drafts: tuple[Draft, ...]
    missing: tuple[tuple[bytes, bytes | None], ...]
    """(person, device whose prekeys have not come); (person, None) where no device of the person can be sealed to."""


def compose(
    content: Content,
    persons: Sequence[bytes],
    *,
    identity: Identity,
    roster: Roster,
    believed_s: int,
    lane: int,
    ttl: int,
    priority: int,
    devices_done: frozenset[bytes] = frozenset(),
    entropy: Entropy,
) -> Composed:
    """Seal a content to every device of these persons but `devices_done`. Ourselves among them are our other devices.

    Raises TooLarge or Usage for a content that a person asked too much of; Draft.make raises nothing.
    """
    payload = pack(encode_content(content))
    message_id = content_id(content)
    if lane == LANE_MESSAGES and len(payload) > SMALL_BYTES_MAX:
        lane = LANE_LATER
    reached: list[tuple[Sealing, SealedRecipient]] = []
    missing: list[tuple[bytes, bytes | None]] = []
    for person in persons:
        devices = sealable_devices(person, identity=identity, roster=roster, believed_s=believed_s)
        if not devices and person != identity.person:
            missing.append((person, None))
        for device in devices:
            if device.device in devices_done:
                continue
            bundle = roster.bundle(device.device, believed_s)
            if bundle is None:
                missing.append((person, device.device))
                continue
            key = hint_key(identity.link_key, device.link_public)
            recipient = SealedRecipient(device.device, device.public, bundle, key)
            reached.append((Sealing(message_id, person, device.device), recipient))
    drafts = tuple(
        Draft(
            control=False,
            lane=lane,
            ttl=ttl,
            priority=priority,
            make=_envelope(payload, tuple(recipient for _, recipient in part), identity, entropy, roster.crowds),
            sealed_to=tuple(sealing for sealing, _ in part),
        )
        for part in _parts(reached)
    )
    return Composed(drafts, tuple(missing))


def sealable_devices(
    person: bytes, *, identity: Identity, roster: Roster, believed_s: int
) -> tuple[DeviceCertificate, ...]:
    """The person's devices that may still read what is new, this one left out."""
    return tuple(
        device
        for device in roster.devices_of(person)
        if device.device != identity.device and roster.revoked(device.device) is None and device.usable_at(believed_s)
    )


def control_draft(statement: Statement, identity: Identity) -> Draft:
    """A statement for the control feed, readable with the organisation's newest control key."""
    assert len(statement.data) <= FACT_BYTES_MAX
    control_key = identity.control_keys[0]

    def make(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
        salt = kdf(control_key, _SALT_LABEL + sha256(statement.data))[:_SALT_BYTES]
        sealed = aead_seal(_place_key(control_key, feed, lane, seq, salt), _NONCE, statement.data, b"")
        return b"", bytes([BODY_CONTROL]) + salt + sealed

    return Draft(True, LANE_URGENT, TTL_LONGEST, URGENT, make, statement=statement)


def feed_certificate_draft(statement: Statement) -> Draft:
    """The first entry of the message feed: who vouches for it, in clear, for whoever carries it."""
    assert statement.kind == FEED_CERTIFICATE
    body = bytes([BODY_FEED_CERTIFICATE]) + statement.data
    return Draft(False, LANE_URGENT, TTL_LONGEST, URGENT, lambda _feed, _lane, _seq: (b"", body), statement=statement)


def decode_control(entry: Entry, control_keys: Iterable[bytes]) -> Fact:
    """What a control body says. Its entry was verified before; whether it is true is the roster's matter."""
    body = entry.body
    beside = 1 + _SALT_BYTES + TAG_BYTES
    if body is None or body[:1] != bytes([BODY_CONTROL]) or not beside < len(body) <= FACT_BYTES_MAX + beside:
        raise Refused("control-malformed", "body")
    data = _opened(body[1:], entry, control_keys)
    match _decoded(data):
        case [int(kind), *_] if not isinstance(kind, bool) and FEED_CERTIFICATE < kind <= FEED_PAGE:
            return Fact(entry.feed, entry.seq, kind, data)
        case _:
            raise Refused("control-malformed", "kind")


def feed_certificate_fact(entry: Entry) -> Fact:
    """What a feed certificate's body says, unjudged."""
    body = entry.body
    if body is None or body[:1] != bytes([BODY_FEED_CERTIFICATE]) or len(body) > FACT_BYTES_MAX:
        raise Refused("control-malformed", "body")
    match _decoded(body[1:]):
        case [bytes(), bytes()]:
            return Fact(entry.feed, entry.seq, FEED_CERTIFICATE, body[1:])
        case _:
            raise Refused("control-malformed", "feed certificate")


def _envelope(
    payload: bytes,
    recipients: tuple[SealedRecipient, ...],
    identity: Identity,
    entropy: Entropy,
    crowds: Callable[[], Crowds],
) -> Make:
    def make(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
        crowd = b""
        if lane != URGENT_LANE:
            towards = crowds().of(recipients[0].device) if len(recipients) == 1 else NOBODY
            crowd = towards.to_bytes(CROWD_BYTES)
        return seal(
            payload,
            org=identity.org,
            sender_device=identity.device,
            sender_key=identity.device_key,
            feed_public=identity.feed_key.public,
            feed=feed,
            lane=lane,
            seq=seq,
            recipients=recipients,
            entropy=entropy,
            crowd=crowd,
        )

    return make


def _parts(reached: list[tuple[Sealing, SealedRecipient]]) -> list[list[tuple[Sealing, SealedRecipient]]]:
    return [reached[at : at + WRAPS_MAX] for at in range(0, len(reached), WRAPS_MAX)]


def _place_key(control_key: bytes, feed: bytes, lane: int, seq: int, salt: bytes) -> bytes:
    return kdf(control_key, _CONTROL_LABEL + feed + bytes([lane]) + seq.to_bytes(8) + salt)


def _opened(sealed: bytes, entry: Entry, control_keys: Iterable[bytes]) -> bytes:
    salt, sealed = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
    for control_key in control_keys:
        try:
            return aead_open(_place_key(control_key, entry.feed, entry.lane, entry.seq, salt), _NONCE, sealed, b"")
        except CryptoFailure:
            continue
    raise Refused("control-sealed")


def _decoded(data: bytes) -> object:
    try:
        return cbor.decode(data, bytes_max=FACT_BYTES_MAX)
    except cbor.CborError:
        raise Refused("control-malformed", "not CBOR") from None
