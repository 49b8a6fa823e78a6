"""Any split of the stream gives the same records; any garbage gives records or FramingError."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transports.framing import RECORD_BYTES_MAX, Deframer, FramingError, frame, length_prefix

LAWS = settings(max_examples=100, deadline=None)
LARGEST = bytes(RECORD_BYTES_MAX)
SIZES = st.one_of(st.integers(1, 300), st.sampled_from([224, 225, 480, 481, 8160, 8161, 65_535]))


@LAWS
@given(st.lists(SIZES, max_size=6), st.lists(st.integers(1, 5_000), max_size=30))
@example([224, 225, 8160, 8161, 65_535], [1] * 30)
def test_any_split_of_the_stream_gives_the_same_records(sizes: list[int], cuts: list[int]) -> None:
    records = [bytes([index]) * size for index, size in enumerate(sizes)]
    stream = b"".join(map(frame, records))
    deframer, found, at = Deframer(), list[bytes](), 0
    for cut in [*cuts, len(stream)]:
        found += deframer.feed(stream[at : at + cut])
        at += cut
    assert found == records
    assert deframer.held_bytes == 0


@LAWS
@given(st.binary(max_size=2_000), st.integers(1, RECORD_BYTES_MAX))
def test_garbage_gives_records_or_a_framing_error_and_holds_no_more_than_a_record(data: bytes, most: int) -> None:
    deframer = Deframer(most)
    try:
        records = deframer.feed(data)
        reason = ""
    except FramingError as error:
        records, reason = error.records, error.reason
    assert reason in ("", "malformed", "oversize")
    assert deframer.held_bytes <= most + 3
    assert all(1 <= len(record) <= most for record in records)
    assert data.startswith(b"".join(map(frame, records)))


@LAWS
@given(st.binary(min_size=1, max_size=3))
def test_a_length_has_one_spelling(prefix: bytes) -> None:
    first_byte = prefix[0]
    body = LARGEST if first_byte == 255 else LARGEST[:8_160]
    deframer = Deframer()
    try:
        records = deframer.feed(prefix + body)
    except FramingError as error:
        records = error.records
    for record in records[:1]:
        assert (prefix + bytes(3)).startswith(length_prefix(len(record)))


def test_a_length_takes_one_byte_to_224_and_two_to_8160() -> None:
    steps = {1: 1, 224: 1, 225: 2, 8_160: 2, 8_161: 3, 65_535: 3}
    assert {length: len(length_prefix(length)) for length in steps} == steps


def test_the_bytes_are_those_the_description_gives() -> None:
    assert length_prefix(1) == b"\x00"
    assert length_prefix(224) == b"\xdf"
    assert length_prefix(225) == b"\xe0\x00"
    assert length_prefix(8_160) == b"\xfe\xff"
    assert length_prefix(8_161) == b"\xff\x00\x00"
    assert length_prefix(65_535) == b"\xff\xe0\x1e"


def test_a_length_beyond_every_link_is_malformed() -> None:
    with pytest.raises(FramingError) as seen:
        Deframer().feed(frame(b"good") + b"\xff\xe0\x1f")
    assert seen.value.reason == "malformed"
    assert seen.value.records == [b"good"]


def test_one_byte_more_than_the_link_takes_is_oversize_before_it_is_held() -> None:
    assert Deframer(512).feed(frame(bytes(512))) == [bytes(512)]
    deframer = Deframer(512)
    with pytest.raises(FramingError) as seen:
        deframer.feed(length_prefix(513))
    assert seen.value.reason == "oversize"
    assert deframer.held_bytes == 0
