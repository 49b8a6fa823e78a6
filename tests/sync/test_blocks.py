"""Blocks of states: what they cost, and what they may hold."""

from __future__ import annotations

import pytest

from sync.blocks import (
    State,
    pack_dense,
    pack_spans,
    pack_sparse,
    read_dense,
    read_spans,
    read_sparse,
    unzipped,
    zipped,
)
from sync.limits import LOGS_MAX, SEQ_END
from sync.octets import VARINT_END, Octets, RemoteProtocolError, varint, varints
from sync.ranges import NOTHING, Ranges
from sync.refs import Listed
from tests.sync.pair import first, log, seqs


def test_states_of_listed_feeds_take_two_bytes_each_and_a_vector_one() -> None:
    states = [State(Listed(number, 1), first(9)) for number in range(100)]
    assert len(pack_sparse(states)) == 1 + 1 + 2 * 100
    assert len(pack_dense(states)) == 1 + 2 + 100


def test_a_block_of_nothing_is_one_byte() -> None:
    assert pack_sparse([]) == pack_dense([]) == b"\x00"
    assert read_sparse(b"\x00") == read_dense(b"\x00") == ()


def test_states_are_put_in_order_whatever_order_they_come_in() -> None:
    states = [State(Listed(number, lane), first(1)) for number, lane in ((9, 0), (3, 1), (4, 0))]
    assert [state.log for state in read_sparse(pack_sparse(states))] == [Listed(4, 0), Listed(9, 0), Listed(3, 1)]


def test_a_state_of_nothing_is_told_in_states_and_left_out_of_a_vector() -> None:
    states = (State(Listed(4, 0), first(1)), State(Listed(5, 0), NOTHING), State(log(1), NOTHING))
    assert read_sparse(pack_sparse(states)) == states
    assert read_dense(pack_dense(states)) == (states[0], states[2])


@pytest.mark.parametrize("at", [0, 1, 300])
def test_spans_count_from_one_beyond_what_came_before(at: int) -> None:
    start = 0 if at == 0 else at + 1
    nearest = Ranges(((start, start + 1), (start + 2, SEQ_END)))
    data = pack_spans(nearest, at)
    assert data[:5] == bytes((2, 0, 0, 0)) + data[4:5]
    assert read_spans(Octets(data), at) == nearest.spans


@pytest.mark.parametrize(
    ("section", "count"), [(b"\x01", LOGS_MAX + 1), (b"\x08", LOGS_MAX + 1), (b"\x01", 60), (b"\x01", 0), (b"\x08", 0)]
)
def test_no_more_logs_than_are_there_or_allowed(section: bytes, count: int) -> None:
    for read in (read_sparse, read_dense):
        with pytest.raises(RemoteProtocolError, match="record-malformed"):
            read(section + (b"\x00" if read is read_dense and section == b"\x01" else b"") + varint(count) + bytes(50))


def test_a_dense_section_reaches_no_further_than_its_count() -> None:
    with pytest.raises(RemoteProtocolError, match="record-malformed"):
        read_dense(b"\x01" + varint(0) + varint(3) + b"\x02\x02")
    assert read_dense(b"\x01" + varint(7) + varint(2) + b"\x02\x04") == (
        State(Listed(7, 0), first(1)), State(Listed(8, 0), first(2)),
    )  # fmt: skip


def test_a_block_that_gains_nothing_by_deflating_stays_as_it_is() -> None:
    assert zipped(bytes(63)) == bytes(63)
    packed = zipped(bytes(640))
    assert len(packed) < 64
    assert unzipped(packed, is_zipped=True) == bytes(640)
    assert unzipped(packed, is_zipped=False) == packed


def test_spans_may_not_reach_beyond_the_last_seq() -> None:
    assert read_spans(Octets(pack_spans(seqs((0, SEQ_END)), 0)), 0) == ((0, SEQ_END),)
    with pytest.raises(RemoteProtocolError, match="record-malformed"):
        read_spans(Octets(b"\x01\x01" + varint(SEQ_END - 1)), 0)


NUMBERS = [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, VARINT_END - 1, 5]


@pytest.mark.parametrize("numbers", [[], [0], [0x7F, 1, 0], NUMBERS])
def test_numbers_in_a_row_are_read_as_one_by_one(numbers: list[int]) -> None:
    data = b"".join(map(varint, numbers))
    assert varints(numbers) == data
    octets = Octets(data + b"rest")
    assert octets.varints(len(numbers)) == numbers
    assert octets.rest() == b"rest"


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x80", b"\x01\x80\x00", b"\x01\x0a", b"\x0a\x01"])
def test_a_row_with_a_bad_number_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="record-malformed"):
        Octets(data).varints(2, 10)
