"""The SQLite file under the store: how it is opened, migrated, locked, and how its troubles are told.

Law 1: a transaction that ended well is on the disk (WAL, synchronous=FULL): nothing that a power cut could erase is
       ever acknowledged.
Law 2: what is deleted is overwritten (secure_delete), and leaves the write-ahead log at the next `forget`.
Law 3: sqlite3's errors end here; everybody else sees StoreProblem.

The file's format is `PRAGMA user_version`: migrations/0002.sql makes format 2, 0003.sql turns 2 into 3, and so on.
Format 1 held entries of version 1, which nobody reads any more.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from beepmesh.crypto.primitives import CryptoFailure, Entropy, sealed_column_open, sealed_column_seal
from beepmesh.errors import HomeProblem
from beepmesh.store.connection import Connection
from beepmesh.store.problem import ProblemReason, StoreProblem

MEMORY: Final = Path(":memory:")
MEMORY_PAGE_BYTES: Final = 512  # An empty store of 45 tables and indexes takes 29 kB; with 4,096 it would be 184.
STATEMENTS: Final = 128  # Python's own number: all there are, 200 kB in a busy store. With 16, 50 kB and 20 % slower.
BUSY_TIMEOUT_S: Final = 5.0  # A commit of a hundred entries takes some 10 ms; five seconds is a stuck neighbour.

OLDEST_FORMAT: Final = 2

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_PRIMARY: Final = 0xFF  # The low byte of an extended SQLite result code is its family.
_REASONS: Final[dict[int, ProblemReason]] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "read-only",
    sqlite3.SQLITE_CANTOPEN: "read-only",
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
}
_ERRNO_REASONS: Final[dict[int | None, ProblemReason]] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EACCES: "read-only",
    errno.EPERM: "read-only",
    errno.EROFS: "read-only",
    errno.ENOENT: "read-only",
}


_READABLE = frozenset({"full", "read-only"})  # Troubles under which what is there can still be read.


@cache
def migrations() -> Sequence[str]:
    """The scripts in order; the first makes the oldest format of an empty file."""
    paths = sorted(_MIGRATIONS.glob("*.sql"))
    assert [path.stem for path in paths] == [f"{number:04}" for number, _ in enumerate(paths, OLDEST_FORMAT)]
    return tuple(path.read_text(encoding="utf-8") for path in paths)


def newest_format(scripts: Sequence[str]) -> int:
    """What these scripts lead to."""
    return OLDEST_FORMAT - 1 + len(scripts)


@cache
def statements(script: str) -> Sequence[str]:
    """The script's statements. sqlite3.executescript commits first, which would undo "all or nothing"."""
    found: list[str] = []
    lines = ""
    for line in script.splitlines(keepends=True):
        lines += line
        if sqlite3.complete_statement(lines):
            found.append(lines)
            lines = ""
    assert not [line for line in lines.splitlines() if line.strip() and not line.startswith("--")], "half a statement"
    return tuple(found)


