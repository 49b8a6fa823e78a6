"""Moving a store from its file into an empty database, row by row: every number and every sealed byte stays."""

from __future__ import annotations

from typing import Final

from beepmesh.store.connection import Connection
from beepmesh.store.database import SqliteDatabase

_ROWS: Final = 1_000  # Sent at a time: some 2 MB.
_NUMBERED: Final = {"logs": "id"} | dict.fromkeys(("memories", "forks", "pending", "facts", "payloads"), "number")
"""Tables whose rows the database numbers, and by which column."""


def copy(source: SqliteDatabase, target: Connection) -> None:
    """Everything, while nobody else writes into either. The target's transaction is its caller's."""
    with source.writing() as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        for (table,) in tables:
            _copy_table(connection, target, table)
    for table, column in _NUMBERED.items():
        highest = f"SELECT coalesce(max({column}), 0) + 1 FROM {table}"  # noqa: S608 - our own names
        target.execute(f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), ({highest}), FALSE)")


def _copy_table(source: Connection, target: Connection, table: str) -> None:
    found = source.execute(f"SELECT name FROM pragma_table_info('{table}') ORDER BY cid").fetchall()  # noqa: S608
    columns = [name for (name,) in found]
    truths = target.execute(
        "SELECT column_name::text FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = ? AND data_type = 'boolean'",
        (table,),
    )
    are_truths = {columns.index(name) for (name,) in truths}
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    target.execute(f"DELETE FROM {table}")  # noqa: S608 - a new store has one row, its epoch
    rows: list[list[object]] = []
    for row in source.execute(f"SELECT {names} FROM {table}"):  # noqa: S608
        rows.append([bool(value) if at in are_truths else value for at, value in enumerate(row)])
        if len(rows) == _ROWS:
            target.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608
            rows = []
    target.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608
