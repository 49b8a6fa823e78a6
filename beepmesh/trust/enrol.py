"""Letting a device in: what the joiner asks, what the registrar decides, what the joiner makes of the answer.

    registrar                                     joiner
    Ticket (kept sealed) --- code, by hand ----->  decode_code
                          <---- request ---------  request(keys, name, context)
    check_request, grant   ----- answer --------->  check_answer -> Identity

Live, both travel over a Noise link whose psk comes from the code's secret, and `context` is that link's handshake hash;
across an air gap they travel in files sealed with the same secret, and `context` is the invitation's id.

Laws
1. A request is signed by every signing key it names, over its context: it proves the keys, and is worth nothing in
   another handshake or for another invitation. (The link key is proved by the handshake; whoever has one compares.)
2. What may be given, and how often, is the ticket's law (`ticket.py`): nothing is granted that it does not allow.
3. An answer is believed only if its root is the one the code names, its chain holds, it certifies exactly the keys
   that were asked for, and it belongs to this invitation.
4. Bytes for the registrar raise Refused: `request-malformed`, `request-signature`, `request-name`,
   `invitation-expired`, `invitation-used`, `invitation-forbidden`. Bytes for the joiner raise InvitationProblem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from beepmesh.crypto.certificates import (
    check_device,
    check_feed,
    check_registrar,
    department_code,
    issue_device,
    issue_feed,
    public_id,
)
from beepmesh.crypto.names import name_problem
from beepmesh.crypto.prekeys import PrekeyRing
from beepmesh.crypto.primitives import (
    PUBLIC_BYTES,
    SEED_BYTES,
    SIGNATURE_BYTES,
    AgreementKey,
    Entropy,
    SigningKey,
    equal,
    kdf,
    sha256,
    verify,
)
from beepmesh.errors import InvitationProblem, NotAllowed, Refused
from beepmesh.trust.fields import decode_fields, encode_fields
from beepmesh.trust.identity import DEVICE_S, Identity, secrets_of
from beepmesh.trust.invite import Invitation, invitation_id
from beepmesh.trust.names import clean_name
from beepmesh.trust.renewal import registrar_certificate
from beepmesh.trust.roster import registrar_serial
from beepmesh.trust.ticket import REGISTRAR_ROLES, Offer, Ticket, require_allowed

REQUEST_BYTES_MAX: Final = 1_024  # Four keys, three signatures and a name: 480 B.
ANSWER_BYTES_MAX: Final = 8_192  # Four certificates of at most 1,024 B, six secrets, a name.
KEYS_BYTES_MAX: Final = 256

_REQUEST: Final = b"beepmesh/join/1"


@dataclass(frozen=True, slots=True, repr=False)
class JoinKeys:
    """The new device's seeds, 32 B each. Kept until the answer comes, which may be days across an air gap."""

    device_seed: bytes
    link_seed: bytes
    feed_seed: bytes
    registrar_seed: bytes  # used only if the offer makes this device a registrar

    @classmethod
    def generate(cls, entropy: Entropy) -> JoinKeys:
        return cls(*(entropy(SEED_BYTES) for _ in range(4)))

    def __repr__(self) -> str:
        return f"JoinKeys({self.device.hex()})"

    @property
    def device(self) -> bytes:
        return public_id(SigningKey(self.device_seed).public)

    @property
    def link_key(self) -> AgreementKey:
        return AgreementKey(self.link_seed)

    def encode(self) -> bytes:
        """Secret."""
        return encode_fields([self.device_seed, self.link_seed, self.feed_seed, self.registrar_seed])

    @classmethod
    def decode(cls, data: bytes) -> JoinKeys:
        """What encode gave. Raises Refused("keys-malformed")."""
        seeds = decode_fields(data, KEYS_BYTES_MAX, "keys-malformed")
        held = [seed for seed in seeds if isinstance(seed, bytes) and len(seed) == SEED_BYTES]
        if len(held) != 4 or len(seeds) != 4:
            raise Refused("keys-malformed")
        return cls(*held)


@dataclass(frozen=True, slots=True)
class Request:
    """A joiner's checked request."""

    name: str
    device_public: bytes
    link_public: bytes
    feed_public: bytes
    registrar_public: bytes

    @property
    def device(self) -> bytes:
        return public_id(self.device_public)


