"""The store that several hub processes share: what `sqlite.py` joins, on a PostgreSQL database.

It is one device's, by its column key: whatever number of processes have a copy of that device's home, they write into
the same logs, and give intake numbers from the same count.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from beepmesh.crypto.primitives import Entropy, SigningKey
from beepmesh.errors import HomeProblem
from beepmesh.store import acquaintances
from beepmesh.store.contract import Batch, Committed, StoreProblem
from beepmesh.store.database import Columns, SqliteDatabase
from beepmesh.store.hearing import hearing
from beepmesh.store.moving import copy
from beepmesh.store.postgres import Address, PostgresDatabase
from beepmesh.store.sqlite import SqliteStore, found


class SharedStore(SqliteStore):
    """See above. Made by `open_shared_store`."""

    def __init__(self, database: PostgresDatabase, columns: Columns, entropy: Entropy, address: Address) -> None:
        super().__init__(database, columns, entropy)
        self._postgres = database
        self.address = address

    def commit(self, batch: Batch, *, keys: Mapping[bool, SigningKey], now_ms: int) -> Committed:
        """As promised; once more on another connection where the line broke and nothing was written."""
        try:
            return super().commit(batch, keys=keys, now_ms=now_ms)
        except StoreProblem as problem:
            if problem.reason != "unreachable" or not problem.is_undone:
                raise
        return super().commit(batch, keys=keys, now_ms=now_ms)

    def replace(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Put what `get` will give, if it gives `old` still: True for one of all processes that ask at once."""
        with self._database.writing() as connection:
            if acquaintances.get(connection, self._columns, name) != old:
                return False
            acquaintances.put(connection, self._columns, name, new)
            return True

    def chores(self) -> AbstractContextManager[bool]:
        """True for one process of all: what must not be done twice at once is its to do while it is inside."""
        return self._postgres.chores()

    def hearing(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Call, from a thread of its own, soon after any other process has committed."""
        return hearing(self.address, self._postgres.is_own, call)

    def move_in(self, file: SqliteStore, device: bytes, small: Mapping[str, bytes]) -> None:
        """Take over everything of that store, whose device this is from now on, and put these small things."""
        source = file.database
        assert isinstance(source, SqliteDatabase)
        with self._database.writing() as connection:
            copy(source, connection)
            connection.execute("UPDATE beepmesh SET device = ?", (device,))
            for name, value in small.items():
                acquaintances.put(connection, self._columns, name, value)

    def owner(self) -> bytes | None:
        """The device (16 B) whose home has moved in."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT device FROM beepmesh").fetchone()
        device: bytes | None = row[0]
        return device


def open_shared_store(url: str, column_key: bytes, device: bytes, entropy: Entropy = os.urandom) -> SharedStore:
    """The store at that URL, of that device. Raises Usage, or HomeProblem where it cannot be used or is another's."""
    address = Address(url)
    database = PostgresDatabase(address)
    try:
        found(database, entropy)
        store = SharedStore(database, Columns(column_key, entropy), entropy, address)
        if store.owner() not in (None, device):
            raise HomeProblem(
                f"{address.shown} holds the store of another device. Name a database of this device's own."
            )
        return store
    except BaseException:
        database.close()
        raise
