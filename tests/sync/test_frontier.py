"""What a node has settled, when each log changed last, and its two sums."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.feeds import FeedList
from sync.frontier import Frontier
from sync.logs import NO_CHAIN, LogId, LogState
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from tests.sync import naive
from tests.sync.pair import first, log, seqs

SALT = b"of a link"
ONE, TWO = log(1), log(2)
TIP = bytes(range(32))

states = st.builds(
    LogState,
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3).map(lambda pairs: Ranges.of(*pairs)),
    st.sampled_from([b"", TIP]),
)
commits = st.lists(
    st.dictionaries(st.builds(log, st.integers(0, 4), st.integers(0, 3)), states, min_size=1, max_size=3), max_size=8
)


def as_lists(frontier: Frontier, frozen: frozenset[LogId] = frozenset()) -> list[naive.Json]:
    return [
        [of.feed.hex(), of.lane, [list(span) for span in state.settled.spans], "" if of in frozen else state.tip.hex()]
        for of, state in frontier.states.items()
    ]


@settings(max_examples=100, deadline=None)
@given(commits)
def test_sums_kept_commit_by_commit_are_the_sums_computed_afresh(history: list[dict[LogId, LogState]]) -> None:
    frontier = Frontier()
    grown: dict[LogId, LogState] = {}
    for number, commit in enumerate(history, 1):
        for of, state in commit.items():  # A state only grows.
            old = grown.get(of, LogState(NOTHING, b""))
            grown[of] = LogState(old.settled.union(state.settled), state.tip)
        frontier.change({of: grown[of] for of in commit}, number)
        frontier.upto = number
    assert frontier.root(SALT).hex() == naive.root(as_lists(frontier), SALT)
    assert frontier.chain(SALT).hex() == naive.chain(as_lists(frontier), SALT)
    again = Frontier(states=[(of, state, frontier.number(of)) for of, state in reversed_by_change(frontier)])
    assert (again.root(SALT), again.chain(SALT)) == (frontier.root(SALT), frontier.chain(SALT))
    assert list(again.since(0)) == list(frontier.since(0))


def reversed_by_change(frontier: Frontier) -> list[tuple[LogId, LogState]]:
    return [(of, frontier.states[of]) for of in reversed(list(frontier.since(0)))]


def test_what_grew_is_reported_with_what_was_settled_before() -> None:
    frontier = Frontier()
    assert frontier.change({ONE: LogState(first(2), TIP)}, 1) == [(ONE, NOTHING)]
    assert frontier.change({ONE: LogState(first(3), TIP), TWO: LogState(first(1), TIP)}, 2) == [
        (ONE, first(2)), (TWO, NOTHING),
    ]  # fmt: skip
    assert frontier.change({ONE: LogState(first(3), TIP[::-1])}, 3) == []


def test_the_logs_that_changed_last_come_first_and_a_late_number_stands_in_its_place() -> None:
    frontier = Frontier()
    for number, of in ((1, log(1)), (2, log(2)), (4, log(4)), (3, log(3)), (5, log(1))):
        frontier.change({of: LogState(first(number), TIP)}, number)
    assert list(frontier.since(0)) == [log(1), log(4), log(3), log(2)]
    assert list(frontier.since(3)) == [log(1), log(4)]
    assert list(frontier.since(5)) == []
    assert [frontier.number(log(number)) for number in (1, 3)] == [5, 3]


def test_a_chain_is_zeros_while_a_tip_is_missing_and_a_frozen_log_needs_none() -> None:
    frontier = Frontier()
    frontier.change({ONE: LogState(first(2), TIP), TWO: LogState(first(1), b"")}, 1)
    assert frontier.chain(SALT) == NO_CHAIN
    frontier.freeze(TWO)
    assert frontier.chain(SALT) != NO_CHAIN


def test_nodes_that_know_of_a_fork_agree_whichever_branch_they_hold() -> None:
    a, b = Frontier(), Frontier()
    a.change({ONE: LogState(first(2), TIP)}, 1)
    b.change({ONE: LogState(first(2), TIP[::-1])}, 1)
    assert a.root(SALT) == b.root(SALT)
    assert a.chain(SALT) != b.chain(SALT)
    for frontier in (a, b):
        frontier.freeze(ONE)
        frontier.freeze(ONE)
    assert a.chain(SALT) == b.chain(SALT)
    assert a.tip(ONE) == b""
    a.change({ONE: LogState(first(3), TIP)}, 2)
    b.change({ONE: LogState(first(3), b"")}, 2)
    assert a.chain(SALT) == b.chain(SALT)


def test_a_log_frozen_from_the_beginning_or_later_is_the_same() -> None:
    state = LogState(first(2), TIP)
    early, late = Frontier(frozen=[ONE], states=[(ONE, state, 1)]), Frontier(states=[(ONE, state, 1)])
    late.freeze(ONE)
    assert early.chain(SALT) == late.chain(SALT)


def test_the_view_of_a_memory_is_the_sum_of_what_the_peer_has() -> None:
    ours, theirs = Frontier(), Frontier()
    for frontier, top in ((ours, 5), (theirs, 3)):
        frontier.change({ONE: LogState(first(top), TIP), TWO: LogState(seqs((2, 4)), TIP)}, 1)
    memory = Memory(1, 1, 1, 1, 0, b"", {ONE: first(3)})
    assert ours.view_of(memory.views) == theirs.positions


def test_an_unknown_log_has_nothing() -> None:
    frontier = Frontier()
    assert (frontier.settled(ONE), frontier.tip(ONE), frontier.root(SALT)) == (NOTHING, b"", Frontier().root(SALT))


def test_lists_that_grew_alike_agree_and_each_page_has_its_check() -> None:
    whole, shorter, other = FeedList(), FeedList(), FeedList()
    pages = [[log(1).feed, log(2).feed], [log(3).feed]]
    for page in pages:
        whole.grow(page)
    shorter.grow(pages[0])
    other.grow(pages[0][::-1])
    assert (len(whole), whole.number(log(3).feed), whole.feed(1), whole.number(log(9).feed)) == (
        3, 2, log(2).feed, None,
    )  # fmt: skip
    assert whole.check(2) == shorter.check(2) != other.check(2)
    assert whole.check(1) is None
    check = whole.check(3)
    assert check is not None
    assert check.hex() == naive.list_check([[feed.hex() for feed in page] for page in pages])
