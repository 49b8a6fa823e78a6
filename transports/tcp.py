"""TCP by address: `tcp:HOST:PORT` dials and dials again, `listen:HOST:PORT` accepts.

Laws:
1. A dialler waits RETRY_S after its first failure and twice as long after each further one, up to RETRY_S_MAX, each
   wait varied by up to a half either way: a village of nodes must not return at one instant after a power cut.
2. A link that was established, or that lived LIVED_S, resets the wait.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import anyio
from anyio.abc import TaskStatus

from transports.link import Welcome, keep
from transports.listening import Listener, bind
from transports.tcp_link import TCP_INFO, TcpLink, address_text

CONNECT_S_MAX = 10.0
RETRY_S, RETRY_S_MAX = 0.2, 30.0
LIVED_S = 10.0
NEXT_ADDRESS_S = 0.25
"""A name with several addresses: how long before the next is tried beside the first (RFC 8305, section 5)."""
NAMED_MAX = 8
"""Addresses of one name that are tried."""


def host_port(address: str, default_port: int | None = None) -> tuple[str, int]:
    """HOST and PORT of `HOST:PORT`, `[IPV6]:PORT`, or without a port where there is a default. Raises ValueError."""
    host, separator, port = address.rpartition(":")
    if not separator or address.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = address, ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or "[" in host or "]" in host:
        raise ValueError(f"{address!r} names no host")
    if not port and default_port is not None:
        return host, default_port
    if not (port.isascii() and port.isdecimal() and int(port) <= 65_535):
        raise ValueError(f"{address!r} names no port (0..65535)")
    return host, int(port)


async def dial(host: str, port: int, *, transport: str = "tcp", within_s: float = CONNECT_S_MAX) -> TcpLink:
    """One attempt at a link. Raises OSError (TimeoutError among them) when nobody accepts."""
    info = replace(TCP_INFO, transport=transport)
    with anyio.fail_after(within_s):
        _, link = await asyncio.get_running_loop().create_connection(lambda: TcpLink(info), host, port)
    return link


async def dial_any(
    targets: Sequence[str], failures: Counter[str], *, transport: str = "tcp", within_s: float = CONNECT_S_MAX
) -> tuple[TcpLink | None, str]:
    """The first target (HOST:PORT) that accepts, each tried NEXT_ADDRESS_S after the one before; None when none does.

    asyncio's own race of addresses forgets a connected socket when it is cancelled at the wrong moment.
    """
    won: list[tuple[TcpLink, str]] = []
    async with anyio.create_task_group() as group:

        async def attempt(target: str, after_s: float) -> None:
            await anyio.sleep(after_s)
            try:
                link = await dial(*host_port(target), transport=transport, within_s=within_s)
            except OSError as error:
                failures[refusal(error)] += 1
                return
            if won:
                link.break_off("closed-here")
            else:
                won.append((link, target))
                group.cancel_scope.cancel()

        for index, target in enumerate(targets):
            group.start_soon(attempt, target, index * NEXT_ADDRESS_S)
    return won[0] if won else (None, "")


async def resolve(host: str, port: int) -> list[str]:
    """The addresses (HOST:PORT) of a name, at most NAMED_MAX. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(address_text(one[4]) for one in found))[:NAMED_MAX]


def refusal(error: OSError) -> str:
    """The reason word for an attempt that did not become a link."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "no-answer" if isinstance(error, TimeoutError) else "unreachable"


class DialTransport:
    """Keeps one link to an address, for as long as it serves."""

    def __init__(self, host: str, port: int, chance: random.Random | None = None) -> None:
        self._host, self._port = host, port
        self.spec = f"tcp:{address_text((host, port))}"
        self.failures: Counter[str] = Counter()
        self._chance = chance or random.Random()
        self._known: list[str] = []

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        wait_s = RETRY_S
        while True:
            if await self._link_once(handler):
                wait_s = RETRY_S
            await anyio.sleep(wait_s * self._chance.uniform(0.5, 1.5))
            wait_s = min(wait_s * 2, RETRY_S_MAX)

    async def _link_once(self, handler: Welcome) -> bool:
        """Dial and serve one link to its end; whether it was a good one."""
        try:
            targets = await resolve(self._host, self._port)
        except OSError:
            self.failures["unknown-name"] += 1
            return False
        link, _ = await dial_any(targets, self.failures)
        if link is None:
            return False
        since = anyio.current_time()
        await keep(link, handler, self.failures)
        if link.peer is not None:
            self._known = [link.info.address]
        return link.peer is not None or anyio.current_time() - since >= LIVED_S

    def addresses(self) -> list[str]:
        return []

    def remember(self, addresses: Iterable[str]) -> None:
        """It dials the one address it was told."""

    def known(self) -> list[str]:
        return list(self._known)


class ListenTransport:
    """Accepts links on one address. Port 0 lets the system choose; `addresses` then says which."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.spec = f"listen:{address_text((host, port))}" if host else f"listen:{port}"
        self.failures: Counter[str] = Counter()
        self._addresses: list[str] = []

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """As every transport; raises OSError when the address cannot be listened on."""
        sockets = bind(self._host, self._port)
        self._addresses = [address_text(sock.getsockname()) for sock in sockets]

        async def serve_link(link: TcpLink) -> None:
            await keep(link, handler, self.failures)

        task_status.started()
        try:
            await Listener(sockets, TCP_INFO, self.failures, serve_link, make=TcpLink).serve()
        finally:
            self._addresses = []

    def addresses(self) -> list[str]:
        return list(self._addresses)

    def remember(self, addresses: Iterable[str]) -> None:
        """It only listens."""

    def known(self) -> list[str]:
        return []
