"""The envelope: who can open it, and that nobody can bend it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.prekeys import HeldPrekey, PrekeyRing
from beepmesh.crypto.primitives import (
    AgreementKey,
    CryptoFailure,
    PrekeySecret,
    SigningKey,
    hpke_open,
    hpke_seal,
    kdf,
    verify,
)
from beepmesh.crypto.seal import (
    CROWD_BYTES,
    HEAD_BYTES,
    SLOT_BYTES,
    TOKEN_BYTES,
    URGENT_LANE,
    WRAPPED_BYTES,
    WRAPS_MAX,
    crowd_of_body,
    face_of,
    hint,
    hint_key,
    open_slot,
    seal,
)
from beepmesh.errors import Refused
from tests.crypto import naive_open
from tests.crypto.devices import NOW_S, ORG, TOWARDS, Device, device, entropy_from, knowing
from tests.crypto.naive_open import Place, open_envelope

ALICE, BEN, CYRA, MALLORY = (device(name) for name in ("alice", "ben", "cyra", "mallory"))
CROWD = [device(f"member {number}") for number in range(WRAPS_MAX)]
ALL = knowing(ALICE, BEN, CYRA, MALLORY, *CROWD)
REASONS = {
    "envelope-malformed",
    "envelope-no-prekey",
    "envelope-unknown-sender",
    "envelope-binding",
    "envelope-open",
    "envelope-commit",
}
HEAD = HEAD_BYTES + CROWD_BYTES  # In the lane of these tests, 1.
TEXT = b"Bring the boat to the ford. " * 4
_, BODY = ALICE.seal(TEXT, BEN)
_, BODY_TO_TWO = ALICE.seal(TEXT, BEN, CYRA)


def refused(
    body: bytes,
    index: int = 0,
    reader: Device = BEN,
    writer: Device = ALICE,
    lane: int = 1,
    seq: int = 7,
    org: bytes = ORG,
    ring: PrekeyRing | None = None,
) -> str:
    before = reader.ring.encode()
    with pytest.raises(Refused) as caught:
        reader.open(body, index, writer, ALL, lane=lane, seq=seq, org=org, ring=ring)
    assert caught.value.reason in REASONS
    assert reader.ring.encode() == before
    return caught.value.reason


def test_what_is_sealed_is_what_is_opened() -> None:
    opened = BEN.open(BODY, 0, ALICE, ALL)
    assert (opened.sender, opened.payload) == (ALICE.id, TEXT)
    assert len(BODY) == HEAD + SLOT_BYTES + len(TEXT) + 16
    assert SLOT_BYTES == 1_298


@given(st.integers(0, 70_000), st.integers(0, 3), st.integers(0, 2**64 - 1))
@settings(max_examples=30, deadline=None)
def test_any_size_in_any_lane_at_any_seq_comes_back(size: int, lane: int, seq: int) -> None:
    payload = sha256(str(size).encode()).digest() * (size // 32) + bytes(size % 32)
    _, body = ALICE.seal(payload, BEN, lane=lane, seq=seq)
    opened = BEN.open(body, 0, ALICE, ALL, lane=lane, seq=seq)
    assert (opened.sender, opened.payload) == (ALICE.id, payload)


@pytest.mark.parametrize("count", [1, 2, 3, 10, WRAPS_MAX])
def test_every_recipient_reads_the_same_text_and_finds_its_slot_by_its_hint(count: int) -> None:
    hints, body = ALICE.seal(TEXT, *CROWD[:count])
    assert len(hints) == 4 * count
    for index, reader in enumerate(CROWD[:count]):
        key = hint_key(reader.link, ALICE.link.public)
        assert hint(key, reader.id, ALICE.feed, 1, 7) == hints[4 * index : 4 * index + 4]
        assert reader.open(body, index, ALICE, ALL).payload == TEXT


def test_more_recipients_than_fit_are_a_broken_promise_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        ALICE.seal(TEXT, *CROWD, BEN)
    with pytest.raises(AssertionError):
        ALICE.seal(TEXT)
    with pytest.raises(AssertionError):
        ALICE.seal(TEXT, BEN, BEN)


def test_hints_differ_by_place_and_direction_and_tell_outsiders_nothing() -> None:
    key = hint_key(ALICE.link, BEN.link.public)
    assert key == hint_key(BEN.link, ALICE.link.public)
    assert key != hint_key(MALLORY.link, BEN.link.public)
    places = [(BEN.id, ALICE.feed, 1, 7), (ALICE.id, ALICE.feed, 1, 7), (BEN.id, BEN.feed, 1, 7)]
    places += [(BEN.id, ALICE.feed, 0, 7), (BEN.id, ALICE.feed, 1, 8)]
    assert len({hint(key, *place) for place in places}) == len(places)
    with pytest.raises(CryptoFailure):
        hint_key(ALICE.link, bytes(32))


def test_two_envelopes_of_one_text_have_nothing_in_common_but_their_form() -> None:
    _, first = ALICE.seal(TEXT, BEN)
    _, second = ALICE.seal(TEXT, BEN)
    # Entropy is the same here; the encapsulation draws its own.
    assert first[HEAD + 2 : HEAD + 1_250] != second[HEAD + 2 : HEAD + 1_250]
    assert ALICE.id not in first
    assert BEN.id not in first
    assert BEN.bundle.prekey_id not in first


@pytest.mark.parametrize("part", range(8))
def test_a_flipped_bit_anywhere_is_refused(part: int) -> None:
    """The crowd is for who carries, and no reader needs it; the signature of the entry is over that, too."""
    for at in set(range(part, len(BODY), 8)) - set(range(HEAD - CROWD_BYTES - 1, HEAD - 1)):
        changed = bytearray(BODY)
        changed[at] ^= 1 << (at * 7 % 8)
        refused(bytes(changed))


def test_a_flipped_bit_in_another_ones_slot_does_not_hurt() -> None:
    """Each slot is its own; what binds them is the commitment."""
    changed = bytearray(BODY_TO_TWO)
    changed[HEAD + SLOT_BYTES + 100] ^= 1
    assert BEN.open(bytes(changed), 0, ALICE, ALL).payload == TEXT
    assert refused(bytes(changed), 1, CYRA) == "envelope-open"


def test_an_envelope_cut_anywhere_is_refused() -> None:
    reasons = [refused(BODY[:at]) for at in range(len(BODY))]
    assert set(reasons[: HEAD + SLOT_BYTES + 16]) == {"envelope-malformed"}
    assert set(reasons[HEAD + SLOT_BYTES + 16 :]) == {"envelope-open"}
    assert refused(BODY + b"\0") == "envelope-open"


@given(st.binary(max_size=1_500), st.integers(-1, 25))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_and_nothing_else_happens(data: bytes, index: int) -> None:
    refused(data, index)
    refused(b"\x01\x03" + data, index)
    refused(BODY[:HEAD] + data, index)


def test_an_index_that_no_slot_has_is_refused() -> None:
    assert {refused(BODY_TO_TWO, index) for index in (-1, 2, 24, 255)} == {"envelope-malformed"}


@pytest.mark.parametrize(
    ("lane", "seq", "org"), [(2, 7, ORG), (3, 7, ORG), (1, 6, ORG), (1, 8, ORG), (1, 7, bytes(16))]
)
def test_a_wrap_replayed_in_another_place_is_refused(lane: int, seq: int, org: bytes) -> None:
    assert refused(BODY, lane=lane, seq=seq, org=org) == "envelope-open"


def test_a_wrap_replayed_in_the_lane_without_crowds_is_refused() -> None:
    assert refused(BODY, lane=URGENT_LANE) == "envelope-malformed"
    _, urgent = ALICE.seal(TEXT, BEN, lane=URGENT_LANE)
    assert refused(urgent) == "envelope-malformed"


@pytest.mark.parametrize("lane", [1, 2, 3])
def test_the_crowd_stands_in_clear_in_every_lane_but_the_urgent_one(lane: int) -> None:
    _, body = ALICE.seal(b"a line", BEN, lane=lane)
    _, urgent = ALICE.seal(b"a line", BEN, lane=URGENT_LANE)
    assert crowd_of_body(body) == TOWARDS
    assert crowd_of_body(body[: HEAD - 2]) == b""
    assert len(body) == len(urgent) + CROWD_BYTES


def test_what_is_no_envelope_of_ours_names_no_crowd() -> None:
    for head in (b"\x01\x02", b"\x02\x03", b"\x03\x03"):
        assert crowd_of_body(head + BODY[2:]) == b""


@pytest.mark.parametrize(("lane", "crowd"), [(0, TOWARDS), (1, b""), (2, b"\x01"), (3, TOWARDS + b"\x01")])
def test_a_crowd_where_there_is_none_or_none_where_there_is_one_is_a_broken_promise(lane: int, crowd: bytes) -> None:
    with pytest.raises(AssertionError):
        ALICE.seal(TEXT, BEN, lane=lane, crowd=crowd)


def test_a_wrap_replayed_in_another_feed_is_refused() -> None:
    assert refused(BODY, writer=MALLORY) == "envelope-binding"
    # Not even in another feed of somebody who took over the id of the first.
    with pytest.raises(Refused, match="envelope-binding"):
        open_slot(
            BODY,
            0,
            org=ORG,
            feed_public=MALLORY.feed_key.public,
            feed=ALICE.feed,
            lane=1,
            seq=7,
            device=BEN.id,
            device_public=BEN.key.public,
            ring=BEN.ring,
            device_public_of=ALL,
        )


def test_a_receiver_cannot_point_a_wrap_at_a_third_device() -> None:
    """Ben opens what Alice sent to him, and seals root and signature again for Cyra, in his own feed and in Alice's."""
    slot = BODY[HEAD : HEAD + SLOT_BYTES]
    ((_, secret),) = BEN.ring.candidates(slot[1])
    init = hpke_open(secret, b"beepmesh/init/1" + ORG + BEN.id, slot[2:-WRAPPED_BYTES])
    again = hpke_seal(CYRA.bundle.public, b"beepmesh/init/1" + ORG + CYRA.id, init)
    forged = BODY[:HEAD] + bytes([0, CYRA.bundle.week]) + again + slot[-WRAPPED_BYTES:] + BODY[-len(TEXT) - 16 :]
    assert refused(forged, reader=CYRA) == "envelope-binding"
    assert refused(forged, reader=CYRA, writer=BEN) == "envelope-binding"


