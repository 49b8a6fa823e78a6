"""A home on a real disk that is full, or that can only be read: nothing new is accepted, nothing old is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from beepmesh import admission, desk
from beepmesh.errors import HomeProblem
from beepmesh.home import Home
from beepmesh.messages.content import TEXT_BYTES_MAX
from beepmesh.store.contract import StoreProblem
from tests.homes import BILAL, DAY_MS, NOW_MS, URDU, acquainted, carry, founded, texts

pytestmark = pytest.mark.needs_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        size = 65_536
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return filler


def sent_until_full(home: Home) -> list[str]:
    """Ids of what was accepted, until something is not."""
    ids: list[str] = []
    problem: StoreProblem | None = None
    while problem is None:
        try:
            ids.append(desk.send(home, BILAL, f"{len(ids)} ".ljust(TEXT_BYTES_MAX, "x"), now_ms=NOW_MS).id)
        except StoreProblem as refused:
            problem = refused
    assert problem.reason == "full"
    return ids


def test_a_full_disk_accepts_nothing_and_loses_nothing(disk: Path) -> None:
    with acquainted(disk) as (a, b):
        filler = fill(disk)
        ids = sent_until_full(a)
        held = {message: desk.show(a, message, now_ms=NOW_MS).message.text for message in ids}
        with pytest.raises(HomeProblem, match="full"):
            desk.rotate_prekeys(a, NOW_MS + 8 * DAY_MS)
        filler.unlink()
        for message, text in held.items():
            assert desk.show(a, message, now_ms=NOW_MS).message.text == text
        desk.send(a, BILAL, URDU, now_ms=NOW_MS)
        assert desk.rotate_prekeys(a, NOW_MS + 8 * DAY_MS)
        carry(a, b)
        assert len(texts(b)) == len(ids) + 1


def test_a_full_disk_founds_nothing_and_lets_nobody_in(disk: Path) -> None:
    with acquainted(disk) as (a, _):
        filler = fill(disk)
        with pytest.raises(HomeProblem):
            founded(disk / "c")
        assert not Home.exists(disk / "c")
        filler.unlink()
        founded(disk / "c").close()
        admission.invite(a, now_ms=NOW_MS)


def test_a_home_that_can_only_be_read_shows_what_came(disk: Path) -> None:
    with acquainted(disk) as (a, b):
        desk.send(a, BILAL, URDU, now_ms=NOW_MS)
        carry(a, b)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with Home.open(disk / "b") as b:
        assert not b.store.writable
        box = desk.inbox(b, now_ms=NOW_MS)
        assert ([shown.text for shown in box.messages], bool(box.note)) == ([URDU], True)
        for act in (
            lambda: desk.send(b, "hq", "x", now_ms=NOW_MS),
            lambda: desk.acknowledge(b, box.messages[0].id, now_ms=NOW_MS),
            lambda: desk.rotate_prekeys(b, NOW_MS + 8 * DAY_MS),
            lambda: desk.receipts_due(b, NOW_MS),
        ):
            with pytest.raises(StoreProblem) as problem:
                act()
            assert problem.value.reason == "read-only"
        assert any("read" in trouble for trouble in desk.status(b, now_ms=NOW_MS).troubles)
        with pytest.raises(HomeProblem), b.lock():
            pass
        b.refresh()
