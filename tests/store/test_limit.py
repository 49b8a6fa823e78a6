"""A disk that is never full: 25 times more is offered than may be kept, and nothing that must not go is lost."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

from beepmesh.crypto.primitives import sha256
from beepmesh.messages.entry import NO_PREV, Entry, restore
from beepmesh.messages.lifetimes import BULK, LANE_MESSAGES, LANE_URGENT, ROUTINE, SOS, TTL_DEFAULT, URGENT
from beepmesh.policy import OTHERS_BULK, OTHERS_ROUTINE, OTHERS_URGENT
from beepmesh.store.contract import Batch, Place
from beepmesh.store.sqlite import FILE_NAME, SqliteStore, open_store
from beepmesh.trust.facts import DEVICE_CERTIFICATE, Fact
from sync.ranges import Ranges
from tests.store.writing import DAY_MS, KEYS, NOW_MS, Author, days_pass, draft, put

CAP = 4_000_000
OFFERED = 100_000_000
BODY_BYTES = 1_500
KEY = bytes(32)


def line(number: int, lane: int, priority: int, seqs: range, chance: random.Random) -> Iterator[Entry]:
    """Unsigned entries of one feed: a store checks no signature."""
    prev = NO_PREV
    for seq in seqs:
        body = chance.randbytes(BODY_BYTES)
        feed = sha256(b"%d" % number)[:16]
        head = (feed, lane, seq, prev, NOW_MS, TTL_DEFAULT, priority, b"hint", len(body), sha256(body))
        entry = restore(head, bytes(64), body)
        prev = entry.id
        yield entry


def ranks_held(store: SqliteStore) -> dict[int, int]:
    with store._database.reading() as connection:
        return dict(connection.execute("SELECT rank, count(*) FROM entries GROUP BY rank").fetchall())


def test_a_store_offered_far_more_than_its_limit_keeps_the_file_small_and_what_matters(tmp_path: Path) -> None:
    chance = random.Random(9)
    store = open_store(tmp_path, KEY)
    store.limit(CAP)
    sos, certified = Author("sos", lane=0, priority=SOS), Author("certified", lane=0, ttl=7)
    pending = Author("pending", lane=0, priority=URGENT)
    kept = [*sos.run(20, bytes(1_000)), *certified.run(20, bytes(1_000)), *pending.run(5, bytes(1_000))]
    facts = tuple(Fact(certified.log.feed, seq, DEVICE_CERTIFICATE, b"who") for seq in range(20))
    places = tuple(Place(entry.feed, entry.lane, entry.seq) for entry in pending.entries)
    written = store.commit(
        Batch(entries=tuple(kept), facts=facts, pending_add=places, drafts=(draft(bytes(1_000)),) * 100),
        keys=KEYS,
        now_ms=NOW_MS,
    ).written
    count = OFFERED // BODY_BYTES
    kinds = [(LANE_MESSAGES, BULK), (LANE_MESSAGES, ROUTINE), (LANE_URGENT, URGENT)]
    lines = [line(number, *kinds[number % 3], range(count // 30), chance) for number in range(30)]
    evicted = largest = 0
    while batch := tuple(entry for some in lines for entry in itertools.islice(some, 4)):
        evicted += store.commit(Batch(entries=batch), keys=KEYS, now_ms=NOW_MS).evicted
        largest = max(largest, (tmp_path / FILE_NAME).stat().st_size)
    assert largest <= CAP * 1.1
    assert evicted > count * 9 // 10
    assert all(store.entry(entry.log, entry.seq) == entry for entry in (*kept, *written))
    held = ranks_held(store)
    assert OTHERS_BULK not in held
    assert OTHERS_ROUTINE not in held
    assert held[OTHERS_URGENT] * BODY_BYTES > CAP / 2
    assert {state.settled for state in store.states().values()} >= {Ranges.of((0, count // 30))}
    store.close()


def test_a_limit_that_is_lowered_is_reached_within_a_few_commits(tmp_path: Path) -> None:
    store = open_store(tmp_path, KEY)
    for number in range(20):
        put(store, Batch(entries=tuple(line(number, LANE_MESSAGES, ROUTINE, range(100), random.Random(number)))))
    store.limit(CAP // 4)
    done = store.commit(Batch(), keys=KEYS, now_ms=NOW_MS)
    size = store.size()
    assert size.used_bytes <= CAP // 4
    assert size.entries == 2_000 - done.evicted
    assert size.body_bytes == size.entries * BODY_BYTES
    assert size.used_bytes > CAP // 5  # Nor much more than was needed.
    store.close()


def test_what_was_given_up_is_in_no_file_any_more_after_the_next_look_at_what_has_expired(tmp_path: Path) -> None:
    ana = Author("ana")
    store = open_store(tmp_path, KEY)
    put(store, Batch(entries=ana.run(40, b"ciphertext that was given up" * 40)))
    store._database.forget()
    assert b"given up" in (tmp_path / FILE_NAME).read_bytes()
    store.limit(1)
    assert (
        store.commit(Batch(entries=Author("ben").run(9, b"given up at once" * 40)), keys={}, now_ms=NOW_MS).evicted
        == 49
    )
    store.expire(NOW_MS)
    assert not any(b"given up" in path.read_bytes() for path in tmp_path.iterdir())
    store.close()


def test_a_device_that_is_off_for_long_looks_at_nothing_twice(tmp_path: Path) -> None:
    """Expiry reads only what has expired: what stays for ever is in no range it asks for."""
    store = open_store(tmp_path, KEY)
    certified = Author("certified", lane=0, ttl=0)
    facts = tuple(Fact(certified.log.feed, seq, DEVICE_CERTIFICATE, b"who") for seq in range(50))
    put(store, Batch(entries=certified.run(50), facts=facts))
    assert days_pass(store, 30) == 0
    with store._database.reading() as connection:
        query = "SELECT count(*) FROM entries WHERE expires_ms <= ?"
        assert connection.execute(query, (2 * NOW_MS + 365 * DAY_MS,)).fetchone() == (0,)
    store.close()
