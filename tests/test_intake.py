"""What a node refuses of the runs that a member pushes, under which name, and that nothing it held is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from beepmesh import desk
from beepmesh.author import BODY_CONTROL, BODY_FEED_CERTIFICATE, control_draft
from beepmesh.crypto.certificates import issue_feed
from beepmesh.crypto.primitives import SigningKey
from beepmesh.errors import Refused
from beepmesh.intake import CERTIFICATE_GRACE_S, REFUSALS_MAX, Intake
from beepmesh.messages.entry import PACKED_BYTES_MAX, Entry, pack
from beepmesh.store.contract import Batch, Statement
from beepmesh.trust.facts import (
    DEVICE_CERTIFICATE,
    FEED_PAGE,
    FORK_PROOF,
    PREKEY_BUNDLE,
    device_certificate_data,
    feed_certificate_data,
    feed_page_data,
    fork_proof_data,
    prekey_bundle_data,
)
from sync import cbor
from sync.logs import LogId
from tests.engines import EngineNode, MemoryHome, Mesh
from tests.speaker import Speaker, chain
from tests.trust.village import DAY_S, NOW_S, Entropy, revocation

PLAIN = (b"", b"\x01 no envelope, and nobody here tries to open it")


@dataclass
class Scene:
    """Bilal, who knows headquarters, and Mallory, a member who speaks to him by hand."""

    mesh: Mesh = field(default_factory=lambda: Mesh("Headquarters", "Bilal", "Mallory"))

    def __post_init__(self) -> None:
        self.hq, self.bilal, self.mallory = self.mesh.nodes
        self.mesh.connect(self.hq, self.bilal)
        self.mesh.run()
        self.identity = self.mallory.home.identity
        self.urgent, self.messages = LogId(self.identity.feed, 0), LogId(self.identity.feed, 1)
        self.control = LogId(self.identity.device, 0)
        self.speaker = Speaker(self.bilal, self.identity)
        self.speaker.greet()

    def vouch(self) -> None:
        """Push what Mallory's home holds of his own: certificates and a prekey."""
        for log in (self.control, self.urgent):
            self.speaker.push(log, 0, self.mallory.held(log))

    def control_entry(self, kind: int, data: bytes, **change: object) -> Entry:
        """The next entry of Mallory's control feed, saying that."""
        draft = control_draft(Statement(kind, data), replace(self.identity, **change))  # type: ignore[arg-type]  # Some fields.
        last = self.mallory.held(self.control)[-1]
        return chain(self.identity.device_key, 0, [draft.make(self.identity.device, 0, last.seq + 1)], after=last)[0]

    def lines(self, count: int) -> list[Entry]:
        return chain(self.identity.feed_key, 1, [PLAIN] * count)


def everything(node: EngineNode) -> dict[LogId, list[bytes]]:
    return {log: [entry.id for entry in node.held(log)] for log in node.home.store.states()}


def no_predecessor(scene: Scene) -> None:
    scene.speaker.push(scene.messages, 2, scene.lines(3)[2:])


def another_predecessor_than_was_signed(scene: Scene) -> None:
    scene.speaker.push(scene.messages, 0, scene.lines(1))
    scene.speaker.push(scene.messages, 1, scene.lines(2)[1:], prev=bytes(32))


def unknown_feed(scene: Scene) -> None:
    stranger = SigningKey(b"s" * 32)
    (entry,) = chain(stranger, 1, [PLAIN])
    scene.speaker.push(entry.log, 0, [entry])


def unknown_feed_that_says_nothing_of_itself(scene: Scene) -> None:
    (entry,) = chain(SigningKey(b"s" * 32), 0, [PLAIN])
    scene.speaker.push(entry.log, 0, [entry])


def unknown_feed_with_another_ones_certificate(scene: Scene) -> None:
    me = scene.identity
    body = bytes([BODY_FEED_CERTIFICATE]) + feed_certificate_data(me.feed_certificate, me.issuer_certificate)
    (entry,) = chain(SigningKey(b"s" * 32), 0, [(b"", body)])
    scene.speaker.push(entry.log, 0, [entry])


