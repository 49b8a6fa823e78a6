"""Hearing that another process has committed: LISTEN on a connection of its own, in a thread of its own.

It only saves waiting: who is called looks by change numbers what is new, and looks now and then without being called.
Whenever the line comes back it calls, because something may have been said meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from beepmesh.store.postgres import CHANNEL, Address, is_lost

_LOOK_S: Final = 2.0  # Whether the line still stands: a host that vanished does not say so.
_AGAIN_S: Final = 0.25


@contextmanager
def hearing(address: Address, is_own: Callable[[int], bool], call: Callable[[], None]) -> Iterator[None]:
    """`is_own(pid)`: whether that process of the server's works for us, of which we need not hear."""
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(_listen(address, is_own, call, stopped)), name="beepmesh-hearing"
    )
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


async def _listen(
    address: Address, is_own: Callable[[int], bool], call: Callable[[], None], stopped: asyncio.Event
) -> None:
    def heard(_: object, pid: int, *__: object) -> None:
        if not is_own(pid):
            call()

    while not stopped.is_set():
        connection: Any = None
        try:
            connection = await address.connect()
            await connection.add_listener(CHANNEL, heard)
            call()
            while not await _is_set_within(stopped, _LOOK_S):
                await connection.execute("SELECT 1", timeout=_LOOK_S)
        except Exception as error:
            if not is_lost(error) and not hasattr(error, "sqlstate"):
                raise
            await _is_set_within(stopped, _AGAIN_S)
        finally:
            if connection is not None:
                connection.terminate()
                await asyncio.sleep(0)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
