"""What the end-to-end tests share: devices in a row of hosts, and a capture of what crosses one of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from beepmesh.demo.device import Device, until
from beepmesh.demo.hosts import Hosts, NetworkHosts
from beepmesh.demo.plaintext import find_in_capture


@contextmanager
def captured(hosts: NetworkHosts, host: str, path: Path) -> Iterator[None]:
    """Every byte that crosses host while the block runs goes to path; a capture with holes fails the test."""
    argv = [sys.executable, "-m", "beepmesh.demo.capture", str(path)]
    capture = hosts.popen(host, argv, stdout=subprocess.PIPE)
    assert capture.stdout is not None
    assert capture.stdout.readline() == "listening\n"
    yield
    capture.send_signal(signal.SIGTERM)
    said = json.loads(capture.stdout.read())
    assert capture.wait(10) == 0
    assert said["dropped"] == 0
    assert said["packets"] > 0


def say_in_clear(hosts: NetworkHosts, source: str, target: str, words: list[str]) -> None:
    """Send the words unsealed over the cable, so that a search of the capture can be seen to find them."""
    say = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), (sys.argv[1], 9))"
    for word in words:
        hosts.run(source, [sys.executable, "-c", say, hosts.address(target, source), word])


def words_in_capture(path: Path, words: list[str]) -> list[str]:
    return sorted({found.word for found in find_in_capture(path, words)[0]})


def await_everybody(devices: list[Device]) -> None:
    """Until each of them could seal to all others."""
    names = {device.person for device in devices}
    for device in devices:
        others = sorted(names - {device.person})
        until(f"{device.person} knows {', '.join(others)}", partial(device.knows, *others))


def device_in(hosts: Hosts, host: str, person: str, folder: Path) -> Device:
    return Device(hosts, host, person, folder / host)