def unknown_feed_vouched_by_nobody(scene: Scene) -> None:
    stranger, me = SigningKey(b"s" * 32), scene.identity
    vouched = issue_feed(
        SigningKey(b"n" * 32), feed_public=stranger.public, not_before=NOW_S, expires=NOW_S + DAY_S, serial=bytes(8)
    )
    body = bytes([BODY_FEED_CERTIFICATE]) + feed_certificate_data(vouched, me.issuer_certificate)
    (entry,) = chain(stranger, 0, [(b"", body)])
    scene.speaker.push(entry.log, 0, [entry])


def messages_in_a_control_feed(scene: Scene) -> None:
    (entry,) = chain(scene.identity.device_key, 1, [PLAIN])
    scene.speaker.push(entry.log, 0, [entry])


def bad_signature(scene: Scene) -> None:
    first, second = scene.lines(2)
    scene.speaker.push(scene.messages, 0, [first, second._replace(signature=first.signature)])


def another_ones_signature(scene: Scene) -> None:
    (entry,) = chain(SigningKey(b"s" * 32), 1, [PLAIN])
    scene.speaker.push(scene.messages, 0, [entry])


def a_changed_body(scene: Scene) -> None:
    first, second = scene.lines(2)
    scene.speaker.push(scene.messages, 0, [pack(first)[:-1] + b"?", second])


def a_truncated_entry(scene: Scene) -> None:
    scene.speaker.push(scene.messages, 0, [pack(scene.lines(1)[0])[:40]])


def an_oversized_entry(scene: Scene) -> None:
    scene.speaker.push(scene.messages, 0, [bytes(PACKED_BYTES_MAX + 1)])


def two_entries_the_wrong_way_round(scene: Scene) -> None:
    first, second = scene.lines(2)
    scene.speaker.push(scene.messages, 0, [second, first])


RUNS: dict[str, tuple[str, Callable[[Scene], None]]] = {
    act.__name__: (reason, act)
    for reason, act in (
        ("no-predecessor", no_predecessor),
        ("bad-signature", another_predecessor_than_was_signed),
        ("unknown-feed", unknown_feed),
        ("unknown-feed", unknown_feed_that_says_nothing_of_itself),
        ("fact-misplaced", unknown_feed_with_another_ones_certificate),
        ("certificate-issuer", unknown_feed_vouched_by_nobody),
        ("wrong-lane", messages_in_a_control_feed),
        ("bad-signature", bad_signature),
        ("bad-signature", another_ones_signature),
        ("bad-signature", a_changed_body),
        ("bad-signature", two_entries_the_wrong_way_round),
        ("entry-malformed", a_truncated_entry),
        ("entry-oversized", an_oversized_entry),
    )
}


@pytest.mark.parametrize("name", RUNS)
def test_a_bad_run_is_left_out_whole_counted_once_and_nothing_held_is_lost(name: str) -> None:
    reason, act = RUNS[name]
    scene = Scene()
    scene.vouch()
    before = everything(scene.bilal)
    act(scene)
    assert scene.bilal.counts == {reason: 1}
    after = everything(scene.bilal)
    assert after == {**before, **after}
    assert len(scene.bilal.held(scene.messages)) == (act is another_predecessor_than_was_signed)
    # The link goes on, and what is right is taken from the same mouth.
    scene.speaker.push(scene.messages, 0, scene.lines(3))
    assert scene.bilal.held(scene.messages) == scene.lines(3)
    assert not scene.speaker.has_ended()


def test_a_refusal_is_written_with_the_next_commit_and_not_before() -> None:
    scene = Scene()
    scene.bilal.withholds = True
    bad_signature(scene)
    waiting = scene.bilal.waiting
    assert waiting is not None
    assert dict(waiting.counts) == {"unknown-feed": 1}
    assert scene.bilal.counts == {}
    scene.bilal.release()
    assert scene.bilal.counts == {"unknown-feed": 1}


def test_lane_three_is_never_pushed_to_anybody() -> None:
    scene = Scene()
    scene.vouch()
    (entry,) = chain(scene.identity.feed_key, 3, [PLAIN])
    scene.speaker.push(entry.log, 0, [entry])
    assert scene.speaker.has_ended()
    assert scene.bilal.counts == {"lane-unwanted": 1}
    home = scene.bilal.home
    intake = Intake(home.store.states(), set(), home.roster, home.identity.control_keys)
    with pytest.raises(Refused, match="wrong-lane"):
        intake.judge(entry.log, 0, None, [pack(entry)], NOW_S)