@dataclass(frozen=True, slots=True)
class Granted:
    """A yes. The registrar keeps `ticket` in place of the one it had, and who got which feed, before it answers."""

    answer: bytes
    ticket: Ticket
    device: bytes
    feed: bytes
    person: bytes
    serial: bytes

    def __repr__(self) -> str:
        return f"Granted(device={self.device.hex()}, person={self.person.hex()})"


def request(keys: JoinKeys, name: str, context: bytes) -> bytes:
    """The bytes to send to the registrar. Raises Usage for what cannot be a name."""
    signers = [SigningKey(seed) for seed in (keys.device_seed, keys.feed_seed, keys.registrar_seed)]
    fields = _request_fields(
        Request(clean_name(name), signers[0].public, keys.link_key.public, signers[1].public, signers[2].public)
    )
    signed = _request_signed(fields, context)
    return encode_fields([*fields, *(key.sign(signed) for key in signers)])


def check_request(data: bytes, context: bytes) -> Request:
    """The request, if its keys made it for this context. Raises Refused."""
    match decode_fields(data, REQUEST_BYTES_MAX, "request-malformed"):
        case [str(name), bytes(device), bytes(link), bytes(feed), bytes(registrar), *signatures] if all(
            len(public) == PUBLIC_BYTES for public in (device, link, feed, registrar)
        ):
            asked = Request(name, device, link, feed, registrar)
        case _:
            raise Refused("request-malformed", "fields")
    held = [item for item in signatures if isinstance(item, bytes) and len(item) == SIGNATURE_BYTES]
    if len(held) != len(signatures) or len(held) != 3 or len({device, feed, registrar}) != 3:
        raise Refused("request-malformed", "keys")
    signed = _request_signed(_request_fields(asked), context)
    for public, signature in zip((device, feed, registrar), held, strict=True):
        if not verify(public, signed, signature):
            raise Refused("request-signature")
    if name_problem(name) is not None:
        raise Refused("request-name")
    return asked


def grant(
    identity: Identity, ticket: Ticket, asked: Request, *, now_s: int, trusted_s: int, entropy: Entropy
) -> Granted:
    """Let the device in. now_s is the believed time. Raises Refused with the reason to tell the joiner."""
    if now_s >= ticket.expires_s:
        raise Refused("invitation-expired")
    if ticket.used_by not in (b"", asked.device):
        raise Refused("invitation-used")
    try:
        require_allowed(identity, ticket.offer, now_s)
    except NotAllowed as problem:
        raise Refused("invitation-forbidden", str(problem)) from None
    registrar, own = identity.registrar_key, identity.registrar()
    assert registrar is not None
    assert own is not None
    offer, serial = ticket.offer, entropy(8)
    # Derived, so that a device which asks twice stays one person.
    person = offer.person or kdf(ticket.secret, b"beepmesh/person/1" + asked.device)[:16]
    expires = min(now_s + DEVICE_S, own.expires)
    certificate = issue_device(
        registrar,
        person=person,
        device_public=asked.device_public,
        link_public=asked.link_public,
        name=asked.name,
        department=offer.department,
        roles=offer.roles,
        not_before=now_s,
        expires=expires,
        serial=serial,
    )
    try:
        check_device(certificate, own)
    except Refused as refused:  # The joiner's link key is the one thing that nobody has looked at yet.
        raise Refused("request-malformed", refused.reason) from None
    vouched = issue_feed(
        registrar,
        feed_public=asked.feed_public,
        not_before=now_s,
        expires=expires,
        serial=entropy(8),
        department=department_code(identity.org, offer.department),
    )
    answer = encode_fields(
        [
            ticket.id,
            identity.org_name,
            identity.root_public,
            own.data,
            certificate,
            vouched,
            _own_registrar(identity, offer, asked, now_s),
            list(identity.link_secrets),
            list(identity.control_keys),
            max(trusted_s, identity.trusted_s),
        ]
    )
    used = replace(ticket, used_by=asked.device)
    return Granted(answer, used, asked.device, public_id(asked.feed_public), person, serial)


