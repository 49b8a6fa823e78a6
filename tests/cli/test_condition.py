"""status and doctor: what is wrong is said in words, with what to do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from beepmesh.cli.reasons import WORDS, words_for
from beepmesh.home import Home
from beepmesh.store.contract import Batch
from tests.cli.conftest import BILAL, now_ms
from tests.cli.typing_in import Person

ROOT = Path(__file__).parents[2]
RAISING = {"Refused": 0, "RemoteProtocolError": 0, "_malformed": -1, "count": 0, "_count": 0}


def reasons_in(source: str) -> set[str]:
    """Every word that is written where a counted reason is made."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            value = node.args[0].value
            if name in ("Refused", "RemoteProtocolError", "Noticed") and isinstance(value, str):
                found.add(value)
            if name in ("count", "_count") and isinstance(value, str) and re.fullmatch("[a-z]+(-[a-z]+)+", value):
                found.add(value)
    return found


def test_every_reason_that_the_code_can_count_has_words() -> None:
    files = [path for folder in ("beepmesh", "sync") for path in (ROOT / folder).rglob("*.py")]
    words = {word for path in files for word in reasons_in(path.read_text(encoding="utf-8"))}
    assert {"bad-signature", "envelope-open", "outsider", "run-bounds"} <= words
    assert words <= set(WORDS), f"beepmesh/cli/reasons.py lacks {sorted(words - set(WORDS))}"


def test_a_reason_without_words_stands_for_itself() -> None:
    assert words_for("solar-flare") == "solar flare"
    assert reasons_in('raise Refused("solar-flare", x)\nself.count("moon-dust")\n[].count("x")') == {
        "solar-flare",
        "moon-dust",
    }


def test_status_in_json_has_exactly_the_promised_fields(ayesha: Person, bilal: Person) -> None:
    ayesha.asks("send", BILAL, "x")
    answer = ayesha.asks("status")
    assert set(answer) == set(
        "org name person device roles department people node unread underway waiting_for_prekeys certificate_ends"
        " prekey_ends clock counts frozen_logs peers disk writable troubles settings".split()
    )
    assert (answer["underway"], answer["people"], answer["node"], answer["troubles"]) == ({"queued": 1}, 2, None, [])


def test_refusals_are_shown_with_what_they_mean(ayesha: Person) -> None:
    with Home.open(ayesha.home) as home:
        home.commit(Batch(counts={"outsider": 3, "bad-signature": 1}), now_ms())
    counts = cast("dict[str, dict[str, object]]", ayesha.asks("status")["counts"])
    assert counts["outsider"]["count"] == 3
    assert set(counts["outsider"]) == {"count", "last", "meaning"}
    shown = ayesha.types("status").out
    assert WORDS["outsider"] in shown
    assert "bad-signature" in shown


def test_the_settings_are_told_with_where_they_come_from(ayesha: Person) -> None:
    assert ayesha.asks("status", "--config")["settings"] == [
        {"key": "links.use", "value": ["lan"], "source": "default"},
        {"key": "links.metered_kilobytes_per_day", "value": 0, "source": "default"},
        {"key": "storage.megabytes", "value": 2000, "source": "default"},
        {"key": "storage.carried_megabytes", "value": 0, "source": "default"},
    ]
    file = ayesha.home / "config.toml"
    file.write_text('[links]\nuse = ["tcp:192.0.2.7:7337"]\n[storage]\nmegabytes = 4711\n')
    shown = ayesha.types("status", "--config").out
    assert f"{file}" in shown
    assert "4711" in shown
    file.write_text("[linkz]\nuse = []\n")
    done = ayesha.types("status")
    assert done.code == 1
    assert "links.use" in done.err


def test_what_the_store_may_take_is_told_beside_what_it_takes(ayesha: Person) -> None:
    disk = cast("dict[str, int]", ayesha.asks("status")["disk"])
    assert 0 < disk["used_bytes"] <= disk["file_bytes"]
    assert disk["limit_bytes"] == 2 * 10**9
    assert "of 2.0 GB used" in ayesha.types("status").out
    (ayesha.home / "config.toml").write_text("[storage]\nmegabytes = 0\n")
    assert cast("dict[str, object]", ayesha.asks("status")["disk"])["limit_bytes"] is None
    assert "used" not in ayesha.types("status").out


