"""This machine's own addresses on local networks, and which other addresses may be dialled from them.

Law: an address that a stranger announces is dialled only if it is on a network of ours or private; nobody can use a
node's announcement to make others knock at a host on the internet.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import ifaddr

if sys.platform == "linux":
    import fcntl

SETTLE_S = 0.1
"""An interface that comes up changes several things at once; they are looked at together."""

_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40  # netdevice(7)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One address of one interface. `address` has no scope; `prefix` is the network's length in bits."""

    interface: str
    index: int
    address: str
    prefix: int

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address

    @property
    def is_link_local_ipv6(self) -> bool:
        return self.is_ipv6 and ipaddress.ip_address(self.address).is_link_local

    @property
    def dialled_as(self) -> str:
        """The host to dial from here: a link-local IPv6 address means nothing without its interface."""
        return f"{self.address}%{self.interface}" if self.is_link_local_ipv6 else self.address


def places() -> tuple[Place, ...]:
    """The addresses at which neighbours can find this machine; the loopback's only where there is nothing else.

    Of an interface's IPv6 addresses the link-local one is enough and the others, which may say who the device is on
    every network, stay unannounced. An address that cannot be bound yet (duplicate detection takes a second or two) is
    left for the next look. An interface without a carrier keeps its IPv4 address and is left out all the same.
    """
    found: list[Place] = []
    for adapter in ifaddr.get_adapters():
        if not _running(adapter.name):
            continue
        here: list[Place] = []
        for one in adapter.ips:
            address = one.ip if isinstance(one.ip, str) else one.ip[0]
            if not ipaddress.ip_address(address).is_multicast:
                here.append(Place(adapter.name, adapter.index or 0, address, one.network_prefix))
        has_link_local = any(place.is_link_local_ipv6 for place in here)
        found += [
            place
            for place in here
            if not place.is_ipv6 or ((place.is_link_local_ipv6 or not has_link_local) and _bindable(place))
        ]
    outside = [place for place in found if not ipaddress.ip_address(place.address).is_loopback]
    return tuple(sorted(outside or found))


def _running(interface: str) -> bool:
    """Whether the interface can carry anything; where nobody says, it is taken for able."""
    if sys.platform != "linux":
        return True
    request = struct.pack("16sH14x", interface.encode()[:15], 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
    except OSError:
        return False  # It has just been removed.
    return bool(struct.unpack("16sH14x", answer)[1] & _IFF_RUNNING)


@contextmanager
def changes() -> Iterator[Callable[[float], Awaitable[None]]]:
    """Gives a function that waits until interfaces or addresses may have changed, at most so many seconds.

    On Linux the kernel tells (rtnetlink(7)); elsewhere the time just passes.
    """
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    sock = _netlink()

    def told() -> None:
        try:
            while sock and sock.recv(65_536):
                changed.set()
        except BlockingIOError:
            pass
        except OSError:
            changed.set()  # The kernel had more to say than fits its buffer: something did change.

    async def wait(most_s: float) -> None:
        with anyio.move_on_after(most_s):
            await changed.wait()
            await anyio.sleep(SETTLE_S)
        changed.clear()

    if sock:
        loop.add_reader(sock, told)
    try:
        yield wait
    finally:
        if sock:
            loop.remove_reader(sock)
            sock.close()


def _netlink() -> socket.socket | None:
    if sys.platform != "linux":
        return None
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        sock.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
    except OSError:
        return None
    return sock


def _bindable(place: Place) -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((place.address, 0, 0, place.index if place.is_link_local_ipv6 else 0))
    except OSError:
        return False
    return True


def reachable(hosts: Iterable[str], port: int, own: Iterable[Place], own_port: int) -> tuple[str, ...]:
    """Of the hosts that a service announced, those worth dialling, as HOST:PORT, the likeliest first.

    A link-local IPv6 host may carry a scope (a number or a name); without one, every interface that has such an address
    is tried. Left out: ourselves, the loopback unless that is all we have, and what the law above forbids.
    """
    own = tuple(own)
    ourselves = {place.address for place in own}
    loopback_only = all(ipaddress.ip_address(place.address).is_loopback for place in own)
    ranked: list[tuple[int, str]] = []
    for host in hosts:
        bare, _, scope = host.partition("%")
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            continue
        if (bare in ourselves and port == own_port) or address.is_multicast or address.is_unspecified:
            continue
        if address.is_loopback and not loopback_only:
            continue
        if address.version == 6 and address.is_link_local:
            ranked += [(1, f"[{bare}%{name}]:{port}") for name in _scopes(scope, own)]
            continue
        on_link = any(address in _network(place) for place in own)
        if on_link or address.is_private or address.is_link_local:
            text = f"[{bare}]:{port}" if address.version == 6 else f"{bare}:{port}"
            ranked.append(((0 if address.version == 4 else 2) + (0 if on_link else 3), text))
    return tuple(dict.fromkeys(target for _, target in sorted(ranked)))


def _scopes(scope: str, own: tuple[Place, ...]) -> list[str]:
    names = {place.interface: place.index for place in own if place.is_link_local_ipv6}
    if not scope:
        return list(names)
    return [name for name, index in names.items() if scope in (name, str(index))]


def _network(place: Place) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(f"{place.address}/{place.prefix}", strict=False)


def neighbourhood(place: Place) -> list[str]:
    """The other hosts of the /24 around an IPv4 place, or of its network where that is smaller."""
    assert not place.is_ipv6
    network = ipaddress.ip_network(f"{place.address}/{max(place.prefix, 24)}", strict=False)
    return [str(host) for host in network.hosts() if str(host) != place.address]
