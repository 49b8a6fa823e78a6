"""A small organisation for the tests: a founder, whoever he lets in, and what their feeds would say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from beepmesh.crypto.certificates import Cut, issue_device, issue_revocation
from beepmesh.crypto.prekeys import sign_bundle
from beepmesh.crypto.primitives import SigningKey
from beepmesh.trust.enrol import Granted, JoinKeys, check_answer, check_request, grant, request
from beepmesh.trust.facts import (
    DEVICE_CERTIFICATE,
    FEED_CERTIFICATE,
    PREKEY_BUNDLE,
    REVOCATION,
    Fact,
    device_certificate_data,
    feed_certificate_data,
    prekey_bundle_data,
    revocation_data,
)
from beepmesh.trust.identity import Identity, found
from beepmesh.trust.invite import Invitation
from beepmesh.trust.renewal import registrar_certificate
from beepmesh.trust.roster import Roster
from beepmesh.trust.ticket import Offer, new_ticket

NOW_S = 1_800_000_000
DAY_S = 86_400
HOUR = NOW_S // 3_600


@dataclass
class Entropy:
    """Reproducible bytes: one seed, one history."""

    seed: str
    count: int = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(f"{self.seed}/{self.count}".encode()).digest(size)


@dataclass
class Village:
    """The founder `hq`, and everybody he or another registrar lets in."""

    entropy: Entropy = field(default_factory=lambda: Entropy("village"))
    now_s: int = NOW_S

    def __post_init__(self) -> None:
        self.hq = found("Swat Relief", "Headquarters", self.now_s, self.entropy)

    def admit(
        self,
        name: str,
        *,
        role: str = "field",
        department: str = "",
        by: Identity | None = None,
        now_s: int | None = None,
        person: bytes | None = None,
    ) -> Identity:
        registrar, now_s = by or self.hq, self.now_s if now_s is None else now_s
        offer = Offer((role,), department, person)
        ticket = new_ticket(registrar, offer, now_s=now_s, expires_s=now_s + DAY_S, entropy=self.entropy)
        keys = JoinKeys.generate(self.entropy)
        asked = check_request(request(keys, name, b"handshake"), b"handshake")
        granted: Granted = grant(registrar, ticket, asked, now_s=now_s, trusted_s=now_s, entropy=self.entropy)
        return check_answer(granted.answer, Invitation(self.hq.org, ticket.secret, ticket.expires_s), keys)

    def with_registrar(self, identity: Identity, departments: tuple[str, ...], now_s: int = NOW_S) -> Identity:
        """The same registrar with another certificate for the same key."""
        root, key = self.hq.root_key, identity.registrar_key
        assert root is not None
        assert key is not None
        data = registrar_certificate(root, key.public, departments, ("field", "relay"), identity.device, now_s)
        return replace(identity, registrar_certificate=data)

    def roster(self, *facts: Fact | Iterable[Fact]) -> Roster:
        roster = Roster(self.hq.root_public)
        for item in facts:
            for fact in (item,) if isinstance(item, Fact) else item:
                roster.learn(fact)
        return roster


def device_fact(identity: Identity) -> Fact:
    data = device_certificate_data(identity.device_certificate, identity.issuer_certificate)
    return Fact(identity.device, 0, DEVICE_CERTIFICATE, data)


def feed_fact(identity: Identity) -> Fact:
    data = feed_certificate_data(identity.feed_certificate, identity.issuer_certificate)
    return Fact(identity.feed, 0, FEED_CERTIFICATE, data)


def facts_of(*members: Identity) -> list[Fact]:
    return [fact for member in members for fact in (device_fact(member), feed_fact(member))]


def revocation(by: Identity, whom: Identity, *, time_s: int = NOW_S, cuts: tuple[Cut, ...] = ()) -> Fact:
    key = by.registrar_key
    assert isinstance(key, SigningKey)
    assert by.registrar_certificate is not None
    statement = issue_revocation(
        key, device=whom.device, serial=whom.certificate().serial, time=time_s, reason="lost", cuts=cuts
    )
    return Fact(by.device, 9, REVOCATION, revocation_data(statement, by.registrar_certificate))


def certificate_by(
    registrar: Identity, whom: Identity, *, now_s: int = NOW_S, person: bytes | None = None, department: str = "flood"
) -> Fact:
    """A certificate that this registrar gives to a known device, in that device's own feed."""
    assert registrar.registrar_key is not None
    assert registrar.registrar_certificate is not None
    data = issue_device(
        registrar.registrar_key, person=person or whom.person, device_public=whom.device_key.public,
        link_public=whom.link_key.public, name="Renamed", department=department, roles=("field",), not_before=now_s,
        expires=now_s + DAY_S, serial=bytes(8),
    )  # fmt: skip
    registrar_data = registrar.registrar_certificate
    return Fact(whom.device, 5, DEVICE_CERTIFICATE, device_certificate_data(data, registrar_data))


def bundle_of(member: Identity, start_hour: int = HOUR, signer: Identity | None = None) -> Fact:
    _, template = member.prekeys.rotate(start_hour * 3_600, member.device_key, Entropy(f"{member.name}{start_hour}"))
    bundle = sign_bundle(
        (signer or member).device_key, device=member.device, start_hour=start_hour, usable_days=21,
        public=template.public,
    )  # fmt: skip
    return Fact(member.device, 2, PREKEY_BUNDLE, prekey_bundle_data(bundle.encode()))
