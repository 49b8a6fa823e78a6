"""`hub:https://HOST[:PORT][#PIN]` keeps one link to a hub on the internet; HubListener is the hub's side.

Laws:
1. Every trouble on the way has one reason word, is counted, and is followed by another attempt (`backoff`).
2. With a pin the hub is known by its key alone: a wrong clock, an unknown authority or a name that was changed does not
   keep anybody away from it. Without one, the system's authorities decide.
3. Nothing is dialled while a link lives; when the network changes under it, the link is asked whether it still does.
   Nor, once it was met, the same device at another address: several hubs may be one, and those are the spare ones.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Final
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskStatus

from transports.backoff import Backoff
from transports.interfaces import changes
from transports.link import RECORD_BYTES_MAX, Link, LinkInfo, Welcome, keep
from transports.listening import Bounds, Listener, bind
from transports.pins import pin_of
from transports.proxies import ProxyProblem, proxy_for
from transports.tcp import LIVED_S, host_port, refusal
from transports.tcp_link import address_text
from transports.tls import client_context, server_context
from transports.wss_link import PATIENCE, Patience, Wire, WssLink
from transports.wss_wire import AcceptedWire, DialledWire, Pages

DEFAULT_PORT: Final = 443
OPEN_S_MAX: Final = 30.0
"""From the first packet to the WebSocket: five round trips of 0.6 s and 5 kB at 50 kbit/s take 4; one lost packet of a
handshake costs 1 to 3 more."""
HUB_INFO: Final = LinkInfo("hub", "", RECORD_BYTES_MAX, metered=True, dialled=True, estimate_bytes_per_s=6_000)
ACCEPTED_INFO: Final = replace(HUB_INFO, metered=False, dialled=False)
"""A hub is not billed for its links by the byte."""
HUB_BOUNDS: Final = Bounds(
    links_max=8_192, links_per_host_max=4_096, half_open_max=1_024, half_open_per_host_max=256, first_record_s=30.0
)
"""Thousands of telephones may share one address of their operator's, so one address may have half of all."""
GOING_AWAY_S: Final = 5.0
"""A hub that is stopped is usually started again: its nodes are asked back in 5 to 7.5 s."""


