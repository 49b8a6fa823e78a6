"""Delivery tokens among whole nodes: what was delivered is let go of everywhere, and nobody can lie about it."""

from __future__ import annotations

from itertools import combinations

import pytest

from beepmesh.crypto.seal import face_of
from beepmesh.events import MessageDelivered
from beepmesh.intake import REFUSALS_MAX
from beepmesh.messages.token import TOKEN_PACKED_BYTES, Token, pack_token, token_log, token_of
from beepmesh.store.contract import Statement
from sync.logs import LogId
from sync.wire import Run
from tests.engines import Cable, EngineNode, Mesh
from tests.speaker import Speaker, chain
from tests.test_intake import Scene, _batch
from tests.trust.village import revocation

TEXT = "The ford is deep. Take the bridge at Kund."
SECRET = bytes(range(16))


class Road:
    """Ayesha writes to Dawood, whom she does not meet; Bilal walks between them, Zara comes late. All have met once."""

    def __init__(self) -> None:
        self.mesh = Mesh("Ayesha", "Bilal", "Dawood", "Zara")
        self.ayesha, self.bilal, self.dawood, self.zara = self.mesh.nodes
        for one, other in combinations(self.mesh.nodes, 2):
            self.meet(one, other)
        self.message = self.ayesha.send("Dawood", TEXT)
        self.log = LogId(self.ayesha.home.identity.feed, 1)

    def meet(self, one: EngineNode, other: EngineNode) -> Cable:
        cable = self.mesh.connect(one, other)
        self.mesh.run()
        cable.cut()
        self.mesh.run()
        return cable

    def delivered(self) -> Token:
        """Bilal has brought it, and learned that it was opened."""
        self.meet(self.ayesha, self.bilal)
        self.meet(self.bilal, self.dawood)
        assert self.dawood.texts() == [TEXT]
        (token,) = (token for batch in self.dawood.commits() for token in batch.tokens)
        return token


def settled(node: EngineNode, log: LogId, seq: int) -> bool:
    state = node.home.store.states().get(log)
    return state is not None and seq in state.settled


def tokens_held(node: EngineNode, log: LogId) -> tuple[Token, ...]:
    return node.home.store.read(token_log(log), 0, 9, bytes_max=9_999, with_prev=False).tokens


def test_a_relay_lets_go_of_what_was_delivered_and_the_author_learns_it_without_a_receipt() -> None:
    road = Road()
    road.meet(road.ayesha, road.bilal)
    assert len(road.bilal.held(road.log)) == 1
    assert road.ayesha.state_of(road.message) == ["carried"]
    road.meet(road.bilal, road.dawood)
    assert road.bilal.held(road.log) == []
    assert road.bilal.counts == {"purged": 1}
    road.meet(road.bilal, road.ayesha)
    assert road.ayesha.state_of(road.message) == ["delivered"]
    said = [told for told in road.ayesha.told if isinstance(told, MessageDelivered)]
    assert said == [MessageDelivered(bytes.fromhex(road.message), road.dawood.home.identity.person)]
    for node in (road.ayesha, road.bilal, road.dawood):
        assert LogId(road.dawood.home.identity.feed, 1) not in node.home.store.states()
        assert len(tokens_held(node, road.log)) == 1
        assert settled(node, road.log, 0)
    # Her own message stays hers.
    assert len(road.ayesha.held(road.log)) == 1


def test_whoever_never_had_it_is_told_by_a_token_and_is_given_nothing_else() -> None:
    road = Road()
    level = road.meet(road.bilal, road.zara).bytes_sent
    road.delivered()
    cable = road.meet(road.bilal, road.zara)
    assert tokens_held(road.zara, road.log) == tokens_held(road.bilal, road.log) != ()
    assert settled(road.zara, road.log, 0)
    assert road.zara.held(road.log) == []
    assert road.bilal.engine.take_traffic(cable.numbers[0]).sent == 0
    assert cable.bytes_sent - level < TOKEN_PACKED_BYTES + 200
    for one, other in ((road.ayesha, road.zara), (road.ayesha, road.bilal), (road.zara, road.dawood)):
        road.meet(one, other)
    assert road.zara.held(road.log) == road.bilal.held(road.log) == []
    assert road.ayesha.state_of(road.message) == ["delivered"]
    assert len({frozenset(node.home.store.states()) for node in road.mesh.nodes}) == 1
    assert road.dawood.arrived() == [bytes.fromhex(road.message)]