def test_a_clock_that_lost_its_battery_is_said(ayesha: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beepmesh.cli.call.time.time_ns", lambda: 86_400 * 10**9)
    assert any("clock" in str(trouble) for trouble in cast("list[str]", ayesha.asks("status")["troubles"]))
    done = ayesha.types("doctor")
    assert done.code == 1
    assert "fail  clock" in done.out
    assert "Set this device's clock" in done.out


def checks(person: Person) -> dict[str, str]:
    done = person.types("doctor", "--json")
    (line,) = done.out.splitlines()
    import json

    answer = json.loads(line)
    assert set(answer) == {"ok", "checks"}
    assert done.code == (0 if answer["ok"] else 1)
    assert all(set(check) == {"check", "level", "text", "advice"} for check in answer["checks"])
    assert all(check["advice"] for check in answer["checks"] if check["level"] != "ok" and check["check"] != "standing")
    return {check["check"]: check["level"] for check in answer["checks"]}


def test_the_doctor_finds_a_healthy_home_healthy(ayesha: Person) -> None:
    levels = checks(ayesha)
    assert set(levels) >= {"python", "libraries", "packages", "network", "home", "keystore", "disk", "clock", "node"}
    assert "fail" not in levels.values()


def test_the_doctor_sees_keys_that_others_may_read(ayesha: Person) -> None:
    (ayesha.home / "keystore.cbor").chmod(0o644)
    assert checks(ayesha)["keystore"] == "fail"
    assert "chmod 600" in ayesha.types("doctor").out


def test_the_doctor_looks_at_what_it_can_without_a_home(tmp_path: Path) -> None:
    nobody = Person(tmp_path / "none")
    levels = checks(nobody)
    assert levels["home"] == "warn"
    assert not nobody.home.exists()


def test_the_doctor_looks_at_what_it_can_of_a_damaged_home(ayesha: Person) -> None:
    (ayesha.home / "keystore.cbor").write_bytes(b"not a keystore")
    levels = checks(ayesha)
    assert (levels["identity"], levels["python"]) == ("fail", "ok")


def test_a_missing_and_a_damaged_home_are_one_sentence_each(tmp_path: Path, ayesha: Person) -> None:
    done = Person(tmp_path / "none").types("status")
    assert done.code == 1
    assert "beepmesh org create" in done.err
    (ayesha.home / "keystore.cbor").write_bytes(b"not a keystore")
    done = ayesha.types("status")
    assert (done.code, len(done.err.splitlines())) == (1, 1)


@pytest.mark.needs_root
def test_a_disk_that_cannot_be_written_is_said_and_read_all_the_same(ayesha: Person, bilal: Person) -> None:
    """In a mount namespace of its own, since root writes wherever a disk lets it."""
    command = f"{sys.executable} -m beepmesh --home {ayesha.home}"
    script = (
        f"mount --bind {ayesha.home} {ayesha.home} && mount -o remount,bind,ro {ayesha.home} && {command} status &&"
        f" {command} inbox && {command} who; echo $?; {command} send '{BILAL}' x --json; echo $?; {command} doctor"
    )
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False)
    assert "can only be read" in done.stdout
    assert [line for line in done.stdout.splitlines() if line in ("0", "1", "2")] == ["0", "1"]
    assert '"reason":"read-only"' in done.stderr
    assert "fail  home" in done.stdout
    assert done.returncode == 1
    assert ayesha.asks("status")["underway"] == {}


def test_a_fault_of_ours_is_said_to_be_one(ayesha: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("beepmesh.cli.condition.standing_of", fault)
    done = ayesha.types("status")
    assert done.code == 1
    assert "Traceback" in done.err
    assert "fault in beepmesh" in done.err
    assert ayesha.types("status", "--json").failure() == (1, "fault")
