"""Laws of a bundle's bytes: any damage is noticed, and takes only what it touched."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beepmesh.bundles.chunks import CHUNK_BYTES, DATA_BYTES, HEADER_BYTES, chunks_within, padded_chunks
from beepmesh.bundles.records import RECORD_BYTES_MAX, Reading, Run, decode_run, encode_run
from beepmesh.bundles.sealing import Keys, Writing, head_chunks, wraps_for
from beepmesh.crypto.primitives import PrekeySecret
from beepmesh.errors import Refused
from beepmesh.messages.entry import PACKED_BYTES_MAX
from sync.limits import RUN_BYTES_MAX
from sync.logs import LogId
from tests.bundles.files import KEYS, SECRET, read, run, written
from tests.trust.village import Entropy

FEED = bytes(range(16))
BILAL, DAWOOD = PrekeySecret.generate(Entropy("bilal")), PrekeySecret.generate(Entropy("dawood"))

runs_drawn = st.lists(
    st.builds(
        Run,
        st.builds(LogId, st.binary(min_size=16, max_size=16), st.integers(0, 3)),
        st.integers(1, 2**32 - 9),
        st.binary(min_size=32, max_size=32),
        st.lists(st.binary(min_size=1, max_size=900), min_size=1, max_size=8).map(tuple),
    ),
    max_size=12,
)


def several() -> list[Run]:
    """Enough for five chunks, some of them across an edge."""
    return [run(number, *(1_500 + number * 7,) * (1 + number % 8)) for number in range(48)]


@given(runs_drawn)
def test_what_was_written_is_read(runs: list[Run]) -> None:
    assert read(written(runs)) == (runs, Counter())


def test_several_chunks_with_records_across_their_edges_are_read() -> None:
    runs = [*several(), run(99, PACKED_BYTES_MAX), run(100, *(RUN_BYTES_MAX // 8,) * 8)]
    data = written(runs)
    assert len(data) > 5 * CHUNK_BYTES
    assert read(data) == (runs, Counter())


@settings(max_examples=40)
@given(st.data())
def test_a_cut_anywhere_gives_all_that_is_whole_before_it(data: st.DataObject) -> None:
    runs = several()
    whole = written(runs)
    cut = data.draw(st.integers(HEADER_BYTES, len(whole) - 1))
    found, counts = read(whole[:cut])
    chunks = (cut - HEADER_BYTES) // CHUNK_BYTES
    ends, at = [], 0
    for each in runs:
        at += len(encode_run(each))
        ends.append(at)
    assert found == [each for each, end in zip(runs, ends, strict=True) if end <= chunks * DATA_BYTES]
    assert counts == Counter({"bundle-torn": 1} if chunks else {"bundle-unopened": 1})


@settings(max_examples=40)
@given(st.data())
@example(None)
def test_a_flipped_bit_is_noticed_and_costs_what_it_touched(data: st.DataObject | None) -> None:
    runs = several()
    whole = bytearray(written(runs))
    at = HEADER_BYTES + 9 if data is None else data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << (0 if data is None else data.draw(st.integers(0, 7)))
    found, counts = read(bytes(whole))
    if at < HEADER_BYTES:
        assert not found
        assert sum(counts.values()) == 1
        return
    assert counts["bundle-damaged"] == 1
    number = (at - HEADER_BYTES) // CHUNK_BYTES
    spoiled = range(number * DATA_BYTES, (number + 1) * DATA_BYTES)
    expected, begin = [], 0
    for each in runs:
        end = begin + len(encode_run(each))
        if end <= spoiled.start or begin >= spoiled.stop:
            expected.append(each)
        begin = end
    assert found == expected


def test_chunks_open_at_their_place_in_their_file_only() -> None:
    one, other = written(several()), written(several(), seed="other")
    chunk = slice(HEADER_BYTES + CHUNK_BYTES, HEADER_BYTES + 2 * CHUNK_BYTES)
    after = slice(chunk.stop, chunk.stop + CHUNK_BYTES)
    moved = one[: chunk.start] + other[chunk] + one[chunk.stop :]
    swapped = one[: chunk.start] + one[after] + one[chunk] + one[after.stop :]
    dropped = one[: chunk.start] + one[chunk.stop :]
    doubled = one[: chunk.stop] + one[chunk] + one[chunk.stop :]
    assert read(moved)[1] == {"bundle-damaged": 1}
    assert read(swapped)[1] == {"bundle-damaged": 2}
    for odd in (dropped, doubled):
        assert read(odd)[1]["bundle-torn"] == 1
    assert read(one + other[chunk])[1] == {"bundle-damaged": 1}


def test_two_files_of_the_same_share_no_bytes_behind_their_first() -> None:
    one, other = written(several()), written(several(), seed="other")
    assert len(one) == len(other)
    assert not {one[at : at + 16] for at in range(64, len(one), 16)} & {
        other[at : at + 16] for at in range(64, len(other), 16)
    }


def test_another_organisation_reads_nothing() -> None:
    assert read(written(several()), Keys((bytes(32),), ())) == ([], Counter({"bundle-unopened": 1}))


def test_an_older_secret_of_the_organisation_opens_as_well() -> None:
    assert read(written(several()), Keys((bytes(32), SECRET), ()))[0] == several()


@pytest.mark.parametrize("named", [(BILAL,), (BILAL, DAWOOD)])
def test_only_named_devices_open_what_is_for_them(named: tuple[PrekeySecret, ...]) -> None:
    data = written(several(), named)
    for prekey in named:
        assert read(data, Keys((SECRET,), (prekey,))) == (several(), Counter())
    stranger = PrekeySecret.generate(Entropy("chand"))
    assert read(data, Keys((SECRET,), (stranger,))) == ([], Counter({"not-for-us": 1}))
    assert read(data, Keys((bytes(32),), named)) == ([], Counter({"bundle-unopened": 1}))


def test_how_many_are_named_is_rounded() -> None:
    assert [wraps_for(named) for named in (1, 4, 5, 9, 1_024)] == [4, 4, 8, 16, 1_024]
    assert [head_chunks(named) for named in (0, 1, 32, 1_024)] == [0, 1, 1, 19]
    many = tuple(PrekeySecret.generate(Entropy(f"device {number}")) for number in range(65))
    assert read(written([run(1, 50)], many), Keys((SECRET,), many[-1:])) == ([run(1, 50)], Counter())


def test_a_head_that_is_torn_or_damaged_gives_nothing_and_says_so() -> None:
    many = tuple(PrekeySecret.generate(Entropy(f"device {number}")) for number in range(65))
    data = bytearray(written([run(1, 50)], many))
    keys = Keys((SECRET,), many[:1])
    assert read(bytes(data[: HEADER_BYTES + CHUNK_BYTES]), keys) == ([], Counter({"bundle-torn": 1}))
    data[HEADER_BYTES + CHUNK_BYTES + 5] ^= 1
    runs, counts = read(bytes(data), keys)
    assert not runs
    assert counts["bundle-damaged"]


def test_sizes_are_rounded_as_padme_does() -> None:
    assert [padded_chunks(count) for count in (0, 1, 5, 9, 17, 33, 100, 129, 255, 256)] == [
        1, 1, 5, 10, 18, 36, 104, 144, 256, 256
    ]  # fmt: skip
    for count in range(1, 257):
        assert count <= padded_chunks(count) <= count * 9 // 8 + 1
        assert padded_chunks(chunks_within(count)) == chunks_within(count) <= count


def test_a_file_takes_no_more_than_its_room() -> None:
    writing = Writing(2)
    record = encode_run(run(1, 16_000))
    added = 0
    while writing.add(record, 1):
        added += 1
    assert added == 2 * DATA_BYTES // len(record)
    assert len(b"".join(writing.sealed(SECRET, (), Entropy("x")))) == HEADER_BYTES + 2 * CHUNK_BYTES


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x01",
        b"\x09" + bytes(80),
        encode_run(Run(LogId(FEED, 4), 1, bytes(32), (b"x",)))[4:],
        encode_run(Run(LogId(FEED, 1), 0, bytes(31) + b"1", (b"x",)))[4:],
        encode_run(Run(LogId(FEED, 1), 2**32 - 1, bytes(32), (b"x", b"y")))[4:],
        encode_run(Run(LogId(FEED, 1), 1, bytes(32), ()))[4:],
        encode_run(Run(LogId(FEED, 1), 1, bytes(32), (b"",)))[4:],
        encode_run(Run(LogId(FEED, 1), 1, bytes(32), (b"x",) * 9))[4:],
        encode_run(Run(LogId(FEED, 1), 1, bytes(32), (bytes(9_000),) * 2))[4:],
        encode_run(Run(LogId(FEED, 1), 1, bytes(32), (bytes(PACKED_BYTES_MAX + 1),)))[4:],
        encode_run(Run(LogId(FEED, 1), 1, bytes(32), (b"x",)))[4:] + b"\0\0",
        encode_run(Run(LogId(FEED, 1), 1, bytes(32), (b"x",)))[4:-1],
    ],
)
def test_a_record_that_makes_no_sense_is_refused(record: bytes) -> None:
    with pytest.raises(Refused) as refused:
        decode_run(record)
    assert refused.value.reason == "bundle-malformed"


@given(st.binary(max_size=300))
def test_a_record_raises_nothing_but_refused(record: bytes) -> None:
    try:
        found = decode_run(record)
    except Refused:
        return
    assert encode_run(found)[4:] == record


@pytest.mark.parametrize("stream", [(RECORD_BYTES_MAX + 1).to_bytes(4) + b"x" * 90, bytes(4) + b"x"])
def test_a_stream_beyond_its_bound_is_refused_and_read_on_from_the_next_piece(stream: bytes) -> None:
    reading = Reading()
    with pytest.raises(Refused):
        reading.feed(stream, 0)
    assert reading.feed(b"...." + encode_run(run(1, 20)), 4) == [encode_run(run(1, 20))[4:]]


def test_a_piece_in_which_no_record_begins_is_skipped_after_a_loss() -> None:
    reading = Reading()
    reading.lose()
    assert reading.feed(b"x" * 50, 50) == []
    assert reading.feed(b"xx" + encode_run(run(1, 20)), 2) == [encode_run(run(1, 20))[4:]]


@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_no_file_makes_reading_fail(data: bytes, seed: int) -> None:
    chance = random.Random(seed)
    whole = bytearray(written(several()[:3]))
    for at in range(len(data)):
        whole[chance.randrange(len(whole))] = data[at]
    for odd in (data, bytes(whole), bytes(whole[: chance.randrange(len(whole))])):
        runs, _ = read(odd, KEYS)
        assert all(each in several() for each in runs)