# What is said in a control entry may be false: the entry is kept for others all the same.


def sealed_with_another_organisation_s_key(scene: Scene) -> Entry:
    data = device_certificate_data(scene.identity.device_certificate, scene.identity.issuer_certificate)
    return scene.control_entry(DEVICE_CERTIFICATE, data, control_keys=(b"k" * 32,))


def too_short_to_be_a_statement(scene: Scene) -> Entry:
    last = scene.mallory.held(scene.control)[-1]
    return chain(scene.identity.device_key, 0, [(b"", bytes([BODY_CONTROL]) + bytes(8))], after=last)[0]


def a_statement_of_no_known_kind(scene: Scene) -> Entry:
    return scene.control_entry(DEVICE_CERTIFICATE, cbor.encode([77, b"from the future"]))


def a_body_of_no_known_kind(scene: Scene) -> Entry:
    last = scene.mallory.held(scene.control)[-1]
    return chain(scene.identity.device_key, 0, [(b"", b"\x09 from the future")], after=last)[0]


def another_device_s_certificate(scene: Scene) -> Entry:
    hq = scene.hq.home.identity
    return scene.control_entry(
        DEVICE_CERTIFICATE, device_certificate_data(hq.device_certificate, hq.issuer_certificate)
    )


def a_certificate_that_lacks_its_registrar(scene: Scene) -> Entry:
    return scene.control_entry(DEVICE_CERTIFICATE, cbor.encode([DEVICE_CERTIFICATE, b"only one part"]))


def a_prekey_that_is_none(scene: Scene) -> Entry:
    return scene.control_entry(PREKEY_BUNDLE, prekey_bundle_data(b"short"))


def a_proof_that_names_one_entry_twice(scene: Scene) -> Entry:
    entry = scene.mallory.held(scene.control)[0]
    data = fork_proof_data(entry.header, entry.signature, entry.header, entry.signature)
    return scene.control_entry(FORK_PROOF, data)


def a_proof_with_a_forged_half(scene: Scene) -> Entry:
    true = scene.hq.held(LogId(scene.hq.device, 0))[0]
    (false,) = chain(SigningKey(b"s" * 32), 0, [PLAIN])
    false = false._replace(feed=true.feed)
    data = fork_proof_data(true.header, true.signature, false.header, false.signature)
    return scene.control_entry(FORK_PROOF, data)


def a_proof_of_no_headers(scene: Scene) -> Entry:
    return scene.control_entry(FORK_PROOF, fork_proof_data(b"a", bytes(64), b"b", bytes(64)))


def a_page_of_the_list_by_another_than_its_keeper(scene: Scene) -> Entry:
    return scene.control_entry(FEED_PAGE, feed_page_data(bytes(4), scene.identity.device))


FACTS: dict[str, tuple[str, Callable[[Scene], Entry]]] = {
    act.__name__: (reason, act)
    for reason, act in (
        ("control-sealed", sealed_with_another_organisation_s_key),
        ("control-malformed", too_short_to_be_a_statement),
        ("control-malformed", a_statement_of_no_known_kind),
        ("body-kind-unknown", a_body_of_no_known_kind),
        ("fact-misplaced", another_device_s_certificate),
        ("fact-malformed", a_certificate_that_lacks_its_registrar),
        ("prekey-malformed", a_prekey_that_is_none),
        ("fork-proof", a_proof_that_names_one_entry_twice),
        ("fork-proof", a_proof_with_a_forged_half),
        ("feed-page", a_page_of_the_list_by_another_than_its_keeper),
        ("entry-malformed", a_proof_of_no_headers),
    )
}


@pytest.mark.parametrize("name", FACTS)
def test_a_false_statement_is_counted_and_its_entry_is_kept_for_others(name: str) -> None:
    reason, act = FACTS[name]
    scene = Scene()
    scene.vouch()
    entry = act(scene)
    facts = scene.bilal.home.store.facts()
    scene.speaker.push(scene.control, entry.seq, [entry])
    assert scene.bilal.counts == {reason: 1}
    assert scene.bilal.held(scene.control)[-1] == entry
    assert scene.bilal.home.store.facts() == facts
    assert scene.bilal.home.store.frozen() == set()
    assert scene.hq.held(scene.control)[-1] == entry


