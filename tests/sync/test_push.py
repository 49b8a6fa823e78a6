"""Where runs end, how much the link is given, and what is owed of a log."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.limits import (
    LINK_BYTES_FIRST,
    LINK_BYTES_MAX,
    LINK_BYTES_MIN,
    LINK_FAST_S,
    LINK_SLOW_S,
    RUN_BYTES_MAX,
    RUN_BYTES_SLOW,
    RUN_ENTRIES_MAX,
)
from sync.peer import PeerLog
from sync.push import Pace, cut
from sync.ranges import Ranges
from tests.sync.pair import first, log, seqs

spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4).map(lambda pairs: Ranges.of(*pairs))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=40), st.integers(1, 1_000))
def test_runs_take_all_entries_in_order_and_keep_to_both_bounds(sizes: list[int], bytes_max: int) -> None:
    ends = cut(sizes, bytes_max)
    begins = [0, *ends][: len(ends)]
    assert list(ends) == sorted(set(ends))
    assert max(ends, default=0) == len(sizes)
    for begin, end in zip(begins, ends, strict=True):
        assert 1 <= end - begin <= RUN_ENTRIES_MAX
        assert end - begin == 1 or sum(sizes[begin:end]) <= bytes_max
        full = end == len(sizes) or end - begin == RUN_ENTRIES_MAX or sum(sizes[begin : end + 1]) > bytes_max
        assert full, "a run ends only where it must"


def test_a_quick_link_is_given_twice_as_much_and_a_slow_one_what_it_took() -> None:
    pace = Pace()
    assert pace.run_bytes_max == RUN_BYTES_SLOW
    assert not pace.give(LINK_BYTES_FIRST - 1, 0.0)
    assert pace.give(1, 0.0)
    rooms = [pace.room]
    pace.drained(LINK_FAST_S)
    assert [*rooms, pace.room] == [False, True]
    assert pace.give(2 * LINK_BYTES_FIRST, 1.0)
    pace.drained(1.0 + 4 * LINK_SLOW_S)
    assert not pace.give(LINK_BYTES_FIRST // 2 - 1, 9.0)
    assert pace.give(1, 9.0)


def test_a_link_is_given_no_less_and_no_more_than_its_bounds() -> None:
    slow, quick = Pace(), Pace()
    for _ in range(20):
        slow.give(LINK_BYTES_MAX, 0.0)
        slow.drained(1_000.0)
        quick.give(LINK_BYTES_MAX, 0.0)
        quick.drained(0.0)
    assert slow.give(LINK_BYTES_MIN, 0.0)
    assert not quick.give(LINK_BYTES_MAX - 1, 0.0)
    assert quick.run_bytes_max == RUN_BYTES_MAX


def test_a_link_that_says_it_drained_unasked_changes_nothing() -> None:
    pace = Pace()
    pace.drained(5.0)
    assert pace.give(LINK_BYTES_FIRST, 5.0)


@settings(max_examples=200, deadline=None)
@given(st.lists(spans, max_size=4), spans, st.integers(1, 9))
def test_what_is_owed_is_what_grew_and_the_peer_has_not_each_seq_once(
    grown: list[Ranges], holds: Ranges, entries_max: int
) -> None:
    view = PeerLog(log(1), holds=holds)
    ours = Ranges()
    for more in grown:
        ours = ours.union(more)
        view.grew(ours)
    owed: list[int] = []
    while (span := view.next_todo(entries_max)) is not None:
        assert 0 < span[1] - span[0] <= entries_max
        owed += range(*span)
    assert len(owed) == len(set(owed))
    assert set(owed) == {seq for start, stop in ours.minus(holds).spans for seq in range(start, stop)}


def test_what_grows_at_the_end_of_what_is_owed_is_one_span_with_it() -> None:
    view = PeerLog(log(1))
    for top in range(1, 9):
        view.grew(first(top))
    assert view.todo == [(0, 8)]


def test_what_is_wanted_is_owed_though_the_peer_has_it() -> None:
    view = PeerLog(log(1), holds=first(9), wanted=seqs((3, 5)))
    view.put_back(((0, 9),))
    assert view.next_todo(64) == (3, 5)
    assert view.next_todo(64) is None


def test_prev_is_inferred_at_the_top_and_at_the_beginning_until_it_was_refused() -> None:
    view = PeerLog(log(1), top=4)
    assert [view.infers_prev(start) for start in (0, 3, 4, 5)] == [True, False, True, False]
    view.explicit = True
    assert [view.infers_prev(start) for start in (0, 4)] == [True, False]
