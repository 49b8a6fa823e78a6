"""Messages and receipts as SQLite tables: the fold of messages/inbox.py, kept up as payloads come.

A message row holds no text: it names the payload that gives it, which rests sealed. Three tables, all made again by
`rebuild` from payloads and outbox alone:

messages   one for each (id, author): number of its first payload, payload that wins, our highest receipt for it
receipts   what others said about messages: earliest for each (message, person, state)
marks      what we said about others': highest for each (message, author), though the message may not have come yet
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from beepmesh.messages.inbox import MessageRow, ReceiptRow, merge_message, rows_of
from beepmesh.store import payloads as truth
from beepmesh.store.connection import Connection
from beepmesh.store.contract import FIND_MAX, LedgerLine, Message, MessageQuery, Place, Recipient, Sealing
from beepmesh.store.database import Columns
from beepmesh.store.ledger import ledger_line
from beepmesh.store.spans import decode_spans

ViewRow = tuple[int, int, int, int, int, int]  # number, payload, received_ms, mine, state, intake

_VIEW = (
    "SELECT number, payload, received_ms, mine, state,"
    " (SELECT intake FROM payloads WHERE payloads.number = messages.number) FROM messages"
)
_ID_HEX = 32
_ID_PREFIX = re.compile(r"[0-9a-fA-F]{0,32}", re.ASCII)


def fold(
    connection: Connection, columns: Columns, fresh: Iterable[truth.Numbered], addressed: Iterable[Recipient]
) -> list[int]:
    """Take in new payloads and new outbox rows; both are in their tables already. Returns the numbers of the payloads
    that brought a message of somebody else's for the first time."""
    came: list[int] = []
    speaking: dict[bytes, None] = {}
    for number, payload in fresh:
        for row in rows_of(payload):
            if isinstance(row, MessageRow):
                if _fold_message(connection, columns, number, row) and not row.mine:
                    came.append(number)
            elif payload.mine:
                speaking[payload.message_id] = None
            else:
                _fold_receipt(connection, row)
    speaking.update((row.message_id, None) for row in addressed)
    for message_id in speaking:
        _mark(connection, columns, message_id)
    return came


def rebuild(connection: Connection, columns: Columns) -> None:
    for emptied in ("DELETE FROM messages", "DELETE FROM receipts", "DELETE FROM marks"):
        connection.execute(emptied)
    fold(connection, columns, list(truth.every_payload(connection, columns)), ())


def messages(connection: Connection, columns: Columns, query: MessageQuery) -> list[Message]:
    conditions = ["number > ?", "received_ms >= ?"]
    values: list[object] = [query.after, query.since_ms]
    if query.direction != "both":
        conditions.append("mine = ?")
        values.append(query.direction == "out")
    if query.unread:
        conditions.append("mine = 0 AND state < 2")
    if query.person is not None:
        conditions.append("person = ?")
        values.append(query.person)
    rows = connection.execute(
        f"{_VIEW} WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?", (*values, query.limit)
    )
    return [_message(connection, columns, row) for row in reversed(rows.fetchall())]


def find(connection: Connection, columns: Columns, prefix: bytes | str) -> list[Message]:
    if isinstance(prefix, bytes):
        least = most = prefix
    elif _ID_PREFIX.fullmatch(prefix):
        least, most = (bytes.fromhex(prefix.ljust(_ID_HEX, digit)) for digit in "0f")
    else:
        return []
    rows = connection.execute(
        f"{_VIEW} WHERE message_id BETWEEN ? AND ? ORDER BY mine DESC, number LIMIT ?", (least, most, FIND_MAX)
    )
    return [_message(connection, columns, row) for row in rows.fetchall()]


def unreceipted(connection: Connection, columns: Columns, limit: int) -> list[Message]:
    rows = connection.execute(f"{_VIEW} WHERE mine = 0 AND state < 2 AND state = 0 ORDER BY number LIMIT ?", (limit,))
    return [_message(connection, columns, row) for row in rows.fetchall()]


