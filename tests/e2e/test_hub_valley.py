"""A valley with an uplink of one minute: A - B on a local network, B sees a hub now and then, HQ is behind that hub.

Four networks of their own, four real processes. The uplink carries 50 kbit/s each way and loses one packet in twenty.
`make valley` plays 2,000 messages and windows of 60 s; without it fewer and shorter ones.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from beepmesh.demo.device import Device, until, word
from beepmesh.demo.hosts import NetworkHosts
from beepmesh.home import Home
from beepmesh.messages.token import token_log
from beepmesh.testing import admit, make_homes
from tests.e2e.test_kill import assert_numbered, assert_shown_once
from tests.e2e.uplink import Uplink, passes
from tests.homes import meet
from tests.test_shell import post_many

BACKLOG: Final = int(os.environ.get("BEEPMESH_VALLEY_MESSAGES", "100"))
WINDOW_S: Final = float(os.environ.get("BEEPMESH_VALLEY_WINDOW_S", "20"))
PAUSE_S: Final = float(os.environ.get("BEEPMESH_VALLEY_PAUSE_S", "25"))
"""Longer than a silent link is believed in (20 s), so that every window begins with a new one."""
TEXT_BYTES: Final = 200
RATE: Final = "50kbit"
RATE_BYTES_PER_S: Final = 50_000 / 8
ENTRY_HEAD_BYTES: Final = 79
WINDOWS_MAX: Final = 3 + int(BACKLOG * 2_000 / (RATE_BYTES_PER_S * WINDOW_S / 3))
HEADERS: Final = 1.10
"""Ethernet, IP, TCP, TLS, WebSocket, Noise and run take so many times the bytes of the entries: 66 B of 1,514 alone."""
SEGMENT_BYTES: Final = 1_514
WINDOW_BYTES: Final = 24_000
"""What a window may cost: two handshakes and first words, and a run of eight entries that is cut in its middle."""
HUB_PORT: Final = 8443
RECEIVED: Final = "beepmesh_entries_received_total"
HQ, A, B, RELAY = "Amina", "Ayesha", "Bilal", "Relay"


@dataclass(frozen=True, slots=True)
class Valley:
    hosts: NetworkHosts
    homes: dict[str, Path]
    a: Device
    b: Device
    hub: Device
    hq: Device
    uplink: Uplink
    backlog_bytes: int
    """Of the entries that wait for HQ."""
    taken_before: dict[str, int]
    """Entries that each host held before it met anybody."""

    def taken(self, host: str) -> int:
        """How many entries of others it has taken since."""
        return entries_taken(self.homes[host]) - self.taken_before[host]


def homes_with_backlog(folder: Path) -> tuple[dict[str, Path], int]:
    """Everybody knows everybody's keys; A has written, and nobody has heard of it."""
    now_ms = time.time_ns() // 1_000_000
    hq, a, b = make_homes(folder, HQ, A, B)
    with Home.open(hq) as founder, Home.open(a) as writer, Home.open(b) as carrier:
        with admit(founder, folder / "relay", RELAY, now_ms=now_ms, roles=("relay",)) as relay:
            meet(founder, writer, carrier, relay, now_ms=now_ms)
        before = writer.store.size()
        post_many(writer, HQ, BACKLOG, TEXT_BYTES)
        after = writer.store.size()
    assert after.entries - before.entries == BACKLOG
    bodies = after.body_bytes - before.body_bytes
    return {"hq": hq, "a": a, "b": b, "hub": folder / "relay"}, bodies + BACKLOG * ENTRY_HEAD_BYTES


def entries_taken(path: Path) -> int:
    """How many entries of others that home has ever held."""
    with Home.open(path) as home:
        states = home.store.states()
        own = home.identity.feed
    tokens = {token_log(log) for log in states}
    return sum(state.settled.count for log, state in states.items() if log not in tokens and log.feed != own)


def figure(hosts: NetworkHosts, name: str) -> int:
    """One of the hub's figures, asked for on its own machine."""
    ask = "import ssl, sys, urllib.request as u; c = ssl._create_unverified_context()"
    ask += "; print(u.urlopen(sys.argv[1], context=c).read().decode())"
    url = f"https://127.0.0.1:{HUB_PORT}/metrics"
    page = hosts.run("hub", [sys.executable, "-c", ask, url]).stdout.splitlines()
    return next(int(line.split()[1]) for line in page if line.startswith(name + " "))


