"""Entries: one encoding, hash links by which one signature vouches for all below it, bodies that may go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.primitives import SigningKey, sha256
from beepmesh.errors import Refused
from beepmesh.messages.entry import (
    BODY_BYTES_MAX,
    NO_PREV,
    PACKED_BYTES_MAX,
    Entry,
    pack,
    restore,
    unpack,
    unpack_run,
    verify_entry,
    write,
)

KEY = SigningKey(bytes(range(32)))


def chain(count: int, *, hints: bytes = b"", body: bytes = b"body", start_ms: int = 1_000) -> list[Entry]:
    entries: list[Entry] = []
    prev = NO_PREV
    for seq in range(count):
        entry = write(
            KEY, lane=1, seq=seq, prev=prev, time_ms=start_ms + seq, ttl=5, priority=2, hints=hints, body=body
        )
        entries.append(entry)
        prev = entry.id
    return entries


def sent(entries: list[Entry]) -> list[Entry]:
    first = entries[0]
    return unpack_run(
        [pack(entry) for entry in entries], feed=first.feed, lane=first.lane, start=first.seq, prev=first.prev
    )


def test_a_run_arrives_as_it_was_written_and_verifies() -> None:
    entries = chain(5, hints=b"\1\2\3\4")
    assert sent(entries) == entries
    assert all(verify_entry(KEY.public, entry) for entry in sent(entries))


def test_an_entry_to_one_device_costs_at_most_79_bytes_beside_its_body() -> None:
    (entry,) = chain(1, hints=b"\1\2\3\4", body=b"x" * 300)
    assert len(pack(entry)) - 300 + 3 == 78  # 3: the CBOR byte string head inside a RUN


def test_one_hint_has_one_form_only() -> None:
    (entry,) = chain(1, hints=b"\1\2\3\4", body=b"")
    packed = pack(entry)
    at_length = bytes([packed[0] & ~0x04]) + packed[1:7] + b"\1" + packed[7:]
    with pytest.raises(Refused, match="entry-malformed"):
        unpack(at_length, feed=entry.feed, lane=1, seq=0, prev=NO_PREV)


def test_an_erased_body_leaves_a_header_that_verifies() -> None:
    entries = chain(3)
    entries[1] = entries[1].erased()
    arrived = sent(entries)
    assert arrived[1].body is None
    assert [entry.id for entry in arrived] == [entry.id for entry in chain(3)]
    assert all(verify_entry(KEY.public, entry) for entry in arrived)


def test_entries_are_as_written_down() -> None:
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "own" / "entries-2.json").read_text())
    key, prev = SigningKey(bytes.fromhex(vectors["feed_seed"])), NO_PREV
    for case in vectors["cases"]:
        said = {name: bytes.fromhex(value) for name, value in case.items() if isinstance(value, str)}
        seq = case["seq"]
        place = {"feed": sha256(key.public)[:16], "lane": 1, "seq": seq, "prev": prev}
        entry = unpack(said["packed"], **place)
        assert (entry.prev, entry.hints, entry.body) == (said["prev"], said["hints"], said["body"])
        assert (entry.ttl, entry.priority) == (seq, seq % 4)
        assert (entry.header, entry.id) == (said["header"], said["id"])
        assert verify_entry(key.public, entry)
        assert unpack(said["packed_erased"], **place) == entry.erased()
        assert (pack(entry), pack(entry.erased())) == (said["packed"], said["packed_erased"])
        prev = entry.id
    assert [len(case["packed"]) // 2 - len(case["body"]) // 2 for case in vectors["cases"]] == [72, 75, 80]


def test_restore_gives_the_same_entry() -> None:
    (entry,) = chain(1, hints=b"abcd")
    assert restore(entry[:10], entry.signature, entry.body) == entry


@pytest.mark.parametrize("at", range(3))
def test_a_changed_body_anywhere_in_a_run_spoils_the_newest_signature(at: int) -> None:
    packed = [pack(entry) for entry in chain(3)]
    packed[at] = packed[at][:-1] + bytes([packed[at][-1] ^ 1])
    first = chain(1)[0]
    entries = unpack_run(packed, feed=first.feed, lane=1, start=0, prev=NO_PREV)
    assert not verify_entry(KEY.public, entries[-1])


def test_a_run_out_of_order_spoils_the_newest_signature() -> None:
    first, second, third = chain(3)
    assert not verify_entry(KEY.public, sent([first, third, second])[-1])


def test_another_log_or_place_does_not_verify() -> None:
    (entry,) = chain(1)
    for changed in ({"lane": 0}, {"seq": 1}, {"feed": bytes(16)}, {"prev": bytes([1]) * 32}):
        place = {"feed": entry.feed, "lane": 1, "seq": 0, "prev": NO_PREV} | changed
        moved = unpack(pack(entry), **place)  # type: ignore[arg-type]  # one dict of mixed values keeps the cases short
        assert not verify_entry(KEY.public, moved)


def test_every_truncation_is_refused_and_a_body_cut_off_does_not_verify() -> None:
    (entry,) = chain(1, hints=b"abcd", body=b"x")
    packed = pack(entry)
    for size in range(len(packed)):
        if size < len(packed) - 1:
            with pytest.raises(Refused, match="entry-malformed"):
                unpack(packed[:size], feed=entry.feed, lane=1, seq=0, prev=NO_PREV)
    bodiless = unpack(packed[:-1], feed=entry.feed, lane=1, seq=0, prev=NO_PREV)
    assert not verify_entry(KEY.public, bodiless)


def test_one_byte_beyond_the_largest_body_is_refused() -> None:
    (entry,) = chain(1, body=bytes(BODY_BYTES_MAX))
    assert sent([entry]) == [entry]
    with pytest.raises(Refused, match="entry-oversized"):
        unpack(pack(entry) + b"x", feed=entry.feed, lane=1, seq=0, prev=NO_PREV)
    with pytest.raises(Refused, match="entry-oversized"):
        unpack(bytes(PACKED_BYTES_MAX + 1), feed=entry.feed, lane=1, seq=0, prev=NO_PREV)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_an_entry_or_refused(data: bytes) -> None:
    try:
        entry = unpack(data, feed=bytes(16), lane=0, seq=0, prev=NO_PREV)
    except Refused:
        return
    assert pack(entry) == data
    assert not verify_entry(KEY.public, entry)
