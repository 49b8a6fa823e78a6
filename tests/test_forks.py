"""An author who says two things: both are kept, the log ends there, and everybody hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from beepmesh.author import control_draft
from beepmesh.forks import contradict, feed_of, fork_in, fork_statement
from beepmesh.intake import EARLY_PROOFS_MAX
from beepmesh.messages.entry import Entry, pack, unpack_run
from beepmesh.store.contract import Batch, Fork
from beepmesh.trust.facts import FORK_PROOF, Fact, fork_proof_data
from sync.logs import LogId
from sync.wire import Run
from tests.engines import EngineNode, MemoryHome, Mesh
from tests.speaker import Speaker, chain

LEFT = (b"", b"\x01 north bridge")
RIGHT = (b"", b"\x01 south bridge")


@dataclass
class Fold:
    """Mallory's log in two versions that part at `at`; Bilal has the one, Dawood the other; they have not met."""

    at: int = 1
    left_count: int = 3
    right_count: int = 3
    mesh: Mesh = field(default_factory=lambda: Mesh("Headquarters", "Bilal", "Dawood", "Mallory"))

    def __post_init__(self) -> None:
        self.hq, self.bilal, self.dawood, self.mallory = self.mesh.nodes
        self.identity = self.mallory.home.identity
        self.log = LogId(self.identity.feed, 1)
        common = chain(self.identity.feed_key, 1, [LEFT] * self.at)
        after = common[-1] if common else None
        self.left = common + chain(self.identity.feed_key, 1, [LEFT] * (self.left_count - self.at), after=after)
        self.right = common + chain(self.identity.feed_key, 1, [RIGHT] * (self.right_count - self.at), after=after)
        for node, lines in ((self.bilal, self.left), (self.dawood, self.right)):
            tell(node, self.mallory, self.log, lines)

    def proofs(self, node: EngineNode) -> list[Fact]:
        return [fact for fact in node.home.store.facts() if fact.kind == FORK_PROOF]


def tell(node: EngineNode, author: EngineNode, log: LogId, lines: list[Entry]) -> Speaker:
    """Push an author's certificates and these entries."""
    speaker = Speaker(node, author.home.identity)
    speaker.greet()
    for vouching in (LogId(author.device, 0), LogId(author.home.identity.feed, 0)):
        speaker.push(vouching, 0, author.held(vouching))
    for at in range(0, len(lines), 8):
        speaker.push(log, lines[at].seq, lines[at : at + 8])
    speaker.cable.cut()
    node.mesh.run()
    return speaker


@pytest.mark.parametrize(
    ("at", "left", "right"),
    [(0, 1, 1), (1, 3, 3), (1, 2, 5), (1, 5, 2), (2, 3, 20), (0, 1, 30), (9, 12, 11)],
)
def test_two_versions_that_meet_are_both_kept_and_the_log_ends_everywhere(at: int, left: int, right: int) -> None:
    fold = Fold(at, left, right)
    mesh, hq, bilal, dawood = fold.mesh, fold.hq, fold.bilal, fold.dawood
    mesh.connect(bilal, dawood)
    mesh.run()
    for node in (bilal, dawood):
        assert node.home.store.frozen() == {fold.log}
        (fork, *_) = node.home.store.forks()
        assert {fork.first.seq, fork.second.seq} <= {at, *range(at, max(left, right))}
        assert contradict(fork.first, fork.second)
    assert bilal.held(fold.log) == fold.left
    assert dawood.held(fold.log) == fold.right
    # The proof alone reaches a third one, who has never seen either version's end.
    tell(hq, fold.mallory, fold.log, fold.left[:at])
    mesh.connect(hq, dawood)
    mesh.run()
    assert hq.home.store.frozen() == {fold.log}
    speaker = Speaker(hq, fold.identity)
    speaker.greet()
    before = hq.held(fold.log)
    more = chain(fold.identity.feed_key, 1, [LEFT], after=fold.left[-1])
    speaker.push(fold.log, more[0].seq, more, prev=fold.left[-1].id)
    assert hq.held(fold.log) == before
    assert hq.counts["log-frozen"] >= 1


