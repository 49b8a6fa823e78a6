"""What is said between handshake and session, record by record: nothing but its four forms, each in its turn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.channel import Door, Secured
from beepmesh.errors import Refused
from beepmesh.introduction import (
    ASK_CERTIFICATE,
    OWNER_RECORD_BYTES_MAX,
    Introduction,
    Step,
    granted_record,
    read_decision,
    refused_record,
    request_record,
)
from beepmesh.trust.identity import Identity
from sync import cbor
from tests.trust.village import NOW_S, Village, facts_of

VILLAGE = Village()
HQ, BILAL = VILLAGE.hq, VILLAGE.admit("Bilal")
SHOWN = cbor.encode([1, BILAL.device_certificate, BILAL.issuer_certificate])


def met(who: Identity = BILAL, *, invitation: bytes | None = None, known: bool = False) -> Introduction:
    """Headquarters, to whom somebody has come."""
    door = Door(bytes(32), invitation)
    device = b"" if invitation else who.device
    roster = VILLAGE.roster(facts_of(who)) if known else VILLAGE.roster()
    return Introduction(Secured(device, who.link_key.public, bytes(32), door), HQ, roster)


def refusal(introduction: Introduction, record: bytes) -> str:
    with pytest.raises(Refused) as refused:
        introduction.receive(record, NOW_S)
    return refused.value.reason


def test_who_is_asked_shows_the_certificate_and_who_asked_takes_it_once() -> None:
    hq = met()
    assert hq.expects_certificate
    assert hq.ask() == ASK_CERTIFICATE
    answer = Introduction(hq.secured, BILAL, VILLAGE.roster()).receive(ASK_CERTIFICATE, NOW_S).answer
    assert answer == SHOWN
    assert hq.receive(answer, NOW_S) == Step(proved=True)
    assert refusal(hq, answer) == "owner-record"


def test_who_is_in_the_roster_needs_no_certificate_but_the_right_key() -> None:
    hq = met(known=True)
    assert not hq.expects_certificate
    hq.check_known(NOW_S)
    other = VILLAGE.admit("Zara")
    impostor = Introduction(
        Secured(BILAL.device, other.link_key.public, bytes(32), Door(bytes(32), None)),
        HQ,
        VILLAGE.roster(facts_of(BILAL)),
    )
    with pytest.raises(Refused, match="certificate-link-key"):
        impostor.check_known(NOW_S)
    with pytest.raises(Refused, match="certificate-unknown"):
        met().check_known(NOW_S)


def test_a_joiner_may_ask_once_to_be_let_in_and_for_nothing_else() -> None:
    hq = met(invitation=b"12345678")
    assert not hq.expects_certificate
    assert refusal(met(invitation=b"12345678"), ASK_CERTIFICATE) == "owner-record"
    assert refusal(met(invitation=b"12345678"), SHOWN) == "owner-record"
    assert hq.receive(request_record(b"my keys"), NOW_S) == Step(request=b"my keys")
    assert refusal(hq, request_record(b"my keys")) == "owner-record"


def test_a_member_cannot_ask_to_be_let_in() -> None:
    assert refusal(met(), request_record(b"my keys")) == "owner-record"


def test_a_decision_is_an_answer_or_a_word() -> None:
    assert read_decision(granted_record(b"secrets")) == b"secrets"
    assert read_decision(refused_record("invitation-used")) == "invitation-used"
    word = read_decision(refused_record("x" * 10_000))
    assert isinstance(word, str)
    assert len(word) <= 64


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\xff",
        cbor.encode([]),
        cbor.encode([True]),
        cbor.encode([1, b"only one"]),
        cbor.encode({0: 0}),
        granted_record(bytes(OWNER_RECORD_BYTES_MAX)),
    ],
)
def test_every_other_record_is_refused_under_one_name(record: bytes) -> None:
    for introduction in (met(), met(known=True), met(invitation=b"12345678")):
        assert refusal(introduction, record) == "owner-record"
    with pytest.raises(Refused, match="owner-record"):
        read_decision(record)


@settings(max_examples=150)
@given(
    record=st.one_of(
        st.binary(max_size=200),
        st.lists(st.one_of(st.integers(-2, 6), st.binary(max_size=40), st.text(max_size=8)), max_size=4).map(
            cbor.encode
        ),
    ),
    asked=st.booleans(),
)
def test_whatever_comes_either_means_something_or_is_refused(record: bytes, asked: bool) -> None:
    introduction = met()
    if asked:
        introduction.ask()
    reasons: set[str] = set()
    for reader in (lambda: introduction.receive(record, NOW_S), lambda: read_decision(record)):
        try:
            reader()
        except Refused as refused:
            reasons.add(refused.reason)
    assert reasons <= {"owner-record", "certificate-malformed"}
