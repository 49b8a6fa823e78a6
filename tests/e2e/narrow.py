"""A narrow path on the loopback: a relay that lets so many bytes a second through, late, and is cut at will."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

BYTES_PER_S: Final = 50_000 / 8
DELAY_S: Final = 0.3
"""One way: 600 ms there and back."""
PIECE_BYTES: Final = 1_400


class NarrowPath:
    """Each direction of each connection is as slow as the path; `cut` ends all, and nobody gets through until `mend`.

    What is on its way when it is cut is lost, as it is with a modem that loses its cell.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._is_whole = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self.carried_bytes = 0
        self.port = 0

    def cut(self) -> None:
        self._is_whole = False
        self._loop.call_soon_threadsafe(self._abort)

    def mend(self) -> None:
        self._is_whole = True

    async def _serve(self, ready: threading.Event, over: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        server.close()
        self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_whole:
            writer.transport.abort()
            return
        try:
            back, there = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there}
        self._writers |= both
        await asyncio.gather(self._carry(reader, there), self._carry(back, writer), return_exceptions=True)
        for one in both:
            one.transport.abort()
        self._writers -= both

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        free_at = 0.0
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(16)

        async def arrive() -> None:
            while True:
                at, data = await waiting.get()
                await asyncio.sleep(at - loop.time())
                if not data:
                    target.transport.abort()
                    return
                target.write(data)
                await target.drain()
                self.carried_bytes += len(data)

        arriving = asyncio.create_task(arrive())
        try:
            while data := await source.read(PIECE_BYTES):
                free_at = max(free_at, loop.time()) + len(data) / BYTES_PER_S
                await asyncio.sleep(free_at - loop.time())
                await waiting.put((free_at + DELAY_S, data))
            await waiting.put((loop.time() + DELAY_S, b""))
            await arriving
        finally:
            arriving.cancel()


@contextmanager
def narrow_path(target: str) -> Iterator[NarrowPath]:
    path, ready, over = NarrowPath(target), threading.Event(), asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(path._loop)
        path._loop.run_until_complete(path._serve(ready, over))
        left = asyncio.all_tasks(path._loop)
        path._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        path._loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield path
    finally:
        path._loop.call_soon_threadsafe(over.set)
        thread.join(10)
