"""One link as the shell holds it: what waits to leave, what has passed, and how it ends.

Law: a member who asks and never reads fills no memory and holds no link that was hung up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio

from beepmesh.metering import Meter
from transports.link import Link, LinkBroken

UNREAD_BYTES_MAX: Final = 16 * 1024 * 1024  # What waits for one link; the largest honest vector is 4 MB.
COUNTED_FAILURES: Final = frozenset(
    "too-many-links too-many-names accept-failed no-multicast odd-address odd-name"
    # On the way to a hub: a person can do something about these.
    " pin-wrong tls-date tls-name tls-unknown tls-failed captive-portal login-wanted proxy-login proxy-refused"
    " odd-proxy forbidden no-hub no-http hub-refused hub-unavailable swallowed slow-reader".split()
)
"""Of what transports count, what status shows: a dial that found nobody is a day's work."""
HANG_UP_S: Final = 5.0  # For last words, where the other end does not read: then the link ends without them.


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed on one link so far: entries, and bytes of frames without the transport's own."""

    sent_entries: int
    sent_bytes: int
    received_entries: int
    received_bytes: int


@dataclass(slots=True)
class Port:
    """The shell's end of a link. `scope` ends everything that works on it."""

    link: Link
    meter: Meter | None = None
    """The budget that this link is on."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    sent_bytes: int = 0
    received_bytes: int = 0
    _outgoing: deque[bytes | Callable[[], None]] = field(default_factory=deque)
    """Frames, and between them whom to tell when those before have left."""
    _unread_bytes: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False
    _writing: bool = False
    """Something is on its way between `_outgoing` and the link."""

    def __post_init__(self) -> None:
        if self.meter is not None:
            self.meter.opened()

    def received(self, frame: bytes) -> None:
        """One frame has come."""
        self.received_bytes += len(frame)
        if self.meter is not None:
            self.meter.passed(len(frame))

    def send(self, frames: Iterable[bytes]) -> bool:
        """Let frames leave in their order; False where too much waits already, and the link ends for that."""
        for frame in frames:
            if not self._outgoing and not self._writing and not self._closing and self.link.send_now(frame):
                self._passed(frame)
                continue
            self._outgoing.append(frame)
            self._unread_bytes += len(frame)
            self._wake.set()
        if self._unread_bytes <= UNREAD_BYTES_MAX or self.scope.cancel_called:
            return True
        self.scope.cancel()
        return False

    def tell_drained(self, tell: Callable[[], None]) -> None:
        """Call it once, when all frames given so far have left this process, as far as the link can tell."""
        self._outgoing.append(tell)
        self._wake.set()

    def hang_up(self) -> None:
        """End the link when what waits has left, or soon if it does not."""
        self._closing = True
        self.scope.deadline = anyio.current_time() + HANG_UP_S
        self._wake.set()

    async def write(self) -> None:
        """Send what waits until the link ends."""
        with suppress(LinkBroken):
            while True:
                self._writing = True
                while self._outgoing:
                    item = self._outgoing.popleft()
                    if not isinstance(item, bytes):
                        await self.link.drained()
                        item()
                        continue
                    self._passed(item)
                    await self.link.send(item)
                    self._unread_bytes -= len(item)
                self._writing = False
                if self._closing:
                    await self.link.aclose()
                    return
                self._wake.clear()
                await self._wake.wait()

    def _passed(self, frame: bytes) -> None:
        self.sent_bytes += len(frame)
        if self.meter is not None:
            self.meter.passed(len(frame))
