"""Which name stands for which log, each way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import names
from sync.feeds import FeedList
from sync.frontier import Frontier
from sync.logs import LogId, LogState
from sync.names import Names, tag
from sync.octets import RemoteProtocolError
from sync.refs import Listed, Tagged
from tests.sync import naive
from tests.sync.pair import first, log

SALT = b"of a link"


def table(*known: int, listed: int = 0, shared: int = 0) -> Names:
    """Of a node that has settled something of these feeds, and knows a list of the first `listed`."""
    feeds = FeedList()
    feeds.grow([log(number).feed for number in range(listed)])
    states = [(log(number), LogState(first(1), b""), 1) for number in known]
    made = Names(Frontier(0, feeds, states), SALT)
    made.shared = shared
    return made


def test_a_feed_of_the_list_is_named_by_its_number_where_both_know_it() -> None:
    ours = table(listed=9, shared=5)
    assert ours.told(log(4, 2), tagged=True) == Listed(4, 2)
    assert ours.told(log(5, 2), tagged=False) == log(5, 2)


def test_a_feed_outside_it_is_named_by_a_tag_if_the_peer_knows_it_and_else_in_full() -> None:
    ours = table(7)
    assert ours.told(log(7), tagged=True) == Tagged(tag(log(7).feed, SALT), 1)
    assert ours.told(log(7), tagged=False) == log(7)


def test_a_tag_is_the_second_implementations_and_another_on_each_link() -> None:
    feed = log(7).feed
    assert tag(feed, SALT).hex() == naive.tag(feed.hex(), SALT)
    assert tag(feed, SALT) != tag(feed, b"of another")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=20))
def test_whatever_one_mentions_the_other_resolves_and_both_count_alike(said: list[tuple[int, int, bool]]) -> None:
    ours = table(*range(10), listed=4, shared=3)
    theirs = table(*range(10), listed=3, shared=3)
    for number, lane, tagged in said:
        ref = ours.mention(log(number, lane), tagged=tagged)
        assert theirs.resolve(ref) == log(number, lane)
    assert len({(number, lane) for number, lane, _ in said}) == len(
        {repr(ours.mention(log(number, lane))) for number, lane, _ in said}
    )


def test_a_log_is_a_number_from_its_second_mention_on() -> None:
    ours = table()
    assert [ours.mention(of) for of in (log(1), log(2), log(1), log(2))] == [log(1), log(2), 0, 1]


def test_beyond_the_bound_no_number_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "LOGS_MAX", 1)
    ours, theirs = table(), table()
    for ref, meant in ((ours.mention(log(1)), log(1)), (ours.mention(log(2)), log(2)), (ours.mention(log(2)), log(2))):
        assert theirs.resolve(ref) == meant
    assert (ours.mention(log(1)), ours.mention(log(2))) == (0, log(2))
    with pytest.raises(RemoteProtocolError, match="log-unknown"):
        theirs.resolve(1)


def test_a_feed_that_came_meanwhile_is_found_by_its_tag() -> None:
    frontier = Frontier()
    ours = Names(frontier, SALT)
    with pytest.raises(RemoteProtocolError, match="log-unknown"):
        ours.resolve(Tagged(tag(log(3).feed, SALT), 1))
    frontier.change({log(3): LogState(first(1), b"")}, 1)
    assert ours.resolve(Tagged(tag(log(3).feed, SALT), 2)) == log(3, 2)


def test_blocks_are_in_one_order_on_both_sides() -> None:
    ours = table(listed=3, shared=2)
    mixed = [log(9), log(1, 2), log(2), log(0, 2), log(1, 0), LogId(log(9).feed, 0)]
    assert ours.in_order(mixed) == [log(1, 0), log(0, 2), log(1, 2), log(9, 0), log(2), log(9)]


def test_states_are_resolved_without_being_mentioned() -> None:
    ours = table(7)
    assert ours.named(log(7)) == log(7)
    with pytest.raises(RemoteProtocolError, match="log-unknown"):
        ours.resolve(0)
