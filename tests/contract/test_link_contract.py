"""What every link must do, whatever it is made of. A new kind of link adds its factory to LINKS and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import anyio
import pytest

from tests.transports.certificates import certified
from transports.hub import HubListener, dial_hub
from transports.link import Link, LinkBroken, Oversize
from transports.memory import MemoryLink, memory_link_pair
from transports.tcp import ListenTransport, dial, host_port
from transports.tcp_link import TcpLink
from transports.tls import client_context

Pair: TypeAlias = tuple[Link, Link]
Links: TypeAlias = Callable[[], AbstractAsyncContextManager[Pair]]


@asynccontextmanager
async def memory_links() -> AsyncIterator[Pair]:
    near, far = memory_link_pair()
    yield near, far
    await near.aclose()


@asynccontextmanager
async def tcp_links() -> AsyncIterator[Pair]:
    accepted: list[Link] = []
    ready, done = anyio.Event(), anyio.Event()

    async def accept(link: Link) -> None:
        accepted.append(link)
        ready.set()
        await done.wait()

    listener = ListenTransport("127.0.0.1", 0)
    async with anyio.create_task_group() as group:
        await group.start(listener.serve, accept)
        near = await dial(*host_port(listener.addresses()[0]))
        await ready.wait()
        yield near, accepted[0]
        done.set()
        await near.aclose()
        group.cancel_scope.cancel()


@asynccontextmanager
async def hub_links() -> AsyncIterator[Pair]:
    """Real TLS on the loopback."""
    accepted: list[Link] = []
    ready, done = anyio.Event(), anyio.Event()

    async def accept(link: Link) -> None:
        accepted.append(link)
        ready.set()
        await done.wait()

    with certified() as (certificate, key, pin):
        listener = HubListener("127.0.0.1", 0, certificate, key)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, accept)
            host, port = host_port(listener.addresses()[0])
            near = await dial_hub(host, port, client_context(pin), pin)
            await ready.wait()
            yield near, accepted[0]
            done.set()
            await near.aclose()
            group.cancel_scope.cancel()


def cut(link: Link) -> None:
    """End the link as a pulled cable or a killed process does."""
    if isinstance(link, MemoryLink):
        link.cut()
    else:
        assert isinstance(link, TcpLink)
        link.break_off("cut")


LINKS: dict[str, Links] = {"memory": memory_links, "tcp": tcp_links, "hub": hub_links}


@pytest.fixture(params=list(LINKS))
def links(request: pytest.FixtureRequest) -> Links:
    return LINKS[request.param]


def run(links: Links, story: Callable[[Link, Link], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(20):
            async with links() as (near, far):
                await story(near, far)

    anyio.run(main)


def test_what_is_sent_without_waiting_keeps_its_place_and_is_declined_when_too_much_waits(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        taken: list[int] = []
        sent = declined = 0
        async with anyio.create_task_group() as group:

            async def read() -> None:
                while True:
                    record = await far.receive()
                    taken.append(int.from_bytes(record[:4]))
                    if record[4:5] == b"!":
                        group.cancel_scope.cancel()

            while declined < 3 and sent < 2_000:
                record = sent.to_bytes(4) + b"." * 60_000
                if not near.send_now(record):
                    declined += 1
                    group.start_soon(read) if declined == 1 else None
                    await near.send(record)
                sent += 1
            assert declined == 3, "nobody read, and it was never too much"
            with pytest.raises(Oversize):
                near.send_now(b"")
            await near.send(sent.to_bytes(4) + b"!")
        assert taken == list(range(sent + 1))
        cut(near)
        assert not near.send_now(b"too late")

    run(links, story)


def test_records_arrive_whole_and_in_order(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        records = [bytes([number % 251]) * (1 + number * 37 % 3000) for number in range(500)]

        async def send_all() -> None:
            for record in records:
                await near.send(record)

        async with anyio.create_task_group() as group:
            group.start_soon(send_all)
            assert [await far.receive() for _ in records] == records

    run(links, story)


def test_every_size_up_to_the_largest_passes(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        for size in (1, 2, 223, 224, 225, 256, 8160, 8161, 65534, near.info.record_bytes_max):
            record = bytes(index % 256 for index in range(size))
            await near.send(record)
            assert await far.receive() == record
            await far.send(record)
            assert await near.receive() == record

    run(links, story)


def test_an_empty_or_too_large_record_is_refused_and_the_link_goes_on(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        for record in (b"", bytes(near.info.record_bytes_max + 1)):
            with pytest.raises(Oversize):
                await near.send(record)
        await near.send(b"still here")
        assert await far.receive() == b"still here"

    run(links, story)


def test_a_sender_waits_for_a_slow_reader_and_nothing_is_lost(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        sent = 0
        record = bytes(60_000)

        async def send_all() -> None:
            nonlocal sent
            for _ in range(1_000):
                await near.send(record)
                sent += 1

        async with anyio.create_task_group() as group:
            group.start_soon(send_all)
            await anyio.wait_all_tasks_blocked()
            assert sent < 1_000  # 60 MB do not fit in our buffers and the kernel's together.
            for _ in range(1_000):
                assert await far.receive() == record
        assert sent == 1_000

    run(links, story)


def test_both_directions_work_at_once(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        async def send_all(link: Link) -> None:
            for number in range(2_000):
                await link.send(number.to_bytes(4, "big") * 200)

        async def receive_all(link: Link) -> None:
            for number in range(2_000):
                assert (await link.receive())[:4] == number.to_bytes(4, "big")

        async with anyio.create_task_group() as group:
            for link in (near, far):
                group.start_soon(send_all, link)
                group.start_soon(receive_all, link)

    run(links, story)


def test_the_other_side_reads_everything_and_then_sees_the_close(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        await far.send(b"never read")  # Unread bytes at the closing side must not reset the connection.
        for number in range(100):
            await near.send(bytes([number]) * 500)
        async with anyio.create_task_group() as group:
            group.start_soon(near.aclose)
            for number in range(100):
                assert await far.receive() == bytes([number]) * 500
            with pytest.raises(LinkBroken, match="closed-there"):
                await far.receive()
        assert far.broken == "closed-there"
        assert near.broken == "closed-here"

    run(links, story)


def test_after_the_end_send_and_receive_say_broken_again_and_again(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        await near.aclose()
        with pytest.raises(LinkBroken):
            await far.receive()
        for _ in range(2):
            for link in (near, far):
                with pytest.raises(LinkBroken):
                    await link.send(b"late")
                with pytest.raises(LinkBroken):
                    await link.receive()
        await near.aclose()
        await far.aclose()

    run(links, story)


def test_iterating_ends_quietly_with_the_link(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        await near.send(b"one")
        async with anyio.create_task_group() as group:
            group.start_soon(near.send_eof)
            assert [record async for record in far] == [b"one"]

    run(links, story)


def test_an_abrupt_end_wakes_a_waiting_receiver_and_a_waiting_sender(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        reasons: list[str] = []

        async def wait_for_record() -> None:
            try:
                await near.receive()
            except LinkBroken as broken:
                reasons.append(broken.reason)

        async def send_until_broken() -> None:
            try:
                while True:
                    await far.send(bytes(60_000))
                    await anyio.lowlevel.checkpoint()
            except LinkBroken as broken:
                reasons.append(broken.reason)

        async def wait_in_vain() -> None:
            try:
                while True:
                    await near.send(bytes(60_000))
            except LinkBroken as broken:
                reasons.append(broken.reason)

        async with anyio.create_task_group() as group:
            group.start_soon(wait_for_record)
            group.start_soon(wait_in_vain)
            await anyio.wait_all_tasks_blocked()
            cut(far)
            group.start_soon(send_until_broken)
        assert len(reasons) == 3
        assert set(reasons) <= {"cut", "reset", "closed-there", "cut-short"}

    run(links, story)


def test_a_cancelled_receive_loses_no_record(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        with anyio.move_on_after(0):
            await far.receive()
        async with anyio.create_task_group() as group:
            group.start_soon(far.receive)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await near.send(b"kept")
        assert await far.receive() == b"kept"

    run(links, story)


def test_a_send_cancelled_while_waiting_has_sent_nothing(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        filler, sent = bytes(60_000), 0

        async def fill() -> None:
            nonlocal sent
            while True:
                await near.send(filler)
                sent += 1

        async with anyio.create_task_group() as group:
            group.start_soon(fill)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        async with anyio.create_task_group() as group:
            group.start_soon(near.send, b"after")
            for _ in range(sent):
                assert await far.receive() == filler
            assert await far.receive() == b"after"

    run(links, story)


def test_what_was_sent_has_left_when_the_link_has_drained(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        received = 0

        async def receive_all() -> None:
            nonlocal received
            async for record in far:
                received += len(record)

        async with anyio.create_task_group() as group:
            group.start_soon(receive_all)
            for _ in range(100):
                await near.send(bytes(60_000))
            await near.send(b"last")
            await near.drained()
            cut(near)  # Takes with it whatever is still here.
        assert received == 6_000_004

    run(links, story)


def test_a_link_that_has_ended_does_not_pass_for_drained(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        cut(near)
        for link in (near, far):
            with pytest.raises(LinkBroken):
                await link.receive()
            with pytest.raises(LinkBroken):
                await link.drained()

    run(links, story)


def test_one_side_dialled_and_both_say_what_they_cost(links: Links) -> None:
    async def story(near: Link, far: Link) -> None:
        assert near.info.dialled
        assert not far.info.dialled
        for link in (near, far):
            assert link.info.address
            assert 1 <= link.info.record_bytes_max <= 65_535
            assert link.info.estimate_bytes_per_s > 0
            assert not link.broken

    run(links, story)
