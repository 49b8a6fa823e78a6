"""What the store's modules ask of a database: one dialect of SQL, `?` for values, whole numbers, bytes and text.

Two databases speak it: `database.py` (SQLite, through sqlite3 as it is) and `postgres.py`. What the dialects do not
share is asked of `Database`. Common to both and used here: ON CONFLICT with the columns it is about, RETURNING, TRUE
and FALSE for columns that are nothing else, CAST(... AS BIGINT) around sums, decimal numbers only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

EVERY_ROW: Final = 2**60
"""A limit that is none: one dialect wants a LIMIT before OFFSET, and the other no negative one."""


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it has written, where it reads none."""
        ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A transaction's."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Rows: ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object: ...


class Database(Protocol):
    """Where a store rests. Every method may raise StoreProblem."""

    @property
    def writable(self) -> bool: ...

    def close(self) -> None: ...

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction, alone: all of it is durable at the end, or nothing of it happened."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Sees one moment."""
        ...

    def forget(self) -> None:
        """Let nothing that was deleted stay behind, as far as the database can."""
        ...

    def file_bytes(self) -> int: ...

    def used_bytes(self, connection: Connection, /) -> int:
        """What a limit is about, as this transaction sees it."""
        ...
