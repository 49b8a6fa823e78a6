"""The whole node as one machine: nothing is said that a power cut could take back, and everything arrives once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh import upkeep
from beepmesh.author import control_draft
from beepmesh.events import (
    BatchCommitted,
    Commit,
    FrameReceived,
    HomeChanged,
    LevelReached,
    LinkDrained,
    ListFeeds,
    PeerLeft,
    ReadEntries,
    SendFrames,
    TimeCame,
    WakeAt,
    WriteReceipts,
)
from beepmesh.messages.entry import BODY_BYTES_MAX
from beepmesh.recent import RECENT_BYTES_MAX
from beepmesh.store.contract import Batch, Committed, Statement
from beepmesh.talks import TRAFFIC_MAX
from beepmesh.trust.facts import FEED_PAGE, feed_page_data
from beepmesh.trust.listing import Page
from sync.feeds import FeedList
from sync.limits import STALL_S
from sync.logs import LogId
from tests.engines import Cable, EngineNode, MemoryHome, Mesh, all_counts
from tests.speaker import Speaker, chain

PLAIN = (b"", b"\x01 no envelope")
RANK = {state: rank for rank, state in enumerate(("queued", "carried", "delivered", "read", "acknowledged"))}


def line(*names: str) -> Mesh:
    mesh = Mesh(*names)
    for one, other in pairwise(mesh.nodes):
        mesh.connect(one, other)
    mesh.run()
    return mesh


# Nothing before it is durable.


@dataclass
class Held:
    """Bilal between headquarters and Dawood, with his disk held fast; Mallory speaks to him by hand."""

    mesh: Mesh = field(default_factory=lambda: line("Headquarters", "Bilal", "Dawood"))

    def __post_init__(self) -> None:
        self.hq, self.bilal, self.dawood = self.mesh.nodes
        self.mallory = self.mesh.node("Mallory")
        self.identity = self.mallory.home.identity
        self.log = LogId(self.identity.feed, 1)
        self.speaker = Speaker(self.bilal, self.identity)
        self.speaker.greet()
        for log in (LogId(self.identity.device, 0), LogId(self.identity.feed, 0)):
            self.speaker.push(log, 0, self.mallory.held(log))
        self.mesh.run()
        self.bilal.withholds = True

    def frames(self) -> int:
        """How many frames Bilal has been told to send."""
        return sum(len(output.frames) for output in self.bilal.outputs if isinstance(output, SendFrames))


def test_nothing_is_acknowledged_or_passed_on_or_shown_before_the_commit() -> None:
    held = Held()
    told, frames, runs_done = len(held.bilal.told), held.frames(), held.speaker.runs_done
    lines = chain(held.identity.feed_key, 1, [PLAIN] * 3)
    held.speaker.push(held.log, 0, lines)
    held.mesh.run(seconds=60)
    assert held.bilal.waiting is not None
    assert held.bilal.waiting.entries == tuple(lines)
    assert (len(held.bilal.told), held.frames(), held.speaker.runs_done) == (told, frames, runs_done)
    held.bilal.withholds = False
    held.bilal.release()
    held.mesh.run()
    assert held.speaker.runs_done == runs_done + 1
    assert held.hq.held(held.log) == held.dawood.held(held.log) == lines


def test_a_message_is_shown_and_receipted_only_when_it_is_durable() -> None:
    mesh = line("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    bilal.withholds = True
    message = hq.send("Bilal", "Hold the bridge.")
    mesh.run(seconds=30)
    assert bilal.waiting is not None
    assert [payload.message_id.hex() for payload in bilal.waiting.payloads if not payload.mine] == [message]
    assert bilal.arrived() == []
    assert WriteReceipts() not in bilal.outputs
    assert hq.state_of(message) == ["queued"]
    bilal.withholds = False
    bilal.release()
    mesh.run()
    assert bilal.arrived() == [bytes.fromhex(message)]
    assert hq.state_of(message) == ["delivered"]


@pytest.mark.parametrize("again", [True, False])
def test_a_failed_commit_takes_every_link_down_and_the_mesh_recovers_after_it(again: bool) -> None:
    held = Held()
    lines = chain(held.identity.feed_key, 1, [PLAIN] * 3)
    runs_done = held.speaker.runs_done
    held.speaker.push(held.log, 0, lines)
    held.bilal.withholds = False
    held.bilal.disk_full = again
    held.bilal.fail()
    held.mesh.run()
    held.bilal.disk_full = False
    assert held.bilal.engine.peers == {}
    assert held.hq.engine.peers == held.dawood.engine.peers == {}
    assert held.speaker.has_ended()
    assert held.speaker.runs_done == runs_done
    assert {told.reason for told in held.bilal.told if isinstance(told, PeerLeft)} == {"store-full"}
    assert held.bilal.held(held.log) == []
    held.mesh.connect(held.bilal, held.dawood)
    held.mesh.connect(held.hq, held.bilal)
    speaker = Speaker(held.bilal, held.identity)
    speaker.greet()
    speaker.push(held.log, 0, lines)
    for node in (held.hq, held.bilal, held.dawood):
        assert node.held(held.log) == lines
    # Also what a failed commit should have counted is counted in the end.
    assert held.bilal.counts == {"store-full": 3}


def test_every_commit_may_fail_and_nothing_is_lost_or_doubled() -> None:
    """The n-th commit of the receiver fails, for every n until none is left."""
    failed = 0
    while True:
        mesh = line("Headquarters", "Bilal")
        hq, bilal = mesh.nodes
        cut(mesh, *mesh.cables)
        sent = [hq.send("Bilal", text, priority=rank) for text, rank in (("one", "routine"), ("two", "urgent"))]
        disk = FailingNth(bilal, failed)
        mesh.connect(hq, bilal)
        mesh.run()
        sent.append(hq.send("Bilal", "three"))
        mesh.run()
        if disk.failed:
            mesh.connect(hq, bilal)
            mesh.run()
        assert sorted(bilal.texts()) == ["one", "three", "two"]
        assert sorted(told.hex() for told in bilal.arrived()) == sorted(sent)
        assert [hq.state_of(message) for message in sent] == [["delivered"]] * 3
        if not disk.failed:
            break
        failed += 1
    assert failed >= 2


class FailingNth:
    """Makes one commit of a node fail."""

    def __init__(self, node: EngineNode, number: int) -> None:
        self.failed = False
        self._node, self._left = node, number
        self._stored = node.stored
        node.stored = self._store

    def _store(self, order: Commit) -> BatchCommitted | None:
        if not self.failed and self._left == 0:
            self.failed = True
            return None
        self._left -= 1
        return self._stored(order)


# Everything arrives.


def test_a_line_of_three_converges_and_the_receipt_comes_back() -> None:
    mesh = line("Headquarters", "Bilal", "Dawood")
    hq, bilal, dawood = mesh.nodes
    message = hq.send("Dawood", "The road is open.")
    mesh.run()
    assert dawood.texts() == ["The road is open."]
    assert bilal.texts() == []
    assert hq.state_of(message) == ["delivered"]
    dawood.inbox(mark_read=True)
    mesh.run()
    assert hq.state_of(message) == ["read"]
    states = [node.home.store.states() for node in mesh.nodes]
    assert states[0] == states[1] == states[2]
    # What Bilal carried there and back: the message, and the receipt that it was read.
    assert {node.name: node.counts for node in mesh.nodes} == {"Headquarters": {}, "Bilal": {"purged": 2}, "Dawood": {}}
    for node in mesh.nodes:
        assert isinstance(node.told[-1], LevelReached)


def test_a_chain_of_meetings_carries_a_message_whose_author_has_gone() -> None:
    mesh = line("Headquarters", "Bilal", "Dawood")
    hq, bilal, dawood = mesh.nodes
    cut(mesh, *mesh.cables)
    message = hq.send("Dawood", "Take the north road.")
    for one, other in ((hq, bilal), (bilal, dawood), (dawood, bilal), (bilal, hq)):
        cable = mesh.connect(one, other)
        mesh.run()
        cut(mesh, cable)
    assert dawood.texts() == ["Take the north road."]
    assert hq.state_of(message) == ["delivered"]


def cut(mesh: Mesh, *cables: Cable) -> None:
    for cable in cables:
        cable.cut()
    mesh.run()


@settings(max_examples=25)
@given(data=st.data(), count=st.integers(2, 4))
def test_whatever_is_cut_whenever_every_message_arrives_once_and_its_receipt_too(
    data: st.DataObject, count: int
) -> None:
    mesh = line("Headquarters", *("Bilal", "Dawood", "Zara")[: count - 1])
    nodes = mesh.nodes
    cut(mesh, *mesh.cables)
    sent: list[tuple[EngineNode, EngineNode, str]] = []
    ranks: dict[str, int] = {}

    def watch() -> None:
        for author, _, message in sent:
            (state,) = author.state_of(message)
            assert RANK[state] >= ranks.get(message, 0)
            ranks[message] = RANK[state]

    numbers = st.integers(0, 10**6)
    for _ in range(data.draw(st.integers(1, 10), label="acts")):
        one = nodes[data.draw(numbers, label="one") % count]
        other = nodes[(nodes.index(one) + 1 + data.draw(numbers, label="other") % (count - 1)) % count]
        match data.draw(st.sampled_from(("send", "meet", "part", "read")), label="act"):
            case "send":
                priority = data.draw(st.sampled_from(("routine", "urgent")))
                sent.append((one, other, one.send(other.name, f"{len(sent)}", priority=priority)))
            case "meet":
                mesh.connect(one, other)
            case "part":
                if mesh.cables:
                    mesh.cables[data.draw(numbers) % len(mesh.cables)].cut()
            case _:
                one.inbox(mark_read=True)
        for _ in range(data.draw(st.integers(0, 25), label="steps")):
            able = mesh.happenings()
            if able:
                able[data.draw(numbers, label="pick") % len(able)]()
        watch()
    cut(mesh, *mesh.cables)
    for one, other in pairwise(nodes):
        mesh.connect(one, other)
    mesh.run(lambda size: data.draw(numbers, label="pick") % size if size > 1 else 0, seconds=2 * STALL_S)
    watch()
    for node in nodes:
        wanted = [message for _, other, message in sent if other is node]
        assert sorted(told.hex() for told in node.arrived() if told.hex() in wanted) == sorted(wanted)
        assert len(node.texts()) == len(wanted)
    for _, _, message in sent:
        assert ranks[message] >= RANK["delivered"]
    # Only this may happen among honest nodes: two push one log, and one builds on what the other has not sent yet.
    assert set(all_counts(nodes)) <= {"no-predecessor", "purged"}
    states = [node.home.store.states() for node in nodes]
    assert all(state == states[0] for state in states)


def test_what_was_passed_on_once_is_not_sent_again() -> None:
    mesh = line("Headquarters", "Bilal", "Dawood")
    hq, bilal, _ = mesh.nodes
    mesh.connect(hq, mesh.nodes[2])
    mesh.run()
    before = {id(cable): cable.bytes_sent for cable in mesh.cables}
    cut(mesh, *mesh.cables)
    cables = [mesh.connect(hq, bilal), mesh.connect(hq, mesh.nodes[2])]
    mesh.run()
    assert all(cable.bytes_sent <= 420 for cable in cables)
    assert before
    assert all(bilal.engine.take_traffic(cable.numbers[1]).received == 0 for cable in cables[:1])


@pytest.mark.parametrize("seed", range(3))
def test_two_who_bring_the_same_at_once_are_both_welcome(seed: int) -> None:
    mesh = line("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    authors = [mesh.node(name) for name in ("Imran", "Noor", "Sana")]
    mouth = Speaker(hq, authors[0].home.identity)
    mouth.greet()
    for author in authors:
        for log in (LogId(author.device, 0), LogId(author.home.identity.feed, 0)):
            mouth.push(log, 0, author.held(log))
        lines = chain(author.home.identity.feed_key, 1, [PLAIN] * 300)
        for at in range(0, len(lines), 8):
            mouth.push(lines[0].log, at, lines[at : at + 8])
    cut(mesh, mouth.cable)
    newcomer = mesh.node("Zara")
    mesh.nodes.append(newcomer)
    cables = [mesh.connect(hq, newcomer), mesh.connect(bilal, newcomer)]
    order = random.Random(seed)
    mesh.run(order.randrange, seconds=5)
    assert not any(any(cable.ending) for cable in cables)
    assert newcomer.home.store.states() == hq.home.store.states() == bilal.home.store.states()
    assert set(newcomer.counts) <= {"no-predecessor"}


# Waking.


def test_a_wish_to_be_woken_is_repeated_until_it_is_granted() -> None:
    mesh = line("Headquarters", "Bilal", "Dawood")
    bilal = mesh.nodes[1]
    engine = bilal.engine
    silent = mesh.connect(mesh.nodes[0], bilal)
    silent.queues[1].clear()
    bilal.wake_at = None
    due = [output.when for output in engine.handle(TimeCame(), mesh.now) if isinstance(output, WakeAt)]
    assert due == [mesh.now + 10.0]


def test_two_peers_are_both_acknowledged_though_only_one_wish_is_kept() -> None:
    mesh = Mesh("Headquarters")
    (hq,) = mesh.nodes
    speakers = []
    for name in ("Bilal", "Zara"):
        author = mesh.node(name)
        speaker = Speaker(hq, author.home.identity)
        speaker.greet()
        speakers.append((speaker, author))
    for number, (speaker, author) in enumerate(speakers):
        mesh.now += 0.1 * number
        speaker.push(LogId(author.device, 0), 0, author.held(LogId(author.device, 0)), run=False)
        while mesh.happenings():
            mesh.happenings()[0]()
    mesh.run(seconds=1)
    assert [speaker.runs_done for speaker, _ in speakers] == [1, 1]


# What another process writes.


def test_a_late_word_from_the_disk_does_not_take_back_what_is_known() -> None:
    held = Held()
    held.bilal.withholds = False
    lines = chain(held.identity.feed_key, 1, [PLAIN] * 6)
    held.speaker.push(held.log, 0, lines[:2])
    stale = held.bilal.home.store.states()
    held.speaker.push(held.log, 2, lines[2:4])
    held.bilal.give(HomeChanged(stale, 0))
    held.speaker.push(held.log, 4, lines[4:])
    assert held.bilal.held(held.log) == lines
    assert held.bilal.counts == {}


def test_what_a_command_wrote_is_pushed_at_once() -> None:
    mesh = line("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    for number in range(3):
        hq.send("Bilal", str(number))
        mesh.run(seconds=0.01)
        assert len(bilal.texts()) == number + 1


# Bounds.


def test_entries_kept_for_passing_on_are_bounded_in_bytes_whatever_their_bodies() -> None:
    for body_bytes in (0, 1, BODY_BYTES_MAX):
        held = Held()
        node = held.bilal.engine
        count = 3 * RECENT_BYTES_MAX // max(body_bytes, 1_024)
        (entry,) = chain(held.identity.feed_key, 1, [(b"", bytes(body_bytes))])
        for seq in range(count):
            offered = entry._replace(seq=seq)
            node.count("probe")
            (order,) = node.flush()
            assert isinstance(order, Commit)
            node.handle(BatchCommitted(replace(order.batch, entries=(offered,)), Committed((), {})), 0.0)
        kept = node._giving._recent.entries
        assert 0 < len(kept) <= RECENT_BYTES_MAX // 256
        assert sum(len(one.body or b"") for one in kept.values()) <= RECENT_BYTES_MAX


def test_an_entry_that_was_just_committed_is_passed_on_without_the_disk() -> None:
    mesh = line("Headquarters", "Bilal", "Dawood")
    hq, bilal, dawood = mesh.nodes
    hq.send("Dawood", "Hello")
    mesh.run()
    log = LogId(hq.home.identity.feed, 1)
    assert not [output for output in bilal.outputs if isinstance(output, ReadEntries) and output.log == log]
    assert dawood.texts() == ["Hello"]


def test_what_passed_on_links_that_ended_is_kept_for_so_many_of_them() -> None:
    mesh = line("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    cut(mesh, *mesh.cables)
    for _ in range(TRAFFIC_MAX + 5):
        cable = mesh.connect(hq, bilal)
        mesh.run(seconds=0)
        cut(mesh, cable)
    assert len(hq.engine._talks._traffic) <= TRAFFIC_MAX


def test_frames_and_answers_of_a_link_that_has_ended_are_nobody_s() -> None:
    mesh = line("Headquarters", "Bilal")
    hq, _ = mesh.nodes
    (cable,) = mesh.cables
    cut(mesh, cable)
    assert hq.engine.handle(FrameReceived(cable.numbers[0], b"late"), mesh.now) == []
    assert hq.engine.handle(LinkDrained(cable.numbers[0]), mesh.now) == []
    assert hq.engine.flush() == []


def test_a_record_against_the_protocol_ends_that_link_alone() -> None:
    held = Held()
    held.bilal.withholds = False
    held.speaker.say(b"\xff")
    held.mesh.run()
    assert held.speaker.has_ended()
    assert set(held.bilal.engine.peers) == {held.hq.device, held.dawood.device}
    assert sum(held.bilal.counts.values()) == 1


# The organisation's list of feeds.


def listed(node: EngineNode | MemoryHome) -> list[bytes]:
    feeds = (node.home if isinstance(node, EngineNode) else node).roster.feed_list
    return [feeds.feed(number) for number in range(len(feeds))]


def test_all_nodes_of_a_line_end_with_the_same_list_and_read_it_again_from_their_stores() -> None:
    mesh = line("Headquarters", "Bilal", "Chand", "Dawood")
    hq, *others = mesh.nodes
    assert sorted(listed(hq)) == sorted(node.device for node in mesh.nodes)
    mesh.now += 86_400
    hq.act(lambda: upkeep.list_feeds(hq.home, mesh.wall_ms))
    mesh.run()
    assert sorted(listed(hq)[4:]) == sorted(node.home.identity.feed for node in mesh.nodes)
    for node in others:
        assert listed(node) == listed(hq) == listed(MemoryHome(node.home.identity, node.home.store))
    assert all_counts(mesh.nodes) == {}


def test_only_the_keeper_is_told_to_list_who_comes() -> None:
    mesh = line("Headquarters", "Bilal", "Dawood")
    assert [node.name for node in mesh.nodes if ListFeeds() in node.outputs] == ["Headquarters"]


def test_pages_that_overtake_each_other_are_put_in_order() -> None:
    mesh = line("Headquarters", "Bilal")
    hq, late = mesh.nodes[0], mesh.node("Dawood")
    control = LogId(hq.device, 0)
    for feed in (late.device, late.home.identity.feed):
        page = Page(len(hq.home.roster.feed_list), (feed,))
        draft = control_draft(Statement(FEED_PAGE, feed_page_data(*page.encode())), hq.home.identity)
        hq.home.commit(Batch(drafts=(draft,)), mesh.wall_ms)
    speaker = Speaker(late, mesh.identity("Mallory"))
    speaker.greet()
    entries = hq.held(control)
    speaker.push(control, 0, entries[:2])
    speaker.push(control, 4, entries[4:], prev=entries[3].id)
    assert listed(late) == []
    speaker.push(control, 2, entries[2:4], prev=entries[1].id)
    assert listed(late) == listed(hq)
    assert len(listed(late)) == 4


def test_two_that_were_told_different_lists_name_everything_in_full_from_then_on() -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    for number, node in enumerate((hq, bilal)):
        node.home.roster._listing.names = told = FeedList()
        told.grow([bytes([number]) * 16])
    mesh.connect(hq, bilal)
    mesh.run()
    assert "list-differs" in {**hq.counts, **bilal.counts}
    mesh.connect(hq, bilal)
    mesh.run()
    hq.send("Bilal", "the same to both")
    mesh.run()
    assert bilal.texts() == ["the same to both"]
