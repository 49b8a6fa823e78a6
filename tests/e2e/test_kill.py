"""`kill -9` at random moments of sending and syncing, round after round: nothing accepted is lost, nothing shown twice.

Three nodes in a row on loopback; people at both ends write to each other all the time, through the one in the middle.
In each round some of these processes are killed at a moment of chance and started again at once, so that starting is
hit as well. `make kill` plays 200 rounds. The seed is printed with every failure; BEEPMESH_KILL_SEED repeats its
choices (not the scheduler's).
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import subprocess
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from beepmesh.demo.device import Device, until, word
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.home import Home
from beepmesh.store.contract import MessageQuery
from beepmesh.testing import make_homes

ROUNDS = int(os.environ.get("BEEPMESH_KILL_ROUNDS", "15"))
PEOPLE = ("Ayesha", "Dawood", "Bilal")
ARRIVED = {"delivered", "read", "acknowledged"}
EVERYTHING = "9999999"
CATCH_UP_S = 30 + ROUNDS


class Writer:
    """Somebody who sends as fast as the disk takes it: the process, and every text that it ever saw accepted."""

    def __init__(self, home: Path, to: str, label: str, folder: Path) -> None:
        self.label = label
        self._home, self._to, self._folder = home, to, folder
        self._lives = count()
        self._lines: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        life = next(self._lives)
        path = self._folder / f"{self.label}-{life}.txt"
        self._lines.append(path)
        program = str(Path(__file__).with_name("sending.py"))
        argv = [sys.executable, program, str(self._home), self._to, f"{self.label}-{life}"]
        with path.open("wb") as lines, path.with_suffix(".err").open("wb") as errors:
            self._process = subprocess.Popen(argv, stdout=lines, stderr=errors)

    def kill(self) -> None:
        assert self._process is not None
        died = self._process.poll()
        assert died is None, f"{self.label} failed by itself: {self._lines[-1].with_suffix('.err').read_text()[-3000:]}"
        self._process.kill()
        self._process.wait()

    def wrote_since_start(self) -> bool:
        return b"\n" in self._lines[-1].read_bytes()

    def accepted(self) -> list[str]:
        """The texts whose acceptance was printed; a line that the kill cut short was not."""
        whole = [line for path in self._lines for line in path.read_bytes().split(b"\n")[:-1]]
        return [line.split(b" ", 1)[1].decode() for line in whole]


class Node:
    """A node that is always on, but for the moments after it was killed."""

    def __init__(self, device: Device, *specs: str) -> None:
        self.device = device
        self._specs = specs

    def start(self) -> None:
        self.device.launch(*self._specs)

    def kill(self) -> None:
        assert self.device.is_on, self.device.complaint()
        self.device.kill()


def chosen_seed(rounds: int) -> int:
    chosen = int(os.environ.get("BEEPMESH_KILL_SEED", secrets.randbelow(10**6)))
    print(f"{rounds} rounds with BEEPMESH_KILL_SEED={chosen}")
    return chosen


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def incoming(path: Path) -> list[tuple[str, str]]:
    """(id, text) of everything in that home's inbox."""
    with Home.open(path) as home:
        found = home.store.messages(MessageQuery(direction="in", limit=10**6))
        return [(message.row.message_id.hex(), message.row.text) for message in found]


def await_arrival(texts: list[str], device: Device, within_s: float = CATCH_UP_S) -> None:
    def nothing_missing() -> bool:
        return not set(texts) - {text for _, text in incoming(device.home)}

    until(f"all of {len(texts)} accepted messages are at {device.person}'s", nothing_missing, within_s, every_s=0.5)


def await_receipts(texts: list[str], device: Device, within_s: float = CATCH_UP_S) -> None:
    """Until the author's ledger says of each accepted message that it has arrived."""

    def every_one() -> bool:
        now_ms = time.time_ns() // 1_000_000
        with Home.open(device.home) as home:
            own = home.store.messages(MessageQuery(direction="out", limit=10**6))
            accepted = [message.row.message_id for message in own if message.row.text in set(texts)]
            states = [line.state for each in accepted for line in home.store.ledger(each, now_ms)]
        return len(accepted) == len(texts) and set(states) <= ARRIVED

    until(f"{device.person} knows that everything has arrived", every_one, within_s, every_s=0.5)


def assert_shown_once(device: Device) -> None:
    shown = device.inbox("--limit", EVERYTHING)
    ids = Counter(word(message, "id") for message in shown)
    texts = Counter(word(message, "text") for message in shown)
    assert not [id for id, times in ids.items() if times > 1]
    assert not [text for text, times in texts.items() if times > 1]


def assert_numbered(headquarters: Device) -> None:
    """No intake number twice, none left out."""
    numbers = [word(message, "intake").partition("-") for message in headquarters.inbox("--limit", EVERYTHING)]
    assert len({hub for hub, _, _ in numbers}) == 1
    assert sorted(int(number) for _, _, number in numbers) == list(range(1, len(numbers) + 1))


@pytest.mark.timeout(120 + 8 * ROUNDS)
def test_no_accepted_message_is_lost_and_none_is_shown_twice(tmp_path: Path) -> None:
    chance = random.Random(chosen_seed(ROUNDS))
    homes = make_homes(tmp_path / "homes", *PEOPLE)
    first, second = free_port(), free_port()
    specs = (
        [f"listen:127.0.0.1:{first}"],
        [f"tcp:127.0.0.1:{first}", f"listen:127.0.0.1:{second}"],
        [f"tcp:127.0.0.1:{second}"],
    )
    with LoopbackHosts(["here"]) as hosts:
        devices = [
            Device(hosts, "here", person, tmp_path / person, home=home)
            for person, home in zip(PEOPLE, homes, strict=True)
        ]
        nodes = [Node(device, *spec) for device, spec in zip(devices, specs, strict=True)]
        for node in nodes:
            node.start()
        a, _, c = devices
        until("the ends know each other", lambda: a.knows(PEOPLE[2]) and c.knows(PEOPLE[0]))

        writers = [Writer(a.home, PEOPLE[2], "down", tmp_path), Writer(c.home, PEOPLE[0], "up", tmp_path)]
        for writer in writers:
            writer.start()
        everybody: list[Writer | Node] = [*writers, *nodes]
        for _ in range(ROUNDS):
            for writer in writers:
                until(f"{writer.label} has sent something", writer.wrote_since_start)
            time.sleep(chance.uniform(0, 0.8))  # The moment of the kill: what this test is about.
            for victim in chance.sample(everybody, chance.randint(1, 3)):
                victim.kill()
                victim.start()
        for writer in writers:
            writer.kill()

        down, up = writers[0].accepted(), writers[1].accepted()
        print(f"accepted: {len(down)} and {len(up)}")
        assert len(down) > ROUNDS
        assert len(up) > ROUNDS
        await_arrival(down, c)
        await_arrival(up, a)
        await_receipts(down, a)
        await_receipts(up, c)
        assert_shown_once(a)
        assert_shown_once(c)
        assert_numbered(a)
        for device in devices:
            assert device.stop() == 0
            with Home.open(device.home) as home:
                assert home.store.frozen() == set(), "no node has said two things at once"
