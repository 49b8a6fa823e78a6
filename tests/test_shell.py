"""The shell on real homes and links in memory: a full disk, broken links, other processes on the home, and hurry."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from beepmesh import desk, shell
from beepmesh.errors import HomeProblem
from beepmesh.events import MessageArrived, PeerJoined, PeerLeft, Told
from beepmesh.home import Home
from beepmesh.messages.content import Text
from beepmesh.messages.lifetimes import LANE_MESSAGES, ROUTINE, TTL_DEFAULT
from beepmesh.node import Node
from beepmesh.posting import Posting, post
from beepmesh.store.contract import Batch, Place, ReadResult, StoreProblem
from beepmesh.testing import make_homes
from sync.logs import LogId
from tests.homes import meet
from transports.memory import MemoryLink, MemoryNetwork

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running(paths: list[Path], *, connected: bool = True) -> AsyncIterator[tuple[MemoryNetwork, list[Node]]]:
    """Nodes on these homes, named 0, 1, 2; everybody hears everybody."""
    network = MemoryNetwork()
    nodes = [Node(await to_thread.run_sync(Home.open, path)) for path in paths]
    async with anyio.create_task_group() as tasks:
        for number, node in enumerate(nodes):
            await node.start(tasks, [network.transport(str(number))])
        if connected:
            connect(network, len(nodes))
        try:
            yield network, nodes
        finally:
            tasks.cancel_scope.cancel()
    for node in nodes:
        node.home.close()


def connect(network: MemoryNetwork, count: int) -> None:
    for one in range(count):
        for other in range(one):
            network.connect(str(one), str(other))


async def known_homes(folder: Path, *names: str) -> list[Path]:
    """Homes that know each other already."""

    def make() -> list[Path]:
        paths = make_homes(folder, *names)
        homes = [Home.open(path) for path in paths]
        meet(*homes, now_ms=now_ms())
        for home in homes:
            home.close()
        return paths

    return await to_thread.run_sync(make)


async def until(node: Node, told: Callable[[], bool], within_s: float = 20) -> float:
    """Wait for something to be true of that node; how long it took."""
    begun = time.monotonic()
    with anyio.fail_after(within_s):
        while not await node.act(told):  # noqa: ASYNC110  # What is asked for lies on the disk, which tells no event.
            await anyio.sleep(0.01)
    return time.monotonic() - begun


def texts(node: Node) -> list[str]:
    return [shown.text for shown in desk.inbox(node.home, mark_read=False, now_ms=now_ms()).messages]


async def send(node: Node, who: str, text: str, *, priority: str = "routine") -> str:
    return (await node.act(desk.send, node.home, who, text, priority=priority, now_ms=now_ms())).id


def state(node: Node, message: str) -> str:
    return desk.show(node.home, message, now_ms=now_ms()).lines[0].state


def post_many(home: Home, who: str, count: int, size: int) -> None:
    """A backlog, in one transaction."""
    (person,) = home.roster.resolve(who, now_ms() // 1_000)
    postings = [
        Posting(
            Text(os.urandom(16), (person.person,), "", f"{number:04} {os.urandom(size // 2).hex()}", ROUTINE),
            (person.person,),
            LANE_MESSAGES,
            TTL_DEFAULT,
            ROUTINE,
        )
        for number in range(count)
    ]
    post(home, postings, now_ms())


# The disk.


async def test_a_full_disk_is_said_and_when_there_is_room_again_everything_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await known_homes(tmp_path, "Ayesha", "Bilal")) as (_, (ayesha, bilal)):
        await until(bilal, lambda: bool(bilal.peers))
        left: list[str] = []
        bilal.listen(lambda told: left.append(told.reason) if isinstance(told, PeerLeft) else None)
        with monkeypatch.context() as patch:
            patch.setattr(bilal.home.store, "commit", full)
            message = await send(ayesha, "Bilal", "The dam holds.")
            await until(bilal, lambda: "full" in bilal.disk_trouble)
            await until(bilal, lambda: "store-full" in left)
            assert await bilal.act(texts, bilal) == []
        await until(bilal, lambda: texts(bilal) == ["The dam holds."])
        await until(ayesha, lambda: state(ayesha, message) == "delivered")
        await until(bilal, lambda: bilal.disk_trouble == "")


def full(*_: object, **__: object) -> None:
    raise StoreProblem("full", "the home")


async def test_a_disk_that_cannot_be_read_ends_the_link_and_not_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = await known_homes(tmp_path, "Ayesha", "Bilal")
    async with running(paths, connected=False) as (network, (ayesha, bilal)):
        read, failures = ayesha.home.store.read, 2

        def failing(log: LogId, start: int, stop: int, /, *, bytes_max: int, with_prev: bool) -> ReadResult:
            nonlocal failures
            if failures:
                failures -= 1
                raise StoreProblem("damaged", "the home")
            return read(log, start, stop, bytes_max=bytes_max, with_prev=with_prev)

        monkeypatch.setattr(ayesha.home.store, "read", failing)
        await send(ayesha, "Bilal", "Read me.")
        connect(network, 2)
        await until(bilal, lambda: texts(bilal) == ["Read me."])
        assert failures == 0


async def test_what_a_command_wrote_is_not_forgotten_when_a_commit_fails_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = await known_homes(tmp_path, "Ayesha", "Bilal", "Dawood")
    monkeypatch.setattr(shell, "WATCH_S", 3600.0)
    async with running(paths) as (_, (ayesha, bilal, dawood)):
        await until(dawood, lambda: len(dawood.peers) == 2)
        await anyio.wait_all_tasks_blocked()
        with monkeypatch.context() as patch:
            patch.setattr(Home, "wake", lambda _: None)
            commit = dawood.home.store.commit

            def written_then_full(batch: Batch, **_: object) -> None:
                if batch.payloads:  # Ayesha's message: just now a command writes, and the disk is full.
                    with Home.open(paths[2]) as beside:
                        desk.send(beside, "Bilal", "From the command.", priority="urgent", now_ms=now_ms())
                    patch.setattr(dawood.home.store, "commit", commit)
                full()

            patch.setattr(dawood.home.store, "commit", written_then_full)
            await send(ayesha, "Dawood", "From the mesh.")
            await until(dawood, lambda: texts(dawood) == ["From the mesh."])
        await until(bilal, lambda: texts(bilal) == ["From the command."])


# Links that break.


async def test_a_link_that_is_cut_in_the_middle_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    paths = await known_homes(tmp_path, "Ayesha", "Bilal")
    async with running(paths, connected=False) as (network, (ayesha, bilal)):
        # So large that a window holds a fifth of them: a link that is cut when its first message came has more to give.
        await ayesha.act(post_many, ayesha.home, "Bilal", 120, 20_000)
        arrived: list[bytes] = []
        cut: list[MemoryLink] = []

        def heard(told: Told) -> None:
            if isinstance(told, MessageArrived):
                arrived.append(told.payload.message_id)
                link = network.link_between("0", "1")
                if len(cut) < 3 and link is not None:
                    link.cut()
                    cut.append(link)

        bilal.listen(heard)
        connect(network, 2)
        await until(bilal, lambda: len(set(arrived)) == 120)
        await until(ayesha, lambda: all(line.state == 1 for line in ayesha.home.store.unreceipted()))
        assert len(arrived) == 120
        assert len(cut) == 3
        numbers = [text[:4] for text in await bilal.act(texts, bilal)]
        assert sorted(numbers) == [f"{number:04}" for number in range(120)]


async def test_urgent_words_overtake_a_backlog(tmp_path: Path) -> None:
    paths = await known_homes(tmp_path, "Ayesha", "Bilal")
    async with running(paths, connected=False) as (network, (ayesha, bilal)):
        await ayesha.act(post_many, ayesha.home, "Bilal", 400, 4_000)
        began = anyio.Event()
        order: list[int] = []

        def heard(told: Told) -> None:
            if isinstance(told, MessageArrived):
                began.set()
                order.append(told.payload.lane)

        bilal.listen(heard)
        connect(network, 2)
        await began.wait()
        await send(ayesha, "Bilal", "Leave the valley now.", priority="sos")
        await until(bilal, lambda: len(order) == 401)
        # What was under way already may come before it: one window and what the store had read ahead.
        assert order.index(0) < 380


async def test_many_links_that_all_talk_at_once_are_all_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "QUEUE_MAX", 1)
    names = ("Ayesha", "Bilal", "Dawood", "Zara")
    paths = await known_homes(tmp_path, *names)
    async with running(paths, connected=False) as (network, nodes):
        for node in nodes[1:]:
            await node.act(post_many, node.home, "Ayesha", 20, 600)
        for number in (1, 2, 3):
            network.connect("0", str(number))
        await until(nodes[0], lambda: len(texts(nodes[0])) == 60)


# Others on the same home.


async def test_a_second_node_on_a_home_is_told_that_one_runs(tmp_path: Path) -> None:
    (path,) = await to_thread.run_sync(lambda: make_homes(tmp_path, "Ayesha"))
    async with running([path]):
        with pytest.raises(HomeProblem, match=str(os.getpid())):
            async with Node.open(path, links=["memory:"]):
                pass
        with Home.open(path) as home, pytest.raises(HomeProblem, match="runs on"):
            await Node(home).serve([])
        # Without links it is no second node: commands work beside the first.
        async with Node.open(path, links=[]) as node:
            assert node.people()
    async with Node.open(path, links=["memory:"]) as node:
        assert node.people()


@pytest.mark.parametrize("has_socket", [True, False])
async def test_what_a_command_writes_beside_a_running_node_is_pushed_soon(tmp_path: Path, has_socket: bool) -> None:
    folder = tmp_path if has_socket else tmp_path / ("long " * 30)
    paths = await known_homes(folder, "Ayesha", "Bilal")
    async with running(paths) as (_, (ayesha, bilal)):
        await until(bilal, lambda: bool(bilal.peers))
        assert ayesha.home.wake_path.exists() == has_socket

        def command() -> None:
            with Home.open(paths[0]) as beside:
                desk.send(beside, "Bilal", "Written beside it.", now_ms=now_ms())

        await to_thread.run_sync(command)
        # Without the socket the node looks once in WATCH_S; the rest is for a busy machine.
        took_s = await until(bilal, lambda: texts(bilal) == ["Written beside it."])
        assert took_s < (1.0 if has_socket else shell.WATCH_S + 1.0)


# What a power cut left.


async def test_a_message_that_waited_for_its_sender_opens_at_the_next_start_at_the_latest(tmp_path: Path) -> None:
    def half_done() -> list[Path]:
        """Bilal's store holds Ayesha's certificate and, unopened, the alert that came before it."""
        paths = make_homes(tmp_path, "Ayesha", "Bilal")
        with Home.open(paths[0]) as ayesha, Home.open(paths[1]) as bilal:
            meet(ayesha, bilal, now_ms=now_ms())
            desk.send(ayesha, "Bilal", "Leave now.", priority="urgent", now_ms=now_ms())
            log = LogId(ayesha.identity.feed, 0)
            entry = ayesha.store.entry(log, 1)
            assert entry is not None
            batch = Batch(entries=(entry,), pending_add=(Place(log.feed, 0, 1),))
            bilal.store.commit(batch, keys=bilal.keys(), now_ms=now_ms())
        return paths

    paths = await to_thread.run_sync(half_done)
    async with running(paths[1:]) as (_, (bilal,)):
        await until(bilal, lambda: texts(bilal) == ["Leave now."])
        await until(bilal, lambda: bilal.home.store.unopened() == [])


async def test_a_listener_hears_who_comes_and_who_goes(tmp_path: Path) -> None:
    paths = await known_homes(tmp_path, "Ayesha", "Bilal")
    async with running(paths, connected=False) as (network, (ayesha, bilal)):
        heard: list[Told] = []
        ayesha.listen(heard.append)
        connect(network, 2)
        await until(ayesha, lambda: any(isinstance(told, PeerJoined) for told in heard))
        network.disconnect("0", "1")
        await until(ayesha, lambda: any(isinstance(told, PeerLeft) for told in heard))
        assert [told.device for told in heard if isinstance(told, PeerJoined)] == [bilal.home.identity.device]


def is_listed(node: Node, feeds: int) -> bool:
    return len(node.home.roster.feed_list) == feeds


async def test_who_joins_is_listed_by_headquarters_and_everybody_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "LIST_DELAY_S", 0)
    paths = await to_thread.run_sync(make_homes, tmp_path, "Ayesha", "Bilal", "Chand")
    async with running(paths) as (_, nodes):
        ayesha, bilal, _ = nodes
        for node in (ayesha, bilal):
            await until(node, partial(is_listed, node, 3))
        feeds = bilal.home.roster.feed_list
        assert {feeds.feed(number) for number in range(3)} == {node.home.identity.device for node in nodes}
