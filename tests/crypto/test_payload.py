"""Packing: contents come back, sizes tell little, and no frame makes us allocate more than we said."""

from __future__ import annotations

import json
import random
import threading
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beepmesh.crypto import payload
from beepmesh.crypto.payload import DICTIONARY_SHA256, FLOOR_BYTES, HEADER_BYTES, pack, padded_bytes, unpack
from beepmesh.errors import Refused
from sync.cbor import encode
from tests.crypto import naive_open

OWN = Path(__file__).parents[1] / "vectors" / "own"
TEXTS: dict[str, list[str]] = json.loads((OWN / "field_texts.json").read_text(encoding="utf-8"))
DICTIONARY = (Path(payload.__file__).parent / "dictionaries" / "field-1.zdict").read_bytes()
BYTES_MAX = 90_000


def refused(data: bytes, bytes_max: int = BYTES_MAX) -> str:
    with pytest.raises(Refused) as caught:
        unpack(data, bytes_max)
    assert caught.value.reason in ("payload-malformed", "payload-bomb")
    return caught.value.reason


def framed(flag: int, coded: bytes) -> bytes:
    return bytes([flag]) + len(coded).to_bytes(3, "big") + coded


def frame_of(content: bytes, *, declared: bool = True, dictionary: bytes = DICTIONARY, window_log: int = 0) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=declared,
        write_dict_id=False,
        window_log=window_log,
        source_size=len(content),
    )
    words = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    return zstandard.ZstdCompressor(dict_data=words, compression_params=parameters).compress(content)


@given(st.binary(max_size=2_000) | st.text(max_size=500).map(str.encode))
@example(b"")
@example(b"a" * 70_000)
@example(random.Random(1).randbytes(70_000))
@settings(max_examples=150, deadline=None)
def test_what_is_packed_is_what_is_unpacked(content: bytes) -> None:
    packed = pack(content)
    assert unpack(packed, len(content)) == content
    assert naive_open.unpack(packed, DICTIONARY) == content
    assert len(packed) == padded_bytes(len(packed)) >= FLOOR_BYTES
    assert len(packed) <= padded_bytes(HEADER_BYTES + len(content))


@given(st.integers(0, 2**24))
@settings(max_examples=200, deadline=None)
def test_padding_costs_at_most_an_eighth_and_is_stable(length: int) -> None:
    padded = padded_bytes(length)
    assert length <= padded
    assert padded == FLOOR_BYTES or padded <= length * 1.12 + 1
    assert padded_bytes(padded) == padded


def test_there_are_few_sizes() -> None:
    assert [padded_bytes(length) for length in (0, 64, 65, 72, 73, 100, 500, 1_000, 10_000, 65_540)] == [
        64, 64, 72, 72, 80, 104, 512, 1_024, 10_240, 67_584,
    ]  # fmt: skip
    assert len({padded_bytes(length) for length in range(65_536)}) == 145


def test_short_answers_are_all_of_one_size() -> None:
    answers = [encode([1, 1, bytes(16), [bytes(16)], "", text, 2]) for text in ("ok", "Yes, 20 min", "ٹھیک ہے", "No!")]
    assert {len(pack(answer)) for answer in answers} == {64}


def test_any_thread_may_pack() -> None:
    contents, results = [f"message {number} ".encode() * 50 for number in range(8)], {}

    def work(content: bytes) -> None:
        results[content] = all(unpack(pack(content), 2_000) == content for _ in range(50))

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(contents, True)


def test_a_bomb_is_refused_before_it_is_given_memory() -> None:
    bomb = framed(1, frame_of(bytes(200_000_000)))
    assert len(bomb) < 20_000
    tracemalloc.start()
    assert refused(bomb) == "payload-bomb"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_frame_that_does_not_say_its_size_or_lies_about_it_is_refused() -> None:
    assert refused(framed(1, frame_of(b"water " * 100, declared=False))) == "payload-bomb"
    honest = frame_of(b"water " * 10)
    assert honest[1] == 60  # single segment: the content size stands behind the descriptor
    for size in (0, 59, 61, 255):
        assert refused(framed(1, honest[:1] + bytes([size]) + honest[2:])) == "payload-malformed"


def test_a_frame_that_wants_a_large_window_gets_none() -> None:
    content = b"water " * 10_000
    wide = framed(1, frame_of(content, window_log=27))
    tracemalloc.start()
    assert unpack(wide, len(content)) == content
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert refused(wide, len(content) - 1) == "payload-bomb"


def test_more_than_was_allowed_is_refused_even_uncompressed() -> None:
    content = random.Random(3).randbytes(1_000)
    assert unpack(pack(content), 1_000) == content
    assert refused(pack(content), 999) == "payload-bomb"
    assert refused(pack(b"w" * 1_000), 999) == "payload-bomb"


def content_or_refused(data: bytes, bytes_max: int) -> None:
    try:
        content = unpack(data, bytes_max)
    except Refused as error:
        reason = error.reason
    else:
        assert len(content) <= bytes_max
        return
    assert reason in ("payload-malformed", "payload-bomb")


def test_a_payload_cut_or_changed_gives_a_content_or_is_refused() -> None:
    packed = pack(("The bridge at the north bank is closed. " * 5).encode())
    for at in range(len(packed)):
        changed = bytearray(packed)
        changed[at] ^= 1 << (at % 8)
        content_or_refused(packed[:at], BYTES_MAX)
        content_or_refused(bytes(changed), BYTES_MAX)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x00", b"\x01"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_content_or_are_refused(data: bytes, flag: bytes) -> None:
    content_or_refused(flag + data, 1_000)
    content_or_refused(framed(1, data), 1_000)


def test_an_unknown_flag_a_dirty_padding_and_trailing_frames_are_refused() -> None:
    assert refused(framed(2, b"text")) == "payload-malformed"
    assert refused(framed(0, b"text") + b"\0\0\1") == "payload-malformed"
    assert unpack(framed(0, b"text") + bytes(500), 10) == b"text"
    frame = frame_of(b"water " * 20)
    assert refused(framed(1, frame + b"\0")) == "payload-malformed"
    assert refused(framed(1, frame + frame)) == "payload-malformed"


def test_the_dictionary_is_the_pinned_one() -> None:
    assert sha256(DICTIONARY).hexdigest() == DICTIONARY_SHA256
    assert len(DICTIONARY) <= 16_384


@pytest.mark.parametrize(("language", "at_most"), [("english", 0.87), ("urdu", 0.47), ("latin_urdu", 0.87)])
def test_the_dictionary_makes_texts_it_never_saw_smaller(language: str, at_most: float) -> None:
    """The texts alone, one by one. Without a dictionary, lines of English stay as long as they are."""
    texts = [text.encode() for text in TEXTS[language]]
    before = sum(map(len, texts))
    after = sum(int.from_bytes(pack(text)[1:4], "big") for text in texts)
    without = sum(min(len(text), len(frame_of(text, dictionary=b""))) for text in texts)
    assert after < at_most * before
    assert after < 0.90 * without
    print(f"{language}: {before} B, without dictionary {without} B, with it {after} B")


def test_a_published_payload_is_packed_and_unpacked_as_written_down() -> None:
    for case in json.loads((OWN / "payloads.json").read_text(encoding="utf-8"))["cases"]:
        content, packed = bytes.fromhex(case["content"]), bytes.fromhex(case["payload"])
        assert unpack(packed, len(content)) == content
        assert naive_open.unpack(packed, DICTIONARY) == content
