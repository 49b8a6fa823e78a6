"""A home: made whole or not at all, shared by processes, safe against clocks and disks that fail."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from beepmesh import desk, locks
from beepmesh.crypto.keystore import Keystore
from beepmesh.errors import HomeProblem, Locked, Usage
from beepmesh.home import Home
from beepmesh.messages.entry import verify_entry
from beepmesh.safe import KEYSTORE_NAME
from beepmesh.store.contract import Batch, Fact
from beepmesh.store.sqlite import FILE_NAME as STORE_NAME
from beepmesh.trust.facts import DEVICE_CERTIFICATE, FEED_CERTIFICATE, PREKEY_BUNDLE
from beepmesh.trust.identity import found
from sync.logs import LogId
from tests.homes import DAY_MS, NOW_MS, carry, founded, joined


def test_a_new_home_holds_its_certificates_and_prekeys_in_its_own_logs(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        identity = a.identity
        assert [(fact.feed, fact.seq, fact.kind) for fact in a.store.facts()] == [
            (identity.device, 0, DEVICE_CERTIFICATE),
            (identity.device, 1, PREKEY_BUNDLE),
            (identity.feed, 0, FEED_CERTIFICATE),
        ]
        for log, public in (
            (LogId(identity.device, 0), identity.device_key.public),
            (LogId(identity.feed, 0), identity.feed_key.public),
        ):
            entries = a.store.read(log, 0, 9, bytes_max=1 << 20, with_prev=False).entries
            assert all(verify_entry(public, entry) for entry in entries)
        assert a.roster.bundle(identity.device, NOW_MS // 1_000) is not None
        assert not identity.prekeys.due(NOW_MS // 1_000)


def test_a_home_opens_again_as_the_same_device(tmp_path: Path) -> None:
    with founded(tmp_path / "a", "عائشہ خان") as a:
        first = a.identity
    with Home.open(tmp_path / "a") as again:
        assert again.identity == first
        assert [person.name for person in again.roster.people()] == ["عائشہ خان"]


def test_a_passphrase_is_needed_where_one_was_given(tmp_path: Path) -> None:
    Home.found(tmp_path / "a", "Rescue", "Ayesha", "right", NOW_MS).close()
    for wrong in (None, "wrong"):
        with pytest.raises(Locked):
            Home.open(tmp_path / "a", wrong)
    Home.open(tmp_path / "a", "right").close()


@pytest.mark.parametrize("name", ["", " ", "bell\x07", "\x1b[31mred", "a" * 65, "\u202eevil"])
def test_a_name_that_cannot_be_one_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(Usage):
        founded(tmp_path / "a", name)
    assert not Home.exists(tmp_path / "a")
    founded(tmp_path / "a", "😀 ناصر").close()


def test_a_folder_that_is_a_device_already_is_not_made_another(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        before = (tmp_path / "a" / KEYSTORE_NAME).read_bytes()
        with pytest.raises(HomeProblem, match="already"):
            founded(tmp_path / "a")
        with pytest.raises(HomeProblem, match="already"):
            Home.admit(tmp_path / "a", a.identity, None, NOW_MS)
        assert (tmp_path / "a" / KEYSTORE_NAME).read_bytes() == before


def test_a_missing_home_or_store_is_said_and_no_second_beginning_is_made(tmp_path: Path) -> None:
    with pytest.raises(HomeProblem, match="org create"):
        Home.open(tmp_path / "nowhere")
    founded(tmp_path / "a").close()
    (tmp_path / "a" / STORE_NAME).unlink()
    with pytest.raises(HomeProblem, match="missing"):
        Home.open(tmp_path / "a")
    assert not (tmp_path / "a" / STORE_NAME).exists()
    founded(tmp_path / "b").close()
    (tmp_path / "b" / KEYSTORE_NAME).unlink()
    with pytest.raises(HomeProblem, match="without its keystore"):
        founded(tmp_path / "b")


class PowerCut(BaseException):
    """Nothing catches this, as nothing catches a power cut."""


def cut_at_every_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Each round, the n-th durable step of making a home is the last one before the power goes."""
    for step in range(1, 20):
        left = [step]

        def counted(source: object, target: object, real: object = os.replace, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise PowerCut
            assert callable(real)
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted)
            yield step
        if left[0] > 0:
            return


