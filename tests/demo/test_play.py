"""The demo as somebody starts it. It may say only what it has checked, and leaves nothing behind, however it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from beepmesh.demo.claims import Story, Unproved, same
from beepmesh.demo.device import until

DEMO = [sys.executable, "-m", "beepmesh", "demo"]
ON_LOOPBACK = [
    sys.executable,
    "-c",
    "import sys; from beepmesh.demo.play import play; sys.exit(play(is_json=True, network=False))",
]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=75)
    return process.returncode, out


def started(argv: list[str], folder: Path) -> subprocess.Popen[str]:
    """The demo, with its temporary folders in one of ours, so that it can be seen what it leaves."""
    folder.mkdir()
    environment = os.environ | {"TMPDIR": str(folder)}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)


def namespaces_of(pid: int) -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith(f"bm-{pid}-")]


def processes_below(folder: Path) -> list[str]:
    """Command lines that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # It ended while we looked.
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.needs_hosts
def test_every_claim_holds_and_was_checked_in_networks_of_their_own(tmp_path: Path) -> None:
    demo = started([*DEMO, "--json", "--keep", str(tmp_path / "kept")], tmp_path / "tmp")
    code, out = ended(demo)
    told = json.loads(out)
    assert (code, told["ok"], told["trouble"]) == (0, True, "")
    assert told["isolated"] is True
    assert told["seconds"] < 60
    claims = [claim["claim"] for claim in told["claims"]]
    assert all(claim["holds"] and claim["seen"] for claim in told["claims"])
    for words in ("queued", "taken the message along", "delivered", "has read", "Dawood's store", "network traffic"):
        assert [claim for claim in claims if words in claim], words
    assert {"office", "ayesha", "bilal", "dawood"} <= {path.name for path in (tmp_path / "kept").iterdir()}
    assert namespaces_of(demo.pid) == []


def test_every_claim_holds_on_loopback_without_being_root(tmp_path: Path) -> None:
    demo = started(ON_LOOPBACK, tmp_path / "tmp")
    code, out = ended(demo)
    told = json.loads(out)
    assert (code, told["ok"], told["isolated"]) == (0, True, False)
    assert len(told["claims"]) >= 10
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_says_so_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "tmp"
    demo = started(ON_LOOPBACK, folder)
    until("a node runs", lambda: [line for line in processes_below(folder) if " run " in line])
    demo.send_signal(number)
    code, out = ended(demo)
    assert code == 1
    assert "stopped" in json.loads(out)["trouble"]
    until("its processes are gone", lambda: not processes_below(folder))
    assert list(folder.iterdir()) == []


def test_a_folder_in_use_is_not_mixed_with_the_demo_s(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = subprocess.run([*DEMO, "--json", "--keep", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_claim_that_does_not_hold_ends_the_story_and_says_what_was_found() -> None:
    out = io.StringIO()
    story = Story(out)
    story.claim("Two is two.", lambda: "2")
    with pytest.raises(Unproved) as problem:
        story.claim("Two is three.", two_is_three)
    assert story.end(str(problem.value)) == 1
    text = out.getvalue()
    assert "[checked] Two is two." in text
    assert "[checked] Two is three." not in text
    assert "NOT SO: Two is three." in text
    assert "two: expected 3, found 2" in text


def two_is_three() -> str:
    same(2, 3, "two")
    return "2"


def test_a_story_that_claims_nothing_proves_nothing() -> None:
    assert Story(io.StringIO()).end() == 1


def test_as_json_a_story_is_one_object() -> None:
    out = io.StringIO()
    story = Story(out, is_json=True)
    story.chapter("One")
    story.tell("Somebody does something.")
    story.claim("It is so.", lambda: "seen")
    assert story.end(isolated=True) == 0
    told = json.loads(out.getvalue())
    assert [claim["claim"] for claim in told["claims"]] == ["It is so."]
    assert told["ok"] is True
