"""What vectors cannot say of the primitives: bad input is one error, secrets stay out of sight, sizes are as told."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto import primitives
from beepmesh.crypto.primitives import (
    Aead,
    AgreementKey,
    CryptoFailure,
    PrekeySecret,
    SigningKey,
    aead_open,
    aead_seal,
    hpke_open,
    hpke_seal,
    sealed_column_open,
    sealed_column_seal,
    verify,
)

SEED = bytes(range(32))
PREKEY = PrekeySecret(SEED)
quickly = settings(max_examples=100, deadline=None)


def flipped(data: bytes, bit: int) -> bytes:
    at = bit % (8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


@quickly
@given(message=st.binary(max_size=300), bit=st.integers(0, 2**16))
def test_a_signature_holds_for_its_message_alone(message: bytes, bit: int) -> None:
    key = SigningKey(SEED)
    signature = key.sign(message)
    assert len(signature) == 64
    assert verify(key.public, message, signature)
    assert not verify(key.public, message, flipped(signature, bit))
    assert not verify(key.public, message + b"\0", signature)
    assert not verify(SigningKey(bytes(32)).public, message, signature)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_public_key_of_another_size_verifies_nothing(size: int) -> None:
    signature = SigningKey(SEED).sign(b"message")
    assert not verify((SigningKey(SEED).public * 2)[:size], b"message", signature)


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_a_signature_of_another_size_is_none(size: int) -> None:
    key = SigningKey(SEED)
    assert not verify(key.public, b"message", (key.sign(b"message") * 2)[:size])


def test_two_agreement_keys_agree() -> None:
    left, right = AgreementKey(SEED), AgreementKey(bytes(32))
    assert left.agree(right.public) == right.agree(left.public)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32), b"\1" + bytes(31)])
def test_no_agreement_with_what_is_no_key_or_of_low_order(public: bytes) -> None:
    with pytest.raises(CryptoFailure):
        AgreementKey(SEED).agree(public)


@quickly
@given(plaintext=st.binary(max_size=300), associated=st.binary(max_size=40), bit=st.integers(0, 2**16))
def test_aead_opens_what_it_sealed_and_no_bit_else(plaintext: bytes, associated: bytes, bit: int) -> None:
    nonce = bytes(12)
    sealed = aead_seal(SEED, nonce, plaintext, associated)
    assert len(sealed) == len(plaintext) + primitives.TAG_BYTES
    assert sealed == Aead(SEED).seal(nonce, plaintext, associated)
    assert aead_open(SEED, nonce, sealed, associated) == plaintext
    for changed in (
        (nonce, flipped(sealed, bit), associated),
        (nonce, sealed, associated + b"\0"),
        (flipped(nonce, bit), sealed, associated),
    ):
        with pytest.raises(CryptoFailure):
            aead_open(SEED, *changed)


@quickly
@given(plaintext=st.binary(max_size=300), bit=st.integers(0, 2**16))
def test_a_sealed_column_opens_in_its_own_place_only(plaintext: bytes, bit: int) -> None:
    sealed = sealed_column_seal(SEED, plaintext, b"messages|7|text", os.urandom)
    assert len(sealed) == len(plaintext) + primitives.COLUMN_OVERHEAD_BYTES
    assert sealed_column_open(SEED, sealed, b"messages|7|text") == plaintext
    for value, place in ((sealed, b"messages|8|text"), (flipped(sealed, bit), b"messages|7|text")):
        with pytest.raises(CryptoFailure):
            sealed_column_open(SEED, value, place)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 39, 40])
def test_a_cut_sealed_column_does_not_open(size: int) -> None:
    with pytest.raises(CryptoFailure):
        sealed_column_open(SEED, sealed_column_seal(SEED, b"text", b"", os.urandom)[:size], b"")


def test_hpke_adds_1136_bytes_and_never_seals_alike_twice() -> None:
    first = hpke_seal(PREKEY.public_bytes, b"info", b"plaintext")
    assert len(first) == 9 + 1_136
    assert first != hpke_seal(PREKEY.public_bytes, b"info", b"plaintext")
    assert hpke_open(PREKEY, b"info", first) == b"plaintext"


# Bits of the ML-KEM ciphertext, of the X25519 part, of the ciphertext and of the tag.
@pytest.mark.parametrize("bit", [0, 5_000, 8_703, 8_704, 8_960, 9_040, -1])
def test_hpke_refuses_a_flipped_bit_anywhere(bit: int) -> None:
    with pytest.raises(CryptoFailure):
        hpke_open(PREKEY, b"info", flipped(hpke_seal(PREKEY.public_bytes, b"info", b"plaintext"), bit))


def test_hpke_is_bound_to_its_info_and_its_prekey() -> None:
    sealed = hpke_seal(PREKEY.public_bytes, b"info", b"plaintext")
    with pytest.raises(CryptoFailure):
        hpke_open(PREKEY, b"other", sealed)
    with pytest.raises(CryptoFailure):
        hpke_open(PrekeySecret(bytes(32)), b"info", sealed)


@pytest.mark.parametrize("size", [0, 1, 1_119, 1_120, 1_135])
def test_hpke_refuses_what_is_too_short(size: int) -> None:
    with pytest.raises(CryptoFailure):
        hpke_open(PREKEY, b"", hpke_seal(PREKEY.public_bytes, b"", b"")[:size])


@pytest.mark.parametrize(
    "public",
    [
        b"",
        PREKEY.public_bytes[:-1],
        PREKEY.public_bytes + b"\0",
        b"\xff" * 1_216,
        PREKEY.public_bytes[:1_184] + bytes(32),
    ],
    ids=["empty", "short", "long", "coefficients beyond the modulus", "curve point of low order"],
)
def test_no_hpke_to_what_is_no_prekey(public: bytes) -> None:
    with pytest.raises(CryptoFailure):
        hpke_seal(public, b"", b"")


def test_a_prekey_comes_back_from_its_bytes_and_only_from_those() -> None:
    fresh = PrekeySecret.generate()
    assert PrekeySecret.from_bytes(fresh.to_bytes()).public_bytes == fresh.public_bytes
    assert len(fresh.public_bytes) == primitives.PREKEY_PUBLIC_BYTES
    with pytest.raises(CryptoFailure):
        PrekeySecret.from_bytes(fresh.to_bytes() + b"\0")


def test_no_repr_shows_a_seed() -> None:
    kinds: list[Callable[[bytes], object]] = [SigningKey, AgreementKey, PrekeySecret, Aead]
    for kind in kinds:
        assert SEED[:3].hex() not in repr(kind(SEED))


def test_failures_say_nothing() -> None:
    with pytest.raises(CryptoFailure) as caught:
        aead_open(SEED, bytes(12), bytes(40), b"")
    assert str(caught.value) == ""
    assert caught.value.__cause__ is None


def test_argon2id_without_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        primitives.argon2id(b"passphrase", bytes(16), memory_bytes=2**41, passes=1)


def test_derived_keys_differ_by_label() -> None:
    assert primitives.kdf(SEED, b"a") != primitives.kdf(SEED, b"b")
    assert primitives.equal(primitives.sha256(b"a"), primitives.sha256(b"a"))
    assert not primitives.equal(primitives.sha256(b"a"), primitives.sha256(b"b"))
