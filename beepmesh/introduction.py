"""What two ends tell each other between the handshake and the session: certificates, and a joiner's request.

The handshake carries device ids only. A device that is in the roster is checked against it and nothing is sent; one
that is not is asked for its certificate. So a known pair spends no bytes here, and a stolen link secret learns no name.

Owner records, CBOR arrays: `[0]` show your certificate; `[1, device certificate, registrar certificate]`;
`[2, request]` let me in; `[3, answer]` you are in; `[4, reason]` you are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beepmesh.channel import Secured
from beepmesh.crypto.certificates import DeviceCertificate, check_device, check_registrar
from beepmesh.crypto.primitives import equal
from beepmesh.errors import Refused
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster
from sync import cbor

OWNER_RECORD_BYTES_MAX: Final = 16 * 1024  # An admission's answer with every secret and certificate is about 3 kB.
_ASK, _SHOW, _REQUEST, _GRANTED, _REFUSED = range(5)
ASK_CERTIFICATE: Final = cbor.encode([_ASK])


@dataclass(frozen=True, slots=True)
class Step:
    """What one owner record leads to."""

    answer: bytes = b""
    request: bytes | None = None
    proved: bool = False


def request_record(request: bytes) -> bytes:
    """A joiner's first record."""
    return cbor.encode([_REQUEST, request])


def granted_record(answer: bytes) -> bytes:
    """The registrar's yes."""
    return cbor.encode([_GRANTED, answer])


def refused_record(reason: str) -> bytes:
    """The registrar's no, with the reason's stable word."""
    return cbor.encode([_REFUSED, reason])


def read_decision(data: bytes) -> bytes | str:
    """What a joiner got: the answer's bytes, or the reason word. Raises Refused("owner-record")."""
    match _decode(data):
        case [int(kind), bytes(answer)] if kind == _GRANTED:
            return answer
        case [int(kind), str(reason)] if kind == _REFUSED:
            return reason[:64]
        case _:
            raise Refused("owner-record")


class Introduction:
    """One end's view of who is at the other. Every method raises Refused for what does not hold."""

    def __init__(self, secured: Secured, identity: Identity, roster: Roster) -> None:
        self.secured = secured
        self._identity = identity
        self._roster = roster
        self._requested = False
        self._asked = False

    def ask(self) -> bytes:
        """The record that demands the other end's certificate; from now on one is awaited."""
        self._asked = True
        return ASK_CERTIFICATE

    @property
    def expects_certificate(self) -> bool:
        """Whether the other end is a member this node has not heard of."""
        return self.secured.door.invitation is None and self._roster.device(self.secured.device) is None

    def check_known(self, believed_s: int) -> None:
        """The device claimed is in the roster: does the link belong to it, and may it still be here?"""
        device = self._roster.device(self.secured.device)
        if device is None:
            raise Refused("certificate-unknown")
        self._check(device, believed_s)

    def receive(self, data: bytes, believed_s: int) -> Step:
        """One owner record from the other end."""
        match _decode(data):
            case [int(kind)] if kind == _ASK and self.secured.door.invitation is None:
                me = self._identity
                return Step(answer=cbor.encode([_SHOW, me.device_certificate, me.issuer_certificate]))
            case [int(kind), bytes(device), bytes(registrar)] if kind == _SHOW and self._asked:
                self._asked = False  # By now we may know the device from elsewhere: that is no fault of its.
                issuer = check_registrar(registrar, self._identity.root_public)
                certificate = check_device(device, issuer)
                if certificate.device != self.secured.device:
                    raise Refused("certificate-issuer", "another device's")
                self._check(certificate, believed_s)
                return Step(proved=True)
            case [int(kind), bytes(request)] if kind == _REQUEST and self._may_request():
                self._requested = True
                return Step(request=request)
            case _:
                raise Refused("owner-record")

    def _may_request(self) -> bool:
        return self.secured.door.invitation is not None and not self._requested

    def _check(self, device: DeviceCertificate, believed_s: int) -> None:
        if not equal(device.link_public, self.secured.link_public):
            raise Refused("certificate-link-key")
        if self._roster.revoked(device.device) is not None:
            raise Refused("certificate-revoked")
        if not device.usable_at(believed_s):
            raise Refused("certificate-expired")


def _decode(data: bytes) -> object:
    try:
        return cbor.decode(data, bytes_max=OWNER_RECORD_BYTES_MAX)
    except cbor.CborError:
        raise Refused("owner-record") from None
