"""Links from their first byte to their end: who is believed, what it costs, and which of two links stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.author import control_draft
from beepmesh.channel import PREAMBLE, Door
from beepmesh.events import Commit, FrameReceived, HangUp, LinkUp, PeerJoined, PeerLeft, SendFrames
from beepmesh.links import EARLY_BYTES_MAX, HANDSHAKE_S
from beepmesh.store.contract import Batch, Statement
from sync import cbor
from tests.engines import FRAME_BYTES_MAX, Cable, EngineNode, MemoryHome, Mesh
from tests.speaker import Speaker
from tests.trust.village import DAY_S, Entropy, facts_of, revocation

ASKED_BYTES_MIN = 300  # A certificate and its registrar's.


def acquainted(*names: str) -> Mesh:
    """Nodes that have met and parted."""
    mesh = Mesh(*names)
    for number, node in enumerate(mesh.nodes):
        for other in mesh.nodes[:number]:
            part(mesh, mesh.connect(node, other))
    return mesh


def part(mesh: Mesh, cable: Cable) -> None:
    mesh.run()
    cable.cut()
    mesh.run()


def joined(node: EngineNode) -> list[int]:
    """The links on which a member is told to be, in order."""
    links: list[int] = []
    for told in node.told:
        match told:
            case PeerJoined(link):
                links.append(link)
            case PeerLeft(link):
                links.remove(link)
            case _:
                pass
    return links


def reasons(node: EngineNode) -> list[str]:
    return [output.reason for output in node.outputs if isinstance(output, HangUp)]


# Introductions.


def test_a_stranger_is_asked_for_its_certificate_and_a_known_device_is_not() -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    first = Speaker(hq, bilal.home.identity)
    part(mesh, first.cable)
    assert first.asked == 1
    part(mesh, mesh.connect(hq, bilal))
    again = Speaker(hq, bilal.home.identity)
    mesh.run()
    assert again.asked == 0


def test_a_link_of_two_who_know_each_other_and_are_level_costs_so_many_bytes() -> None:
    mesh = acquainted("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    cable = mesh.connect(hq, bilal)
    mesh.run()
    # Three Noise messages with 16 B ids and the preamble (260 B); a HELLO each way (48 to 54 B sealed).
    assert cable.frames_sent == 5
    assert cable.bytes_sent <= 370
    strangers = Mesh("Headquarters", "Bilal")
    first = strangers.connect(strangers.nodes[0], strangers.nodes[1])
    strangers.run()
    assert first.bytes_sent - cable.bytes_sent > 2 * ASKED_BYTES_MIN


def test_each_end_asks_only_where_it_does_not_know() -> None:
    mesh = Mesh("Headquarters", "Bilal", "Dawood")
    hq, bilal, dawood = mesh.nodes
    part(mesh, mesh.connect(hq, bilal))
    for fact in facts_of(dawood.home.identity):
        bilal.home.roster.learn(fact)
    mesh.connect(dawood, bilal)
    mesh.run()
    assert joined(bilal)
    assert joined(dawood)


def test_a_certificate_that_comes_by_another_way_while_it_is_asked_for_is_no_fault() -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    mesh.connect(hq, bilal)
    cable = mesh.cables[0]
    while cable.frames_sent < 4:  # Three of the handshake, and the first question.
        mesh.happenings()[0]()
    for one, other in ((hq, bilal), (bilal, hq)):
        for fact in facts_of(other.home.identity):
            one.home.roster.learn(fact)
    mesh.run()
    assert joined(hq)
    assert joined(bilal)
    assert hq.counts == bilal.counts == {}


@pytest.mark.parametrize(
    "reason", ["certificate-issuer", "certificate-link-key", "certificate-signature", "certificate-malformed"]
)
def test_a_certificate_that_proves_nothing_ends_the_link_under_its_name(reason: str) -> None:
    mesh = Mesh("Headquarters")
    (hq,) = mesh.nodes
    bilal, zara = mesh.identity("Bilal"), mesh.identity("Zara")
    speaker = {
        "certificate-issuer": lambda: Speaker(
            hq, bilal, certificates=(zara.device_certificate, zara.issuer_certificate)
        ),
        "certificate-link-key": lambda: Speaker(hq, bilal, link_key=zara.link_key),
        "certificate-signature": lambda: Speaker(
            hq, bilal, certificates=(changed(bilal.device_certificate), bilal.issuer_certificate)
        ),
        "certificate-malformed": lambda: Speaker(hq, bilal, certificates=(b"", b"")),
    }[reason]()
    mesh.run()
    assert speaker.has_ended()
    assert hq.counts == {reason: 1}
    assert joined(hq) == []


def changed(certificate: bytes) -> bytes:
    return certificate[:-1] + bytes([certificate[-1] ^ 1])


def test_a_certificate_of_another_organisation_ends_the_link_even_with_a_stolen_link_secret() -> None:
    mesh = Mesh("Headquarters")
    (hq,) = mesh.nodes
    elsewhere = Mesh()
    elsewhere.village.entropy = Entropy("elsewhere")
    elsewhere.village.__post_init__()
    thief = Speaker(hq, elsewhere.identity("Zara"), psk=hq.home.identity.link_psks[0])
    mesh.run()
    assert thief.has_ended()
    assert hq.counts == {"certificate-issuer": 1}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("days", "reason"), [(119, ""), (121, "certificate-expired")])
def test_a_certificate_serves_for_thirty_days_beyond_its_end(days: int, reason: str, known: bool) -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    if known:
        part(mesh, mesh.connect(hq, bilal))
    # Headquarters itself goes on, so it believes its clock.
    mesh.now = days * DAY_S
    mesh.village.now_s += days * DAY_S
    for fact in facts_of(mesh.identity("Zara")):
        hq.home.roster.learn(fact)
    speaker = Speaker(hq, bilal.home.identity)
    mesh.run()
    assert speaker.has_ended() == bool(reason)
    assert hq.counts == ({reason: 1} if reason else {})


@pytest.mark.parametrize("known", [True, False])
def test_a_revoked_device_is_sent_away(known: bool) -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    if known:
        part(mesh, mesh.connect(hq, bilal))
    hq.home.roster.learn(revocation(hq.home.identity, bilal.home.identity))
    speaker = Speaker(hq, bilal.home.identity)
    mesh.run()
    assert speaker.has_ended()
    assert hq.counts == {"certificate-revoked": 1}


def test_a_device_that_is_revoked_while_it_is_linked_is_sent_away() -> None:
    mesh = Mesh("Headquarters", "Bilal", "Dawood")
    hq, bilal, dawood = mesh.nodes
    for one, other in ((hq, bilal), (hq, dawood), (bilal, dawood)):
        mesh.connect(one, other)
    mesh.run()
    fact = revocation(hq.home.identity, bilal.home.identity)
    draft = control_draft(Statement(fact.kind, fact.data), hq.home.identity)
    hq.act(lambda: hq.home.commit(Batch(drafts=(draft,)), mesh.wall_ms))
    mesh.run()
    assert set(hq.engine.peers) == {dawood.device}
    assert set(dawood.engine.peers) == {hq.device}
    assert bilal.engine.peers == {}
    assert hq.counts == {"certificate-revoked": 1}
    assert dawood.counts == {"certificate-revoked": 1}


# Outsiders and the silent.


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"", "not-beepmesh"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-beepmesh"),
        (PREAMBLE + bytes(48), "outsider"),
        (PREAMBLE + bytes(65_000), "outsider"),
        (b"BM\x01\x02" + bytes(48), "not-beepmesh"),
    ],
)
def test_an_outsider_hears_nothing_and_is_counted(first: bytes, reason: str) -> None:
    mesh = Mesh("Headquarters")
    (hq,) = mesh.nodes
    psks = hq.home.identity.link_psks
    outputs = hq.engine.handle(
        LinkUp(7, False, "memory", "", FRAME_BYTES_MAX, tuple(Door(psk, None) for psk in psks)), 0.0
    )
    assert not [output for output in outputs if isinstance(output, SendFrames)]
    assert hq.engine.handle(FrameReceived(7, first), 0.0) == [HangUp(7, reason)]
    (commit,) = hq.engine.flush()
    assert isinstance(commit, Commit)
    assert dict(commit.batch.counts) == {reason: 1}
    assert hq.engine.handle(FrameReceived(7, first), 0.0) == []


def test_who_does_not_prove_himself_in_time_is_left() -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    cable = mesh.connect(hq, bilal)
    cable.queues[1].clear()  # The first frame is lost for good.
    mesh.run(seconds=HANDSHAKE_S - 1)
    assert reasons(hq) == reasons(bilal) == []
    mesh.run(seconds=2)
    assert reasons(hq) == reasons(bilal) == ["handshake-timeout"]
    assert hq.counts == bilal.counts == {"handshake-timeout": 1}


def test_the_silent_are_left_in_time_however_much_others_talk() -> None:
    mesh = acquainted("Headquarters", "Bilal", "Dawood")
    hq, bilal, dawood = mesh.nodes
    mesh.connect(hq, bilal)
    silent = mesh.connect(hq, dawood)
    silent.queues[1].clear()
    bilal.send("Dawood", "Anybody there?")
    mesh.run(seconds=HANDSHAKE_S + 1)
    assert hq.counts == {"handshake-timeout": 1}


def test_a_proved_link_is_never_overdue() -> None:
    mesh = acquainted("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    mesh.connect(hq, bilal)
    mesh.run(seconds=10 * HANDSHAKE_S)
    assert len(joined(hq)) == len(joined(bilal)) == 1


def test_a_node_that_meets_itself_goes_away_again() -> None:
    mesh = Mesh("Headquarters")
    (hq,) = mesh.nodes
    mesh.connect(hq, hq)
    mesh.run()
    assert joined(hq) == []
    assert hq.counts["own-echo"] >= 1
    assert not mesh.cables


# What is said before it is known who says it.


def test_what_a_member_says_while_its_certificate_is_under_way_is_heard_afterwards() -> None:
    mesh = Mesh("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    for fact in facts_of(hq.home.identity):
        bilal.home.roster.learn(fact)  # So Bilal begins his session at once, and headquarters still asks.
    mesh.connect(bilal, hq)
    mesh.run()
    assert joined(hq)
    assert set(hq.home.roster.devices()) == set(bilal.home.roster.devices())
    assert hq.counts == bilal.counts == {}


def test_who_talks_too_much_before_it_is_proved_is_left() -> None:
    mesh = Mesh("Headquarters")
    (hq,) = mesh.nodes
    quiet = QuietSpeaker(hq, mesh.identity("Bilal"))
    mesh.run()
    record = bytes(60_000)
    for _ in range(EARLY_BYTES_MAX // len(record)):
        quiet.say(record)
    mesh.run()
    assert not quiet.has_ended()
    quiet.say(record)
    mesh.run()
    assert quiet.has_ended()
    assert hq.counts == {"talked-before-proof": 1}


class QuietSpeaker(Speaker):
    """One who keeps his certificate to himself."""

    def on_frame(self, link: int, frame: bytes) -> None:
        answers, _ = self.channel.receive(frame)
        self.cable.send(link, answers)


@pytest.mark.parametrize(
    "record", [b"\x00", cbor.encode([9]), cbor.encode([1, b"", b"", b""]), cbor.encode([2, b"let me in"])]
)
def test_a_strange_owner_record_ends_the_link(record: bytes) -> None:
    mesh = acquainted("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    speaker = Speaker(hq, bilal.home.identity)
    mesh.run()
    speaker.say(record, owner=True)
    mesh.run()
    assert speaker.has_ended()
    assert hq.counts == {"owner-record": 1}


def test_a_certificate_that_nobody_asked_for_ends_the_link() -> None:
    mesh = acquainted("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    me = bilal.home.identity
    speaker = Speaker(hq, me)
    mesh.run()
    speaker.say(cbor.encode([1, me.device_certificate, me.issuer_certificate]), owner=True)
    mesh.run()
    assert hq.counts == {"owner-record": 1}


# One link for each pair.


@settings(max_examples=80)
@given(data=st.data(), known=st.booleans(), dials=st.lists(st.booleans(), min_size=2, max_size=3))
def test_of_several_links_both_ends_keep_the_same_one_whoever_dials_and_however_they_interleave(
    data: st.DataObject, known: bool, dials: list[bool]
) -> None:
    mesh = acquainted("Headquarters", "Bilal") if known else Mesh("Headquarters", "Bilal")
    one, other = mesh.nodes
    # Each dial happens at some moment of what the earlier ones do.
    for forth in dials:
        mesh.connect(*((one, other) if forth else (other, one)))
        for _ in range(data.draw(st.integers(0, 8), label="steps")):
            able = mesh.happenings()
            if able:
                able[data.draw(st.integers(0, len(able) - 1), label="pick")]()
    mesh.run(lambda count: data.draw(st.integers(0, count - 1), label="pick"))
    assert len(mesh.cables) == 1
    (cable,) = mesh.cables
    ends = {id(end): number for end, number in zip(cable.ends, cable.numbers, strict=True)}
    for node in (one, other):
        assert joined(node) == [ends[id(node)]]
        assert node.counts == {}
    # And it works.
    message = one.send(other.name, "Hello")
    mesh.run()
    assert one.state_of(message) == ["delivered"]


def test_a_new_link_replaces_one_that_its_dialler_has_forgotten() -> None:
    mesh = acquainted("Headquarters", "Bilal")
    hq, bilal = mesh.nodes
    stale = mesh.connect(bilal, hq)
    mesh.run()
    mesh.nodes.remove(bilal)
    again = EngineNode(mesh, MemoryHome(bilal.home.identity, bilal.home.store))
    mesh.nodes.append(again)
    fresh = mesh.connect(again, hq)
    mesh.run()
    assert joined(hq) == [fresh.numbers[1]]
    assert joined(again) == [fresh.numbers[0]]
    assert all(stale.ending)


def test_a_link_whose_other_end_has_forgotten_it_is_found_out_when_that_end_dials() -> None:
    mesh = acquainted("Headquarters", "Bilal")
    smaller, larger = sorted(mesh.nodes, key=lambda node: node.device)
    stale = mesh.connect(smaller, larger)
    mesh.run(seconds=HANDSHAKE_S + 1)
    before = stale.frames_sent
    mesh.nodes.remove(larger)
    again = EngineNode(mesh, MemoryHome(larger.home.identity, larger.home.store))
    mesh.nodes.append(again)
    mesh.connect(again, smaller)
    mesh.run()
    # The old link wins by law 2, but it is spoken on at once: a host that has forgotten it answers with a reset.
    assert stale.frames_sent > before
