"""Entries and logs in SQLite: what is held, what is settled, what changed, what is erased.

A log's settled spans are one blob in its row, so that 10,000 states are read in one pass without touching an entry.
Every function runs inside the transaction of the connection it is given.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from beepmesh.messages.entry import Entry, restore
from beepmesh.messages.lifetimes import ttl_seconds
from beepmesh.store.contract import PERISHABLE_FACT, Fork, Place, ReadResult, packed_bytes
from sync import cbor
from sync.logs import LogId, LogState
from sync.ranges import Ranges

_FORK_BYTES_MAX = 1_024  # Two headers with 24 hints each and their signatures are 600 bytes.

HeadRow = tuple[int, bytes, int, int, int, bytes, int, bytes, bytes, bytes | None, int]
_HEAD = "SELECT key, prev, time_ms, ttl, priority, hints, body_bytes, body_hash, signature, body, proved FROM entries"


@dataclass(slots=True)
class _LogRow:
    """A log while a transaction changes it."""

    id: int
    settled: Ranges
    tip: bytes
    frozen: bool
    entries: int
    body_bytes: int
    changed: bool = False

    @property
    def state(self) -> LogState:
        return LogState(self.settled, self.tip)


@dataclass(slots=True)
class LogWriter:
    """The logs that one transaction touches. `finish` writes their rows and says how they are now."""

    connection: sqlite3.Connection
    now_ms: int
    forks: list[Fork] = field(default_factory=list)
    """Found among what was offered."""
    _rows: dict[LogId, _LogRow] = field(default_factory=dict)

    def add(self, entries: Sequence[Entry], proved: Collection[bytes]) -> None:
        by_log: dict[LogId, list[Entry]] = {}
        for entry in entries:
            by_log.setdefault(LogId(entry.feed, entry.lane), []).append(entry)
        for log, its_entries in by_log.items():
            self._insert(self._row(log), self._fresh(log, its_entries), proved)

    def prove(self, places: Iterable[Place], mended: Iterable[Entry]) -> None:
        """The signatures at these places are good, and of those entries that are held these are the good ones."""
        self.connection.executemany(
            "UPDATE entries SET proved = 1 WHERE key = ?",
            [(self._row(LogId(place.feed, place.lane)).id << 32 | place.seq,) for place in places],
        )
        for entry in mended:
            row = self._row(entry.log)
            held = self._held(entry.log, row, entry.seq)
            if held is not None and held.id == entry.id:
                self.connection.execute(
                    "UPDATE entries SET signature = ?, proved = 1 WHERE key = ? AND NOT proved",
                    (entry.signature, row.id << 32 | entry.seq),
                )

    def settle(self, log: LogId, given_up: Ranges) -> None:
        row = self._row(log)
        if given_up.minus(row.settled):
            self._settle(row, given_up, None)

    def freeze(self, fork: Fork) -> None:
        first = fork.first
        fresh = self.connection.execute(
            "INSERT OR IGNORE INTO forks (feed, lane, seq, proof) VALUES (?, ?, ?, ?)",
            (first.feed, first.lane, first.seq, _encode_fork(fork)),
        )
        if fresh.rowcount:
            row = self._row(first.log)
            row.frozen = row.changed = True

    def last(self, log: LogId) -> tuple[int, Entry | None]:
        """The next seq of an own log, and its newest entry."""
        row = self._row(log)
        top = row.settled.top
        return top, _entry_of(self.connection, log, row.id, top - 1) if top else None

    def finish(self) -> dict[LogId, LogState]:
        changed = {log: row for log, row in self._rows.items() if row.changed}
        if changed:
            number = newest_change(self.connection) + 1
            self.connection.executemany(
                "UPDATE logs SET settled = ?, tip = ?, frozen = ?, changed = ?, entries = ?, body_bytes = ?"
                " WHERE id = ?",
                [
                    (encode_spans(row.settled), row.tip, row.frozen, number, row.entries, row.body_bytes, row.id)
                    for row in changed.values()
                ],
            )
        return {log: row.state for log, row in changed.items() if row.settled}

    def _row(self, log: LogId) -> _LogRow:
        row = self._rows.get(log)
        if row is None:
            query = "SELECT id, settled, tip, frozen, entries, body_bytes FROM logs WHERE feed = ? AND lane = ?"
            found = self.connection.execute(query, log).fetchone()
            if found is None:
                made = self.connection.execute("INSERT INTO logs VALUES (NULL, ?, ?, x'', x'', 0, 0, 0, 0)", log)
                assert made.lastrowid is not None
                row = _LogRow(made.lastrowid, Ranges(), b"", False, 0, 0)
            else:
                number, settled, tip, frozen, count, body_bytes = found
                row = _LogRow(number, decode_spans(settled), tip, bool(frozen), count, body_bytes)
            self._rows[log] = row
        return row

    def _fresh(self, log: LogId, entries: list[Entry]) -> dict[int, Entry]:
        """Those that are not held, by seq. What is beyond everything settled cannot be held: no query for it."""
        row = self._row(log)
        fresh: dict[int, Entry] = {}
        for entry in entries:
            held = fresh.get(entry.seq) or self._held(log, row, entry.seq)
            if held is None:
                fresh[entry.seq] = entry
            elif held.id != entry.id:
                self._found(Fork(held, entry))
        for start, stop in _spans(fresh):
            if not (self._fits(log, row, fresh[start], start - 1) and self._fits(log, row, fresh[stop - 1], stop)):
                for seq in range(start, stop):
                    del fresh[seq]
        return fresh

    def _held(self, log: LogId, row: _LogRow, seq: int) -> Entry | None:
        return _entry_of(self.connection, log, row.id, seq) if seq in row.settled else None

    def _fits(self, log: LogId, row: _LogRow, entry: Entry, beside: int) -> bool:
        """Whether the hash link between an offered entry and the held one beside it is whole, if there is one."""
        if beside == row.settled.top - 1 and row.tip == entry.prev:
            return True  # The common case, without a query.
        held = self._held(log, row, beside)
        if held is None or (held.prev == entry.id if beside > entry.seq else entry.prev == held.id):
            return True
        self._found(Fork(held, entry))
        return False

    def _found(self, fork: Fork) -> None:
        self.forks.append(fork)
        self.freeze(fork)

    def _insert(self, row: _LogRow, fresh: dict[int, Entry], proved: Collection[bytes]) -> None:
        if not fresh:
            return
        base = row.id << 32
        self.connection.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (base | seq, *entry[3:11], self.now_ms + ttl_seconds(entry.ttl) * 1_000, entry.id in proved, entry.body)
                for seq, entry in fresh.items()
            ],
        )
        row.entries += len(fresh)
        row.body_bytes += sum(len(entry.body) for entry in fresh.values() if entry.body is not None)
        newest = fresh[max(fresh)]
        self._settle(row, Ranges.of(*_spans(fresh)), newest)

    def _settle(self, row: _LogRow, more: Ranges, newest: Entry | None) -> None:
        """`newest` is the last entry of `more` that is held here."""
        before = row.settled.top
        row.settled = row.settled.union(more)
        row.changed = True
        if newest is not None and newest.seq == row.settled.top - 1:
            row.tip = newest.id
        elif row.settled.top > before:
            row.tip = b""


def states(connection: sqlite3.Connection, changed_after: int = 0) -> dict[LogId, LogState]:
    found = connection.execute(
        "SELECT feed, lane, settled, tip FROM logs WHERE changed > ? AND settled != x''", (changed_after,)
    )
    return {LogId(feed, lane): LogState(decode_spans(settled), tip) for feed, lane, settled, tip in found}


def newest_change(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT coalesce(max(changed), 0) FROM logs").fetchone()
    assert isinstance(number, int)
    return number


def frozen(connection: sqlite3.Connection) -> set[LogId]:
    return {LogId(feed, lane) for feed, lane in connection.execute("SELECT feed, lane FROM logs WHERE frozen")}


def forks(connection: sqlite3.Connection) -> list[Fork]:
    return [_decode_fork(proof) for (proof,) in connection.execute("SELECT proof FROM forks ORDER BY number")]


def entry_at(connection: sqlite3.Connection, log: LogId, seq: int) -> Entry | None:
    row: tuple[int] | None = connection.execute("SELECT id FROM logs WHERE feed = ? AND lane = ?", log).fetchone()
    return None if row is None else _entry_of(connection, log, row[0], seq)


def read(
    connection: sqlite3.Connection, log: LogId, start: int, stop: int, bytes_max: int, *, with_prev: bool
) -> ReadResult:
    query = "SELECT id, settled, entries FROM logs WHERE feed = ? AND lane = ?"
    row: tuple[int, bytes, int] | None = connection.execute(query, log).fetchone()
    if row is None or start >= stop:
        return ReadResult(None, (), Ranges())
    number, spans, held = row
    first, last = number << 32 | start, number << 32 | min(stop, 2**32) - 1
    entries: list[Entry] = []
    proved: list[bytes] = []
    size = 0
    for found in connection.execute(f"{_HEAD} WHERE key BETWEEN ? AND ? ORDER BY key", (first, last)):
        entry = _entry(log, found)
        size += packed_bytes(entry)
        if entry.seq != start + len(entries) or (entries and size > bytes_max):
            break
        entries.append(entry)
        if found[-1]:
            proved.append(entry.id)
    settled = decode_spans(spans)
    gone = Ranges()
    if settled.count != held:
        keys = connection.execute("SELECT key FROM entries WHERE key BETWEEN ? AND ?", (first, last))
        gone = settled.intersect(Ranges.of((start, stop))).minus(
            Ranges.of(*_spans(key & 0xFFFFFFFF for (key,) in keys))
        )
    return ReadResult(entries[0].prev if entries and with_prev else None, tuple(entries), gone, frozenset(proved))


def expire(connection: sqlite3.Connection, now_ms: int) -> int:
    """Erase what has outlived its time. Expired certificates and their like are looked at each time and stay."""
    found: list[tuple[int, int]] = connection.execute(
        "SELECT key, body_bytes FROM entries WHERE body IS NOT NULL AND expires_ms <= ? AND NOT EXISTS ("
        " SELECT 1 FROM logs JOIN facts ON facts.feed = logs.feed AND facts.seq = entries.key & 0xffffffff"
        " WHERE logs.id = entries.key >> 32 AND logs.lane = 0 AND facts.kind != ?)",
        (now_ms, PERISHABLE_FACT),
    ).fetchall()
    connection.executemany("UPDATE entries SET body = NULL WHERE key = ?", [(key,) for key, _ in found])
    freed: dict[int, int] = {}
    for key, body_bytes in found:
        freed[key >> 32] = freed.get(key >> 32, 0) + body_bytes
    connection.executemany(
        "UPDATE logs SET body_bytes = body_bytes - ? WHERE id = ?", [(size, number) for number, size in freed.items()]
    )
    return len(found)


def size(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many entries are held, and the bytes of the bodies that are still here."""
    row: tuple[int, int] = connection.execute(
        "SELECT coalesce(sum(entries), 0), coalesce(sum(body_bytes), 0) FROM logs"
    ).fetchone()
    return row


