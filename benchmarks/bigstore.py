"""The store of a device that has carried for a large organisation for months: what its size may not cost.

No network and no keys: entries are made unsigned, because a store checks no signature.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from beepmesh.messages.entry import NO_PREV, Entry, restore
from beepmesh.messages.lifetimes import LANE_MESSAGES, ROUTINE, TTL_DEFAULT
from beepmesh.store.contract import Batch, Store
from beepmesh.store.sqlite import open_store
from benchmarks.bars import BIG_STORE
from benchmarks.figures import Line
from sync.logs import LogId
from sync.memory import Memory
from sync.ranges import Ranges

KEY: Final = bytes(32)
PEER: Final = b"peer".ljust(16)
NOW_MS: Final = 1_800_000_000_000
DAY_MS: Final = 86_400_000
BODY_BYTES: Final = 100
LOGS_A_BATCH: Final = 20
RUN_ENTRIES: Final = 8
CHANGED: Final = 100
REPEATS: Final = 5

T = TypeVar("T")


def big_store(entries: int, logs: int) -> Iterator[Line]:
    with tempfile.TemporaryDirectory(prefix="bm-", dir="/var/tmp") as folder:
        since = time.process_time()
        store = open_store(Path(folder), KEY)
        lengths = _fill(store, entries, logs)
        filled_s = time.process_time() - since
        store.expire(NOW_MS)  # Empties the write-ahead log: what is opened next is the file.
        size = store.size()
        store.close()

        since = time.process_time()
        store = open_store(Path(folder), KEY)
        store.changed_since(0)
        open_s = time.process_time() - since
        figures: dict[str, float | int | str] = {
            "entries": size.entries,
            "logs": logs,
            "file_bytes_per_entry": size.file_bytes / size.entries,
            "written_per_cpu_s": size.entries / filled_s,
            "open_s": open_s,
        }
        figures |= _asked(store, lengths)
        figures |= _cleared(store)
        store.close()
    yield Line("store", f"{entries} entries", figures, BIG_STORE)


def _asked(store: Store, lengths: dict[LogId, int]) -> dict[str, float]:
    """What a meeting asks for, with a peer that was met a hundred logs ago and differed in a hundred more."""
    before = store.changed_since(0)
    base = before.version
    views = {LogId(b"%015d" % number + b"x", 1): Ranges.of((0, 7)) for number in range(CHANGED)}
    memory = Memory(1, base, base, base, 0, bytes(32), views)
    write_ms, _ = _timed(lambda: _put(store, Batch(memories=((PEER, memory),))))
    full = {log: Ranges.of((0, length)) for log, length in lengths.items()}
    write_full_ms, _ = _timed(
        lambda: _put(store, Batch(memories=((b"full".ljust(16), Memory(1, 0, 0, base, 0, b"", full)),)))
    )
    grown = dict(list(lengths.items())[:CHANGED])
    chance = random.Random(7)
    more = [entry for log, top in grown.items() for entry in _entries(log, top, 1, chance, before.states[log].tip)]
    assert not store.commit(Batch(entries=tuple(more)), keys={}, now_ms=NOW_MS).forks
    some = list(lengths)[:: max(1, len(lengths) // 200)]
    every_ms, every = _timed(lambda: store.changed_since(0))
    last_ms, last = _timed(lambda: store.changed_since(base))
    recall_ms, recalled = _timed(lambda: store.recall(PEER))
    run_ms, _ = _timed(lambda: [store.read(log, 0, RUN_ENTRIES, bytes_max=1 << 20, with_prev=True) for log in some])
    assert len(every.states) == len(lengths)
    assert len(last.states) == CHANGED
    assert recalled is not None
    assert len(recalled.views) == 2 * CHANGED
    return {
        "changed_since_0_ms": every_ms,
        "hello_ms": last_ms + recall_ms,
        "memory_write_ms": write_ms,
        "memory_write_all_logs_ms": write_full_ms,
        "run_read_ms": run_ms / len(some),
    }


def _cleared(store: Store) -> dict[str, float]:
    short = LogId(b"short".ljust(16), LANE_MESSAGES)
    _put(store, Batch(entries=tuple(_entries(short, 0, CHANGED, random.Random(8), ttl=0))))
    expire_ms, erased = _timed(lambda: store.expire(NOW_MS + DAY_MS), 1)
    assert erased == CHANGED
    store.limit(store.size().used_bytes - CHANGED * 300)
    evict_ms, done = _timed(lambda: store.commit(Batch(), keys={}, now_ms=NOW_MS), 1)
    assert done.evicted
    return {"expire_100_ms": expire_ms, "evict_100_ms": evict_ms * 100 / done.evicted}


def _fill(store: Store, entries: int, logs: int) -> dict[LogId, int]:
    """Logs of unequal lengths."""
    chance = random.Random(11)
    mean = entries // logs
    lengths: dict[LogId, int] = {}
    for at in range(0, logs, LOGS_A_BATCH):
        some = [
            LogId(sha256(b"%d" % number).digest()[:16], LANE_MESSAGES)
            for number in range(at, min(at + LOGS_A_BATCH, logs))
        ]
        batch: list[Entry] = []
        for log in some:
            lengths[log] = chance.randrange(mean // 2, mean * 3 // 2)
            batch += _entries(log, 0, lengths[log], chance)
        _put(store, Batch(entries=tuple(batch)))
    return lengths


def _entries(
    log: LogId, start: int, count: int, chance: random.Random, prev: bytes = NO_PREV, ttl: int = TTL_DEFAULT
) -> Iterator[Entry]:
    for seq in range(start, start + count):
        body = chance.randbytes(BODY_BYTES)
        head = (log.feed, log.lane, seq, prev, NOW_MS, ttl, ROUTINE, b"hint", BODY_BYTES, sha256(body).digest())
        entry = restore(head, bytes(64), body)
        prev = entry.id
        yield entry


def _put(store: Store, batch: Batch) -> None:
    store.commit(batch, keys={}, now_ms=NOW_MS)


def _timed(act: Callable[[], T], repeats: int = REPEATS) -> tuple[float, T]:
    """CPU milliseconds, of the quickest time, and what came of the last one."""
    took: list[tuple[float, T]] = []
    for _ in range(repeats):
        since = time.process_time()
        result = act()
        took.append((time.process_time() - since, result))
    return min(seconds for seconds, _ in took) * 1_000, took[-1][1]
