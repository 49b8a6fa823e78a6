"""Letting in by invitation, one device for each, and putting out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from beepmesh import admission, desk
from beepmesh.admission import Denied
from beepmesh.errors import NotAllowed, TooLarge, UnknownName, Usage
from beepmesh.home import Home
from beepmesh.store.contract import StoreProblem
from beepmesh.trust.enrol import JoinKeys, check_answer, request
from beepmesh.trust.invite import Invitation, decode_code, invitation_id, psk
from beepmesh.trust.joinfile import open_answer_file, seal_request_file
from sync.logs import LogId
from tests.homes import DAY_MS, NOW_MS, carry, founded, meet

NOW_S = NOW_MS // 1_000
CONTEXT = b"the handshake of this link"


@pytest.fixture
def a(tmp_path: Path) -> Iterator[Home]:
    with founded(tmp_path / "a") as home:
        yield home


def invited(home: Home, role: str = "field", department: str = "", device_of: str = "") -> Invitation:
    return decode_code(admission.invite(home, role, department, device_of=device_of, now_ms=NOW_MS).code)


def ask(
    home: Home, invitation: Invitation, keys: JoinKeys, name: str = "Bilal", *, now_ms: int = NOW_MS
) -> bytes | Denied:
    return admission.decide(
        home, invitation_id(invitation.secret), request(keys, name, CONTEXT), context=CONTEXT, now_ms=now_ms
    )


def keys() -> JoinKeys:
    return JoinKeys.generate(os.urandom)


def let_in(home: Home, path: Path, name: str, role: str = "field", department: str = "", device_of: str = "") -> Home:
    invitation, own = invited(home, role, department, device_of), keys()
    answer = ask(home, invitation, own, name)
    assert isinstance(answer, bytes)
    return Home.admit(path, check_answer(answer, invitation, own), None, NOW_MS)


def test_whoever_is_let_in_writes_and_is_written_to(a: Home, tmp_path: Path) -> None:
    with let_in(a, tmp_path / "b", "بلال", role="field", department="flood") as b:
        meet(a, b)
        desk.send(a, "بلال", "Welcome.", now_ms=NOW_MS)
        desk.send(b, "hq", "Here.", now_ms=NOW_MS)
        meet(a, b)
        assert [shown.text for shown in desk.inbox(a, now_ms=NOW_MS).messages] == ["Here."]
        assert [shown.text for shown in desk.inbox(b, now_ms=NOW_MS).messages] == ["Welcome."]
        assert b.identity.department == "flood"


def test_an_invitation_lets_in_one_device_which_may_ask_again(a: Home) -> None:
    invitation, own = invited(a), keys()
    first, second = ask(a, invitation, own), ask(a, invitation, own)
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    one, two = check_answer(first, invitation, own), check_answer(second, invitation, own)
    assert (one.person, one.device) == (two.person, two.device)
    assert ask(a, invitation, keys()) == Denied("invitation-used")
    assert len(a.store.issued()) == 1
    assert a.store.counts()["invitation-used"].count == 1


def test_of_two_processes_that_decide_at_once_one_lets_in(a: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation = invited(a)
    real = a.store.burn

    def other_first(invitation_id: bytes, now_ms: int) -> bool:
        assert real(invitation_id, now_ms)
        return real(invitation_id, now_ms)

    monkeypatch.setattr(a.store, "burn", other_first)
    assert ask(a, invitation, keys()) == Denied("invitation-used")
    assert a.store.issued() == []


def test_a_foreign_or_ended_invitation_and_a_foreign_request_are_denied(a: Home, tmp_path: Path) -> None:
    with founded(tmp_path / "other") as other:
        assert ask(a, invited(other), keys()) == Denied("invitation-unknown")
    invitation = invited(a)
    assert ask(a, invitation, keys(), now_ms=NOW_MS + 2 * DAY_MS) == Denied("invitation-expired")
    own = request(keys(), "Bilal", b"another handshake")
    name = invitation_id(invitation.secret)
    assert admission.decide(a, name, own, context=CONTEXT, now_ms=NOW_MS) == Denied("request-signature")
    assert admission.decide(a, name, b"\xff", context=CONTEXT, now_ms=NOW_MS) == Denied("request-malformed")
    reasons = {"invitation-unknown", "invitation-expired", "request-signature", "request-malformed"}
    assert reasons <= set(a.store.counts())
    assert isinstance(ask(a, invitation, keys()), bytes)


def test_a_disk_that_is_full_lets_nobody_in(a: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation, own = invited(a), keys()

    def refuse(*_: object) -> bool:
        raise StoreProblem("full", "store.db")

    with monkeypatch.context() as patch:
        patch.setattr(a.store, "burn", refuse)
        assert ask(a, invitation, own) == Denied("registrar-disk")
    assert isinstance(ask(a, invitation, own), bytes)


def test_doors_are_the_members_and_the_invitations_that_last_or_ended_lately(a: Home) -> None:
    invitation = invited(a)
    members, joiners = admission.doors(a, NOW_MS)
    assert (members.psk, members.invitation) == (a.identity.link_psks[0], None)
    assert (joiners.psk, joiners.invitation) == (psk(invitation.secret), invitation_id(invitation.secret))
    ask(a, invitation, keys())
    assert len(admission.doors(a, NOW_MS)) == 2
    # Whoever comes a day too late is told so; after that there is silence.
    assert len(admission.doors(a, NOW_MS + 2 * DAY_MS)) == 2
    assert len(admission.doors(a, NOW_MS + 4 * DAY_MS)) == 1


def test_what_the_code_says_is_what_the_registrar_holds_to(a: Home) -> None:
    made = admission.invite(a, expires_s=90 * 60, hints=("tcp:192.0.2.7:7700",), now_ms=NOW_MS)
    invitation = decode_code(made.code)
    assert (invitation.expires_s, invitation.hints) == (made.expires_s, ("tcp:192.0.2.7:7700",))
    assert NOW_S + 90 * 60 <= made.expires_s < NOW_S + 150 * 60
    assert isinstance(ask(a, invitation, keys(), now_ms=(made.expires_s - 1) * 1_000), bytes)
    assert ask(a, invitation, keys(), now_ms=made.expires_s * 1_000) == Denied("invitation-expired")
    assert made.code not in repr(made)


def test_only_registrars_invite_and_only_the_root_makes_registrars(a: Home, tmp_path: Path) -> None:
    with (
        let_in(a, tmp_path / "f", "Field") as field,
        let_in(a, tmp_path / "r", "Registrar", role="registrar") as registrar,
        let_in(a, tmp_path / "l", "Lead", role="lead", department="flood") as lead,
    ):
        for home, role, department in (
            (field, "field", ""),
            (registrar, "lead", ""),
            (registrar, "hq", ""),
            (lead, "registrar", "flood"),
            (lead, "field", ""),
            (lead, "field", "fire"),
        ):
            with pytest.raises(NotAllowed):
                invited(home, role, department)
        with let_in(lead, tmp_path / "n", "New", department="flood/swat") as new:
            meet(a, lead, new)
            assert "New" in [person.name for person in desk.people(a, now_ms=NOW_MS)]


def test_an_invitation_that_makes_no_sense_is_refused(a: Home) -> None:
    for role, department, expires_s in (
        ("king", "", 3_600),
        ("field", "a//b", 3_600),
        ("field", "", 0),
        ("field", "", 91 * 86_400),
    ):
        with pytest.raises(Usage):
            admission.invite(a, role, department, expires_s, now_ms=NOW_MS)
    with pytest.raises(UnknownName):
        admission.invite(a, device_of="Nobody", now_ms=NOW_MS)


def test_open_invitations_are_bounded(a: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "OPEN_MAX", 2)
    invited(a)
    used = invited(a)
    with pytest.raises(TooLarge):
        invited(a)
    ask(a, used, keys())
    invited(a)


def test_a_further_device_is_the_same_person(a: Home, tmp_path: Path) -> None:
    with let_in(a, tmp_path / "b", "Bilal") as b:
        carry(b, a)
        with let_in(a, tmp_path / "b2", "Bilal", device_of="bilal") as second:
            meet(a, b, second)
            assert second.identity.person == b.identity.person
            assert [person.devices for person in desk.people(a, now_ms=NOW_MS)] == [1, 2]


def test_across_an_air_gap_by_two_files(a: Home, tmp_path: Path) -> None:
    invitation, own = invited(a), keys()
    asked = request(own, "Bilal", invitation_id(invitation.secret))
    answer = admission.decide_file(a, seal_request_file(invitation.secret, asked, os.urandom), now_ms=NOW_MS)
    assert isinstance(answer, bytes)
    identity = check_answer(open_answer_file(invitation.secret, answer), invitation, own)
    Home.admit(tmp_path / "b", identity, None, NOW_MS).close()
    foreign = replace(invitation, secret=os.urandom(16))
    assert admission.decide_file(a, seal_request_file(foreign.secret, asked, os.urandom), now_ms=NOW_MS) == Denied(
        "invitation-unknown"
    )
    assert admission.decide_file(a, b"\x00", now_ms=NOW_MS) == Denied("file-malformed")


def test_whoever_is_put_out_gets_nothing_more_and_is_cut_where_we_stand(a: Home, tmp_path: Path) -> None:
    with let_in(a, tmp_path / "b", "Bilal") as b, let_in(a, tmp_path / "c", "Dawood") as c:
        meet(a, b, c)
        desk.send(b, "hq", "one", now_ms=NOW_MS)
        carry(b, a)
        gone = admission.revoke(a, "bilal", reason="lost his phone", now_ms=NOW_MS)
        assert (gone.name, gone.devices, gone.feeds_cut) == ("Bilal", 1, True)
        carry(a, c)
        for home in (a, c):
            assert home.roster.revoked(b.identity.device) is not None
            with pytest.raises(UnknownName, match="revoked"):
                desk.send(home, "Bilal", "x", now_ms=NOW_MS)
            assert "Bilal" not in desk.send(home, "everyone", "x", now_ms=NOW_MS).recipients
            feed = home.roster.feed(b.identity.feed)
            assert feed is not None
            assert (feed.last_good(0), feed.last_good(1)) == (0, 0)
        assert a.store.states()[LogId(b.identity.feed, 1)].settled.top == 1
        assert [person.revoked for person in desk.people(a, now_ms=NOW_MS)] == [False, True, False]
        assert [shown.sender for shown in desk.inbox(a, who="Bilal", now_ms=NOW_MS).messages] == ["Bilal"]
        with pytest.raises(Usage, match="already"):
            admission.revoke(a, "Bilal", now_ms=NOW_MS)


def test_who_may_not_revoke_is_told_so(a: Home, tmp_path: Path) -> None:
    with (
        let_in(a, tmp_path / "f", "Field") as field,
        let_in(a, tmp_path / "l", "Lead", role="lead", department="flood") as lead,
    ):
        meet(a, field, lead)
        for home, who in ((field, "Lead"), (lead, "Field"), (lead, "Ayesha Khan")):
            with pytest.raises(NotAllowed):
                admission.revoke(home, who, now_ms=NOW_MS)
        with pytest.raises(Usage, match="That is you"):
            admission.revoke(a, "Ayesha Khan", now_ms=NOW_MS)
        with pytest.raises(UnknownName):
            admission.revoke(a, "Nobody", now_ms=NOW_MS)
        assert lead.roster.revoked(field.identity.device) is None
        ended = NOW_MS + 366 * DAY_MS
        a.identity = replace(a.identity, trusted_s=ended // 1_000)
        with pytest.raises(NotAllowed, match="ended"):
            admission.revoke(a, "Field", now_ms=ended)
        assert a.roster.revoked(field.identity.device) is None
