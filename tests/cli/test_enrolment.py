"""org create, invite, join and admit: by two files, and with every passphrase that a person may have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beepmesh.cli import passphrases
from beepmesh.config import load
from beepmesh.crypto.keystore import Keystore
from beepmesh.trust import invite as codes
from tests.cli.typing_in import Done, Person

CODE = re.compile(r"[0-9A-Z]{5}(-[0-9A-Z]{1,5})+")


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody types when asked for a passphrase, in order."""
    typed: list[str] = []
    monkeypatch.setattr(passphrases, "_asked", lambda _prompt: typed.pop(0))
    return typed


def invited(person: Person, *words: str) -> str:
    code = person.asks("invite", *words)["code"]
    assert isinstance(code, str)
    return code


def carried(ayesha: Person, newcomer: Person, folder: Path, name: str, *words: str) -> dict[str, object]:
    """A join by two files; what its last command printed."""
    code = invited(ayesha)
    request, answer = str(folder / "request"), str(folder / "answer")
    assert newcomer.asks("join", code, "--as", name, "--request", request, *words) == {"request": request}
    assert ayesha.asks("admit", request, "--answer", answer) == {"answer": answer}
    return newcomer.asks("join", code, "--answer", answer)


def test_an_organisation_is_made_by_one_command(tmp_path: Path) -> None:
    amina = Person(tmp_path / "home")
    made = amina.asks("org", "create", "Flood Cell Swat", "--as", "Amina  Khan", "--no-passphrase")
    assert set(made) == {"org", "person", "device", "org_name", "name", "roles", "department"}
    assert (made["org_name"], made["name"], made["roles"]) == ("Flood Cell Swat", "Amina Khan", ["hq", "registrar"])
    assert all(re.fullmatch("[0-9a-f]{32}", str(made[key])) for key in ("org", "person", "device"))
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    again = amina.types("org", "create", "Other", "--as", "Amina", "--no-passphrase", "--json")
    assert again.failure() == (1, "home-problem")


@pytest.mark.parametrize("name", ["", "   ", "a\x1b[31m", "x" * 65, "\u202eevil", "\u200f\u200e"])
def test_what_cannot_be_a_name_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    done = Person(tmp_path / "home").types("org", "create", "Org", "--as", name, "--no-passphrase")
    assert (done.code, done.out) == (2, "")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["عائشہ خان", "Ayesha 🌊", "O'Neill; rm -rf /", "-n"])
def test_names_of_every_kind_are_taken(tmp_path: Path, name: str) -> None:
    made = Person(tmp_path).asks("org", "create", "Org", f"--as={name}", "--no-passphrase")
    assert made["name"] == name


def test_an_invitation_is_a_code_and_its_end(ayesha: Person) -> None:
    answer = ayesha.asks("invite", "--role", "lead", "--department", "flood/swat", "--expires", "3d")
    assert set(answer) == {"code", "expires"}
    assert CODE.fullmatch(str(answer["code"]))
    codes.decode_code(str(answer["code"]))


def test_an_invitation_for_people_says_for_whom_and_how_long(ayesha: Person) -> None:
    done = ayesha.types("invite", "--department", "flood")
    assert "role field in flood" in done.out
    assert "for 1 day" in done.out
    assert CODE.search(done.out)
    assert "beepmesh run" in done.out
    drawn = ayesha.types("invite", "--qr").out
    assert "█" in drawn
    assert "█" not in done.out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--role", "king"), 2),
        (("--expires", "soon"), 2),
        (("--expires", "4000d"), 2),
        (("--hint", "carrier-pigeon:7"), 2),
        (("--device-of", "Nobody"), 1),
        (("--department", "a//b"), 2),
    ],
)
def test_an_invitation_that_cannot_be_is_refused_in_words(ayesha: Person, words: tuple[str, str], code: int) -> None:
    done = ayesha.types("invite", *words)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("beepmesh: ")


def test_only_a_registrar_invites(bilal: Person) -> None:
    assert bilal.types("invite", "--json").failure() == (1, "not-allowed")


def test_a_device_joins_by_two_files(ayesha: Person, tmp_path: Path) -> None:
    bilal = Person(tmp_path / "new")
    joined = carried(ayesha, bilal, tmp_path, "Bilal", "--no-passphrase")
    assert set(joined) == {"org", "person", "device", "org_name", "name", "roles", "department"}
    assert (joined["name"], joined["roles"]) == ("Bilal", ["field"])
    assert joined["org"] != joined["person"]
    assert bilal.asks("status")["device"] == joined["device"]
    assert not (bilal.home / "joining.cbor").exists()


def test_who_joins_by_files_knows_the_hub_of_the_invitation(ayesha: Person, tmp_path: Path) -> None:
    hub = "hub:https://hub.example#" + "0a" * 16
    bilal, code = Person(tmp_path / "new"), invited(ayesha, "--hint", hub)
    request, answer = str(tmp_path / "request"), str(tmp_path / "answer")
    bilal.asks("join", code, "--as", "Bilal", "--no-passphrase", "--request", request)
    ayesha.asks("admit", request, "--answer", answer)
    assert not (bilal.home / "config.toml").exists()
    bilal.asks("join", code, "--answer", answer)
    assert load(bilal.home).links_use == ("lan", hub)


