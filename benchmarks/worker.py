"""One node as a process, driven by JSON lines: the real engine, store, sealing and links, and nothing in their place.

    python -m benchmarks.worker [--count] HOME [LINK...]

With links it serves at once. Commands on standard input, each an object with "do":

    serve {links}                    become a node on these specs
    announce                         from now on tell of each message that comes
    send {to, text}                  as Node.send; {"said": "sent", "id", "called_at", "returned_at"}
    send_many {to, text, count}      {"said": "sent_many", "cpu_s", "seconds"}
    frames                           sizes of frames since the last time, received ones negative (needs --count)
    held                             {"said": "held", "entries", "arrived"}
    stop

On standard output, each with "said" and "at", the seconds of CLOCK_MONOTONIC, which all processes of a machine share:
`opened`, `ready` (addresses), `joined`, `left`, `level`, `arrived` (kind "text" or "receipts", and message ids), and
the answers above.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence

import anyio
from anyio.abc import TaskGroup

from beepmesh.events import LevelReached, MessageArrived, MessageDelivered, PeerJoined, PeerLeft, Told
from beepmesh.messages.content import Receipts, content_id, decode_content
from beepmesh.node import Node, Text
from benchmarks.counted import CountedTransport
from transports.link import Transport
from transports.specs import parse

_READ_BYTES = 65_536


class Worker:
    """Says what its node does, does what it is told."""

    def __init__(self, node: Node, tasks: TaskGroup, *, counting: bool) -> None:
        self._node = node
        self._tasks = tasks
        self._counting = counting
        self._counted: list[CountedTransport] = []
        self._arrived = 0
        self._announcing = False
        node.listen(self._hear)

    async def serve(self, links: Sequence[str]) -> None:
        transports: list[Transport] = [parse(spec) for spec in links]
        if self._counting:
            self._counted = [CountedTransport(transport) for transport in transports]
            transports = list(self._counted)
        await self._node.start(self._tasks, transports)
        say("ready", addresses=self._node.addresses())

    async def obey(self, order: dict[str, object]) -> bool:
        """Do one order; False for the last."""
        match order:
            case {"do": "serve", "links": list(links)}:
                await self.serve([str(link) for link in links])
            case {"do": "announce"}:
                self._announcing = True
            case {"do": "send", "to": str(to), "text": str(text)}:
                called_at = time.monotonic()
                sent = await self._node.send(to, Text(text))
                say("sent", id=sent.id, called_at=called_at, returned_at=time.monotonic())
            case {"do": "send_many", "to": str(to), "text": str(text), "count": int(count)}:
                await self._send_many(to, text, count)
            case {"do": "frames"}:
                sizes = [frame.size if frame.sent else -frame.size for one in self._counted for frame in one.frames]
                for one in self._counted:
                    one.frames.clear()
                say("frames", sizes=sizes)
            case {"do": "held"}:
                size = await self._node.act(self._node.home.store.size)
                say("held", entries=size.entries, arrived=self._arrived)
            case {"do": "stop"}:
                return False
            case _:
                raise AssertionError(order)
        return True

    async def _send_many(self, to: str, text: str, count: int) -> None:
        since, cpu_since = time.monotonic(), time.process_time()
        for _ in range(count):
            await self._node.send(to, Text(text))
        say("sent_many", cpu_s=time.process_time() - cpu_since, seconds=time.monotonic() - since)

    def _hear(self, told: Told) -> None:
        match told:
            case PeerJoined():
                say("joined")
            case PeerLeft(_, _, reason):
                say("left", reason=reason)
            case LevelReached():
                say("level")
            case MessageDelivered(message_id):
                if self._announcing:
                    say("arrived", kind="receipts", ids=[message_id.hex()])
            case MessageArrived(payload):
                self._arrived += 1
                if self._announcing:
                    at = time.monotonic()
                    content = decode_content(payload.content)
                    if isinstance(content, Receipts):
                        say("arrived", at, kind="receipts", ids=[item[0].hex() for item in content.items])
                    else:
                        say("arrived", at, kind="text", ids=[content_id(content).hex()])
            case _:
                pass  # What is told to people about joining concerns no workload.


def say(said: str, at: float | None = None, /, **more: object) -> None:
    """One line to whoever drives us."""
    sys.stdout.write(json.dumps({"said": said, "at": time.monotonic() if at is None else at, **more}) + "\n")
    sys.stdout.flush()


async def orders() -> AsyncIterator[dict[str, object]]:
    """Until standard input ends, which is how a worker learns that its driver is gone."""
    unread = b""
    while True:
        await anyio.wait_readable(sys.stdin)
        data = os.read(sys.stdin.fileno(), _READ_BYTES)
        if not data:
            return
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            order: dict[str, object] = json.loads(line)
            yield order


async def work(home: str, links: Sequence[str], *, counting: bool) -> None:
    async with Node.open(home, links=[]) as node, anyio.create_task_group() as tasks:
        worker = Worker(node, tasks, counting=counting)
        say("opened")
        if links:
            await worker.serve(links)
        async for order in orders():
            if not await worker.obey(order):
                break
        tasks.cancel_scope.cancel()


def main(arguments: Sequence[str]) -> None:
    counting = arguments[0] == "--count"
    home, *links = arguments[1:] if counting else arguments
    anyio.run(lambda: work(home, links, counting=counting))


if __name__ == "__main__":
    main(sys.argv[1:])
