"""Links on local networks, found by multicast DNS: `lan`, `lan:PORT`, `lan:probe`.

Laws:
1. The instance name is random, new at every start and every NAME_S; the machine's own name appears nowhere.
2. Whom to dial and when is decided in `dialling`; this module performs it.
3. Whatever fails - no multicast, no interface, no address yet - accepting and remembered addresses go on, and the
   interfaces are looked at again every LOOK_S.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup, TaskStatus

from transports.dialling import Dial, DialPlan
from transports.interfaces import Place, changes, neighbourhood, places, reachable
from transports.link import Welcome, keep
from transports.listening import Listener, bind
from transports.tcp import dial_any, host_port
from transports.tcp_link import TCP_INFO, TcpLink, address_text

if TYPE_CHECKING:
    from transports.mdns import Beacon

DEFAULT_PORT = 7337
"""Listened on if free, so that remembered addresses and a probe know where to knock."""
LOOK_S = 5.0
NO_MULTICAST_RETRY_S = 60.0
NAME_S = 12 * 3600.0
HEARD_MAX = 256
"""Names waiting to be resolved; more are dropped and counted."""
PROBE_FIRST_S, PROBE_STEP_S, PROBE_ROUND_S, PROBE_CONNECT_S_MAX = 10.0, 0.25, 600.0, 0.8

_INSTANCE = re.compile(r"[0-9a-f]{16}")


class LanTransport:
    """Every neighbour on every local network of this machine."""

    def __init__(
        self,
        port: int | None = None,
        *,
        probe: bool = False,
        newcomer: bool = False,
        chance: random.Random | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        look: Callable[[], tuple[Place, ...]] = places,
    ) -> None:
        """Without `port`, DEFAULT_PORT if it is free and any other if not. `probe`: also knock at every host of the own
        /24, slowly. `newcomer`: dial whoever is seen at once, since nobody here knows us yet. `look` says which
        addresses this machine has."""
        self.spec = "lan:probe" if probe else "lan" if port is None else f"lan:{port}"
        self.failures: Counter[str] = Counter()
        self._fixed_port, self._probe_too = port, probe
        self._chance = chance or random.Random()
        self._entropy, self._look = entropy, look
        self._plan = DialPlan(self._random_name(), lambda: self._chance.uniform(0.5, 1.5), newcomer=newcomer)
        self._own_names = {self._plan.own_name}
        self._own: tuple[Place, ...] = ()
        self._port = 0
        self._beacon: Beacon | None = None
        self._heard: dict[str, None] = {}
        self._something_heard = anyio.Event()
        self._plan_changed = anyio.Event()
        self._remembered: list[str] = []
        self._links: dict[int, TcpLink] = {}
        self._numbers = itertools.count()

    # -- the contract

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """As every transport; raises OSError when a configured port cannot be listened on."""
        sockets = self._bind()
        self._port = sockets[0].getsockname()[1]
        self._own = self._look()

        async def accepted(link: TcpLink) -> None:
            await self._keep(link, "", link.info.address, handler)

        info = replace(TCP_INFO, transport="lan")
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(Listener(sockets, info, self.failures, accepted, make=TcpLink).serve)
                group.start_soon(self._be_present)
                group.start_soon(self._resolve_heard)
                group.start_soon(self._dial_due, handler, group)
                if self._probe_too:
                    group.start_soon(self._probe, handler, group)
                self._remember_now()
                task_status.started()
        finally:
            self._port = 0

    def addresses(self) -> list[str]:
        return [address_text((place.dialled_as, self._port)) for place in self._own] if self._port else []

    def remember(self, addresses: Iterable[str]) -> None:
        self._remembered += addresses
        if self._port:
            self._remember_now()

    def known(self) -> list[str]:
        return self._plan.known()

    # -- presence: the beacon follows the interfaces

    async def _be_present(self) -> None:
        """Keep a beacon on the interfaces as they come and go, under a name that changes every NAME_S."""
        named_at = anyio.current_time()
        retry_at = 0.0
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave)
            wait_for_change = stack.enter_context(changes())
            while True:
                now, own = anyio.current_time(), self._look()
                if now - named_at >= NAME_S:
                    named_at, retry_at = now, now
                    await self._leave()
                    self._plan.own_name = self._random_name()
                    self._own_names.add(self._plan.own_name)
                elif own != self._own:
                    retry_at = now
                    before, self._own = self._own, own
                    self._break_links_from({place.address for place in before} - {place.address for place in own})
                    await self._leave()
                if self._beacon is None and own and now >= retry_at:
                    retry_at = now + NO_MULTICAST_RETRY_S
                    await self._appear()
                await wait_for_change(LOOK_S)

    def _break_links_from(self, gone: set[str]) -> None:
        """TCP would wait for half a minute; a new link is made as soon as there is a path again."""
        for link in list(self._links.values()):
            if link.local_host in gone:
                link.break_off("interface-gone")

    async def _appear(self) -> None:
        beacon_class = await anyio.to_thread.run_sync(_load_beacon)
        self._plan.forget_discovered()
        try:
            self._beacon = beacon_class(self._own, self._note, self._lost)
            await self._beacon.open(self._plan.own_name, self._random_name(), self._port)
        except OSError:
            self.failures["no-multicast"] += 1
            await self._leave()

    async def _leave(self) -> None:
        beacon, self._beacon = self._beacon, None
        if beacon:
            await beacon.close()

    # -- hearing of others

    def _note(self, instance: str) -> None:
        if instance in self._own_names or instance in self._heard:
            return
        if not _INSTANCE.fullmatch(instance) or len(self._heard) >= HEARD_MAX:
            self.failures["odd-name" if len(self._heard) < HEARD_MAX else "too-many-names"] += 1
            return
        self._heard[instance] = None
        self._something_heard.set()

    def _lost(self, instance: str) -> None:
        self._heard.pop(instance, None)
        self._plan.gone(instance)

    async def _resolve_heard(self) -> None:
        async with anyio.create_task_group() as group:
            room = anyio.CapacityLimiter(8)
            while True:
                await self._something_heard.wait()
                self._something_heard = anyio.Event()
                heard, self._heard = self._heard, {}
                for instance in heard:
                    group.start_soon(self._resolve, instance, room)

    async def _resolve(self, instance: str, room: anyio.CapacityLimiter) -> None:
        async with room:
            if not (beacon := self._beacon):
                return
            hosts, port = await beacon.resolve(instance)
        targets = reachable(hosts, port, self._own, self._port)
        if not targets:
            self.failures["no-address"] += 1
        elif self._plan.seen(instance, targets, anyio.current_time()):
            self._wake()
        else:
            self.failures["too-many-names"] += 1

    # -- dialling

    async def _dial_due(self, handler: Welcome, group: TaskGroup) -> None:
        while True:
            for order in self._plan.due(anyio.current_time()):
                group.start_soon(self._dial, order, handler)
            wake_at = self._plan.wake_at()
            with anyio.CancelScope(deadline=float("inf") if wake_at is None else wake_at):
                await self._plan_changed.wait()
            self._plan_changed = anyio.Event()

    async def _dial(self, order: Dial, handler: Welcome) -> None:
        if order.retried and order.key not in order.targets:
            self._note(order.key)  # It may have moved; what is heard now serves the next attempt.
        link, target = await dial_any(order.targets, self.failures, transport="lan")
        if link is None:
            self._plan.dial_failed(order.key, anyio.current_time())
            self._wake()
        else:
            await self._keep(link, order.key, target, handler)

    async def _keep(self, link: TcpLink, key: str, target: str, handler: Welcome) -> None:
        number = next(self._numbers)
        self._links[number] = link
        self._plan.link_up(number, key, target, anyio.current_time())
        link.on_established = lambda _: self._plan.established(number, link.peer or "")
        try:
            await keep(link, handler, self.failures)
        finally:
            del self._links[number]
            self._plan.link_down(number, anyio.current_time())
            self._wake()

    async def _probe(self, handler: Welcome, group: TaskGroup) -> None:
        """Knock at DEFAULT_PORT of each neighbour host, one after the other, and again after PROBE_ROUND_S."""
        await anyio.sleep(PROBE_FIRST_S)
        while True:
            for place in self._own:
                for host in neighbourhood(place) if not place.is_ipv6 else ():
                    if host in self._plan.linked_hosts():
                        continue
                    target = address_text((host, DEFAULT_PORT))
                    link, _ = await dial_any((target,), Counter(), transport="lan", within_s=PROBE_CONNECT_S_MAX)
                    if link:
                        self._plan.remember([target], anyio.current_time())
                        group.start_soon(self._keep, link, target, target, handler)
                    await anyio.sleep(PROBE_STEP_S * self._chance.uniform(0.5, 1.5))
            await anyio.sleep(PROBE_ROUND_S)

    # -- helpers

    def _bind(self) -> list[socket.socket]:
        if self._fixed_port is not None:
            return bind("", self._fixed_port)
        try:
            return bind("", DEFAULT_PORT)
        except OSError:
            return bind("", 0)

    def _remember_now(self) -> None:
        targets: list[str] = []
        for address in self._remembered:
            try:
                host, port = host_port(address, DEFAULT_PORT)
            except ValueError:
                self.failures["odd-address"] += 1
                continue
            if port != self._port or host not in {place.address for place in self._own}:
                targets.append(address_text((host, port)))
        self._remembered = []
        self._plan.remember(targets, anyio.current_time())
        self._wake()

    def _wake(self) -> None:
        self._plan_changed.set()

    def _random_name(self) -> str:
        return self._entropy(8).hex()


def _load_beacon() -> type[Beacon]:
    """In a thread: the import takes as long as a hundred links' handshakes."""
    from transports.mdns import Beacon

    return Beacon
