"""A node of the reconcile benchmark with its entries in the real store: SQLite in a folder.

The store verifies no signature, so the entries of these worlds bear one constant; all else is as authors write it.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from beepmesh.crypto.primitives import SigningKey
from beepmesh.messages.entry import FACE_BYTES, NO_PREV, Entry, hash_of, pack, rest_hash, restore, unpack_run
from beepmesh.store.contract import Batch, Store
from beepmesh.store.sqlite import open_store
from benchmarks.link_model import BLE, Talk, set_apart
from benchmarks.reconcile_cases import Pair, prepare
from benchmarks.reconcile_shelf import BODY_BYTES
from benchmarks.reconcile_world import Meeting, Place, World
from sync.events import ReadRun, RunRead, TakeRun
from sync.feeds import FeedList
from sync.frontier import Frontier
from sync.limits import READ_ENTRIES_MAX, RUN_ENTRIES_MAX
from sync.logs import LogId
from sync.memory import Memory
from sync.ranges import Ranges

TIME_MS: Final = 1_795_000_000_000
_KEYS: Final = {True: SigningKey(bytes(31) + b"c"), False: SigningKey(bytes(31) + b"f")}
_PEER: Final = bytes(16)
_SIGNATURE: Final = bytes(range(64))
_BODY: Final = random.Random(1).randbytes(BODY_BYTES)
_BODY_HASH: Final = hash_of(_BODY[:FACE_BYTES], rest_hash(_BODY))


def store_cpu_s(world: World, meeting: Meeting) -> float:
    """CPU seconds of both stores in one meeting over BLE of nodes that know each other: to recall the other, to read
    what is pushed, to write each run as it comes, to remember the other."""
    with disk_pair(world, meeting) as shelves:
        talk = Talk(shelves, BLE, b"on disk")
        talk.run()
    return sum(end.store_cpu.seconds for end in talk.ends)


@contextmanager
def disk_pair(world: World, meeting: Meeting) -> Iterator[Pair]:
    """Two nodes that know each other, as they are when the measured meeting begins."""
    histories, feeds = Histories(), world.feed_list()
    with tempfile.TemporaryDirectory(prefix="bm-") as name:
        folders = Path(name, "first"), Path(name, "second")
        folders[0].mkdir()
        _fill(folders[0], world.before(meeting), histories)
        shutil.copytree(*folders)
        with closing(open_store(folders[0], bytes(32))) as first, closing(open_store(folders[1], bytes(32))) as second:
            second.renew_epoch()
            shelves = DiskShelf(first, histories, feeds), DiskShelf(second, histories, feeds)
            prepare(shelves, meeting, known=True)
            yield shelves


def ingest_cpu_s(world: World) -> float:
    """CPU seconds of an entry that comes, from its run's packed bytes to the end of its commit, without its signature.

    They come as to a newcomer: log after log, in runs, and are committed as many at a time as a session reads at once.
    """
    histories = Histories()
    entries = [histories.entry(place) for place in sorted(world.before(world.meeting(0, "newest")))]
    entries.sort(key=lambda entry: (entry.lane, entry.feed))
    runs: list[list[Entry]] = []
    for entry in entries:
        if not runs or runs[-1][-1].log != entry.log or len(runs[-1]) == RUN_ENTRIES_MAX:
            runs.append([])
        runs[-1].append(entry)
    arriving = iter([(run[0], tuple(map(pack, run))) for run in runs])
    spent = 0.0
    with (
        tempfile.TemporaryDirectory(prefix="bm-") as name,
        closing(open_store(Path(name), bytes(32))) as store,
        set_apart(),
    ):
        while batch := list(islice(arriving, READ_ENTRIES_MAX // RUN_ENTRIES_MAX)):
            before = time.process_time()
            came: list[Entry] = []
            for first, packed in batch:
                came += unpack_run(packed, feed=first.feed, lane=first.lane, start=first.seq, prev=first.prev)
            store.commit(Batch(entries=tuple(came)), keys=_KEYS, now_ms=TIME_MS)
            spent += time.process_time() - before
    return spent / len(entries)


class Histories:
    """Every entry of a world, each linked to the one before it in its log."""

    def __init__(self) -> None:
        self._logs: dict[LogId, list[Entry]] = {}

    def entry(self, place: Place) -> Entry:
        log, seq = place
        entries = self._logs.setdefault(log, [])
        while len(entries) <= seq:
            prev = entries[-1].id if entries else NO_PREV
            at = len(entries)
            head = (log.feed, log.lane, at, prev, TIME_MS + at, 8, 2, b"hint", BODY_BYTES, _BODY_HASH)
            entries.append(restore(head, _SIGNATURE, _BODY))
        return entries[seq]


class DiskShelf:
    """One node. Knows one other."""

    def __init__(self, store: Store, histories: Histories, feeds: FeedList) -> None:
        self._store = store
        self._histories = histories
        changes = store.changed_since(0)
        states = ((log, state, changes.numbers[log]) for log, state in changes.states.items())
        self.frontier = Frontier(store.epoch(), feeds, states)

    def write(self, place: Place) -> None:
        self._commit((self._histories.entry(place),))

    def read(self, order: ReadRun) -> RunRead:
        log, start = order.log, order.start
        found = self._store.read(log, start, order.stop, bytes_max=order.bytes_max, with_prev=order.with_prev)
        return RunRead(log, start, found.prev, tuple(map(pack, found.entries)), found.gone)

    def commit(self, order: TakeRun) -> tuple[tuple[LogId, Ranges], ...]:
        log, start = order.log, order.start
        prev = order.prev or self.frontier.tip(log) or NO_PREV
        return self._commit(unpack_run(order.packed, feed=log.feed, lane=log.lane, start=start, prev=prev))

    def recall(self) -> Memory | None:
        return self._store.recall(_PEER)

    def keep(self, memory: Memory) -> None:
        self._store.commit(Batch(memories=((_PEER, memory),)), keys=_KEYS, now_ms=TIME_MS)

    def _commit(self, entries: Iterable[Entry]) -> tuple[tuple[LogId, Ranges], ...]:
        committed = self._store.commit(Batch(entries=tuple(entries)), keys=_KEYS, now_ms=TIME_MS)
        grown = self.frontier.change(committed.states, committed.version)
        self.frontier.upto = committed.version
        return tuple(grown)


def _fill(folder: Path, places: Iterable[Place], histories: Histories) -> None:
    left = iter(places)
    with closing(open_store(folder, bytes(32))) as store:
        while batch := tuple(histories.entry(place) for place in islice(left, 1_000)):
            store.commit(Batch(entries=batch), keys=_KEYS, now_ms=TIME_MS)