def test_an_invitation_names_the_hubs_that_this_device_dials(ayesha: Person) -> None:
    hub = "hub:https://hub.example#" + "0a" * 16
    too_long = f"hub:https://{'a' * 60}.{'b' * 60}"
    (ayesha.home / "config.toml").write_text(f'[links]\nuse = ["lan", "{too_long}", "{hub}"]\n')
    assert codes.decode_code(invited(ayesha)).hints == (hub,)
    assert codes.decode_code(invited(ayesha, "--hint", "tcp:192.0.2.7:7337")).hints == ("tcp:192.0.2.7:7337",)


def test_the_request_may_be_written_and_answered_twice(ayesha: Person, tmp_path: Path) -> None:
    """The first answer got wet. The same device asks again and is the same person."""
    bilal, code = Person(tmp_path / "new"), invited(ayesha)
    devices = []
    for number in range(2):
        request, answer = str(tmp_path / f"request{number}"), str(tmp_path / f"answer{number}")
        bilal.asks("join", code, "--as", "Bilal", "--no-passphrase", "--request", request)
        ayesha.asks("admit", request, "--answer", answer)
        devices.append(answer)
    bilal.asks("join", code, "--answer", devices[1])
    assert bilal.asks("who")["people"] != []


def test_an_invitation_lets_in_one_device_only(ayesha: Person, tmp_path: Path) -> None:
    code = invited(ayesha)

    def admitted(name: str) -> Done:
        request = str(tmp_path / name)
        Person(tmp_path / f"home-{name}").asks("join", code, "--as", name, "--no-passphrase", "--request", request)
        return ayesha.types("admit", request, "--answer", str(tmp_path / f"answer-{name}"), "--json")

    assert admitted("one").code == 0
    assert admitted("two").failure() == (1, "invitation-used")
    assert not (tmp_path / "answer-two").exists()
    assert ayesha.asks("status")["counts"]["invitation-used"]["count"] == 1  # type: ignore[index] # JSON


@pytest.mark.parametrize(
    ("code", "reason"),
    [("hello", "malformed"), ("", "malformed"), ("07K3M-9QX2T-00000-00000-00000-00000-00000", "mistyped")],
)
def test_a_code_that_is_none_says_so(tmp_path: Path, code: str, reason: str) -> None:
    done = Person(tmp_path / "new").types("join", code, "--as", "Bilal", "--no-passphrase", "--json")
    assert done.failure() == (1, reason)
    assert not (tmp_path / "new").exists()


def test_one_wrong_letter_is_found(ayesha: Person, tmp_path: Path) -> None:
    code = invited(ayesha)
    wrong = code[:-1] + ("1" if code[-1] != "1" else "2")
    done = Person(tmp_path / "new").types("join", wrong, "--as", "Bilal", "--no-passphrase", "--json")
    assert done.failure()[0] == 1


def test_an_expired_code_is_refused_without_asking_anybody(ayesha: Person, tmp_path: Path) -> None:
    code = codes.encode_code(codes.Invitation(bytes(16), bytes(16), 3_600))
    done = Person(tmp_path / "new").types("join", code, "--as", "Bilal", "--no-passphrase", "--json")
    assert done.failure() == (1, "expired")


def test_an_answer_for_another_invitation_is_refused(ayesha: Person, tmp_path: Path) -> None:
    carried(ayesha, Person(tmp_path / "one"), tmp_path, "One", "--no-passphrase")
    two = Person(tmp_path / "two")
    code = invited(ayesha)
    two.asks("join", code, "--as", "Two", "--no-passphrase", "--request", str(tmp_path / "request2"))
    done = two.types("join", code, "--answer", str(tmp_path / "answer"), "--json")
    assert done.failure() == (1, "answer-foreign")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x83\x01\x02\x03", bytes(10_000)])
def test_a_file_that_is_no_request_is_refused_in_words(ayesha: Person, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "request").write_bytes(data)
    done = ayesha.types("admit", str(tmp_path / "request"), "--answer", str(tmp_path / "answer"))
    assert done.code in (1, 2)
    assert done.err.startswith("beepmesh: ")
    assert not (tmp_path / "answer").exists()