def ledger(connection: Connection, message_id: bytes, now_ms: int) -> list[LedgerLine]:
    own = connection.execute("SELECT expires_ms FROM payloads WHERE mine AND message_id = ?", (message_id,)).fetchone()
    if own is None:
        return []
    receipts: dict[bytes, list[ReceiptRow]] = {}
    query = "SELECT person, state, at_ms, received_ms, device FROM receipts WHERE message_id = ?"
    for person, state, at_ms, received_ms, device in connection.execute(query, (message_id,)):
        row = ReceiptRow(message_id, person, state, at_ms, received_ms, device, mine=False)
        receipts.setdefault(person, []).append(row)
    places = truth.sealings_of(connection, message_id)
    delivered = truth.deliveries_of(connection, message_id)
    logs = {(place.feed, place.lane) for its_places in places.values() for place in its_places}
    settled = {
        log: [
            (device, decode_spans(spans))
            for device, spans in connection.execute(
                "SELECT device, settled FROM peer_settled WHERE feed = ? AND lane = ?", log
            )
        ]
        for log in logs
    }
    lines: list[LedgerLine] = []
    for person in truth.persons_of(connection, message_id):
        its_places = places.get(person, [])
        carriers = {
            device for place in its_places for device, spans in settled[place.feed, place.lane] if place.seq in spans
        }
        lines.append(
            ledger_line(
                person,
                receipts.get(person, []),
                expired=own[0] <= now_ms,
                sealed=bool(its_places),
                carriers=len(carriers),
                delivered_ms=delivered.get(person),
            )
        )
    return lines


def delivered(connection: Connection, places: Iterable[Place]) -> tuple[Sealing, ...]:
    """Which own messages these entries carry, and to whom."""
    query = (
        "SELECT message_id, sealings.person, device FROM sealings JOIN messages USING (message_id)"
        " WHERE feed = ? AND lane = ? AND seq = ? AND mine = 1"
    )
    found = (connection.execute(query, (place.feed, place.lane, place.seq)) for place in places)
    sealings = [Sealing(*row) for rows in found for row in rows]
    return tuple(sorted(sealings, key=lambda each: (each.message_id, each.device)))


def _message(connection: Connection, columns: Columns, view: ViewRow) -> Message:
    number, payload, received_ms, mine, state, intake = view
    row = _row(connection, columns, payload)
    return Message(number, replace(row, received_ms=received_ms, mine=bool(mine)), 0 if mine else state, intake)


def _row(connection: Connection, columns: Columns, payload: int) -> MessageRow:
    (row,) = rows_of(truth.payload_numbered(connection, columns, payload))
    assert isinstance(row, MessageRow)
    return row


def _fold_message(connection: Connection, columns: Columns, number: int, row: MessageRow) -> bool:
    """Whether it is the first of its message."""
    view: ViewRow | None = connection.execute(f"{_VIEW} WHERE message_id = ? AND person = ?", row.key).fetchone()
    if view is None:
        connection.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?,"
            " coalesce((SELECT state FROM marks WHERE message_id = ? AND person = ?), 0))",
            (number, *row.key, number, row.received_ms, row.mine, *row.key),
        )
        return True
    first, winner, received_ms, mine, *_ = view
    before = replace(_row(connection, columns, winner), received_ms=received_ms, mine=bool(mine))
    merged = merge_message(before, row)
    content_won = replace(merged, received_ms=row.received_ms, mine=row.mine) == row
    connection.execute(
        "UPDATE messages SET payload = ?, received_ms = ?, mine = ? WHERE number = ?",
        (number if content_won else winner, merged.received_ms, merged.mine, first),
    )
    return False


def _fold_receipt(connection: Connection, row: ReceiptRow) -> None:
    connection.execute(
        "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (message_id, person, state) DO UPDATE SET"
        " at_ms = excluded.at_ms, received_ms = excluded.received_ms, device = excluded.device"
        " WHERE (excluded.at_ms, excluded.received_ms, excluded.device)"
        " < (receipts.at_ms, receipts.received_ms, receipts.device)",
        (*row.key, row.at_ms, row.received_ms, row.device),
    )


def _mark(connection: Connection, columns: Columns, message_id: bytes) -> None:
    """What our own receipts say about the messages of whoever they are meant for; nothing if it is another content."""
    payload = truth.own_payload(connection, columns, message_id)
    if payload is None:
        return
    persons = truth.persons_of(connection, message_id)
    for row in rows_of(payload):
        if isinstance(row, ReceiptRow):
            marks = [(row.message_id, person, row.state) for person in persons]
            connection.executemany(
                "INSERT INTO marks VALUES (?, ?, ?) ON CONFLICT (message_id, person)"
                " DO UPDATE SET state = excluded.state WHERE excluded.state > marks.state",
                marks,
            )
            connection.executemany(
                "UPDATE messages SET state = ? WHERE message_id = ? AND person = ? AND state < ?",
                [(state, subject, person, state) for subject, person, state in marks],
            )
