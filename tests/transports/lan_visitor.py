"""A node that only says its name over each link and prints what it sees, one JSON object a line.

`python lan_visitor.py NAME SPEC [REMEMBERED ADDRESS...]`; the tests start it on hosts of their own. Like a real node it
closes the second link to a peer it is already linked to.
"""

from __future__ import annotations

import json
import sys

import anyio

from transports.link import Link, LinkBroken
from transports.specs import parse

linked: set[str] = set()


def say(event: str, **facts: str) -> None:
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


async def visit(link: Link) -> None:
    await link.send(sys.argv[1].encode())
    peer = (await link.receive()).decode()
    link.established(peer)
    if peer in linked:
        say("duplicate", peer=peer)
        return
    linked.add(peer)
    say("linked", peer=peer, address=link.info.address)
    try:
        while True:
            await link.receive()
    except LinkBroken as broken:
        say("ended", peer=peer, reason=broken.reason)
    finally:
        linked.discard(peer)


async def main() -> None:
    transport = parse(sys.argv[2])
    transport.remember(sys.argv[3:])
    async with anyio.create_task_group() as group:
        await group.start(transport.serve, visit)
        say("ready")


if __name__ == "__main__":
    anyio.run(main)
