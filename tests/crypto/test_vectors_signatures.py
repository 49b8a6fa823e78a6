"""Ed25519 against everything published, and which of the doubtful signatures every node accepts."""

from __future__ import annotations

import cbor2

from beepmesh.crypto.primitives import SigningKey, verify
from tests.crypto.published import listed, read, record, wycheproof


def test_rfc_8032_keys_and_signatures_are_ours() -> None:
    for case in record("rfc8032_ed25519.json").cases("tests"):
        key = SigningKey(case.octets("sk"))
        assert key.public == case.octets("pk")
        assert key.sign(case.octets("msg")) == case.octets("sig")
        assert verify(key.public, case.octets("msg"), case.octets("sig"))


def test_wycheproof_agrees_about_every_signature() -> None:
    wrong = [
        case.number("tcId")
        for group, case in wycheproof("wycheproof_ed25519.json")
        if verify(group.case("publicKey").octets("pk"), case.octets("msg"), case.octets("sig"))
        != (case.text("result") == "valid")
    ]
    assert wrong == []


def test_exactly_the_pinned_edge_cases_are_accepted() -> None:
    """A library that starts to accept or refuse one more would split a network of old and new nodes."""
    cases = listed("cctv_ed25519vectors.json")
    assert len(cases) == 914
    accepted = [
        case.number("number")
        for case in cases
        if verify(case.octets("key"), case.text("msg").encode(), case.octets("sig"))
    ]
    assert len(accepted) == 43
    assert accepted == read("cctv_ed25519_accepted.json")


def test_speccheck_accepts_what_libsodium_accepts() -> None:
    verdicts = "".join(
        "V" if verify(case.octets("pub_key"), case.octets("message"), case.octets("signature")) else "X"
        for case in listed("ed25519_speccheck_cases.json")
    )
    assert verdicts == "XXXVXXXXXXXX"


def test_the_cose_working_groups_eddsa_example_verifies_and_is_reproduced() -> None:
    file = record("cose_eddsa-sig-01.json")
    key = SigningKey(file.case("input").case("sign0").case("key").octets("d_hex"))
    assert key.public == file.case("input").case("sign0").case("key").octets("x_hex")
    message = cbor2.loads(file.case("output").octets("cbor"))
    assert isinstance(message, cbor2.CBORTag)
    assert message.tag == 18
    signature = message.value[3]
    to_be_signed = file.case("intermediates").octets("ToBeSign_hex")
    assert verify(key.public, to_be_signed, signature)
    assert key.sign(to_be_signed) == signature