def test_an_insider_cannot_write_in_the_name_of_another() -> None:
    """Mallory names Alice as the sender, in her own feed and under her own signature."""
    _, forged = seal(
        TEXT,
        org=ORG,
        sender_device=ALICE.id,
        sender_key=MALLORY.key,
        feed_public=MALLORY.feed_key.public,
        feed=MALLORY.feed,
        lane=1,
        seq=7,
        recipients=[MALLORY.to(BEN)],
        entropy=entropy_from("forged"),
        crowd=TOWARDS,
    )
    assert refused(forged, writer=MALLORY) == "envelope-binding"


def test_a_ciphertext_signed_again_in_another_feed_is_refused_and_costs_no_message() -> None:
    """An insider copies hints and body into an entry of her own, before the real one arrives: nothing is used up."""
    for lane, seq in ((1, 7), (1, 0), (2, 7)):
        assert refused(BODY, writer=MALLORY, lane=lane, seq=seq) == "envelope-binding"
    assert BEN.open(BODY, 0, ALICE, ALL).payload == TEXT
    assert BEN.open(BODY, 0, ALICE, ALL).payload == TEXT


def test_slots_that_were_swapped_are_refused() -> None:
    first, second = HEAD, HEAD + SLOT_BYTES
    end = second + SLOT_BYTES
    swapped = BODY_TO_TWO[:first] + BODY_TO_TWO[second:end] + BODY_TO_TWO[first:second] + BODY_TO_TWO[end:]
    assert refused(swapped, 0) == "envelope-open"
    # At its new place the slot is whole: the order of slots says nothing.
    assert BEN.open(swapped, 1, ALICE, ALL).payload == TEXT


