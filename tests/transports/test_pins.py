"""What a pin names."""

from __future__ import annotations

import hashlib
import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.crypto.tls_certificate import self_signed
from transports.pins import matches, own_pin, pin_of, public_key_info

CERTIFICATE = ssl.PEM_cert_to_DER_cert(self_signed()[0].decode())


def test_certificate_and_key_are_pinned_whole_or_by_their_first_half() -> None:
    for named in (CERTIFICATE, public_key_info(CERTIFICATE)):
        digest = hashlib.sha256(named).digest()
        assert matches(digest, CERTIFICATE)
        assert matches(digest[:16], CERTIFICATE)
    assert matches(pin_of(own_pin(CERTIFICATE)), CERTIFICATE)


def test_another_key_matches_none_of_it() -> None:
    other = ssl.PEM_cert_to_DER_cert(self_signed()[0].decode())
    assert not matches(pin_of(own_pin(other)), CERTIFICATE)
    assert not matches(bytes(32), b"")


def test_the_key_is_where_the_standard_puts_it() -> None:
    info = public_key_info(CERTIFICATE)
    assert info.startswith(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"))  # P-256, RFC 5480.
    assert len(info) == 91


@pytest.mark.parametrize("text", ["", "12", "g" * 32, "a" * 33, "a" * 63, "٣" * 32])
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        pin_of(text)


def test_a_pin_may_be_written_as_other_programs_print_it() -> None:
    assert pin_of("AB:" * 31 + "ab") == b"\xab" * 32


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_value_error(data: bytes) -> None:
    with suppress(ValueError):
        public_key_info(data)
    assert not matches(bytes(16), data)


@given(st.integers(0, len(CERTIFICATE) - 1), st.integers(0, 255))
def test_a_damaged_certificate_raises_nothing_else(at: int, value: int) -> None:
    damaged = CERTIFICATE[:at] + bytes([value]) + CERTIFICATE[at + 1 :]
    matches(bytes(16), damaged)
