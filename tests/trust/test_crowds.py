"""Crowds: everybody agrees on them, and nobody is alone in one."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.trust.crowds import BITS_MAX, CROWD_MIN, NOBODY, bits_for, crowd_for, crowd_of, holds, is_in

ORG = bytes(16)
DEVICES = [sha256(bytes([number])).digest()[:16] for number in range(200)]


@given(st.integers(1, 200), st.integers(0, 199))
def test_mail_names_a_crowd_of_several_of_whom_its_reader_is_one(count: int, which: int) -> None:
    known = DEVICES[:count]
    reader = known[which % count]
    crowd = crowd_for(reader, known, ORG)
    among = [device for device in known if is_in(device, crowd, ORG)]
    assert reader in among
    assert len(among) >= min(CROWD_MIN, count)


@given(st.integers(1, 100_000))
def test_counting_by_crowds_leaves_enough_in_each_on_average(devices: int) -> None:
    assert devices < CROWD_MIN or CROWD_MIN / 1.5 < devices / 2 ** bits_for(devices) < CROWD_MIN * 1.5


@given(st.sampled_from(DEVICES), st.integers(0, BITS_MAX), st.integers(0, BITS_MAX))
def test_a_wider_crowd_holds_the_narrower_one(device: bytes, some: int, more: int) -> None:
    wide, narrow = (crowd_of(device, bits, ORG) for bits in sorted((some, more)))
    assert holds(wide, narrow)
    assert holds(narrow, wide) == (wide == narrow)


@pytest.mark.parametrize("crowd", [NOBODY, 1 << 16, -1])
def test_nobody_is_in_what_is_no_crowd(crowd: int) -> None:
    assert not is_in(DEVICES[0], crowd, ORG)


def test_two_organisations_have_other_crowds() -> None:
    ours, theirs = ([crowd_of(device, 8, org) for device in DEVICES] for org in (ORG, bytes([1]) * 16))
    assert ours != theirs
