"""A transport that notes the size of every frame on its links, so that a benchmark can say which bytes were what.

Frames are what the node hands to the transport: three of the Noise handshake, then sealed records. What TCP and
Ethernet add is counted at the interface, not here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import anyio
from anyio.abc import TaskStatus

from transports.link import Link, Transport, Welcome

HANDSHAKE_FRAMES = 3  # Noise XX.
FRAME_OVERHEAD_BYTES = 17  # Flags and tag around each record of a channel (beepmesh/channel.py).


class Frame(NamedTuple):
    sent: bool
    size: int


class CountedLink(Link):
    """The link it was given, with a note of each frame."""

    def __init__(self, link: Link, frames: list[Frame]) -> None:
        self._link = link
        self._frames = frames
        self.info = link.info

    async def receive(self) -> bytes:
        frame = await self._link.receive()
        self._frames.append(Frame(False, len(frame)))
        return frame

    async def send(self, item: bytes) -> None:
        self._frames.append(Frame(True, len(item)))
        await self._link.send(item)

    async def drained(self) -> None:
        await self._link.drained()

    async def aclose(self) -> None:
        await self._link.aclose()

    @property
    def broken(self) -> str:
        return self._link.broken

    def established(self, peer: str = "") -> None:
        self._link.established(peer)


class CountedTransport:
    """The transport it was given, handing over CountedLinks. `frames` are those of all its links, in their order."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.spec = transport.spec
        self.failures: Counter[str] = transport.failures
        self.frames: list[Frame] = []

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        async def counted(link: Link) -> None:
            await handler(CountedLink(link, self.frames))

        await self._transport.serve(counted, task_status=task_status)

    def addresses(self) -> list[str]:
        return self._transport.addresses()

    def remember(self, addresses: Iterable[str]) -> None:
        self._transport.remember(addresses)

    def known(self) -> list[str]:
        return self._transport.known()
