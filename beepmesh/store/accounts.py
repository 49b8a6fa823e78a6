"""The sums of accounting.py in a database. Every function runs inside the transaction of the connection it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from beepmesh.store.accounting import Usage
from beepmesh.store.connection import Connection


def write(connection: Connection, sums: Iterable[Usage]) -> None:
    connection.executemany(
        "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (feed, month, came) DO UPDATE SET"
        " messages = usage.messages + excluded.messages, entries = usage.entries + excluded.entries,"
        " bytes = usage.bytes + excluded.bytes, byte_hours = usage.byte_hours + excluded.byte_hours",
        list(sums),
    )


def read(connection: Connection, month: int) -> list[Usage]:
    query = "SELECT * FROM usage WHERE (month = ? AND came = 0) OR came = ? ORDER BY feed, month, came"
    return [Usage(*row) for row in connection.execute(query, (month, month))]


def note_relayed(connection: Connection, month: int, sent: Mapping[bytes, int]) -> None:
    connection.executemany(
        "INSERT INTO relayed VALUES (?, ?, ?) ON CONFLICT (device, month) DO UPDATE SET"
        " bytes = relayed.bytes + excluded.bytes",
        [(device, month, count) for device, count in sent.items()],
    )


def relayed(connection: Connection, month: int) -> dict[bytes, int]:
    return dict(connection.execute("SELECT device, bytes FROM relayed WHERE month = ? ORDER BY device", (month,)))
