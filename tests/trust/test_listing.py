"""The organisation's list of feeds: who writes it, what counts of it, and that it tells nobody's message feed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.certificates import DAY_S, FeedCertificate, check_feed, check_registrar, issue_registrar
from beepmesh.crypto.names import ROLES
from beepmesh.errors import Refused
from beepmesh.messages.token import token_log
from beepmesh.trust import listing
from beepmesh.trust.facts import FACT_BYTES_MAX, FEED_PAGE, FEED_PAGE_FEEDS_MAX, Fact, feed_page_data
from beepmesh.trust.identity import Identity
from beepmesh.trust.listing import MESSAGE_FEEDS_MIN, Page, due
from beepmesh.trust.renewal import renew_own
from beepmesh.trust.roster import Learned, Roster, registrar_serial
from sync.feeds import FeedList
from sync.limits import LOGS_MAX
from sync.logs import LogId
from tests.trust.village import NOW_S, Entropy, Village, certificate_by, device_fact, facts_of, revocation

village = Village()
HQ = village.hq
REGISTRAR = village.admit("Second HQ", role="registrar")
SECOND = village.admit("Deputy", role="hq")
SANA = village.admit("Sana")
TODAY = NOW_S // DAY_S


def ids(*names: int) -> tuple[bytes, ...]:
    return tuple(name.to_bytes(16) for name in names)


def page(seq: int, start: int, *names: int, by: Identity = HQ) -> Fact:
    return Fact(by.device, seq, FEED_PAGE, feed_page_data(*Page(start, ids(*names)).encode()))


def listed(roster: Roster) -> list[int]:
    return [int.from_bytes(roster.feed_list.feed(number)) for number in range(len(roster.feed_list))]


def with_hq_role(identity: Identity, now_s: int) -> Identity:
    """The root gives a device what only the founder's has today."""
    root, key = HQ.root_key, identity.registrar_key
    assert root is not None
    assert key is not None
    data = issue_registrar(
        root,
        registrar_public=key.public,
        departments=("",),
        roles=ROLES,
        not_before=now_s,
        expires=now_s + 300 * DAY_S,
        serial=registrar_serial(identity.device),
    )
    return replace(identity, registrar_certificate=data, issuer_certificate=data)


def folded(facts: Iterable[Fact]) -> Roster:
    roster = Roster(HQ.root_public)
    for fact in facts:
        try:
            roster.learn(fact)
        except Refused:
            continue
    return roster


# Who keeps it.


def test_the_founder_s_device_keeps_the_list_and_nobody_that_it_let_in() -> None:
    roster = village.roster(facts_of(SANA))  # Her certificate brings the founder's registrar certificate along.
    assert [member.name for member in (HQ, REGISTRAR, SECOND, SANA) if roster.keeps_list(member.device)] == [HQ.name]


def test_nobody_keeps_a_list_while_the_founder_is_unknown() -> None:
    roster = Roster(HQ.root_public)
    roster.learn(certificate_by(REGISTRAR, SANA))
    assert not any(roster.keeps_list(member.device) for member in (HQ, REGISTRAR, SANA))


def test_a_renewed_founder_goes_on_keeping_the_list() -> None:
    renewed = device_fact(renew_own(HQ, NOW_S + 40 * DAY_S, Entropy("renewal")))
    between = certificate_by(with_hq_role(SECOND, NOW_S + DAY_S), SECOND, now_s=NOW_S + DAY_S)
    for order in ((device_fact(HQ), between, renewed), (renewed, between, device_fact(HQ))):
        assert listed(village.roster(*order, page(3, 0, 1))) == [1]


@pytest.mark.parametrize(("begins_s", "keeper"), [(NOW_S - 1, SECOND), (NOW_S + 1, HQ)])
def test_of_two_with_the_role_hq_the_one_that_began_first_keeps_the_list(begins_s: int, keeper: Identity) -> None:
    second = with_hq_role(SECOND, begins_s)
    own = certificate_by(second, second, now_s=begins_s)
    for order in ((device_fact(HQ), own), (own, device_fact(HQ))):
        roster = village.roster(*order, page(1, 0, 1, by=HQ), page(1, 0, 2, by=SECOND))
        assert roster.keeps_list(keeper.device)
        assert listed(roster) == ([1] if keeper is HQ else [2])


def test_of_two_that_began_at_once_the_lower_id_keeps_the_list() -> None:
    own = certificate_by(with_hq_role(SECOND, NOW_S), SECOND)
    for order in ((device_fact(HQ), own), (own, device_fact(HQ))):
        roster = village.roster(*order)
        assert roster.keeps_list(min(HQ.device, SECOND.device))
        assert not roster.keeps_list(max(HQ.device, SECOND.device))


# What counts.

