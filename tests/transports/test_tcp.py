"""Dialling, accepting, and what a stranger cannot do to either. Loopback only."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from tests.transports.arrivals import Arrivals, until
from transports import listening, tcp
from transports.framing import frame
from transports.link import RECORD_BYTES_MAX, Link, LinkBroken, keep
from transports.listening import Listener, bind
from transports.tcp import DialTransport, ListenTransport, dial, host_port
from transports.tcp_link import TCP_INFO, WRITE_NOW_BYTES, TcpLink, address_text


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(30):
            await story()

    anyio.run(main)


def test_a_dialler_returns_when_its_listener_restarts() -> None:
    async def story() -> None:
        arrived, dialled = Arrivals(), Arrivals()
        with bind("127.0.0.1", 0)[0] as sock:
            host, port = sock.getsockname()
        dialler = DialTransport(host, port, random.Random(1))
        async with anyio.create_task_group() as dialling:
            await dialling.start(dialler.serve, dialled)
            for _ in range(2):
                await until(lambda: dialler.failures["refused"] > 0)
                listener = ListenTransport(host, port)
                async with anyio.create_task_group() as listening:
                    await listening.start(listener.serve, arrived)
                    assert listener.addresses() == [f"{host}:{port}"]
                    await (await arrived.next()).send(b"hello")
                    assert not (await dialled.next()).broken
                    dialler.failures.clear()
                    listening.cancel_scope.cancel()
                assert listener.addresses() == []
            dialling.cancel_scope.cancel()

    run(story)


def test_the_wait_between_attempts_doubles_to_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def no_sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 14:
            raise KeyboardInterrupt  # The way out of an endless loop.

    async def refuse(targets: list[str], failures: Counter[str]) -> tuple[None, str]:
        assert targets == ["192.0.2.1:1"]
        failures["refused"] += 1
        return None, ""

    monkeypatch.setattr(anyio, "sleep", no_sleep)
    monkeypatch.setattr(tcp, "dial_any", refuse)
    dialler = DialTransport("192.0.2.1", 1, random.Random(2))
    with pytest.raises(KeyboardInterrupt):
        anyio.run(dialler.serve, Arrivals())
    assert 0.1 <= waits[0] <= 0.3
    for index, wait in enumerate(waits):
        middle = min(tcp.RETRY_S * 2**index, tcp.RETRY_S_MAX)
        assert middle * 0.5 <= wait <= middle * 1.5
    assert dialler.failures == Counter({"refused": 14})


def test_more_silent_connections_than_a_host_may_have_are_closed_and_others_still_get_in() -> None:
    async def story() -> None:
        arrived = Arrivals()
        listener = ListenTransport("127.0.0.1", 0)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, arrived)
            host, port = host_port(listener.addresses()[0])
            flood = [await anyio.connect_tcp(host, port) for _ in range(listening.HALF_OPEN_PER_HOST_MAX + 5)]
            await until(lambda: listener.failures["too-many-links"] == 5)
            assert len(arrived.living) == listening.HALF_OPEN_PER_HOST_MAX
            await flood[0].send(frame(b"a first record"))  # One that speaks makes room for one more.
            await arrived.until(lambda: arrived.records == [b"a first record"])
            async with await anyio.connect_tcp(host, port) as late:
                await late.send(frame(b"me too"))
                await arrived.until(lambda: arrived.count == listening.HALF_OPEN_PER_HOST_MAX + 1)
            for stream in flood:
                await stream.aclose()
            await arrived.until(lambda: not arrived.living)
            group.cancel_scope.cancel()

    run(story)


def test_there_is_a_most_of_links_and_room_again_when_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOCAL", listening.Bounds(links_max=2))

    async def story() -> None:
        arrived = Arrivals()
        listener = ListenTransport("127.0.0.1", 0)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, arrived)
            host, port = host_port(listener.addresses()[0])
            one, two = await dial(host, port), await dial(host, port)
            await arrived.until(lambda: arrived.count == 2)
            refused = await dial(host, port)
            with pytest.raises(LinkBroken):
                await refused.receive()
            await one.aclose()
            await arrived.until(lambda: len(arrived.living) == 1)
            three = await dial(host, port)
            await arrived.until(lambda: arrived.count == 3)
            for link in (refused, two, three):
                await link.aclose()
            group.cancel_scope.cancel()
        assert listener.failures["too-many-links"] == 1

    run(story)


def test_a_connection_that_never_speaks_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOCAL", listening.Bounds(first_record_s=0.05))

    async def story() -> None:
        arrived = Arrivals()
        listener = ListenTransport("127.0.0.1", 0)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, arrived)
            host, port = host_port(listener.addresses()[0])
            speaking = await dial(host, port)
            await speaking.send(b"hello")
            silent = await dial(host, port)
            with pytest.raises(LinkBroken):
                await silent.receive()
            assert listener.failures == Counter({"silent": 1})
            assert len(arrived.living) == 1
            await speaking.aclose()
            await silent.aclose()
            group.cancel_scope.cancel()

    run(story)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [(b"\xff\xff\xff", "malformed"), (frame(bytes(300))[:9], "cut-short"), (frame(b"fine"), "closed-there")],
)
def test_what_comes_before_a_broken_stream_is_delivered_and_the_break_has_its_reason(
    stream: bytes, reason: str
) -> None:
    async def story() -> None:
        arrived: list[Link] = []
        received: list[bytes] = []
        done = anyio.Event()

        async def read(link: Link) -> None:
            arrived.append(link)
            received.extend([record async for record in link])
            done.set()

        listener = ListenTransport("127.0.0.1", 0)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, read)
            async with await anyio.connect_tcp(*host_port(listener.addresses()[0])) as client:
                await client.send(frame(b"good") + stream)
                await client.send_eof()
                await done.wait()
            group.cancel_scope.cancel()
        assert received[0] == b"good"
        assert arrived[0].broken == reason
        assert listener.failures[reason] == (reason != "closed-there")

    run(story)


def test_a_reset_connection_is_reported_as_one() -> None:
    async def story() -> None:
        arrived = Arrivals()
        listener = ListenTransport("127.0.0.1", 0)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, arrived)
            link = await dial(*host_port(listener.addresses()[0]))
            await link.send(b"hello")
            other = await arrived.next()
            # With linger 0 the kernel forgets the connection and answers what comes with a reset, as after a crash.
            link._wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.break_off("cut")
            await arrived.until(lambda: not arrived.living)
            assert other.broken == "reset"
            assert listener.failures == Counter({"reset": 1})
            group.cancel_scope.cancel()

    run(story)


def test_closing_a_link_that_was_reset_in_this_very_moment_raises_nothing() -> None:
    async def story() -> None:
        arrived = Arrivals()
        listener = ListenTransport("127.0.0.1", 0)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, arrived)
            with socket.create_connection(host_port(listener.addresses()[0])) as stranger:
                stranger.sendall(frame(b"hello"))
                link = await arrived.next()
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await link.aclose()  # The loop has not run since: it has not heard of the reset.
            assert link.broken == "closed-here"
            await arrived.until(lambda: not arrived.living)
            group.cancel_scope.cancel()

    run(story)


class ShortOfDescriptors(socket.socket):
    """A listening socket whose first accepts fail as they do when the process has no file descriptor left."""

    failing = 3

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@pytest.mark.parametrize("loop_knows_readers", [True, False])
def test_accepting_survives_the_want_of_file_descriptors(
    monkeypatch: pytest.MonkeyPatch, loop_knows_readers: bool
) -> None:
    monkeypatch.setattr(listening, "ACCEPT_RETRY_S", 0.01)

    def no_readers(*_: object) -> None:
        raise NotImplementedError

    async def story() -> None:
        if not loop_knows_readers:
            monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", no_readers)
        sock = ShortOfDescriptors()
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        failures: Counter[str] = Counter()
        arrived = Arrivals()

        async def serve_link(link: TcpLink) -> None:
            await keep(link, arrived, failures)

        async with anyio.create_task_group() as group:
            group.start_soon(Listener([sock], TCP_INFO, failures, serve_link, make=TcpLink).serve)
            link = await dial(*sock.getsockname())
            await arrived.next()
            assert failures == Counter({"accept-failed": 3})
            await link.aclose()
            group.cancel_scope.cancel()

    run(story)


def test_records_queued_in_one_turn_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        writes: list[bytes] = []
        listener = bind("127.0.0.1", 0)[0]
        with listener:
            link = await dial(*listener.getsockname())
            monkeypatch.setattr(link._wire, "write", writes.append)
            for number in range(50):
                await link.send(bytes([number]) * 20)
            await until(lambda: bool(writes))
            assert writes == [b"".join(frame(bytes([number]) * 20) for number in range(50))]
            link.break_off("cut")

    run(story)


def test_what_the_kernel_has_not_taken_keeps_the_next_record_back_and_the_link_from_having_drained() -> None:
    async def story() -> None:
        listener = bind("127.0.0.1", 0)[0]
        with listener:
            link = await dial(*listener.getsockname())
            done: list[str] = []

            async def drain() -> None:
                await link.drained()
                done.append("drained")

            async def send_one_more() -> None:
                await link.send(b"one more")
                done.append("sent")

            for _ in range(500):  # 30 MB, which nobody reads.
                with anyio.move_on_after(0):
                    await link.send(bytes(60_000))
            async with anyio.create_task_group() as group:
                group.start_soon(drain)
                group.start_soon(send_one_more)
                await anyio.wait_all_tasks_blocked()
                assert done == []
                assert 0 < link._wire.get_write_buffer_size() <= WRITE_NOW_BYTES + RECORD_BYTES_MAX
                accepted, _ = listener.accept()
                with accepted:
                    accepted.setblocking(False)
                    while len(done) < 2:
                        with suppress(BlockingIOError):
                            accepted.recv(1 << 20)
                        await anyio.lowlevel.checkpoint()
            link.break_off("cut")

    run(story)


def test_a_link_whose_peer_closed_while_something_was_unsent_is_closed_like_any_other() -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            link = await dial(*server.getsockname())
            peer, _ = server.accept()
            with peer:
                while link._writable.is_set():
                    await link.send(bytes(RECORD_BYTES_MAX))
                    link._write()
                peer.shutdown(socket.SHUT_WR)
                await until(lambda: bool(link.broken))
                peer.setblocking(False)
                while not link._gone.is_set():
                    with suppress(BlockingIOError):
                        peer.recv(1 << 20)
                    await anyio.lowlevel.checkpoint()
            await link.aclose()
            link.break_off("late")
            assert link.broken == "closed-there"

    run(story)


def test_the_socket_is_set_for_small_records_and_dead_paths() -> None:
    async def story() -> None:
        listener = bind("127.0.0.1", 0)[0]
        with listener:
            link = await dial(*listener.getsockname())
            sock = link._wire.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 90
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 4096
            link.break_off("cut")

    run(story)


def test_an_empty_host_listens_on_every_family_with_one_port() -> None:
    sockets = bind("", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert sockets[0].family == socket.AF_INET
        assert len({sock.family for sock in sockets}) == len(sockets)
    finally:
        for sock in sockets:
            sock.close()


def test_an_address_that_is_not_ours_cannot_be_listened_on() -> None:
    with pytest.raises(OSError, match="assign|available"):
        bind("192.0.2.254", 0)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[fe80::1%eth0]:7337", ("fe80::1%eth0", 7337)),
        ("hq.example.org:443", ("hq.example.org", 443)),
        ("10.0.0.1", ("10.0.0.1", 7)),
        ("fe80::1", ("fe80::1", 7)),
        ("[fe80::1]", ("fe80::1", 7)),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, parsed: tuple[str, int]) -> None:
    assert host_port(text, 7) == parsed
    assert host_port(address_text(parsed)) == parsed


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:x", "host:99999", "[::1", "host:-1", "host:١"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no"):
        host_port(text)