def test_a_fork_is_told_once_however_many_entries_it_has() -> None:
    fold = Fold(0, 8, 8)
    own = LogId(fold.bilal.device, 0)
    before = len(fold.bilal.held(own))
    tell(fold.bilal, fold.mallory, fold.log, fold.right)
    assert fold.bilal.counts["fork"] == 8
    assert fold.proofs(fold.bilal)
    assert len(fold.bilal.held(own)) == before + 1


def test_who_found_the_fork_still_hands_on_the_version_that_it_holds() -> None:
    fold = Fold(1, 3, 3)
    fold.mesh.connect(fold.bilal, fold.dawood)
    fold.mesh.run()
    zara = fold.mesh.node("Zara")
    fold.mesh.nodes.append(zara)
    reads = len(zara.outputs)
    speaker = Speaker(fold.bilal, zara.home.identity)
    speaker.greet()
    pushed = [
        record
        for record in speaker.heard
        if isinstance(record, Run) and len(record.packed) == 3 and record.packed[0] == pack(fold.left[0])
    ]
    assert reads == len(zara.outputs)
    (run,) = pushed
    entries = unpack_run(run.packed, feed=fold.log.feed, lane=1, start=0, prev=bytes(32))
    assert entries == fold.left


def test_entries_that_do_not_hang_together_are_a_fork_found_when_the_hole_is_filled() -> None:
    fold = Fold(2, 2, 2)
    speaker = Speaker(fold.bilal, fold.identity)
    speaker.greet()
    left = chain(fold.identity.feed_key, 1, [LEFT] * 2, after=fold.left[-1])
    right = chain(fold.identity.feed_key, 1, [RIGHT] * 2, after=fold.left[-1])
    speaker.push(fold.log, 3, [left[1]], prev=left[0].id)
    assert fold.bilal.home.store.frozen() == set()
    speaker.push(fold.log, 2, [right[0]], prev=fold.left[-1].id)
    assert fold.bilal.home.store.frozen() == {fold.log}
    (fork,) = fold.bilal.home.store.forks()
    assert {fork.first.id, fork.second.id} == {left[1].id, right[0].id}
    fold.mesh.connect(fold.bilal, fold.dawood)
    fold.mesh.run()
    assert fold.dawood.home.store.frozen() == {fold.log}


def test_two_versions_that_come_in_one_round_are_a_fork_too() -> None:
    fold = Fold(1, 1, 1)
    speaker = Speaker(fold.bilal, fold.identity)
    speaker.greet()
    fold.bilal.withholds = True
    speaker.push(LogId(fold.identity.device, 0), 0, fold.mallory.held(LogId(fold.identity.device, 0)))
    for body in (LEFT, RIGHT):
        (entry,) = chain(fold.identity.feed_key, 1, [body], after=fold.left[0])
        speaker.push(fold.log, 1, [entry], prev=fold.left[0].id, run=False)
    fold.mesh.run()
    fold.bilal.withholds = False
    fold.bilal.release()
    fold.mesh.run()
    assert fold.bilal.home.store.frozen() == {fold.log}
    assert len(fold.bilal.home.store.forks()) == 1


def test_a_frozen_log_stays_frozen_after_a_restart() -> None:
    fold = Fold()
    fold.mesh.connect(fold.bilal, fold.dawood)
    fold.mesh.run()
    again = EngineNode(fold.mesh, MemoryHome(fold.bilal.home.identity, fold.bilal.home.store))
    speaker = Speaker(again, fold.identity)
    speaker.greet()
    more = chain(fold.identity.feed_key, 1, [LEFT], after=fold.left[-1])
    speaker.push(fold.log, more[0].seq, more)
    assert again.held(fold.log) == fold.left
    assert again.counts["log-frozen"] == 1


def test_the_rest_of_a_forked_author_s_logs_goes_on() -> None:
    fold = Fold()
    fold.mesh.connect(fold.bilal, fold.dawood)
    fold.mesh.run()
    other = LogId(fold.identity.feed, 2)
    lines = chain(fold.identity.feed_key, 2, [LEFT])
    tell(fold.bilal, fold.mallory, other, lines)
    assert fold.bilal.held(other) == lines