PAGES = [page(2, 0, 1, 2, 3), page(4, 3, 4), page(5, 4, 5, 6), page(9, 6, 7), page(11, 7, *range(8, 8 + 128))]
NOT_COUNTING = [
    page(3, 0, 91),  # Where the list has begun already.
    page(6, 4, 92, 93, 94),  # Over what the page before said.
    page(10, 70, 95),  # Behind a gap that is never filled.
    page(0, 0, 96, by=SANA),
    page(1, 0, 97, by=SECOND),
    Fact(HQ.feed, 0, FEED_PAGE, PAGES[0].data),
]
LATER = certificate_by(with_hq_role(SECOND, NOW_S + 1), SECOND, now_s=NOW_S + 1)
FACTS = [*facts_of(HQ, SANA), LATER, *PAGES, *NOT_COUNTING]


@given(st.permutations(FACTS), st.lists(st.sampled_from(FACTS), max_size=10))
@settings(max_examples=100, deadline=None)
def test_the_same_pages_give_the_same_list_in_any_order_and_with_repeats(order: list[Fact], again: list[Fact]) -> None:
    whole = folded([*order[:9], *again, *order[9:], *again])
    assert listed(whole) == list(range(1, 136))
    assert whole.feed_list.check(135) == folded([device_fact(HQ), *PAGES]).feed_list.check(135)


@given(st.lists(st.sampled_from(PAGES), unique=True), st.booleans())
def test_who_knows_fewer_pages_knows_a_beginning_of_the_same_list(some: list[Fact], keeper_is_known: bool) -> None:
    known = folded([*([device_fact(HQ)] if keeper_is_known else []), *some]).feed_list
    whole = folded([device_fact(HQ), *PAGES]).feed_list
    assert [known.feed(number) for number in range(len(known))] == [whole.feed(number) for number in range(len(known))]
    assert known.check(len(known)) == whole.check(len(known))


@given(st.permutations([page(7, 0, 1), page(7, 0, 2), page(8, 1, 3)]))
def test_of_two_pages_at_one_place_the_same_one_counts_whichever_came_first(order: list[Fact]) -> None:
    assert listed(village.roster(device_fact(HQ), order)) == [1, 3]


def test_two_lists_of_a_lying_keeper_are_told_apart() -> None:
    one, other = (village.roster(device_fact(HQ), page(7, 0, name)).feed_list for name in (1, 2))
    assert one.check(1) != other.check(1)


def test_a_page_that_fits_is_told_once_and_one_that_waits_with_its_predecessor() -> None:
    roster = village.roster(device_fact(HQ))
    assert roster.learn(PAGES[1]) == []
    assert roster.learn(PAGES[0]) == [Learned("list", HQ.device)]
    assert roster.learn(PAGES[0]) == roster.learn(PAGES[1]) == []
    assert listed(roster) == [1, 2, 3, 4]


def test_the_list_grows_in_place() -> None:
    roster = village.roster(device_fact(HQ))
    held = roster.feed_list
    for fact in (*PAGES[2:], *PAGES[:2], *NOT_COUNTING[:3]):
        roster.learn(fact)
    assert roster.feed_list is held
    assert len(held) == 135


def test_what_was_revoked_keeps_its_number() -> None:
    fact = Fact(HQ.device, 2, FEED_PAGE, feed_page_data(*Page(0, (HQ.device, SANA.device)).encode()))
    roster = village.roster(facts_of(HQ, SANA), fact, revocation(HQ, SANA, cuts=((SANA.device, 0, -1),)))
    assert roster.revoked(SANA.device) is not None
    assert roster.feed_list.number(SANA.device) == 1
    roster.learn(page(3, 2, 7))
    assert roster.feed_list.feed(2) == ids(7)[0]


def test_sessions_name_the_tokens_of_listed_feeds_too() -> None:
    roster = village.roster(device_fact(HQ), PAGES[:2])
    names, feeds = roster.names, ids(1, 2, 3, 4)
    assert {feed for feed in feeds if names.number(feed) is not None} == set(feeds)
    tokens = [token_log(LogId(feed, lane)).feed for feed in feeds for lane in (0, 1, 2)]
    numbers = [names.number(feed) for feed in (*feeds, *tokens)]
    assert sorted(number for number in numbers if number is not None) == list(range(16)) == list(range(len(names)))
    assert names.number(token_log(LogId(ids(1)[0], 3)).feed) is None


def test_what_is_named_in_short_has_an_end_and_the_list_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOGS_MAX", 11)
    roster = village.roster(device_fact(HQ), page(7, 0, 1, 2), page(8, 2, 3))
    assert listed(roster) == [1, 2, 3]
    assert len(roster.names) == 8
    assert roster.names.number(ids(3)[0]) is None


# What is refused.


def refusal(roster: Roster, fact: Fact) -> str:
    before = listed(roster)
    with pytest.raises(Refused) as caught:
        roster.learn(fact)
    assert listed(roster) == before
    return caught.value.reason