def test_a_node_that_was_given_the_token_before_the_message_takes_neither_the_copy_nor_offence() -> None:
    road = Road()
    road.meet(road.ayesha, road.bilal)
    (entry,) = road.bilal.held(road.log)
    road.delivered()
    road.meet(road.bilal, road.zara)
    mouth = Speaker(road.zara, road.mesh.identity("Late"))
    mouth.greet()
    mouth.push(road.log, 0, [entry])
    assert mouth.runs_done == 1
    assert road.zara.held(road.log) == []
    assert road.zara.counts == {}


def test_a_message_to_two_has_no_token_and_is_carried_on() -> None:
    road = Road()
    message = road.ayesha.send("Dawood", "x")
    both = road.ayesha.send("everyone", "To all of you")
    road.meet(road.ayesha, road.bilal)
    road.meet(road.bilal, road.dawood)
    road.meet(road.bilal, road.ayesha)
    assert {road.ayesha.state_of(each)[0] for each in (message, road.message)} == {"delivered"}
    assert sorted(road.ayesha.state_of(both)) == ["carried", "delivered", "delivered"]
    assert [len(entry.hints) for entry in road.bilal.held(road.log)] == [12]


def test_what_is_read_is_still_said_by_a_receipt_and_that_one_is_let_go_of_too() -> None:
    road = Road()
    road.delivered()
    road.dawood.inbox(mark_read=True)
    road.meet(road.dawood, road.bilal)
    receipts = LogId(road.dawood.home.identity.feed, 1)
    assert len(road.bilal.held(receipts)) == 1
    road.meet(road.bilal, road.ayesha)
    assert road.ayesha.state_of(road.message) == ["read"]
    assert road.bilal.held(receipts) == []
    road.meet(road.bilal, road.dawood)
    assert not any(isinstance(told, MessageDelivered) for told in road.dawood.told), "a receipt is no message"


# Members who lie.


def bearer(road: Road, node: EngineNode) -> Speaker:
    speaker = Speaker(node, road.mesh.identity("Mallory"))
    speaker.greet()
    return speaker


def changed(token: Token, what: str) -> Token:
    other = {
        "secret": {"secret": SECRET},
        "rest": {"rest_hash": bytes(32)},
        "signature": {"signature": bytes(64)},
        "time": {"time_ms": token.time_ms + 1},
        "prev": {"prev": b"p" * 32},
        "hint": {"hints": b"mine"},
    }
    return token._replace(**other[what])  # type: ignore[arg-type]  # One dict of mixed values keeps the cases short.


@pytest.mark.parametrize("what", ["secret", "rest", "signature", "time", "prev", "hint"])
def test_a_forged_token_takes_no_message_from_anybody(what: str) -> None:
    road = Road()
    road.meet(road.ayesha, road.zara)
    token = road.delivered()
    mouth = bearer(road, road.zara)
    mouth.push(token_log(token.log), 0, [pack_token(changed(token, what))])
    assert road.zara.counts == {"token-false": 1}
    assert len(road.zara.held(road.log)) == 1
    assert not settled(road.zara, token_log(token.log), 0)
    mouth.push(token_log(token.log), 0, [pack_token(token)])
    assert road.zara.held(road.log) == []


def test_one_false_token_in_a_run_spoils_the_run_and_nothing_of_it_counts() -> None:
    scene, tokens = told_by_mallory(3)
    bad = [*tokens[:2], tokens[2]._replace(secret=bytes(16))]
    scene.speaker.push(token_log(scene.messages), 0, [pack_token(token) for token in bad])
    assert scene.bilal.counts == {"token-false": 1}
    assert token_log(scene.messages) not in scene.bilal.home.store.states()


def told_by_mallory(count: int, *, hints: bytes = b"hint") -> tuple[Scene, list[Token]]:
    """A member's own tokens, of messages to whomever, which Bilal does not hold."""
    scene = Scene()
    scene.vouch()
    entries = chain(scene.identity.feed_key, 1, [(hints, face_of(SECRET) + b"slot")] * count)
    return scene, [token_of(entry._replace(hints=hints[:4]), SECRET) for entry in entries]


def test_a_reader_among_several_cannot_make_a_token_for_all() -> None:
    scene, (token,) = told_by_mallory(1, hints=b"hintHINT")
    scene.speaker.push(token_log(scene.messages), 0, [pack_token(token)])
    assert scene.bilal.counts == {"token-false": 1}