def test_an_honest_peer_with_much_of_the_other_version_is_not_left() -> None:
    fold = Fold(1, 2, 700)
    cable = fold.mesh.connect(fold.bilal, fold.dawood)
    fold.mesh.run()
    assert not any(cable.ending)
    assert fold.bilal.home.store.frozen() == fold.dawood.home.store.frozen() == {fold.log}
    message = fold.dawood.send("Bilal", "And now?")
    fold.mesh.run()
    assert fold.bilal.texts() == ["And now?"]
    assert fold.dawood.state_of(message) == ["delivered"]


# A proof may come before the certificate of the feed that it speaks of.


@dataclass
class Early:
    """Headquarters, which knows Bilal and not Mallory, and Bilal's proof against her."""

    fold: Fold = field(default_factory=Fold)

    def __post_init__(self) -> None:
        self.hq = self.fold.hq
        proof = fork_statement(Fork(self.fold.left[1], self.fold.right[1]))
        bilal = self.fold.bilal.home
        done = bilal.commit(Batch(drafts=(control_draft(proof, bilal.identity),)), self.fold.mesh.wall_ms)
        self.entry = done.written[0]
        self.speaker = Speaker(self.hq, bilal.identity)
        self.speaker.greet()
        own = LogId(bilal.identity.device, 0)
        self.speaker.push(own, 0, self.fold.bilal.held(own))

    def vouch(self) -> None:
        for log in (LogId(self.fold.mallory.device, 0), LogId(self.fold.identity.feed, 0)):
            self.speaker.push(log, 0, self.fold.mallory.held(log))


def test_a_proof_waits_for_the_certificate_of_its_feed() -> None:
    early = Early()
    assert early.hq.held(early.entry.log)[-1] == early.entry
    assert early.hq.counts == {}
    assert early.hq.home.store.frozen() == set()
    early.vouch()
    assert early.hq.home.store.frozen() == {early.fold.log}
    early.speaker.push(early.fold.log, 0, early.fold.left)
    assert early.hq.counts == {"log-frozen": 1}


def test_a_waiting_proof_outlives_a_commit_that_fails() -> None:
    early = Early()
    early.hq.disk_full = True
    early.vouch()
    early.hq.disk_full = False
    assert early.hq.home.store.frozen() == set()
    early.speaker = Speaker(early.hq, early.fold.bilal.home.identity)
    early.speaker.greet()
    early.vouch()
    assert early.hq.home.store.frozen() == {early.fold.log}


def test_proofs_about_unknown_feeds_are_kept_within_a_bound() -> None:
    early = Early()
    bilal = early.fold.bilal.home
    own = LogId(bilal.identity.device, 0)
    first = early.entry
    after = first
    for number in range(EARLY_PROOFS_MAX + 3):
        changed = early.fold.left[1]._replace(feed=number.to_bytes(16))
        data = fork_proof_data(changed.header, changed.signature, changed.header, changed.signature)
        draft = control_draft(fork_statement(Fork(changed, changed)), bilal.identity)
        assert draft.statement is not None
        assert draft.statement.data == data
        (after,) = chain(bilal.identity.device_key, 0, [draft.make(own.feed, 0, after.seq + 1)], after=after)
        early.speaker.push(own, after.seq, [after])
    assert early.hq.counts == {"fork-proof": 4}
    assert early.hq.held(own)[-1] == after


def test_a_proof_says_whom_it_is_about_before_it_is_judged() -> None:
    fold = Fold()
    statement = fork_statement(Fork(fold.left[1], fold.right[1]))
    fact = Fact(fold.bilal.device, 9, statement.kind, statement.data)
    assert feed_of(fact) == fold.identity.feed
    fork = fork_in(fact, fold.bilal.home.roster)
    assert {fork.first.id, fork.second.id} == {fold.left[1].id, fold.right[1].id}


def test_what_contradicts_what() -> None:
    fold = Fold(1, 4, 4)
    left, right = fold.left, fold.right
    assert contradict(left[1], right[1])
    assert contradict(left[2], right[1])
    assert contradict(right[1], left[2])
    assert not contradict(left[1], left[1])
    assert not contradict(left[1], left[2])
    assert not contradict(left[1], right[3])
    other = chain(fold.identity.feed_key, 2, [LEFT])
    assert not contradict(left[0], other[0])
