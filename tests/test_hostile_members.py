"""Faults that a reader looking for lost messages and hostile members found, each held to its repair here."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from beepmesh import port
from beepmesh.channel import Channel, Door, Secured
from beepmesh.intake import REFUSALS_MAX
from beepmesh.introduction import ASK_CERTIFICATE
from beepmesh.messages.lifetimes import LIFETIMES_S
from beepmesh.node import Node
from sync.logs import LogId
from tests.engines import EngineNode, Mesh
from tests.speaker import Speaker, chain
from tests.test_intake import PLAIN, Scene
from tests.test_shell import known_homes, running, until
from tests.trust.village import DAY_S
from transports.link import Link, LinkBroken

SECRET = "Bridge at Kund is out."


def strangers() -> tuple[Mesh, list[EngineNode]]:
    """Headquarters, Ayesha, Bilal and Mallory, who know each other and are linked no more."""
    mesh = Mesh("Headquarters", "Ayesha", "Bilal", "Mallory")
    for node in mesh.nodes[1:]:
        mesh.connect(mesh.nodes[0], node)
    mesh.run()
    for cable in mesh.cables:
        cable.cut()
    mesh.run()
    return mesh, mesh.nodes


# Bodies that somebody on the way has left off.


def test_a_relay_that_leaves_off_the_body_of_a_living_message_does_not_keep_it_from_its_reader() -> None:
    mesh, (_, ayesha, bilal, mallory) = strangers()
    ayesha.send("Bilal", SECRET)
    (entry,) = ayesha.held(LogId(ayesha.home.identity.feed, 1))
    mouth = Speaker(bilal, mallory.home.identity)
    mouth.greet()
    mouth.push(entry.log, entry.seq, [entry.erased()])
    assert bilal.counts == {"body-missing": 1}
    assert mouth.runs_done == 1
    mesh.connect(ayesha, bilal)
    mesh.run()
    assert bilal.texts() == [SECRET]


def test_a_relay_whose_clock_ran_ahead_and_erased_too_early_takes_the_message_from_nobody() -> None:
    mesh, (hq, ayesha, bilal, _) = strangers()
    ayesha.send("Bilal", SECRET)
    mesh.connect(ayesha, hq)
    mesh.run()
    assert sum(hq.home.store.expire(mesh.wall_ms + day * DAY_S * 1_000) for day in range(1, 81))
    mesh.nodes[0] = EngineNode(mesh, hq.home)  # Restarted, so that it remembers no body.
    mesh.connect(mesh.nodes[0], bilal)
    mesh.run()
    assert bilal.texts() == []
    mesh.connect(ayesha, bilal)
    mesh.run()
    assert bilal.texts() == [SECRET]


def test_what_has_outlived_its_time_is_taken_without_its_body() -> None:
    mesh, (_, ayesha, bilal, mallory) = strangers()
    ayesha.send("Bilal", SECRET)
    (entry,) = ayesha.held(LogId(ayesha.home.identity.feed, 1))
    mesh.now += LIFETIMES_S[entry.ttl] + 1
    mouth = Speaker(bilal, mallory.home.identity)
    mouth.greet()
    mouth.push(entry.log, entry.seq, [entry.erased()])
    assert bilal.held(entry.log) == [entry.erased()]
    assert bilal.counts == {}


@pytest.mark.parametrize("bare", [0, 1, 2])
def test_of_a_run_only_the_entries_without_their_living_bodies_are_left_off(bare: int) -> None:
    scene = Scene()
    scene.vouch()
    lines = scene.lines(3)
    scene.speaker.push(scene.messages, 0, [line.erased() if line.seq == bare else line for line in lines])
    assert scene.bilal.held(scene.messages) == [line for line in lines if line.seq != bare]
    assert scene.bilal.counts == {"body-missing": 1}
    scene.speaker.push(scene.messages, bare, lines[bare : bare + 1], prev=lines[bare].prev if bare else None)
    assert scene.bilal.held(scene.messages) == lines


def test_a_copy_without_its_body_is_not_what_is_passed_on_of_a_message_that_is_held() -> None:
    scene = Scene()
    scene.vouch()
    lines = scene.lines(2)
    scene.speaker.push(scene.messages, 0, lines)
    scene.speaker.push(scene.messages, 0, [line.erased() for line in lines])
    zara = scene.mesh.node("Zara")
    scene.mesh.connect(scene.hq, zara)
    scene.mesh.run()
    assert zara.held(scene.messages) == lines


# Who is blamed for what.


def test_a_peer_is_not_blamed_for_much_of_a_feed_that_nobody_vouches_for_any_more() -> None:
    """Who vouched for it may have been put out since; whoever joins now hears of that before he hears of the feed."""
    scene = Scene()
    honest = Speaker(scene.bilal, scene.mesh.identity("Zara"))
    honest.greet()
    for line in chain(scene.identity.feed_key, 1, [PLAIN] * (REFUSALS_MAX + 9)):
        honest.push(line.log, line.seq, [line], prev=line.prev if line.seq else None)
    assert not honest.has_ended()
    assert scene.bilal.counts == {"unknown-feed": REFUSALS_MAX + 9}


# Who asks and does not read.


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Deaf:
    """A member's link on which, once it is secured, nothing more is read."""

    link: Link
    channel: Channel

    async def say(self, record: bytes) -> None:
        for frame in self.channel.seal(record, owner=True):
            await self.link.send(frame)

    async def ask_for_ever(self) -> None:
        while True:
            await self.say(ASK_CERTIFICATE)

    async def left(self) -> None:
        """Until the node has ended the link."""
        with anyio.fail_after(10):
            while not self.link.broken:  # noqa: ASYNC110  # Whoever reads would hear of it, and this one does not.
                await anyio.sleep(0.01)


