"""Nodes in one process over links in memory: what people send arrives, through others, and is known to have arrived."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from beepmesh import desk
from beepmesh.errors import UnknownName
from beepmesh.node import Node, Text
from beepmesh.testing import make_homes, mesh

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def until(node: Node, true: Callable[[], bool]) -> None:
    """Wait for something to become true on that node; it is looked at whenever the node tells of anything."""
    with node.changes() as changed, anyio.fail_after(20):
        while not await node.act(true):
            with anyio.move_on_after(0.1):
                await changed()


async def send(node: Node, who: str, text: str) -> str:
    return (await node.act(desk.send, node.home, who, text, now_ms=now_ms())).id


def knows(node: Node, name: str) -> Callable[[], bool]:
    """Whether the node could seal to that person now."""
    return lambda: any(one.name == name and one.reachable for one in desk.people(node.home, now_ms=now_ms()))


async def test_a_message_crosses_a_colleague_and_its_receipt_comes_back(tmp_path: Path) -> None:
    async with mesh(tmp_path, "Ayesha", "Dawood", "Bilal", line=True) as (ayesha, dawood, bilal):
        await until(ayesha, knows(ayesha, "Bilal"))
        sent = await send(ayesha, "Bilal", "Bridge at Kund is out.")

        def texts() -> list[str]:
            return [message.text for message in desk.inbox(bilal.home, now_ms=now_ms()).messages]

        await until(bilal, lambda: texts() == ["Bridge at Kund is out."])
        await until(ayesha, lambda: desk.show(ayesha.home, sent, now_ms=now_ms()).lines[0].state == "read")
        assert await dawood.act(lambda: desk.inbox(dawood.home, now_ms=now_ms()).messages) == ()


async def test_what_the_block_raises_comes_out_as_itself(tmp_path: Path) -> None:
    (path,) = make_homes(tmp_path, "Ayesha")
    with pytest.raises(UnknownName):
        async with Node.open(path, links=["listen:127.0.0.1:0"]) as node:
            await node.send("Nobody", Text("Is anybody there?"))