def test_a_token_comes_in_its_own_log_and_at_its_own_place_or_not_at_all() -> None:
    scene, tokens = told_by_mallory(2)
    first = pack_token(tokens[0])
    scene.speaker.push(token_log(scene.messages), 1, [first])
    scene.speaker.push(token_log(scene.urgent), 0, [first])
    scene.speaker.push(token_log(scene.messages), 0, [first, first[:-1]])
    scene.speaker.push(LogId(token_log(scene.messages).feed, 1), 0, [first])
    scene.speaker.push(token_log(scene.messages), 2**32 - 1, [first])
    # Where no token can stand it is read as an entry, which it is not.
    assert scene.bilal.counts == {"token-false": 2, "entry-malformed": 2, "token-malformed": 1}
    assert set(scene.bilal.home.store.states()).isdisjoint({scene.messages, token_log(scene.messages)})


def test_a_token_that_comes_before_its_feed_is_known_is_nobodys_fault_and_comes_again() -> None:
    scene, tokens = told_by_mallory(1)
    late = scene.mesh.node("Zara")
    early = Speaker(late, scene.mesh.identity("Noor"))
    early.greet()
    for _ in range(REFUSALS_MAX + 9):
        early.push(token_log(scene.messages), 0, [pack_token(tokens[0])])
    assert late.counts == {"unknown-feed": REFUSALS_MAX + 9}
    assert not early.has_ended()
    scene.speaker.push(token_log(scene.messages), 0, [pack_token(tokens[0])])
    scene.mesh.nodes.append(late)
    scene.mesh.connect(scene.bilal, late)
    scene.mesh.run()
    assert tokens_held(late, scene.messages) == (tokens[0],)


def test_what_a_revoked_device_wrote_after_its_cut_has_no_tokens() -> None:
    scene, tokens = told_by_mallory(4)
    put_out = revocation(scene.hq.home.identity, scene.identity, cuts=((scene.identity.feed, 1, 1),))
    hq = scene.hq
    hq.act(lambda: hq.home.commit(_batch(hq, Statement(put_out.kind, put_out.data)), scene.mesh.wall_ms))
    scene.mesh.run()
    honest = Speaker(scene.bilal, scene.mesh.identity("Zara"))
    honest.greet()
    packed = [pack_token(token) for token in tokens]
    honest.push(token_log(scene.messages), 2, packed[2:])
    honest.push(token_log(scene.messages), 1, packed[1:])
    assert tokens_held(scene.bilal, scene.messages) == ()
    assert scene.bilal.home.store.read(token_log(scene.messages), 1, 4, bytes_max=9_999, with_prev=False).tokens == (
        tokens[1],
    )
    assert scene.bilal.counts["feed-revoked"] == 2
    assert not honest.has_ended()


def test_a_flood_of_false_tokens_ends_the_link_and_one_of_true_ones_writes_once() -> None:
    scene, tokens = told_by_mallory(8)
    packed = [pack_token(token) for token in tokens]
    log = token_log(scene.messages)
    for _ in range(99):
        scene.speaker.push(log, 0, packed)
    assert sum(bool(batch.tokens) for batch in scene.bilal.commits()) == 1
    assert not scene.speaker.has_ended()
    assert scene.speaker.runs_done == 101
    false = pack_token(tokens[0]._replace(secret=bytes(16)))
    for start in range(8, REFUSALS_MAX + 9):
        scene.speaker.push(log, start, [false])
    assert scene.speaker.has_ended()
    assert scene.bilal.counts == {"token-false": REFUSALS_MAX + 1, "too-many-refusals": 1}


# What is urgent.


def test_an_alert_does_not_wait_behind_the_tokens_of_a_whole_organisation() -> None:
    scene, tokens = told_by_mallory(400)
    for at in range(0, 400, 8):
        scene.speaker.push(token_log(scene.messages), at, [pack_token(token) for token in tokens[at : at + 8]])
    scene.hq.send("Bilal", "The dam is going.", priority="sos")
    scene.mesh.run()
    ear = Speaker(scene.bilal, scene.mesh.identity("Zara"))
    ear.greet()
    sizes = [len(packed) for record in ear.heard if isinstance(record, Run) for packed in record.packed]
    first = sizes.index(TOKEN_PACKED_BYTES)
    assert sizes[first:] == [TOKEN_PACKED_BYTES] * (len(sizes) - first)
    assert max(sizes[:first]) > 1_300
