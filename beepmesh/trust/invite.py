"""The invitation as people carry it: read aloud, typed, or shown as a QR code.

    version 1 | organisation id 16 | secret 16 | expiry in hours since 1970, 4 | n 1 | n x (length 1 | hint) | check 4

in base 32 with Crockford's alphabet (no I, L, O, U), in groups of five with dashes: 68 characters without hints, all in
the QR alphanumeric set. Reading is forgiving about case, spaces, dashes, O for 0, I and L for 1, and about digits of
other scripts; the check, the first bytes of a SHA-256, finds everything else (one in 2^32 is missed).

The secret is everything: it lets one device in, once, and whoever has it could take that place. The organisation id
is there so that nobody else can pretend to be the organisation.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.primitives import equal, kdf, sha256
from beepmesh.errors import InvitationProblem, Usage

CODE_VERSION: Final = 1
SECRET_BYTES: Final = 16
ORG_BYTES: Final = 16
CHECK_BYTES: Final = 4
HINTS_MAX: Final = 4
HINT_BYTES_MAX: Final = 120  # A URL of a hub; four of them still make a QR code that a telephone reads.
EXPIRES_S_MAX: Final = (2**32 - 1) * 3_600
GROUP: Final = 5

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_FIXED_BYTES: Final = 1 + ORG_BYTES + SECRET_BYTES + 4 + 1
_CODE_BYTES_MAX: Final = _FIXED_BYTES + HINTS_MAX * (1 + HINT_BYTES_MAX) + CHECK_BYTES
_LETTERS_MAX: Final = -(-_CODE_BYTES_MAX * 8 // 5)
_TYPED_MAX: Final = 4 * _LETTERS_MAX  # Spaces and dashes come on top.
_LETTERS_MIN: Final = 30  # Below this it is not an invitation with a slip, but something else.


@dataclass(frozen=True, slots=True, repr=False)
class Invitation:
    """What a code says."""

    org: bytes  # 16 B, SHA-256 of the root's public key: the answer must fit it
    secret: bytes  # 16 B
    expires_s: int  # the code carries whole hours, rounded up
    hints: tuple[str, ...] = ()  # where to look for the registrar: link specs, e.g. "tcp:192.168.4.1:7337"

    def __repr__(self) -> str:
        return f"Invitation({invitation_id(self.secret).hex()}, expires_s={self.expires_s}, hints={self.hints})"


def psk(secret: bytes) -> bytes:
    """32 B: the pre-shared key of the link over which this invitation is redeemed."""
    assert len(secret) == SECRET_BYTES
    return kdf(secret, b"beepmesh/join-psk/1")


def invitation_id(secret: bytes) -> bytes:
    """8 B that name an invitation and tell nothing of its secret."""
    return kdf(secret, b"beepmesh/invitation-id/1")[:8]


def encode_code(invitation: Invitation) -> str:
    """The code. Raises Usage for too many or too long hints."""
    assert len(invitation.org) == ORG_BYTES
    assert len(invitation.secret) == SECRET_BYTES
    assert 0 <= invitation.expires_s <= EXPIRES_S_MAX
    hints = [_hint_bytes(hint) for hint in invitation.hints]
    if len(hints) > HINTS_MAX:
        raise Usage(f"An invitation carries {HINTS_MAX} addresses at most; these are {len(hints)}.")
    content = (
        bytes([CODE_VERSION])
        + invitation.org
        + invitation.secret
        + (-(-invitation.expires_s // 3_600)).to_bytes(4)
        + bytes([len(hints)])
        + b"".join(bytes([len(hint)]) + hint for hint in hints)
    )
    letters = _to_letters(content + sha256(content)[:CHECK_BYTES])
    return "-".join(letters[at : at + GROUP] for at in range(0, len(letters), GROUP))


def decode_code(text: str, now_s: int | None = None) -> Invitation:
    """What the code says. Raises InvitationProblem("malformed", "mistyped", "version" or "expired").

    Without now_s expiry is not looked at; the registrar does so in any case.
    """
    letters = _letters_of(text)
    data = _from_letters(letters)
    if data is None or not equal(sha256(data[:-CHECK_BYTES])[:CHECK_BYTES], data[-CHECK_BYTES:]):
        raise InvitationProblem(
            "mistyped",
            f"There is a slip in the invitation: {len(letters)} letters and digits were read. "
            "Compare it with the original, group by group, also for missing or doubled groups.",
        )
    content = data[:-CHECK_BYTES]
    if content[0] != CODE_VERSION:
        raise InvitationProblem("version", "The invitation was made by a newer version of beepmesh. Update this one.")
    invitation = Invitation(
        org=content[1:17],
        secret=content[17:33],
        expires_s=int.from_bytes(content[33:37]) * 3_600,
        hints=_hints_of(content),
    )
    if now_s is not None and now_s >= invitation.expires_s:
        raise InvitationProblem(
            "expired",
            "The invitation has expired, or this device's clock is ahead. Ask for a new one, or set the clock.",
        )
    return invitation


def fits_in_code(hint: str) -> bool:
    """Whether an invitation can carry this address."""
    return hint.isascii() and hint.isprintable() and 0 < len(hint) <= HINT_BYTES_MAX


def _hint_bytes(hint: str) -> bytes:
    if not fits_in_code(hint):
        raise Usage(f"An address in an invitation has 1 to {HINT_BYTES_MAX} plain characters; {hint[:40]!r} has not.")
    return hint.encode()


def _hints_of(content: bytes) -> tuple[str, ...]:
    hints: list[str] = []
    at = _FIXED_BYTES
    for _ in range(content[at - 1]):
        length = content[at] if at < len(content) else 0
        hint = content[at + 1 : at + 1 + length]
        if not 0 < length <= HINT_BYTES_MAX or len(hint) != length or not all(32 <= byte < 127 for byte in hint):
            raise _malformed()
        hints.append(hint.decode("ascii"))
        at += 1 + length
    if at != len(content) or len(hints) > HINTS_MAX:
        raise _malformed()
    return tuple(hints)


def _letters_of(text: str) -> str:
    """The letters alone, upper case. Raises InvitationProblem where there are others, or too few or many."""
    letters: list[str] = []
    for character in text[: _TYPED_MAX + 1].upper():
        if character.isspace() or unicodedata.category(character) in ("Pd", "Pc", "Cf"):
            continue
        digit = unicodedata.digit(character, None)
        letters.append(character if digit is None else str(digit))
    if (
        len(text) > _TYPED_MAX
        or not _LETTERS_MIN <= len(letters) <= _LETTERS_MAX
        or any(letter not in _VALUES for letter in letters)
    ):
        raise _malformed()
    return "".join(letters)


def _to_letters(data: bytes) -> str:
    count = -(-len(data) * 8 // 5)
    number = int.from_bytes(data) << (count * 5 - len(data) * 8)
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in reversed(range(count)))


def _from_letters(letters: str) -> bytes | None:
    """The bytes, or None where no bytes are written so (a wrong count, bits left over)."""
    length, spare = divmod(len(letters) * 5, 8)
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    if spare >= 5 or number & ((1 << spare) - 1) or length < _FIXED_BYTES + CHECK_BYTES:
        return None
    return (number >> spare).to_bytes(length)


def _malformed() -> InvitationProblem:
    return InvitationProblem(
        "malformed", "This is no beepmesh invitation. It looks like 07K3M-9QX2T-..., about 70 letters and digits."
    )
