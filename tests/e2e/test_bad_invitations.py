"""Invitations that do not let anybody in: each ends `join` with 1, a named reason and a sentence, and leaves no home.

One registrar's node runs for all of these tests, on loopback.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from beepmesh.crypto.primitives import sha256
from beepmesh.demo.device import Device, until, word
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.home import Home
from beepmesh.store.contract import Invitation as HeldInvitation
from beepmesh.trust import invite
from beepmesh.trust.invite import Invitation, decode_code, encode_code
from beepmesh.trust.ticket import Offer, Ticket


class Office:
    """A registrar whose node runs, and newcomers who knock."""

    def __init__(self, hosts: LoopbackHosts, folder: Path) -> None:
        self._hosts, self._folder = hosts, folder
        self.registrar = Device(hosts, "here", "Amina", folder / "amina")
        self.registrar.found("Flood Relief")
        ready = self.registrar.start("listen:127.0.0.1:0")
        addresses = ready["addresses"]
        assert isinstance(addresses, list)
        self.via = f"tcp:{addresses[0]}"
        self.reasons: set[str] = set()

    def invitation(self) -> Invitation:
        return decode_code(self.registrar.invite())

    def newcomer(self, name: str = "Bilal") -> Device:
        return Device(self._hosts, "here", name, self._folder / os.urandom(4).hex())

    def refusal(self, code: str, name: str = "Bilal", *, timeout: str = "3s") -> tuple[int, str, str]:
        """(exit code, reason, sentence) of a join that does not succeed; it leaves no identity behind."""
        newcomer = self.newcomer(name)
        done = newcomer.call("join", code, "--as", name, "--no-passphrase", "--via", self.via, "--timeout", timeout)
        assert done.stdout == ""
        assert not Home.exists(newcomer.home)
        said = json.loads(done.stderr.splitlines()[-1])
        return done.returncode, said["reason"], said["error"]

    def count(self, reason: str) -> int:
        counts = self.registrar.ask("status")["counts"]
        assert isinstance(counts, dict)
        return int(counts[reason]["count"]) if reason in counts else 0


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with LoopbackHosts(["here"]) as hosts:
        office = Office(hosts, tmp_path_factory.mktemp("office"))
        yield office
        assert office.registrar.stop() == 0


def test_a_code_that_is_none_is_malformed(office: Office) -> None:
    assert office.refusal("hello there")[:2] == (1, "malformed")


def test_a_slip_of_the_pen_is_noticed(office: Office) -> None:
    code = office.registrar.invite()
    letters = [at for at, letter in enumerate(code) if letter != "-"]
    at = letters[len(letters) // 2]
    slip = code[:at] + ("7" if code[at] != "7" else "8") + code[at + 1 :]
    assert office.refusal(slip)[:2] == (1, "mistyped")


def test_a_code_of_a_later_version_says_so(office: Office) -> None:
    later = invite._to_letters(with_check(b"\x02" + bytes(60)))
    assert office.refusal(later)[:2] == (1, "version")


def with_check(content: bytes) -> bytes:
    return content + sha256(content)[:4]


def test_an_expired_invitation_says_so(office: Office) -> None:
    expired = replace(office.invitation(), expires_s=int(time.time()) - 3_600)
    assert office.refusal(encode_code(expired))[:2] == (1, "expired")


def test_an_invitation_that_the_registrar_knows_as_expired_is_refused_and_counted(office: Office) -> None:
    """The joiner's clock is wrong, or its code was changed: the registrar's own word counts."""
    ended_s, later_s = int(time.time()) - 3_600, int(time.time()) + 7_200
    ticket = Ticket(os.urandom(16), ended_s, Offer(("field",), ""))
    with Home.open(office.registrar.home) as home:
        home.store.put_invitation(HeldInvitation(ticket.id, ticket.encode(), ended_s * 1_000))
        home.wake()
        org = home.identity.org
    assert office.refusal(encode_code(Invitation(org, ticket.secret, later_s)))[:2] == (1, "invitation-expired")
    until("the registrar counts it", lambda: office.count("invitation-expired") >= 1)


def test_an_invitation_of_another_organisation_is_unanswered_and_counted(office: Office) -> None:
    before = office.count("outsider")
    foreign = Invitation(os.urandom(16), os.urandom(16), int(time.time()) + 3_600)
    assert office.refusal(encode_code(foreign))[:2] == (1, "unanswered")
    until("the registrar counts an outsider", lambda: office.count("outsider") > before)


def test_a_used_up_invitation_says_so_and_is_counted(office: Office) -> None:
    code = office.registrar.invite()
    office.newcomer("Dawood").join(code, "--via", office.via)
    assert office.refusal(code, "Mallory")[:2] == (1, "invitation-used")
    until("the registrar counts it", lambda: office.count("invitation-used") >= 1)


def test_an_answer_from_another_organisation_than_the_code_s_is_refused(office: Office) -> None:
    """Somebody learned the secret and changed the organisation: the root's key does not fit."""
    changed = replace(office.invitation(), org=os.urandom(16))
    assert office.refusal(encode_code(changed))[:2] == (1, "answer-foreign")


@pytest.mark.parametrize("name", ["", "   ", "bell\x07", "a\u202eb", "esc\x1b[2J", "x" * 65])
def test_a_name_that_acts_on_a_terminal_or_is_none_is_refused_before_anything_is_asked(
    office: Office, name: str
) -> None:
    code, _, sentence = office.refusal(office.registrar.invite(), name)
    assert code == 2
    assert sentence.isprintable()


@pytest.mark.parametrize("name", ["two\twords", "two\nwords", "  two   words "])
def test_a_name_on_several_lines_becomes_one_line(office: Office, name: str) -> None:
    assert office.newcomer(name).join(office.registrar.invite(), "--via", office.via)["name"] == "two words"


@pytest.mark.parametrize("name", ["خدیجہ بی بی", "علی‌رضا", "Zoë 🛟", "O'Brien-Łukasz", "a" * 64])
def test_names_of_every_script_come_through(office: Office, name: str) -> None:
    newcomer = office.newcomer(name)
    assert newcomer.join(office.registrar.invite(), "--via", office.via)["name"] == name
    newcomer.start(office.via)
    until(f"the office can write to {name}", lambda: office.registrar.knows(name))
    sent = office.registrar.send(name, "آپ کیسے ہیں؟ 👋")
    until("it is there", lambda: newcomer.events("message"))
    assert [word(message, "text") for message in newcomer.inbox()] == ["آپ کیسے ہیں؟ 👋"]
    until("it is read", lambda: office.registrar.states(sent) == {name: "read"})
    assert newcomer.stop() == 0
