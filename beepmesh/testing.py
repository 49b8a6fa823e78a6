"""A mesh inside one process, for embedders' tests and ours: real homes, real sealing, links in memory.

async with mesh(tmp_path, "Ayesha", "Dawood", "Bilal") as nodes:   # everybody hears everybody
    ...
async with mesh(tmp_path, "Ayesha", "Dawood", "Bilal", line=True) as nodes:   # each hears the next one only
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import anyio

from beepmesh.home import Home
from beepmesh.node import Node
from beepmesh.trust.enrol import JoinKeys, check_answer, check_request, grant, request
from beepmesh.trust.invite import Invitation
from beepmesh.trust.ticket import Offer, new_ticket
from transports.memory import MemoryNetwork

ORGANISATION: Final = "Flood Relief"


def make_homes(folder: Path, *names: str) -> list[Path]:
    """Homes of one organisation, without passphrases; the first is its founder's. No two know each other yet."""
    now_ms = time.time_ns() // 1_000_000
    paths = [folder / f"{number:02}" for number in range(len(names))]
    with Home.found(paths[0], ORGANISATION, names[0], None, now_ms) as founder:
        for path, name in zip(paths[1:], names[1:], strict=True):
            admit(founder, path, name, now_ms=now_ms).close()
    return paths


def admit(
    founder: Home, path: Path, name: str, *, now_ms: int, roles: tuple[str, ...] = ("field",), department: str = ""
) -> Home:
    """One more home, let in by the founder's without a link between them."""
    now_s = now_ms // 1_000
    offer = Offer(roles, department)
    ticket = new_ticket(founder.identity, offer, now_s=now_s, expires_s=now_s + 3_600, entropy=os.urandom)
    keys = JoinKeys.generate(os.urandom)
    asked = check_request(request(keys, name, ticket.id), ticket.id)
    granted = grant(founder.identity, ticket, asked, now_s=now_s, trusted_s=now_s, entropy=os.urandom)
    invitation = Invitation(founder.identity.org, ticket.secret, ticket.expires_s, ())
    return Home.admit(path, check_answer(granted.answer, invitation, keys), None, now_ms)


@asynccontextmanager
async def mesh(folder: Path, *names: str, line: bool = False) -> AsyncIterator[list[Node]]:
    """Running nodes, in the order of the names; they stop when the block ends."""
    network = MemoryNetwork()
    paths = await anyio.to_thread.run_sync(lambda: make_homes(folder, *names))
    nodes: list[Node] = []
    async with anyio.create_task_group() as tasks:
        for number, path in enumerate(paths):
            node = Node(await anyio.to_thread.run_sync(Home.open, path))
            nodes.append(node)
            tasks.start_soon(node.serve, [network.transport(str(number))])
        pairs = pairwise(range(len(nodes))) if line else ((a, b) for a in range(len(nodes)) for b in range(a))
        for one, other in pairs:
            network.connect(str(one), str(other))
        try:
            yield nodes
        finally:
            tasks.cancel_scope.cancel()
    for node in nodes:
        node.home.close()
