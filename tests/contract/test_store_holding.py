"""What every store promises about how long it holds things, what goes first when it is full, and what was proved."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from beepmesh.messages.entry import Entry
from beepmesh.messages.lifetimes import BULK, LANE_LATER, SOS, URGENT
from beepmesh.store.contract import Batch, Place, Statement, Store
from beepmesh.store.memory import MemoryStore
from beepmesh.trust.facts import DEVICE_CERTIFICATE, FORK_PROOF, PREKEY_BUNDLE, Fact
from sync.logs import LogId
from sync.ranges import Ranges
from tests.store.writing import DAY_MS, KEYS, NOW_MS, OWN_LOG, Author, days_pass, draft, envelope, put

BIG = 1 << 20
BODY = bytes(2_000)
HOUR_MS = 3_600_000


def held(store: Store, entries: Sequence[Entry]) -> list[bool]:
    return [store.entry(entry.log, entry.seq) is not None for entry in entries]


def place_of(entry: Entry) -> Place:
    return Place(entry.feed, entry.lane, entry.seq)


# Expiry.


def test_a_clock_that_is_set_right_erases_nothing_at_once(store: Store) -> None:
    put(store, Batch(entries=Author("ana", ttl=3).run(2)), now_ms=0)
    assert store.expire(HOUR_MS) == 0
    assert store.expire(NOW_MS) == 0
    assert days_pass(store, 1) == 0
    assert days_pass(store, 2, NOW_MS + DAY_MS) == 2


def test_a_message_ends_when_its_author_said_though_it_came_late(store: Store) -> None:
    ana = Author("ana", ttl=4)
    put(store, Batch(entries=ana.run(1)), NOW_MS + 5 * DAY_MS)
    assert days_pass(store, 2, NOW_MS + 5 * DAY_MS - 1) == 0
    assert store.expire(NOW_MS + 7 * DAY_MS) == 1


def test_what_came_between_two_looks_is_not_erased_earlier_for_it(store: Store) -> None:
    ana = Author("ana", ttl=0)
    store.expire(NOW_MS - HOUR_MS)
    put(store, Batch(entries=ana.run(1)))
    assert store.expire(NOW_MS) == 0
    assert store.expire(NOW_MS + HOUR_MS - 1) == 0
    assert store.expire(NOW_MS + HOUR_MS) == 1


def test_an_entry_without_its_body_has_nothing_to_erase(store: Store) -> None:
    put(store, Batch(entries=tuple(entry.erased() for entry in Author("ana", ttl=0).run(2))))
    assert days_pass(store, 2) == 0


@pytest.mark.parametrize("learned", ["before", "with", "after"])
def test_facts_stay_whenever_they_are_learned(store: Store, learned: str) -> None:
    ana = Author("ana", lane=0, ttl=0)
    run = ana.run(3)
    kinds = (DEVICE_CERTIFICATE, PREKEY_BUNDLE, FORK_PROOF)
    facts = tuple(Fact(ana.log.feed, seq, kind, b"fact") for seq, kind in enumerate(kinds))
    batches = {
        "before": (Batch(facts=facts), Batch(entries=run)),
        "with": (Batch(facts=facts, entries=run),),
        "after": (Batch(entries=run), Batch(facts=facts)),
    }
    for batch in batches[learned]:
        put(store, batch)
    assert days_pass(store, 2) == 1
    assert [store.entry(ana.log, seq) for seq in range(3)] == [run[0], run[1].erased(), run[2]]


# A full disk. The limit of one byte makes everything go that may.


def test_without_a_limit_nothing_goes(store: Store) -> None:
    store.limit(1)
    store.limit(None)
    put(store, Batch(entries=Author("ana", priority=BULK).run(3)))
    assert store.size().entries == 3
    assert store.size().limit_bytes is None


def test_what_is_given_up_stays_settled_with_its_tip_and_is_told_as_gone(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3)
    put(store, Batch(entries=run))
    before = store.states()
    store.limit(1)
    done = store.commit(Batch(), keys=KEYS, now_ms=NOW_MS)
    assert (done.evicted, done.states, done.version) == (3, {}, 1)
    assert store.states() == before
    assert (store.size().entries, store.size().body_bytes) == (0, 0)
    assert store.counts()["evicted"].count == 3
    result = store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=True)
    assert (result.entries, result.gone) == ((), Ranges.of((0, 3)))


def test_an_entry_that_comes_into_a_store_full_of_better_things_is_settled_and_not_held(store: Store) -> None:
    sos, ana = Author("ben", lane=0, priority=SOS), Author("ana")
    put(store, Batch(entries=sos.run(2)))
    store.limit(1)
    done = store.commit(Batch(entries=ana.run(2)), keys=KEYS, now_ms=NOW_MS)
    assert done.evicted == 2
    assert done.states == {ana.log: store.states()[ana.log]}
    assert done.states[ana.log].settled == Ranges.of((0, 2))
    assert done.states[ana.log].tip == ana.entries[1].id
    assert held(store, [*sos.entries, *ana.entries]) == [True, True, False, False]


def test_a_log_goes_on_over_what_was_given_up(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3)
    store.limit(1)
    put(store, Batch(entries=run[:2]))
    store.limit(None)
    put(store, Batch(entries=run[2:]))
    result = store.read(ana.log, 2, 9, bytes_max=BIG, with_prev=True)
    assert (result.prev, result.entries) == (run[1].id, run[2:])
    assert store.states()[ana.log].tip == run[2].id


def test_what_may_never_be_given_up_stays(store: Store) -> None:
    store.limit(1)
    sos, certified = Author("ana", lane=0, priority=SOS), Author("ben", lane=0, ttl=7)
    waiting, others = Author("cyd", lane=0, priority=URGENT), Author("dan")
    facts = tuple(
        Fact(certified.log.feed, seq, kind, b"")
        for seq, kind in enumerate((DEVICE_CERTIFICATE, PREKEY_BUNDLE, FORK_PROOF))
    )
    runs = (*sos.run(2), *certified.run(3), *waiting.run(2))
    written = store.commit(
        Batch(
            entries=(*runs, *others.run(2)),
            facts=facts,
            pending_add=tuple(place_of(entry) for entry in waiting.entries),
            drafts=(
                draft(),
                draft(priority=BULK),
                draft(control=True, lane=0, statement=Statement(PREKEY_BUNDLE, b"")),
            ),
        ),
        keys=KEYS,
        now_ms=NOW_MS,
    )
    assert written.evicted == 2
    assert all(held(store, [*runs, *written.written]))
    assert store.unopened() == [place_of(entry) for entry in waiting.entries]


def test_what_was_opened_may_go(store: Store) -> None:
    store.limit(1)
    ana = Author("ana", lane=0, priority=URGENT)
    put(store, Batch(pending_add=(Place(ana.log.feed, 0, 0), Place(ana.log.feed, 0, 1))))
    put(store, Batch(entries=ana.run(2)))
    assert all(held(store, ana.entries))
    put(store, Batch(pending_remove=(Place(ana.log.feed, 0, 0),)))
    assert held(store, ana.entries) == [False, True]


def test_own_bulk_may_go_once_a_peer_has_it_but_never_the_newest_entry(store: Store) -> None:
    store.limit(1)
    for _ in range(3):
        put(store, Batch(drafts=(draft(priority=BULK), draft())))
    entries = store.read(OWN_LOG, 0, 6, bytes_max=BIG, with_prev=False).entries
    assert len(entries) == 6
    put(store, Batch(peer_settled=((b"p" * 16, OWN_LOG, Ranges.of((0, 3))),)))
    assert held(store, entries) == [False, True, False, True, True, True]
    put(store, Batch(peer_settled=((b"q" * 16, OWN_LOG, Ranges.of((0, 6))),), drafts=(draft(priority=BULK),)))
    assert held(store, entries) == [False, True, False, True, False, True]
    put(store, Batch(peer_settled=((b"q" * 16, OWN_LOG, Ranges.of((0, 7))),)))
    assert store.entry(OWN_LOG, 6) is not None
    (newest,) = store.commit(Batch(drafts=(draft(),)), keys=KEYS, now_ms=NOW_MS).written
    assert newest.seq == 7
    assert store.entry(OWN_LOG, 6) is None


def test_what_has_expired_goes_before_what_lives_and_its_header_with_it(store: Store) -> None:
    old, ana = Author("ben", lane=0, ttl=0, priority=SOS), Author("ana", lane=2)
    put(store, Batch(entries=(*old.run(2, BODY), *ana.run(2, BODY))))
    assert days_pass(store, 1) == 2
    assert held(store, old.entries) == [True, True]
    store.limit(store.size().used_bytes - 1)
    store.commit(Batch(), keys=KEYS, now_ms=NOW_MS)
    assert held(store, old.entries) != [True, True]
    assert all(held(store, ana.entries))


def test_what_goes_first_is_what_is_least_useful_and_of_that_what_ends_soonest() -> None:
    """By the reference, which counts bytes, not pages; test_stores_agree.py holds SQLite to the same order."""
    store = MemoryStore()
    authors = [
        Author("position", lane=2, ttl=7, priority=2),
        Author("long", ttl=6, priority=2),
        Author("short", ttl=4, priority=2),
        Author("order", lane=0, ttl=3, priority=URGENT),
    ]
    put(
        store,
        Batch(entries=tuple(author.entry(BODY) for author in authors), drafts=(draft(BODY, priority=BULK), draft())),
    )
    put(store, Batch(peer_settled=((b"p" * 16, OWN_LOG, Ranges.of((0, 2))),)))
    entries = [authors[0], authors[2], authors[1], None, authors[3]]
    order = [OWN_LOG if author is None else author.log for author in entries]
    gone: list[LogId] = []
    while store.size().entries > 1:
        store.limit(store.size().used_bytes - 1)
        assert store.commit(Batch(), keys=KEYS, now_ms=NOW_MS).evicted == 1
        gone += [log for log in order if store.entry(log, 0) is None and log not in gone]
    assert gone == order


def test_the_size_says_what_is_used_and_what_may_be(store: Store) -> None:
    store.limit(10**9)
    before = store.size().used_bytes
    put(store, Batch(entries=Author("ana").run(100, bytes(1_600))))
    assert 160_000 < store.size().used_bytes - before < 250_000
    assert store.size().limit_bytes == 10**9


# Signatures.


def test_it_is_known_of_each_entry_whether_its_own_signature_was_checked(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3)
    put(store, Batch(entries=run, proved=frozenset({run[2].id, b"x" * 32}), drafts=(draft(),)))
    assert store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=False).proved == {run[2].id}
    assert store.read(ana.log, 0, 2, bytes_max=BIG, with_prev=False).proved == frozenset()
    own = store.read(OWN_LOG, 0, 9, bytes_max=BIG, with_prev=False)
    assert own.proved == {own.entries[0].id}


def test_a_signature_may_be_checked_later(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3)
    put(store, Batch(entries=run[:2], prove=(place_of(run[1]), place_of(run[2]), Place(b"x" * 16, 1, 0))))
    put(store, Batch(entries=run[2:]))
    assert store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=False).proved == {run[1].id}
    assert list(store.states()) == [ana.log]


def test_a_bad_signature_is_mended_by_the_same_entry_and_by_no_other(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3)
    spoilt = tuple(entry._replace(signature=bytes(64)) for entry in run)
    put(store, Batch(entries=(*spoilt[:2], run[2]), proved=frozenset({run[2].id})))
    version = store.changed_since(0).version
    other = ana.entry(b"other", seq=1)
    put(store, Batch(mended=(run[0], other, spoilt[2], *Author("ben").run(1))))
    result = store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=False)
    assert result.entries == (run[0], spoilt[1], run[2])
    assert result.proved == {run[0].id, run[2].id}
    assert store.changed_since(version).states == {}


def test_a_mended_signature_does_not_bring_an_erased_body_back(store: Store) -> None:
    ana = Author("ana", ttl=0)
    (entry,) = ana.run(1)
    put(store, Batch(entries=(entry._replace(signature=bytes(64)),)))
    assert days_pass(store, 1) == 1
    put(store, Batch(mended=(entry,)))
    assert store.entry(ana.log, 0) == entry.erased()


# Large mail.


def test_the_crowd_of_large_mail_is_read_of_what_is_held(store: Store) -> None:
    ana = Author("ana", lane=LANE_LATER)
    put(store, Batch(entries=tuple(ana.entry(envelope(bytes([1, number]) + BODY)) for number in range(3))))
    assert store.crowds(ana.log, 0, 2) == {0: 256, 1: 257}
    assert store.crowds(ana.log, 2, 9) == {2: 258}
    assert store.crowds(Author("ben", lane=LANE_LATER).log, 0, 9) == {}


def test_large_mail_that_is_worth_least_goes_first_and_all_of_it_before_other_mail(store: Store) -> None:
    ana, ben = Author("ana", lane=LANE_LATER), Author("ben")
    put(store, Batch(entries=tuple(ana.entry(envelope(bytes([1, number]) + BODY)) for number in range(3))))
    put(store, Batch(entries=ben.run(1)))
    carried = sum(entry.body_bytes for entry in (*ana.entries, *ben.entries))
    store.appraise(lambda copy, crowd: {0: 0.5, 1: 0.1, 2: 0.9}[copy[1]] if crowd == 256 + copy[1] else 9.9)
    for most, left in ((carried, [True] * 4), (carried - 1, [True, False, True, True])):
        store.limit(None, most)
        put(store, Batch())
        assert held(store, [*ana.entries, *ben.entries]) == left
    store.limit(None, 1 + ben.entries[0].body_bytes)
    put(store, Batch())
    assert held(store, [*ana.entries, *ben.entries]) == [False, False, False, True]


def test_what_we_wrote_is_not_carried_for_others(store: Store) -> None:
    store.limit(None, 1)
    put(store, Batch(drafts=(draft(), draft())))
    assert len(store.read(OWN_LOG, 0, 6, bytes_max=BIG, with_prev=False).entries) == 2