@asynccontextmanager
async def deaf_neighbour(folder: Path) -> AsyncIterator[tuple[Deaf, Node]]:
    """Headquarters' node and a member with a true key that it knows, who is deaf."""
    paths = await known_homes(folder, "Headquarters", "Mallory")
    async with running(paths[:1]) as (network, (node,)), running(paths[1:], connected=False) as (_, (mallory,)):
        identity = mallory.home.identity
        secured = anyio.Event()
        deaf: list[Deaf] = []

        async def welcome(link: Link) -> None:
            channel = Channel(
                dialled=link.info.dialled, device=identity.device, link_key=identity.link_key,
                doors=(Door(identity.link_psks[0], None),), ephemeral_seed=os.urandom(32), frame_bytes_max=65_535,
            )  # fmt: skip
            for frame in channel.start():
                await link.send(frame)
            events: list[object] = []
            while not any(isinstance(event, Secured) for event in events):
                answers, more = channel.receive(await link.receive())
                events += more
                for frame in answers:
                    await link.send(frame)
            deaf.append(Deaf(link, channel))
            secured.set()
            await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            await tasks.start(network.transport("deaf").serve, welcome)
            network.connect("deaf", "0")
            with anyio.fail_after(10):
                await secured.wait()
            yield deaf[0], node
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_member_who_asks_for_ever_and_never_reads_is_left_before_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "UNREAD_BYTES_MAX", 64 * 1024)
    async with deaf_neighbour(tmp_path) as (deaf, node):
        with pytest.raises(LinkBroken), anyio.fail_after(10):
            await deaf.ask_for_ever()
        await until(node, lambda: "never-read" in node.home.store.counts())


@pytest.mark.anyio
async def test_a_member_who_never_reads_does_not_hold_a_link_that_was_hung_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "HANG_UP_S", 0.2)
    async with deaf_neighbour(tmp_path) as (deaf, node):
        for _ in range(2_000):  # More answers than the link holds.
            await deaf.say(ASK_CERTIFICATE)
        await deaf.link.send(b"no frame of this channel")
        await deaf.left()
        await until(node, lambda: not node.peers)
