"""A handler for tests: collects the links a transport hands over and holds each until it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio

from transports.link import Link, LinkBroken


class Arrivals:
    """Pass it to `serve`; `await next()` for the next link. With `peer` it says at once who that is.

    A record "hang up" from the other side makes it return, which closes the link.
    """

    def __init__(self, peer: str | None = None) -> None:
        self._peer = peer
        self._new: deque[Link] = deque()
        self._changed = anyio.Event()
        self.living: list[Link] = []
        self.records: list[bytes] = []
        self.count = 0

    async def __call__(self, link: Link) -> None:
        self.count += 1
        self.living.append(link)
        self._new.append(link)
        if self._peer is not None:
            link.established(self._peer)
        self._wake()
        try:
            while True:
                self.records.append(await link.receive())
                self._wake()
                if self.records[-1] == b"hang up":
                    return
        except LinkBroken:
            return
        finally:
            self.living.remove(link)
            self._wake()

    async def next(self, within_s: float = 10) -> Link:
        """The oldest link not yet taken."""
        await self.until(lambda: bool(self._new), within_s)
        return self._new.popleft()

    async def until(self, true: Callable[[], bool], within_s: float = 10) -> None:
        """Wait until links have come or gone so that `true` holds."""
        with anyio.fail_after(within_s):
            while not true():
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def until(true: Callable[[], bool], within_s: float = 10) -> None:
    """Wait for what announces itself to nobody, such as a counter."""
    with anyio.fail_after(within_s):
        while not true():  # noqa: ASYNC110 - a counter has no event
            await anyio.sleep(0.005)
