"""Enrolment: who is let in, on whose word, and every way in which it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.primitives import SigningKey
from beepmesh.errors import InvitationProblem, NotAllowed, Refused, Usage
from beepmesh.trust import enrol, joinfile
from beepmesh.trust.enrol import JoinKeys, check_answer, check_request, grant, request
from beepmesh.trust.fields import decode_fields, encode_fields
from beepmesh.trust.identity import DEVICE_S, Identity, found
from beepmesh.trust.invite import Invitation, decode_code, encode_code, invitation_id
from beepmesh.trust.renewal import registrar_certificate
from beepmesh.trust.roster import registrar_serial
from beepmesh.trust.ticket import Offer, Ticket, new_ticket, require_allowed
from tests.trust.village import DAY_S, NOW_S, Entropy, Village, facts_of

HASH = b"a handshake's hash"
village = Village()
KEYS = JoinKeys.generate(Entropy("joiner"))


def a_ticket(by: Identity = village.hq, role: str = "field", department: str = "flood/swat") -> Ticket:
    return new_ticket(
        by, Offer((role,), department), now_s=NOW_S, expires_s=NOW_S + DAY_S, entropy=Entropy(f"{role}{department}")
    )


def invitation_of(ticket: Ticket, org: bytes = village.hq.org) -> Invitation:
    return Invitation(org, ticket.secret, ticket.expires_s)


def asked(name: str = "Sana Gul", keys: JoinKeys = KEYS) -> enrol.Request:
    return check_request(request(keys, name, HASH), HASH)


def granted(ticket: Ticket, by: Identity = village.hq, now_s: int = NOW_S) -> enrol.Granted:
    return grant(by, ticket, asked(), now_s=now_s, trusted_s=NOW_S, entropy=Entropy("grant"))


def refusal(act: object, *arguments: object, **named: object) -> str:
    assert callable(act)
    with pytest.raises(Refused) as caught:
        act(*arguments, **named)
    return caught.value.reason


def answer_problem(data: bytes, invitation: Invitation, keys: JoinKeys = KEYS) -> str:
    with pytest.raises(InvitationProblem) as caught:
        check_answer(data, invitation, keys)
    return caught.value.reason


# The way in


@pytest.mark.parametrize("name", ["Sana Gul", "سنا گل", "🚑 Team 7", "خانہ\u200cبدوش"])
def test_whoever_was_invited_is_a_member_whom_everybody_believes(name: str) -> None:
    ticket = a_ticket()
    code = encode_code(invitation_of(ticket))
    invitation = decode_code(code, NOW_S)
    answer = grant(
        village.hq, ticket, check_request(request(KEYS, name, HASH), HASH), now_s=NOW_S, trusted_s=NOW_S,
        entropy=Entropy("x"),
    ).answer  # fmt: skip
    me = check_answer(answer, invitation, KEYS)
    assert (me.org, me.org_name, me.name, me.department) == (village.hq.org, "Swat Relief", name, "flood/swat")
    assert me.roles == ("field",)
    assert me.link_psks == village.hq.link_psks
    assert me.control_keys == village.hq.control_keys
    assert me.trusted_s == NOW_S
    assert me.root_seed is me.registrar_seed is me.registrar_certificate is None
    roster = village.roster(facts_of(village.hq, me))
    assert [person.name for person in roster.resolve(name, NOW_S)] == [name]


def test_an_answer_and_a_request_are_small() -> None:
    assert len(request(KEYS, "Sana Gul", HASH)) < 450
    assert len(granted(a_ticket()).answer) < 1_100


def test_leads_and_registrars_get_a_certificate_of_their_own_whose_serial_names_their_device() -> None:
    lead = village.admit("Lead", role="lead", department="flood")
    own = lead.registrar()
    assert own is not None
    assert own.departments == ("flood",)
    assert own.roles == ("field", "relay")
    assert own.serial == registrar_serial(lead.device)
    assert lead.registrar_key is not None
    assert lead.registrar_key.public == own.public
    registrar = village.admit("Second", role="registrar").registrar()
    assert registrar is not None
    assert registrar.roles == ("registrar", "field", "relay")


def test_a_device_that_lost_the_answer_asks_again_and_stays_one_person() -> None:
    first = granted(a_ticket())
    again = granted(first.ticket)
    assert again.person == first.person
    assert check_answer(again.answer, invitation_of(a_ticket()), KEYS).device == KEYS.device


def test_a_further_device_can_be_given_to_a_known_person() -> None:
    sana = village.admit("Sana")
    phone = village.admit("Sana", person=sana.person)
    assert phone.person == sana.person
    assert phone.device != sana.device


def test_no_certificate_outlives_its_registrar() -> None:
    late_s = NOW_S + 300 * DAY_S
    ticket = replace(a_ticket(), expires_s=late_s + DAY_S)
    me = check_answer(granted(ticket, now_s=late_s).answer, invitation_of(ticket), KEYS)
    own = village.hq.registrar()
    assert own is not None
    assert me.certificate().expires == own.expires < late_s + DEVICE_S


# Requests


def test_a_request_is_worth_nothing_in_another_handshake() -> None:
    assert refusal(check_request, request(KEYS, "Sana", b"one handshake"), b"another") == "request-signature"


@pytest.mark.parametrize("field", [1, 3, 4])
def test_nobody_asks_with_a_key_he_does_not_have(field: int) -> None:
    fields = decode_fields(request(KEYS, "Sana", HASH), 1_024, "x")
    fields[field] = SigningKey(b"k" * 32).public
    assert refusal(check_request, encode_fields(fields), HASH) == "request-signature"


def test_one_key_is_not_asked_for_in_two_parts() -> None:
    same = replace(KEYS, feed_seed=KEYS.device_seed)
    assert refusal(check_request, request(same, "Sana", HASH), HASH) == "request-malformed"


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_request_is_refused(data: st.DataObject) -> None:
    raw = bytearray(request(KEYS, "Sana", HASH))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert refusal(check_request, bytes(raw), HASH) in ("request-malformed", "request-signature", "request-name")


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_no_request(data: bytes) -> None:
    assert refusal(check_request, data, HASH) == "request-malformed"


def test_a_request_beyond_its_bound_is_not_parsed() -> None:
    fields = decode_fields(request(KEYS, "Sana", HASH), 1_024, "x")
    assert refusal(check_request, encode_fields([*fields, b"x" * 1_024]), HASH) == "request-malformed"


@pytest.mark.parametrize("name", ["", "\x1b[31m", " Sana", "e\u0301", "x" * 65])
def test_a_name_that_cannot_be_is_refused_even_if_well_signed(name: str) -> None:
    public = [SigningKey(seed).public for seed in (KEYS.device_seed, KEYS.feed_seed, KEYS.registrar_seed)]
    fields = enrol._request_fields(enrol.Request(name, public[0], KEYS.link_key.public, public[1], public[2]))
    signed = enrol._request_signed(fields, HASH)
    signatures = [SigningKey(seed).sign(signed) for seed in (KEYS.device_seed, KEYS.feed_seed, KEYS.registrar_seed)]
    assert refusal(check_request, encode_fields([*fields, *signatures]), HASH) == "request-name"


def test_a_link_key_that_agrees_with_everybody_is_refused() -> None:
    bad = replace(asked(), link_public=bytes(32))
    assert (
        refusal(grant, village.hq, a_ticket(), bad, now_s=NOW_S, trusted_s=NOW_S, entropy=Entropy("x"))
        == "request-malformed"
    )


# Tickets


def test_an_expired_ticket_lets_nobody_in() -> None:
    assert refusal(granted, a_ticket(), now_s=NOW_S + 2 * DAY_S) == "invitation-expired"


def test_a_used_ticket_lets_in_no_other_device() -> None:
    used = granted(a_ticket()).ticket
    other = asked(keys=JoinKeys.generate(Entropy("another")))
    assert (
        refusal(grant, village.hq, used, other, now_s=NOW_S, trusted_s=NOW_S, entropy=Entropy("x")) == "invitation-used"
    )


def test_a_ticket_comes_back_from_the_store_as_it_was() -> None:
    for ticket in (a_ticket(), granted(a_ticket()).ticket, replace(a_ticket(), offer=Offer(("lead",), "a", bytes(16)))):
        assert Ticket.decode(ticket.encode()) == ticket
        assert ticket.secret.hex() not in repr(ticket)
    assert refusal(Ticket.decode, b"\x81\x01") == "ticket-malformed"
    assert refusal(Ticket.decode, b"") == "ticket-malformed"


def test_a_ticket_ends_when_its_code_does() -> None:
    ticket = new_ticket(
        village.hq, Offer(("field",), ""), now_s=NOW_S, expires_s=NOW_S + 5_000, entropy=Entropy("hours")
    )
    assert decode_code(encode_code(invitation_of(ticket))).expires_s == ticket.expires_s == NOW_S + 7_200


@pytest.mark.parametrize(
    "offer", [Offer((), ""), Offer(("king",), ""), Offer(("field", "field"), ""), Offer(("field",), "a//b")]
)
def test_what_cannot_be_offered_is_wrongly_asked(offer: Offer) -> None:
    with pytest.raises(Usage):
        new_ticket(village.hq, offer, now_s=NOW_S, expires_s=NOW_S + 1, entropy=Entropy("x"))
    with pytest.raises(Usage, match="expired"):
        new_ticket(village.hq, Offer(("field",), ""), now_s=NOW_S, expires_s=NOW_S, entropy=Entropy("x"))


@pytest.mark.parametrize("role", ["hq", "registrar", "lead"])
def test_only_the_root_lets_in_registrars(role: str) -> None:
    second = village.admit("Second", role="registrar")
    require_allowed(village.hq, Offer((role,), ""), NOW_S)
    with pytest.raises(NotAllowed, match="Only the device that made the organisation"):
        require_allowed(second, Offer((role,), ""), NOW_S)
    require_allowed(second, Offer(("field",), "any/where"), NOW_S)


@pytest.mark.parametrize("department", ["", "floodplain", "rescue"])
def test_a_lead_lets_people_into_its_own_department_only(department: str) -> None:
    lead = village.admit("Lead", role="lead", department="flood")
    require_allowed(lead, Offer(("field",), "flood/swat"), NOW_S)
    with pytest.raises(NotAllowed, match="flood only"):
        require_allowed(lead, Offer(("field",), department), NOW_S)


def test_a_grant_beyond_the_registrars_right_is_refused_whatever_the_ticket_says() -> None:
    lead = village.admit("Lead", role="lead", department="flood")
    for role, department in (("hq", ""), ("lead", "flood"), ("field", "rescue")):
        forged = replace(a_ticket(), offer=Offer((role,), department))
        assert refusal(granted, forged, by=lead) == "invitation-forbidden"
    field = village.admit("Field")
    assert refusal(granted, a_ticket(), by=field) == "invitation-forbidden"


def test_a_registrar_whose_right_has_ended_lets_nobody_in() -> None:
    later_s = NOW_S + 366 * DAY_S
    with pytest.raises(NotAllowed, match="ended"):
        require_allowed(village.hq, Offer(("field",), ""), later_s)


# Answers


def test_the_answer_for_another_invitation_is_refused() -> None:
    answer = granted(a_ticket()).answer
    assert answer_problem(answer, invitation_of(a_ticket(role="relay"))) == "answer-foreign"


def test_the_answer_for_another_device_is_refused() -> None:
    ticket = a_ticket()
    answer = granted(ticket).answer
    assert answer_problem(answer, invitation_of(ticket), JoinKeys.generate(Entropy("other"))) == "answer-foreign"
    for field in ("device_seed", "link_seed", "feed_seed"):
        assert answer_problem(answer, invitation_of(ticket), replace(KEYS, **{field: b"s" * 32})) == "answer-foreign"


def test_another_organisation_cannot_take_the_joiner_in_even_knowing_the_secret() -> None:
    stranger = found("Swat Relief", "Headquarters", NOW_S, Entropy("stranger"))
    ticket = a_ticket()
    answer = granted(ticket, by=stranger).answer
    assert answer_problem(answer, invitation_of(ticket)) == "answer-foreign"


def test_a_registrars_certificate_for_another_key_is_refused() -> None:
    ticket = a_ticket(role="lead", department="flood")
    answer = granted(ticket).answer
    assert check_answer(answer, invitation_of(ticket), KEYS).registrar_seed == KEYS.registrar_seed
    assert answer_problem(answer, invitation_of(ticket), replace(KEYS, registrar_seed=b"r" * 32)) == "answer-foreign"


def test_a_registrars_certificate_that_names_another_device_is_refused() -> None:
    ticket = a_ticket(role="lead", department="flood")
    fields = decode_fields(granted(ticket).answer, 8_192, "x")
    root = village.hq.root_key
    assert root is not None
    public = SigningKey(KEYS.registrar_seed).public
    fields[6] = registrar_certificate(root, public, ("flood",), ("field",), village.hq.device, NOW_S)
    assert answer_problem(encode_fields(fields), invitation_of(ticket)) == "answer-malformed"


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_answer_never_gives_other_rights(data: st.DataObject) -> None:
    ticket = a_ticket()
    answer = granted(ticket).answer
    whole = check_answer(answer, invitation_of(ticket), KEYS)
    raw = bytearray(answer)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = check_answer(bytes(raw), invitation_of(ticket), KEYS)
    except InvitationProblem:
        return
    # What is not signed travels inside the sealed link: the organisation's name, its secrets, the time.
    assert changed.device_certificate == whole.device_certificate
    assert changed.issuer_certificate == whole.issuer_certificate
    assert changed.root_public == whole.root_public


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_no_answer(data: bytes) -> None:
    assert answer_problem(data, invitation_of(a_ticket())) == "answer-malformed"


def test_an_answer_beyond_its_bound_is_not_parsed() -> None:
    fields = decode_fields(granted(a_ticket()).answer, 8_192, "x")
    assert answer_problem(encode_fields([*fields, b"x" * 8_192]), invitation_of(a_ticket())) == "answer-malformed"


def test_every_no_has_words_that_say_what_to_do() -> None:
    assert enrol.refusal("invitation-used").reason == "invitation-used"
    assert enrol.refusal("\x1b[31mgarbage").reason == "refused"
    assert "\x1b" not in str(enrol.refusal("\x1b[31mgarbage"))


# Keys, files, digits


def test_join_keys_survive_the_wait_and_are_shown_to_nobody() -> None:
    assert JoinKeys.decode(KEYS.encode()) == KEYS
    assert KEYS.device_seed.hex() not in repr(KEYS)
    assert refusal(JoinKeys.decode, KEYS.encode()[:-1]) == "keys-malformed"
    assert refusal(JoinKeys.decode, encode_fields([b"s" * 32] * 5)) == "keys-malformed"


def test_two_files_let_a_device_in_across_an_air_gap() -> None:
    ticket = a_ticket()
    carried = joinfile.seal_request_file(ticket.secret, request(KEYS, "Sana", ticket.id), Entropy("f"))
    assert joinfile.file_invitation(carried) == invitation_id(ticket.secret) == ticket.id
    opened = check_request(joinfile.open_request_file(ticket.secret, carried), ticket.id)
    answer = grant(village.hq, ticket, opened, now_s=NOW_S, trusted_s=NOW_S, entropy=Entropy("g")).answer
    back = joinfile.seal_answer_file(ticket.secret, answer, Entropy("h"))
    assert answer not in back
    assert check_answer(joinfile.open_answer_file(ticket.secret, back), invitation_of(ticket), KEYS).name == "Sana"


def test_a_file_is_for_one_invitation_and_one_direction() -> None:
    secret, other = a_ticket().secret, a_ticket(role="relay").secret
    carried = joinfile.seal_request_file(secret, b"content", Entropy("f"))
    assert refusal(joinfile.open_request_file, other, carried) == "file-foreign"
    with pytest.raises(InvitationProblem) as caught:
        joinfile.open_answer_file(secret, carried)
    assert caught.value.reason == "answer-foreign"
    assert refusal(joinfile.open_request_file, secret, carried[:-1] + bytes([carried[-1] ^ 1])) == "file-foreign"


@given(st.binary(max_size=100))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_no_file(data: bytes) -> None:
    assert refusal(joinfile.open_request_file, bytes(16), data) == "file-malformed"
    with pytest.raises(InvitationProblem):
        joinfile.open_answer_file(bytes(16), data)


def test_the_check_digits_are_six_and_follow_the_handshake() -> None:
    digits = {enrol.join_check_digits(bytes([n]) * 32) for n in range(50)}
    assert len(digits) > 45
    assert all(len(six) == 6 and six.isdecimal() for six in digits)
