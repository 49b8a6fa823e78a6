"""Homes in trouble: a full disk, a disk that cannot be written, two nodes, texts of every size, clocks of other ages.

Each trouble has a named reason, and nothing that was stored before it is lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beepmesh import desk
from beepmesh.demo.device import Device, until, word
from beepmesh.demo.hosts import Hosts, LoopbackHosts
from beepmesh.home import Home
from beepmesh.messages.content import TEXT_BYTES_MAX
from beepmesh.standing import status
from beepmesh.testing import admit, make_homes
from tests.homes import meet

DISK_BYTES = 4 * 1024 * 1024


@pytest.fixture
def hosts() -> Iterator[LoopbackHosts]:
    with LoopbackHosts(["here"]) as hosts:
        yield hosts


def devices(hosts: Hosts, folder: Path, homes: list[Path], *names: str) -> list[Device]:
    """What their nodes print goes into folder, which is on a good disk."""
    pairs = zip(names, homes, strict=True)
    return [Device(hosts, "here", name, folder / f"of-{name}", home=home) for name, home in pairs]


def linked(one: Device, other: Device) -> None:
    """Both run, and each can write to the other."""
    addresses = one.start("listen:127.0.0.1:0")["addresses"]
    assert isinstance(addresses, list)
    other.start(f"tcp:{addresses[0]}")
    until("they know each other", lambda: one.knows(other.person) and other.knows(one.person))


def failure(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """(exit code, reason)"""
    assert done.stdout == ""
    reason: str = json.loads(done.stderr.splitlines()[-1])["reason"]
    return done.returncode, reason


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk of DISK_BYTES."""
    path.mkdir(parents=True)
    options = f"size={DISK_BYTES},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    path = disk / "filler"
    with path.open("wb") as file, pytest.raises(OSError, match="No space left"):
        write_for_ever(file.fileno())
    return path


def write_for_ever(file: int) -> None:
    while True:
        os.write(file, bytes(4096))


def texts(device: Device) -> list[str]:
    return [word(message, "text") for message in device.inbox("--keep-unread")]