@pytest.mark.parametrize(
    ("start", "feeds"),
    [
        (b"", bytes(16)),
        (bytes(3), bytes(16)),
        (bytes(5), bytes(16)),
        (bytes(4), b""),
        (bytes(4), bytes(15)),
        (bytes(4), bytes(17)),
        (bytes(4), bytes(16 * (FEED_PAGE_FEEDS_MAX + 1))),
        (LOGS_MAX.to_bytes(4), bytes(16)),
        ((LOGS_MAX - 1).to_bytes(4), bytes(32)),
        (b"\xff" * 4, bytes(16)),
    ],
)
def test_a_page_that_is_none_is_refused(start: bytes, feeds: bytes) -> None:
    roster = village.roster(device_fact(HQ), PAGES[0])
    assert refusal(roster, Fact(HQ.device, 3, FEED_PAGE, feed_page_data(start, feeds))) == "feed-page"


def test_a_page_with_other_parts_than_two_byte_strings_is_malformed() -> None:
    roster = village.roster(device_fact(HQ))
    for data in (b"\x83\x05\x00\x50" + bytes(16), b"\x82\x05\x44" + bytes(4), b"\x83\x04\x44" + bytes(4) + b"\x41a"):
        assert refusal(roster, Fact(HQ.device, 3, FEED_PAGE, data)) == "fact-malformed"


def test_only_the_keeper_s_control_feed_may_say_a_page() -> None:
    roster = village.roster(facts_of(HQ, REGISTRAR, SANA))
    for feed in (REGISTRAR.device, SANA.device, SANA.feed, HQ.feed):
        assert refusal(roster, replace(PAGES[0], feed=feed)) == "feed-page"


def test_pages_that_wait_are_bounded_and_the_one_that_fits_is_always_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "EARLY_PAGES_MAX", 2)
    roster = village.roster(device_fact(HQ), page(6, 4, 5), page(9, 9, 9))
    assert refusal(roster, page(8, 5, 6)) == "feed-page"
    roster.learn(page(2, 0, 1, 2, 3))
    roster.learn(page(4, 3, 4))
    assert listed(roster) == [1, 2, 3, 4, 5]
    roster.learn(page(8, 5, 6))
    assert listed(roster)[-1] == 6


def test_the_largest_page_is_a_fact_of_lawful_size() -> None:
    largest = Page(LOGS_MAX - FEED_PAGE_FEEDS_MAX, ids(*range(FEED_PAGE_FEEDS_MAX)))
    assert len(feed_page_data(*largest.encode())) <= FACT_BYTES_MAX


# What is due.


def vouched(*members: Identity) -> list[FeedCertificate]:
    return [
        check_feed(member.feed_certificate, check_registrar(member.issuer_certificate, HQ.root_public), HQ.org)
        for member in members
    ]


FOUR = vouched(*(village.admit(f"Member {number}") for number in range(MESSAGE_FEEDS_MIN)))


def test_control_feeds_are_due_at_once_and_in_the_order_of_their_ids() -> None:
    assert due(FeedList(), ids(9, 3, 5), [], TODAY) == (Page(0, ids(3, 5, 9)),)


def test_what_is_listed_is_not_due_again() -> None:
    known = FeedList()
    known.grow(ids(3, 5))
    assert due(known, ids(9, 3, 5), [], TODAY) == (Page(2, ids(9)),)
    assert due(known, ids(3, 5), [], TODAY) == ()


def test_many_feeds_fill_several_pages() -> None:
    pages = due(FeedList(), ids(*range(300)), [], TODAY)
    assert [(found.start, len(found.feeds)) for found in pages] == [(0, 128), (128, 128), (256, 44)]


def test_a_full_list_ends() -> None:
    known = FeedList()
    known.grow(ids(*range(LOGS_MAX - 1)))
    assert due(known, ids(LOGS_MAX + 2, LOGS_MAX + 1), [], TODAY) == (Page(LOGS_MAX - 1, ids(LOGS_MAX + 1)),)


def test_a_message_feed_waits_until_the_day_of_its_certificate_is_over() -> None:
    assert due(FeedList(), [], FOUR, TODAY) == ()
    assert due(FeedList(), [], FOUR, TODAY + 1) == (Page(0, tuple(sorted(one.feed for one in FOUR))),)


def test_message_feeds_are_listed_four_at_once_or_not_at_all() -> None:
    assert due(FeedList(), ids(1), FOUR[:-1], TODAY + 1) == (Page(0, ids(1)),)
    (found,) = due(FeedList(), ids(1), FOUR, TODAY + 1)
    assert list(found.feeds) == sorted([*ids(1), *(one.feed for one in FOUR)])


def test_those_listed_already_hide_no_new_one() -> None:
    known = FeedList()
    known.grow([one.feed for one in FOUR[:-1]])
    assert due(known, [], FOUR, TODAY + 9) == ()


def test_no_message_feed_is_listed_twice_a_day() -> None:
    assert due(FeedList(), [], None, TODAY + 1) == ()