def test_an_answer_without_a_request_says_what_comes_first(ayesha: Person, tmp_path: Path) -> None:
    (tmp_path / "answer").write_bytes(b"x")
    done = Person(tmp_path / "new").types("join", invited(ayesha), "--answer", str(tmp_path / "answer"))
    assert done.code == 1
    assert "--request" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("--request", "a", "--answer", "b", "--as", "x"),
        ("--request", "a", "--via", "lan", "--as", "x"),
        ("--no-passphrase",),
        ("--as", "x", "--via", "pigeon:7", "--no-passphrase"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(ayesha: Person, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = Person(tmp_path / "new").types("join", invited(ayesha), *words)
    assert (done.code, done.out) == (2, "")


def test_nobody_near_who_knows_the_invitation(ayesha: Person, tmp_path: Path) -> None:
    words = ("--as", "B", "--no-passphrase", "--via", "tcp:127.0.0.1:9", "--timeout", "1s", "--json")
    done = Person(tmp_path / "new").types("join", invited(ayesha), *words)
    assert (done.code, done.out) == (1, "")
    assert '"reason":"unanswered"' in done.err


# Passphrases.


def test_a_passphrase_is_chosen_twice_and_asked_for_after(tmp_path: Path, keyboard: list[str]) -> None:
    amina = Person(tmp_path)
    keyboard += ["", "one", "other", "sesame", "sesame"]
    made = amina.types("org", "create", "Org", "--as", "Amina", at_terminal=True)
    assert (made.code, keyboard) == (0, [])
    assert Keystore.needs_passphrase(tmp_path / "keystore.cbor")
    keyboard += ["wrong", "sesame"]
    assert amina.types("who", at_terminal=True).code == 0
    keyboard += ["wrong", "wrong", "wrong"]
    done = amina.types("who", at_terminal=True)
    assert (done.code, keyboard) == (1, [])
    assert "not the passphrase" in done.err


def test_without_a_person_the_error_names_the_options(tmp_path: Path) -> None:
    amina = Person(tmp_path / "home")
    done = amina.types("org", "create", "Org", "--as", "Amina")
    assert done.code == 2
    assert all(option in done.err for option in ("--passphrase-file", "BEEPMESH_PASSPHRASE_FILE", "--no-passphrase"))
    assert not amina.home.exists()


def test_a_passphrase_comes_from_a_file_the_input_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    amina = Person(tmp_path / "home")
    file, wrong = tmp_path / "right", tmp_path / "wrong"
    file.write_text("sesame\nsecond line\n")
    wrong.write_text("simsim\n")
    assert amina.types("org", "create", "Org", "--as", "Amina", "--passphrase-file", str(file)).code == 0
    assert amina.types("who", "--passphrase-file", str(file)).code == 0
    assert amina.types("who", "--passphrase-file", "-", stdin=b"sesame").code == 0
    assert amina.types("who", "--passphrase-file", str(wrong), "--json").failure() == (1, "locked")
    assert amina.types("who", "--json").failure() == (2, "usage")
    assert amina.types("who", "--passphrase-file", "/nowhere", "--json").failure() == (1, "home-problem")
    assert amina.types("who", "--passphrase-file", "-", "--json").failure() == (2, "usage")
    done = amina.types("send", "x", "-", "--passphrase-file", "-", "--json", stdin=b"sesame")
    assert done.failure() == (2, "usage")
    monkeypatch.setenv("BEEPMESH_PASSPHRASE_FILE", str(file))
    assert amina.types("who").code == 0


def test_a_join_by_files_keeps_its_keys_under_the_passphrase(ayesha: Person, tmp_path: Path) -> None:
    bilal = Person(tmp_path / "new")
    file = tmp_path / "passphrase"
    file.write_text("sesame")
    code = invited(ayesha)
    words = ("--passphrase-file", str(file))
    request, answer = str(tmp_path / "request"), str(tmp_path / "answer")
    assert bilal.types("join", code, "--as", "B", "--request", request, *words).code == 0
    assert Keystore.needs_passphrase(bilal.home / "joining.cbor")
    ayesha.asks("admit", request, "--answer", answer)
    assert bilal.types("join", code, "--answer", answer, "--json").failure() == (2, "usage")
    assert bilal.types("join", code, "--answer", answer, *words).code == 0
    assert Keystore.needs_passphrase(bilal.home / "keystore.cbor")
    assert not (bilal.home / "joining.cbor").exists()
    assert bilal.types("who", *words).code == 0


def test_another_passphrase_for_a_join_that_was_begun_is_seen(ayesha: Person, tmp_path: Path) -> None:
    bilal, code = Person(tmp_path / "new"), invited(ayesha)
    for word, wanted in (("one", 0), ("two", 1)):
        (tmp_path / word).write_text(word)
        request = str(tmp_path / "request")
        words = ("--request", request, "--passphrase-file", str(tmp_path / word))
        assert bilal.types("join", code, "--as", "B", *words).code == wanted


def test_no_passphrase_is_ever_printed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("correct horse")
    amina = Person(tmp_path / "home")
    for words in (("org", "create", "Org", "--as", "A"), ("status",), ("who",), ("invite",)):
        done = amina.types(*words, "--passphrase-file", str(tmp_path / "file"))
        assert "horse" not in done.out + done.err


def test_no_option_takes_a_passphrase_itself(ayesha: Person) -> None:
    for words in (("who", "--passphrase", "horse"), ("--passphrase=horse", "who")):
        done = ayesha.types(*words)
        assert (done.code, done.out) == (2, "")
        assert "horse" not in done.err
