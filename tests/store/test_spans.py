"""Settled seqs as bytes: what goes in comes out, and a usual log is a few bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.store.spans import decode_spans, decode_views, encode_spans, encode_views
from sync.logs import LogId
from sync.ranges import NOTHING, Ranges

ranges = st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 2**32))).map(lambda spans: Ranges.of(*spans))
logs = st.builds(LogId, st.binary(min_size=16, max_size=16), st.integers(0, 3))


@given(ranges)
def test_spans_come_back_as_they_were(settled: Ranges) -> None:
    assert decode_spans(encode_spans(settled)) == settled


@given(st.dictionaries(logs, ranges))
def test_views_come_back_as_they_were_and_in_their_order(views: dict[LogId, Ranges]) -> None:
    back = decode_views(encode_views(views))
    assert list(back.items()) == list(views.items())


@pytest.mark.parametrize(
    ("settled", "size"),
    [
        (NOTHING, 0),
        (Ranges.of((0, 127)), 2),
        (Ranges.of((0, 128)), 3),
        (Ranges.of((0, 2**14)), 4),
        (Ranges.of((0, 100), (101, 200)), 4),
        (Ranges.of((0, 2**32)), 6),
    ],
)
def test_a_usual_log_takes_two_to_four_bytes(settled: Ranges, size: int) -> None:
    assert len(encode_spans(settled)) == size


def test_views_of_many_spans_come_back() -> None:
    views = {
        LogId(bytes(16), lane): Ranges.of(*((seq, seq + 1) for seq in range(0, lane * 9_000, 2))) for lane in range(4)
    }
    assert decode_views(encode_views(views)) == views