def test_a_slot_is_for_its_reader_alone() -> None:
    assert BEN.bundle.week == CYRA.bundle.week
    assert refused(BODY_TO_TWO, 1, BEN) == "envelope-open"
    assert refused(BODY_TO_TWO, 0, CYRA) == "envelope-open"
    assert refused(BODY_TO_TWO, 0, MALLORY) == "envelope-open"


def test_a_sender_nobody_knows_yet_can_be_opened_later() -> None:
    with pytest.raises(Refused, match="envelope-unknown-sender"):
        BEN.open(BODY, 0, ALICE, knowing(CYRA))
    assert BEN.open(BODY, 0, ALICE, knowing(ALICE)).sender == ALICE.id


def test_without_the_prekey_nobody_opens_it_not_even_its_owner() -> None:
    assert refused(BODY, reader=BEN, ring=PrekeyRing.empty()) == "envelope-no-prekey"
    gone = BEN.ring.destroy(NOW_S + 50 * 86_400, NOW_S + 50 * 86_400)
    assert refused(BODY, reader=BEN, ring=gone) == "envelope-no-prekey"
    other = device("another of the same week").ring
    assert refused(BODY, reader=BEN, ring=other) == "envelope-open"


def test_the_right_one_of_several_prekeys_of_a_week_opens_it() -> None:
    ring, _ = BEN.ring.rotate(NOW_S + 60, BEN.key, entropy_from("second"))
    assert len(ring.candidates(BEN.bundle.week)) == 2
    assert BEN.open(BODY, 0, ALICE, ALL, ring=ring).payload == TEXT


