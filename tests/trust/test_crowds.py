"""Crowds: everybody agrees on them, nobody is alone in one, and they lie within departments."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.trust.crowds import CROWD_MIN, EVERYBODY, FEW, NOBODY, PLACE_BITS, Crowds, holds

ORG = bytes(16)
DEVICES = [sha256(bytes([number])).digest()[:16] for number in range(200)]
DEPARTMENTS = ["", "Health", "Relief/Boats", "Relief/Camps", "Police"]

organisations = st.dictionaries(st.sampled_from(DEVICES), st.sampled_from(DEPARTMENTS), min_size=1)


@given(organisations)
def test_mail_names_a_crowd_of_several_of_whom_its_reader_is_one(departments: Mapping[bytes, str]) -> None:
    crowds = Crowds(ORG, departments)
    for reader in departments:
        among = [device for device in departments if crowds.has(crowds.of(reader), device)]
        assert reader in among
        assert len(among) >= min(CROWD_MIN, len(departments))


@given(organisations)
def test_no_narrower_crowd_would_hold_enough(departments: Mapping[bytes, str]) -> None:
    crowds = Crowds(ORG, departments)
    for reader in departments:
        crowd = crowds.of(reader)
        halves = [half for half in (crowd << 1, crowd << 1 | 1) if crowds.has(half, reader)]
        among = [device for device in departments if halves and crowds.has(halves[0], device)]
        assert not halves or len(among) < CROWD_MIN or len(departments) <= FEW


@given(organisations)
def test_a_crowd_lies_within_a_department_that_is_large_enough(departments: Mapping[bytes, str]) -> None:
    crowds = Crowds(ORG, departments)
    for reader, department in departments.items():
        own = [device for device, theirs in departments.items() if theirs == department]
        among = [device for device in departments if crowds.has(crowds.of(reader), device)]
        assert len(own) < CROWD_MIN or len(departments) <= FEW or set(among) <= set(own)


@given(organisations)
def test_of_two_crowds_one_holds_the_other_or_they_share_nobody(departments: Mapping[bytes, str]) -> None:
    crowds = Crowds(ORG, departments)
    all_of = {crowds.of(device) for device in departments}
    for one in all_of:
        for other in all_of:
            shared = any(crowds.has(one, device) and crowds.has(other, device) for device in departments)
            assert shared == (holds(one, other) or holds(other, one))


def test_whoever_knows_the_same_devices_names_the_same_crowd_in_whatever_order_they_came() -> None:
    forwards = dict.fromkeys(DEVICES, "Health")
    backwards = dict.fromkeys(reversed(DEVICES), "Health")
    assert [Crowds(ORG, forwards).of(device) for device in DEVICES] == [
        Crowds(ORG, backwards).of(device) for device in DEVICES
    ]


def test_few_devices_are_one_crowd() -> None:
    assert {Crowds(ORG, dict.fromkeys(DEVICES[:FEW], "")).of(device) for device in DEVICES} == {EVERYBODY}
    assert EVERYBODY not in {Crowds(ORG, dict.fromkeys(DEVICES[: 2 * FEW], "")).of(device) for device in DEVICES[:FEW]}


def test_mail_for_a_device_that_nobody_knows_is_for_everybody() -> None:
    crowds = Crowds(ORG, dict.fromkeys(DEVICES[1:], ""))
    assert crowds.of(DEVICES[0]) == EVERYBODY
    assert all(crowds.has(EVERYBODY, device) for device in DEVICES)
    assert not any(crowds.has(crowds.of(device), DEVICES[0]) for device in DEVICES[1:])


@pytest.mark.parametrize("crowd", [NOBODY, 1 << PLACE_BITS + 1, -1])
def test_nobody_is_in_what_is_no_crowd(crowd: int) -> None:
    assert not Crowds(ORG, dict.fromkeys(DEVICES, "")).has(crowd, DEVICES[0])


def test_two_organisations_have_other_crowds() -> None:
    ours, theirs = (Crowds(org, dict.fromkeys(DEVICES, "")) for org in (ORG, bytes([1]) * 16))
    assert [ours.of(device) for device in DEVICES] != [theirs.of(device) for device in DEVICES]


def test_the_bytes_are_those_of_the_formula() -> None:
    known = DEVICES[: FEW + 1]
    crowds = Crowds(ORG, dict.fromkeys(known, "Health"))
    begin = sha256(b"beepmesh/crowd/2" + ORG + b"Health").digest()[0] >> 1
    places = [begin << 8 | sha256(b"beepmesh/crowd/2" + ORG + device).digest()[0] for device in known]
    for device, place in zip(known, places, strict=True):
        alike = sorted(PLACE_BITS - (other ^ place).bit_length() for other in places)[-CROWD_MIN]
        assert crowds.of(device) == 1 << alike | place >> (PLACE_BITS - alike)
