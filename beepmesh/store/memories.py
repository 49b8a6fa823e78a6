"""What is remembered of peers, in SQLite, and what our own logs had settled when it was remembered.

A memory (sync/memory.py) speaks of our change number `base`. For a log that has grown since, the past that was in
force at `base` is the one with since <= base < until; for one that has not, it is what the log has settled now.
So a memory of ten thousand logs costs nothing but the views in which the peer differs.
Every function runs inside the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from beepmesh.crypto.primitives import Entropy
from beepmesh.store.connection import EVERY_ROW, Connection
from beepmesh.store.contract import BASE_AGE_MAX, PEERS_REMEMBERED_MAX, VIEWS_BYTES_MAX
from beepmesh.store.spans import decode_spans, decode_views, encode_views
from sync.logs import LogId
from sync.memory import Memory

Past = tuple[int, int, bytes]  # id of the log, change number since which it had this settled, spans

_EPOCHS = 2**32
_UNNEEDED = "DELETE FROM pasts WHERE NOT EXISTS (SELECT 1 FROM memories WHERE base >= since AND base < until)"


def draw_epoch(entropy: Entropy, old: int | None = None) -> int:
    """32 bits; surely not the old ones."""
    drawn = int.from_bytes(entropy(8))
    return drawn % _EPOCHS if old is None else (old + 1 + drawn % (_EPOCHS - 1)) % _EPOCHS


def write(connection: Connection, memories: Collection[tuple[bytes, Memory]]) -> None:
    if not memories:  # So it is with most commits.
        return
    newest = newest_change(connection)
    for device, memory in memories:
        views = encode_views(memory.views)
        if not newest - BASE_AGE_MAX <= memory.base <= newest or len(views) > VIEWS_BYTES_MAX:
            continue
        replaced = _base(connection, device)
        connection.execute("DELETE FROM memories WHERE device = ?", (device,))  # It is to have the greatest number.
        connection.execute(
            "INSERT INTO memories (device, epoch, heard, told, base, known, digest, views)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (device, memory.epoch, memory.heard, memory.told, memory.base, memory.known, memory.digest, views),
        )
        _thin(connection, replaced, newest)
    query = "SELECT number, base FROM memories ORDER BY number DESC LIMIT ? OFFSET ?"
    oldest: list[tuple[int, int]] = connection.execute(query, (EVERY_ROW, PEERS_REMEMBERED_MAX)).fetchall()
    if oldest:
        connection.executemany("DELETE FROM memories WHERE number = ?", [(number,) for number, _ in oldest])
        _thin(connection, [base for _, base in oldest], newest)


def forget(connection: Connection, device: bytes) -> None:
    forgotten = _base(connection, device)
    connection.execute("DELETE FROM memories WHERE device = ?", (device,))
    _thin(connection, forgotten, newest_change(connection))


def recall(connection: Connection, device: bytes) -> Memory | None:
    query = "SELECT epoch, heard, told, base, known, digest, views FROM memories WHERE device = ?"
    row = connection.execute(query, (device,)).fetchone()
    if row is None:
        return None
    epoch, heard, told, base, known, digest, encoded = row
    views = decode_views(encoded)
    changed = connection.execute(
        "SELECT feed, lane, (SELECT settled FROM pasts WHERE log = logs.id AND until > ? ORDER BY until LIMIT 1)"
        " FROM logs WHERE changed > ? AND length(settled) > 0 ORDER BY changed",
        (base, base),
    )
    for feed, lane, settled in changed:
        log = LogId(feed, lane)
        if log not in views:
            views[log] = decode_spans(settled)
    return Memory(epoch, heard, told, base, known, digest, views)


def newest_change(connection: Connection) -> int:
    (number,) = connection.execute("SELECT coalesce(max(changed), 0) FROM logs").fetchone()
    assert isinstance(number, int)
    return number


def keep_pasts(connection: Connection, number: int, pasts: Iterable[Past]) -> None:
    """Commit `number` changed these logs. The pasts that have become old enough go, where no memory needs them."""
    connection.executemany(
        "INSERT INTO pasts VALUES (?, ?, ?, ?)", [(log, number, since, settled) for log, since, settled in pasts]
    )
    connection.execute(f"{_UNNEEDED} AND until = ?", (number - BASE_AGE_MAX,))


def _base(connection: Connection, device: bytes) -> list[int]:
    """Of what is remembered of it, if anything is."""
    return [base for (base,) in connection.execute("SELECT base FROM memories WHERE device = ?", (device,))]


def _thin(connection: Connection, bases: list[int], newest: int) -> None:
    """Let go of the pasts that were kept for these bases alone."""
    connection.executemany(
        f"{_UNNEEDED} AND until > ? AND until <= ? AND since <= ?",
        [(base, newest - BASE_AGE_MAX, base) for base in bases],
    )