def test_a_home_cut_off_while_it_is_made_is_made_anew_or_was_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = found("Rescue", "Ayesha", NOW_MS // 1_000, os.urandom)
    cuts = 0
    for step in cut_at_every_step(monkeypatch):
        path = tmp_path / str(step)
        try:
            Home.admit(path, identity, None, NOW_MS).close()
        except PowerCut:
            cuts += 1
            monkeypatch.undo()
            if not Home.exists(path):
                Home.admit(path, identity, None, NOW_MS).close()
        with Home.open(path) as made:
            assert len(made.store.facts()) == 3
        assert sorted(file.name for file in path.iterdir()) == [KEYSTORE_NAME, "keystore.lock", STORE_NAME]
    assert cuts >= 3


def test_only_one_node_runs_on_a_home_and_the_other_is_named(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, Home.open(tmp_path / "a") as again:
        assert a.node_process() is None
        with a.lock():
            assert again.node_process() == os.getpid()
            with pytest.raises(HomeProblem, match=f"process {os.getpid()}"), again.lock():
                pass
        with again.lock():
            pass


def test_a_lock_is_free_when_its_process_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from beepmesh import locks\n"
        "with locks.at_once(pathlib.Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "node.lock"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert locks.holder(path) == child.pid
        child.kill()
        child.wait()
        assert locks.holder(path) is None


def test_an_error_inside_the_lock_is_not_taken_for_a_problem_of_the_home(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, pytest.raises(FileNotFoundError), a.lock():
        (tmp_path / "nothing").read_bytes()


def test_wake_reaches_a_listener_and_disturbs_nobody_without(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        a.wake()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(a.wake_path))
            listener.settimeout(5)
            a.wake()
            assert listener.recv(16)
        a.wake()


def test_refresh_tells_what_another_process_wrote_and_learns_its_facts(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, joined(tmp_path / "b", a, "Bilal") as b, Home.open(tmp_path / "a") as again:
        assert set(again.refresh().states) == set(a.store.states())
        quiet = again.refresh()
        assert (quiet.states, quiet.facts, quiet.identity_changed) == ({}, (), False)
        carry(b, a)
        fresh = again.refresh()
        assert set(fresh.states) == {LogId(b.identity.device, 0), LogId(b.identity.feed, 0)}
        assert len(fresh.facts) == 3
        assert [person.name for person in again.roster.people()] == ["Ayesha Khan", "Bilal"]
        desk.send(a, "Bilal", "hello", now_ms=NOW_MS)
        assert list(again.refresh().states) == [LogId(a.identity.feed, 1)]


@pytest.mark.parametrize(
    ("setting", "limit"), [("", 2 * 10**9), ("megabytes = 50", 5 * 10**7), ("megabytes = 0", None)]
)
def test_the_store_keeps_within_what_the_settings_give_it(tmp_path: Path, setting: str, limit: int | None) -> None:
    with founded(tmp_path / "a"):
        pass
    (tmp_path / "a" / "config.toml").write_text(f"[storage]\n{setting}\n")
    with Home.open(tmp_path / "a") as again:
        assert again.store.size().limit_bytes == limit


def test_refresh_takes_over_prekeys_that_another_process_made(tmp_path: Path) -> None:
    later = NOW_MS + 8 * DAY_MS
    Home.found(tmp_path / "a", "Rescue", "Ayesha", "secret words", NOW_MS).close()
    with Home.open(tmp_path / "a", "secret words") as a, Home.open(tmp_path / "a", "secret words") as again:
        again.refresh()
        assert desk.rotate_prekeys(a, later)
        assert a.refresh().identity_changed
        assert not a.refresh().identity_changed
        assert again.refresh().identity_changed
        assert again.identity == a.identity
        assert not desk.rotate_prekeys(again, later)


def test_two_processes_that_rotate_at_once_lose_no_prekey(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, Home.open(tmp_path / "a") as again:
        desk.rotate_prekeys(a, NOW_MS + 8 * DAY_MS)
        desk.rotate_prekeys(again, NOW_MS + 8 * DAY_MS)
        assert len(again.identity.prekeys.held) == 2
        desk.rotate_prekeys(again, NOW_MS + 16 * DAY_MS)
        desk.rotate_prekeys(a, NOW_MS + 16 * DAY_MS)
        assert len(a.identity.prekeys.held) == 3
        assert a.identity == again.identity


def test_a_clock_without_battery_founds_nothing(tmp_path: Path) -> None:
    with pytest.raises(HomeProblem, match="clock"):
        founded(tmp_path / "a", now_ms=86_400_000)
    assert not Home.exists(tmp_path / "a")


def test_time_is_believed_within_what_headquarters_signed(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        for wrong_ms in (0, 4_102_444_800_000):
            assert a.believed_s(wrong_ms) == NOW_MS // 1_000
            assert a.believed_ms(wrong_ms) == NOW_MS
        assert a.believed_ms(NOW_MS + DAY_MS + 7) == NOW_MS + DAY_MS + 7
        assert a.dated_ms(0) == NOW_MS


def test_a_damaged_keystore_is_said_in_words(tmp_path: Path) -> None:
    founded(tmp_path / "a").close()
    (tmp_path / "a" / KEYSTORE_NAME).write_bytes(b"\x83\x01")
    with pytest.raises(HomeProblem, match="damaged"):
        Home.open(tmp_path / "a")


def test_a_fact_that_is_no_longer_understood_does_not_close_the_home(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        a.store.commit(Batch(facts=(Fact(bytes(16), 0, DEVICE_CERTIFICATE, b"\xff"),)), keys=a.keys(), now_ms=NOW_MS)
    with Home.open(tmp_path / "a") as again:
        assert again.facts_refused == 1
        assert [person.name for person in again.roster.people()] == ["Ayesha Khan"]


def test_a_folder_that_cannot_be_made_is_a_problem_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HomeProblem, match="cannot be used"):
        founded(tmp_path / "file" / "a")


def test_nothing_secret_shows_in_a_home(tmp_path: Path) -> None:
    with Home.found(tmp_path / "a", "Rescue", "Ayesha", "secret words", NOW_MS) as a:
        shown = repr(a)
        assert "secret words" not in shown
        assert a.identity.device_seed.hex() not in shown
        assert repr(a.identity.device_seed) not in shown


def test_the_files_of_a_home_are_for_its_owner_alone(tmp_path: Path) -> None:
    founded(tmp_path / "a").close()
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0
    for file in (tmp_path / "a").iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_a_copied_keystore_alone_is_no_home(tmp_path: Path) -> None:
    founded(tmp_path / "a").close()
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / KEYSTORE_NAME, tmp_path / "b")
    with pytest.raises(HomeProblem, match="missing"):
        Home.open(tmp_path / "b")
    assert Keystore.open(tmp_path / "b" / KEYSTORE_NAME, None).secrets
