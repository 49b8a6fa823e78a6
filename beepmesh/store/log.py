"""Entries and logs in SQLite: what is held, what is settled, what changed.

A log's settled spans are one blob in its row, so that 10,000 states are read in one pass without touching an entry.
Every function runs inside the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from beepmesh.crypto.seal import CROWD_END, crowd_of_body
from beepmesh.messages.entry import Entry, restore
from beepmesh.messages.lifetimes import BULK, LANE_FILES, LANE_LATER
from beepmesh.messages.token import Token, token_log
from beepmesh.policy import ends_ms, keep_rank
from beepmesh.store import holding, memories
from beepmesh.store import tokens as deliveries
from beepmesh.store.connection import Connection
from beepmesh.store.contract import PACKED_BYTES_MIN, Changes, Fork, Place, ReadResult, packed_bytes
from beepmesh.store.spans import decode_spans, encode_spans
from sync import cbor
from sync.logs import LogId, LogState
from sync.ranges import Ranges

_FORK_BYTES_MAX = 1_024  # Two headers with 24 hints each and their signatures are 600 bytes.

EntryRow = tuple[int, bytes, int, int, int, bytes, int, bytes, bytes, bytes | None, int]
_ENTRY = "SELECT key, prev, time_ms, ttl, priority, hints, body_bytes, body_hash, signature, body, proved FROM entries"


@dataclass(slots=True)
class _LogRow:
    """A log while a transaction changes it."""

    id: int
    settled: Ranges
    tip: bytes
    frozen: bool
    entries: int
    body_bytes: int
    since: int = 0
    """The number of the commit that changed it last."""
    before: bytes = b""
    """The spans it had then."""
    changed: bool = False

    @property
    def state(self) -> LogState:
        return LogState(self.settled, self.tip)


@dataclass(slots=True)
class LogWriter:
    """The logs that one transaction touches. `finish` writes their rows and says how they are now."""

    connection: Connection
    now_ms: int
    own: Collection[bytes]
    """The feeds that we write."""
    forks: list[Fork] = field(default_factory=list)
    """Found among what was offered."""
    special: list[Place] = field(default_factory=list)
    """Of the entries that came, those whose rank is not told by themselves alone."""
    purged: list[holding.Went] = field(default_factory=list)
    """The entries that went because their tokens came; their logs are to be told."""
    delivered: list[Place] = field(default_factory=list)
    """The own entries whose tokens came."""
    accepted: list[Entry] = field(default_factory=list)
    """What was not settled before: themselves, or as their tokens tell them."""
    _rows: dict[LogId, _LogRow] = field(default_factory=dict)
    _holding_ms: int | None = None

    def add(self, entries: Sequence[Entry], proved: Collection[bytes]) -> None:
        by_log: dict[LogId, list[Entry]] = {}
        for entry in entries:
            by_log.setdefault(LogId(entry.feed, entry.lane), []).append(entry)
        for log, its_entries in by_log.items():
            self._insert(log, self._fresh(log, its_entries), proved)

    def deliver(self, tokens: Iterable[Token]) -> None:
        """Settle their places in both logs. Where a token contradicts what is held, that is all it does."""
        for token in tokens:
            log, its_log = token.log, token_log(token.log)
            row, its_row = self._row(log), self._row(its_log)
            if token.seq in its_row.settled:
                continue
            self._settle(its_row, Ranges.of((token.seq, token.seq + 1)), None)
            its_row.tip = deliveries.tip_of(its_log, its_row.settled.top)
            if self._spend(log, row, token.entry):
                its_row.entries += 1
                deliveries.put(self.connection, its_row.id, token, self._holding(), self.now_ms)
                if log.feed in self.own:
                    deliveries.note_delivered(self.connection, token, self.now_ms)
                    self.delivered.append(Place(*log, token.seq))

    def prove(self, places: Iterable[Place]) -> None:
        self.connection.executemany(
            "UPDATE entries SET proved = TRUE WHERE key = (SELECT id FROM logs WHERE feed = ? AND lane = ?) << 32 | ?",
            [(place.feed, place.lane, place.seq) for place in places],
        )

    def mend(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            held = entry_at(self.connection, entry.log, entry.seq)
            if held is not None and held.id == entry.id:
                self.connection.execute(
                    "UPDATE entries SET signature = ?, proved = TRUE WHERE NOT proved"
                    " AND key = (SELECT id FROM logs WHERE feed = ? AND lane = ?) << 32 | ?",
                    (entry.signature, *entry.log, entry.seq),
                )

    def settle(self, log: LogId, given_up: Ranges) -> None:
        row = self._row(log)
        if given_up.minus(row.settled):
            self._settle(row, given_up, None)

    def freeze(self, fork: Fork) -> None:
        first = fork.first
        fresh = self.connection.execute(
            "INSERT INTO forks (feed, lane, seq, proof) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (first.feed, first.lane, first.seq, _encode_fork(fork)),
        )
        if fresh.rowcount:
            row = self._row(first.log)
            row.frozen = row.changed = True

    def last(self, log: LogId) -> tuple[int, Entry | None]:
        """The next seq of an own log, and its newest entry."""
        row = self._row(log)
        top = row.settled.top
        return top, self._held(log, row, top - 1) if top else None

    def finish(self) -> Changes:
        changed = {log: row for log, row in self._rows.items() if row.changed}
        number = memories.newest_change(self.connection)
        if changed:
            number += 1
            memories.keep_pasts(self.connection, number, [(row.id, row.since, row.before) for row in changed.values()])
            self.connection.executemany(
                "UPDATE logs SET settled = ?, tip = ?, frozen = ?, changed = ?, entries = ?, body_bytes = ?"
                " WHERE id = ?",
                [
                    (encode_spans(row.settled), row.tip, row.frozen, number, row.entries, row.body_bytes, row.id)
                    for row in changed.values()
                ],
            )
        states = {log: row.state for log, row in changed.items() if row.settled}
        return Changes(number, states, dict.fromkeys(states, number))

    def _row(self, log: LogId) -> _LogRow:
        row = self._rows.get(log)
        if row is None:
            query = (
                "SELECT id, settled, tip, frozen, entries, body_bytes, changed FROM logs WHERE feed = ? AND lane = ?"
            )
            found = self.connection.execute(query, log).fetchone()
            if found is None:
                made = self.connection.execute(
                    "INSERT INTO logs (feed, lane, settled, tip, frozen, changed, entries, body_bytes)"
                    " VALUES (?, ?, ?, ?, FALSE, 0, 0, 0) RETURNING id",
                    (*log, b"", b""),
                )
                row = _LogRow(made.fetchone()[0], Ranges(), b"", False, 0, 0)
            else:
                number, settled, tip, frozen, count, body_bytes, since = found
                row = _LogRow(number, decode_spans(settled), tip, bool(frozen), count, body_bytes, since, settled)
            self._rows[log] = row
        return row

    def _fresh(self, log: LogId, entries: list[Entry]) -> dict[int, Entry]:
        """Those that are not held, by seq. What is beyond everything settled cannot be held: no query for it."""
        row = self._row(log)
        fresh: dict[int, Entry] = {}
        for entry in entries:
            held = fresh.get(entry.seq) or self._known(log, row, entry.seq)
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

    def _known(self, log: LogId, row: _LogRow, seq: int) -> Entry | None:
        """What stands there, though only its token may be held."""
        if seq not in row.settled:
            return None
        return self._held(log, row, seq) or deliveries.entry_told(self.connection, log, seq)

    def _holding(self) -> int:
        if self._holding_ms is None:
            self._holding_ms = holding.clock_at(self.connection, self.now_ms).holding_ms
        return self._holding_ms

    def _fits(self, log: LogId, row: _LogRow, entry: Entry, beside: int) -> bool:
        """Whether the hash link between an offered entry and the held one beside it is whole, if there is one."""
        if beside == row.settled.top - 1 and row.tip == entry.prev:
            return True  # The common case, without a query.
        held = self._known(log, row, beside)
        if held is None or (held.prev == entry.id if beside > entry.seq else entry.prev == held.id):
            return True
        self._found(Fork(held, entry))
        return False

    def _found(self, fork: Fork) -> None:
        self.forks.append(fork)
        self.freeze(fork)

    def _spend(self, log: LogId, row: _LogRow, entry: Entry) -> bool:
        """Settle an entry that was delivered and let go of others' copy, unless it contradicts something: then False.

        Of an own one the header at least is held, for the next own entry is linked to the newest.
        """
        held, own = self._held(log, row, entry.seq), log.feed in self.own
        if held is None:
            if not (self._fits(log, row, entry, entry.seq - 1) and self._fits(log, row, entry, entry.seq + 1)):
                return False
            if own:
                self._insert(log, {entry.seq: entry}, (entry.id,))
            else:
                self.accepted += [] if entry.seq in row.settled else [entry]
                self._settle(row, Ranges.of((entry.seq, entry.seq + 1)), entry)
        elif held.id != entry.id:
            self._found(Fork(held, entry))
            return False
        elif not own:
            key = row.id << 32 | entry.seq
            self.connection.execute("DELETE FROM entries WHERE key = ?", (key,))
            self.purged.append((key, len(held.body or b"")))
        return True

    def _insert(self, log: LogId, fresh: dict[int, Entry], proved: Collection[bytes]) -> None:
        if not fresh:
            return
        row = self._row(log)
        base = row.id << 32
        now_ms, holding_ms, own = self.now_ms, self._holding(), log.feed in self.own
        rows: list[tuple[object, ...]] = []
        for seq, entry in fresh.items():
            expires_ms = ends_ms(holding_ms, now_ms, entry.time_ms, entry.ttl)
            rank = keep_rank(
                lane=log.lane,
                priority=entry.priority,
                own=own,
                carried=False,
                expired=entry.body is None,
                needed=False,
            )
            rows.append((base | seq, *entry[3:11], expires_ms, rank, entry.id in proved, entry.body))
            if own and (entry.priority == BULK or log.lane in (LANE_LATER, LANE_FILES)):
                self.special.append(Place(*log, seq))
        self.connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.special += holding.known_before(self.connection, log, min(fresh), max(fresh))
        row.entries += len(fresh)
        row.body_bytes += sum(len(entry.body) for entry in fresh.values() if entry.body is not None)
        newest = fresh[max(fresh)]
        self.accepted += [entry for seq, entry in fresh.items() if seq not in row.settled]
        self._settle(row, Ranges.of(*_spans(fresh)), newest)

    def _settle(self, row: _LogRow, more: Ranges, newest: Entry | None) -> None:
        """`newest` is the last entry of `more`, where it is known."""
        before = row.settled.top
        row.settled = row.settled.union(more)
        row.changed = True
        if newest is not None and newest.seq == row.settled.top - 1:
            row.tip = newest.id
        elif row.settled.top > before:
            row.tip = b""


def changes(connection: Connection, after: int) -> Changes:
    """The logs with a greater number. Much of starting up is this, so many logs of one length share one Ranges."""
    states: dict[LogId, LogState] = {}
    numbers: dict[LogId, int] = {}
    known: dict[bytes, Ranges] = {}
    found = connection.execute(
        "SELECT feed, lane, settled, tip, changed FROM logs WHERE changed > ? AND length(settled) > 0 ORDER BY changed",
        (after,),
    )
    for feed, lane, spans, tip, number in found:
        settled = known.get(spans)
        if settled is None:
            settled = known[spans] = decode_spans(spans)
        log = LogId(feed, lane)
        states[log] = LogState(settled, tip)
        numbers[log] = number
    return Changes(memories.newest_change(connection), states, numbers)


def frozen(connection: Connection) -> set[LogId]:
    return {LogId(feed, lane) for feed, lane in connection.execute("SELECT feed, lane FROM logs WHERE frozen")}


def forks(connection: Connection) -> list[Fork]:
    return [_decode_fork(proof) for (proof,) in connection.execute("SELECT proof FROM forks ORDER BY number")]


def entry_at(connection: Connection, log: LogId, seq: int) -> Entry | None:
    row: tuple[int] | None = connection.execute("SELECT id FROM logs WHERE feed = ? AND lane = ?", log).fetchone()
    return None if row is None else _entry_of(connection, log, row[0], seq)


def read(connection: Connection, log: LogId, start: int, stop: int, bytes_max: int, *, with_prev: bool) -> ReadResult:
    query = "SELECT id, settled, entries FROM logs WHERE feed = ? AND lane = ?"
    row: tuple[int, bytes, int] | None = connection.execute(query, log).fetchone()
    if row is None or start >= stop:
        return ReadResult(None, (), Ranges())
    number, spans, held = row
    first, last = number << 32 | start, number << 32 | min(stop, 2**32) - 1
    most = bytes_max // PACKED_BYTES_MIN + 1
    told = deliveries.seqs_told(connection, log, start, stop)
    entries: list[Entry] = []
    proved: list[bytes] = []
    size = 0
    for found in connection.execute(f"{_ENTRY} WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?", (first, last, most)):
        entry = _entry(log, found)
        size += packed_bytes(entry)
        if entry.seq != start + len(entries) or entry.seq in told or (entries and size > bytes_max):
            break
        entries.append(entry)
        if found[-1]:
            proved.append(entry.id)
    tokens = () if entries else deliveries.read(connection, log, first, last, bytes_max)
    settled, asked = decode_spans(spans), Ranges.of((start, stop))
    gone = told.intersect(asked)
    if settled.count != held:
        keys = connection.execute(
            "SELECT key FROM entries WHERE key BETWEEN ? AND ?"
            " UNION ALL SELECT key FROM tokens WHERE key BETWEEN ? AND ?",
            (first, last, first, last),
        )
        here = Ranges.of(*_spans(key & 0xFFFFFFFF for (key,) in keys))
        gone = gone.union(settled.intersect(asked).minus(here))
    prev = entries[0].prev if entries else bytes(32) if tokens else None
    above = deliveries.entry_told(connection, log, start + len(entries)) if start + len(entries) in told else None
    return ReadResult(
        prev if with_prev else None,
        tuple(entries),
        gone,
        frozenset(proved),
        tokens,
        None if above is None else above.prev,
    )


def crowds(connection: Connection, log: LogId, start: int, stop: int) -> dict[int, int]:
    """Reads the beginning of each body only."""
    found = connection.execute(
        "SELECT entries.key & 4294967295, substr(body, 1, ?) FROM logs JOIN entries"
        " ON entries.key BETWEEN logs.id << 32 | ? AND logs.id << 32 | ?"
        " WHERE feed = ? AND lane = ? AND body IS NOT NULL",
        (CROWD_END, start, stop - 1, *log),
    )
    return {seq: int.from_bytes(crowd) for seq, body in found if (crowd := crowd_of_body(body))}


def size(connection: Connection) -> tuple[int, int]:
    """How many entries are held, and the bytes of the bodies that are still here."""
    query = (
        "SELECT CAST(coalesce(sum(entries), 0) AS BIGINT) - (SELECT count(*) FROM tokens),"
        " CAST(coalesce(sum(body_bytes), 0) AS BIGINT) FROM logs"
    )
    row: tuple[int, int] = connection.execute(query).fetchone()
    return row


def _spans(seqs: Iterable[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if spans and spans[-1][1] == seq:
            spans[-1] = spans[-1][0], seq + 1
        else:
            spans.append((seq, seq + 1))
    return spans


def _entry_of(connection: Connection, log: LogId, number: int, seq: int) -> Entry | None:
    row: EntryRow | None = connection.execute(f"{_ENTRY} WHERE key = ?", (number << 32 | seq,)).fetchone()
    return None if row is None else _entry(log, row)


def _entry(log: LogId, row: EntryRow) -> Entry:
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
