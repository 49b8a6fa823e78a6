"""Who is given mail that names a crowd, and which copy goes first."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.carrying import (
    GIFT_MEETINGS,
    GIFTS,
    HISTORY_CROWDS_MAX,
    VIEW_BYTES_MAX,
    VIEW_CROWDS_MAX,
    Carrying,
    Copy,
    View,
    pack_view,
    read_view,
)
from beepmesh.errors import Refused
from beepmesh.trust.crowds import NOBODY, PLACE_BITS, holds, is_crowd
from sync.logs import LogId

HOUR_S = 3_600.0
COPY: Copy = (LogId(bytes(16), 2), 7)
OTHER: Copy = (LogId(bytes(16), 2), 8)
PEERS = [sha256(bytes([number])).digest()[:16] for number in range(40)]
CROWD = 0b1_0110
"""Of the reader."""
ELSEWHERE = 0b1_1000
NOTHING_TOLD = View({})
crowds = st.integers(1, (1 << PLACE_BITS + 1) - 1).filter(is_crowd)


def met(*meetings: tuple[int, float]) -> Carrying:
    carrying = Carrying()
    for crowd, hour in meetings:
        carrying.met(crowd, hour * HOUR_S)
    return carrying


def gives(carrying: Carrying, peer: bytes, view: View = NOTHING_TOLD, *, own: bool = False, large: bool = True) -> bool:
    """Whether it gives, and then that it was taken."""
    given_it = carrying.gives(COPY, CROWD, peer, view, own=own, large=large)
    if given_it:
        carrying.gave(COPY, CROWD, peer, view)
    return bool(given_it)


def test_who_meets_the_crowd_more_often_leads_there_better() -> None:
    often, once, never = met((CROWD, 1), (CROWD, 3)), met((CROWD, 1)), met()
    assert often.view.chance(CROWD) > once.view.chance(CROWD) > never.view.chance(CROWD) == 0


def test_a_link_that_flickers_is_one_meeting() -> None:
    flickering = met(*((CROWD, 1 + second / HOUR_S) for second in range(60)))
    assert flickering.view.chance(CROWD) < met((CROWD, 1), (CROWD, 2)).view.chance(CROWD)


def test_what_was_long_ago_fades() -> None:
    carrying = met((CROWD, 1))
    before = carrying.view.chance(CROWD)
    carrying.met(ELSEWHERE, 30 * 24 * HOUR_S)
    assert carrying.view.chance(CROWD) < before / 5


def test_a_peer_leads_to_whom_it_meets() -> None:
    mule, us = met((CROWD, 1)), met((ELSEWHERE, 2))
    us.heard(ELSEWHERE, read_view(pack_view(mule.view)))
    assert 0 < us.view.chance(CROWD) < mule.view.chance(CROWD)


@pytest.mark.parametrize("large", [False, True])
def test_mail_is_given_to_who_leads_there_better(large: bool) -> None:
    us, mule = met((CROWD, 1)), met((CROWD, 1), (CROWD, 5))
    assert gives(us, PEERS[0], read_view(pack_view(mule.view)), large=large)
    assert not gives(us, PEERS[1], read_view(pack_view(met().view)), large=large)
    assert not gives(us, PEERS[2], read_view(pack_view(us.view)), large=large)


@pytest.mark.parametrize("large", [False, True])
def test_an_author_gives_to_the_first_few_who_lead_nowhere_and_to_them_again(large: bool) -> None:
    author = met((CROWD, 1))
    given_it = [peer for peer in PEERS if gives(author, peer, own=True, large=large)]
    assert given_it == PEERS[:GIFTS]
    assert gives(author, PEERS[0], own=True, large=large)
    assert author.gives(OTHER, CROWD, PEERS[-1], NOTHING_TOLD, own=True, large=large)


def test_what_was_not_taken_was_no_gift() -> None:
    author = met((CROWD, 1))
    assert all(author.gives(COPY, CROWD, peer, NOTHING_TOLD, own=True, large=True) for peer in PEERS)


def test_who_leads_there_better_costs_no_gift() -> None:
    author, mule = met((CROWD, 1)), met((CROWD, 1), (CROWD, 5))
    for peer in PEERS[GIFTS:]:
        gives(author, peer, mule.view, own=True)
    assert [peer for peer in PEERS[:GIFTS] if gives(author, peer, own=True)] == PEERS[:GIFTS]


def test_a_holder_of_small_mail_earns_a_gift_with_so_many_meetings_and_of_large_mail_none() -> None:
    holder = met((CROWD, 1))
    assert not gives(holder, PEERS[0], large=False)
    for _ in range(2 * GIFT_MEETINGS):
        holder.met(CROWD, 1 * HOUR_S)
    assert not gives(holder, PEERS[0], large=True)
    assert [peer for peer in PEERS if gives(holder, peer, large=False)] == PEERS[:2]


def test_small_mail_for_a_crowd_that_we_know_nothing_of_is_given_to_all_before_they_tell_anything() -> None:
    stranger = met((ELSEWHERE, 1))
    assert stranger.gives(COPY, CROWD, PEERS[0], None, own=False, large=False)
    assert stranger.gives(COPY, CROWD, PEERS[0], None, own=False, large=True) is None
    assert met((CROWD, 1)).gives(COPY, CROWD, PEERS[0], None, own=True, large=False) is None


def test_a_copy_adds_less_when_others_will_bring_the_message() -> None:
    us, mule = met((CROWD, 1)), met((CROWD, 1), (CROWD, 5))
    assert us.worth(COPY, CROWD) == us.worth(OTHER, CROWD)
    us.gave(COPY, CROWD, PEERS[0], mule.view)
    assert 0 < us.worth(COPY, CROWD) < us.worth(OTHER, CROWD) < us.worth(OTHER, NOBODY)


def test_a_crowd_is_met_by_its_parts_and_guessed_by_a_wider_one() -> None:
    wide, narrow = CROWD >> 2, CROWD << 2
    assert View({narrow: 0.5, narrow + 1: 0.25, CROWD: 0.125, wide: 0.75}).chance(CROWD) == 0.5
    assert View({wide: 0.75}).chance(CROWD) == 0.75
    assert View({ELSEWHERE: 0.5}).chance(CROWD) == 0


@given(st.dictionaries(st.integers(1, 127), st.floats(1e-6, 1)), st.integers(1, 127))
def test_the_chance_of_a_crowd_is_that_of_its_likeliest_part_or_of_the_next_wider_one(
    told: dict[int, float], crowd: int
) -> None:
    parts = [chance for known, chance in told.items() if holds(crowd, known)]
    wider = [told[known] for known in sorted(told, reverse=True) if holds(known, crowd)]
    assert View(told).chance(crowd) == (max(parts) if parts else wider[0] if wider else 0.0)


def test_a_history_is_kept_and_read_again() -> None:
    before = met((CROWD, 1), (ELSEWHERE, 2), (CROWD, 3))
    after = Carrying(before.encode(3 * HOUR_S))
    assert after.view.chance(CROWD) == pytest.approx(before.view.chance(CROWD))
    after.met(CROWD, 0.0)  # The clock began anew, and it is the same meeting.
    assert after.view.chance(CROWD) == pytest.approx(before.view.chance(CROWD))


@given(st.binary(max_size=4_000))
def test_any_bytes_are_a_history_or_are_forgotten(data: bytes) -> None:
    carrying = Carrying(data)
    assert len(carrying.encode(0.0)) <= 10 * HISTORY_CROWDS_MAX
    assert 0 <= carrying.view.chance(CROWD) <= 1


@given(st.binary(max_size=VIEW_BYTES_MAX + 8))
def test_any_bytes_are_a_view_or_are_refused(data: bytes) -> None:
    try:
        view = read_view(data)
    except Refused:
        return
    assert all(0 < chance <= 1 for chance in view.told.values())
    assert all(one < other for one, other in pairwise(view.told))


@given(st.dictionaries(crowds, st.floats(1e-6, 1), max_size=2 * VIEW_CROWDS_MAX))
def test_a_view_is_told_as_it_is_but_never_rounded_up_and_the_likeliest_first(told: dict[int, float]) -> None:
    read = read_view(pack_view(View(told)))
    assert len(read.told) <= VIEW_CROWDS_MAX
    assert all(told[crowd] - 1 / 65_535 <= chance <= told[crowd] for crowd, chance in read.told.items())
    left_out = [chance for crowd, chance in told.items() if crowd not in read.told]
    assert (
        not left_out
        or max(left_out) <= min((told[crowd] for crowd in read.told), default=0)
        or max(left_out) < 1 / 65_535
    )


def test_a_view_is_bounded_however_many_are_met() -> None:
    carrying = Carrying()
    for number in range(600):
        carrying.met(1 << PLACE_BITS | number, number * HOUR_S)
    assert len(pack_view(carrying.view)) <= VIEW_BYTES_MAX