@pytest.fixture
def _loss() -> None:
    if shutil.which("nft") is None:
        pytest.skip("needs nft (Debian: apt-get install nftables)")


@contextmanager
def valley(folder: Path) -> Iterator[Valley]:
    homes, backlog_bytes = homes_with_backlog(folder / "homes")
    taken_before = {host: entries_taken(home) for host, home in homes.items()}
    with NetworkHosts(["a", "b", "hub", "hq"]) as hosts:
        hosts.connect("a", "b")
        hosts.connect("hub", "hq")
        uplink = Uplink(hosts, "b", "hub", RATE)
        a, b, hub, hq = (
            Device(hosts, host, name, folder / host, home=homes[host])
            for host, name in (("a", A), ("b", B), ("hub", RELAY), ("hq", HQ))
        )
        pin = word(hub.start_hub("--listen", str(HUB_PORT)), "pin")
        hq.start(f"hub:https://{hosts.address('hub', 'hq')}:{HUB_PORT}#{pin}")
        b.start("lan", f"hub:https://{hosts.address('hub', 'b')}:{HUB_PORT}#{pin}")
        a.start("lan")
        yield Valley(hosts, homes, a, b, hub, hq, uplink, backlog_bytes, taken_before)
        for device in (a, b, hub, hq):
            if device.is_on:
                assert device.stop() == 0, device.complaint()


def arrived(hq: Device) -> list[str]:
    return [word(message, "id") for message in hq.events("message")]


@pytest.mark.needs_hosts
@pytest.mark.usefixtures("_loss")
@pytest.mark.timeout(300 + 2 * WINDOWS_MAX * (WINDOW_S + PAUSE_S))
def test_an_sos_passes_first_all_else_within_the_windows_and_nothing_twice(tmp_path: Path) -> None:
    with valley(tmp_path) as here:
        until("B carries all", lambda: here.taken("b") >= BACKLOG, 60 + BACKLOG / 10, every_s=1)
        sos = here.a.send(HQ, "The school is under water.", "--priority", "sos")
        until("B carries the SOS", lambda: here.a.states(sos) == {HQ: "carried"})
        assert not arrived(here.hq)

        seen: list[int] = []
        order, order_came_in = "", 0
        while len(seen) < WINDOWS_MAX and (not seen or seen[-1] < BACKLOG + 1 or not order_came_in):
            here.uplink.window(WINDOW_S)
            for device in (here.a, here.b, here.hub, here.hq):
                assert device.is_on, device.complaint()
            seen.append(len(arrived(here.hq)))
            at = time.strftime("%H:%M:%S", time.gmtime())
            print(f"window {len(seen)}, until {at}: {seen[-1]} messages at HQ; {here.uplink.passed()}", flush=True)
            if order and not order_came_in and here.a.inbox("--keep-unread"):
                order_came_in = len(seen)
            order = order or here.hq.send(A, "Take the east bank.", "--priority", "urgent")
            passes(PAUSE_S)

        passed = here.uplink.passed()
        ids = arrived(here.hq)
        assert ids[0] == sos[: len(ids[0])], "the SOS, before everything that was written before it"
        assert seen[0] > 1
        assert seen[-1] == BACKLOG + 1
        useful = [number for number, (before, after) in enumerate(pairwise(seen), 2) if after > before]
        assert len(seen) - 1 - len(useful) <= 1 + len(seen) // 5, "now and then the losses fall on the first words"
        assert order_came_in == useful[0], "HQ wrote after the first window"

        assert_shown_once(here.hq)
        assert_numbered(here.hq)
        for device in (here.a, here.b, here.hq):
            assert device.stop() == 0, device.complaint()
        came = figure(here.hosts, RECEIVED)
        assert here.hub.stop() == 0, here.hub.complaint()
        taken = here.taken("hub")
        print(
            f"{came} entries came to the hub, {taken} of them new; {here.backlog_bytes} B of entries waited,"
            f" {passed.up_bytes} B went up ({passed.up_bytes / here.backlog_bytes:.3f} times as many),"
            f" {passed.down_bytes} B came down; {here.uplink.lost_packets()} packets were lost,"
            f" {passed.sent_again} of {passed.up_packets} went up again"
        )
        assert came == taken, "no entry came twice"
        once = here.backlog_bytes * HEADERS + len(seen) * WINDOW_BYTES
        assert passed.up_bytes <= once + passed.sent_again * SEGMENT_BYTES
