"""Delivery tokens in SQLite. They stand in a log of their own, which is a log like any other but for what it holds.

A place of which the token is known is settled in both logs, and the token is all that is left of the entry. So it is
kept as headers are, also when the entry would have ended: whoever has neither would lack that place at every meeting
for ever. When the disk is full it goes, and then it stays known of an own entry that it was delivered.
Every function runs inside the transaction of the connection it is given.
"""

from __future__ import annotations

from beepmesh.crypto.primitives import sha256
from beepmesh.messages.entry import Entry
from beepmesh.messages.token import TOKEN_PACKED_BYTES, Token, pack_token, token_log, unpack_token
from beepmesh.policy import ends_ms
from beepmesh.store.connection import Connection
from sync.logs import LogId
from sync.ranges import Ranges

DELETE = "DELETE FROM tokens WHERE key = ?"

Went = tuple[int, int]  # key, bytes of its body: a token has none


def tip_of(log: LogId, top: int) -> bytes:
    """The tip of a log of tokens in which everything settled is below top: equal sets must have equal chains."""
    return sha256(b"beepmesh/token-tip/1" + log.feed + top.to_bytes(5))


def put(connection: Connection, number: int, token: Token, holding_ms: int, now_ms: int) -> None:
    """`number` is the id of the log of tokens."""
    expires_ms = ends_ms(holding_ms, now_ms, token.time_ms, token.ttl)
    connection.execute("INSERT INTO tokens VALUES (?, ?, ?)", (number << 32 | token.seq, expires_ms, pack_token(token)))


def note_delivered(connection: Connection, token: Token, now_ms: int) -> None:
    """A token of an own entry has come."""
    connection.execute(
        "INSERT INTO delivered VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (*token.log, token.seq, now_ms)
    )


def entry_told(connection: Connection, log: LogId, seq: int) -> Entry | None:
    """The entry at that place of an entries' log, without its body, where its token is held."""
    its_tokens = token_log(log)
    row: tuple[bytes] | None = connection.execute(
        "SELECT packed FROM logs JOIN tokens ON tokens.key = logs.id << 32 | ? WHERE feed = ? AND lane = ?",
        (seq, *its_tokens),
    ).fetchone()
    return None if row is None else unpack_token(row[0], its_tokens, seq).entry


def seqs_told(connection: Connection, log: LogId, first: int, last: int) -> Ranges:
    """Of an entries' log the places, first to last, whose tokens are held."""
    found = connection.execute(
        "SELECT tokens.key & 4294967295 FROM logs JOIN tokens"
        " ON tokens.key BETWEEN logs.id << 32 | ? AND logs.id << 32 | ? WHERE feed = ? AND lane = ?",
        (first, last, *token_log(log)),
    )
    return Ranges.of(*((seq, seq + 1) for (seq,) in found))


def read(connection: Connection, log: LogId, first: int, last: int, bytes_max: int) -> tuple[Token, ...]:
    """Consecutive tokens of a log of tokens from key first on, up to key last, in bytes_max but one at least."""
    found = connection.execute(
        "SELECT key, packed FROM tokens WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
        (first, last, max(bytes_max // TOKEN_PACKED_BYTES, 1)),
    )
    return tuple(
        unpack_token(packed, log, key & 0xFFFFFFFF) for at, (key, packed) in enumerate(found, first) if key == at
    )


def soonest(connection: Connection, upto_ms: int, count: int) -> list[Went]:
    """Those that end first, and by then."""
    query = "SELECT key, 0 FROM tokens WHERE expires_ms <= ? ORDER BY expires_ms, key LIMIT ?"
    found: list[Went] = connection.execute(query, (upto_ms, count)).fetchall()
    return found
