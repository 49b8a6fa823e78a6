"""Who may do what: certificates of registrars, devices and feeds, and revocations. Each is a COSE_Sign1 (RFC 9052).

    root -> registrar -> device certificate     names a device, its person, its rights
                      -> feed certificate       vouches for a feed key and names nobody
                      -> revocation             ends a device

Laws
1. A statement is what was signed: checks read the received bytes, and `data` keeps them for passing on.
2. Each kind of statement is signed under its own label (COSE external_aad), so none can be taken for another.
3. A registrar gives only roles and departments that its own certificate lists. Chains have three links, never more.
4. Checks know no clock. Whoever asks says when: `valid_at`, and `usable_at` with its 30 days of grace. It is for the
   caller, too, to ask whether the registrar was valid when it signed (`registrar.valid_at(certificate.not_before)`).
5. Whatever is wrong raises Refused and nothing else: `certificate-malformed`, `certificate-issuer` (signed by
   another), `certificate-signature`, `certificate-scope` (beyond what the issuer may give).

Labels not in LABELS are refused, except those at or below -71000: they are for additions that an older reader may
ignore. A change that it must not ignore takes a new signing label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.names import covers, department_problem, is_plain, is_role, name_problem
from beepmesh.crypto.primitives import (
    PUBLIC_BYTES,
    SIGNATURE_BYTES,
    AgreementKey,
    CryptoFailure,
    SigningKey,
    sha256,
    verify,
)
from beepmesh.errors import Refused, Usage
from sync.cbor import CborError, decode, encode

CERTIFICATE_BYTES_MAX: Final = 1_024  # An ordinary one has 150 to 300; the longest legal names make 700.
REVOCATION_BYTES_MAX: Final = 2_560  # CUTS_MAX logs of 26 B, and its text.
GRACE_S: Final = 30 * 86_400  # An expired device whose renewal is on its way may still relay and read, marked.
DAY_S: Final = 86_400
SCOPES_MAX: Final = 4  # Departments one registrar serves; more is the whole organisation.
ROLES_MAX: Final = 8
CUTS_MAX: Final = 64  # Two feeds a quarter and four lanes: two years of one device.
REASON_BYTES_MAX: Final = 200
TIME_S_MAX: Final = 2**40
SEQ_MAX: Final = 2**32 - 1

ID_BYTES: Final = 16
KEY_ID_BYTES: Final = 8
SERIAL_BYTES: Final = 8
DEPARTMENT_CODE_BYTES: Final = 4  # Two of a hundred departments have one code in one organisation of a million.

REGISTRAR_LABEL: Final = b"beepmesh/registrar-certificate/1"
DEVICE_LABEL: Final = b"beepmesh/device-certificate/1"
FEED_LABEL: Final = b"beepmesh/feed-certificate/1"
REVOCATION_LABEL: Final = b"beepmesh/revocation/1"

# CWT claims (RFC 8392), and our own from the private range.
_ISSUER, _SUBJECT, _EXPIRES, _NOT_BEFORE, _ISSUED, _SERIAL = 1, 2, 4, 5, 6, 7
_DEVICE_KEY, _LINK_KEY, _NAME, _DEPARTMENT, _ROLES = -70001, -70002, -70003, -70004, -70005
_FEED_KEY, _FEED_SERIAL = -70010, -70011
_REGISTRAR_KEY, _SCOPES = -70020, -70021
_REVOKED, _REVOKED_SERIAL, _REASON, _CUTS = -70030, -70031, -70032, -70033
_IGNORABLE_MAX = -71000
_FEED_DEPARTMENT = -71001  # Older versions pass it over.

_REGISTRAR_CLAIMS = frozenset({_ISSUER, _EXPIRES, _NOT_BEFORE, _SERIAL, _REGISTRAR_KEY, _SCOPES, _ROLES})
_DEVICE_CLAIMS = frozenset(
    {_ISSUER, _SUBJECT, _EXPIRES, _NOT_BEFORE, _SERIAL, _DEVICE_KEY, _LINK_KEY, _NAME, _DEPARTMENT, _ROLES}
)
_FEED_CLAIMS = frozenset({_ISSUER, _EXPIRES, _NOT_BEFORE, _FEED_KEY, _FEED_SERIAL})
_REVOCATION_CLAIMS = frozenset({_ISSUER, _ISSUED, _REVOKED, _REVOKED_SERIAL, _REASON, _CUTS})

_TAG: Final = b"\xd2"  # CBOR tag 18, COSE_Sign1. The strict CBOR of this project has no tags, so it is read by hand.
_PROTECTED: Final = encode({1: -19})  # alg Ed25519, fully specified (RFC 9864)
_PROBE = AgreementKey(bytes(32))  # Any key tells a link key of low order: the agreement is all zero.

Cut = tuple[bytes, int, int]
"""(feed 16 B, lane, last good seq): later entries of that log are void. -1: all of them are."""


@dataclass(frozen=True, slots=True)
class _Span:
    not_before: int  # seconds since 1970, inclusive
    expires: int  # exclusive

    def valid_at(self, now_s: float) -> bool:
        return self.not_before <= now_s < self.expires

    def usable_at(self, now_s: float) -> bool:
        """Valid, or expired for less than GRACE_S."""
        return self.not_before <= now_s < self.expires + GRACE_S


@dataclass(frozen=True, slots=True)
class RegistrarCertificate(_Span):
    """The right to admit devices, from the root."""

    public: bytes  # 32 B Ed25519
    departments: tuple[str, ...]  # what it may give, with everything below; ("",) is the whole organisation
    roles: tuple[str, ...]  # what it may give
    serial: bytes
    data: bytes

    @property
    def key_id(self) -> bytes:
        return key_id(self.public)


@dataclass(frozen=True, slots=True)
class DeviceCertificate(_Span):
    """A device of a person, and its rights."""

    device: bytes  # 16 B, id of `public` and of the device's control feed
    person: bytes  # 16 B, the same on all devices of one person
    public: bytes  # 32 B Ed25519, D
    link_public: bytes  # 32 B X25519, the Noise static key
    name: str
    department: str
    roles: tuple[str, ...]
    serial: bytes
    issuer: bytes  # 8 B, key id of the registrar
    data: bytes


@dataclass(frozen=True, slots=True)
class FeedCertificate(_Span):
    """A member writes this feed; which one is known to his registrar alone, and from what department to whoever knows
    the departments' names. Times are whole days."""

    feed: bytes  # 16 B, id of `public`
    public: bytes  # 32 B Ed25519, F
    serial: bytes
    issuer: bytes
    data: bytes
    department: bytes = b""  # `department_code`; empty for the whole organisation, and in older certificates


