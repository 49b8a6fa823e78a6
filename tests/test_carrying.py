"""Whom large entries are given to, which copy goes first, and what may be said and kept of meetings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.carrying import (
    GIFTS_MAX,
    LEVELS,
    MEETING_S,
    NO_TAG,
    RATIONED_BYTES_MIN,
    TAGS_MAX,
    VIEW_TAGS_MAX,
    History,
    Peer,
    Tag,
    View,
    crowd_tag,
    gives,
    is_rationed,
    left_after,
    worth,
)
from beepmesh.errors import Refused
from beepmesh.messages.lifetimes import BULK, DAY_S, LANE_FILES, LANE_MESSAGES, LANE_URGENT, ROUTINE, SOS, URGENT

HERE, THERE, FAR = (Tag(bytes([0, number])) for number in (1, 2, 3))
SILENT = Peer(HERE, None)


def tags(count: int) -> list[Tag]:
    return [Tag(number.to_bytes(2)) for number in range(1, count + 1)]


def telling(tag: Tag, levels: dict[Tag, int], floor: int = 0) -> Peer:
    return Peer(tag, View(floor, levels))


def history_of(*meetings: tuple[Tag, int]) -> History:
    history = History()
    for tag, now_s in meetings:
        history.meet(Peer(tag, None), now_s)
    return history


rows = st.dictionaries(
    st.binary(min_size=2, max_size=2).map(Tag).filter(lambda tag: tag != NO_TAG), st.integers(1, LEVELS)
)
meetings = st.lists(st.tuples(st.sampled_from(tags(5)), st.integers(0, 10**6), rows), max_size=20)


# What is rationed.


@pytest.mark.parametrize(
    ("lane", "priority", "packed_bytes", "rationed"),
    [
        (LANE_MESSAGES, ROUTINE, RATIONED_BYTES_MIN, True),
        (LANE_FILES, BULK, 48_000, True),
        (LANE_MESSAGES, ROUTINE, RATIONED_BYTES_MIN - 1, False),
        (LANE_MESSAGES, SOS, 48_000, False),
        (LANE_MESSAGES, URGENT, 48_000, False),
        (LANE_URGENT, ROUTINE, 48_000, False),
    ],
)
def test_only_what_is_large_and_not_urgent_is_rationed(
    lane: int, priority: int, packed_bytes: int, rationed: bool
) -> None:
    assert is_rationed(lane=lane, priority=priority, packed_bytes=packed_bytes) is rationed


# Who is given it.


def test_whoever_may_be_the_recipient_is_given_it_even_with_a_full_store() -> None:
    assert gives(history_of((HERE, 0)), HERE, telling(HERE, {}, floor=LEVELS), None)


def test_nobody_is_the_recipient_of_what_has_no_tag() -> None:
    assert not gives(History(), NO_TAG, Peer(NO_TAG, None), None)


def test_whoever_has_a_better_chance_is_given_it() -> None:
    history = history_of((FAR, 0))
    ours = round(history.chance(FAR) * LEVELS)
    assert gives(history, FAR, telling(HERE, {FAR: ours + 1}), None)
    assert not gives(history, FAR, telling(HERE, {FAR: ours}), None)


def test_its_author_gives_it_to_some_who_know_nobody() -> None:
    stranger = telling(HERE, {})
    assert gives(History(), FAR, stranger, GIFTS_MAX - 1)
    assert not gives(History(), FAR, stranger, GIFTS_MAX)
    assert not gives(History(), FAR, stranger, None)


def test_a_peer_that_tells_nothing_gets_gifts_only() -> None:
    assert gives(History(), FAR, SILENT, 0)
    assert not gives(History(), FAR, SILENT, None)


def test_a_full_store_is_given_what_is_worth_more_than_its_least() -> None:
    assert gives(History(), FAR, telling(HERE, {FAR: 101}, floor=100), None)
    assert not gives(History(), FAR, telling(HERE, {FAR: 100}, floor=100), 0)


# Which copy goes first.


def test_a_copy_adds_less_once_a_better_carrier_has_one() -> None:
    history = history_of((FAR, 0), (THERE, 0))
    given_away = left_after(1.0, FAR, telling(HERE, {FAR: LEVELS}))
    assert worth(history, FAR, given_away) < worth(history, THERE, 1.0)


def test_a_copy_given_to_one_without_a_chance_adds_what_it_did() -> None:
    assert left_after(1.0, FAR, telling(HERE, {})) == left_after(1.0, FAR, SILENT) == 1.0


def test_no_claim_makes_a_copy_worthless() -> None:
    assert left_after(1.0, FAR, telling(HERE, {FAR: LEVELS})) > 0.05


# What is learned.


def test_who_is_met_again_has_a_better_chance() -> None:
    assert history_of((FAR, 0), (FAR, DAY_S)).chance(FAR) > history_of((FAR, 0)).chance(FAR) > 0.0


def test_a_link_that_flickers_is_one_meeting() -> None:
    once, often = history_of((FAR, 0)), history_of(*[(FAR, 0)] * 100)
    assert often.chance(FAR) == once.chance(FAR)
    assert history_of((FAR, 0), (FAR, MEETING_S)).chance(FAR) > history_of((FAR, 0), (FAR, 60)).chance(FAR)


def test_chances_fade() -> None:
    history = history_of((FAR, 0), (HERE, 14 * DAY_S))
    assert 0.0 < history.chance(FAR) < 0.4 * history.chance(HERE)


def test_a_clock_that_falls_changes_nothing() -> None:
    history = history_of((FAR, 10**6), (HERE, 10))
    assert history.chance(FAR) == history.chance(HERE) == 0.5


def test_what_a_peer_can_reach_is_reached_through_it_with_less_chance() -> None:
    history = History()
    history.meet(telling(HERE, {FAR: LEVELS}), 0)
    assert 0.0 < history.chance(FAR) < history.chance(HERE)


def test_hearsay_never_takes_a_chance_away() -> None:
    history = history_of((FAR, 0))
    before = history.chance(FAR)
    history.meet(telling(HERE, {FAR: 1}), 0)
    assert history.chance(FAR) == before


def test_a_device_without_a_tag_is_not_learned() -> None:
    history = History()
    history.meet(telling(NO_TAG, {FAR: LEVELS}), 0)
    assert history.view(0).levels == {}


def test_no_more_crowds_are_kept_than_the_bound_and_the_best_stay() -> None:
    history = History()
    for number, tag in enumerate(tags(TAGS_MAX + 1)):
        history.meet(Peer(tag, None), number * DAY_S)
    known = [tag for tag in tags(TAGS_MAX + 1) if history.chance(tag)]
    assert known == tags(TAGS_MAX + 1)[1:]


# What is told and kept.


def test_a_view_tells_the_best() -> None:
    history = history_of(*((tag, number * DAY_S) for number, tag in enumerate(tags(VIEW_TAGS_MAX + 1))))
    assert list(history.view(7).levels) == tags(VIEW_TAGS_MAX + 1)[:0:-1]
    assert history.view(7).floor == 7


@given(
    st.integers(0, LEVELS), st.dictionaries(st.sampled_from(tags(200)), st.integers(1, LEVELS), max_size=VIEW_TAGS_MAX)
)
def test_a_view_survives_the_wire(floor: int, levels: dict[Tag, int]) -> None:
    assert View.decode(View(floor, levels).encode()) == View(floor, levels)


@given(st.binary(max_size=64))
def test_a_view_is_one_encoding_or_refused(data: bytes) -> None:
    try:
        view = View.decode(data)
    except Refused:
        return
    assert view.encode() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\0\1\0",
        b"\0\0" + b"\0\2\0\1" + b"\0\1\0\1",
        b"\0\0" + b"\0\1\0\1" * 2,
        b"\0\0" + b"\0\1\0\0",
        b"\0\0" + b"\0\0\0\1",
        b"\0\0" + b"".join(tag + b"\0\1" for tag in tags(VIEW_TAGS_MAX + 1)),
    ],
    ids=["nothing", "half a floor", "half a row", "descending", "twice", "no level", "no tag", "one too many"],
)
def test_a_view_out_of_form_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="view-malformed"):
        View.decode(data)


@given(meetings)
def test_a_history_survives_the_disk(met: list[tuple[Tag, int, dict[Tag, int]]]) -> None:
    history = History()
    for tag, now_s, levels in met:
        history.meet(telling(tag, levels), now_s)
    kept = History.decode(history.encode())
    assert kept.encode() == history.encode()
    assert all(abs(kept.chance(tag) - history.chance(tag)) <= 1 / LEVELS for tag in tags(5))


def test_a_full_history_is_small() -> None:
    assert len(history_of(*((tag, 2**40) for tag in tags(TAGS_MAX))).encode()) <= 4_096


@given(st.binary(max_size=64) | st.binary(max_size=32).map(lambda rest: b"\1" + bytes(4) + rest))
def test_a_history_is_one_encoding_or_refused(data: bytes) -> None:
    try:
        history = History.decode(data)
    except Refused:
        return
    assert history.encode() == data


# Crowds.


def test_a_department_has_a_few_crowds_and_no_other_has_them() -> None:
    devices = [number.to_bytes(16) for number in range(64)]
    one, other = ({crowd_tag(b"secret", where, device) for device in devices} for where in ("one", "other"))
    assert (len(one), len(other), one & other) == (4, 4, set())


def test_only_the_organisation_can_tell_a_tag() -> None:
    assert crowd_tag(b"secret", "one", bytes(16)) != crowd_tag(b"guess", "one", bytes(16))
