"""A relay that spoils signatures in passing: what is taken, what is handed on, what is a proof, case by case."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pytest

from beepmesh.events import ProveRuns
from beepmesh.intake import REFUSALS_MAX
from beepmesh.messages.entry import Entry
from beepmesh.store.contract import Batch
from beepmesh.trust.facts import FORK_PROOF
from sync.logs import LogId
from sync.ranges import Ranges
from tests.engines import EngineNode, Mesh
from tests.speaker import Speaker, chain
from tests.test_forks import RIGHT
from tests.valley import Valley, bodies, restarted, spoil

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
    valley.whisper(bilal, valley.lines[8:])
    speaker = Speaker(bilal, valley.spoiler)
    speaker.greet()
    for _ in range(REFUSALS_MAX + 1):
        # Eight do not fit into one run together with the edge above them.
        speaker.push(valley.log, 0, spoil(valley.lines[:8], range(8)))
    assert not speaker.has_ended()
    assert set(bilal.counts) == {"signature-spoiled"}
    valley.fill(bilal, valley.lines[:8])
    assert valley.ids(bilal) == valley.all_ids


def test_a_run_too_large_together_with_the_edge_above_it_is_not_vouched_for_by_it() -> None:
    valley = Valley((3_900,) * 5)
    _, bilal, _ = valley.nodes
    valley.whisper(bilal, valley.lines[4:], spoil(valley.lines[:4], range(4)))
    assert valley.ids(bilal) == valley.all_ids[4:]
    valley.whisper(bilal, spoil(valley.lines[1:4], range(2, 4)))
    assert valley.ids(bilal) == [valley.all_ids[1], valley.all_ids[4]]


@pytest.mark.parametrize("good", [True, False])
def test_an_edge_vouches_only_with_a_good_signature_of_its_own(good: bool) -> None:
    valley = Valley()
    _, bilal, _ = valley.nodes
    edge = spoil(valley.lines[4:5], [] if good else [4])
    bilal.home.store.commit(Batch(entries=tuple(edge)), keys={}, now_ms=valley.mesh.wall_ms)
    bilal = restarted(bilal)
    valley.whisper(bilal, spoil(valley.lines[:4], range(4)))
    assert valley.ids(bilal) == valley.all_ids[0 if good else 4 : 5]


def test_an_end_of_another_author_s_making_is_no_edge() -> None:
    valley = Valley()
    _, bilal, _ = valley.nodes
    other = chain(valley.key, 1, bodies((41,) * 4))
    valley.whisper(bilal, valley.lines[4:8], spoil(other, range(4)))
    assert valley.ids(bilal) == valley.all_ids[4:8]
    assert bilal.counts == {"signature-spoiled": 1}


def test_what_was_taken_with_spoiled_signatures_is_read_by_whom_it_is_for() -> None:
    mesh = Mesh("Headquarters", "Bilal", "Dawood")
    hq, bilal, dawood = mesh.nodes
    for node in (bilal, dawood):
        mesh.connect(hq, node)
    mesh.run()
    for cable in mesh.cables:
        cable.cut()
    mesh.run()
    texts = [f"Boat {number}" for number in range(5)]
    for text in texts:
        hq.send("Dawood", text)
    log = LogId(hq.home.identity.feed, 1)
    spoiler = Speaker(bilal, mesh.identity("Mallory"))
    spoiler.greet()
    spoiler.push(log, 0, spoil(hq.held(log), range(4)))
    assert not bilal.texts()
    mesh.connect(bilal, dawood)
    mesh.run()
    assert dawood.texts() == texts


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


def test_what_was_checked_for_a_push_is_noted_with_the_next_commit() -> None:
    valley = Valley((40,) * 8)
    _, bilal, dawood = valley.nodes
    valley.meet(bilal, dawood)  # So that each has the other's certificates.
    valley.whisper(bilal, valley.lines)
    valley.whisper(dawood, valley.lines[4:])
    valley.meet(bilal, dawood)
    assert valley.ids(dawood) == valley.all_ids
    valley.fill(bilal, valley.lines[:1])
    read = bilal.home.store.read(valley.log, 0, 8, bytes_max=1 << 20, with_prev=False)
    assert read.proved == {valley.lines[seq].id for seq in (0, 3, 7)}


def test_what_lost_all_that_vouched_for_it_is_said_to_be_gone_and_the_rest_goes_on() -> None:
    """As when quota took the entry above."""
    valley = Valley((40,) * 8)
    _, bilal, dawood = valley.nodes
    valley.meet(bilal, dawood)  # So that they know each other.
    lost = Batch(entries=tuple(spoil(valley.lines[:4], range(4))), settled=((valley.log, Ranges.of((4, 5))),))
    bilal.home.store.commit(lost, keys={}, now_ms=valley.mesh.wall_ms)
    bilal = restarted(bilal)
    valley.whisper(bilal, valley.lines[5:])
    message = bilal.send("Dawood", "The road is open.")
    valley.meet(bilal, dawood)
    assert valley.ids(dawood) == valley.all_ids[5:]
    assert dawood.counts == {}
    assert bilal.counts == {"signature-spoiled": 8}  # Four to the spoiler, who has nothing, and four to Dawood.
    assert bilal.state_of(message) == ["delivered"]


# Two stories and a spoiler.


def stories(at: int, left: int, right: int) -> tuple[Valley, list[Entry]]:
    """The author's log as the valley knows it, and another version that parts from it at `at`."""
    valley = Valley((40,) * left)
    after = valley.lines[at - 1] if at else None
    return valley, chain(valley.key, 1, [RIGHT] * (right - at), after=after)


