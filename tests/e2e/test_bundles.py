"""No network at all: real processes, three homes, and a folder that is carried between them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from beepmesh.testing import make_homes
from tests.cli.test_running import node
from tests.cli.typing_in import Person

PEOPLE = ("Ayesha", "Bilal", "Chand")


class Device:
    """One home, and `beepmesh` called on it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def popen(self, *words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "beepmesh", "--home", str(self.home), "--json", *words]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def asks(self, *words: str) -> list[dict[str, Any]]:
        """The objects that it printed."""
        with self.popen(*words) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]

    def one(self, *words: str) -> dict[str, Any]:
        (value,) = self.asks(*words)
        return value

    def texts(self) -> list[str]:
        return [message["text"] for message in self.asks("inbox", "--keep-unread")]

    def states(self, message: str) -> list[str]:
        return [line["state"] for line in self.one("show", message)["recipients"]]


def devices(folder: Path, stick: Path) -> list[Device]:
    """Three who have met over a stick."""
    found = [Device(home) for home in make_homes(folder, *PEOPLE)]
    for _ in range(2):
        for device in found:
            device.one("sync", f"bundle:{stick}")
    return found


def standing(device: Device) -> dict[str, Any]:
    """`status` without what passes with time."""
    status = device.one("status")
    return {
        key: value
        for key, value in status.items()
        if not any(word in key for word in ("time", "clock", "local", "believed", "disk"))
    } | {"entries": status["disk"]["entries"]}


def test_a_message_and_its_receipt_travel_on_a_stick(tmp_path: Path) -> None:
    a, b, c = devices(tmp_path / "homes", tmp_path / "first")
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    message = a.one("send", "Chand", "The bridge is out.", "--priority", "urgent")["id"]
    a.one("export", one)
    assert b.one("import", one)["messages"] == 0
    assert b.texts() == []
    b.one("export", two)
    assert c.one("import", two)["messages"] == 1
    assert c.texts() == ["The bridge is out."]
    c.one("ack", message)
    assert c.one("sync", f"bundle:{two}")["sent"]["entries"] > 0
    b.one("import", two)
    b.one("export", one)
    a.one("import", one)
    assert a.states(message) == ["acknowledged"]
    before = standing(a), standing(c), c.asks("inbox", "--keep-unread")
    for _ in range(10):
        for device, stick in ((a, one), (c, two)):
            done = device.one("import", stick)
            assert (done["entries"]["new"], done["entries"]["refused"], done["refused"]) == (0, 0, {})
    assert (standing(a), standing(c), c.asks("inbox", "--keep-unread")) == before


def test_an_import_beside_a_running_node_reaches_its_neighbours(tmp_path: Path) -> None:
    stick = str(tmp_path / "stick")
    a, b, c = devices(tmp_path / "homes", tmp_path / "first")
    a.one("send", "Chand", "over the hill")
    a.one("export", stick)
    with node(Person(b.home), "listen:127.0.0.1:0") as running, node(Person(c.home), running.spec) as reader:
        running.next("peer-joined")
        assert b.one("import", stick)["entries"]["new"] > 0
        reader.next("message")
    assert c.texts() == ["over the hill"]


def test_kill_9_in_the_middle_loses_and_doubles_nothing(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    a, b, _ = devices(tmp_path / "homes", tmp_path / "first")
    said = []
    for number in range(12):
        text = f"{number} {os.urandom(15_000).hex()}"
        said.append(text)
        a.one("send", "Bilal", text)
    chance = random.Random(int.from_bytes(os.urandom(4)))
    for device, words in ((a, ("export", str(stick))), (b, ("import", str(stick)))) * 4:
        with device.popen(*words) as process:
            time.sleep(chance.uniform(0.05, 0.6))
            process.send_signal(signal.SIGKILL)
    a.one("export", str(stick))
    assert [path.name for path in stick.iterdir() if path.name.startswith(".")] == []
    b.one("import", str(stick))
    assert sorted(b.texts()) == sorted(said)
    before = standing(b)
    b.one("import", str(stick))
    assert standing(b) == before
