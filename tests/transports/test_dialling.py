"""Whom to dial and when, as plain functions of time."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transports import dialling
from transports.dialling import Dial, DialPlan

SMALL, LARGE, MIDDLE = "0" * 16, "f" * 16, "8" * 16
THERE = ("192.0.2.7:7337",)


def plan(own_name: str = MIDDLE, *, newcomer: bool = False) -> DialPlan:
    return DialPlan(own_name, lambda: 1.0, newcomer=newcomer)


def keys(dials: list[Dial]) -> list[str]:
    return [dial.key for dial in dials]


def fail(one: DialPlan, times: int) -> float:
    """Let every dial fail when it is due; the time of the last."""
    at: float | None = None
    for _ in range(times):
        at = one.wake_at()
        assert at is not None
        (dial,) = one.due(at)
        one.dial_failed(dial.key, at)
    assert at is not None
    return at


def test_the_larger_name_dials_at_once_and_the_smaller_after_three_seconds() -> None:
    large, small = plan(LARGE), plan(SMALL)
    for one in (large, small):
        one.seen(MIDDLE, THERE, 100.0)
    assert keys(large.due(100.0)) == [MIDDLE]
    assert small.due(102.9) == []
    assert small.wake_at() == 103.0
    assert keys(small.due(103.0)) == [MIDDLE]


def test_the_smaller_name_does_not_dial_when_a_link_came_from_that_host() -> None:
    one = plan(SMALL)
    one.seen(MIDDLE, THERE, 0.0)
    one.link_up(1, "", "192.0.2.7:50123", 1.0)
    assert one.due(10.0) == []
    assert one.wake_at() is None


def test_two_services_on_one_host_are_not_satisfied_by_one_link() -> None:
    one = plan(SMALL)
    one.seen("1" * 16, ("192.0.2.7:1",), 0.0)
    one.seen("2" * 16, ("192.0.2.7:2",), 0.0)
    one.link_up(1, "", "192.0.2.7:50123", 1.0)
    one.established(1, "peer-1")
    assert keys(one.due(3.0)) == ["1" * 16, "2" * 16]


def test_a_duplicate_is_no_failure_and_is_not_dialled_while_the_other_link_lives() -> None:
    one = plan(LARGE)
    one.link_up(1, "", "10.0.0.9:50123", 0.0)
    one.established(1, "khan")
    one.seen(MIDDLE, THERE, 0.0)
    assert keys(one.due(0.0)) == [MIDDLE]
    one.link_up(2, MIDDLE, THERE[0], 0.1)
    one.established(2, "khan")
    one.link_down(2, 0.2)
    assert one.due(10_000.0) == []
    one.link_down(1, 10_000.0)
    assert one.due(10_000.0) == []
    assert keys(one.due(10_001.0)) == [MIDDLE]


def test_after_a_lost_link_the_larger_name_returns_first() -> None:
    for own_name, soon in ((LARGE, True), (SMALL, False)):
        one = plan(own_name)
        one.seen(MIDDLE, THERE, 0.0)
        one.link_up(1, "", "192.0.2.7:50123", 1.0)
        one.established(1, "khan")
        one.link_down(1, 100.0)
        assert bool(one.due(101.0)) is soon
        assert bool(one.due(104.0)) is not soon


def test_a_newcomer_dials_whatever_its_name_and_whoever_has_dialled_it_in_vain() -> None:
    one = plan(SMALL, newcomer=True)
    one.link_up(1, "", "192.0.2.7:50123", 0.0)
    one.link_down(1, 0.0)
    one.seen(MIDDLE, THERE, 0.0)
    assert keys(one.due(0.0)) == [MIDDLE]


def test_a_stranger_is_tried_ever_more_seldom_up_to_five_minutes() -> None:
    one, now, tries = plan(LARGE), 0.0, 0
    one.seen(MIDDLE, THERE, now)
    gaps: list[float] = []
    while tries < 15:
        at = one.wake_at()
        assert at is not None
        gaps.append(at - now)
        now = at
        assert keys(one.due(now)) == [MIDDLE]
        one.link_up(tries, MIDDLE, THERE[0], now)
        one.link_down(tries, now)
        tries += 1
    assert gaps == sorted(gaps)
    assert gaps[-1] == dialling.STRANGER_S_MAX


def test_one_that_does_not_answer_is_tried_every_thirty_seconds() -> None:
    one = plan(LARGE)
    one.seen(MIDDLE, THERE, 0.0)
    now = fail(one, 15)
    assert one.wake_at() == now + dialling.AWAY_S_MAX
    assert one.due(now + dialling.AWAY_S_MAX) == [Dial(MIDDLE, THERE, retried=True)]


def test_a_link_that_lived_resets_the_wait() -> None:
    one = plan(LARGE)
    one.seen(MIDDLE, THERE, 0.0)
    fail(one, 5)
    at = one.wake_at()
    assert at is not None
    one.due(at)
    one.link_up(1, MIDDLE, THERE[0], at)
    one.established(1, "khan")
    one.link_down(1, at + dialling.LIVED_S)
    assert one.wake_at() == at + dialling.LIVED_S + dialling.RETRY_S


def test_new_addresses_reset_the_wait_and_equal_ones_do_not() -> None:
    one = plan(LARGE)
    one.seen(MIDDLE, THERE, 0.0)
    at = fail(one, 8)
    later = one.wake_at()
    one.seen(MIDDLE, THERE, at)
    assert one.wake_at() == later
    one.seen(MIDDLE, ("192.0.2.8:7337",), at)
    assert one.due(at) == [Dial(MIDDLE, ("192.0.2.8:7337",), retried=False)]


def test_remembered_addresses_are_tried_after_discovery_had_its_chance() -> None:
    one = plan()
    one.remember(THERE, 0.0)
    assert one.wake_at() == dialling.REMEMBERED_FIRST_S
    assert keys(one.due(2.0)) == list(THERE)
    one.dial_failed(THERE[0], 2.0)
    assert one.wake_at() == 2.0 + dialling.REMEMBERED_S


def test_a_remembered_address_that_discovery_knows_is_left_to_discovery() -> None:
    one = plan(SMALL)
    one.remember(THERE, 0.0)
    one.seen(MIDDLE, THERE, 1.0)
    assert one.due(2.0) == []
    assert keys(one.due(4.0)) == [MIDDLE]


def test_addresses_that_led_to_established_links_are_known_newest_first() -> None:
    one = plan(SMALL)
    one.link_up(1, "", "192.0.2.7:50123", 0.0)
    one.established(1, "khan")
    one.seen(MIDDLE, THERE, 0.0)
    one.seen(LARGE, ("192.0.2.8:1",), 0.0)
    one.link_up(2, LARGE, "192.0.2.8:1", 0.0)
    assert one.known() == list(THERE)
    one.established(2, "bibi")
    assert one.known() == ["192.0.2.8:1", *THERE]


def test_a_goodbye_ends_the_dialling_and_keeps_the_link() -> None:
    one = plan(LARGE)
    one.seen(MIDDLE, THERE, 0.0)
    one.due(0.0)
    one.link_up(1, MIDDLE, THERE[0], 0.0)
    one.gone(MIDDLE)
    one.established(1, "khan")
    assert one.linked_hosts() == {"192.0.2.7"}
    one.seen(LARGE[:-1] + "e", THERE, 1.0)  # The same node under its next name.
    assert one.due(100.0) == []
    one.link_down(1, 100.0)
    assert one.wake_at() is not None


def test_a_flood_of_services_stays_within_its_bounds() -> None:
    one = plan(LARGE)
    kept = [one.seen(f"{number:016x}", (f"10.0.{number >> 8}.{number & 255}:1",) * 50, 0.0) for number in range(400)]
    assert sum(kept) == dialling.CANDIDATES_MAX
    assert len(one.due(0.0)) == dialling.DIALS_MAX
    assert one.due(0.0) == []
    assert one.wake_at() is None
    one.remember((f"10.1.0.{number}:1" for number in range(200)), 0.0)
    one.dial_failed(f"{0:016x}", 0.0)
    assert len(one.due(10.0)) == 1


@settings(max_examples=100, deadline=None)
@example(
    [("seen", 2), ("gone", 0), ("up", 0), ("gone", 2), ("seen", 2), ("seen", 0), ("down", 0), ("seen", 0)]
)  # The end of a link to what was gone and seen again meanwhile freed it while it was dialled.
@given(st.lists(st.tuples(st.sampled_from(["seen", "gone", "up", "down", "fail", "established"]), st.integers(0, 4))))
def test_no_candidate_is_ever_dialled_twice_at_once(steps: list[tuple[str, int]]) -> None:
    one, now = plan(MIDDLE), 0.0
    dialling_now: list[str] = []
    links: dict[int, str] = {}
    for number, (step, which) in enumerate(steps):
        now += 5.0
        name = f"{which * 4:x}" * 16
        match step:
            case "seen":
                one.seen(name, (f"10.0.0.{which % 2}:{which}",), now)
            case "gone":
                one.gone(name)
            case "up" if dialling_now:
                links[number] = dialling_now.pop()
                one.link_up(number, links[number], "10.0.0.1:1", now)
            case "down" if links:
                link = min(links)
                del links[link]
                one.link_down(link, now)
            case "fail" if dialling_now:
                one.dial_failed(dialling_now.pop(), now)
            case "established" if links:
                one.established(max(links), f"peer-{which}")
        for dial in one.due(now):
            assert dial.key not in (*dialling_now, *links.values())
            dialling_now.append(dial.key)
        assert len(dialling_now) <= dialling.DIALS_MAX


def test_hosts_are_compared_without_brackets_and_scope() -> None:
    assert dialling.host_of("[fe80::1%eth0]:7337") == "fe80::1"
    assert dialling.host_of("10.0.0.1:80") == "10.0.0.1"


def test_the_plan_refuses_nothing_it_did_not_start() -> None:
    one = plan()
    one.established(7, "unknown link")
    one.dial_failed("unknown candidate", 0.0)
    with pytest.raises(KeyError):
        one.link_down(7, 0.0)
