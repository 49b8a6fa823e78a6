"""Opening what is sealed to this device: found by its hint, proved by its binding, and never used up by a try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh import desk
from beepmesh.crypto.payload import pack as pack_payload
from beepmesh.crypto.seal import CROWD_BYTES, HEAD_BYTES, SLOT_BYTES, WRAPS_MAX, Recipient, hint, hint_key, seal
from beepmesh.errors import Refused
from beepmesh.events import MessageArrived
from beepmesh.messages.content import Text, encode_content
from beepmesh.messages.entry import Entry, pack
from beepmesh.reading import Reader
from beepmesh.trust.facts import PREKEY_BUNDLE
from sync import wire
from sync.logs import LogId
from tests.engines import NOW_MS, EngineNode, MemoryHome, Mesh
from tests.speaker import Speaker, chain
from tests.trust.village import DAY_S, facts_of

SECRET = "Bridge at Kund is out."


@dataclass
class Scene:
    """Everybody knows everybody; Ayesha has written to Bilal; Mallory is a member who has seen it pass."""

    mesh: Mesh = field(default_factory=lambda: Mesh("Headquarters", "Ayesha", "Bilal", "Mallory"))

    def __post_init__(self) -> None:
        self.hq, self.ayesha, self.bilal, self.mallory = self.mesh.nodes
        for node in (self.ayesha, self.bilal, self.mallory):
            self.mesh.connect(self.hq, node)
        self.mesh.run()
        for cable in self.mesh.cables:
            cable.cut()
        self.mesh.run()
        self.message = self.ayesha.send("Bilal", SECRET)
        (self.entry,) = self.ayesha.held(LogId(self.ayesha.home.identity.feed, 1))

    def say(self, speaker: EngineNode, entry: Entry) -> None:
        """Push one entry to Bilal, whoever wrote it."""
        mouth = Speaker(self.bilal, speaker.home.identity)
        mouth.greet()
        mouth.push(entry.log, entry.seq, [entry])
        mouth.cable.cut()
        self.mesh.run()

    def hint_of(self, writer: EngineNode, lane: int, seq: int) -> bytes:
        """By which Bilal will try an entry that this device writes there."""
        key = hint_key(writer.home.identity.link_key, self.bilal.home.identity.link_key.public)
        return hint(key, self.bilal.device, writer.home.identity.feed, lane, seq)

    def assert_the_real_one_opens(self) -> None:
        self.say(self.ayesha, self.entry)
        assert self.bilal.texts() == [SECRET]
        assert self.bilal.arrived().count(bytes.fromhex(self.message)) == 1


def reader_of(node: EngineNode) -> Reader:
    return Reader(node.home.identity, node.home.roster)


def test_only_the_recipient_finds_anything_and_it_opens_once() -> None:
    scene = Scene()
    assert reader_of(scene.hq).open(scene.entry, NOW_MS) is None
    assert reader_of(scene.mallory).open(scene.entry, NOW_MS) is None
    scene.assert_the_real_one_opens()
    scene.say(scene.ayesha, scene.entry)
    assert scene.bilal.texts() == [SECRET]
    assert len(scene.bilal.arrived()) == 1


def test_the_reader_learns_who_writes_under_a_feed_and_looks_for_that_one_only() -> None:
    scene = Scene()
    reader = reader_of(scene.bilal)
    assert set(reader.candidates(scene.entry.feed)) == {node.device for node in scene.mesh.nodes}
    letter = reader.open(scene.entry, NOW_MS)
    assert letter is not None
    assert letter.payload.sender == scene.ayesha.device
    assert reader.candidates(scene.entry.feed) == (scene.ayesha.device,)


def test_an_own_entry_is_not_read_back() -> None:
    scene = Scene()
    assert reader_of(scene.ayesha).find(scene.entry, [scene.ayesha.device]) is None


@settings(max_examples=25)
@given(slot=st.integers(0, WRAPS_MAX - 1), count=st.integers(1, WRAPS_MAX), noise=st.binary(min_size=96, max_size=96))
def test_the_hint_finds_the_slot_among_many(slot: int, count: int, noise: bytes) -> None:
    scene = SHARED
    slot %= count
    hints = b"".join(
        noise[at : at + 4] if at >> 2 != slot else scene.hint_of(scene.ayesha, 1, 0) for at in range(0, 4 * count, 4)
    )
    found = reader_of(scene.bilal).find(scene.entry._replace(hints=hints), [scene.hq.device, scene.ayesha.device])
    assert found is not None
    assert hints[4 * found[0] :][:4] == scene.hint_of(scene.ayesha, 1, 0)
    assert found[1] == scene.ayesha.device


SHARED = Scene()


def test_a_full_envelope_opens_at_the_slot_that_is_ours() -> None:
    scene = Scene()
    bilal, ayesha = scene.bilal.home, scene.ayesha.home
    bundle = ayesha.roster.bundle(bilal.identity.device, NOW_MS // 1_000)
    assert bundle is not None
    others = [
        Recipient(bytes([number]) * 16, bytes([number]) * 32, bundle, bytes([number]) * 32)
        for number in range(WRAPS_MAX - 1)
    ]
    key = hint_key(ayesha.identity.link_key, bilal.identity.link_key.public)
    ours = Recipient(bilal.identity.device, bilal.identity.device_key.public, bundle, key)
    content = encode_content(Text(b"m" * 16, (bilal.identity.person,), "", SECRET, 2))
    hints, body = seal(
        pack_payload(content),
        org=ayesha.identity.org,
        sender_device=ayesha.identity.device,
        sender_key=ayesha.identity.device_key,
        feed_public=ayesha.identity.feed_key.public,
        feed=ayesha.identity.feed,
        lane=1,
        seq=1,
        recipients=[*others[:17], ours, *others[17:]],
        entropy=scene.mesh.village.entropy,
        crowd=bytes(CROWD_BYTES),
    )
    (entry,) = chain(ayesha.identity.feed_key, 1, [(hints, body)], after=scene.entry)
    letter = reader_of(scene.bilal).open(entry, NOW_MS)
    assert letter is not None
    assert letter.payload.content == content
    assert (letter.token, letter.note) == (None, None)


# An insider who copies.


def copied_whole(scene: Scene) -> Entry:
    """Hints and body as they are, in a feed of his own: the hint fits nobody there."""
    return chain(scene.mallory.home.identity.feed_key, 1, [(scene.entry.hints, scene.entry.body or b"")])[0]


def copied_body_under_his_own_hint(scene: Scene) -> Entry:
    return chain(
        scene.mallory.home.identity.feed_key, 1, [(scene.hint_of(scene.mallory, 1, 0), scene.entry.body or b"")]
    )[0]


def copied_slot_beside_his_own_body(scene: Scene) -> Entry:
    body = scene.entry.body or b""
    own = body[: HEAD_BYTES + SLOT_BYTES] + bytes(len(body) - HEAD_BYTES - SLOT_BYTES)
    return chain(scene.mallory.home.identity.feed_key, 1, [(scene.hint_of(scene.mallory, 1, 0), own)])[0]


def no_envelope_at_all(scene: Scene) -> Entry:
    return chain(scene.mallory.home.identity.feed_key, 1, [(scene.hint_of(scene.mallory, 1, 0), b"\x01\x01")])[0]


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        (copied_whole, ""),
        (copied_body_under_his_own_hint, "envelope-binding"),
        (copied_slot_beside_his_own_body, "envelope-binding"),
        (no_envelope_at_all, "envelope-malformed"),
    ],
)
def test_an_insider_who_copies_is_refused_and_the_real_message_still_opens(
    copy: Callable[[Scene], Entry], reason: str
) -> None:
    scene = Scene()
    scene.say(scene.mallory, copy(scene))
    assert scene.bilal.texts() == []
    assert scene.bilal.counts == ({reason: 1} if reason else {})
    scene.assert_the_real_one_opens()


def test_an_insider_cannot_write_in_another_one_s_name() -> None:
    """He signs with his own key an envelope that names Ayesha as the sender."""
    scene = Scene()
    bilal, me = scene.bilal.home, scene.mallory.home
    bundle = me.roster.bundle(bilal.identity.device, NOW_MS // 1_000)
    assert bundle is not None
    key = hint_key(me.identity.link_key, bilal.identity.link_key.public)
    hints, body = seal(
        pack_payload(encode_content(Text(b"f" * 16, (), "everyone", "Go home.", 2))),
        org=me.identity.org,
        sender_device=scene.ayesha.device,
        sender_key=me.identity.device_key,
        feed_public=me.identity.feed_key.public,
        feed=me.identity.feed,
        lane=1,
        seq=0,
        recipients=[Recipient(bilal.identity.device, bilal.identity.device_key.public, bundle, key)],
        entropy=scene.mesh.village.entropy,
        crowd=bytes(CROWD_BYTES),
    )
    (entry,) = chain(me.identity.feed_key, 1, [(hints, body)])
    scene.say(scene.mallory, entry)
    assert scene.bilal.texts() == []
    assert scene.bilal.counts == {"envelope-binding": 1}


def test_a_true_envelope_with_nonsense_inside_is_counted_and_shown_to_nobody() -> None:
    scene = Scene()
    bilal, me = scene.bilal.home, scene.mallory.home
    bundle = me.roster.bundle(bilal.identity.device, NOW_MS // 1_000)
    assert bundle is not None
    key = hint_key(me.identity.link_key, bilal.identity.link_key.public)
    bodies: list[tuple[bytes, bytes]] = []
    for seq, payload in enumerate((b"\xffno payload", pack_payload(b"\xff"))):
        bodies.append(
            seal(
                payload,
                org=me.identity.org,
                sender_device=me.identity.device,
                sender_key=me.identity.device_key,
                feed_public=me.identity.feed_key.public,
                feed=me.identity.feed,
                lane=1,
                seq=seq,
                recipients=[Recipient(bilal.identity.device, bilal.identity.device_key.public, bundle, key)],
                entropy=scene.mesh.village.entropy,
                crowd=bytes(CROWD_BYTES),
            )
        )
    for entry in chain(me.identity.feed_key, 1, bodies):
        scene.say(scene.mallory, entry)
    assert scene.bilal.counts == {"payload-malformed": 1, "content-malformed": 1}
    assert scene.bilal.texts() == []


def test_what_is_sealed_to_a_prekey_that_is_gone_is_counted_and_kept_for_nobody() -> None:
    scene = Scene()
    identity = scene.bilal.home.identity
    scene.bilal.engine.renew(identity.with_prekeys(identity.prekeys.empty()))
    scene.say(scene.ayesha, scene.entry)
    assert scene.bilal.counts == {"envelope-no-prekey": 1}
    assert scene.bilal.held(scene.entry.log) == [scene.entry]


def test_a_message_whose_body_was_erased_is_passed_on_and_opens_nothing() -> None:
    scene = Scene()
    scene.mesh.now += 15 * DAY_S
    scene.say(scene.ayesha, scene.entry.erased())
    assert scene.bilal.texts() == []
    assert scene.bilal.counts == {}
    assert scene.bilal.held(scene.entry.log) == [scene.entry.erased()]
    mouth = Speaker(scene.bilal, scene.hq.home.identity)
    mouth.greet()
    runs = [record for record in mouth.heard if isinstance(record, wire.Run)]
    assert pack(scene.entry.erased()) in [packed for run in runs for packed in run.packed]


# A message that overtakes its sender's certificate.


def test_an_urgent_message_that_came_before_its_sender_s_certificate_opens_when_that_comes() -> None:
    mesh = Mesh("Headquarters", "Bilal", "Zara")
    hq, bilal, zara = mesh.nodes
    for fact in (*facts_of(bilal.home.identity), *facts_of(hq.home.identity)):
        zara.home.roster.learn(fact)
    mesh.connect(hq, bilal)
    mesh.run()
    # Zara has Bilal's prekey; neither he nor headquarters has heard of her.
    prekey = next(fact for fact in bilal.home.store.facts() if fact.kind == PREKEY_BUNDLE and fact.feed == bilal.device)
    zara.home.roster.learn(prekey)
    sos = zara.send("Bilal", SECRET, priority="sos")
    other = zara.send("Headquarters", "Not for Bilal.", priority="urgent")
    feed, control = LogId(zara.home.identity.feed, 0), LogId(zara.device, 0)
    mouth = Speaker(bilal, hq.home.identity)
    mouth.greet()
    mouth.push(feed, 0, zara.held(feed))
    assert bilal.texts() == []
    assert bilal.counts == {}
    waiting = len(bilal.home.store.unopened())
    assert waiting >= 1
    # Also after a restart.
    again = EngineNode(mesh, MemoryHome(bilal.home.identity, bilal.home.store))
    mesh.nodes.append(again)
    mouth = Speaker(again, hq.home.identity)
    mouth.greet()
    mouth.push(control, 0, zara.held(control))
    mesh.run()
    assert again.texts() == [SECRET]
    assert [told.payload.message_id.hex() for told in again.told if isinstance(told, MessageArrived)] == [sos]
    assert len(again.home.store.unopened()) == waiting - 1
    assert [token.log for batch in again.commits() for token in batch.tokens] == [feed]
    assert other != sos


def test_a_message_and_its_sender_s_certificate_in_one_round_are_opened_too() -> None:
    mesh = Mesh("Headquarters", "Bilal", "Zara")
    hq, bilal, zara = mesh.nodes
    mesh.connect(hq, bilal)
    mesh.run()
    for fact in facts_of(bilal.home.identity):
        zara.home.roster.learn(fact)
    zara.home.roster.learn(
        next(fact for fact in bilal.home.store.facts() if fact.kind == PREKEY_BUNDLE and fact.feed == bilal.device)
    )
    zara.send("Bilal", SECRET, priority="urgent")
    feed, control = LogId(zara.home.identity.feed, 0), LogId(zara.device, 0)
    mouth = Speaker(bilal, hq.home.identity)
    mouth.greet()
    bilal.withholds = True
    mouth.push(control, 0, [zara.held(control)[0]._replace(signature=bytes(64))])  # Any commit, to wait behind.
    mouth.push(feed, 0, zara.held(feed), run=False)
    mouth.push(control, 0, zara.held(control), run=False)
    mesh.run()
    bilal.withholds = False
    bilal.release()
    mesh.run()
    assert bilal.texts() == [SECRET]
    assert bilal.home.store.unopened() == []


def test_reading_marks_nothing_by_itself() -> None:
    scene = Scene()
    scene.assert_the_real_one_opens()
    (shown,) = desk.inbox(scene.bilal.home, mark_read=False, now_ms=NOW_MS).messages
    assert shown.unread
    with pytest.raises(Refused, match="envelope"):
        reader_of(scene.bilal).open(copied_body_under_his_own_hint(scene), NOW_MS)