class SqliteDatabase:
    """One connection. Reads inside `reading()` see one moment; writes happen inside `writing()`."""

    def __init__(self, path: Path, scripts: Sequence[str] | None = None, *, statements: int = STATEMENTS) -> None:
        """Open, or make, the file. Raises StoreProblem, and HomeProblem for a file of a newer or too old beepmesh.

        MEMORY for a path: nothing of it outlives the connection, and law 1 means the memory of this process.
        `statements`: so many are kept ready there, see STATEMENTS.
        """
        self.path = path
        self._statements = statements
        self._unwritable: ProblemReason | None = None
        with self.told():
            try:
                self.connection = self._open_writable(migrations() if scripts is None else scripts)
            except (sqlite3.Error, OSError) as error:
                reason = _reason(error)
                if reason not in _READABLE or not path.exists() or not path.stat().st_size:
                    raise
                self._unwritable = reason
                self.connection = self._open_readable()
        newest = newest_format(migrations() if scripts is None else scripts)
        if (found := self._version()) != newest:
            self.connection.close()
            raise HomeProblem(
                f"{self.path} was written by another beepmesh (format {found}; this one knows {newest}). "
                + (
                    "Update beepmesh to use it."
                    if found > newest
                    else "Make the folder writable to bring it up to date."
                    if found >= OLDEST_FORMAT
                    else "Its messages cannot be read any more; move the home folder away and join again."
                )
            )

    @property
    def writable(self) -> bool:
        """False where the disk was full or read-only when this was opened."""
        return self._unwritable is None

    def close(self) -> None:
        with self.told():
            self.connection.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turns every error of sqlite3 or the disk inside into a StoreProblem."""
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError):
            raise  # Our own broken promise, not the disk's.
        except (sqlite3.Error, OSError) as error:
            raise StoreProblem(_reason(error), str(self.path), str(error)) from error

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction: all of it is durable at the end, or nothing of it happened."""
        if self._unwritable is not None:
            raise StoreProblem(self._unwritable, str(self.path))
        return self._transaction("BEGIN IMMEDIATE")

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self.connection
        with self.told():
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:  # Some errors have rolled back already.
                    connection.execute("ROLLBACK")

    def forget(self) -> None:
        """Move the write-ahead log into the file and empty it, as far as other processes let us."""
        if self.writable:
            with self.told():
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def file_bytes(self) -> int:
        if self.path == MEMORY:
            return _number(self.connection, "PRAGMA page_count") * _number(self.connection, "PRAGMA page_size")
        paths = (self.path, Path(f"{self.path}-wal"))
        return sum(path.stat().st_size for path in paths if path.exists())

    def used_bytes(self, connection: Connection) -> int:
        """Of the file, without what is free in it."""
        pages, free, page_bytes = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        used: int = (pages - free) * page_bytes
        return used

    def _version(self) -> int:
        with self.told():
            return _number(self.connection, "PRAGMA user_version")

    def _open_writable(self, scripts: Sequence[str]) -> sqlite3.Connection:
        if self.path == MEMORY:
            connection = _connect_memory(self._statements)
            _empty_store(tuple(scripts)).backup(connection)
            return connection
        # SQLite gives its companion files the mode of the first one.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = _connect(_uri(self.path, "rw"))
        try:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, scripts)
            # A file that can be read but not written lets everything pass but this.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_readable(self) -> sqlite3.Connection:
        """Without writing a byte beside it: WAL wants a shared-memory file, which the disk may refuse."""
        wal = Path(f"{self.path}-wal")
        for options in ("", "&immutable=1"):
            if options and wal.exists() and wal.stat().st_size:
                break  # Immutable would not see what stands in the write-ahead log alone.
            connection = _connect(_uri(self.path, "ro" + options))
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except sqlite3.Error as error:
                connection.close()
                if _reason(error) not in _READABLE:
                    raise
            else:
                return connection
        raise StoreProblem("read-only", str(self.path), "copy the home folder to a disk that can be written")


def migrate(connection: sqlite3.Connection, scripts: Sequence[str]) -> None:
    """Bring the file to the newest format in one transaction. Leaves a file of a newer or too old format alone."""
    if _number(connection, "PRAGMA user_version") not in (0, *range(OLDEST_FORMAT, newest_format(scripts))):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have been first.
        found = max(_number(connection, "PRAGMA user_version"), OLDEST_FORMAT - 1)
        for number, script in enumerate(scripts[found - OLDEST_FORMAT + 1 :], found + 1):
            for statement in statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class Columns:
    """Seals what names or quotes people. Table, row and column are bound in: no value can be moved to another place."""

    def __init__(self, key: bytes, entropy: Entropy = os.urandom) -> None:
        self._key = key
        self._entropy = entropy

    def seal(self, table: str, row: bytes, value: bytes) -> bytes:
        return sealed_column_seal(self._key, value, _associated(table, row), self._entropy)

    def open(self, table: str, row: bytes, sealed: bytes) -> bytes:
        """Raises StoreProblem("damaged")."""
        try:
            return sealed_column_open(self._key, sealed, _associated(table, row))
        except CryptoFailure:
            raise StoreProblem("damaged", f"table {table}", "a sealed value does not open") from None

    def __repr__(self) -> str:
        return "Columns(...)"


def _associated(table: str, row: bytes) -> bytes:
    return b"beepmesh/column/1|" + table.encode() + b"|sealed|" + row


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


@cache
def _empty_store(scripts: tuple[str, ...]) -> sqlite3.Connection:
    """What every store in memory begins as a copy of. To copy takes 0.2 ms, to make one 1.2; and a connection that has
    made one keeps all the statements which that took, 140 kB."""
    connection = _connect_memory(STATEMENTS)
    migrate(connection, scripts)
    return connection


def _connect_memory(statements: int) -> sqlite3.Connection:
    connection = _connect(":memory:", statements)
    connection.execute(f"PRAGMA page_size = {MEMORY_PAGE_BYTES}")
    return connection


def _connect(uri: str, statements: int = STATEMENTS) -> sqlite3.Connection:
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        cached_statements=statements,
        check_same_thread=False,  # The node calls from a worker thread, one call at a time.
    )


def _number(connection: sqlite3.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert isinstance(row[0], int)
    return row[0]


def _reason(error: sqlite3.Error | OSError) -> ProblemReason:
    if isinstance(error, OSError):
        return _ERRNO_REASONS.get(error.errno, "damaged")
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the shared-memory file
        return "full"
    return _REASONS.get(code & _PRIMARY, "damaged")
