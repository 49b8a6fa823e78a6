"""Everything secret that makes this device itself, as one value for the keystore; and the founding of an organisation.

No key is shared between devices. What members have in common: the organisation's link secrets (who may open a link)
and its control keys (who may read who everybody is).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from beepmesh.crypto.certificates import (
    DAY_S,
    DeviceCertificate,
    FeedCertificate,
    RegistrarCertificate,
    check_device,
    check_feed,
    check_registrar,
    issue_device,
    issue_feed,
    issue_registrar,
    public_id,
)
from beepmesh.crypto.names import ROLES
from beepmesh.crypto.prekeys import PrekeyRing
from beepmesh.crypto.primitives import SEED_BYTES, AgreementKey, Entropy, SigningKey, kdf
from beepmesh.errors import HomeProblem, Refused
from beepmesh.trust.names import clean_name
from beepmesh.trust.roster import registrar_serial
from sync import cbor

REGISTRAR_S: Final = 365 * DAY_S
DEVICE_S: Final = 90 * DAY_S
SECRETS_MAX: Final = 3  # Link secrets and control keys: the current one and two for devices that were away.
SECRET_BYTES: Final = 32
IDENTITY_BYTES_MAX: Final = 65_536
FOUNDER_ROLES: Final = ("hq", "registrar")

_VERSION: Final = 1


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """A device of a person in an organisation. Seeds are 32 B; certificates are kept as they were signed."""

    org_name: str
    root_public: bytes
    root_seed: bytes | None  # on the founder's device alone
    registrar_seed: bytes | None  # with the certificate below: this device may let others in
    registrar_certificate: bytes | None
    issuer_certificate: bytes  # of the registrar that signed the two below
    device_seed: bytes
    link_seed: bytes
    feed_seed: bytes
    device_certificate: bytes
    feed_certificate: bytes
    person: bytes  # 16 B
    name: str
    link_secrets: tuple[bytes, ...]  # newest first
    control_keys: tuple[bytes, ...]  # newest first
    prekeys: PrekeyRing
    trusted_s: int  # the newest HQ-signed time known when this was made: a floor until the roster is loaded

    device_key: SigningKey = field(init=False, compare=False)
    """D, which signs what names this device."""
    link_key: AgreementKey = field(init=False, compare=False)
    feed_key: SigningKey = field(init=False, compare=False)
    """F, which signs messages and names nobody."""
    org: bytes = field(init=False, compare=False)
    """16 B."""
    device: bytes = field(init=False, compare=False)
    """16 B, also the id of the control feed."""
    feed: bytes = field(init=False, compare=False)
    """16 B, id of the message feed."""

    def __post_init__(self) -> None:
        # Making a key from its seed takes 20 to 60 us, and these are asked for with every entry and every link.
        made = (
            ("device_key", SigningKey(self.device_seed)),
            ("link_key", AgreementKey(self.link_seed)),
            ("feed_key", SigningKey(self.feed_seed)),
        )
        for name, key in made:
            object.__setattr__(self, name, key)
        for name, public in (("org", self.root_public), ("device", made[0][1].public), ("feed", made[2][1].public)):
            object.__setattr__(self, name, public_id(public))

    def __repr__(self) -> str:
        return f"Identity({self.name!r}, device={self.device.hex()}, org={self.org.hex()})"

    @property
    def root_key(self) -> SigningKey | None:
        return None if self.root_seed is None else SigningKey(self.root_seed)

    @property
    def registrar_key(self) -> SigningKey | None:
        return None if self.registrar_seed is None else SigningKey(self.registrar_seed)

    @property
    def link_psks(self) -> tuple[bytes, ...]:
        """The pre-shared keys of member links, the one to dial with first."""
        return tuple(kdf(secret, b"beepmesh/link-psk/1") for secret in self.link_secrets)

    @property
    def bundle_secrets(self) -> tuple[bytes, ...]:
        """What opens the organisation's bundles, the one to write them with first."""
        return tuple(kdf(secret, b"beepmesh/bundle/1") for secret in self.link_secrets)

    def issuer(self) -> RegistrarCertificate:
        """The checked certificate of the registrar that let this device in."""
        return check_registrar(self.issuer_certificate, self.root_public)

    def certificate(self) -> DeviceCertificate:
        """The checked certificate of this device: its roles, department and dates."""
        return check_device(self.device_certificate, self.issuer())

    def feed_vouched(self) -> FeedCertificate:
        return check_feed(self.feed_certificate, self.issuer(), self.org)

    def registrar(self) -> RegistrarCertificate | None:
        """The checked certificate under which this device lets others in; None if it may not."""
        if self.registrar_certificate is None:
            return None
        return check_registrar(self.registrar_certificate, self.root_public)

    @property
    def roles(self) -> tuple[str, ...]:
        return self.certificate().roles

    @property
    def department(self) -> str:
        return self.certificate().department

    def with_prekeys(self, prekeys: PrekeyRing) -> Identity:
        return replace(self, prekeys=prekeys)

    def encode(self) -> bytes:
        """For the keystore: all of it is secret."""
        return cbor.encode(
            [
                _VERSION,
                self.org_name,
                self.root_public,
                self.root_seed,
                self.registrar_seed,
                self.registrar_certificate,
                self.issuer_certificate,
                self.device_seed,
                self.link_seed,
                self.feed_seed,
                self.device_certificate,
                self.feed_certificate,
                self.person,
                self.name,
                list(self.link_secrets),
                list(self.control_keys),
                self.prekeys.encode(),
                self.trusted_s,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Identity:
        """What encode gave. Raises HomeProblem for anything else."""
        try:
            match cbor.decode(data, bytes_max=IDENTITY_BYTES_MAX):
                case [
                    1,
                    str(org_name),
                    bytes(root_public),
                    bytes() | None as root_seed,
                    bytes() | None as registrar_seed,
                    bytes() | None as registrar_certificate,
                    bytes(issuer_certificate),
                    bytes(device_seed),
                    bytes(link_seed),
                    bytes(feed_seed),
                    bytes(device_certificate),
                    bytes(feed_certificate),
                    bytes(person),
                    str(name),
                    list(link_secrets),
                    list(control_keys),
                    bytes(prekeys),
                    int(trusted_s),
                ] if all(len(seed) == SEED_BYTES for seed in (device_seed, link_seed, feed_seed)):
                    return cls(
                        org_name,
                        root_public,
                        _seed_or_none(root_seed),
                        _seed_or_none(registrar_seed),
                        registrar_certificate,
                        issuer_certificate,
                        device_seed,
                        link_seed,
                        feed_seed,
                        device_certificate,
                        feed_certificate,
                        person,
                        name,
                        secrets_of(link_secrets),
                        secrets_of(control_keys),
                        PrekeyRing.decode(prekeys),
                        trusted_s,
                    )
                case _:
                    raise _damaged()
        except (cbor.CborError, Refused):
            raise _damaged() from None


def found(org_name: str, person_name: str, now_s: int, entropy: Entropy) -> Identity:
    """A new organisation, whose root, first registrar and headquarters are this device. Raises Usage for bad names.

    The prekey ring is empty: `prekeys.due` says so, and whoever rotates it publishes the bundle.
    """
    org_name, person_name = clean_name(org_name), clean_name(person_name)
    root, registrar, device, feed = (SigningKey(entropy(SEED_BYTES)) for _ in range(4))
    link = AgreementKey(entropy(SEED_BYTES))
    person = entropy(16)
    own = issue_registrar(
        root,
        registrar_public=registrar.public,
        departments=("",),
        roles=ROLES,
        not_before=now_s,
        expires=now_s + REGISTRAR_S,
        serial=registrar_serial(public_id(device.public)),
    )
    certificate = issue_device(
        registrar,
        person=person,
        device_public=device.public,
        link_public=link.public,
        name=person_name,
        department="",
        roles=FOUNDER_ROLES,
        not_before=now_s,
        expires=now_s + DEVICE_S,
        serial=entropy(8),
    )
    vouched = issue_feed(
        registrar, feed_public=feed.public, not_before=now_s, expires=now_s + DEVICE_S, serial=entropy(8)
    )
    return Identity(
        org_name=org_name,
        root_public=root.public,
        root_seed=root.seed,
        registrar_seed=registrar.seed,
        registrar_certificate=own,
        issuer_certificate=own,
        device_seed=device.seed,
        link_seed=link.seed,
        feed_seed=feed.seed,
        device_certificate=certificate,
        feed_certificate=vouched,
        person=person,
        name=person_name,
        link_secrets=(entropy(SECRET_BYTES),),
        control_keys=(entropy(SECRET_BYTES),),
        prekeys=PrekeyRing.empty(),
        trusted_s=now_s,
    )


def secrets_of(items: list[object]) -> tuple[bytes, ...]:
    """Link secrets or control keys out of CBOR. Raises Refused("secrets-malformed")."""
    secrets = tuple(item for item in items if isinstance(item, bytes) and len(item) == SECRET_BYTES)
    if len(secrets) != len(items) or not 1 <= len(secrets) <= SECRETS_MAX:
        raise Refused("secrets-malformed")
    return secrets


def _seed_or_none(seed: bytes | None) -> bytes | None:
    if seed is not None and len(seed) != SEED_BYTES:
        raise Refused("seed-malformed")
    return seed


def _damaged() -> HomeProblem:
    return HomeProblem("The keys of this device are damaged or newer than this version. Restore them, or join again.")
