"""What every store promises about change numbers, and about what it remembers of peers between meetings."""

from __future__ import annotations

import pytest

from beepmesh.store.contract import BASE_AGE_MAX, PEERS_REMEMBERED_MAX, VIEWS_BYTES_MAX, Batch, Fork, Store
from beepmesh.store.memory import MemoryStore
from sync.logs import LogId
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from tests.store.writing import KEYS, NOW_MS, OWN_LOG, Author, draft, put

PEER, OTHER = b"p" * 16, b"q" * 16


def memory(base: int, views: dict[LogId, Ranges] | None = None, digest: bytes = bytes(32)) -> Memory:
    return Memory(7, 8, 9, base, 10, digest, views or {})


def commit(store: Store, batch: Batch) -> int:
    return store.commit(batch, keys=KEYS, now_ms=NOW_MS).version


def recalled(store: Store, device: bytes = PEER) -> dict[LogId, Ranges]:
    memory = store.recall(device)
    assert memory is not None
    return dict(memory.views)


# Change numbers.


def test_each_commit_that_changes_a_log_has_the_next_number(store: Store) -> None:
    ana, ben = Author("ana"), Author("ben")
    assert commit(store, Batch(counts={"seen": 1})) == 0
    assert commit(store, Batch(entries=(*ana.run(2), *ben.run(1)))) == 1
    assert commit(store, Batch(entries=tuple(ana.entries))) == 1
    assert commit(store, Batch(drafts=(draft(),))) == 2
    assert commit(store, Batch(settled=((ben.log, Ranges.of((4, 5))),))) == 3
    assert commit(store, Batch(forks=(Fork(ana.entries[0], ana.entry(b"other", seq=0)),))) == 4
    assert store.changed_since(0).numbers == {ana.log: 4, OWN_LOG: 2, ben.log: 3}


def test_changes_come_in_the_order_of_their_numbers(store: Store) -> None:
    ana, ben, cyd = Author("ana"), Author("ben"), Author("cyd")
    put(store, Batch(entries=(*cyd.run(1), *ana.run(1), *ben.run(1))))
    put(store, Batch(entries=ana.run(1)))
    changes = store.changed_since(0)
    assert list(changes.states) == list(changes.numbers) == [cyd.log, ben.log, ana.log]
    assert store.changed_since(1).numbers == {ana.log: 2}


# Epochs.


def test_an_epoch_stays_until_it_is_renewed_and_never_comes_twice_in_a_row(store: Store) -> None:
    first = store.epoch()
    assert store.epoch() == first
    renewed = store.renew_epoch()
    assert renewed != first
    assert store.epoch() == renewed
    assert all(0 <= epoch < 2**32 for epoch in (first, renewed))


def test_even_the_same_bits_drawn_again_make_another_epoch() -> None:
    store = MemoryStore(lambda size: b"\xff" * size)
    assert store.epoch() == 2**32 - 1
    assert len({store.epoch(), store.renew_epoch(), store.renew_epoch()}) == 3


# Memories.


def test_what_was_never_remembered_or_is_forgotten_is_none(store: Store) -> None:
    assert store.recall(PEER) is None
    put(store, Batch(memories=((PEER, memory(0)), (OTHER, memory(0)))))
    store.forget(PEER)
    store.forget(PEER)
    assert store.recall(PEER) is None
    assert store.recall(OTHER) == memory(0)


def test_a_memory_is_given_back_as_it_was_written_and_replaced_by_the_next(store: Store) -> None:
    views = {LogId(b"f" * 16, 2): Ranges.of((0, 3), (7, 300), (2**32 - 1, 2**32)), LogId(b"g" * 16, 0): NOTHING}
    put(store, Batch(memories=((PEER, memory(0, views, b"d" * 32)),)))
    assert store.recall(PEER) == memory(0, views, b"d" * 32)
    put(store, Batch(memories=((PEER, memory(0)), (PEER, memory(0, views)))))
    assert store.recall(PEER) == memory(0, views)


def test_a_log_that_has_not_changed_since_is_not_among_the_views(store: Store) -> None:
    ana = Author("ana")
    base = commit(store, Batch(entries=ana.run(3)))
    put(store, Batch(memories=((PEER, memory(base)),)))
    assert recalled(store) == {}


