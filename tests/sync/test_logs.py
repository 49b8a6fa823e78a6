"""Leaves and what stands for their sums on a link."""

from __future__ import annotations

import pytest

from sync.logs import SUM_MODULUS, LogId, chain, leaf, reconciled, root, view_digest
from sync.ranges import NOTHING
from tests.sync import naive
from tests.sync.pair import first, log, seqs

TIP = bytes(range(32))


def test_the_lane_a_hole_a_tip_and_a_feed_each_change_the_leaf() -> None:
    leaves = {
        leaf(log(1), seqs((0, 5)), TIP), leaf(log(1), seqs((0, 2), (3, 5)), TIP), leaf(log(1), seqs((0, 5))),
        leaf(log(1, 0), seqs((0, 5)), TIP), leaf(log(2), seqs((0, 5)), TIP), leaf(log(1), seqs((0, 5)), TIP[::-1]),
    }  # fmt: skip
    assert len(leaves) == 6
    assert all(0 < each < SUM_MODULUS for each in leaves)


def test_a_leaf_is_as_wide_as_the_sum_so_that_many_logs_cannot_be_chosen_to_cancel() -> None:
    assert SUM_MODULUS == 2**2048
    assert max(leaf(log(number), first(1)) for number in range(40)) > SUM_MODULUS // 2


def test_nothing_settled_and_bulk_have_no_leaf() -> None:
    assert leaf(log(1), NOTHING) == leaf(log(1, 3), first(3), TIP) == 0
    assert [reconciled(log(1, lane)) for lane in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("tip", [b"", TIP])
def test_the_second_implementation_has_the_same_leaves(tip: bytes) -> None:
    settled = seqs((0, 3), (7, 2**32))
    listed = [log(5, 2).feed.hex(), 2, [list(span) for span in settled.spans], tip.hex()]
    assert naive.total([listed], tips=True) == leaf(log(5, 2), settled, tip)
    assert naive.total([listed], tips=False) == leaf(log(5, 2), settled)


def test_a_sum_is_another_on_each_link_and_for_each_use() -> None:
    total = leaf(log(1), first(3))
    assert len({root(total, b"one"), root(total, b"two"), chain(total, b"one") + bytes(4)}) == 3
    assert (len(root(total, b"")), len(chain(total, b"")), len(view_digest(total))) == (8, 4, 32)
    assert view_digest(total)[:8] != root(total, b"")


def test_a_log_shows_its_feed_and_lane() -> None:
    assert repr(LogId(bytes(range(16)), 2)) == "00010203/2"
