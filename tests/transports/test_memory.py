"""The network in memory: who hears whom, at any time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from tests.transports.arrivals import Arrivals
from transports.link import LinkBroken
from transports.memory import BUFFER_BYTES_MAX, MemoryNetwork, memory_link_pair


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(10):
            await story()

    anyio.run(main)


def test_connected_nodes_get_one_link_and_others_none() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        nodes = {name: Arrivals() for name in ("ayesha", "dawood", "bilal")}
        network.connect("ayesha", "dawood")
        async with anyio.create_task_group() as group:
            for name, arrivals in nodes.items():
                await group.start(network.transport(name).serve, arrivals)
            one, other = await nodes["ayesha"].next(), await nodes["dawood"].next()
            assert (one.info.address, other.info.address) == ("dawood", "ayesha")
            assert one.info.dialled is not other.info.dialled
            network.connect("dawood", "bilal")
            assert (await nodes["bilal"].next()).info.address == "dawood"
            assert network.link_between("ayesha", "bilal") is None
            assert [node.count for node in nodes.values()] == [1, 2, 1]
            group.cancel_scope.cancel()

    run(story)


def test_disconnecting_cuts_and_connecting_links_again() -> None:
    async def story() -> None:
        network = MemoryNetwork(everyone=False)
        here, there = Arrivals("there"), Arrivals("here")
        async with anyio.create_task_group() as group:
            await group.start(network.transport("here").serve, here)
            await group.start(network.transport("there").serve, there)
            network.connect("here", "there")
            first = await here.next()
            network.disconnect("here", "there")
            assert first.broken == "cut"
            network.connect("here", "there")
            assert not (await here.next()).broken
            group.cancel_scope.cancel()

    run(story)


def test_nodes_still_connected_meet_again_when_a_link_ends() -> None:
    async def story() -> None:
        network = MemoryNetwork(everyone=True)
        here, there = Arrivals("there"), Arrivals("here")
        async with anyio.create_task_group() as group:
            for arrivals in (here, there):
                await group.start(network.transport().serve, arrivals)
            for _ in range(3):
                await (await here.next()).send(b"hang up")
            await here.next()
            group.cancel_scope.cancel()

    run(story)


def test_a_node_that_stops_serving_ends_its_links() -> None:
    async def story() -> None:
        network = MemoryNetwork(everyone=True)
        here, there = Arrivals(), Arrivals()
        async with anyio.create_task_group() as group:
            await group.start(network.transport("here").serve, here)
            async with anyio.create_task_group() as other:
                await other.start(network.transport("there").serve, there)
                link = await here.next()
                other.cancel_scope.cancel()
                await here.until(lambda: link not in here.living)
                assert link.broken == "closed-there"
            async with anyio.create_task_group() as other:
                await other.start(network.transport("there").serve, there)
                assert not (await here.next()).broken
                other.cancel_scope.cancel()
            group.cancel_scope.cancel()

    run(story)


def test_a_cut_loses_what_is_under_way_and_a_close_does_not() -> None:
    async def story() -> None:
        near, far = memory_link_pair()
        await near.send(b"under way")
        near.cut()
        try:
            await far.receive()
        except LinkBroken as broken:
            reason = broken.reason
        else:
            reason = "nothing"
        assert reason == "cut"
        near, far = memory_link_pair()
        await near.send(b"sent")
        await near.aclose()
        assert await far.receive() == b"sent"

    run(story)


def test_the_buffer_has_an_end() -> None:
    async def story() -> None:
        near, far = memory_link_pair()
        for _ in range(BUFFER_BYTES_MAX // 4096):
            await near.send(bytes(4096))
        with anyio.move_on_after(0.01) as scope:
            await near.send(b"one too many")
        assert scope.cancelled_caught
        assert not far.broken

    run(story)


def test_a_link_has_drained_when_the_other_side_has_read_everything_and_not_before() -> None:
    async def story() -> None:
        near, far = memory_link_pair()
        await near.drained()
        await near.send(b"one")
        await near.send(b"two")
        drained = False

        async def drain() -> None:
            nonlocal drained
            await near.drained()
            drained = True

        async with anyio.create_task_group() as group:
            group.start_soon(drain)
            await far.receive()
            await anyio.wait_all_tasks_blocked()
            assert not drained
            await far.receive()
        assert drained

    run(story)
