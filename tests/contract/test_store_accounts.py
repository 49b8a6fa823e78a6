"""Who keeps accounts has one sum for what came, whatever way and however often it came."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.store.accounting import IN_TIME, LATE_S, added_up, month_of
from beepmesh.store.contract import Batch, Store
from beepmesh.store.memory import MemoryStore
from beepmesh.store.sqlite import memory_store
from sync.ranges import Ranges
from tests.store.writing import CONTROL_LOG, KEYS, NOW_MS, OWN_LOG, Author, draft, envelope, put, token

MONTH = month_of(NOW_MS)
BILAL, ESHA = Author("Bilal"), Author("Esha", lane=0, ttl=7)
ENTRIES = (*BILAL.run(4, envelope()), *ESHA.run(3, envelope(bytes(500))))
TOKENS = tuple(token(entry) for entry in ENTRIES)
EXPECTED = sorted(added_up(ENTRIES, NOW_MS))

parts = st.lists(
    st.tuples(
        st.lists(st.sampled_from(ENTRIES), unique=True),
        st.lists(st.sampled_from(TOKENS), unique=True),
    ),
    max_size=6,
)


@given(parts)
def test_any_order_and_any_repetition_comes_to_the_same(arrivals: list[tuple[list[object], list[object]]]) -> None:
    for store in (MemoryStore(), memory_store(bytes(32))):
        store.keep_accounts()
        for entries, tokens in (*arrivals, (list(ENTRIES), [])):
            put(store, Batch(entries=tuple(entries), tokens=tuple(tokens)))  # type: ignore[arg-type]
        assert store.usage(MONTH) == EXPECTED
        store.close()


def test_nothing_counts_before_somebody_wants_accounts(store: Store) -> None:
    put(store, Batch(entries=ENTRIES))
    assert store.usage(MONTH) == []
    store.keep_accounts()
    put(store, Batch(entries=ENTRIES))
    assert store.usage(MONTH) == [], "it was accepted before"


def test_what_was_given_up_and_comes_again_counts_once(store: Store) -> None:
    store.keep_accounts()
    put(store, Batch(entries=ENTRIES))
    store.limit(0)
    put(store, Batch(counts={"room": 1}))
    assert store.entry(BILAL.log, 0) is None
    store.limit(None)
    put(store, Batch(entries=ENTRIES))
    assert store.usage(MONTH) == EXPECTED


def test_what_was_settled_without_being_held_does_not_count(store: Store) -> None:
    store.keep_accounts()
    put(store, Batch(settled=((BILAL.log, Ranges.of((0, 4))),)))
    put(store, Batch(entries=ENTRIES))
    assert store.usage(MONTH) == [each for each in EXPECTED if each.feed == ESHA.log.feed]


def test_another_entry_in_the_place_of_a_held_one_does_not_count(store: Store) -> None:
    store.keep_accounts()
    put(store, Batch(entries=ENTRIES))
    assert store.commit(Batch(entries=(BILAL.entry(b"other", seq=3),)), keys=KEYS, now_ms=NOW_MS).forks
    assert store.usage(MONTH) == EXPECTED


def test_what_this_device_writes_counts_too(store: Store) -> None:
    store.keep_accounts()
    put(
        store,
        Batch(drafts=(draft(envelope()), draft(envelope()), replace(draft(b"certificate"), control=True, lane=0))),
    )
    assert {each.feed: each.entries for each in store.usage(MONTH)} == {OWN_LOG.feed: 2, CONTROL_LOG.feed: 1}


def test_what_comes_a_week_after_its_month_is_told_apart_in_the_month_in_which_it_came(store: Store) -> None:
    store.keep_accounts()
    put(store, Batch(entries=ENTRIES[:4]))
    later_ms = NOW_MS + 31 * 86_400_000 + LATE_S * 1_000
    put(store, Batch(entries=ENTRIES[4:]), later_ms)
    assert store.usage(MONTH) == [each for each in EXPECTED if each.feed == BILAL.log.feed]
    (late,) = store.usage(month_of(later_ms))
    assert (late.feed, late.month, late.came, late.entries) == (ESHA.log.feed, MONTH, month_of(later_ms), 3)
    assert late.came != IN_TIME


def test_a_commit_that_fails_counts_nothing(store: Store) -> None:
    store.keep_accounts()

    def failing(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
        raise LookupError

    with pytest.raises(LookupError):
        put(store, Batch(entries=ENTRIES, drafts=(replace(draft(envelope()), make=failing),)))
    assert store.usage(MONTH) == []


def test_what_was_sent_to_whom_is_added_up_by_month(store: Store) -> None:
    one, other = b"p" * 16, b"q" * 16
    store.note_relayed(MONTH, {other: 2, one: 1})
    store.note_relayed(MONTH, {one: 10})
    store.note_relayed(MONTH + 1, {one: 5})
    assert store.relayed(MONTH) == {one: 11, other: 2}
    assert list(store.relayed(MONTH)) == [one, other]
    assert store.relayed(MONTH - 1) == {}
