"""The main job, by command line only: A - B - C in a line, and a message that outlives the laptop it was written on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from beepmesh.demo.device import Device, until, word
from beepmesh.demo.hosts import NetworkHosts
from beepmesh.demo.plaintext import find_in_folder
from tests.e2e.places import await_everybody, captured, device_in, say_in_clear, words_in_capture

TEXT = "Khwazakhela bridge is gone; forty families wait at the school. خوازہ خیلہ کا پل بہہ گیا"
ANSWER = "Two boats leave Fatehpur at half past four. دو کشتیاں"
NAMES = ["Ayesha Khan", "Dawood Gul", "Bilal Shah"]
SECRETS = ["Khwazakhela", "forty families", "خوازہ", "Fatehpur", "half past four", "دو کشتیاں"]
SECRETS += [part for name in NAMES for part in name.split() if len(part) > 4]


def enrolled(hosts: NetworkHosts, folder: Path) -> tuple[Device, Device, Device]:
    """A founds and lets B in as a lead; B lets C in. Everything over mDNS, everybody's node running at the end."""
    a = device_in(hosts, "a", NAMES[0], folder)
    b = device_in(hosts, "b", NAMES[1], folder)
    c = device_in(hosts, "c", NAMES[2], folder)
    a.found("Flood Cell Swat")
    a.start("lan")
    b.join(a.invite("--role", "lead"), "--via", "lan")
    b.start("lan")
    c.join(b.invite(), "--via", "lan")
    c.start("lan")
    await_everybody([a, b, c])
    return a, b, c


def inbox_texts(device: Device) -> list[str]:
    return [word(message, "text") for message in device.inbox()]


@pytest.mark.needs_hosts
def test_a_message_outlives_its_sender_and_is_answered_through_one_who_cannot_read_it(tmp_path: Path) -> None:
    wire = tmp_path / "wire.pcap"
    with NetworkHosts(["a", "b", "c"]) as hosts:
        hosts.connect("a", "b")
        hosts.connect("b", "c")
        with captured(hosts, "b", wire):
            a, b, c = enrolled(hosts, tmp_path)
            c.stop()

            message_id = a.send(NAMES[2], TEXT)
            until("B carries it", lambda: a.states(message_id) == {NAMES[2]: "carried"})
            a.kill()
            c.start("lan")
            c.await_event("message")
            assert inbox_texts(c) == [TEXT]
            assert inbox_texts(c) == [TEXT], "read twice, it is there once"

            c.send(NAMES[0], ANSWER)
            a.start("lan")
            until("the answer reaches A", lambda: inbox_texts(a) == [ANSWER])
            until("A learns that C has read it", lambda: a.states(message_id) == {NAMES[2]: "read"})
            assert inbox_texts(b) == []
            for device in (a, b, c):
                assert device.stop() == 0
        assert words_in_capture(wire, SECRETS) == []

        with captured(hosts, "b", tmp_path / "clear.pcap"):
            say_in_clear(hosts, "a", "b", SECRETS)
        assert words_in_capture(tmp_path / "clear.pcap", SECRETS) == sorted(SECRETS)

    found, searched = find_in_folder(b.home, SECRETS)
    assert not found, list(map(str, found))
    assert searched > 10_000


@pytest.mark.needs_hosts
def test_in_a_line_there_is_no_path_between_the_ends() -> None:
    with NetworkHosts(["a", "b", "c"]) as hosts:
        hosts.connect("a", "b")
        hosts.connect("b", "c")
        for target in (hosts.address("c", "b"), hosts.address("b", "c")):
            try_it = f"import socket; socket.create_connection(({target!r}, 7337), timeout=1)"
            done = hosts.run("a", [sys.executable, "-c", try_it])
            assert "unreachable" in done.stderr, done.stderr
