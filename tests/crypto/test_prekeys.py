"""Prekeys: what is published is checked, and secrets go when the clock says so, if the clock can be believed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.prekeys import (
    AHEAD_S,
    BUNDLE_BYTES_MAX,
    DAY_S,
    JUMP_S,
    POLICIES,
    RING_BYTES_MAX,
    SECRETS_MAX,
    PrekeyBundle,
    PrekeyRing,
    check,
    decode_bundle,
    newest,
    sign_bundle,
)
from beepmesh.crypto.primitives import PrekeySecret, SigningKey, hpke_open, hpke_seal, sha256
from beepmesh.errors import Refused
from sync.cbor import decode, encode
from tests.crypto.devices import NOW_S, entropy_from, seed

KEY = SigningKey(seed("device"))
DEVICE = sha256(KEY.public)[:16]
PUBLIC = PrekeySecret.from_bytes(seed("prekey")).public_bytes
STANDARD = POLICIES["standard"]
YEAR_S = 365 * DAY_S
Y2100_S = 4_102_444_800


def bundle_at(start_s: int, usable_days: int = 21, public: bytes = PUBLIC) -> PrekeyBundle:
    return sign_bundle(KEY, device=DEVICE, start_hour=start_s // 3600, usable_days=usable_days, public=public)


def ring_at(*starts_s: int, policy: str = "standard") -> PrekeyRing:
    ring = PrekeyRing.empty(policy)
    for start_s in starts_s:
        ring, _ = ring.rotate(start_s, KEY, entropy_from(f"at {start_s}"))
    return ring


def reason_of(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        check(decode_bundle(data), KEY.public)
    return caught.value.reason


def resigned(**change: Any) -> bytes:
    """A bundle of other fields, correctly signed: what a hostile device could publish."""
    fields = {
        "version": 1,
        "device": DEVICE,
        "hour": 498_000,
        "days": 21,
        "capabilities": 0,
        "public": PUBLIC,
        **change,
    }
    part = encode(list(fields.values()))
    return part + KEY.sign(b"beepmesh/prekey/1" + part)


def test_a_bundle_is_what_was_signed() -> None:
    bundle = bundle_at(NOW_S)
    data = bundle.encode()
    assert len(data) == 1_309
    assert decode_bundle(data) == bundle
    check(bundle, KEY.public)
    assert bundle.end_s == bundle.start_s + 21 * DAY_S
    assert bundle.week == bundle.start_hour // 168 % 256


@pytest.mark.parametrize("at", [*range(40), *range(40, 1_245, 61), *range(1_245, 1_309)])
def test_a_flipped_bit_is_refused(at: int) -> None:
    changed = bytearray(bundle_at(NOW_S).encode())
    changed[at] ^= 1 << (at % 8)
    assert reason_of(bytes(changed)) in ("prekey-signature", "prekey-malformed")


def test_a_bundle_cut_anywhere_is_refused() -> None:
    data = bundle_at(NOW_S).encode()
    assert {reason_of(data[:at]) for at in range(len(data))} == {"prekey-malformed"}
    assert reason_of(data + bytes(BUNDLE_BYTES_MAX)) == "prekey-malformed"


def test_a_bundle_of_another_device_is_refused() -> None:
    with pytest.raises(Refused, match="prekey-signature"):
        check(bundle_at(NOW_S), SigningKey(seed("other")).public)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": True}, {"device": b"d"}, {"device": "d" * 16}, {"hour": -1}, {"hour": 2**24 + 1},
        {"hour": True}, {"days": 0}, {"days": 256},
        {"capabilities": -1}, {"capabilities": 2**32}, {"capabilities": None},
        {"public": PUBLIC[:-1]}, {"public": b"\xff" * 1_216}, {"public": PUBLIC[:1_184] + bytes(32)}, {"more": 1},
    ],
)  # fmt: skip
def test_a_signed_bundle_that_nobody_could_use_is_refused(change: dict[str, Any]) -> None:
    assert reason_of(resigned(**change)) == "prekey-malformed"


def test_capabilities_of_later_versions_are_kept_and_change_nothing() -> None:
    bundle = decode_bundle(resigned(capabilities=5))
    check(bundle, KEY.public)
    assert bundle.capabilities == 5


@given(st.binary(max_size=1_500))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(Refused, match="prekey-malformed"):
        decode_bundle(data)


def test_senders_take_the_newest_that_is_usable() -> None:
    old, current = bundle_at(NOW_S - 10 * DAY_S), bundle_at(NOW_S - 3 * DAY_S)
    assert newest([old, current], NOW_S) == newest([current, old], NOW_S) == current
    assert newest([old], old.end_s) == old
    assert newest([old], old.end_s + 1) is None
    assert newest([], NOW_S) is None


def test_a_bundle_from_the_future_is_the_last_choice_but_a_choice() -> None:
    ahead, current = bundle_at(Y2100_S), bundle_at(NOW_S - DAY_S)
    assert newest([ahead, current], NOW_S) == current
    assert newest([ahead], NOW_S) == ahead
    # Within the skew of clocks it is simply the newest.
    assert newest([bundle_at(NOW_S + DAY_S // 2), current], NOW_S) == bundle_at(NOW_S + DAY_S // 2)
    # A sender whose clock says 1970 still takes what is newest.
    assert newest([bundle_at(NOW_S), bundle_at(NOW_S - 7 * DAY_S)], 5) == bundle_at(NOW_S)


@pytest.mark.parametrize(("policy", "days"), [("city", 16), ("standard", 43), ("remote", 74), ("expedition", 136)])
def test_a_secret_lives_as_long_as_its_policy_says(policy: str, days: int) -> None:
    assert POLICIES[policy].life_s == days * DAY_S
    ring = ring_at(NOW_S, policy=policy)
    start_s = NOW_S // 3600 * 3600
    end_s = start_s + days * DAY_S
    assert len(ring.destroy(end_s - 1, end_s - 1).held) == 1
    assert ring.destroy(end_s, end_s).held == ()


def test_rotation_is_due_when_there_is_none_and_each_week() -> None:
    assert PrekeyRing.empty().due(NOW_S)
    ring = ring_at(NOW_S)
    assert not ring.due(NOW_S)
    assert not ring.due(NOW_S + 6 * DAY_S)
    assert ring.due(NOW_S + 7 * DAY_S)


def test_a_running_ring_holds_seven_secrets_and_never_more() -> None:
    ring, counts = PrekeyRing.empty(), set()
    for day in range(200):
        now_s = NOW_S + day * DAY_S
        if ring.due(now_s):
            ring, _ = ring.rotate(now_s, KEY, entropy_from(str(day)))
        ring = ring.destroy(now_s, 0)
        counts.add(len(ring.held))
    assert max(counts) == 7


def test_every_message_of_full_life_can_be_opened_until_it_dies() -> None:
    """Sealed in the last usable second, carried for the longest life, received by a clock a day behind or ahead."""
    ring, bundle = PrekeyRing.empty().rotate(NOW_S, KEY, entropy_from("x"))
    sealed = hpke_seal(bundle.public, b"info", b"text")
    arrives_s = bundle.end_s + STANDARD.ttl_max * DAY_S
    for clock_s in (arrives_s - DAY_S, arrives_s + DAY_S):
        kept = ring.destroy(clock_s, clock_s)
        ((prekey_id, secret),) = kept.candidates(bundle.week)
        assert prekey_id == bundle.prekey_id
        assert hpke_open(secret, b"info", sealed) == b"text"


def test_a_clock_that_jumped_ahead_destroys_nothing() -> None:
    ring = ring_at(NOW_S)
    for ahead_s in (JUMP_S + 3_601, YEAR_S, Y2100_S - NOW_S):
        assert ring.destroy(NOW_S + ahead_s, NOW_S) is ring
    # It is believed as soon as headquarters signed something at that time.
    assert ring.destroy(NOW_S + YEAR_S, NOW_S + YEAR_S - DAY_S).held == ()


def test_repeating_a_wrong_time_does_not_make_it_right() -> None:
    ring = ring_at(NOW_S)
    for hour in range(24 * 60):
        ring = ring.destroy(Y2100_S + hour * 3600, NOW_S)
    assert len(ring.held) == 1


def test_a_clock_that_walks_is_believed_without_headquarters() -> None:
    ring = ring_at(NOW_S)
    for day in range(50):
        ring = ring.destroy(NOW_S + day * DAY_S, 0)
    assert ring.held == ()


def test_what_is_saved_only_when_outdated_still_forgets_on_time() -> None:
    """A device without headquarters, awake at odd times, that writes its keystore only when `outdated` says so."""
    chance, saved, now_s, writes = random.Random(5), ring_at(NOW_S), NOW_S, 0
    while now_s < NOW_S + 150 * DAY_S:
        now_s += chance.choice((600, 3_600, 40_000, 2 * DAY_S, 5 * DAY_S))
        if saved.due(now_s) or saved.outdated(now_s, 0):
            saved, writes = saved.destroy(now_s, 0), writes + 1
            if saved.due(now_s):
                saved, _ = saved.rotate(now_s, KEY, entropy_from(str(now_s)))
        assert all(now_s < held.until_s for held in saved.held)
    assert writes <= 150
    assert not saved.outdated(now_s, 0)
    assert not saved.outdated(Y2100_S, NOW_S)


def test_a_clock_that_says_1970_destroys_only_what_headquarters_time_outlived() -> None:
    ring = ring_at(NOW_S - 60 * DAY_S, NOW_S)
    assert [held.start_hour for held in ring.destroy(0, NOW_S).held] == [NOW_S // 3600]
    assert ring.destroy(0, 0).held == ring.held


@given(st.lists(st.integers(0, 2 * YEAR_S), max_size=8), st.integers(0, 40 * DAY_S))
@settings(max_examples=100, deadline=None)
def test_a_clock_behind_never_shortens_a_life(behind_s: list[int], age_s: int) -> None:
    """Whatever a lagging clock says in between: a secret within its schedule is there when the time is right again."""
    ring = ring_at(NOW_S)
    for lag_s in behind_s:
        ring = ring.destroy(NOW_S + age_s - lag_s, NOW_S - 30 * DAY_S)
    assert len(ring.destroy(NOW_S + age_s, NOW_S + age_s).held) == 1


def test_a_secret_made_under_a_clock_in_2100_dies_one_life_after_the_clock_is_right() -> None:
    ring = ring_at(Y2100_S)
    assert ring.due(NOW_S)
    ring = ring.destroy(NOW_S, NOW_S)
    assert len(ring.held) == 1
    assert ring.believed_s == NOW_S
    assert ring.destroy(NOW_S + STANDARD.life_s - 1, NOW_S + STANDARD.life_s).held == ()


def test_a_ring_made_in_1970_waits_for_headquarters_time() -> None:
    ring = ring_at(10)
    assert ring.due(NOW_S)
    assert ring.destroy(NOW_S, 0) is ring
    ring, _ = ring.rotate(NOW_S, KEY, entropy_from("now"))
    assert [held.start_hour for held in ring.destroy(NOW_S, NOW_S).held] == [NOW_S // 3600]


def test_a_start_less_than_half_a_year_ahead_is_left_alone() -> None:
    ring = ring_at(NOW_S + AHEAD_S - DAY_S)
    assert ring.destroy(NOW_S, NOW_S).held == ring.held


def test_clocks_that_jump_to_and_fro_do_not_fill_the_memory() -> None:
    ring = ring_at(*(NOW_S + number * 100 * YEAR_S // 90 for number in range(SECRETS_MAX + 9)))
    assert len(ring.held) == SECRETS_MAX
    assert len(ring.encode()) <= RING_BYTES_MAX


def test_candidates_are_those_of_the_week_newest_first() -> None:
    monday = 168 * 3_000 * 3_600
    ring = ring_at(monday, monday + DAY_S, monday + 7 * DAY_S)
    assert [prekey_id for prekey_id, _ in ring.candidates(3_000 % 256)] == [
        ring.held[1].prekey_id,
        ring.held[0].prekey_id,
    ]
    assert len(ring.candidates(3_001 % 256)) == 1
    assert ring.candidates(3_002 % 256) == []


def test_a_ring_survives_the_keystore() -> None:
    ring = ring_at(NOW_S, NOW_S + 7 * DAY_S)
    again = PrekeyRing.decode(ring.encode())
    assert again == ring
    assert [held.secret.to_bytes() for held in again.held] == [held.secret.to_bytes() for held in ring.held]


@pytest.mark.parametrize(
    "value",
    [[], 5, [2, "standard", 0, []], [1, "none", 0, []], [1, "standard", "0", []], [1, "standard", 0, [[1, 2, b"x"]]],
     [1, "standard", 0, [5]], [1, "standard", 0, [[1, 2, bytes(32), 4]]]],
)  # fmt: skip
def test_a_damaged_ring_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="prekey-malformed"):
        PrekeyRing.decode(encode(value))
    with pytest.raises(Refused, match="prekey-malformed"):
        PrekeyRing.decode(encode(value) + b"\0")


def test_no_secret_in_any_repr() -> None:
    ring = ring_at(NOW_S)
    secret = ring.held[0].secret.to_bytes()
    for shown in (repr(ring), repr(ring.held[0]), repr(bundle_at(NOW_S)), f"{ring}"):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_rotation_changes_a_copy() -> None:
    ring = ring_at(NOW_S)
    before = replace(ring)
    ring.rotate(NOW_S + 7 * DAY_S, KEY, entropy_from("y"))
    ring.destroy(NOW_S + YEAR_S, NOW_S + YEAR_S)
    assert ring == before


def test_the_published_bundle_is_as_written_down() -> None:
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "own" / "prekey.json").read_text())
    key = SigningKey(bytes.fromhex(vectors["device_seed"]))
    secret = PrekeySecret.from_bytes(bytes.fromhex(vectors["prekey_seed"]))
    bundle = sign_bundle(
        key,
        device=sha256(key.public)[:16],
        start_hour=vectors["start_hour"],
        usable_days=vectors["usable_days"],
        public=secret.public_bytes,
    )
    assert bundle.encode().hex() == vectors["bundle"]
    assert (bundle.prekey_id.hex(), bundle.week) == (vectors["prekey_id"], vectors["week"])
    assert isinstance(decode(bundle.encode()[:-64], bytes_max=2_000), list)
