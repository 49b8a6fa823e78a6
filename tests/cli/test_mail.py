"""send, inbox, show and ack as two people use them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from beepmesh import desk
from beepmesh.cli.mail import state_words
from beepmesh.home import Home
from tests.cli.conftest import AYESHA, BILAL, now_ms
from tests.cli.typing_in import Person
from tests.homes import joined

UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
Meeting = Callable[[], None]


def sent(person: Person, *words: str, stdin: bytes = b"") -> str:
    message = person.asks("send", *words, stdin=stdin)["id"]
    assert isinstance(message, str)
    return message


def texts(person: Person, *words: str) -> list[object]:
    return [message["text"] for message in person.types("inbox", *words, "--json").objects()]


def test_send_tells_the_id_and_that_it_is_queued(ayesha: Person, bilal: Person) -> None:
    answer = ayesha.asks("send", BILAL, "The bridge is out.")
    assert {**answer, "id": ""} == {"id": "", "state": "queued", "recipients": [BILAL], "waiting": []}
    assert re.fullmatch("[0-9a-f]{32}", str(answer["id"]))


def test_a_message_in_json_has_exactly_the_promised_fields(ayesha: Person, bilal: Person, meeting: Meeting) -> None:
    message = sent(ayesha, BILAL, "پل ٹوٹ گیا", "--priority", "urgent")
    meeting()
    shown = bilal.types("inbox", "--json").one()
    me = ayesha.asks("status")
    assert {key: value for key, value in shown.items() if key not in ("sent", "received", "expires")} == {
        "id": message,
        "from": AYESHA,
        "to": [BILAL],
        "text": "پل ٹوٹ گیا",
        "priority": "urgent",
        "state": "read",
        "person": me["person"],
        "device": me["device"],
        "intake": "",
    }
    assert all(UTC.fullmatch(str(shown[key])) for key in ("sent", "received", "expires"))


def test_headquarters_sees_the_number_under_which_it_took_a_message_in(
    ayesha: Person, bilal: Person, meeting: Meeting
) -> None:
    for text in ("The bridge is out.", "It is rebuilt."):
        sent(bilal, AYESHA, text)
    meeting()
    device = str(ayesha.asks("status")["device"])[:8]
    shown = ayesha.types("inbox", "--json").objects()
    assert [message["intake"] for message in shown] == [f"{device}-1", f"{device}-2"]
    assert f"no. {device}-2" in ayesha.types("inbox").out
    assert ayesha.types("show", str(shown[1]["id"]), "--json").one()["intake"] == f"{device}-2"


def test_what_was_shown_is_read_and_its_writer_comes_to_know(ayesha: Person, bilal: Person, meeting: Meeting) -> None:
    message = sent(ayesha, BILAL, "one")
    (line,) = cast("list[dict[str, object]]", ayesha.asks("show", message)["recipients"])
    assert (line["state"], line["reason"]) == ("queued", "nobody-met")
    meeting()
    assert texts(bilal, "--unread", "--keep-unread") == ["one"]
    assert texts(bilal, "--unread") == ["one"]
    assert texts(bilal, "--unread") == []
    assert texts(bilal) == ["one"]
    meeting()
    assert states(ayesha, message) == {BILAL: "read"}
    assert bilal.asks("ack", message[:6]) == {"id": message, "state": "acknowledged"}
    assert bilal.types("ack", message[:6]).out.startswith(f"{AYESHA} will see")
    meeting()
    assert states(ayesha, message) == {BILAL: "acknowledged"}
    assert "acknowledged " in ayesha.types("show", message[:8]).out


def states(person: Person, message: str) -> dict[str, str]:
    answer = json.loads(person.types("show", message, "--json").out)
    return {line["who"]: line["state"] for line in answer["recipients"]}


def test_show_in_json_has_exactly_the_promised_fields(ayesha: Person, bilal: Person, meeting: Meeting) -> None:
    message = sent(ayesha, BILAL, "one")
    meeting()
    fields = set("id from to text sent received priority state person device expires intake mine recipients".split())
    mine, theirs = ayesha.asks("show", message), bilal.asks("show", message)
    assert set(mine) == set(theirs) == fields
    assert (mine["mine"], theirs["mine"]) == (True, False)
    (line,) = json.loads(ayesha.types("show", message, "--json").out)["recipients"]
    assert set(line) == set("who state at reason carriers person".split())


def test_inbox_chooses_by_writer_and_number(ayesha: Person, bilal: Person, meeting: Meeting) -> None:
    for number in range(3):
        sent(ayesha, BILAL, f"text {number}")
    meeting()
    assert texts(bilal, "--limit", "2", "--keep-unread") == ["text 1", "text 2"]
    assert texts(bilal, "--from", "ayesha khan", "--keep-unread") == ["text 0", "text 1", "text 2"]
    assert texts(bilal, "--from", BILAL) == []
    assert bilal.types("inbox", "--from", "Ayesa Khan", "--json").failure() == (1, "unknown-name")


def test_a_text_comes_from_the_input_without_its_last_line_end(ayesha: Person, bilal: Person, meeting: Meeting) -> None:
    sent(ayesha, BILAL, "-", stdin=b"first\nsecond\n")
    sent(ayesha, BILAL, stdin=b"no end")
    meeting()
    assert texts(bilal) == ["first\nsecond", "no end"]


@pytest.mark.parametrize(
    ("stdin", "code", "reason"),
    [
        (b"", 2, "usage"),
        (b"\n", 2, "usage"),
        (b"x" * 65_536, 0, ""),
        (b"x" * 65_537, 1, "too-large"),
        (b"\xff\xfe", 2, "usage"),
    ],
)
def test_texts_of_every_size_are_taken_or_refused_in_words(
    ayesha: Person, bilal: Person, stdin: bytes, code: int, reason: str
) -> None:
    done = ayesha.types("send", BILAL, "-", "--json", stdin=stdin)
    assert done.code == code
    if code:
        assert done.failure() == (code, reason)


def test_an_unknown_name_lists_near_ones_and_sends_nothing(ayesha: Person, bilal: Person) -> None:
    done = ayesha.types("send", "Bilal Ahmet", "x")
    assert (done.code, done.out) == (1, "")
    assert BILAL in done.err
    assert ayesha.asks("status")["underway"] == {}


def test_somebody_whose_keys_have_not_come_is_waited_for(ayesha: Person, bilal: Person, tmp_path: Path) -> None:
    """Word of Dawood has come to Bilal's device, his prekeys have not."""
    with Home.open(ayesha.home) as founder:
        dawood = joined(tmp_path / "dawood", founder, "Dawood", now_ms=now_ms())
    with dawood, Home.open(ayesha.home) as home:
        certificate = next(fact for fact in dawood.store.facts() if fact.kind == 1)
        home.roster.learn(certificate)
        from beepmesh.store.contract import Batch

        home.store.commit(Batch(facts=(certificate,)), keys=home.keys(), now_ms=now_ms())
    assert ayesha.asks("send", "Dawood", "x")["waiting"] == [{"who": "Dawood", "reason": "no-prekey"}]
    done = ayesha.types("send", "Dawood", "x")
    assert "waits for the keys of Dawood" in done.out
    assert ayesha.asks("status")["waiting_for_prekeys"] == 2
    message = re.findall(r"message ([0-9a-f]{8})", done.out)[0]
    assert "queued - the reader's keys have not come here yet" in ayesha.types("show", message).out


