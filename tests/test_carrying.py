"""Who is given large mail, and which copy goes first."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.carrying import GIFTS, HISTORY_CROWDS_MAX, VIEW_BYTES_MAX, Carrying, Copy, chance_in, read_view
from beepmesh.errors import Refused
from beepmesh.trust.crowds import NOBODY, crowd_of, is_in
from sync.logs import LogId

ORG = bytes(16)
BITS = 4
HOUR_S = 3_600.0
COPY: Copy = (LogId(bytes(16), 2), 7)
OTHER: Copy = (LogId(bytes(16), 2), 8)
DEVICES = [sha256(bytes([number])).digest()[:16] for number in range(40)]
READER = DEVICES[0]
CROWD = crowd_of(READER, BITS, ORG)
STRANGERS = [device for device in DEVICES if not is_in(device, CROWD, ORG)]


def met(*meetings: tuple[bytes, float]) -> Carrying:
    carrying = Carrying(ORG)
    for device, hour in meetings:
        carrying.met(device, BITS, hour * HOUR_S)
    return carrying


def test_who_meets_the_crowd_more_often_leads_there_better() -> None:
    assert met((READER, 1), (READER, 3)).chance(CROWD) > met((READER, 1)).chance(CROWD) > met().chance(CROWD) == 0


def test_a_link_that_flickers_is_one_meeting() -> None:
    flickering = met(*((READER, 1 + second / HOUR_S) for second in range(60)))
    assert flickering.chance(CROWD) < met((READER, 1), (READER, 2)).chance(CROWD)


def test_what_was_long_ago_fades() -> None:
    carrying = met((READER, 1))
    before = carrying.chance(CROWD)
    carrying.met(STRANGERS[0], BITS, 30 * 24 * HOUR_S)
    assert carrying.chance(CROWD) < before / 5


def test_a_peer_leads_to_whom_it_meets() -> None:
    mule, us = met((READER, 1)), met((STRANGERS[0], 2))
    us.heard(STRANGERS[0], read_view(mule.view()))
    assert 0 < us.chance(CROWD) < mule.chance(CROWD)


def test_mail_is_given_to_its_crowd_and_to_who_leads_there_better() -> None:
    us, mule = met((READER, 1)), met((READER, 1), (READER, 5))
    assert us.gives(COPY, CROWD, READER, {}, own=False)
    assert us.gives(COPY, CROWD, STRANGERS[0], read_view(mule.view()), own=False)
    assert not us.gives(COPY, CROWD, STRANGERS[1], read_view(met().view()), own=False)


def test_an_author_gives_to_the_first_few_who_lead_nowhere_and_to_them_again() -> None:
    author = met()
    given = [device for device in STRANGERS if author.gives(COPY, CROWD, device, {}, own=True)]
    assert given == STRANGERS[:GIFTS]
    assert author.gives(COPY, CROWD, STRANGERS[0], {}, own=True)
    assert author.gives(OTHER, CROWD, STRANGERS[-1], {}, own=True)


def test_a_copy_adds_less_when_others_will_bring_the_message() -> None:
    us, mule = met((READER, 1)), met((READER, 1), (READER, 5))
    assert us.worth(COPY, CROWD) == us.worth(OTHER, CROWD)
    us.gives(COPY, CROWD, STRANGERS[0], read_view(mule.view()), own=False)
    assert us.worth(COPY, CROWD) < us.worth(OTHER, CROWD) < us.worth(OTHER, NOBODY)


def test_a_view_of_other_crowds_counts_where_they_overlap() -> None:
    wide, narrow = crowd_of(READER, BITS - 2, ORG), crowd_of(READER, BITS + 2, ORG)
    assert chance_in({wide: 0.5}, CROWD) == chance_in({narrow: 0.5}, CROWD) == 0.5
    assert chance_in({crowd_of(STRANGERS[0], BITS, ORG): 0.5}, CROWD) == 0


def test_a_history_is_kept_and_read_again() -> None:
    before = met((READER, 1), (STRANGERS[0], 2), (READER, 3))
    after = Carrying(ORG, before.encode(3 * HOUR_S))
    assert after.chance(CROWD) == pytest.approx(before.chance(CROWD))
    after.met(READER, BITS, 0.0)  # The clock began anew, and it is the same meeting.
    assert after.chance(CROWD) == pytest.approx(before.chance(CROWD))


@given(st.binary(max_size=4_000))
def test_any_bytes_are_a_history_or_are_forgotten(data: bytes) -> None:
    carrying = Carrying(ORG, data)
    assert len(carrying.encode(0.0)) <= 10 * HISTORY_CROWDS_MAX
    assert 0 <= carrying.chance(CROWD) <= 1


@given(st.binary(max_size=VIEW_BYTES_MAX + 8))
def test_any_bytes_are_a_view_or_are_refused(data: bytes) -> None:
    try:
        view = read_view(data)
    except Refused:
        return
    assert all(0 < chance <= 1 for chance in view.values())
    assert all(one < other for one, other in pairwise(view))


def test_a_view_is_bounded_however_many_are_met() -> None:
    carrying = Carrying(ORG)
    for number in range(600):
        carrying.met(sha256(number.to_bytes(2)).digest()[:16], 15, number * HOUR_S)
    assert len(carrying.view()) <= VIEW_BYTES_MAX
    read_view(carrying.view())
