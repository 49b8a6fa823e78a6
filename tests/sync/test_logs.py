"""The root: one number over everything settled."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.logs import LogId, LogState, RootSum, leaf, root
from sync.ranges import NOTHING, Ranges
from tests.sync.pair import first, log, seqs

TIP = bytes(range(32))

states = st.dictionaries(
    st.builds(log, st.integers(0, 5), st.integers(0, 3)),
    st.builds(LogState, st.builds(first, st.integers(0, 9)), st.sampled_from([b"", TIP])),
)


@settings(max_examples=100, deadline=None)
@given(states, states)
def test_a_root_kept_log_by_log_is_the_root_computed_afresh(
    old: dict[LogId, LogState], new: dict[LogId, LogState]
) -> None:
    kept = RootSum(old.items())
    for of in sorted(old.keys() | new.keys()):
        kept.replace(of, old.get(of), new.get(of))
    assert kept.root == root(new)


def test_the_root_does_not_depend_on_order() -> None:
    one, two = (log(1), LogState(first(3), TIP)), (log(2), LogState(first(4), b""))
    assert root(dict([one, two])) == root(dict([two, one]))


def test_nothing_settled_is_the_root_zero() -> None:
    assert root({}) == root({log(1): LogState(NOTHING, b"")}) == bytes(16)


def test_the_bulk_lane_does_not_count() -> None:
    assert leaf(log(1, 3), LogState(first(3), TIP)) == 0


def test_a_hole_a_tip_and_a_lane_each_change_the_leaf() -> None:
    leaves = {
        leaf(log(1), LogState(seqs((0, 5)), TIP)),
        leaf(log(1), LogState(seqs((0, 2), (3, 5)), TIP)),
        leaf(log(1), LogState(seqs((0, 5)), b"")),
        leaf(log(1, 0), LogState(seqs((0, 5)), TIP)),
        leaf(log(2), LogState(seqs((0, 5)), TIP)),
    }
    assert len(leaves) == 5


def test_only_the_first_eight_bytes_of_a_tip_count() -> None:
    assert leaf(log(1), LogState(Ranges(((0, 5),)), TIP)) == leaf(log(1), LogState(Ranges(((0, 5),)), TIP[:8]))
