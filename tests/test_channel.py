"""The channel between two ends: who gets in, what an outsider hears, and records of every size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.channel import PREAMBLE, RECORD_BYTES_MAX, Channel, Door, OwnerRecord, Secured, SessionRecord
from beepmesh.crypto.primitives import AgreementKey
from beepmesh.errors import Refused

MEMBER = Door(b"m" * 32, None)
OLD = Door(b"o" * 32, None)
INVITED = Door(b"i" * 32, b"invited1")


def channel(*doors: Door, dialled: bool, seed: int = 1, device: bytes = b"d" * 16, part: int = 65_535) -> Channel:
    return Channel(
        dialled=dialled,
        device=device,
        link_key=AgreementKey(bytes([seed]) * 32),
        doors=doors,
        ephemeral_seed=bytes([seed + 100]) * 32,
        frame_bytes_max=part,
    )


def secure(near: Channel, far: Channel) -> tuple[Secured, Secured]:
    (first,) = near.start()
    assert far.start() == []
    (second,), nothing = far.receive(first)
    assert nothing == []
    (third,), (near_secured,) = near.receive(second)
    no_answer, (far_secured,) = far.receive(third)
    assert no_answer == []
    assert isinstance(near_secured, Secured)
    assert isinstance(far_secured, Secured)
    return near_secured, far_secured


def pair(part: int = 65_535) -> tuple[Channel, Channel]:
    near = channel(MEMBER, dialled=True, seed=1, part=part)
    far = channel(MEMBER, dialled=False, seed=2, part=part)
    secure(near, far)
    return near, far


def test_both_ends_learn_the_others_device_and_link_key() -> None:
    near = channel(MEMBER, dialled=True, seed=1, device=b"n" * 16)
    far = channel(OLD, MEMBER, INVITED, dialled=False, seed=2, device=b"f" * 16)
    of_far, of_near = secure(near, far)
    assert (of_far.device, of_far.link_public) == (b"f" * 16, AgreementKey(bytes([2]) * 32).public)
    assert (of_near.device, of_near.link_public) == (b"n" * 16, AgreementKey(bytes([1]) * 32).public)
    assert of_far.handshake_hash == of_near.handshake_hash
    assert of_near.door == MEMBER


def test_a_joiner_comes_in_by_the_invitations_door_and_is_known_as_such() -> None:
    near = channel(INVITED, dialled=True, device=b"")
    _, of_near = secure(near, channel(MEMBER, INVITED, dialled=False, seed=2))
    assert of_near.door.invitation == b"invited1"
    assert of_near.device == b""


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not-beepmesh"),
        (PREAMBLE, "outsider"),
        (PREAMBLE + bytes(48), "outsider"),
        (b"BM\x02\x01" + bytes(48), "not-beepmesh"),
    ],
)
def test_an_outsider_gets_no_byte(first: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        channel(MEMBER, dialled=False).receive(first)


def test_without_the_secret_the_first_message_opens_no_door() -> None:
    (first,) = channel(Door(b"x" * 32, None), dialled=True).start()
    with pytest.raises(Refused, match="outsider"):
        channel(MEMBER, INVITED, dialled=False).receive(first)


def test_a_dead_channel_stays_dead() -> None:
    near, far = pair()
    (frame,) = near.seal(b"hello")
    with pytest.raises(Refused, match="frame-unreadable"):
        far.receive(frame[:-1] + bytes([frame[-1] ^ 1]))
    with pytest.raises(Refused, match="channel-dead"):
        far.receive(frame)
    assert not far.secured


def test_a_replayed_frame_is_refused() -> None:
    near, far = pair()
    (frame,) = near.seal(b"hello")
    assert far.receive(frame) == ([], [SessionRecord(b"hello")])
    with pytest.raises(Refused):
        far.receive(frame)


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 3_000), max_size=6), part=st.integers(18, 600), owner=st.booleans())
def test_records_of_any_size_arrive_whole_and_in_order(sizes: list[int], part: int, owner: bool) -> None:
    near, far = pair(part)
    records = [bytes([size % 251]) * size for size in sizes]
    arrived = [
        event for record in records for frame in near.seal(record, owner=owner) for event in far.receive(frame)[1]
    ]
    assert arrived == [OwnerRecord(record) if owner else SessionRecord(record) for record in records]


def test_a_record_beyond_the_bound_is_refused_before_it_is_whole() -> None:
    near, far = pair()
    assert near._sending is not None
    part = b"\x01" + bytes(60_000)
    for _ in range(RECORD_BYTES_MAX // 60_000):
        far.receive(near._sending.seal(part))
    with pytest.raises(Refused, match="record-oversized"):
        far.receive(near._sending.seal(part))


@pytest.mark.parametrize("plain", [b"", b"\x00", b"\x04x", b"\x80x"])
def test_a_malformed_frame_is_refused(plain: bytes) -> None:
    near, far = pair()
    assert near._sending is not None
    with pytest.raises(Refused, match="frame-malformed"):
        far.receive(near._sending.seal(plain))


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 900), max_size=12), part=st.integers(40, 1_500))
def test_records_sealed_together_arrive_as_they_were(sizes: list[int], part: int) -> None:
    near, far = pair(part)
    records = [bytes([number]) * size for number, size in enumerate(sizes)]
    frames = near.seal_all(records)
    assert [event for frame in frames for event in far.receive(frame)[1]] == [SessionRecord(data) for data in records]
    assert all(len(frame) <= part for frame in frames)


def test_an_acknowledgement_beside_a_run_costs_its_length_and_no_frame() -> None:
    near, _ = pair()
    alone = near.seal_all([bytes(300)])
    both = near.seal_all([bytes(20), bytes(300)])
    assert len(both) == 1
    assert len(both[0]) - len(alone[0]) == 20 + 2 + 2


@pytest.mark.parametrize(
    "plain",
    [
        b"\x04\x00\x01a",  # one record alone
        b"\x04\x00\x00\x00\x01a",  # an empty one
        b"\x04\x00\x01a\x00\x02b",  # longer than what is there
        b"\x04\x00\x01a\x00",  # half a length
        b"\x05\x00\x01a\x00\x01b",  # with more to come
        b"\x06\x00\x01a\x00\x01b",  # of owners
    ],
)
def test_records_together_in_a_wrong_form_are_refused(plain: bytes) -> None:
    near, far = pair()
    assert near._sending is not None
    with pytest.raises(Refused, match="frame-malformed"):
        far.receive(near._sending.seal(plain))


def test_records_together_in_the_middle_of_a_larger_one_are_refused() -> None:
    near, far = pair()
    assert near._sending is not None
    far.receive(near._sending.seal(b"\x01part"))
    with pytest.raises(Refused, match="frame-malformed"):
        far.receive(near._sending.seal(b"\x04\x00\x01a\x00\x01b"))
