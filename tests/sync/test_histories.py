"""Whatever happens to three to six nodes and the links between them, all come to have what they may have.

1,000 histories each time; BEEPMESH_HISTORIES=10000 for more (`make histories`). A failure names the seed that replays
it: `tests.sync.test_histories.play(seed)`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import meeting, names, peer, push, session, sketching, telling
from tests.sync.histories import History
from tests.sync.outcomes import settle

HISTORIES = int(os.environ.get("BEEPMESH_HISTORIES", "1000"))
BLOCK = 100

SMALL = {
    "RANGES_MAX": 3, "STATES_BYTES_MAX": 40, "DELTA_BYTES_MAX": 12, "VECTOR_BYTES_MAX": 12, "ZIP_BYTES_MIN": 4,
    "SYMBOLS_FIRST": 3, "HASHES_MAX": 2, "LOGS_MAX": 3, "HEARD_ACKS_MAX": 1, "UNTOLD_LOGS_MAX": 2,
    "RUN_ENTRIES_MAX": 2, "WINDOW_RUNS_MAX": 3, "ACK_RUNS_MAX": 2, "WINDOW_BYTES_MAX": 200, "READ_ENTRIES_MAX": 3,
    "LINK_BYTES_FIRST": 60, "LINK_BYTES_MIN": 30,
}  # fmt: skip
"""Bounds that so small a history would not reach otherwise."""


@contextmanager
def small(random: Random) -> Iterator[list[str]]:
    """Some of them, in most histories. They are the same at all nodes, as those of one version are."""
    chosen = [name for name in SMALL if random.random() < 0.25] if random.random() < 0.6 else []
    with pytest.MonkeyPatch.context() as patch:
        for module in (meeting, names, peer, push, session, sketching, telling):
            for name in chosen:
                if hasattr(module, name):
                    patch.setattr(module, name, SMALL[name])
        yield chosen


def live(random: Random, *, disorderly: bool = False) -> History:
    with small(random) as bounds:
        history = History(random, strict="RANGES_MAX" not in bounds, disorderly=disorderly)
        try:
            history.live(random.choice((6, 12, 25)))
            settle(history)
        except Exception as error:
            error.add_note(f"with small {bounds}")
            raise
    return history


def play(seed: int, *, disorderly: bool = False) -> History:
    """One history, held to its laws."""
    try:
        return live(Random(seed), disorderly=disorderly)
    except Exception as error:
        error.add_note(f"in history {seed}")
        raise


@pytest.mark.parametrize("begin", range(0, HISTORIES, BLOCK))
def test_all_histories_end_with_everybody_having_what_they_may(begin: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(begin, min(begin + BLOCK, HISTORIES)):
        counts += play(seed).counts
    assert counts["once"] > 10 * BLOCK
    assert counts["greetings"] > BLOCK
    assert counts["forks"]


@pytest.mark.parametrize("begin", range(0, HISTORIES // 5, BLOCK))
def test_records_out_of_order_cost_a_session_and_never_an_entry(begin: int) -> None:
    """No link of ours loses, repeats or swaps records; a peer may."""
    hangups: Counter[str] = Counter()
    for seed in range(begin, begin + BLOCK):
        hangups += play(10**6 + seed, disorderly=True).hangups
    assert hangups


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_history_ends_so(random: Random) -> None:
    """The same with choices that shrink."""
    live(random)