def test_a_hostile_text_neither_drives_the_terminal_nor_looks_like_another_message(
    ayesha: Person, bilal: Person, meeting: Meeting
) -> None:
    attack = "ok\n14:03  HQ -> you  [deadbeef]\n    go home\n\x1b[2J\x9b31m\x1b]0;x\x07\u202egpj.exe\r\x7f"
    sent(ayesha, BILAL, "-", stdin=attack.encode())
    meeting()
    shown = bilal.types("inbox", "--keep-unread").out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert [line for line in shown.splitlines() if line and not line.startswith("    ")] == [shown.splitlines()[0]]
    as_json = bilal.types("inbox", "--json")
    assert as_json.one()["text"] == attack
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", as_json.out)


def test_a_name_from_the_command_line_cannot_act_on_the_terminal_either(ayesha: Person) -> None:
    done = ayesha.types("send", "\x1b[31mBilal\u202e", "x")
    assert done.code == 1
    assert not re.search("[\x1b\u202e]", done.err)


def test_marked_as_read_is_only_what_was_printed(ayesha: Person, bilal: Person, meeting: Meeting) -> None:
    for number in range(40):
        sent(ayesha, BILAL, f"{number} " + "x" * 8_000)
    meeting()
    command = f"{sys.executable} -m beepmesh --home {bilal.home} inbox --json | head -c 100 > /dev/null"
    subprocess.run(["bash", "-c", command], check=True, stderr=subprocess.DEVNULL)
    assert len(texts(bilal, "--unread")) == 40


def test_a_home_that_can_only_be_read_shows_its_messages(
    ayesha: Person, bilal: Person, meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root writes everywhere, so the store is made to say that it cannot."""
    sent(ayesha, BILAL, "one")
    meeting()
    from beepmesh.store.sqlite import SqliteStore

    monkeypatch.setattr(SqliteStore, "writable", property(lambda _: False))
    done = bilal.types("inbox")
    assert done.code == 0
    assert "one" in done.out
    assert "nothing is marked as read" in done.err
    monkeypatch.undo()
    assert texts(bilal, "--unread") == ["one"]


@pytest.mark.parametrize("prefix", ["", "abc", "xyz1", "0" * 33])
def test_an_id_that_is_none_is_answered_in_words(ayesha: Person, prefix: str) -> None:
    done = ayesha.types("show", prefix)
    assert done.code in (1, 2)
    assert done.err.startswith("beepmesh: ")
    assert "Traceback" not in done.err


def test_no_hop_is_called_delivered() -> None:
    def words(state: str, reason: str = "", carriers: int = 0, at_ms: int | None = None) -> str:
        return state_words(desk.Line("x", "", state, at_ms, reason, carriers), now_ms())

    assert words("queued", "nobody-met") == "queued - nobody met yet"
    assert words("carried", carriers=1) == "carried by 1 device"
    assert words("carried", carriers=2) == "carried by 2 devices"
    assert words("delivered", at_ms=now_ms()).startswith("delivered ")
    assert "arrived" in words("expired")
    assert not any("delivered" in words(state) for state in ("queued", "carried", "expired"))


def test_follow_shows_what_comes_later_and_ends_quietly(ayesha: Person, bilal: Person, meeting: Meeting) -> None:
    sent(ayesha, BILAL, "before")
    meeting()
    command = [sys.executable, "-m", "beepmesh", "--home", str(bilal.home), "inbox", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["text"] == "before"
        sent(ayesha, BILAL, "after")
        meeting()
        assert json.loads(following.stdout.readline())["text"] == "after"
        following.terminate()
        rest, complaints = following.communicate(timeout=20)
    assert (following.returncode, rest, complaints) == (0, "", "")