def proofs(node: EngineNode) -> int:
    return sum(fact.kind == FORK_PROOF for fact in node.home.store.facts())


def test_a_run_that_contradicts_the_newest_entry_is_a_proof() -> None:
    valley, other = stories(2, 4, 6)
    bilal = valley.nodes[1]
    valley.whisper(bilal, valley.lines, other[2:])
    assert bilal.held(valley.log) == valley.lines
    assert bilal.counts == {"fork": 1}
    (fork,) = bilal.home.store.forks()
    assert {fork.first.id, fork.second.id} == {valley.lines[3].id, other[2].id}
    assert proofs(bilal) == 1


def test_a_contradiction_whose_own_signature_is_spoiled_proves_nothing_and_is_left_out() -> None:
    valley, other = stories(2, 4, 6)
    bilal = valley.nodes[1]
    valley.whisper(bilal, valley.lines, spoil(other[2:], [4]))
    assert bilal.held(valley.log) == valley.lines
    assert bilal.counts == {"fork-unproved": 1}
    assert bilal.home.store.frozen() == set()
    valley.whisper(bilal, other[2:])
    assert proofs(bilal) == 1


def test_a_contradiction_of_what_is_not_durable_yet_is_left_out() -> None:
    valley, other = stories(1, 3, 5)
    bilal = valley.nodes[1]
    speaker = Speaker(bilal, valley.spoiler)
    speaker.greet()
    bilal.withholds = True
    speaker.push(valley.log, 0, valley.lines[:1])
    speaker.push(valley.log, 1, valley.lines[1:], run=False)
    speaker.push(valley.log, 3, other[2:], prev=other[1].id, run=False)
    valley.mesh.run()
    bilal.withholds = False
    bilal.release()
    valley.mesh.run()
    assert bilal.held(valley.log) == valley.lines
    assert bilal.counts == {"broken-link": 1}
    speaker.push(valley.log, 3, other[2:], prev=other[1].id)
    assert proofs(bilal) == 1


def test_a_fork_of_which_the_held_half_is_spoiled_is_not_told_to_others_who_would_not_believe_it() -> None:
    valley, other = stories(0, 4, 2)
    _, bilal, dawood = valley.nodes
    valley.whisper(bilal, spoil(valley.lines, range(3)), other)
    assert bilal.home.store.frozen() == {valley.log}
    assert bilal.counts == {"fork-unproved": 2}
    assert proofs(bilal) == 0
    # Whoever has good signatures of both tells everybody.
    valley.whisper(dawood, valley.lines, other)
    valley.meet(dawood, bilal)
    assert proofs(bilal) == 1
    assert set(dawood.counts) == {"fork"}