def test_a_log_that_has_changed_since_is_told_as_it_was_at_the_base(store: Store) -> None:
    ana, ben, cyd = Author("ana"), Author("ben"), Author("cyd")
    base = commit(store, Batch(entries=(*ana.run(3), *cyd.run(1))))
    put(store, Batch(memories=((PEER, memory(base)),)))
    for _ in range(3):
        put(store, Batch(entries=(*ana.run(2), *ben.run(1))))
    assert recalled(store) == {ana.log: Ranges.of((0, 3)), ben.log: NOTHING}


def test_what_was_remembered_of_a_log_stands_whatever_happened_to_it(store: Store) -> None:
    ana = Author("ana")
    base = commit(store, Batch(entries=ana.run(3)))
    put(store, Batch(memories=((PEER, memory(base, {ana.log: Ranges.of((0, 9))})),)))
    put(store, Batch(entries=ana.run(2)))
    assert recalled(store) == {ana.log: Ranges.of((0, 9))}


def test_a_memory_counts_before_the_entries_of_its_own_batch(store: Store) -> None:
    ana = Author("ana")
    base = commit(store, Batch(entries=ana.run(1)))
    put(store, Batch(memories=((PEER, memory(base)), (OTHER, memory(base + 1))), entries=ana.run(1)))
    assert recalled(store) == {ana.log: Ranges.of((0, 1))}
    assert store.recall(OTHER) is None  # Its base had not come yet.


def test_each_peer_has_its_own_base(store: Store) -> None:
    ana = Author("ana")
    for device in (PEER, OTHER):
        base = commit(store, Batch(entries=ana.run(2)))
        put(store, Batch(memories=((device, memory(base)),)))
    put(store, Batch(entries=ana.run(2)))
    assert recalled(store, PEER) == {ana.log: Ranges.of((0, 2))}
    assert recalled(store, OTHER) == {ana.log: Ranges.of((0, 4))}
    store.forget(OTHER)
    assert recalled(store, PEER) == {ana.log: Ranges.of((0, 2))}


def test_what_others_committed_while_a_session_went_on_is_known_for_its_base(store: Store) -> None:
    ana, ben = Author("ana"), Author("ben")
    base = commit(store, Batch(entries=ana.run(1)))
    for _ in range(BASE_AGE_MAX):
        put(store, Batch(entries=(*ana.run(1), *ben.run(1))))
    put(store, Batch(memories=((PEER, memory(base)), (OTHER, memory(base - 1)))))
    assert recalled(store) == {ana.log: Ranges.of((0, 1)), ben.log: NOTHING}
    assert store.recall(OTHER) is None  # Too long ago.
    put(store, Batch(entries=(*ana.run(1), *ben.run(1))))
    assert recalled(store) == {ana.log: Ranges.of((0, 1)), ben.log: NOTHING}


def test_a_memory_of_a_base_that_never_was_is_ignored_and_the_one_before_stands(store: Store) -> None:
    base = commit(store, Batch(entries=Author("ana").run(1)))
    put(store, Batch(memories=((PEER, memory(base)),)))
    put(store, Batch(memories=((PEER, memory(base + 1)),)))
    assert store.recall(PEER) == memory(base)


def test_a_memory_larger_than_the_bound_is_ignored(store: Store) -> None:
    count = VIEWS_BYTES_MAX // 20
    views = {LogId(number.to_bytes(16), 1): Ranges.of((0, 1)) for number in range(count)}
    put(store, Batch(memories=((PEER, memory(0, views)),)))
    assert len(recalled(store)) == count
    views[LogId(bytes(16), 2)] = Ranges.of(*((seq, seq + 1) for seq in range(0, 99, 2)))
    put(store, Batch(memories=((OTHER, memory(0, views)),)))
    assert store.recall(OTHER) is None


def test_of_too_many_peers_the_least_recently_written_is_forgotten(store: Store) -> None:
    devices = [number.to_bytes(16) for number in range(PEERS_REMEMBERED_MAX + 1)]
    put(store, Batch(memories=tuple((device, memory(0)) for device in devices[:-1])))
    put(store, Batch(memories=((devices[0], memory(0)),)))
    put(store, Batch(memories=((devices[-1], memory(0)),)))
    assert [device for device in devices if store.recall(device) is None] == devices[1:2]


def test_a_memory_does_not_outlive_a_failed_commit(store: Store) -> None:
    put(store, Batch(memories=((PEER, memory(0)),)))
    with pytest.raises(KeyError):
        store.commit(Batch(memories=((PEER, memory(0, digest=b"x" * 32)),), drafts=(draft(),)), keys={}, now_ms=NOW_MS)
    assert store.recall(PEER) == memory(0)
