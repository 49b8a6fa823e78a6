"""A day's budget on real homes: what is urgent passes, the rest waits, and a restart forgets nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from anyio.abc import TaskStatus

from beepmesh import standing
from beepmesh.home import Home
from beepmesh.metering import METER_NAME, Meter
from beepmesh.node import Node
from tests.test_shell import known_homes, now_ms, send, texts, until
from transports.link import Link, Welcome
from transports.memory import MemoryNetwork, MemoryTransport

pytestmark = pytest.mark.anyio
LIMIT_KILOBYTES = 50
SMALL = "The ford is deep."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Metered:
    """Links in memory that cost money."""

    def __init__(self, inner: MemoryTransport) -> None:
        self._inner = inner
        self.spec = inner.spec
        self.failures = inner.failures

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        async def metered(link: Link) -> None:
            link.info = replace(link.info, metered=True)
            await handler(link)

        await self._inner.serve(metered, task_status=task_status)

    def addresses(self) -> list[str]:
        return self._inner.addresses()

    def remember(self, addresses: Iterable[str]) -> None:
        self._inner.remember(addresses)

    def known(self) -> list[str]:
        return self._inner.known()


@asynccontextmanager
async def over_a_metered_link(folder: Path) -> AsyncIterator[tuple[Node, Node]]:
    paths = await known_homes(folder, "Ayesha", "Bilal")
    (paths[0] / "config.toml").write_text(f"[links]\nmetered_kilobytes_per_day = {LIMIT_KILOBYTES}\n")
    network = MemoryNetwork()
    nodes = [Node(await to_thread.run_sync(Home.open, path)) for path in paths]
    async with anyio.create_task_group() as tasks:
        await nodes[0].start(tasks, [Metered(network.transport("0"))])
        await nodes[1].start(tasks, [network.transport("1")])
        network.connect("0", "1")
        try:
            yield nodes[0], nodes[1]
        finally:
            tasks.cancel_scope.cancel()
    for node in nodes:
        node.home.close()


async def test_what_is_urgent_passes_when_the_day_is_used_up_and_the_rest_waits(tmp_path: Path) -> None:
    async with over_a_metered_link(tmp_path) as (ayesha, bilal):
        await send(ayesha, "Bilal", SMALL)
        await until(bilal, lambda: texts(bilal) == [SMALL])
        ayesha._meter.passed(LIMIT_KILOBYTES * 1_000)
        await send(ayesha, "Bilal", "It waits.")
        await send(ayesha, "Bilal", "The school is under water.", priority="sos")
        await until(bilal, lambda: "The school is under water." in texts(bilal))
        await until(ayesha, lambda: ayesha._meter.withheld)
        assert "It waits." not in texts(bilal)

        await ayesha._keep_meter()
        (said,) = [one for one in standing.status(ayesha.home, now_ms=now_ms()).troubles if "metered" in one]
        assert "messages" in said

        ayesha._meter.day -= 1  # A new day comes.
        await ayesha._keep_meter()
        await until(bilal, lambda: "It waits." in texts(bilal))


async def test_what_has_passed_is_known_after_a_restart(tmp_path: Path) -> None:
    async with over_a_metered_link(tmp_path) as (ayesha, bilal):
        await send(ayesha, "Bilal", SMALL)
        await until(bilal, lambda: texts(bilal) == [SMALL])
        spent = ayesha._meter.spent_bytes
        path = ayesha.home.path
    with Home.open(path) as home:
        kept = Meter(1, home.store.get(METER_NAME) or b"")
    assert kept.spent_bytes >= spent > len(SMALL)