@dataclass(frozen=True, slots=True)
class Revocation:
    """The end of a device, said by a registrar. Whether he may speak for the device's department: ask `covers`."""

    device: bytes
    serial: bytes  # of the device certificate that was current when it was said
    time: int
    reason: str
    cuts: tuple[Cut, ...]
    issuer: bytes
    data: bytes


def key_id(public: bytes) -> bytes:
    """8 B by which a statement names its signer. A hint for finding the key; what counts is the signature."""
    return sha256(public)[:KEY_ID_BYTES]


def public_id(public: bytes) -> bytes:
    """16 B: the device id of D, the feed id of a feed key, the organisation id of the root."""
    return sha256(public)[:ID_BYTES]


def issue_registrar(
    root: SigningKey,
    *,
    registrar_public: bytes,
    departments: tuple[str, ...],
    roles: tuple[str, ...],
    not_before: int,
    expires: int,
    serial: bytes,
) -> bytes:
    """Raises Usage for a department or role that cannot be."""
    for department in departments:
        _require_department(department)
    claims = {
        _EXPIRES: expires,
        _NOT_BEFORE: not_before,
        _SERIAL: serial,
        _REGISTRAR_KEY: registrar_public,
        _SCOPES: list(departments),
        _ROLES: _required_roles(roles),
    }
    return _issued(root, REGISTRAR_LABEL, claims)


def issue_device(
    registrar: SigningKey,
    *,
    person: bytes,
    device_public: bytes,
    link_public: bytes,
    name: str,
    department: str,
    roles: tuple[str, ...],
    not_before: int,
    expires: int,
    serial: bytes,
) -> bytes:
    """Raises Usage for a name, department or role that cannot be. Whether the registrar may: see `check_device`."""
    problem = name_problem(name)
    if problem is not None:
        raise Usage(f"{name!r} cannot be a name: a name {problem}.")
    _require_department(department)
    claims = {
        _SUBJECT: person,
        _EXPIRES: expires,
        _NOT_BEFORE: not_before,
        _SERIAL: serial,
        _DEVICE_KEY: device_public,
        _LINK_KEY: link_public,
        _NAME: name,
        _DEPARTMENT: department,
        _ROLES: _required_roles(roles),
    }
    return _issued(registrar, DEVICE_LABEL, claims)


def department_code(org: bytes, department: str) -> bytes:
    """4 B that stand for the first part of a department's path, in one organisation (its id, 16 B); none for "".

    Whoever knows the name finds the code; a stolen certificate does not spell it out.
    """
    first = department.partition("/")[0]
    return sha256(b"beepmesh/department/1" + org + first.encode())[:DEPARTMENT_CODE_BYTES] if first else b""


