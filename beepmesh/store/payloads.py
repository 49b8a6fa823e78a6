"""What was opened or written here, in SQLite: facts, payloads, whom own ones are meant for, to whom they are sealed.

This is truth: the keys that opened it may be gone. What people see of it is told by views.py.
Every function runs inside the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from beepmesh.messages.entry import Entry
from beepmesh.messages.inbox import Payload
from beepmesh.messages.lifetimes import expires_ms
from beepmesh.store.connection import EVERY_ROW, Connection
from beepmesh.store.contract import Fact, Place, Recipient, Sealing, Unsealed
from beepmesh.store.database import Columns

Numbered = tuple[int, Payload]

_PAYLOAD = (
    "SELECT number, message_id, feed, lane, seq, sender, sender_person, received_ms, time_ms, sealed, mine, ttl,"
    " priority FROM payloads"
)
PayloadRow = tuple[int, bytes, bytes | None, int, int, bytes, bytes, int, int, bytes, int, int, int]


def learn(connection: Connection, columns: Columns, facts: Iterable[Fact]) -> None:
    connection.executemany(
        "INSERT INTO facts (feed, seq, kind, sealed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(fact.feed, fact.seq, fact.kind, columns.seal("facts", _fact_row(fact), fact.data)) for fact in facts],
    )


def facts(connection: Connection, columns: Columns, skip: int) -> list[Fact]:
    found: list[Fact] = []
    query = "SELECT feed, seq, kind, sealed FROM facts ORDER BY number LIMIT ? OFFSET ?"
    for feed, seq, kind, sealed in connection.execute(query, (EVERY_ROW, skip)):
        fact = Fact(feed, seq, kind, b"")
        found.append(Fact(feed, seq, kind, columns.open("facts", _fact_row(fact), sealed)))
    return found


def keep(connection: Connection, columns: Columns, payloads: Iterable[Payload]) -> list[Numbered]:
    """Add those that are new, and number them."""
    kept: list[Numbered] = []
    for payload in payloads:
        assert len(payload.message_id) == 16
        assert payload.mine or payload.feed is not None, "an incoming payload came in an entry"
        made = connection.execute(
            "INSERT INTO payloads (message_id, feed, lane, seq, sender, sender_person, received_ms, time_ms, mine, ttl,"
            " priority, expires_ms, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING number",
            (
                payload.message_id,
                payload.feed,
                payload.lane,
                payload.seq,
                payload.sender,
                payload.sender_person,
                payload.received_ms,
                payload.time_ms,
                payload.mine,
                payload.ttl,
                payload.priority,
                expires_ms(payload.time_ms, payload.ttl),
                columns.seal("payloads", _payload_row(payload), payload.content),
            ),
        ).fetchone()
        if made is not None:
            kept.append((made[0], payload))
    return kept


def number_intake(connection: Connection, came: Iterable[int]) -> None:
    """Give these payloads, each the first of its message, the next intake numbers, in their order."""
    (last,) = connection.execute("SELECT intake FROM this").fetchone()
    numbers = [(intake, number) for intake, number in enumerate(came, last + 1)]
    connection.executemany("UPDATE payloads SET intake = ? WHERE number = ?", numbers)
    connection.execute("UPDATE this SET intake = intake + ?", (len(numbers),))


def every_payload(connection: Connection, columns: Columns) -> Iterator[Numbered]:
    for row in connection.execute(f"{_PAYLOAD} ORDER BY number"):
        yield _payload(columns, row)


def payload_numbered(connection: Connection, columns: Columns, number: int) -> Payload:
    row: PayloadRow = connection.execute(f"{_PAYLOAD} WHERE number = ?", (number,)).fetchone()
    return _payload(columns, row)[1]


def own_payload(connection: Connection, columns: Columns, message_id: bytes) -> Payload | None:
    row: PayloadRow | None = connection.execute(f"{_PAYLOAD} WHERE mine AND message_id = ?", (message_id,)).fetchone()
    return None if row is None else _payload(columns, row)[1]


def address(connection: Connection, recipients: Iterable[Recipient]) -> list[Recipient]:
    """Add those that are new, and return them."""
    query = "INSERT INTO outbox VALUES (?, ?) ON CONFLICT DO NOTHING"
    return [row for row in recipients if connection.execute(query, (row.message_id, row.person)).rowcount]


def persons_of(connection: Connection, message_id: bytes) -> list[bytes]:
    found = connection.execute("SELECT person FROM outbox WHERE message_id = ? ORDER BY person", (message_id,))
    return [person for (person,) in found]


def note_sealed(connection: Connection, sealings: Iterable[Sealing], entry: Entry) -> None:
    connection.executemany(
        "INSERT INTO sealings VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(row.message_id, row.person, row.device, entry.feed, entry.lane, entry.seq) for row in sealings],
    )


def sealings_of(connection: Connection, message_id: bytes) -> dict[bytes, list[Place]]:
    """The entries that carry an own message, for each person."""
    places: dict[bytes, list[Place]] = {}
    query = "SELECT DISTINCT person, feed, lane, seq FROM sealings WHERE message_id = ?"
    for person, feed, lane, seq in connection.execute(query, (message_id,)):
        places.setdefault(person, []).append(Place(feed, lane, seq))
    return places


def deliveries_of(connection: Connection, message_id: bytes) -> dict[bytes, int]:
    """When the first token came for an own message, for each person of whom one has come."""
    found = connection.execute(
        "SELECT person, min(at_ms) FROM sealings JOIN delivered USING (feed, lane, seq) WHERE message_id = ?"
        " GROUP BY person",
        (message_id,),
    )
    return dict(found.fetchall())


def unsealed(connection: Connection, now_ms: int, persons: Collection[bytes] | None) -> list[Unsealed]:
    found: dict[tuple[bytes, bytes], tuple[set[bytes], int, int]] = {}
    rows = connection.execute(
        "SELECT payloads.message_id, outbox.person, sealings.device, payloads.priority, payloads.expires_ms"
        " FROM payloads JOIN outbox USING (message_id)"
        " LEFT JOIN sealings ON sealings.message_id = outbox.message_id AND sealings.person = outbox.person"
        " WHERE payloads.mine AND payloads.expires_ms > ? ORDER BY payloads.number, outbox.person",
        (now_ms,),
    )
    for message_id, person, device, priority, ends_ms in rows:
        if persons is None or person in persons:
            devices, _, _ = found.setdefault((message_id, person), (set(), priority, ends_ms))
            if device is not None:
                devices.add(device)
    return [
        Unsealed(message_id, person, frozenset(devices), priority, ends_ms)
        for (message_id, person), (devices, priority, ends_ms) in found.items()
    ]


def _payload(columns: Columns, row: PayloadRow) -> Numbered:
    number, message_id, feed, lane, seq, sender, person, received_ms, time_ms, sealed, mine, ttl, priority = row
    payload = Payload(message_id, feed, lane, seq, sender, person, received_ms, time_ms, b"", bool(mine), ttl, priority)
    content = columns.open("payloads", _payload_row(payload), sealed)
    return number, Payload(
        message_id, feed, lane, seq, sender, person, received_ms, time_ms, content, bool(mine), ttl, priority
    )


def _payload_row(payload: Payload) -> bytes:
    if payload.mine:
        return payload.message_id
    assert payload.feed is not None
    return b"%b|%d|%d" % (payload.feed, payload.lane, payload.seq)


def _fact_row(fact: Fact) -> bytes:
    return b"%b|%d|%d" % (fact.feed, fact.seq, fact.kind)
