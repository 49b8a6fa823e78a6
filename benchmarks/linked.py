"""Members of one organisation, each linked to a hub over real TLS, all of them in one process.

A member is the product's own engine on a store in memory: it proves what comes, keeps it and acknowledges it. What the
shell does with tasks and a thread happens here at once, because there are thousands. Everybody knows everybody from the
beginning, as if they had met long ago: to make two thousand strangers known to each other is another measurement.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from beepmesh.asking import Asked, answer
from beepmesh.channel import Door
from beepmesh.config import Config
from beepmesh.crypto.primitives import KEY_BYTES
from beepmesh.events import (
    Commit,
    FrameReceived,
    HangUp,
    HomeChanged,
    Input,
    LinkDown,
    LinkDrained,
    LinkUp,
    Output,
    SendFrames,
    TellDrained,
    TimeCame,
    WakeAt,
)
from beepmesh.home import Home, first_statements
from beepmesh.port import Port
from beepmesh.safe import MemorySafe
from beepmesh.shell import engine_of, frontier_of
from beepmesh.store.contract import Batch, Fact
from beepmesh.store.sqlite import memory_store
from beepmesh.trust.enrol import JoinKeys, check_answer, check_request, grant, request
from beepmesh.trust.facts import PREKEY_BUNDLE, prekey_bundle_data
from beepmesh.trust.identity import Identity, found
from beepmesh.trust.invite import Invitation
from beepmesh.trust.roster import Roster
from beepmesh.trust.ticket import Offer, new_ticket
from transports.hub import HubRefused, dial_hub, hub_address
from transports.link import LinkBroken
from transports.tls import client_context

DIALS_AT_A_TIME: Final = 64
STATEMENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Organisation:
    """`identities[0]` is its founder's, whose home makes his facts itself; `facts` are the others'."""

    identities: tuple[Identity, ...]
    facts: tuple[Fact, ...]


def organisation(size: int) -> Organisation:
    """So many devices, one a person, let in without a link."""
    now_s = time.time_ns() // 1_000_000_000
    founder = found("Flood Relief", "Hub", now_s, os.urandom)
    offer = Offer(("field",), "")
    ticket = new_ticket(founder, offer, now_s=now_s, expires_s=now_s + 3_600, entropy=os.urandom)
    invitation = Invitation(founder.org, ticket.secret, ticket.expires_s, ())
    identities, facts = [founder], []
    for number in range(1, size):
        keys = JoinKeys.generate(os.urandom)
        asked = check_request(request(keys, f"Member {number:04}", ticket.id), ticket.id)
        granted = grant(founder, ticket, asked, now_s=now_s, trusted_s=now_s, entropy=os.urandom)
        identity = check_answer(granted.answer, invitation, keys)
        ring, bundle = identity.prekeys.rotate(now_s, identity.device_key, os.urandom)
        device, feed = first_statements(identity)
        facts += [
            Fact(identity.device, 0, device.kind, device.data),
            Fact(identity.device, 1, PREKEY_BUNDLE, prekey_bundle_data(bundle.encode())),
            Fact(identity.feed, 0, feed.kind, feed.data),
        ]
        identities.append(identity.with_prekeys(ring))
    return Organisation(tuple(identities), tuple(facts))


def settle(folder: Path, made: Organisation) -> tuple[Fact, ...]:
    """The founder's home, which knows everybody. Returns all facts, his own too."""
    now_ms = time.time_ns() // 1_000_000
    with Home.admit(folder, made.identities[0], None, now_ms) as home:
        home.commit(Batch(facts=made.facts), now_ms)
        return tuple(home.store.facts())


class Member:
    """One device: `serve` keeps its link. `heard` is called with how many entries each commit brought."""

    def __init__(self, identity: Identity, roster: Roster, heard: Callable[[Member, int], None]) -> None:
        store = memory_store(os.urandom(KEY_BYTES), statements=STATEMENTS)
        self.home = Home(
            Path("member"), MemorySafe(identity), store, Config(), roster=roster, alone=True, entropy=os.urandom
        )
        self.home.refresh()
        self._engine = engine_of(self.home, frontier_of(self.home))
        self._heard = heard
        self._port: Port | None = None
        self._inputs: deque[Input] = deque()
        self._is_busy = False
        self._wake: asyncio.TimerHandle | None = None
        self.is_linked = False

    async def serve(self, spec: str, turn: anyio.Semaphore) -> None:
        """Dial until it is linked, and be its end of that link until cancelled."""
        host, port_number, pin = hub_address(spec.removeprefix("hub:"))
        context = client_context(pin)
        while True:
            async with turn:
                with suppress(HubRefused):
                    link = await dial_hub(host, port_number, context, pin)
                    break
        self._port = port = Port(link)
        doors = tuple(Door(psk, None) for psk in self.home.identity.link_psks[:1])
        async with anyio.create_task_group() as tasks:
            port.scope = tasks.cancel_scope
            tasks.start_soon(port.write)
            self.give(LinkUp(1, True, "hub", link.info.address, link.info.record_bytes_max, doors))
            with suppress(LinkBroken):
                while True:
                    frame = await link.receive()
                    self.is_linked = True
                    self.give(FrameReceived(1, frame))
            self._port = None
            self.give(LinkDown(1, link.broken))
            raise AssertionError(f"a member lost its link: {link.broken}")

    def notice(self) -> None:
        """Let the engine know what was written on `home`."""
        fresh = self.home.refresh()
        self.give(HomeChanged(fresh.states, fresh.version))

    def give(self, event: Input) -> None:
        self._inputs.append(event)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._inputs:
                outputs = self._engine.handle(self._inputs.popleft(), time.monotonic())
                self._perform(deque([*outputs, *self._engine.flush()]))
        finally:
            self._is_busy = False

    def _perform(self, orders: deque[Output]) -> None:
        while orders:
            order = orders.popleft()
            if isinstance(order, Asked):
                orders.extend(self._engine.handle(self._answer(order), time.monotonic()))
                orders.extend(self._engine.flush())
                continue
            match order:
                case SendFrames(_, frames) if self._port is not None:
                    self._port.send(frames)
                case TellDrained() if self._port is not None:
                    self._port.tell_drained(lambda: self.give(LinkDrained(1)))
                case HangUp(_, reason):
                    raise AssertionError(f"a member hung up: {reason}")
                case WakeAt(when):
                    if self._wake is None or self._wake.when() > when:
                        if self._wake is not None:
                            self._wake.cancel()
                        self._wake = asyncio.get_running_loop().call_at(when, self._woken)
                case _:
                    pass  # For people, who are not here.

    def _answer(self, order: Asked) -> Input:
        answered = answer(self.home, order, time.time_ns() // 1_000_000)
        if isinstance(order, Commit) and order.batch.entries:
            self._heard(self, len(order.batch.entries))
        return answered

    def _woken(self) -> None:
        self._wake = None
        self.give(TimeCame())


def members(
    identities: Sequence[Identity], root_public: bytes, facts: Sequence[Fact], heard: Callable[[Member, int], None]
) -> Iterator[Member]:
    """Each with a roster of its own that knows everybody; what all know is held once."""
    roster = Roster(root_public)
    for fact in facts:
        roster.learn(fact)
    roster.people()
    roster.crowds()
    for identity in identities:
        yield Member(identity, roster.fork(), heard)