class HubRefused(Exception):
    """A dial that did not become a link; `reason` is the word that is counted."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


def hub_address(text: str) -> tuple[str, int, bytes | None]:
    """Host, port and pin of what stands behind `hub:`. Raises ValueError."""
    place, _, pin = text.strip().partition("#")
    if "://" in place:
        url = urlsplit(place)
        if url.scheme not in ("https", "wss") or url.path not in ("", "/") or url.query or url.username is not None:
            raise ValueError("a hub's address is https://HOST[:PORT]")
        place = url.netloc
    host, port = host_port(place, DEFAULT_PORT)
    if not port:
        raise ValueError("port 0 cannot be dialled")
    if not host.isascii():
        host = host.encode("idna").decode()
    return host, port, pin_of(pin) if pin else None


async def dial_hub(
    host: str,
    port: int,
    context: ssl.SSLContext,
    pin: bytes | None,
    *,
    patience: Patience = PATIENCE,
    within_s: float = OPEN_S_MAX,
) -> WssLink:
    """One attempt. Raises HubRefused."""
    try:
        proxy = proxy_for(host, port)
    except ProxyProblem:
        raise HubRefused("odd-proxy") from None
    near = (host, port) if proxy is None else (proxy.host, proxy.port)
    info = replace(HUB_INFO, address=_text(host, port))

    def wire(_: str) -> Wire:
        return DialledWire(host, port, context, pin, proxy)

    link: WssLink | None = None
    try:
        with anyio.fail_after(within_s):
            loop = asyncio.get_running_loop()
            _, link = await loop.create_connection(lambda: WssLink(info, wire, patience), *near, happy_eyeballs_delay=1)
            if await link.opened():
                return link
            raise HubRefused(link.broken, link.retry_after_s)
    except socket.gaierror:
        raise HubRefused("unknown-name") from None
    except OSError as error:
        reason = refusal(error)
        raise HubRefused("no-answer" if link is not None else reason) from None
    finally:
        if link is not None and (link.broken or link.wss is None or not link.wss.is_open):
            link.break_off("closed-here")


@dataclass(frozen=True, slots=True)
class _Living:
    """A link that was dialled and has not ended, and the node whose it is."""

    handler: Welcome
    link: WssLink
    ended: anyio.Event


class HubTransport:
    """Keeps one link to a hub."""

    _living: ClassVar[list[_Living]] = []

    def __init__(self, address: str, chance: random.Random | None = None, patience: Patience = PATIENCE) -> None:
        """Raises ValueError."""
        self._host, self._port, self._pin = hub_address(address)
        self.spec = f"hub:{_text(self._host, self._port)}"
        self.failures: Counter[str] = Counter()
        self._chance = chance or random.Random()
        self._patience = patience
        self._backoff = Backoff()
        self._link: WssLink | None = None
        self._woken = anyio.Event()

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        context = client_context(self._pin)
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow_the_network)
            task_status.started()
            while True:
                await self._until_due()
                await self._link_once(context, handler)

    def addresses(self) -> list[str]:
        return []

    def remember(self, addresses: Iterable[str]) -> None:
        """It dials the one address it was told."""

    def known(self) -> list[str]:
        return []

    async def _until_due(self) -> None:
        while (left_s := self._backoff.due_at - anyio.current_time()) > 0:
            self._woken = anyio.Event()
            with anyio.move_on_after(left_s):
                await self._woken.wait()

    async def _follow_the_network(self) -> None:
        with changes() as wait_for_change:
            while True:
                before = anyio.current_time()
                await wait_for_change(3_600.0)
                if anyio.current_time() - before >= 3_600.0:
                    continue
                if self._link is not None:
                    self._link.ask()
                self._backoff.changed(anyio.current_time(), self._chance.random())
                self._woken.set()

    async def _link_once(self, context: ssl.SSLContext, handler: Welcome) -> None:
        try:
            link = await dial_hub(self._host, self._port, context, self._pin, patience=self._patience)
        except HubRefused as refused:
            self.failures[refused.reason] += 1
            self._backoff.failed(anyio.current_time(), self._chance.random(), refused.retry_after_s)
            return
        since = anyio.current_time()
        self._link = link
        living = _Living(handler, link, anyio.Event())
        self._living.append(living)
        try:
            await keep(link, handler, self.failures)
        finally:
            self._link = None
            self._living.remove(living)
            living.ended.set()
        await self._while_another_lives(handler, link)
        now = anyio.current_time()
        after = self._backoff.ended if link.peer is not None or now - since >= LIVED_S else self._backoff.failed
        after(now, self._chance.random(), link.retry_after_s)

    async def _while_another_lives(self, handler: Welcome, link: WssLink) -> None:
        for other in self._living:
            if link.peer and other.link.peer == link.peer and other.handler == handler:
                await other.ended.wait()
                return


class HubListener:
    """Accepts links for a hub, and answers other questions with pages."""

    def __init__(
        self,
        host: str,
        port: int,
        certificate_file: str,
        key_file: str,
        *,
        pages: Pages | None = None,
        bounds: Bounds = HUB_BOUNDS,
        patience: Patience = PATIENCE,
    ) -> None:
        """Raises OSError where certificate and key cannot be used."""
        self._context = server_context(certificate_file, key_file)
        self._host, self._port = host, port
        self._pages, self._bounds, self._patience = pages, bounds, patience
        self.spec = f"hub listening on {_text(host, port) if host else port}"
        self.failures: Counter[str] = Counter()
        self._addresses: list[str] = []
        self._listener: Listener[WssLink] | None = None

    @property
    def link_count(self) -> int:
        """Connections that are open now, those that have not spoken yet among them."""
        return len(self._listener.links) if self._listener else 0

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """As every transport; raises OSError when the address cannot be listened on."""
        sockets = bind(self._host, self._port)
        self._addresses = [address_text(sock.getsockname()) for sock in sockets]

        async def until_stopped(link: Link) -> None:
            try:
                await handler(link)
            except asyncio.CancelledError:
                assert isinstance(link, WssLink)
                link.go_away(GOING_AWAY_S)
                raise

        async def serve_link(link: WssLink) -> None:
            if await link.opened():
                await keep(link, until_stopped, self.failures)
            else:
                if link.broken not in ("closed-there", "closed-here"):
                    self.failures[link.broken] += 1
                await link.aclose()

        def make(info: LinkInfo) -> WssLink:
            return WssLink(info, lambda host: AcceptedWire(self._context, host, self._pages), self._patience)

        self._listener = listener = Listener(
            sockets, ACCEPTED_INFO, self.failures, serve_link, bounds=self._bounds, make=make
        )
        task_status.started()
        try:
            await listener.serve()
        finally:
            self._addresses = []

    def addresses(self) -> list[str]:
        return list(self._addresses)

    def remember(self, addresses: Iterable[str]) -> None:
        """It only listens."""

    def known(self) -> list[str]:
        return []


def _text(host: str, port: int) -> str:
    return address_text((host, port))