def test_a_sender_who_gives_two_receivers_two_texts_is_found_out() -> None:
    """Alice herself makes Cyra's slot hold another content key than the commitment says."""
    other_key = bytes(range(32))
    root = entropy_from("root")(32)
    commit = BODY_TO_TWO[2:18]
    associated = ALICE.feed + b"\x01" + (7).to_bytes(8, "big") + commit
    signed = b"beepmesh/init/1" + sha256(root).digest() + CYRA.key.public + CYRA.bundle.prekey_id
    init = ALICE.id + root + ALICE.key.sign(signed + ALICE.feed_key.public)
    message_key = kdf(kdf(root, b"beepmesh/chain/1" + ALICE.id + CYRA.id), b"\x01")
    slot = bytes([0, CYRA.bundle.week])
    slot += hpke_seal(CYRA.bundle.public, b"beepmesh/init/1" + ORG + CYRA.id, init)
    slot += ChaCha20Poly1305(kdf(message_key, commit)).encrypt(bytes(12), other_key, associated)
    at = HEAD + SLOT_BYTES
    body = BODY_TO_TWO[:at] + slot + BODY_TO_TWO[at + SLOT_BYTES :]
    assert refused(body, 1, CYRA) == "envelope-commit"
    assert BEN.open(body, 0, ALICE, ALL).payload == TEXT


@pytest.mark.parametrize("head", [b"\x02\x03", b"\x01\x01", b"\x01\x02", b"\x01\x04", b"\x00\x03"])
def test_another_kind_or_suite_is_refused(head: bytes) -> None:
    assert refused(head + BODY[2:]) == "envelope-malformed"


@pytest.mark.parametrize("count", [0, 2, 25, 255])
def test_a_wrong_count_is_refused(count: int) -> None:
    assert refused(BODY[: HEAD - 1] + bytes([count]) + BODY[HEAD:]) == "envelope-malformed"


def test_slots_of_chains_may_stand_beside_ours() -> None:
    """A later version wraps to some devices by its chains (57 B) and to older ones as today."""
    chain = b"\x01" + bytes(56)
    mixed = BODY[: HEAD - 1] + b"\x03" + chain + BODY[HEAD : HEAD + SLOT_BYTES] + chain + BODY[HEAD + SLOT_BYTES :]
    assert BEN.open(mixed, 1, ALICE, ALL).payload == TEXT
    assert refused(mixed, 0) == "envelope-malformed"
    unknown = BODY[: HEAD - 1] + b"\x02" + b"\x02" + bytes(56) + BODY[HEAD:]
    assert refused(unknown, 1) == "envelope-malformed"


