"""A hub and devices that know nothing but the hub: real processes, real TLS, on the loopback."""

from __future__ import annotations

import re
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import pytest

from beepmesh.demo.device import Answer, Device, until, word
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.demo.plaintext import find_in_folder
from beepmesh.testing import make_homes
from tests.e2e.places import await_everybody

TEXTS: Final = [f"Khwazakhela bridge report {number}: forty families wait at the school." for number in range(20)]
NAMES: Final = ("Ayesha Khan", "Bilal Shah")


class HubOnLoopback:
    """The hub's device, what it says of itself, and how others dial it; the port stays when it is started again."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.ready = device.start_hub("--listen", "127.0.0.1:0")
        self.address = cast("list[str]", self.ready["addresses"])[0]
        self.spec = f"hub:https://{self.address}#{word(self.ready, 'pin')}"

    def again(self) -> None:
        assert word(self.device.start_hub("--listen", self.address), "pin") in self.spec

    def page(self, path: str) -> tuple[int, str]:
        context = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(f"https://{self.address}{path}", context=context, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def around_a_hub(folder: Path) -> Iterator[tuple[HubOnLoopback, Device, Device]]:
    """Ayesha founds; the hub is a relay of hers; all know each other, and only the hub listens anywhere."""
    with LoopbackHosts(["hub", "a", "b"]) as hosts:
        homes = make_homes(folder / "homes", NAMES[0], NAMES[1], "Relay")
        a, b, relay = (
            Device(hosts, host, name, folder / host, home=home)
            for host, name, home in zip(("a", "b", "hub"), (*NAMES, "Relay"), homes, strict=True)
        )
        hub = HubOnLoopback(relay)
        a.start(hub.spec)
        b.start(hub.spec)
        await_everybody([a, b])
        yield hub, a, b
        for device in (a, b, relay):
            if device.is_on:
                assert device.stop() == 0, device.complaint()


def texts(device: Device) -> list[str]:
    return sorted(word(message, "text") for message in device.inbox("--keep-unread"))


def test_what_is_sent_over_a_hub_that_is_killed_and_started_again_arrives_once(tmp_path: Path) -> None:
    with around_a_hub(tmp_path) as (hub, a, b):
        b.stop()
        sent = [a.send(NAMES[1], text) for text in TEXTS[:10]]
        until("the hub carries them", lambda: all(a.states(one) == {NAMES[1]: "carried"} for one in sent))
        hub.device.kill()
        sent += [a.send(NAMES[1], text) for text in TEXTS[10:]]
        hub.again()
        b.start(hub.spec)
        until("all have come", lambda: texts(b) == sorted(TEXTS), 60)
        until("the writer knows", lambda: all(a.states(one) != {NAMES[1]: "carried"} for one in sent), 60)

        a.stop()
        b.stop()
        assert hub.device.stop() == 0
        found, searched = find_in_folder(hub.device.home, ["Khwazakhela", "forty families", "Ayesha", "Bilal Shah"])
        assert not found, list(map(str, found))
        assert searched > 10_000
        said = (hub.device.home.parent.parent / "hub" / "events.jsonl").read_text()
        assert not re.search("Ayesha|Bilal|Khwaza|127.0.0.1:(?!" + hub.address.split(":")[1] + ")", said)


def test_a_hub_shows_its_health_and_its_figures_and_ends_when_asked(tmp_path: Path) -> None:
    with LoopbackHosts(["hub"]) as hosts:
        device = Device(hosts, "hub", "Amina", tmp_path / "hub")
        device.found("Flood Cell")
        hub = HubOnLoopback(device)
        assert hub.page("/healthz") == (200, "ok\n")
        assert hub.page("/elsewhere")[0] == 404
        status, figures = hub.page("/metrics")
        assert status == 200
        assert "\nbeepmesh_peers 0\n" in figures
        assert "Amina" not in figures
        assert (device.home / "hub-key.pem").stat().st_mode & 0o077 == 0
        node = device._node
        assert node is not None
        node.send_signal(signal.SIGTERM)
        assert node.wait(20) == 0
        assert device.events("stopping")


def test_one_joins_and_syncs_over_the_hub_of_headquarters(tmp_path: Path) -> None:
    with LoopbackHosts(["hub", "a"]) as hosts:
        hq, a = Device(hosts, "hub", "Amina", tmp_path / "hub"), Device(hosts, "a", NAMES[0], tmp_path / "a")
        hq.found("Flood Cell")
        hub = HubOnLoopback(hq)
        a.join(hq.invite("--hint", hub.spec))
        assert hub.spec in (a.home / "config.toml").read_text()
        a.send("Amina", TEXTS[0])
        done: Answer = a.ask("sync")  # Where the invitation said.
        assert word(done, "peer") == "Amina"
        assert texts(hq) == [TEXTS[0]]
        passed = re.findall(r"(?m)^beepmesh_entries_(?:sent|received)_total (\d+)$", hub.page("/metrics")[1])
        assert len(passed) == 2
        assert all(int(count) > 0 for count in passed), "the link has ended, and what passed on it still counts"

        a.start()  # It dials the hub that the invitation named, though nobody says so now.
        a.send("Amina", TEXTS[1])
        until("the hub has it", lambda: len(texts(hq)) == 2)
        assert a.stop() == 0
        assert hq.stop() == 0


def test_what_stands_between_a_person_and_a_hub_is_named_when_they_ask(tmp_path: Path) -> None:
    with LoopbackHosts(["hub", "a"]) as hosts:
        hq, a = Device(hosts, "hub", "Amina", tmp_path / "hub"), Device(hosts, "a", NAMES[0], tmp_path / "a")
        hq.found("Flood Cell")
        hub = HubOnLoopback(hq)
        other = hub.spec.replace(word(hub.ready, "pin"), "0a" * 16)
        refused = a.call("join", hq.invite(), "--as", NAMES[0], "--no-passphrase", "--via", other, "--timeout", "3s")
        assert refused.returncode == 1
        assert "pin-wrong: something with another key answered" in refused.stderr
        a.join(hq.invite("--hint", hub.spec))
        refused = a.call("sync", other, "--timeout", "3s")
        assert refused.returncode == 1
        assert "pin-wrong: something with another key answered" in refused.stderr
        assert hq.stop() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--listen", "x:y"), "--listen is HOST:PORT"),
        (("--tls-cert", "a.pem"), "belong together"),
        (("--tls-cert", "none.pem", "--tls-key", "none.pem"), "cannot be read"),
        (("--link", "hub:https://x/y"), "does not name a link"),
    ],
)
def test_what_is_wrongly_asked_is_said(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with LoopbackHosts(["hub"]) as hosts:
        device = Device(hosts, "hub", "Amina", tmp_path / "hub")
        device.found("Flood Cell")
        done = device.call("hub", *options)
        assert done.returncode == 2
        assert said in done.stderr
