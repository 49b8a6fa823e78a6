"""Where the demo's people meet and part: real cables between hosts of their own, or this machine's loopback.

On NetworkGround everybody runs `beepmesh run lan` and nothing else is said to anybody: two devices find each other by
multicast when there is a cable, and have no path when there is none. On LoopbackGround every device listens on a port
of its own, and whoever comes to somebody is started anew with that one's address.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Protocol

from beepmesh.demo.device import Device
from beepmesh.demo.hosts import Hosts, LoopbackHosts, NetworkHosts


class Ground(Protocol):
    """`meet` and `part` return when the path is there or gone; what the devices make of it takes its time."""

    @property
    def hosts(self) -> Hosts: ...
    @property
    def words(self) -> str:
        """What the devices stand on, for a person."""
        ...

    def device(self, host: str, person: str) -> Device: ...
    def via(self, there: Device) -> str:
        """The spec by which a newcomer finds `there`."""
        ...

    def turn_on(self, device: Device) -> None: ...
    def meet(self, there: Device, comer: Device) -> None: ...
    def part(self, there: Device, goer: Device) -> None: ...


class NetworkGround:
    """A network namespace for each device."""

    words = "each in a network of its own, joined by cables that are plugged in and pulled out"

    def __init__(self, hosts: NetworkHosts, folder: Path) -> None:
        self.hosts = hosts
        self._folder = folder
        self._cables: set[frozenset[str]] = set()

    def device(self, host: str, person: str) -> Device:
        return Device(self.hosts, host, person, self._folder / host)

    def via(self, there: Device) -> str:
        return "lan"

    def turn_on(self, device: Device) -> None:
        device.start("lan")

    def meet(self, there: Device, comer: Device) -> None:
        ends = frozenset((there.host, comer.host))
        if ends in self._cables:
            self.hosts.reconnect(there.host, comer.host)
        else:
            self._cables.add(ends)
            self.hosts.connect(there.host, comer.host)

    def part(self, there: Device, goer: Device) -> None:
        self.hosts.disconnect(there.host, goer.host)


class LoopbackGround:
    """Ports of this machine; nobody is kept from anybody but by not knowing the port."""

    words = "side by side on this machine's loopback (as root they would get networks of their own)"

    def __init__(self, hosts: LoopbackHosts, folder: Path) -> None:
        self.hosts = hosts
        self._folder = folder
        self._ports: dict[str, int] = {}
        self._dials: dict[str, set[str]] = {}

    def device(self, host: str, person: str) -> Device:
        self._ports[host] = _free_port()
        self._dials[host] = set()
        return Device(self.hosts, host, person, self._folder / host)

    def via(self, there: Device) -> str:
        return f"tcp:127.0.0.1:{self._ports[there.host]}"

    def turn_on(self, device: Device) -> None:
        specs = [f"tcp:127.0.0.1:{self._ports[host]}" for host in sorted(self._dials[device.host])]
        device.start(f"listen:127.0.0.1:{self._ports[device.host]}", *specs)

    def meet(self, there: Device, comer: Device) -> None:
        self._dials[comer.host].add(there.host)
        self._again(comer)

    def part(self, there: Device, goer: Device) -> None:
        self._dials[goer.host].discard(there.host)
        self._again(goer)

    def _again(self, device: Device) -> None:
        if device.is_on:
            device.stop()
            self.turn_on(device)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