def encode_spans(ranges: Ranges) -> bytes:
    flat = [edge for span in ranges.spans for edge in span]
    return struct.pack(f">{len(flat)}Q", *flat)


def decode_spans(data: bytes) -> Ranges:
    flat = struct.unpack(f">{len(data) // 8}Q", data)
    return Ranges(tuple(zip(flat[::2], flat[1::2], strict=True)))


def _spans(seqs: Iterable[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if spans and spans[-1][1] == seq:
            spans[-1] = spans[-1][0], seq + 1
        else:
            spans.append((seq, seq + 1))
    return spans


def _entry_of(connection: sqlite3.Connection, log: LogId, number: int, seq: int) -> Entry | None:
    row: HeadRow | None = connection.execute(f"{_HEAD} WHERE key = ?", (number << 32 | seq,)).fetchone()
    return None if row is None else _entry(log, row)


def _entry(log: LogId, row: HeadRow) -> Entry:
    key, prev, time_ms, ttl, priority, hints, body_bytes, body_hash, signature, body, _ = row
    head = (log.feed, log.lane, key & 0xFFFFFFFF, prev, time_ms, ttl, priority, hints, body_bytes, body_hash)
    return restore(head, signature, body)


def _encode_fork(fork: Fork) -> bytes:
    return cbor.encode([list(entry[:11]) for entry in (fork.first, fork.second)])


def _decode_fork(proof: bytes) -> Fork:
    entries: list[Entry] = []
    decoded = cbor.decode(proof, bytes_max=_FORK_BYTES_MAX)
    assert isinstance(decoded, list)
    for fields in decoded:
        feed, lane, seq, prev, time_ms, ttl, priority, hints, body_bytes, body_hash, signature = fields
        head = (feed, lane, seq, prev, time_ms, ttl, priority, hints, body_bytes, body_hash)
        entries.append(restore(head, signature, None))
    return Fork(entries[0], entries[1])
