"""Whom we met and let in, in SQLite: neighbours and what they hold, invitations, issued devices; and small things.

Every function runs inside the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from beepmesh.store import holding
from beepmesh.store.connection import Connection
from beepmesh.store.contract import Count, Invitation, Issued, Peer, Place
from beepmesh.store.database import Columns
from beepmesh.store.spans import decode_spans, encode_spans
from sync import cbor
from sync.logs import LogId
from sync.ranges import Ranges

_SEALED_BYTES_MAX = 4_096  # Addresses and ids; nothing here comes from outside unbounded.


def note_pending(connection: Connection, added: Iterable[Place], removed: Iterable[Place]) -> None:
    connection.executemany(
        "INSERT INTO pending (feed, lane, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(place.feed, place.lane, place.seq) for place in added],
    )
    connection.executemany(
        "DELETE FROM pending WHERE feed = ? AND lane = ? AND seq = ?",
        [(place.feed, place.lane, place.seq) for place in removed],
    )


def unopened(connection: Connection) -> list[Place]:
    found = connection.execute(
        "SELECT pending.feed, pending.lane, pending.seq FROM pending"
        " JOIN logs ON logs.feed = pending.feed AND logs.lane = pending.lane"
        " JOIN entries ON entries.key = logs.id << 32 | pending.seq"
        " WHERE entries.body IS NOT NULL ORDER BY pending.number"
    )
    return [Place(feed, lane, seq) for feed, lane, seq in found]


def note_settled(
    connection: Connection, device: bytes, log: LogId, settled: Ranges, own: Collection[bytes]
) -> list[Place]:
    """What a device says it has; the held entries to which that makes a difference."""
    if log.feed not in own:
        before = settled
    else:
        query = "SELECT settled FROM peer_settled WHERE device = ? AND feed = ? AND lane = ?"
        row: tuple[bytes] | None = connection.execute(query, (device, *log)).fetchone()
        before = Ranges() if row is None else decode_spans(row[0])
    connection.execute(
        "INSERT INTO peer_settled VALUES (?, ?, ?, ?)"
        " ON CONFLICT (device, feed, lane) DO UPDATE SET settled = excluded.settled",
        (device, *log, encode_spans(settled)),
    )
    return holding.bulk_among(connection, log, settled.minus(before).union(before.minus(settled)))


def peer_settled(connection: Connection, device: bytes) -> dict[LogId, Ranges]:
    found = connection.execute("SELECT feed, lane, settled FROM peer_settled WHERE device = ?", (device,))
    return {LogId(feed, lane): decode_spans(spans) for feed, lane, spans in found}


def put_peer(connection: Connection, columns: Columns, peer: Peer) -> None:
    sealed = columns.seal("peers", peer.device, cbor.encode([peer.transport, peer.address]))
    connection.execute(
        "INSERT INTO peers VALUES (?, ?, ?)"
        " ON CONFLICT (device) DO UPDATE SET last_seen_ms = excluded.last_seen_ms, sealed = excluded.sealed",
        (peer.device, peer.last_seen_ms, sealed),
    )


def peers(connection: Connection, columns: Columns) -> list[Peer]:
    found: list[Peer] = []
    query = "SELECT device, last_seen_ms, sealed FROM peers ORDER BY last_seen_ms DESC, device"
    for device, last_seen_ms, sealed in connection.execute(query):
        transport, address = _fields(columns.open("peers", device, sealed))
        assert isinstance(transport, str)
        assert isinstance(address, str)
        found.append(Peer(device, last_seen_ms, transport, address))
    return found


def put_invitation(connection: Connection, columns: Columns, invitation: Invitation) -> None:
    sealed = columns.seal("invitations", invitation.id, invitation.data)
    connection.execute(
        "INSERT INTO invitations VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (invitation.id, invitation.expires_ms, invitation.burnt_ms, sealed),
    )


def invitations(connection: Connection, columns: Columns) -> list[Invitation]:
    query = "SELECT id, sealed, expires_ms, burnt_ms FROM invitations ORDER BY expires_ms, id"
    return [
        Invitation(number, columns.open("invitations", number, sealed), expires_ms, burnt_ms)
        for number, sealed, expires_ms, burnt_ms in connection.execute(query)
    ]


def burn(connection: Connection, invitation_id: bytes, now_ms: int) -> bool:
    query = "UPDATE invitations SET burnt_ms = ? WHERE id = ? AND burnt_ms IS NULL"
    return connection.execute(query, (now_ms, invitation_id)).rowcount == 1


def put_issued(connection: Connection, columns: Columns, issued: Issued) -> None:
    (number,) = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM issued").fetchone()
    plain = cbor.encode([issued.device, issued.feed, issued.serial, issued.at_ms])
    connection.execute("INSERT INTO issued VALUES (?, ?)", (number, columns.seal("issued", b"%d" % number, plain)))


def issued(connection: Connection, columns: Columns) -> list[Issued]:
    found: list[Issued] = []
    for number, sealed in connection.execute("SELECT number, sealed FROM issued ORDER BY number"):
        device, feed, serial, at_ms = _fields(columns.open("issued", b"%d" % number, sealed))
        assert isinstance(device, bytes)
        assert isinstance(feed, bytes)
        assert isinstance(serial, bytes)
        assert isinstance(at_ms, int)
        found.append(Issued(device, feed, serial, at_ms))
    return found


def count(connection: Connection, more: Mapping[str, int], now_ms: int) -> None:
    connection.executemany(
        "INSERT INTO counts VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET count = counts.count + excluded.count, last_ms = excluded.last_ms",
        [(name, added, now_ms) for name, added in more.items() if added > 0],
    )


def counts(connection: Connection) -> dict[str, Count]:
    found = connection.execute("SELECT name, count, last_ms FROM counts ORDER BY name")
    return {name: Count(number, last_ms) for name, number, last_ms in found}


def get(connection: Connection, columns: Columns, name: str) -> bytes | None:
    row: tuple[bytes] | None = connection.execute("SELECT sealed FROM blobs WHERE name = ?", (name,)).fetchone()
    return None if row is None else columns.open("blobs", name.encode(), row[0])


def put(connection: Connection, columns: Columns, name: str, value: bytes) -> None:
    sealed = columns.seal("blobs", name.encode(), value)
    connection.execute(
        "INSERT INTO blobs VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed", (name, sealed)
    )


def _fields(plain: bytes) -> list[object]:
    fields = cbor.decode(plain, bytes_max=_SEALED_BYTES_MAX)
    assert isinstance(fields, list)
    return fields
