"""Enrolment across an air gap: a request and an answer as files, sealed with the invitation's secret both ways.

    CBOR [1, invitation id 8 B, XChaCha20-Poly1305(kdf(psk, label), content, ad = label | id)]

The label tells a request from an answer, so that neither can be handed back as the other. The request's context is the
invitation's id. Whoever holds the secret could make a request file, as with the code itself.
"""

from __future__ import annotations

from typing import Final

from beepmesh.crypto.primitives import CryptoFailure, Entropy, equal, kdf, sealed_column_open, sealed_column_seal
from beepmesh.errors import InvitationProblem, Refused
from beepmesh.trust.fields import decode_fields, encode_fields
from beepmesh.trust.invite import invitation_id, psk

FILE_BYTES_MAX: Final = 9_216  # The largest answer, and what seals it.
_REQUEST: Final = b"beepmesh/join-request/1"
_ANSWER: Final = b"beepmesh/join-answer/1"


def file_invitation(data: bytes) -> bytes:
    """The id (8 B) of the invitation that a request or answer file belongs to. Raises Refused("file-malformed")."""
    return _file_parts(data)[0]


def seal_request_file(secret: bytes, request_bytes: bytes, entropy: Entropy) -> bytes:
    """For carrying to the registrar by hand. The request's context is the invitation's id."""
    return _sealed_file(secret, _REQUEST, request_bytes, entropy)


def open_request_file(secret: bytes, data: bytes) -> bytes:
    """The request. Raises Refused("file-malformed" or "file-foreign")."""
    return _opened_file(secret, _REQUEST, data)


def seal_answer_file(secret: bytes, answer: bytes, entropy: Entropy) -> bytes:
    """For carrying back to the joiner."""
    return _sealed_file(secret, _ANSWER, answer, entropy)


def open_answer_file(secret: bytes, data: bytes) -> bytes:
    """The answer. Raises InvitationProblem("answer-malformed" or "answer-foreign")."""
    try:
        return _opened_file(secret, _ANSWER, data)
    except Refused as refused:
        if refused.reason == "file-foreign":
            raise InvitationProblem(
                "answer-foreign", "This file answers another invitation, or was changed. Use the right file."
            ) from None
        raise InvitationProblem("answer-malformed", "This is no answer file of beepmesh. Use the right file.") from None


def _sealed_file(secret: bytes, label: bytes, content: bytes, entropy: Entropy) -> bytes:
    invitation = invitation_id(secret)
    sealed = sealed_column_seal(kdf(psk(secret), label), content, label + invitation, entropy)
    return encode_fields([invitation, sealed])


def _opened_file(secret: bytes, label: bytes, data: bytes) -> bytes:
    invitation, sealed = _file_parts(data)
    if not equal(invitation, invitation_id(secret)):
        raise Refused("file-foreign")
    try:
        return sealed_column_open(kdf(psk(secret), label), sealed, label + invitation)
    except CryptoFailure:
        raise Refused("file-foreign") from None


def _file_parts(data: bytes) -> tuple[bytes, bytes]:
    match decode_fields(data, FILE_BYTES_MAX, "file-malformed"):
        case [bytes(invitation), bytes(sealed)] if len(invitation) == 8:
            return invitation, sealed
        case _:
            raise Refused("file-malformed")