def check_answer(data: bytes, invitation: Invitation, keys: JoinKeys) -> Identity:
    """The new identity, its prekey ring empty. Raises InvitationProblem("answer-malformed" or "answer-foreign")."""
    try:
        return _identity_of(data, invitation, keys)
    except Refused as refused:
        if refused.reason == "answer-foreign":
            raise InvitationProblem(
                "answer-foreign",
                "The answer belongs to another invitation, device or organisation. Use the one made for this request.",
            ) from None
        raise InvitationProblem(
            "answer-malformed", f"The answer is damaged or false ({refused.reason}). Ask the registrar for it again."
        ) from None


def refusal(reason: str) -> InvitationProblem:
    """What a joiner is told for the registrar's reason word."""
    texts = {
        "invitation-expired": "The invitation has expired. Ask for a new one.",
        "invitation-used": "The invitation has let in another device already. Ask for a new one.",
        "invitation-forbidden": "The registrar may not give what the invitation promises. Ask headquarters for one.",
        "invitation-unknown": "The registrar does not know this invitation. Ask for a new one.",
        "request-name": "The registrar cannot take this name. Choose a plainer one with --as.",
    }
    known = texts.get(reason)
    word = reason if known else "refused"
    return InvitationProblem(word, known or "The registrar said no. Ask the person who invited you.")


def join_check_digits(handshake_hash: bytes) -> str:
    """Six digits that both screens show: equal ones mean that nobody sits between them."""
    number = int.from_bytes(sha256(b"beepmesh/join-check/1" + handshake_hash)[:8])
    return f"{number % 1_000_000:06}"


def _request_fields(asked: Request) -> list[object]:
    return [asked.name, asked.device_public, asked.link_public, asked.feed_public, asked.registrar_public]


def _request_signed(fields: list[object], context: bytes) -> bytes:
    return _REQUEST + sha256(encode_fields(fields)) + sha256(context)


def _own_registrar(identity: Identity, offer: Offer, asked: Request, now_s: int) -> bytes | None:
    """The joiner's own registrar certificate, where its roles call for one."""
    if REGISTRAR_ROLES.isdisjoint(offer.roles):
        return None
    root = identity.root_key
    assert root is not None  # require_allowed has looked.
    # The word "registrar" among the roles is what makes a registrar reach the whole organisation (roster, law 3).
    wide = not {"hq", "registrar"}.isdisjoint(offer.roles)
    roles = ("registrar", "field", "relay") if wide else ("field", "relay")
    return registrar_certificate(root, asked.registrar_public, (offer.department,), roles, asked.device, now_s)


def _identity_of(data: bytes, invitation: Invitation, keys: JoinKeys) -> Identity:
    match decode_fields(data, ANSWER_BYTES_MAX, "answer-fields"):
        case [
            bytes(invited),
            str(org_name),
            bytes(root),
            bytes(issuer_data),
            bytes(device_data),
            bytes(feed_data),
            bytes() | None as own_data,
            list(link_secrets),
            list(control_keys),
            int(trusted_s),
        ] if trusted_s >= 0 and name_problem(org_name) is None:
            pass
        case _:
            raise Refused("answer-fields")
    if not equal(invited, invitation_id(invitation.secret)) or public_id(root) != invitation.org:
        raise Refused("answer-foreign")
    issuer = check_registrar(issuer_data, root)
    device, feed = check_device(device_data, issuer), check_feed(feed_data, issuer, invitation.org)
    own = None if own_data is None else check_registrar(own_data, root)
    asked = (keys.device_seed, keys.feed_seed, *(() if own is None else (keys.registrar_seed,)))
    given = (device.public, feed.public, *(() if own is None else (own.public,)))
    if given != tuple(SigningKey(seed).public for seed in asked) or device.link_public != keys.link_key.public:
        raise Refused("answer-foreign")
    if own is not None and own.serial != registrar_serial(device.device):
        raise Refused("answer-serial")
    return Identity(
        org_name=org_name,
        root_public=root,
        root_seed=None,
        registrar_seed=None if own is None else keys.registrar_seed,
        registrar_certificate=own_data,
        issuer_certificate=issuer_data,
        device_seed=keys.device_seed,
        link_seed=keys.link_seed,
        feed_seed=keys.feed_seed,
        device_certificate=device_data,
        feed_certificate=feed_data,
        person=device.person,
        name=device.name,
        link_secrets=secrets_of(link_secrets),
        control_keys=secrets_of(control_keys),
        prekeys=PrekeyRing.empty(),
        trusted_s=max(trusted_s, issuer.not_before),
    )
