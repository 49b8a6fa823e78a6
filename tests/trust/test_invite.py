"""Invitation codes survive people: their keyboards, their eyes, and their slips."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.primitives import sha256
from beepmesh.errors import InvitationProblem, Usage
from beepmesh.trust import invite
from beepmesh.trust.invite import HINTS_MAX, Invitation, decode_code, encode_code, invitation_id, psk

NOW_S = 1_800_000_000
invitations = st.builds(
    Invitation,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**32 - 1).map(lambda hours: hours * 3_600),
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40), max_size=4).map(
        tuple
    ),
)


def one(*hints: str) -> Invitation:
    return Invitation(bytes(range(16)), bytes(range(100, 116)), NOW_S, hints)


def problem(code: str, now_s: int | None = None) -> str:
    with pytest.raises(InvitationProblem) as caught:
        decode_code(code, now_s)
    return caught.value.reason


@given(invitations)
@settings(max_examples=150, deadline=None)
def test_what_was_invited_is_what_is_read(invitation: Invitation) -> None:
    assert decode_code(encode_code(invitation)) == invitation


def test_the_code_is_short_and_every_character_is_in_the_qr_alphanumeric_set() -> None:
    code = encode_code(one())
    assert len(code.replace("-", "")) == 68
    assert set(code) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


@pytest.mark.parametrize(
    "changed",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: code.replace("-", " \n"),
        lambda code: code.replace("-", "\u2013"),
        lambda code: code.replace("0", "O").replace("1", "l"),
        lambda code: code.replace("0", "o").replace("1", "I"),
        lambda code: code.translate({ord("0") + digit: 0x06F0 + digit for digit in range(10)}),
        lambda code: f"  {code}\u200e\r\n",
    ],
)
def test_a_code_is_read_however_it_was_typed(changed: Callable[[str], str]) -> None:
    assert decode_code(changed(encode_code(one("tcp:192.168.4.1:7667")))) == one("tcp:192.168.4.1:7667")


@given(st.integers(0, 67), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
@settings(max_examples=150, deadline=None)
def test_one_wrong_letter_is_a_slip(at: int, letter: str) -> None:
    letters = encode_code(one()).replace("-", "")
    if letters[at] != letter:
        assert problem(letters[:at] + letter + letters[at + 1 :]) == "mistyped"


def test_bits_that_mean_nothing_may_not_be_set() -> None:
    code = encode_code(one())
    last = invite._ALPHABET.index(code[-1])
    assert last & 15 == 0
    assert problem(code[:-1] + invite._ALPHABET[last | 1]) == "mistyped"


def test_missing_doubled_and_swapped_groups_are_slips() -> None:
    groups = encode_code(one("hub:https://example.org")).split("-")
    assert problem("-".join(groups[:-1])) == "mistyped"
    assert problem("-".join(groups[1:])) == "mistyped"
    assert problem("-".join([groups[0], *groups])) == "mistyped"
    assert problem("-".join([groups[1], groups[0], *groups[2:]])) == "mistyped"


@pytest.mark.parametrize(
    "text", ["", "hello", "https://example.org/join", "U" * 68, "A" * 10_000_000, "پ" * 68, "0" * 29]
)
def test_what_is_no_code_at_all_is_said_to_be_none(text: str) -> None:
    assert problem(text) == "malformed"


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_is_refused_by_name(text: str) -> None:
    assert problem(text) in ("malformed", "mistyped")


def test_a_code_expires_and_tells_that_the_clock_may_be_wrong() -> None:
    code = encode_code(one())
    assert decode_code(code, NOW_S - 1).expires_s == NOW_S
    with pytest.raises(InvitationProblem, match="clock"):
        decode_code(code, NOW_S)


def test_an_expiry_within_an_hour_is_rounded_up() -> None:
    assert decode_code(encode_code(Invitation(bytes(16), bytes(16), 3_601))).expires_s == 7_200


def resealed(content: bytes) -> str:
    return invite._to_letters(content + sha256(content)[:4])


def test_a_newer_codes_version_is_said() -> None:
    assert problem(resealed(b"\x02" + bytes(37))) == "version"


@pytest.mark.parametrize(
    "tail",
    [b"\x01", b"\x01\x00", b"\x01\x05abc", b"\x00extra", b"\x05" + b"\x01a" * 5, b"\x01\x02\xffa", b"\x01\x01\x1b"],
)
def test_a_well_summed_code_with_nonsense_inside_is_none(tail: bytes) -> None:
    assert problem(resealed(b"\x01" + bytes(36) + tail)) == "malformed"


@pytest.mark.parametrize("hints", [("x",) * (HINTS_MAX + 1), ("",), ("x" * 121,), ("پتہ",), ("a\nb",)])
def test_hints_have_bounds(hints: tuple[str, ...]) -> None:
    with pytest.raises(Usage):
        encode_code(one(*hints))


def test_no_secret_is_shown() -> None:
    assert one().secret.hex() not in repr(one())
    assert repr(one().secret) not in repr(one())


def test_names_and_keys_of_an_invitation_are_its_own() -> None:
    first, second = bytes(16), bytes(15) + b"\x01"
    assert len(psk(first)) == 32
    assert len(invitation_id(first)) == 8
    assert psk(first) != psk(second)
    assert invitation_id(first) != invitation_id(second)
    assert invitation_id(first) not in psk(first)
