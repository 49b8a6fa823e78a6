"""A hub behind a bar of signal: 50 kbit/s, 600 ms there and back, cut again and again. What has passed has passed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from beepmesh.demo.device import Device, until, word
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.home import Home
from beepmesh.testing import make_homes
from tests.e2e.narrow import narrow_path
from tests.e2e.test_hub import HubOnLoopback
from tests.homes import meet
from tests.test_shell import post_many

BACKLOG: Final = 60
TEXT_BYTES: Final = 400
WINDOW_S, PAUSE_S, WINDOWS_MAX = 20.0, 2.0, 12


def homes_with_backlog(folder: Path) -> tuple[Path, Path]:
    ours, theirs = make_homes(folder, "Ayesha", "Amina")
    with Home.open(ours) as ayesha, Home.open(theirs) as amina:
        meet(ayesha, amina, now_ms=time.time_ns() // 1_000_000)
        post_many(ayesha, "Amina", BACKLOG, TEXT_BYTES)
    return ours, theirs


def passes(seconds: float) -> None:
    end = time.monotonic() + seconds
    until("time passes", lambda: time.monotonic() > end, seconds + 20)


@pytest.mark.timeout(600)
def test_every_window_brings_some_an_sos_comes_in_the_first_and_nothing_twice(tmp_path: Path) -> None:
    ours, theirs = homes_with_backlog(tmp_path / "homes")
    with LoopbackHosts(["a", "hub"]) as hosts:
        amina = Device(hosts, "hub", "Amina", tmp_path / "hub", home=theirs)
        a = Device(hosts, "a", "Ayesha", tmp_path / "a", home=ours)
        hub = HubOnLoopback(amina)
        with narrow_path(hub.address) as path:
            sos = a.send("Amina", "The school is under water.", "--priority", "sos")
            a.start(hub.spec.replace(hub.address, f"127.0.0.1:{path.port}"))
            seen: list[int] = []
            while len(seen) < WINDOWS_MAX and (not seen or seen[-1] < BACKLOG + 1):
                path.mend()
                passes(WINDOW_S)
                path.cut()
                seen.append(len(amina.events("message")))
                passes(PAUSE_S)
            print(f"messages after each window of {WINDOW_S:g} s: {seen}; {path.carried_bytes} B on the path")
            order = [word(message, "id") for message in amina.events("message")]
            assert seen[-1] == BACKLOG + 1
            assert sos[: len(order[0])] in order[: seen[0]]
            assert len(amina.inbox("--keep-unread")) == BACKLOG + 1
            a.stop()
        amina.stop()
