"""Accepting links on TCP sockets, within bounds that a stranger cannot push.

Laws:
1. At most so many links at once, and of those that have not sent a record yet so many in all and for each remote host,
   as Bounds says. What comes above is closed without a byte. The hosts of one IPv6 /64 count as one.
2. An accepted link that sends no first record in time is dropped: only who speaks may stay.
3. No error of accepting ends the listening; running out of file descriptors only slows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from transports.link import LinkInfo
from transports.tcp_link import TcpLink

L = TypeVar("L", bound=TcpLink)

ACCEPTED_MAX = 64
HALF_OPEN_PER_HOST_MAX = 8
FIRST_RECORD_S = 10.0
BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """What strangers may take: links in all and from one host, those of them that have not spoken yet in all and from
    one host, and the seconds until the first record."""

    links_max: int = ACCEPTED_MAX
    links_per_host_max: int = ACCEPTED_MAX
    half_open_max: int = ACCEPTED_MAX
    half_open_per_host_max: int = HALF_OPEN_PER_HOST_MAX
    first_record_s: float = FIRST_RECORD_S


LOCAL = Bounds()
ACCEPT_RETRY_S = 0.5
"""After an accept that failed, such as for want of file descriptors (EMFILE)."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for every address that `host` names; all on one port, which 0 lets the kernel choose.

    An empty host means every address of the machine, IPv4 and IPv6. Raises OSError when nothing could be bound.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found.sort(key=lambda one: one[0] != socket.AF_INET)  # IPv4 first, so that it chooses the port on every machine.
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if sockets:
            port = sockets[0].getsockname()[1]
        try:
            sock = socket.socket(family, kind, protocol)
            try:
                _listen(sock, (address[0], port, *address[2:]))
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            failure = error
            continue
        sockets.append(sock)
    if not sockets:
        raise failure or OSError(f"{host} names no address to listen on")
    return sockets


def _listen(sock: socket.socket, address: tuple[object, ...]) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(address)
    sock.listen(BACKLOG)


class Listener(Generic[L]):
    """Accepts on `sockets` and runs `serve_link` for each link in its own task; closes sockets and links at the end."""

    def __init__(
        self,
        sockets: list[socket.socket],
        info: LinkInfo,
        failures: Counter[str],
        serve_link: Callable[[L], Awaitable[None]],
        *,
        bounds: Bounds | None = None,
        make: Callable[[LinkInfo], L],
    ) -> None:
        self._sockets = sockets
        self._info = replace(info, address="", dialled=False)
        self._failures = failures
        self._serve_link = serve_link
        self._bounds, self._make = bounds or LOCAL, make
        self.links: set[L] = set()
        """Every link that is accepted and has not ended."""
        self._open: Counter[str] = Counter()
        self._half_open: Counter[str] = Counter()

    async def serve(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            async with anyio.create_task_group() as group:
                for sock in self._sockets:
                    try:
                        loop.add_reader(sock, self._accept, sock, group)
                    except NotImplementedError:  # The event loop of Windows.
                        group.start_soon(self._accept_in_task, sock, group)
                await anyio.sleep_forever()
        finally:
            for sock in self._sockets:
                with contextlib.suppress(NotImplementedError):
                    loop.remove_reader(sock)
                sock.close()

    def _accept(self, sock: socket.socket, group: TaskGroup) -> None:
        """Take what waits. A callback and not a task: a task cancelled at the wrong moment would lose a connection."""
        try:
            for _ in range(BACKLOG):
                accepted, address = sock.accept()
                self._admit(accepted, str(address[0]), group)
        except BlockingIOError:
            return
        except OSError:
            self._failures["accept-failed"] += 1
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock)
            loop.call_later(ACCEPT_RETRY_S, self._resume, sock, group)

    async def _accept_in_task(self, sock: socket.socket, group: TaskGroup) -> None:
        """The same where the loop knows no readers."""
        while True:
            try:
                accepted, address = await asyncio.get_running_loop().sock_accept(sock)
            except OSError:
                self._failures["accept-failed"] += 1
                await anyio.sleep(ACCEPT_RETRY_S)
            else:
                self._admit(accepted, str(address[0]), group)

    def _resume(self, sock: socket.socket, group: TaskGroup) -> None:
        if sock.fileno() >= 0:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock, group)

    def _admit(self, accepted: socket.socket, host: str, group: TaskGroup) -> None:
        bounds, host = self._bounds, _block(host)
        if (
            self._open.total() >= bounds.links_max
            or self._open[host] >= bounds.links_per_host_max
            or self._half_open.total() >= bounds.half_open_max
            or self._half_open[host] >= bounds.half_open_per_host_max
        ):
            self._failures["too-many-links"] += 1
            accepted.close()
            return
        accepted.setblocking(False)
        self._open[host] += 1
        self._half_open[host] += 1
        group.start_soon(self._serve_one, accepted, host)

    async def _serve_one(self, accepted: socket.socket, host: str) -> None:
        """One link's life; it counts as half open until its first record."""
        link = self._make(self._info)
        loop = asyncio.get_running_loop()

        spoke = False

        def first_record() -> None:
            nonlocal spoke
            if not spoke:
                spoke = True
                _less(self._half_open, host)

        def time_is_up() -> None:
            if not spoke:
                link.break_off("silent")

        link.on_first_record = first_record
        self.links.add(link)
        try:
            await loop.connect_accepted_socket(lambda: link, accepted)
            timer = loop.call_later(self._bounds.first_record_s, time_is_up)
            try:
                await self._serve_link(link)
            finally:
                timer.cancel()
                link.break_off("closed-here")
        except OSError:
            self._failures["reset"] += 1  # It was gone before it was ours.
            accepted.close()
        finally:
            first_record()
            self.links.discard(link)
            _less(self._open, host)


def _less(counts: Counter[str], host: str) -> None:
    counts[host] -= 1
    if counts[host] <= 0:
        del counts[host]


def _block(host: str) -> str:
    """What counts as one host: an IPv4 address, or an IPv6 /64, which is what one customer is given."""
    bare = host.partition("%")[0]
    if ":" not in bare or bare.startswith("::ffff:"):
        return bare
    return str(ipaddress.ip_network(f"{bare}/64", strict=False))
