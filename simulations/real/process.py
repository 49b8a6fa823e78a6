"""One node as a process: the product's own, told what to write, saying what comes.

    python -m simulations.real.process HOME LINK...

Orders on standard input, JSON objects, one a line: {"id", "to", "text", "priority"}, to be sent at once. It ends when
its input does. On standard output JSON objects with "said" and "at", the seconds of CLOCK_MONOTONIC, which all
processes of a machine share: `ready`, `joined` and `left` (peer), `sent` (id), `arrived` (id, of a text that begins
with it).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence

import anyio

from beepmesh import desk
from beepmesh.events import MessageArrived, PeerJoined, PeerLeft, Told
from beepmesh.messages.content import Text, decode_content
from beepmesh.node import Node

_READ_BYTES = 65_536


async def work(home: str, links: Sequence[str]) -> None:
    async with Node.open(home, links=links) as node:

        def hear(told: Told) -> None:
            match told:
                case PeerJoined(_, device):
                    say("joined", peer=_name(node, device))
                case PeerLeft(_, device):
                    say("left", peer=_name(node, device))
                case MessageArrived(payload):
                    content = decode_content(payload.content)
                    if isinstance(content, Text):
                        say("arrived", id=int(content.text.split(" ", 1)[0]))
                case _:
                    pass  # Levels and newcomers concern no trace.

        node.listen(hear)
        say("ready")
        async for order in _orders():
            send = str(order["to"]), str(order["text"])
            now_ms = time.time_ns() // 1_000_000
            await node.act(desk.send, node.home, *send, priority=str(order["priority"]), now_ms=now_ms)
            say("sent", id=order["id"])


def say(said: str, /, **more: object) -> None:
    sys.stdout.write(json.dumps({"said": said, "at": time.monotonic(), **more}) + "\n")
    sys.stdout.flush()


def _name(node: Node, device: bytes) -> str:
    known = node.home.roster.device(device)
    return "" if known is None else known.name


async def _orders() -> AsyncIterator[dict[str, object]]:
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


if __name__ == "__main__":
    anyio.run(work, sys.argv[1], sys.argv[2:])
