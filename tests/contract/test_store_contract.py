"""What every store promises: logs, drafts, forks and expiry. The people's side is in test_store_people.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from beepmesh.messages.entry import NO_PREV, Entry, verify_entry
from beepmesh.store.contract import Batch, Changes, Fork, Place, ReadResult, Statement, Store
from beepmesh.trust.facts import DEVICE_CERTIFICATE, PREKEY_BUNDLE, Fact
from sync.logs import LogId, LogState
from sync.ranges import NOTHING, Ranges
from tests.store.writing import CONTROL_LOG, DAY_MS, KEYS, NOW_MS, OWN_LOG, Author, days_pass, draft, put

BIG = 1 << 20


def test_a_run_is_read_as_it_was_written(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(5)
    committed = store.commit(Batch(entries=run), keys={}, now_ms=NOW_MS)
    assert store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=True) == _result(NO_PREV, run)
    assert store.entry(ana.log, 3) == run[3]
    assert committed.states == store.states() == {ana.log: LogState(Ranges.of((0, 5)), run[4].id)}
    assert committed.written == ()


def test_holes_stay_holes_until_they_are_filled(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(6)
    put(store, Batch(entries=(run[0], run[4], run[2])))
    assert store.states()[ana.log] == LogState(Ranges.of((0, 1), (2, 3), (4, 5)), run[4].id)
    put(store, Batch(entries=(run[1], run[3])))
    assert store.states()[ana.log] == LogState(Ranges.of((0, 5)), run[4].id)
    assert store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=False).entries == run[:5]


def test_the_tip_of_an_entry_that_is_not_held_is_unknown(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3)
    put(store, Batch(entries=run[:1], settled=((ana.log, Ranges.of((1, 3))),)))
    assert store.states()[ana.log] == LogState(Ranges.of((0, 3)), b"")
    put(store, Batch(entries=run[2:]))
    assert store.states()[ana.log] == LogState(Ranges.of((0, 3)), run[2].id)
    assert store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=False).gone == Ranges.of((1, 2))


def test_an_entry_that_is_held_already_changes_nothing(store: Store) -> None:
    run = Author("ana").run(2)
    put(store, Batch(entries=run))
    before = store.changed_since(0)
    assert store.commit(Batch(entries=(*run, run[0])), keys={}, now_ms=NOW_MS).states == {}
    assert store.changed_since(0) == before


def test_another_entry_in_a_held_place_is_a_fork_and_not_taken(store: Store) -> None:
    ana, ben = Author("ana"), Author("ben")
    run = ana.run(2)
    put(store, Batch(entries=run))
    other = ana.entry(b"another", seq=1)
    committed = store.commit(Batch(entries=(*ben.run(1), other)), keys={}, now_ms=NOW_MS)
    assert committed.forks == (Fork(run[1], other),)
    assert store.forks() == [Fork(run[1].erased(), other.erased())]
    assert store.entry(ana.log, 1) == run[1]
    assert store.frozen() == {ana.log}
    assert ben.log in store.states()


def test_two_entries_of_one_place_in_one_batch_are_a_fork(store: Store) -> None:
    ana = Author("ana")
    first, other = ana.run(1)[0], ana.entry(b"another", seq=0)
    committed = store.commit(Batch(entries=(first, other)), keys={}, now_ms=NOW_MS)
    assert committed.forks == (Fork(first, other),)
    assert store.entry(ana.log, 0) == first


@pytest.mark.parametrize("place", ["above", "below"])
def test_an_entry_that_does_not_link_to_its_held_neighbour_is_a_fork_and_not_taken(store: Store, place: str) -> None:
    ana, liar = Author("ana"), Author("ana")
    run = ana.run(3)
    lies = (liar.entry(b"another"), *liar.run(2))
    held, offered = (run[0], lies[1]) if place == "above" else (run[2], lies[1])
    put(store, Batch(entries=(held,)))
    assert store.commit(Batch(entries=lies[1:2]), keys={}, now_ms=NOW_MS).forks == (Fork(held, offered),)
    assert store.entry(ana.log, 1) is None
    assert store.states()[ana.log].settled.count == 1
    assert store.frozen() == {ana.log}


def test_reading_stops_at_the_byte_bound_but_gives_at_least_one_entry(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(4, b"x" * 1_000)
    put(store, Batch(entries=run))
    for bytes_max, count in [(0, 1), (1_076, 1), (2_151, 1), (2_152, 2), (4_304, 4)]:
        assert store.read(ana.log, 0, 4, bytes_max=bytes_max, with_prev=False).entries == run[:count]


def test_reading_stops_at_a_hole_and_begins_nowhere_else(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(6)
    put(store, Batch(entries=(run[0], run[1], run[3])))
    assert store.read(ana.log, 0, 6, bytes_max=BIG, with_prev=False).entries == run[:2]
    assert store.read(ana.log, 2, 6, bytes_max=BIG, with_prev=True) == _result(None, ())
    assert store.read(ana.log, 3, 6, bytes_max=BIG, with_prev=True) == _result(run[2].id, run[3:4])
    assert store.read(ana.log, 1, 1, bytes_max=BIG, with_prev=True) == _result(None, ())
    assert store.read(LogId(bytes(16), 0), 0, 9, bytes_max=BIG, with_prev=True) == _result(None, ())


def test_the_last_possible_seq_is_held_like_any_other(store: Store) -> None:
    ana = Author("ana")
    last = ana.entry()._replace(seq=2**32 - 1)
    put(store, Batch(entries=(last,)))
    assert store.states()[ana.log].settled == Ranges.of((2**32 - 1, 2**32))
    assert store.read(ana.log, 2**32 - 1, 2**32, bytes_max=BIG, with_prev=False).entries[0].seq == 2**32 - 1


def test_a_draft_continues_the_own_log(store: Store) -> None:
    places: list[Place] = []

    def make(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
        places.append(Place(feed, lane, seq))
        return b"hint", b"%d" % seq

    drafts = (draft(), replace(draft(), make=make))
    first, second = store.commit(Batch(drafts=drafts), keys=KEYS, now_ms=NOW_MS).written
    (third,) = store.commit(Batch(drafts=(draft(),)), keys=KEYS, now_ms=NOW_MS - DAY_MS).written
    assert [entry.seq for entry in (first, second, third)] == [0, 1, 2]
    assert (first.prev, second.prev, third.prev) == (NO_PREV, first.id, second.id)
    assert [entry.time_ms for entry in (first, second, third)] == [NOW_MS, NOW_MS + 1, NOW_MS + 2]
    assert places == [Place(OWN_LOG.feed, 1, 1)]
    assert all(verify_entry(KEYS[False].public, entry) for entry in (first, second, third))
    assert store.states() == {OWN_LOG: LogState(Ranges.of((0, 3)), third.id)}
    assert store.read(OWN_LOG, 0, 9, bytes_max=BIG, with_prev=False).entries == (first, second, third)


def test_a_draft_continues_own_entries_that_come_back_in_the_same_batch(store: Store) -> None:
    mine = Author("me")
    keys = {False: mine.key}
    run = mine.run(2)
    written = store.commit(Batch(entries=run, drafts=(draft(),)), keys=keys, now_ms=NOW_MS).written
    assert (written[0].seq, written[0].prev) == (2, run[1].id)


def test_what_a_draft_raises_undoes_the_whole_commit(store: Store) -> None:
    class NoPrekey(Exception):
        pass

    def make(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
        raise NoPrekey

    failing = replace(draft(), make=make)
    batch = Batch(entries=Author("ana").run(3), drafts=(draft(), failing), counts={"seen": 1})
    with pytest.raises(NoPrekey):
        store.commit(batch, keys=KEYS, now_ms=NOW_MS)
    assert store.states() == {}
    assert store.counts() == {}
    assert store.changed_since(0).version == 0
    put(store, Batch(drafts=(draft(),)))
    assert store.states()[OWN_LOG].settled == Ranges.of((0, 1))


def test_a_statement_becomes_a_fact_at_the_place_of_its_entry(store: Store) -> None:
    put(store, Batch(drafts=(draft(control=True, lane=0, statement=Statement(DEVICE_CERTIFICATE, b"one")),)))
    put(store, Batch(drafts=(draft(control=True, lane=0, statement=Statement(PREKEY_BUNDLE, b"two")),)))
    first, second = (
        Fact(CONTROL_LOG.feed, 0, DEVICE_CERTIFICATE, b"one"),
        Fact(CONTROL_LOG.feed, 1, PREKEY_BUNDLE, b"two"),
    )
    assert store.facts() == [first, second]


def test_one_place_has_one_fact(store: Store) -> None:
    ana = Author("ana").log.feed
    put(store, Batch(facts=(Fact(ana, 0, 1, b"said"), Fact(ana, 0, 1, b"said again"))))
    put(store, Batch(facts=(Fact(ana, 0, 2, b"and again"), Fact(ana, 1, 2, b"more"))))
    assert store.facts() == [Fact(ana, 0, 1, b"said"), Fact(ana, 1, 2, b"more")]


def test_a_fork_freezes_its_log_and_is_kept_as_a_proof_without_bodies(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(2)
    other = ana.entry(b"another", seq=1)
    put(store, Batch(entries=run))
    version = store.changed_since(0).version
    put(store, Batch(forks=(Fork(run[1], other),)))
    assert store.frozen() == {ana.log}
    assert store.forks() == [Fork(run[1].erased(), other.erased())]
    assert list(store.changed_since(version).states) == [ana.log]
    assert all(verify_entry(ana.key.public, entry) for entry in (store.forks()[0].first, store.forks()[0].second))
    put(store, Batch(forks=(Fork(other, run[1]),)))
    assert store.forks() == [Fork(run[1].erased(), other.erased())]
    assert store.entry(ana.log, 1) == run[1]


def test_a_fork_of_a_log_that_is_not_held_freezes_it_before_it_comes(store: Store) -> None:
    ana = Author("ana")
    put(store, Batch(forks=(Fork(ana.run(1)[0], ana.entry(b"another", seq=0)),)))
    assert store.frozen() == {ana.log}
    assert store.states() == {}
    assert store.changed_since(0).states == {}


def test_only_what_changed_since_a_version_is_told(store: Store) -> None:
    ana, ben = Author("ana"), Author("ben")
    put(store, Batch(entries=ana.run(1)))
    first = store.changed_since(0)
    put(store, Batch(entries=ben.run(1)))
    second = store.changed_since(first.version)
    assert (list(first.states), list(second.states)) == ([ana.log], [ben.log])
    assert store.changed_since(second.version).states == {}
    put(store, Batch(counts={"seen": 1}))
    assert store.changed_since(second.version) == Changes(second.version, {}, {})
    assert store.changed_since(0).states == store.states()


def test_what_is_given_up_is_settled_and_told_as_gone(store: Store) -> None:
    ana = Author("ana")
    put(store, Batch(settled=((ana.log, Ranges.of((0, 3))),)))
    assert store.states() == {ana.log: LogState(Ranges.of((0, 3)), b"")}
    assert store.read(ana.log, 1, 9, bytes_max=BIG, with_prev=True) == _result(None, (), Ranges.of((1, 3)))
    version = store.changed_since(0).version
    put(store, Batch(settled=((ana.log, Ranges.of((1, 2))),)))
    assert store.changed_since(version).states == {}


def test_a_body_is_erased_when_its_lifetime_since_arrival_has_passed(store: Store) -> None:
    ana = Author("ana", ttl=2)
    run = ana.run(2)
    put(store, Batch(entries=run[:1]), NOW_MS)
    put(store, Batch(entries=run[1:]), NOW_MS + 1)
    before = store.states()
    assert store.expire(NOW_MS + DAY_MS - 1) == 0
    assert store.expire(NOW_MS + DAY_MS) == 1
    assert store.expire(NOW_MS + DAY_MS) == 0
    assert store.entry(ana.log, 0) == run[0].erased()
    assert store.entry(ana.log, 1) == run[1]
    assert store.states() == before
    assert store.size().body_bytes == len(b"sealed")


def test_own_entries_expire_like_any_other(store: Store) -> None:
    put(store, Batch(drafts=(draft(b"x" * 10),)))
    assert store.size().entries == 1
    assert days_pass(store, 13) == 0
    assert store.expire(NOW_MS + 14 * DAY_MS - 1) == 0
    assert store.expire(NOW_MS + 14 * DAY_MS) == 1
    assert store.size().body_bytes == 0


def test_an_erased_body_does_not_come_back(store: Store) -> None:
    ana = Author("ana", ttl=0)
    run = ana.run(1)
    put(store, Batch(entries=run))
    store.expire(NOW_MS + DAY_MS)
    put(store, Batch(entries=run))
    assert store.entry(ana.log, 0) == run[0].erased()


def test_certificates_outlive_their_entries_lifetime_and_prekey_bundles_do_not(store: Store) -> None:
    ana = Author("ana", lane=0, ttl=0)
    run = ana.run(3)
    facts = (Fact(ana.log.feed, 0, DEVICE_CERTIFICATE, b"who"), Fact(ana.log.feed, 1, PREKEY_BUNDLE, b"key"))
    put(store, Batch(entries=run, facts=facts))
    other_lane = Author("ana", lane=1, ttl=0)
    put(store, Batch(entries=other_lane.run(1)))
    assert store.expire(NOW_MS + DAY_MS) == 3
    assert store.entry(ana.log, 0) == run[0]
    assert store.entry(ana.log, 1) == run[1].erased()


def _result(prev: bytes | None, entries: tuple[Entry, ...], gone: Ranges = NOTHING) -> ReadResult:
    return ReadResult(prev, entries, gone)