# Who may write, and until when.


def test_a_revoked_feed_is_taken_up_to_its_cut_and_no_further() -> None:
    scene = Scene()
    scene.vouch()
    lines = scene.lines(6)
    scene.speaker.push(scene.messages, 0, lines[:2])
    put_out = revocation(scene.hq.home.identity, scene.identity, cuts=((scene.identity.feed, 1, 3),))
    statement = Statement(put_out.kind, put_out.data)
    hq = scene.hq
    hq.act(lambda: hq.home.commit(_batch(hq, statement), scene.mesh.wall_ms))
    scene.mesh.run()
    speaker = Speaker(scene.bilal, scene.mesh.identity("Zara"))
    speaker.greet()
    speaker.push(scene.messages, 2, lines[2:], prev=lines[1].id)
    assert scene.bilal.held(scene.messages) == lines[:4]
    speaker.push(scene.messages, 4, lines[4:])
    assert scene.bilal.held(scene.messages) == lines[:4]
    assert scene.bilal.counts["feed-revoked"] == 2
    assert scene.hq.held(scene.messages) == lines[:4]


def _batch(node: EngineNode, statement: Statement) -> Batch:
    return Batch(drafts=(control_draft(statement, node.home.identity),))


def test_what_a_member_wrote_long_after_his_certificate_ended_is_refused() -> None:
    scene = Scene()
    scene.vouch()
    ends_s = scene.identity.feed_vouched().expires + CERTIFICATE_GRACE_S
    hq = scene.hq
    for day in (60, 119, 122):
        # Headquarters goes on, so the others believe that time does too.
        scene.mesh.now = day * DAY_S
        hq.act(lambda: desk.renew_certificates(hq.home, scene.mesh.wall_ms))
        scene.mesh.run()
    good = chain(scene.identity.feed_key, 1, [PLAIN], time_ms=ends_s * 1_000)
    late = chain(scene.identity.feed_key, 1, [PLAIN], after=good[0], time_ms=(ends_s + 1) * 1_000)
    scene.speaker.push(scene.messages, 0, good)
    scene.speaker.push(scene.messages, 1, late)
    assert scene.bilal.held(scene.messages) == good
    assert scene.bilal.counts == {"certificate-expired": 1}


def test_a_newcomer_takes_a_feed_whose_renewals_stand_further_up_in_it() -> None:
    mesh = Mesh("Headquarters")
    (hq,) = mesh.nodes
    for month in range(1, 8):
        mesh.now = month * 31 * DAY_S
        assert hq.act(lambda: desk.renew_certificates(hq.home, mesh.wall_ms))
    mesh.village.hq = hq.home.identity
    mesh.village.now_s = mesh.wall_ms // 1_000
    bilal = EngineNode(mesh, MemoryHome.moved_in(mesh.village.admit("Bilal"), Entropy("late"), mesh.wall_ms))
    mesh.connect(hq, bilal)
    mesh.run()
    assert bilal.counts == {}
    assert everything(hq).items() <= everything(bilal).items()


# What was learned from a run that was not kept.


def test_a_certificate_whose_first_coming_was_refused_is_written_down_when_it_comes_rightly() -> None:
    scene = Scene()
    certificate, *rest = scene.mallory.held(scene.control)
    scene.speaker.push(scene.control, 0, [certificate._replace(signature=bytes(64))])
    assert scene.bilal.counts == {"bad-signature": 1}
    scene.speaker.push(scene.control, 0, [certificate, *rest])
    restarted = MemoryHome(scene.bilal.home.identity, scene.bilal.home.store)
    assert restarted.roster.device(scene.identity.device) is not None


@pytest.mark.parametrize("times", [1, 3])
def test_a_certificate_whose_commit_failed_is_written_down_when_it_comes_again(times: int) -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    bilal.disk_full = True
    for _ in range(times):
        mesh.connect(hq, bilal)
        mesh.run()
        assert hq.device not in {fact.feed for fact in bilal.home.store.facts()}
    bilal.disk_full = False
    mesh.connect(hq, bilal)
    mesh.run()
    restarted = MemoryHome(bilal.home.identity, bilal.home.store)
    assert restarted.roster.device(hq.device) is not None
    assert restarted.roster.feed(hq.home.identity.feed) is not None