def test_the_binding_shows_that_the_sender_signed_for_the_feed() -> None:
    opened = BEN.open(BODY, 0, ALICE, ALL)
    root_hash, prekey_id, signature = opened.binding[:32], opened.binding[32:40], opened.binding[40:]
    assert len(opened.binding) == 104
    assert prekey_id == BEN.bundle.prekey_id
    signed = b"beepmesh/init/1" + root_hash + BEN.key.public + prekey_id + ALICE.feed_key.public
    assert verify(ALICE.key.public, signed, signature)


def test_no_secret_in_any_repr() -> None:
    recipient = ALICE.to(BEN)
    assert repr(recipient.hint_key) not in repr(recipient)
    opened = BEN.open(BODY, 0, ALICE, ALL)
    assert not any(repr(secret) in repr(opened) for secret in (TEXT, opened.token))


def test_every_reader_finds_the_token_that_the_face_of_the_envelope_commits_to() -> None:
    ben, cyra = BEN.open(BODY_TO_TWO, 0, ALICE, ALL), CYRA.open(BODY_TO_TWO, 1, ALICE, ALL)
    assert ben.token == cyra.token
    assert len(ben.token) == TOKEN_BYTES
    assert BODY_TO_TWO.startswith(face_of(ben.token))


def test_an_independent_reading_of_the_format_agrees() -> None:
    hints, body = ALICE.seal(TEXT, CYRA, BEN)
    place = Place(ORG, ALICE.feed, ALICE.feed_key.public, 1, 7)
    ((_, secret),) = BEN.ring.candidates(BEN.bundle.week)
    found = open_envelope(body, 1, place, BEN.key.public, secret.to_bytes(), {ALICE.id: ALICE.key.public})
    assert found == (ALICE.id, TEXT, BEN.open(body, 1, ALICE, ALL).token)
    assert naive_open.hint(BEN.link.seed, ALICE.link.public, BEN.id, place) == hints[4:]


VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "own" / "envelopes-3.json").read_text())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_a_published_envelope_reads_as_written_down_in_both_implementations(case: dict[str, str]) -> None:
    receivers = {each["name"]: each for each in VECTORS["receivers"]}
    body, org = bytes.fromhex(case["body"]), bytes.fromhex(VECTORS["org"])
    sender_public = bytes.fromhex(VECTORS["sender_public"])
    sender = sha256(sender_public).digest()[:16]
    feed_public = bytes.fromhex(VECTORS["feed_public"])
    feed = sha256(feed_public).digest()[:16]
    place = Place(org, feed, feed_public, int(case["lane"]), int(case["seq"]))
    for index, name in enumerate(case["to"].split()):
        reader = receivers[name]
        key = SigningKey(bytes.fromhex(reader["device_seed"]))
        reader_id = sha256(key.public).digest()[:16]
        prekey_seed, link_seed = bytes.fromhex(reader["prekey_seed"]), bytes.fromhex(reader["link_seed"])
        held = HeldPrekey(int(VECTORS["start_hour"]), 2**40, PrekeySecret.from_bytes(prekey_seed))
        opened = open_slot(
            body,
            index,
            org=org,
            feed_public=feed_public,
            feed=feed,
            lane=place.lane,
            seq=place.seq,
            device=reader_id,
            device_public=key.public,
            ring=PrekeyRing("standard", 0, (held,)),
            device_public_of={sender: sender_public}.get,
        )
        expected = (sender, bytes.fromhex(case["payload"]), bytes.fromhex(case["token"]))
        assert (opened.sender, opened.payload, opened.token) == expected
        assert open_envelope(body, index, place, key.public, prekey_seed, {sender: sender_public}) == expected
        hinted = bytes.fromhex(case["hints"])[4 * index : 4 * index + 4]
        shared = hint_key(AgreementKey(link_seed), bytes.fromhex(VECTORS["sender_link_public"]))
        assert hint(shared, reader_id, feed, place.lane, place.seq) == hinted
        assert naive_open.hint(link_seed, bytes.fromhex(VECTORS["sender_link_public"]), reader_id, place) == hinted
        assert shared.hex() == reader["hint_key"]
