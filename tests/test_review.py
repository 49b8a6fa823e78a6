"""Faults that a reader looking for lost messages and hostile members found, each held to its repair here."""

from __future__ import annotations

import pytest

from beepmesh.engine import REFUSALS_MAX
from beepmesh.messages.lifetimes import LIFETIMES_S
from sync.logs import LogId
from tests.engines import EngineNode, Mesh
from tests.speaker import Speaker, chain
from tests.test_intake import PLAIN, Scene
from tests.trust.village import DAY_S

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
    assert hq.home.store.expire(mesh.wall_ms + 80 * DAY_S * 1_000)
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
