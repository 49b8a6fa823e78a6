"""A relay that spoils signatures in passing: whatever it does, what came true is handed on, and everything arrives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beepmesh.engine import REFUSALS_MAX
from beepmesh.events import ProveRuns
from beepmesh.messages.entry import Entry, verify_entry
from beepmesh.store.contract import Batch, Place
from sync.logs import LogId
from tests.engines import EngineNode, MemoryHome, Mesh
from tests.speaker import Speaker, chain
from tests.test_forks import LEFT, RIGHT

PLAIN = (b"", b"\x01 no envelope, and nobody here tries to open it")


def spoil(entries: Sequence[Entry], seqs: Collection[int]) -> list[Entry]:
    """The same, with false signatures at those places."""
    return [entry._replace(signature=bytes(64)) if entry.seq in seqs else entry for entry in entries]


def bodies(sizes: Iterable[int]) -> list[tuple[bytes, bytes]]:
    return [(b"", b"\x01" + bytes(size)) for size in sizes]


@dataclass
class Valley:
    """A line of honest nodes, the first of which holds an author's log; and a spoiler who may speak to each of them.

    The honest ones know the author's certificates, and nobody is linked yet.
    """

    sizes: Sequence[int] = (40,) * 16
    names: tuple[str, ...] = ("Headquarters", "Bilal", "Dawood")
    lines: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mesh = Mesh(*self.names)
        self.nodes = self.mesh.nodes
        self.author = self.mesh.node("Ayesha")
        self.key = self.author.home.identity.feed_key
        self.spoiler = self.mesh.identity("Mallory")
        self.lines = chain(self.key, 1, bodies(self.sizes))
        self.log = self.lines[0].log
        for node in self.nodes:
            self.vouch(node)

    def vouch(self, node: EngineNode) -> None:
        logs = (LogId(self.author.device, 0), LogId(self.author.home.identity.feed, 0))
        speaker = Speaker(node, self.spoiler)
        speaker.greet()
        for log in logs:
            speaker.push(log, 0, self.author.held(log))
        self.cut(speaker)

    def cut(self, *speakers: Speaker) -> None:
        for speaker in speakers:
            speaker.cable.cut()
        self.mesh.run()

    def fill(self, node: EngineNode, entries: Sequence[Entry]) -> None:
        """As they were written, in good order."""
        speaker = Speaker(node, self.author.home.identity)
        speaker.greet()
        for entry in entries:
            speaker.push(self.log, entry.seq, [entry], prev=entry.prev if entry.seq else None, run=False)
        self.mesh.run()
        self.cut(speaker)

    def whisper(self, node: EngineNode, *runs: Sequence[Entry]) -> Speaker:
        """What the spoiler says to a node, each run with its predecessor named."""
        speaker = Speaker(node, self.spoiler)
        speaker.greet()
        for run in runs:
            speaker.push(self.log, run[0].seq, run, prev=run[0].prev if run[0].seq else None)
        self.cut(speaker)
        return speaker

    def meet(self, one: EngineNode, other: EngineNode) -> None:
        cable = self.mesh.connect(one, other)
        self.mesh.run(seconds=5)
        assert not any(cable.ending)
        cable.cut()
        self.mesh.run()

    def newcomer(self, name: str) -> EngineNode:
        node = self.mesh.node(name)
        self.mesh.nodes.append(node)
        return node

    def ids(self, node: EngineNode) -> list[bytes]:
        return [entry.id for entry in node.held(self.log)]

    @property
    def all_ids(self) -> list[bytes]:
        return [entry.id for entry in self.lines]


def restarted(node: EngineNode) -> EngineNode:
    """The same home and store, and nothing kept in memory."""
    again = EngineNode(node.mesh, MemoryHome(node.home.identity, node.home.store))
    node.mesh.nodes[node.mesh.nodes.index(node)] = again
    return again


# One run.


def test_a_run_is_vouched_for_by_its_newest_signature() -> None:
    valley = Valley()
    _, bilal, _ = valley.nodes
    valley.whisper(bilal, spoil(valley.lines[:8], range(7)))
    assert valley.ids(bilal) == valley.all_ids[:8]
    assert bilal.counts == {}


def test_a_run_whose_newest_signature_is_spoiled_is_left_out_and_comes_from_another() -> None:
    valley = Valley()
    _, bilal, dawood = valley.nodes
    valley.whisper(bilal, spoil(valley.lines[:8], [7]))
    assert valley.ids(bilal) == []
    assert bilal.counts == {"bad-signature": 1}
    valley.fill(dawood, valley.lines)
    valley.meet(bilal, dawood)
    assert valley.ids(bilal) == valley.all_ids


def test_every_signature_on_lane_0_is_checked_before_its_fact_counts() -> None:
    valley = Valley()
    bilal = valley.nodes[1]
    other = valley.mesh.node("Zara")
    log = LogId(other.device, 0)
    certificate, prekey = other.held(log)
    speaker = Speaker(bilal, valley.spoiler)
    speaker.greet()
    speaker.push(log, 0, [certificate, *spoil([prekey], [1])])
    assert bilal.held(log) == [certificate]
    assert bilal.counts == {"bad-signature": 1}
    assert bilal.home.roster.bundle(other.device, valley.mesh.wall_ms // 1_000) is None
    speaker.push(log, 1, [prekey], prev=certificate.id)
    assert bilal.held(log) == [certificate, prekey]
    assert bilal.home.roster.bundle(other.device, valley.mesh.wall_ms // 1_000) is not None


# Runs of one round.


@dataclass
class Round:
    """Three runs of eight, each linked to the one before it, that come to Bilal in one round."""

    false: Collection[int] = ()
    """Places whose signatures are spoiled."""

    def __post_init__(self) -> None:
        self.valley = Valley((40,) * 25)
        self.bilal = self.valley.nodes[1]
        self.speaker = Speaker(self.bilal, self.valley.spoiler)
        self.speaker.greet()
        self.bilal.withholds = True
        self.speaker.push(self.valley.log, 0, self.valley.lines[:1])
        lines = spoil(self.valley.lines, self.false)
        for at in (1, 9, 17):
            self.speaker.push(self.valley.log, at, lines[at : at + 8], run=False)
        self.valley.mesh.run()
        self.before = len(self.bilal.outputs)
        self.bilal.release()

    def asked(self) -> list[ProveRuns]:
        return [output for output in self.bilal.outputs[self.before :] if isinstance(output, ProveRuns)]


def test_the_signatures_of_a_round_are_checked_together_and_its_runs_are_one_commit() -> None:
    round_of = Round()
    (asked,) = round_of.asked()
    assert [offer.start for _, offer in asked.offers] == [1, 9, 17]
    assert [offer.checked for _, offer in asked.offers] == [(), (), ()]
    waiting, lines = round_of.bilal.waiting, round_of.valley.lines
    assert waiting is not None
    assert waiting.entries == tuple(lines[1:])
    assert waiting.proved == {lines[seq].id for seq in (8, 16, 24)}
    assert round_of.speaker.runs_done == 0


@pytest.mark.parametrize(
    ("false", "held", "counts"),
    [
        (8, 1, {"bad-signature": 1, "no-predecessor": 2}),
        (16, 9, {"bad-signature": 1, "no-predecessor": 1}),
        (24, 17, {"bad-signature": 1}),
    ],
)
def test_what_is_linked_to_a_false_run_falls_with_it_and_the_rest_stands(
    false: int, held: int, counts: dict[str, int]
) -> None:
    round_of = Round([false])
    bilal, valley = round_of.bilal, round_of.valley
    bilal.withholds = False
    bilal.release()
    valley.mesh.run()
    assert valley.ids(bilal) == valley.all_ids[:held]
    assert bilal.counts == counts
    assert round_of.speaker.runs_done == 4
    round_of.speaker.push(valley.log, held, valley.lines[held : held + 8])
    assert valley.ids(bilal) == valley.all_ids[: held + 8]


def test_a_power_cut_between_proof_and_commit_costs_nothing_but_the_way() -> None:
    round_of = Round()
    bilal, valley = round_of.bilal, round_of.valley
    assert bilal.waiting is not None
    valley.cut(round_of.speaker)
    again = restarted(bilal)
    assert valley.ids(again) == valley.all_ids[:1]
    speaker = Speaker(again, valley.spoiler)
    speaker.greet()
    for at in (1, 9, 17):
        speaker.push(valley.log, at, valley.lines[at : at + 8])
    assert valley.ids(again) == valley.all_ids
    assert speaker.runs_done == 3


def test_two_copies_in_one_round_leave_one_that_can_be_handed_on() -> None:
    """The spoiled one first: what is noted of the good one must not be noted of it."""
    valley = Valley((40,) * 9)
    bilal, zara = valley.nodes[1], valley.newcomer("Zara")
    speaker = Speaker(bilal, valley.spoiler)
    speaker.greet()
    bilal.withholds = True
    speaker.push(valley.log, 0, valley.lines[:1])
    speaker.push(valley.log, 1, spoil(valley.lines[1:], range(1, 8)), run=False)
    speaker.push(valley.log, 1, valley.lines[1:5], prev=valley.lines[0].id, run=False)
    valley.mesh.run()
    bilal.withholds = False
    bilal.release()
    valley.cut(speaker)
    valley.vouch(zara)
    valley.meet(restarted(bilal), zara)
    assert valley.ids(zara) == valley.all_ids


# The hole: what a spoiler left behind must not end with whoever took it.


def test_a_spoiler_in_the_line_keeps_nothing_from_those_behind_the_node_that_took_it() -> None:
    """Eight of twelve messages did not arrive when runs were cut wherever their size ended."""
    valley = Valley((40,) * 12)
    _, bilal, dawood = valley.nodes
    valley.whisper(bilal, spoil(valley.lines[:1], []), spoil(valley.lines[1:9], range(8)), valley.lines[9:12])
    valley.meet(bilal, dawood)
    assert valley.ids(dawood) == valley.all_ids
    assert dawood.counts == {}


def test_a_hole_is_filled_by_whoever_holds_what_is_in_it_with_spoiled_signatures() -> None:
    valley = Valley()
    _, bilal, dawood = valley.nodes
    valley.whisper(bilal, spoil(valley.lines[:8], range(7)))
    valley.whisper(dawood, valley.lines[4:12])
    valley.meet(bilal, dawood)
    assert valley.ids(dawood) == valley.ids(bilal) == valley.all_ids[:12]
    zara = valley.newcomer("Zara")
    valley.vouch(zara)
    valley.meet(restarted(dawood), zara)
    assert valley.ids(zara) == valley.all_ids[:12]


def test_the_edge_of_a_hole_is_proved_so_that_the_hole_can_be_filled() -> None:
    valley = Valley()
    _, bilal, dawood = valley.nodes
    valley.whisper(bilal, spoil(valley.lines[:8], range(7)))
    valley.whisper(dawood, spoil(valley.lines[4:12], range(4, 11)))
    assert valley.ids(dawood) == valley.all_ids[11:12]
    assert dawood.counts == {"bad-signature": 1}
    valley.meet(bilal, dawood)
    assert valley.ids(dawood) == [*valley.all_ids[:8], valley.all_ids[11]]


def test_what_nothing_here_vouches_for_is_awaited_from_another_and_nobody_is_blamed() -> None:
    valley = Valley()
    _, bilal, _ = valley.nodes
    valley.whisper(bilal, valley.lines[12:])
    speaker = Speaker(bilal, valley.spoiler)
    speaker.greet()
    for _ in range(REFUSALS_MAX + 1):
        # Eight do not fit into one run together with the edge above them.
        speaker.push(valley.log, 4, spoil(valley.lines[4:12], range(4, 12)), prev=valley.lines[3].id)
    assert not speaker.has_ended()
    assert set(bilal.counts) == {"signature-spoiled"}
    valley.fill(bilal, valley.lines[:12])
    assert valley.ids(bilal) == valley.all_ids


def test_a_run_too_large_together_with_the_edge_above_it_is_not_vouched_for_by_it() -> None:
    valley = Valley((3_900,) * 5)
    _, bilal, _ = valley.nodes
    valley.whisper(bilal, valley.lines[4:], spoil(valley.lines[:4], range(4)))
    assert valley.ids(bilal) == valley.all_ids[4:]
    valley.whisper(bilal, spoil(valley.lines[1:4], range(2, 4)))
    assert valley.ids(bilal) == [valley.all_ids[1], valley.all_ids[4]]


def test_an_end_of_another_author_s_making_is_no_edge() -> None:
    valley = Valley()
    _, bilal, _ = valley.nodes
    other = chain(valley.key, 1, bodies((41,) * 4))
    valley.whisper(bilal, valley.lines[4:8], spoil(other, range(4)))
    assert valley.ids(bilal) == valley.all_ids[4:8]
    assert bilal.counts == {"signature-spoiled": 1}


def test_a_spoiled_signature_is_mended_when_a_good_one_comes() -> None:
    valley = Valley((40,) * 8)
    _, bilal, _ = valley.nodes
    valley.whisper(bilal, spoil(valley.lines, range(7)))
    assert bilal.held(valley.log) != valley.lines
    valley.fill(bilal, valley.lines)
    assert bilal.held(valley.log) == valley.lines
    assert bilal.home.store.read(valley.log, 0, 8, bytes_max=1 << 20, with_prev=False).proved == set(valley.all_ids)
    # And the other way round nothing is spoiled.
    valley.whisper(bilal, spoil(valley.lines, range(7)))
    assert bilal.held(valley.log) == valley.lines


# Whatever it does.


@dataclass(frozen=True)
class Whisper:
    """Runs to one node, in one round: each with its start, its length, and bits for false signatures and lost bodies."""

    node: int
    runs: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Meet:
    """A node and the next one in the line."""

    node: int


LINES = 26
SIZES = st.lists(st.sampled_from((20, 500, 2_300, 17_000)), min_size=LINES, max_size=LINES)
RUNS = st.tuples(st.integers(0, LINES - 1), st.integers(1, 8), st.integers(0, 255), st.sampled_from((0, 0, 0, 1, 16, 130)))
ACTS = st.lists(
    st.builds(Whisper, st.integers(0, 2), st.lists(RUNS, min_size=1, max_size=6).map(tuple))
    | st.builds(Meet, st.integers(0, 1)),
    max_size=12,
)


def burst(valley: Valley, act: Whisper) -> None:
    node = valley.nodes[act.node]
    speaker = Speaker(node, valley.spoiler)
    speaker.greet()
    node.withholds = True
    node.engine.count("probe")
    for start, count, false, bare in act.runs:
        run = valley.lines[start : start + count]
        said = [
            (entry.erased() if bare >> at & 1 else entry)
            for at, entry in enumerate(spoil(run, {start + at for at in range(8) if false >> at & 1}))
        ]
        speaker.push(valley.log, start, said, prev=run[0].prev if start else None, run=False)
    valley.mesh.run()
    node.withholds = False
    if node.waiting is not None:
        node.release()
    valley.cut(speaker)


@settings(max_examples=60)
@given(SIZES, ACTS)
@example([20] * LINES, [Whisper(1, ((0, 8, 127, 0),)), Whisper(2, ((4, 8, 127, 0), (12, 8, 127, 0))), Meet(1)])
@example([20] * LINES, [Whisper(1, ((18, 8, 127, 0), (10, 8, 255, 0), (3, 7, 127, 0)))])
@example([2_300] * LINES, [Whisper(1, ((0, 7, 63, 0), (7, 7, 63, 0))), Whisper(2, ((5, 4, 6, 0),)), Meet(1)])
def test_with_one_honest_path_everything_arrives_and_each_can_hand_on_all_of_it(
    sizes: list[int], acts: list[Whisper | Meet]
) -> None:
    valley = Valley(sizes)
    for act in acts:
        match act:
            case Whisper():
                burst(valley, act)
            case Meet(node):
                valley.meet(valley.nodes[node], valley.nodes[node + 1])
    valley.fill(valley.nodes[0], valley.lines)
    for node in (0, 1, 0, 1):
        valley.meet(valley.nodes[node], valley.nodes[node + 1])
    for number, node in enumerate(list(valley.nodes)):
        assert valley.ids(node) == valley.all_ids
        zara = valley.newcomer(f"Zara {number}")
        valley.vouch(zara)
        valley.meet(restarted(node), zara)
        assert valley.ids(zara) == valley.all_ids
        for one in zara.held(valley.log)[-1:]:
            assert verify_entry(valley.key.public, one)
