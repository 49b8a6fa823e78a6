"""Delivery tokens: what proves that an entry was opened, and that nothing else does."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.primitives import SigningKey
from beepmesh.crypto.seal import face_of
from beepmesh.errors import Refused
from beepmesh.messages.entry import BODY_BYTES_MAX, FACE_BYTES, Entry, write
from beepmesh.messages.token import (
    TOKEN_PACKED_BYTES,
    Token,
    is_token,
    pack_token,
    token_log,
    token_of,
    unpack_token,
    verify_token,
)
from sync.logs import LogId
from tests.crypto.naive_open import body_hash, header_proved_by

KEY = SigningKey(bytes(range(32)))
SECRET = bytes(range(16))
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "own" / "tokens-3.json").read_text())


def entry_of(secret: bytes = SECRET, *, lane: int = 1, seq: int = 3, hints: bytes = b"hint") -> Entry:
    return write(
        KEY, lane=lane, seq=seq, prev=b"p" * 32, time_ms=5, ttl=9, priority=2, hints=hints,
        body=face_of(secret) + b"slot and text",
    )  # fmt: skip


TOKEN = token_of(entry_of(), SECRET)
LOG = token_log(entry_of().log)


def arrived(token: Token) -> Token:
    return unpack_token(pack_token(token), token_log(token.log), token.seq)


def test_a_token_arrives_whole_and_proves_that_its_entry_was_opened() -> None:
    entry = entry_of()
    token = arrived(TOKEN)
    assert token == TOKEN
    assert token.place == (entry.log, entry.seq)
    assert token.entry_id == entry.id
    assert verify_token(KEY.public, token)


def test_the_face_of_an_envelope_is_what_entries_hash_by_itself() -> None:
    assert len(face_of(SECRET)) == FACE_BYTES


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"lane {case['lane']}")
def test_a_published_token_reads_as_written_down_in_both_implementations(case: dict[str, str | int]) -> None:
    said = {name: bytes.fromhex(value) for name, value in case.items() if isinstance(value, str)}
    lane, seq = case["lane"], case["seq"]
    assert isinstance(lane, int)
    assert isinstance(seq, int)
    public = bytes.fromhex(VECTORS["feed_public"])
    token = unpack_token(said["packed"], LogId(said["log_feed"], 0), seq)
    assert pack_token(token) == said["packed"]
    assert token.log == LogId(sha256(public).digest()[:16], lane)
    assert token.entry_id == said["id"]
    assert verify_token(public, token)
    assert header_proved_by(said["packed"], seq, public) == said["header"]
    assert said["header"].endswith(body_hash(said["body"]))


@pytest.mark.parametrize("at", range(0, TOKEN_PACKED_BYTES, 3))
def test_a_token_with_any_byte_changed_proves_nothing(at: int) -> None:
    packed = bytearray(pack_token(TOKEN))
    packed[at] ^= 1
    log = token_log(LogId(bytes(packed[:16]), packed[16] >> 6))
    assert not verify_token(KEY.public, unpack_token(bytes(packed), log, TOKEN.seq))
    assert header_proved_by(bytes(packed), TOKEN.seq, KEY.public) is None


def test_a_token_proves_nothing_at_another_place_or_of_another_feed() -> None:
    assert not verify_token(KEY.public, unpack_token(pack_token(TOKEN), LOG, TOKEN.seq + 1))
    assert not verify_token(SigningKey(bytes(32)).public, TOKEN)


def test_an_entry_with_two_hints_has_no_token_in_any_form() -> None:
    """Its header says two, and a token's header always says one: the author's signature does not fit it."""
    entry = entry_of(hints=b"hintHINT")
    for hints in (b"hint", b"HINT"):
        assert not verify_token(KEY.public, token_of(entry._replace(hints=hints), SECRET))


def test_each_log_has_a_token_log_of_its_own_on_the_urgent_lane() -> None:
    logs = [LogId(feed, lane) for feed in (KEY.public[:16], bytes(16)) for lane in range(4)]
    assert len({token_log(log) for log in logs}) == len(logs)
    assert all(token_log(log).lane == 0 for log in logs)
    for log in (LogId(bytes(16), 0), TOKEN.log, token_log(LogId(TOKEN.feed, 0))):
        assert not is_token(pack_token(TOKEN), log)
        with pytest.raises(Refused, match="token-malformed"):
            unpack_token(pack_token(TOKEN), log, TOKEN.seq)


@pytest.mark.parametrize("body_bytes", [FACE_BYTES - 1, BODY_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_that_no_envelope_has_is_refused(body_bytes: int) -> None:
    with pytest.raises(Refused, match="token-malformed"):
        arrived(TOKEN._replace(body_bytes=body_bytes))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=TOKEN_PACKED_BYTES + 1))
def test_any_bytes_are_refused_in_a_log_that_is_not_theirs(data: bytes) -> None:
    with pytest.raises(Refused, match="token-malformed"):
        unpack_token(data, LOG, 0)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=158, max_size=158), st.integers(0, 2**32 - 1))
def test_any_bytes_behind_a_feed_and_lane_are_one_token_or_refused(data: bytes, seq: int) -> None:
    packed = pack_token(TOKEN)[:17] + data
    try:
        token = unpack_token(packed, LOG, seq)
    except Refused:
        return
    assert pack_token(token) == packed
    assert not verify_token(KEY.public, token)
