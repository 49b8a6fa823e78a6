"""The store on the disk: `open_store(home, column_key)`. It joins log.py, payloads.py and views.py in transactions.

What it promises stands in contract.py; hub_store.py is the same on another database. `column_key` (32 B) comes from the
keystore; without it the file shows ids, times and sizes, but no name, no text and no address.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from beepmesh.crypto.primitives import Entropy, SigningKey, sha256
from beepmesh.messages.entry import Entry
from beepmesh.messages.inbox import Payload
from beepmesh.messages.lifetimes import LANE_URGENT
from beepmesh.store import accounts, acquaintances, holding, log, memories, payloads, views
from beepmesh.store.accounting import Usage, added_up
from beepmesh.store.connection import Connection, Database
from beepmesh.store.contract import (
    Batch,
    Changes,
    Committed,
    Count,
    Draft,
    Fact,
    Fork,
    Invitation,
    Issued,
    LedgerLine,
    Message,
    MessageQuery,
    Peer,
    Place,
    ReadResult,
    Size,
    StoreProblem,
    Unsealed,
    Worth,
    feeds_of,
)
from beepmesh.store.database import MEMORY, STATEMENTS, Columns, SqliteDatabase
from beepmesh.store.memories import draw_epoch
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.ranges import Ranges

FILE_NAME: Final = "store.db"


def open_store(home: Path, column_key: bytes, entropy: Entropy = os.urandom) -> SqliteStore:
    """The store in that folder, made if there is none. Raises StoreProblem, or HomeProblem for a newer format.

    A home that can only be read opens with `writable` False.
    """
    return _opened(home / FILE_NAME, column_key, entropy)


def memory_store(column_key: bytes, entropy: Entropy = os.urandom, *, statements: int = STATEMENTS) -> SqliteStore:
    """The same store without a disk. `statements`: so many are kept ready, which takes more memory than the data."""
    return _opened(MEMORY, column_key, entropy, statements)


class SqliteStore:
    def __init__(self, database: Database, columns: Columns, entropy: Entropy) -> None:
        self._database = database
        self._columns = columns
        self._entropy = entropy
        self._limits = holding.Limits()
        self._worth: Worth | None = None
        self._numbers_intake = self._keeps_accounts = False

    @property
    def database(self) -> Database:
        return self._database

    @property
    def writable(self) -> bool:
        return self._database.writable

    def close(self) -> None:
        self._database.close()

    # --- logs ---
    def commit(self, batch: Batch, *, keys: Mapping[bool, SigningKey], now_ms: int) -> Committed:
        own = feeds_of(keys)
        with self._database.writing() as connection:
            memories.write(connection, batch.memories)
            logs = log.LogWriter(connection, now_ms, own)
            logs.deliver(batch.tokens)
            logs.add(batch.entries, batch.proved)
            for log_id, given_up in batch.settled:
                logs.settle(log_id, given_up)
            written = tuple(_write(logs, draft, keys[draft.control], now_ms) for draft in batch.drafts)
            for fork in batch.forks:
                logs.freeze(fork)
            logs.prove(batch.prove)
            logs.mend(batch.mended)
            changes = logs.finish()
            if self._keeps_accounts and logs.accepted:
                accounts.write(connection, added_up(logs.accepted, now_ms))
            holding.lighten(connection, logs.purged, 1)
            self._remember(connection, batch, written)
            opened = [Place(*token.log, token.seq) for token in batch.tokens]
            acquaintances.note_pending(connection, batch.pending_add, (*batch.pending_remove, *opened))
            learned = [*logs.special, *batch.pending_add, *batch.pending_remove, *_places_of(batch, written)]
            for device, log_id, settled in batch.peer_settled:
                learned += acquaintances.note_settled(connection, device, log_id, settled, own)
            holding.rank_again(connection, dict.fromkeys(learned), own)
            evicted = holding.evict(connection, self._limits, own, self._worth, self._database.used_bytes)
            purged = len(logs.purged)
            acquaintances.count(connection, {**batch.counts, "evicted": evicted, "purged": purged}, now_ms)
            delivered = views.delivered(connection, logs.delivered)
            return Committed(written, changes.states, tuple(logs.forks), changes.version, evicted, purged, delivered)

    def _remember(self, connection: Connection, batch: Batch, written: tuple[Entry, ...]) -> None:
        payloads.learn(connection, self._columns, batch.facts)
        for draft, entry in zip(batch.drafts, written, strict=True):
            payloads.note_sealed(connection, draft.sealed_to, entry)
            if draft.statement is not None:
                fact = Fact(entry.feed, entry.seq, draft.statement.kind, draft.statement.data)
                payloads.learn(connection, self._columns, (fact,))
        fresh = payloads.keep(connection, self._columns, batch.payloads)
        addressed = payloads.address(connection, batch.outbox)
        came = views.fold(connection, self._columns, fresh, addressed)
        if self._numbers_intake and came:
            payloads.number_intake(connection, came)

    def states(self) -> dict[LogId, LogState]:
        return self.changed_since(0).states

    def frozen(self) -> set[LogId]:
        with self._database.reading() as connection:
            return log.frozen(connection)

    def forks(self) -> list[Fork]:
        with self._database.reading() as connection:
            return log.forks(connection)

    def changed_since(self, version: int) -> Changes:
        with self._database.reading() as connection:
            return log.changes(connection, version)

    def epoch(self) -> int:
        with self._database.reading() as connection:
            return _epoch(connection)

    def renew_epoch(self) -> int:
        with self._database.writing() as connection:
            epoch = draw_epoch(self._entropy, _epoch(connection))
            connection.execute("UPDATE this SET epoch = ?", (epoch,))
        return epoch

    def recall(self, device: bytes) -> Memory | None:
        with self._database.reading() as connection:
            return memories.recall(connection, device)

    def forget(self, device: bytes) -> None:
        with self._database.writing() as connection:
            memories.forget(connection, device)

    def limit(self, bytes_max: int | None, carried_max: int | None = None) -> None:
        self._limits = holding.Limits(bytes_max, carried_max)

    def appraise(self, worth: Worth) -> None:
        self._worth = worth

    def number_intake(self) -> None:
        self._numbers_intake = True

    def keep_accounts(self) -> None:
        self._keeps_accounts = True

    def usage(self, month: int) -> list[Usage]:
        with self._database.reading() as connection:
            return accounts.read(connection, month)

    def note_relayed(self, month: int, sent: Mapping[bytes, int]) -> None:
        with self._database.writing() as connection:
            accounts.note_relayed(connection, month, sent)

    def relayed(self, month: int) -> dict[bytes, int]:
        with self._database.reading() as connection:
            return accounts.relayed(connection, month)

    def read(self, log_id: LogId, start: int, stop: int, *, bytes_max: int, with_prev: bool) -> ReadResult:
        with self._database.reading() as connection:
            return log.read(connection, log_id, start, stop, bytes_max, with_prev=with_prev)

    def crowds(self, log_id: LogId, start: int, stop: int) -> dict[int, int]:
        with self._database.reading() as connection:
            return log.crowds(connection, log_id, start, stop)

    def entry(self, log_id: LogId, seq: int) -> Entry | None:
        with self._database.reading() as connection:
            return log.entry_at(connection, log_id, seq)

    def expire(self, now_ms: int) -> int:
        with self._database.writing() as connection:
            erased = holding.expire(connection, now_ms)
        with suppress(StoreProblem):  # They are erased; that the log is emptied may wait for the next time.
            self._database.forget()
        return erased

    # --- people's side ---
    def facts(self, skip: int = 0) -> list[Fact]:
        with self._database.reading() as connection:
            return payloads.facts(connection, self._columns, skip)

    def messages(self, query: MessageQuery) -> list[Message]:
        with self._database.reading() as connection:
            return views.messages(connection, self._columns, query)

    def find(self, prefix: bytes | str) -> list[Message]:
        with self._database.reading() as connection:
            return views.find(connection, self._columns, prefix)

    def own_payload(self, message_id: bytes) -> Payload | None:
        with self._database.reading() as connection:
            return payloads.own_payload(connection, self._columns, message_id)

    def ledger(self, message_id: bytes, now_ms: int) -> list[LedgerLine]:
        with self._database.reading() as connection:
            return views.ledger(connection, message_id, now_ms)

    def unsealed(self, now_ms: int, persons: Collection[bytes] | None = None) -> list[Unsealed]:
        with self._database.reading() as connection:
            return payloads.unsealed(connection, now_ms, persons)

    def unreceipted(self, limit: int = 1_000) -> list[Message]:
        with self._database.reading() as connection:
            return views.unreceipted(connection, self._columns, limit)

    def unopened(self) -> list[Place]:
        with self._database.reading() as connection:
            return acquaintances.unopened(connection)

    # --- neighbours, invitations, odds and ends ---
    def peer_settled(self, device: bytes) -> dict[LogId, Ranges]:
        with self._database.reading() as connection:
            return acquaintances.peer_settled(connection, device)

    def peers(self) -> list[Peer]:
        with self._database.reading() as connection:
            return acquaintances.peers(connection, self._columns)

    def put_peer(self, peer: Peer) -> None:
        with self._database.writing() as connection:
            acquaintances.put_peer(connection, self._columns, peer)

    def put_invitation(self, invitation: Invitation) -> None:
        with self._database.writing() as connection:
            acquaintances.put_invitation(connection, self._columns, invitation)

    def invitations(self) -> list[Invitation]:
        with self._database.reading() as connection:
            return acquaintances.invitations(connection, self._columns)

    def burn(self, invitation_id: bytes, now_ms: int) -> bool:
        with self._database.writing() as connection:
            return acquaintances.burn(connection, invitation_id, now_ms)

    def put_issued(self, issued: Issued) -> None:
        with self._database.writing() as connection:
            acquaintances.put_issued(connection, self._columns, issued)

    def issued(self) -> list[Issued]:
        with self._database.reading() as connection:
            return acquaintances.issued(connection, self._columns)

    def counts(self) -> dict[str, Count]:
        with self._database.reading() as connection:
            return acquaintances.counts(connection)

    def get(self, name: str) -> bytes | None:
        with self._database.reading() as connection:
            return acquaintances.get(connection, self._columns, name)

    def put(self, name: str, value: bytes) -> None:
        with self._database.writing() as connection:
            acquaintances.put(connection, self._columns, name, value)

    def size(self) -> Size:
        with self._database.reading() as connection:
            entries, body_bytes = log.size(connection)
            used = self._database.used_bytes(connection)
        return Size(entries, body_bytes, self._database.file_bytes(), used, self._limits.used)

    def carried_bytes(self, own: Collection[bytes]) -> int:
        """Of the bodies that are held of feeds which are not ours."""
        with self._database.reading() as connection:
            return holding.carried_bytes(connection, own)

    def rebuild_views(self) -> None:
        with self._database.writing() as connection:
            views.rebuild(connection, self._columns)


def _opened(path: Path, column_key: bytes, entropy: Entropy, statements: int = STATEMENTS) -> SqliteStore:
    database = SqliteDatabase(path, statements=statements)
    try:
        if database.writable:
            found(database, entropy)
        return SqliteStore(database, Columns(column_key, entropy), entropy)
    except BaseException:
        database.close()
        raise


def _write(logs: log.LogWriter, draft: Draft, key: SigningKey, now_ms: int) -> Entry:
    log_id = LogId(sha256(key.public)[:16], draft.lane)
    seq, last = logs.last(log_id)
    entry = draft.written(key, log_id, seq, last, now_ms)
    logs.add((entry,), (entry.id,))
    return entry


def _places_of(batch: Batch, written: tuple[Entry, ...]) -> list[Place]:
    """Where the facts stand that a batch brings."""
    places = [Place(fact.feed, LANE_URGENT, fact.seq) for fact in batch.facts]
    stated = zip(batch.drafts, written, strict=True)
    return places + [Place(entry.feed, LANE_URGENT, entry.seq) for draft, entry in stated if draft.statement]


def found(database: Database, entropy: Entropy) -> None:
    """Give a new store its epoch."""
    with database.reading() as connection:
        if connection.execute("SELECT 1 FROM this").fetchone():
            return
    with database.writing() as connection:
        connection.execute("INSERT INTO this (id, epoch) VALUES (1, ?) ON CONFLICT DO NOTHING", (draw_epoch(entropy),))


def _epoch(connection: Connection) -> int:
    (epoch,) = connection.execute("SELECT epoch FROM this").fetchone()
    assert isinstance(epoch, int)
    return epoch
