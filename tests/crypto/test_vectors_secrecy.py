"""Agreement, sealing, HPKE and derivation against everything published: a library upgrade cannot change them unseen."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from beepmesh.crypto import primitives
from beepmesh.crypto.primitives import Aead, AgreementKey, CryptoFailure, Entropy, PrekeySecret
from tests.crypto.published import listed, record, wycheproof


def test_wycheproof_agrees_about_every_x25519_agreement_but_refuses_all_zero_ones() -> None:
    refused = 0
    for _, case in wycheproof("wycheproof_x25519.json"):
        key = AgreementKey(case.octets("private"))
        if not any(case.octets("shared")):
            refused += 1
            with pytest.raises(CryptoFailure):
                key.agree(case.octets("public"))
        else:
            assert key.agree(case.octets("public")) == case.octets("shared"), case.number("tcId")
    assert refused == 31


def test_wycheproof_agrees_about_chacha20_poly1305() -> None:
    for _, case in wycheproof("wycheproof_chacha20_poly1305.json"):
        aead, nonce, associated = Aead(case.octets("key")), case.octets("iv"), case.octets("aad")
        sealed = case.octets("ct") + case.octets("tag")
        if case.text("result") == "valid":
            assert aead.open(nonce, sealed, associated) == case.octets("msg"), case.number("tcId")
            assert aead.seal(nonce, case.octets("msg"), associated) == sealed
        else:
            with pytest.raises(CryptoFailure):
                aead.open(nonce, sealed, associated)


def test_wycheproof_agrees_about_xchacha20_poly1305() -> None:
    for _, case in wycheproof("wycheproof_xchacha20_poly1305.json"):
        key, nonce, associated = case.octets("key"), case.octets("iv"), case.octets("aad")
        column = nonce + case.octets("ct") + case.octets("tag")
        if case.text("result") == "valid":
            assert primitives.sealed_column_open(key, column, associated) == case.octets("msg"), case.number("tcId")
            again = primitives.sealed_column_seal(key, case.octets("msg"), associated, _always(nonce))
            assert again == column
        else:
            with pytest.raises(CryptoFailure):
                primitives.sealed_column_open(key, column, associated)


def test_wycheproof_agrees_about_hkdf_sha256() -> None:
    for _, case in wycheproof("wycheproof_hkdf_sha256.json"):
        inputs = (case.octets("ikm"), case.octets("salt"), case.octets("info"), case.number("size"))
        if case.text("result") == "valid":
            assert primitives.hkdf_sha256(*inputs) == case.octets("okm"), case.number("tcId")
        else:
            with pytest.raises(AssertionError):
                primitives.hkdf_sha256(*inputs)


def test_wycheproof_agrees_about_hmac_sha256() -> None:
    for group, case in wycheproof("wycheproof_hmac_sha256.json"):
        tag = primitives.kdf(case.octets("key"), case.octets("msg"))[: group.number("tagSize") // 8]
        assert primitives.equal(tag, case.octets("tag")) == (case.text("result") == "valid"), case.number("tcId")


def test_argon2id_agrees_with_the_rfc_and_between_the_libraries() -> None:
    for case in record("argon2id.json").cases("tests"):
        passphrase, salt, lanes = case.octets("password"), case.octets("salt"), case.number("p")
        passes, memory_kib = case.number("t"), case.number("m_kib")
        theirs = Argon2id(
            salt=salt,
            length=32,
            iterations=passes,
            lanes=lanes,
            memory_cost=memory_kib,
            ad=case.octets("ad") or None,
            secret=case.octets("secret") or None,
        )
        assert theirs.derive(passphrase) == case.octets("tag")
        if lanes == 1:
            ours = primitives.argon2id(passphrase, salt, memory_bytes=memory_kib * 1024, passes=passes)
            assert ours == case.octets("tag")


def test_wycheproof_agrees_about_ml_kem_768_decapsulation() -> None:
    for _, case in wycheproof("wycheproof_mlkem_768.json"):
        seed, ciphertext = case.octets("seed"), case.octets("c")
        if case.text("result") == "valid":
            key = MLKEM768PrivateKey.from_seed_bytes(seed)
            assert key.public_key().public_bytes_raw() == case.octets("ek"), case.number("tcId")
            assert key.decapsulate(ciphertext) == case.octets("K"), case.number("tcId")
        else:
            with pytest.raises(ValueError):
                MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def test_a_prekey_with_a_malformed_ml_kem_half_is_refused_and_no_other() -> None:
    curve = AgreementKey(bytes(range(32))).public
    for _, case in wycheproof("wycheproof_mlkem_768_encaps.json"):
        public = case.octets("ek") + curve
        if case.text("result") == "valid":
            assert len(primitives.hpke_seal(public, b"", b"")) == primitives.HPKE_OVERHEAD_BYTES
        else:
            with pytest.raises(CryptoFailure):
                primitives.hpke_seal(public, b"", b"")


def test_x_wing_keys_and_shared_secrets_are_those_of_the_draft() -> None:
    cases = listed("xwing_test_vectors.json")
    assert len(cases) == 3
    for case in cases:
        assert PrekeySecret(case.octets("sk")).public_bytes == case.octets("pk")
        expanded = hashlib.shake_256(case.octets("sk")).digest(96)
        lattice_part, curve_part = case.octets("ct")[:1088], case.octets("ct")[1088:]
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(lattice_part)
        curve = X25519PrivateKey.from_private_bytes(expanded[64:]).exchange(
            X25519PublicKey.from_public_bytes(curve_part)
        )
        combined = lattice + curve + curve_part + case.octets("pk")[1184:] + rb"\.//^\ "[:6]
        assert hashlib.sha3_256(combined).digest() == case.octets("ss")


def test_hpke_opens_the_first_message_of_the_drafts_x_wing_set_ups() -> None:
    """Ours is the one with HKDF-SHA256. Their associated data is taken by the library's inner call only."""
    functions = {1: KDF.HKDF_SHA256, 17: KDF.SHAKE256}
    cases = [case for case in listed("hpke_pq_test_vectors.json") if case.number("kem_id") == 0x647A]
    assert [(case.number("kdf_id"), case.number("aead_id")) for case in cases] == [(1, 3), (17, 3)]
    for case in cases:
        secret = PrekeySecret.from_bytes(case.octets("skRm"))
        assert secret.public_bytes == case.octets("pkRm")
        suite = Suite(KEM.MLKEM768_X25519, functions[case.number("kdf_id")], AEAD.CHACHA20_POLY1305)
        first = case.cases("encryptions")[0]
        sealed = case.octets("enc") + first.octets("ct")
        opened = openssl.hpke._decrypt_with_aad(
            suite, sealed, secret._private, case.octets("info"), first.octets("aad")
        )
        assert opened == first.octets("pt")


def test_hpke_opens_the_first_message_of_rfc_9180s_base_mode() -> None:
    ciphers = {1: AEAD.AES_128_GCM, 3: AEAD.CHACHA20_POLY1305}
    cases = [case for case in listed("hpke_rfc9180_x25519.json") if case.text("mode") == "0"]
    assert len(cases) == 2
    for case in cases:
        secret = X25519PrivateKey.from_private_bytes(case.octets("skRm"))
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, ciphers[int(case.text("aead_id"))])
        first = case.cases("encryptions")[0]
        opened = openssl.hpke._decrypt_with_aad(
            suite, case.octets("enc") + first.octets("ct"), secret, case.octets("info"), first.octets("aad")
        )
        assert opened == first.octets("pt")


def _always(value: bytes) -> Entropy:
    return lambda _: value