def test_what_a_failed_commit_held_counts_as_nothing_for_the_next_run() -> None:
    scene = Scene()
    scene.vouch()
    scene.bilal.withholds = True
    lines = scene.lines(4)
    scene.speaker.push(scene.messages, 0, lines[:2])
    assert scene.bilal.waiting is not None
    scene.bilal.withholds = False
    scene.bilal.fail()
    scene.mesh.run()
    assert scene.speaker.has_ended()
    assert scene.bilal.held(scene.messages) == []
    again = Speaker(scene.bilal, scene.identity)
    again.greet()
    again.push(scene.messages, 2, lines[2:])
    assert scene.bilal.counts["no-predecessor"] == 1
    again.push(scene.messages, 0, lines)
    assert scene.bilal.held(scene.messages) == lines


def test_runs_that_build_on_each_other_are_taken_into_one_commit() -> None:
    scene = Scene()
    scene.vouch()
    scene.bilal.withholds = True
    lines = scene.lines(6)
    scene.speaker.push(scene.messages, 0, lines[:1])
    before = len(scene.bilal.commits())
    for start in (1, 3, 5):
        scene.speaker.push(scene.messages, start, lines[start : start + 2], run=False)
    scene.mesh.run()
    scene.bilal.release()
    waiting = scene.bilal.waiting
    assert waiting is not None
    assert waiting.entries == tuple(lines[1:])
    scene.bilal.release()
    assert scene.bilal.held(scene.messages) == lines
    assert len(scene.bilal.commits()) - before <= 2
    assert scene.bilal.counts == {}


def test_holes_are_filled_from_above_and_from_below() -> None:
    scene = Scene()
    scene.vouch()
    lines = scene.lines(9)
    for start, stop in ((6, 8), (2, 4), (0, 2), (8, 9), (4, 6)):
        scene.speaker.push(scene.messages, start, lines[start:stop], prev=lines[start - 1].id if start else None)
    assert scene.bilal.held(scene.messages) == lines
    assert scene.bilal.counts == {}


def test_a_run_that_comes_again_changes_nothing_and_is_no_fault() -> None:
    scene = Scene()
    scene.vouch()
    lines = scene.lines(3)
    for _ in range(3):
        scene.speaker.push(scene.messages, 0, lines)
    assert scene.bilal.held(scene.messages) == lines
    assert scene.bilal.counts == {}
    assert scene.speaker.runs_done == 5


# A peer that brings too much of it.


def test_a_peer_that_is_refused_too_often_is_left() -> None:
    scene = Scene()
    scene.vouch()
    bad = pack(scene.lines(1)[0])[:40]
    for _ in range(REFUSALS_MAX):
        scene.speaker.push(scene.messages, 0, [bad])
    assert not scene.speaker.has_ended()
    scene.speaker.push(scene.messages, 0, [bad])
    assert scene.speaker.has_ended()
    assert scene.bilal.counts == {"entry-malformed": REFUSALS_MAX + 1, "too-many-refusals": 1}


def test_a_peer_is_not_blamed_for_what_it_took_before_the_author_was_revoked() -> None:
    scene = Scene()
    scene.vouch()
    scene.speaker.push(scene.messages, 0, scene.lines(1))
    put_out = revocation(scene.hq.home.identity, scene.identity, cuts=((scene.identity.feed, 1, 0),))
    statement = Statement(put_out.kind, put_out.data)
    hq = scene.hq
    hq.act(lambda: hq.home.commit(_batch(hq, statement), scene.mesh.wall_ms))
    scene.mesh.run()
    honest = Speaker(scene.bilal, scene.mesh.identity("Zara"))
    honest.greet()
    lines = scene.lines(REFUSALS_MAX + 9)
    for line in lines[1:]:
        honest.push(scene.messages, line.seq, [line], prev=line.prev)
    assert not honest.has_ended()
    assert scene.bilal.counts["feed-revoked"] == REFUSALS_MAX + 8