@pytest.mark.needs_root
def test_a_full_disk_refuses_new_messages_and_keeps_the_old_ones(hosts: LoopbackHosts, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        homes = make_homes(tmp_path / "homes", "Ayesha")
        with Home.open(homes[0]) as founder:
            admit(founder, disk / "home", "Bilal", now_ms=now_ms()).close()
        ayesha, bilal = devices(hosts, tmp_path, [homes[0], disk / "home"], "Ayesha", "Bilal")
        linked(ayesha, bilal)
        ayesha.send("Bilal", "before")
        bilal.await_event("message")
        kept = bilal.send("Ayesha", "from before")
        until("it has gone out", lambda: texts(ayesha) == ["from before"])

        filler = fill(disk)
        code, reason = failure_of_sending(bilal)
        assert (code, reason) == (1, "full")
        ayesha.send("Bilal", "while full")
        until("Bilal's node says what is wrong", lambda: bilal.events("trouble"))
        assert texts(bilal) == ["before"]
        assert bilal.is_on

        filler.unlink()
        until("what came while it was full comes again", lambda: texts(bilal) == ["before", "while full"])
        counts = bilal.ask("status")["counts"]
        assert isinstance(counts, dict)
        assert counts["store-full"]["count"] >= 1
        assert word(bilal.ask("show", kept), "text") == "from before"
        assert bilal.send("Ayesha", "after")


def failure_of_sending(device: Device) -> tuple[int, str]:
    """The disk may still have room for one small message in a page that it has: it is full soon."""
    for _ in range(50):
        done = device.call("send", "Ayesha", "-", text="too much " * 500)
        if done.returncode != 0:
            return failure(done)
    raise AssertionError("fifty messages found room on a full disk")


@pytest.mark.needs_root
def test_a_disk_that_cannot_be_written_is_read_all_the_same(hosts: LoopbackHosts, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        homes = make_homes(disk, "Ayesha", "Bilal")
        ayesha, bilal = devices(hosts, tmp_path, homes, "Ayesha", "Bilal")
        with Home.open(homes[0]) as one, Home.open(homes[1]) as other:
            meet(one, other, now_ms=now_ms())
            desk.send(other, "Ayesha", "before", now_ms=now_ms())
            meet(one, other, now_ms=now_ms())
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert [word(message, "text") for message in ayesha.inbox()] == ["before"]
        assert failure(bilal.call("send", "Ayesha", "no")) == (1, "read-only")
        standing = ayesha.ask("status")
        assert standing["writable"] is False
        assert "only be read" in str(standing["troubles"])
        assert failure(ayesha.call("run", "listen:127.0.0.1:0"))[0] == 1
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert texts(ayesha) == ["before"]


def test_a_second_node_on_a_home_is_refused_and_names_the_first(hosts: LoopbackHosts, tmp_path: Path) -> None:
    (ayesha,) = devices(hosts, tmp_path, make_homes(tmp_path / "homes", "Ayesha"), "Ayesha")
    pid = ayesha.start("listen:127.0.0.1:0")["pid"]
    second = ayesha.call("run", "listen:127.0.0.1:0")
    assert failure(second) == (1, "home-problem")
    assert str(pid) in json.loads(second.stderr.splitlines()[-1])["error"]
    assert ayesha.is_on
    ayesha.kill()
    ayesha.start("listen:127.0.0.1:0")
    assert ayesha.stop() == 0, "what a kill -9 leaves behind does not lock the home"


def test_texts_of_every_size(hosts: LoopbackHosts, tmp_path: Path) -> None:
    ayesha, bilal = devices(hosts, tmp_path, make_homes(tmp_path / "homes", "Ayesha", "Bilal"), "Ayesha", "Bilal")
    linked(ayesha, bilal)
    largest = ("گاؤں میں پانی " * 6_000).encode()[: TEXT_BYTES_MAX - 1].decode(errors="ignore")
    largest += "x" * (TEXT_BYTES_MAX - len(largest.encode()))
    assert len(largest.encode()) == TEXT_BYTES_MAX

    assert failure(ayesha.call("send", "Bilal", "-", text="")) == (2, "usage")
    assert failure(ayesha.call("send", "Bilal", "-", text=largest + "x")) == (1, "too-large")
    ayesha.send("Bilal", largest)
    bilal.await_event("message")
    ayesha.send("Bilal", "\x1b[2J\u202e\0 with controls")
    bilal.await_event("message", 2)
    assert texts(bilal) == [largest, "\x1b[2J\u202e\0 with controls"]
    seen = bilal.plain("inbox")
    assert not {"\x1b", "\u202e", "\0"} & set(seen), "shown to a person, nothing acts on the terminal"
    for device in (ayesha, bilal):
        assert device.stop() == 0


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_clock_of_another_age_neither_loses_nor_locks_out(tmp_path: Path, year: int) -> None:
    """A device whose clock is at the epoch or decades ahead still sends, receives, and says that its clock is wrong."""
    wrong_ms = (year - 1970) * 31_556_952_000 + 60_000
    homes = make_homes(tmp_path, "Ayesha", "Bilal")
    with Home.open(homes[0]) as ayesha, Home.open(homes[1]) as bilal:
        meet(ayesha, bilal, now_ms=now_ms())
        desk.send(ayesha, "Bilal", "before", now_ms=now_ms())
        meet(ayesha, bilal, now_ms=now_ms())

        sent = desk.send(bilal, "Ayesha", "by a wrong clock", now_ms=wrong_ms)
        desk.rotate_prekeys(bilal, wrong_ms)
        desk.expire(bilal, wrong_ms)
        meet(ayesha, bilal, now_ms=now_ms())
        assert [shown.text for shown in desk.inbox(ayesha, now_ms=now_ms()).messages] == ["by a wrong clock"]
        assert [shown.text for shown in desk.inbox(bilal, now_ms=wrong_ms).messages] == ["before"]

        desk.send(bilal, "Ayesha", "set right", now_ms=now_ms())
        answer = desk.send(ayesha, "Bilal", "still sealed to you", now_ms=now_ms())
        meet(ayesha, bilal, now_ms=now_ms())
        texts = {shown.text for shown in desk.inbox(bilal, now_ms=now_ms()).messages}
        assert texts == {"before", "still sealed to you"}
        assert sent.id != answer.id
        assert any("clock" in trouble for trouble in status(bilal, now_ms=wrong_ms).troubles)
        assert not any("clock" in trouble for trouble in status(bilal, now_ms=now_ms()).troubles)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
