"""What every store promises about delivery tokens: what they settle, what goes for them, and what is told of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from beepmesh.messages.content import READ, Receipts
from beepmesh.messages.entry import Entry
from beepmesh.messages.lifetimes import URGENT, expires_ms
from beepmesh.messages.token import TOKEN_PACKED_BYTES, token_log
from beepmesh.store.contract import Batch, Fork, LedgerLine, Place, Recipient, Store
from beepmesh.store.memory import MemoryStore
from beepmesh.store.tokens import tip_of
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from tests.store.writing import (
    ANA,
    BEN,
    FEED,
    KEYS,
    NOW_MS,
    OWN_LOG,
    Author,
    days_pass,
    draft,
    envelope,
    incoming,
    message_id,
    own,
    put,
    sealing,
    text,
    token,
)

BIG = 1 << 20
BODY = envelope(bytes(1_000))
OWN_TOKENS = token_log(OWN_LOG)


def written(store: Store, *persons: bytes, count: int = 1) -> tuple[Entry, ...]:
    """Own entries that carry the message "order", each sealed to one device of each person in turn."""
    drafts = tuple(
        draft(BODY, sealed_to=(sealing("order", person, number),))
        for number in range(1, count + 1)
        for person in persons
    )
    batch = Batch(
        payloads=(own(text("order")),),
        outbox=tuple(Recipient(message_id("order"), person) for person in persons),
        drafts=drafts,
    )
    return store.commit(batch, keys=KEYS, now_ms=NOW_MS).written


def place_of(entry: Entry) -> Place:
    return Place(entry.feed, entry.lane, entry.seq)


def told(store: Store, log: LogId) -> list[int]:
    """The places of a log whose tokens are handed on."""
    state = store.states().get(token_log(log), LogState(NOTHING, b""))
    reads = [
        store.read(token_log(log), seq, seq + 1, bytes_max=BIG, with_prev=False) for seq in range(state.settled.top)
    ]
    return [one.seq for read in reads for one in read.tokens]


# What is settled, and what goes.


def test_others_copy_goes_with_its_token_and_stays_settled(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3, BODY)
    put(store, Batch(entries=run))
    before = store.states()[ana.log]
    done = store.commit(Batch(tokens=(token(run[1]),)), keys=KEYS, now_ms=NOW_MS)
    its_tokens = token_log(ana.log)
    assert done.states == {its_tokens: LogState(Ranges.of((1, 2)), tip_of(its_tokens, 2))}
    assert (done.purged, done.evicted, store.counts()["purged"].count) == (1, 0, 1)
    assert store.states() == {ana.log: before, **done.states}
    assert store.entry(ana.log, 1) is None
    assert (store.size().entries, store.size().body_bytes) == (2, 2 * len(BODY))
    result = store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=True)
    assert (result.entries, result.gone) == (run[:1], Ranges.of((1, 2)))
    assert store.read(ana.log, 2, 9, bytes_max=BIG, with_prev=True).entries == run[2:]


def test_a_place_is_settled_by_its_token_alone_and_the_entry_is_not_taken_later(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(3, BODY)
    put(store, Batch(entries=run[:1]))
    done = store.commit(Batch(tokens=(token(run[2]),)), keys=KEYS, now_ms=NOW_MS)
    assert done.states[ana.log] == LogState(Ranges.of((0, 1), (2, 3)), run[2].id)
    assert list(done.states) == [ana.log, token_log(ana.log)]
    assert done.purged == 0
    done = store.commit(Batch(entries=run[1:]), keys=KEYS, now_ms=NOW_MS)
    assert done.states == {ana.log: LogState(Ranges.of((0, 3)), run[2].id)}
    assert (done.forks, store.entry(ana.log, 2)) == ((), None)
    assert store.commit(Batch(entries=run[2:]), keys=KEYS, now_ms=NOW_MS).states == {}


@pytest.mark.parametrize("seqs", [(0,), (3,), (1, 2), (0, 1, 2, 3)])
def test_in_whatever_order_things_come_the_states_are_the_same(store: Store, seqs: tuple[int, ...]) -> None:
    run = Author("ana").run(4, BODY)
    tokens = [Batch(tokens=(token(run[seq]),)) for seq in seqs]
    entries = [Batch(entries=run[:2]), Batch(entries=run[2:])]
    rest = tuple(entry for entry in run if entry.seq not in seqs)
    expected = MemoryStore()
    put(expected, Batch(entries=run))
    put(expected, Batch(tokens=tuple(token(run[seq]) for seq in seqs)))
    orders: list[list[Batch]] = [
        [*entries, *tokens],
        [*tokens, *entries],
        [Batch(entries=run, tokens=tuple(one for batch in tokens for one in batch.tokens))],
        [Batch(entries=rest), *tokens[::-1]],
    ]
    for order in orders:
        other = MemoryStore()
        for batch in order:
            put(other, batch)
        assert other.states() == expected.states()
        assert [other.entry(run[0].log, seq) for seq in range(4)] == [
            None if seq in seqs else run[seq] for seq in range(4)
        ]
    for batch in orders[1]:
        put(store, batch)
    assert store.states() == expected.states()


def test_a_place_has_one_token(store: Store) -> None:
    run = Author("ana").run(1, BODY)
    put(store, Batch(tokens=(token(run[0]), token(run[0]))))
    version = store.changed_since(0).version
    other = token(Author("ana").entry(envelope(b"another"), seq=0))
    assert store.commit(Batch(tokens=(token(run[0]), other)), keys=KEYS, now_ms=NOW_MS).states == {}
    assert store.changed_since(version).states == {}
    assert store.read(token_log(run[0].log), 0, 9, bytes_max=BIG, with_prev=False).tokens == (token(run[0]),)
    assert store.frozen() == set()


def test_the_tip_that_was_given_up_is_known_again_from_a_token(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(2, BODY)
    put(store, Batch(settled=((ana.log, Ranges.of((0, 2))),)))
    put(store, Batch(tokens=(token(run[0]),)))
    assert store.states()[ana.log] == LogState(Ranges.of((0, 2)), b"")
    put(store, Batch(tokens=(token(run[1]),)))
    assert store.states()[ana.log] == LogState(Ranges.of((0, 2)), run[1].id)


def test_what_was_delivered_is_not_pending_any_more(store: Store) -> None:
    """Every relay has all that is urgent and sealed pending, because it cannot tell whose it is."""
    ana = Author("ana", lane=0, priority=URGENT)
    run = ana.run(3, BODY)
    put(store, Batch(entries=run[:2], pending_add=tuple(map(place_of, run))))
    put(store, Batch(tokens=(token(run[0]), token(run[2]))))
    assert store.unopened() == [place_of(run[1])]
    assert store.entry(ana.log, 0) is None
    put(store, Batch(entries=run[2:], tokens=(token(run[1]),), pending_add=(place_of(run[1]),)))
    assert store.unopened() == []
    assert store.size().entries == 0


def test_what_a_draft_raises_undoes_what_tokens_did(store: Store) -> None:
    def make(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
        raise LookupError

    ana = Author("ana")
    run = ana.run(2, BODY)
    put(store, Batch(entries=run))
    before, body_bytes = store.states(), store.size().body_bytes
    with pytest.raises(LookupError):
        store.commit(Batch(tokens=(token(run[0]),), drafts=(replace(draft(), make=make),)), keys=KEYS, now_ms=NOW_MS)
    assert (store.states(), store.size().body_bytes) == (before, body_bytes)
    assert store.read(ana.log, 0, 9, bytes_max=BIG, with_prev=False).entries == run
    assert "purged" not in store.counts()


# Forks.


@pytest.mark.parametrize("known", ["place", "below", "above"])
def test_a_token_that_contradicts_what_is_held_is_a_fork_and_not_handed_on(store: Store, known: str) -> None:
    ana, liar = Author("ana"), Author("ana")
    run = ana.run(3, BODY)
    lies = (liar.entry(envelope(b"another")), *liar.run(2, BODY))
    held = {"place": run[1], "below": run[0], "above": run[2]}[known]
    put(store, Batch(entries=(held,)))
    done = store.commit(Batch(tokens=(token(lies[1]),)), keys=KEYS, now_ms=NOW_MS)
    assert done.forks == (Fork(held, lies[1].erased()),)
    assert store.frozen() == {ana.log}
    assert store.entry(ana.log, held.seq) == held
    assert store.states()[ana.log].settled.count == 1
    assert told(store, ana.log) == []
    # Asked for again it would only be the same fork again.
    its_tokens = token_log(ana.log)
    assert store.states()[its_tokens] == LogState(Ranges.of((1, 2)), tip_of(its_tokens, 2))
    result = store.read(its_tokens, 0, 9, bytes_max=BIG, with_prev=True)
    assert (result.tokens, result.gone, result.prev) == ((), Ranges.of((1, 2)), None)


@pytest.mark.parametrize("seq", [0, 1, 2])
def test_an_entry_that_contradicts_a_token_is_a_fork_and_not_taken(store: Store, seq: int) -> None:
    ana, liar = Author("ana"), Author("ana")
    run = ana.run(3, BODY)
    lies = (liar.entry(envelope(b"another")), *liar.run(2, BODY))
    put(store, Batch(tokens=(token(run[1]),)))
    done = store.commit(Batch(entries=(lies[seq],)), keys=KEYS, now_ms=NOW_MS)
    assert done.forks == (Fork(run[1].erased(), lies[seq]),)
    assert store.frozen() == {ana.log}
    assert store.states()[ana.log] == LogState(Ranges.of((1, 2)), run[1].id)


def test_the_tokens_of_a_frozen_log_still_count(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(2, BODY)
    put(store, Batch(entries=run, forks=(Fork(run[1], ana.entry(b"another", seq=1)),)))
    assert store.commit(Batch(tokens=(token(run[0]),)), keys=KEYS, now_ms=NOW_MS).purged == 1
    assert store.frozen() == {ana.log}


# Own entries.


def test_an_own_entry_stays_and_its_token_is_handed_on_instead(store: Store) -> None:
    entries = written(store, ANA, count=3)
    done = store.commit(Batch(tokens=(token(entries[1]),)), keys=KEYS, now_ms=NOW_MS)
    assert (done.purged, list(done.states)) == (0, [OWN_TOKENS])
    assert store.entry(OWN_LOG, 1) == entries[1]
    result = store.read(OWN_LOG, 0, 9, bytes_max=BIG, with_prev=False)
    assert (result.entries, result.gone) == (entries[:1], Ranges.of((1, 2)))
    assert told(store, OWN_LOG) == [1]
    assert store.own_payload(message_id("order")) == own(text("order"))


def test_the_ledger_says_delivered_with_the_first_token_for_a_device_of_that_person(store: Store) -> None:
    entries = written(store, ANA, BEN, count=2)
    put(store, Batch(tokens=(token(entries[2]),)), NOW_MS + 7)
    put(store, Batch(tokens=(token(entries[0]),)), NOW_MS + 9)
    put(store, Batch(tokens=(token(entries[2]),)), NOW_MS + 3)

    def lines() -> list[LedgerLine]:
        return store.ledger(message_id("order"), expires_ms(NOW_MS, 5))

    delivered = LedgerLine(ANA, "delivered", NOW_MS + 7, "", 0)
    expired = LedgerLine(BEN, "expired", None, "", 0)
    assert lines() == [delivered, expired]
    store.rebuild_views()
    assert days_pass(store, 30) == 4
    store.limit(1)
    put(store, Batch())
    assert told(store, OWN_LOG) == []
    assert lines() == [delivered, expired]
    put(store, Batch(payloads=(incoming(Receipts(((message_id("order"), READ),)), ANA, 0, NOW_MS + 8),)))
    assert lines() == [LedgerLine(ANA, "read", NOW_MS + 8, "", 0), expired]


def test_an_own_log_that_was_lost_goes_on_over_what_only_tokens_tell(store: Store) -> None:
    mine = Author("me")
    keys = {False: mine.key}
    run = mine.run(3, BODY)
    done = store.commit(Batch(tokens=tuple(map(token, run)), drafts=(draft(),)), keys=keys, now_ms=NOW_MS)
    assert (done.written[0].seq, done.written[0].prev) == (3, run[2].id)
    assert [store.entry(mine.log, seq) for seq in range(3)] == [entry.erased() for entry in run]
    assert store.states()[mine.log] == LogState(Ranges.of((0, 4)), done.written[0].id)
    assert store.commit(Batch(entries=run), keys=keys, now_ms=NOW_MS).states == {}


def test_the_header_of_the_newest_own_entry_stays_when_its_token_was_given_up(store: Store) -> None:
    mine = Author("me")
    keys = {False: mine.key}
    run = mine.run(2, BODY)
    store.commit(Batch(tokens=tuple(map(token, run))), keys=keys, now_ms=NOW_MS)
    store.limit(1)
    assert store.commit(Batch(), keys=keys, now_ms=NOW_MS).evicted == 3
    (later,) = store.commit(Batch(drafts=(draft(),)), keys=keys, now_ms=NOW_MS).written
    assert (later.seq, later.prev) == (2, run[1].id)


# Handing them on.


def test_tokens_are_read_in_runs_with_nothing_before_them(store: Store) -> None:
    run = Author("ana").run(7, BODY)
    tokens = tuple(token(run[seq]) for seq in (5, 1, 2, 3))
    put(store, Batch(tokens=tokens))
    log = token_log(run[0].log)
    assert store.states()[log] == LogState(Ranges.of((1, 4), (5, 6)), tip_of(log, 6))
    result = store.read(log, 1, 9, bytes_max=BIG, with_prev=True)
    assert (result.prev, result.entries, result.tokens, result.gone) == (bytes(32), (), tokens[1:], NOTHING)
    assert store.read(log, 1, 3, bytes_max=BIG, with_prev=False).tokens == tokens[1:3]
    for bytes_max, count in [(0, 1), (2 * TOKEN_PACKED_BYTES - 1, 1), (2 * TOKEN_PACKED_BYTES, 2)]:
        assert store.read(log, 1, 9, bytes_max=bytes_max, with_prev=False).tokens == tokens[1 : 1 + count]
    nothing = store.read(log, 4, 9, bytes_max=BIG, with_prev=True)
    assert (nothing.prev, nothing.tokens, nothing.gone) == (None, (), NOTHING)
    assert store.entry(log, 1) is None


def test_equal_sets_have_equal_tips_however_they_came(store: Store) -> None:
    run = Author("ana").run(4, BODY)
    log = token_log(run[0].log)
    tips: set[bytes] = set()
    for order in itertools.permutations((0, 1, 3)):
        other = MemoryStore()
        for seq in order:
            put(other, Batch(tokens=(token(run[seq]),)))
        tips.add(other.states()[log].tip)
    put(store, Batch(tokens=tuple(token(run[seq]) for seq in (3, 1, 0))))
    assert tips == {store.states()[log].tip}
    assert tip_of(log, 3) not in tips


def test_a_read_says_which_entry_the_token_above_vouches_for(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(6, BODY)
    put(store, Batch(entries=run, tokens=(token(run[3]),)))

    def above(start: int, stop: int, bytes_max: int = BIG) -> bytes | None:
        return store.read(ana.log, start, stop, bytes_max=bytes_max, with_prev=False).above

    assert above(0, 9) == above(0, 3) == above(3, 4) == run[2].id
    assert [above(0, 2), above(4, 9), above(3, 3), above(0, 9, 0)] == [None] * 4


def test_the_last_possible_place_has_a_token_like_any_other(store: Store) -> None:
    last = Author("ana").entry(BODY)._replace(seq=2**32 - 1)
    put(store, Batch(tokens=(token(last),)))
    log = token_log(last.log)
    assert store.states()[log].settled == Ranges.of((2**32 - 1, 2**32))
    assert store.read(log, 2**32 - 1, 2**32, bytes_max=BIG, with_prev=True).tokens == (token(last),)


def test_what_is_remembered_of_a_peer_knows_the_logs_of_tokens(store: Store) -> None:
    ana, ben = Author("ana"), Author("ben")
    first, second = ana.run(2, BODY)
    put(store, Batch(tokens=(token(first),)))
    base = store.changed_since(0).version
    put(store, Batch(memories=((b"p" * 16, Memory(1, 1, 1, base, 1, bytes(32), {})),)))
    put(store, Batch(tokens=(token(second), token(ben.run(1, BODY)[0]))))
    recalled = store.recall(b"p" * 16)
    assert recalled is not None
    one = Ranges.of((0, 1))
    assert recalled.views == {
        ana.log: one, token_log(ana.log): one, ben.log: NOTHING, token_log(ben.log): NOTHING,
    }  # fmt: skip
    assert set(store.changed_since(base).numbers) == set(recalled.views)


# Their end.


def test_a_token_is_handed_on_when_its_entry_would_have_ended_as_a_header_is(store: Store) -> None:
    ana = Author("ana", ttl=0)
    run = ana.run(2, BODY)
    put(store, Batch(entries=run[:1], tokens=(token(run[1]),)))
    before = store.states()
    assert days_pass(store, 2) == 1
    assert store.states() == before
    assert told(store, ana.log) == [1]
    assert store.entry(ana.log, 0) == run[0].erased()


def test_a_token_that_was_given_up_stays_settled(store: Store) -> None:
    ana = Author("ana")
    run = ana.run(2, BODY)
    put(store, Batch(tokens=tuple(map(token, run))))
    before = store.states()
    store.limit(1)
    assert store.commit(Batch(), keys=KEYS, now_ms=NOW_MS).evicted == 2
    assert store.states() == before
    for log in (ana.log, token_log(ana.log)):
        result = store.read(log, 0, 9, bytes_max=BIG, with_prev=True)
        assert (result.entries, result.tokens, result.gone) == ((), (), Ranges.of((0, 2)))
    assert store.commit(Batch(tokens=(token(run[0]),)), keys=KEYS, now_ms=NOW_MS).states == {}


def test_an_own_entry_is_handed_on_again_when_its_token_was_given_up(store: Store) -> None:
    entries = written(store, ANA)
    put(store, Batch(tokens=(token(entries[0]),)))
    store.limit(1)
    done = store.commit(Batch(), keys=KEYS, now_ms=NOW_MS)
    assert (done.evicted, store.counts()["evicted"].count) == (1, 1)
    assert told(store, OWN_LOG) == []
    assert store.read(OWN_LOG, 0, 9, bytes_max=BIG, with_prev=False).entries == entries
    assert store.read(OWN_TOKENS, 0, 9, bytes_max=BIG, with_prev=False).gone == Ranges.of((0, 1))


def test_tokens_go_after_what_is_routine_and_before_what_is_urgent_and_those_first_that_end_first() -> None:
    """By the reference, which counts bytes, not pages; test_stores_agree.py holds SQLite to the same order."""
    store = MemoryStore()
    urgent, routine = Author("urgent", lane=0, priority=URGENT, ttl=4), Author("routine", ttl=7)
    long, short, ended = Author("long", ttl=6), Author("short", ttl=4), Author("ended", ttl=0)
    expired = Author("expired", ttl=1)
    put(store, Batch(entries=(*urgent.run(1, BODY), *routine.run(1, BODY), *expired.run(1, BODY))))
    put(store, Batch(tokens=tuple(token(author.entry(BODY)) for author in (long, short, ended))))
    assert days_pass(store, 1) == 1
    order = [expired.log, token_log(ended.log), routine.log, token_log(short.log), token_log(long.log), urgent.log]
    gone: list[LogId] = []
    for _ in order:
        store.limit(store.size().used_bytes - 1)
        assert store.commit(Batch(), keys=KEYS, now_ms=NOW_MS).evicted == 1
        reads = {log: store.read(log, 0, 1, bytes_max=BIG, with_prev=False) for log in order}
        gone += [log for log in order if reads[log].gone and log not in gone]
    assert gone == order


def test_tokens_count_in_what_is_used(store: Store) -> None:
    run = Author("ana").run(200, BODY)
    put(store, Batch(entries=run[:1]))
    before = store.size()
    put(store, Batch(tokens=tuple(map(token, run[1:]))))
    after = store.size()
    assert (after.entries, after.body_bytes) == (before.entries, before.body_bytes)
    assert 199 * TOKEN_PACKED_BYTES <= after.used_bytes - before.used_bytes < 199 * 260


def test_own_feeds_alone_are_own(store: Store) -> None:
    """Whose an entry is, is told by the keys that a commit is given."""
    mine = Author("me")
    entry = mine.entry(BODY)
    put(store, Batch(entries=(entry,)))
    assert store.commit(Batch(tokens=(token(entry),)), keys={False: FEED}, now_ms=NOW_MS).purged == 1