def issue_feed(
    registrar: SigningKey,
    *,
    feed_public: bytes,
    not_before: int,
    expires: int,
    serial: bytes,
    department: bytes = b"",
) -> bytes:
    """Times are widened to whole days: the second of its making would tell which device certificate came with it.

    For the same reason the serial has nothing to do with that certificate's. `department`: its `department_code`.
    """
    claims: dict[int, object] = {
        _EXPIRES: -(-expires // DAY_S),
        _NOT_BEFORE: not_before // DAY_S,
        _FEED_KEY: feed_public,
        _FEED_SERIAL: serial,
        **({_FEED_DEPARTMENT: department} if department else {}),
    }
    return _issued(registrar, FEED_LABEL, claims)


def issue_revocation(
    registrar: SigningKey, *, device: bytes, serial: bytes, time: int, reason: str, cuts: tuple[Cut, ...]
) -> bytes:
    """Raises Usage for a reason that cannot be written."""
    if not _is_reason(reason):
        raise Usage(f"A reason is at most {REASON_BYTES_MAX} bytes of plain text on one line; shorten it.")
    claims = {
        _ISSUED: time,
        _REVOKED: device,
        _REVOKED_SERIAL: serial,
        _REASON: reason,
        _CUTS: [[feed, lane, last_good] for feed, lane, last_good in cuts],
    }
    return _issued(registrar, REVOCATION_LABEL, claims)


def check_registrar(data: bytes, root_public: bytes) -> RegistrarCertificate:
    claims = _checked(data, REGISTRAR_LABEL, _REGISTRAR_CLAIMS, root_public)
    departments = tuple(_text(item) for item in _items(claims[_SCOPES], 1, SCOPES_MAX))
    if any(department_problem(department) is not None for department in departments):
        raise Refused("certificate-malformed", "department")
    not_before, expires = _times(claims, 1)
    return RegistrarCertificate(
        not_before=not_before,
        expires=expires,
        public=_bytes(claims[_REGISTRAR_KEY], PUBLIC_BYTES),
        departments=departments,
        roles=_roles(claims[_ROLES]),
        serial=_bytes(claims[_SERIAL], SERIAL_BYTES),
        data=data,
    )


def check_device(data: bytes, registrar: RegistrarCertificate) -> DeviceCertificate:
    claims = _checked(data, DEVICE_LABEL, _DEVICE_CLAIMS, registrar.public)
    name, department, roles = _text(claims[_NAME]), _text(claims[_DEPARTMENT]), _roles(claims[_ROLES])
    if name_problem(name) is not None or department_problem(department) is not None:
        raise Refused("certificate-malformed", "name")
    link_public = _bytes(claims[_LINK_KEY], PUBLIC_BYTES)
    _require_link_key(link_public)
    not_before, expires = _times(claims, 1)
    public = _bytes(claims[_DEVICE_KEY], PUBLIC_BYTES)
    certificate = DeviceCertificate(
        not_before=not_before,
        expires=expires,
        device=public_id(public),
        person=_bytes(claims[_SUBJECT], ID_BYTES),
        public=public,
        link_public=link_public,
        name=name,
        department=department,
        roles=roles,
        serial=_bytes(claims[_SERIAL], SERIAL_BYTES),
        issuer=registrar.key_id,
        data=data,
    )
    if not set(roles) <= set(registrar.roles) or not covers(registrar.departments, department):
        raise Refused("certificate-scope")
    return certificate


def check_feed(data: bytes, registrar: RegistrarCertificate, org: bytes) -> FeedCertificate:
    """`org`: the organisation's id, 16 B. The department, if one is named, is one of the registrar's."""
    claims = _checked(data, FEED_LABEL, _FEED_CLAIMS, registrar.public)
    not_before, expires = _times(claims, DAY_S)
    public = _bytes(claims[_FEED_KEY], PUBLIC_BYTES)
    department = b""
    if _FEED_DEPARTMENT in claims:
        department = _bytes(claims[_FEED_DEPARTMENT], DEPARTMENT_CODE_BYTES)
        own = registrar.departments
        if "" not in own and department not in {department_code(org, each) for each in own}:
            raise Refused("certificate-scope")
    return FeedCertificate(
        not_before=not_before,
        expires=expires,
        feed=public_id(public),
        public=public,
        serial=_bytes(claims[_FEED_SERIAL], SERIAL_BYTES),
        issuer=registrar.key_id,
        data=data,
        department=department,
    )


def check_revocation(data: bytes, registrar: RegistrarCertificate) -> Revocation:
    claims = _checked(data, REVOCATION_LABEL, _REVOCATION_CLAIMS, registrar.public, REVOCATION_BYTES_MAX)
    reason = _text(claims[_REASON])
    if not _is_reason(reason):
        raise Refused("certificate-malformed", "reason")
    cuts = []
    for item in _items(claims[_CUTS], 0, CUTS_MAX):
        feed, lane, last_good = _items(item, 3, 3)
        cuts.append((_bytes(feed, ID_BYTES), _int(lane, 0, 255), _int(last_good, -1, SEQ_MAX)))
    return Revocation(
        device=_bytes(claims[_REVOKED], ID_BYTES),
        serial=_bytes(claims[_REVOKED_SERIAL], SERIAL_BYTES),
        time=_int(claims[_ISSUED], 0, TIME_S_MAX),
        reason=reason,
        cuts=tuple(cuts),
        issuer=registrar.key_id,
        data=data,
    )


def to_be_signed(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052 section 4.4 for one signer."""
    return encode(["Signature1", protected, external_aad, payload])


def _issued(key: SigningKey, label: bytes, claims: dict[int, object]) -> bytes:
    payload = encode({_ISSUER: key_id(key.public), **claims})
    signature = key.sign(to_be_signed(_PROTECTED, label, payload))
    data = _TAG + encode([_PROTECTED, {}, payload, signature])
    assert len(data) <= (REVOCATION_BYTES_MAX if label == REVOCATION_LABEL else CERTIFICATE_BYTES_MAX)
    return data


def _checked(
    data: bytes, label: bytes, known: frozenset[int], public: bytes, bytes_max: int = CERTIFICATE_BYTES_MAX
) -> dict[int, object]:
    """The claims, which are `known` and nothing less, signed by public under label."""
    if data[:1] != _TAG:
        raise Refused("certificate-malformed", "not a COSE_Sign1")
    protected, unprotected, payload, signature = _items(_decoded(data[1:], bytes_max), 4, 4)
    if protected != _PROTECTED or unprotected != {} or type(payload) is not bytes:
        raise Refused("certificate-malformed", "header")
    claims = _claims(_decoded(payload, bytes_max), known)
    if _bytes(claims[_ISSUER], KEY_ID_BYTES) != key_id(public):
        raise Refused("certificate-issuer")
    if not verify(public, to_be_signed(_PROTECTED, label, payload), _bytes(signature, SIGNATURE_BYTES)):
        raise Refused("certificate-signature")
    return claims


def _claims(value: object, known: frozenset[int]) -> dict[int, object]:
    if not isinstance(value, dict):
        raise Refused("certificate-malformed", "claims")
    claims: dict[int, object] = {}
    for label, claim in value.items():
        # In Python True is 1; in CBOR it is something else.
        if type(label) is not int or (label not in known and label > _IGNORABLE_MAX):
            raise Refused("certificate-malformed", "claims")
        claims[label] = claim
    if not known <= claims.keys():
        raise Refused("certificate-malformed", "claims")
    return claims


def _decoded(data: bytes, bytes_max: int) -> object:
    try:
        return decode(data, bytes_max=bytes_max)
    except CborError:
        raise Refused("certificate-malformed", "not CBOR") from None


def _items(value: object, count_min: int, count_max: int) -> list[object]:
    if not isinstance(value, list) or not count_min <= len(value) <= count_max:
        raise Refused("certificate-malformed", "list")
    return value


def _bytes(value: object, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise Refused("certificate-malformed", "bytes")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Refused("certificate-malformed", "text")
    return value


def _int(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Refused("certificate-malformed", "number")
    return value


def _roles(value: object) -> tuple[str, ...]:
    roles = tuple(_text(item) for item in _items(value, 1, ROLES_MAX))
    if len(set(roles)) != len(roles) or not all(is_role(role) for role in roles):
        raise Refused("certificate-malformed", "roles")
    return roles


def _times(claims: dict[int, object], unit_s: int) -> tuple[int, int]:
    not_before = _int(claims[_NOT_BEFORE], 0, TIME_S_MAX // unit_s) * unit_s
    expires = _int(claims[_EXPIRES], 0, TIME_S_MAX // unit_s) * unit_s
    if not_before >= expires:
        raise Refused("certificate-malformed", "times")
    return not_before, expires


def _require_link_key(link_public: bytes) -> None:
    try:
        _PROBE.agree(link_public)
    except CryptoFailure:
        raise Refused("certificate-malformed", "link key") from None


def _require_department(department: str) -> None:
    problem = department_problem(department)
    if problem is not None:
        raise Usage(f"{department!r} cannot be a department: its path {problem}.")


def _required_roles(roles: Sequence[str]) -> list[object]:
    if not 1 <= len(set(roles)) == len(roles) <= ROLES_MAX or not all(is_role(role) for role in roles):
        raise Usage(
            f"{', '.join(roles) or 'Nothing'} cannot be the roles: name some of hq, registrar, lead, field, relay."
        )
    return list(roles)


def _is_reason(reason: str) -> bool:
    return is_plain(reason) and len(reason.encode()) <= REASON_BYTES_MAX
