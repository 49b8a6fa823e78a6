"""A PostgreSQL database under the store: how it is reached, migrated, locked, and how its troubles are told.

Law 1: a transaction that ended well is durable, on the synchronous stand-bys too where the server is set up so
       (synchronous_commit is never less than "on" here).
Law 2: whoever writes holds one lock of the whole database, which waits as BEGIN IMMEDIATE does. So change numbers and
       intake numbers become visible in their order, and whoever reads sees one moment.
Law 3: a line that breaks before COMMIT has done nothing. If it breaks in the middle of COMMIT, each transaction has
       left its number in `last_writes`, and the next connection looks: what cannot be found out is told as trouble.
Law 4: asyncpg's errors end here; everybody else sees StoreProblem. No text of ours holds the URL, only hosts and name.

The store is synchronous, so the connection's event loop runs only while a call waits for it, in the thread that calls.
Where several hosts are named each is tried, and only one that can be written is taken: the stand-by, once promoted.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import asyncpg

from beepmesh.errors import HomeProblem, Usage
from beepmesh.store.connection import Connection
from beepmesh.store.problem import ProblemReason, StoreProblem

CHANNEL: Final = "beepmesh"  # Of NOTIFY: who listens hears of each commit.
PATIENCE_S: Final = 5.0  # How long a call waits for a server: a stand-by is promoted in less.
ANSWER_S: Final = 10.0  # For BEGIN and COMMIT, which may wait for other writers and for stand-bys.
HOST_S: Final = 2  # To reach one of the hosts: one that is switched off does not say no.
PAUSES_S: Final = (0.05, 0.5)  # Between tries, doubled each time.
ENTRY_BYTES: Final = 400  # An entry's row and its index entries, without the body.
TOKEN_BYTES: Final = 240  # The same of a delivery token.

FIRST_FORMAT: Final = 3
_MIGRATIONS: Final = Path(__file__).parent / "migrations" / "postgres"
_WRITERS: Final = 0x62656570_00000001  # Names of advisory locks: "beep" and a number.
_CHORES: Final = 0x62656570_00000002
_BEGIN_ALONE: Final = f"BEGIN; SELECT pg_advisory_xact_lock({_WRITERS})"
_SETTINGS: Final = {
    "application_name": "beepmesh",
    "lock_timeout": "5s",
    # A process that vanished in the middle of writing keeps others waiting for so long.
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # Every query has its index, and plans are kept: none may be made for tables that were small then.
    "enable_seqscan": "off",
    "jit": "off",
}
_REFUSALS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "refuses this user or password. Put the right one into the URL, $PGPASSWORD or $PGPASSFILE.",
    ),
    (asyncpg.InvalidCatalogNameError, "has no database of that name. Make it there with `createdb`, or name another."),
    (asyncpg.InsufficientPrivilegeError, "does not let this user make tables. Let it own the database."),
)

_TROUBLES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError, OSError)

T = TypeVar("T")


@cache
def migrations() -> Sequence[str]:
    """The scripts in order; the first makes FIRST_FORMAT of an empty database."""
    paths = sorted(_MIGRATIONS.glob("*.sql"))
    assert [path.stem for path in paths] == [f"{number:04}" for number, _ in enumerate(paths, FIRST_FORMAT)]
    return tuple(path.read_text(encoding="utf-8") for path in paths)


def newest_format() -> int:
    return FIRST_FORMAT - 1 + len(migrations())


class Address:
    """Where a database is: a URL, of which only hosts and name are ever shown. Raises Usage for another word."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        if parts.scheme not in ("postgresql", "postgres"):
            raise Usage("--store is a URL: postgresql://USER@HOST[:PORT][,HOST...]/DATABASE.")
        hosts = parts.netloc.rpartition("@")[2]
        self.shown = f"PostgreSQL at {hosts or 'this machine'}{parts.path}"
        self._hosts = [_host_port(host) for host in hosts.split(",")] if "," in hosts else []

    async def connect(self) -> Any:
        """A connection to the one that can be written. Raises what `lost` knows, and asyncpg's refusals."""
        if not self._hosts:
            return await self._reach()
        trouble: BaseException | None = None
        for host, port in self._hosts:
            try:
                return await self._reach(host=host, port=port)
            except Exception as error:
                if not is_lost(error):
                    raise
                trouble = error
        assert trouble is not None
        raise trouble

    async def _reach(self, **where: Any) -> Any:
        connection = await asyncpg.connect(
            self.url, **where, timeout=HOST_S, server_settings=_SETTINGS, target_session_attrs="read-write"
        )
        await connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
        )
        return connection


def _host_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = text, "5432"
    return unquote(host.strip("[]")), int(port)


def is_lost(error: BaseException) -> bool:
    """Whether the server is not there, or no longer the one that can be written."""
    if isinstance(error, asyncpg.DataError | asyncpg.exceptions.ClientConfigurationError):
        return False
    return isinstance(
        error,
        OSError
        | TimeoutError
        | asyncpg.InterfaceError
        | asyncpg.exceptions.InternalClientError
        | asyncpg.PostgresConnectionError
        | asyncpg.exceptions.OperatorInterventionError
        | asyncpg.IdleInTransactionSessionTimeoutError
        | asyncpg.ReadOnlySQLTransactionError
        | asyncpg.TooManyConnectionsError,
    )


class PostgresDatabase:
    """One connection, made again whenever it is lost."""

    def __init__(self, address: Address, patience_s: float = PATIENCE_S) -> None:
        """Reach and migrate it. Raises HomeProblem with what to do where it cannot be used, Usage for an odd URL."""
        self._address = address
        self._patience_s = patience_s
        self._loop = asyncio.new_event_loop()
        self._live: Any = None
        self._statements: dict[str, Any] = {}
        self._process = os.urandom(16)
        name = f"'\\x{self._process.hex()}'::bytea"
        self._forget_last = f"DELETE FROM last_writes WHERE process = {name}"  # noqa: S608 - our own bytes, in hex
        self._note_write = f"{self._forget_last}; INSERT INTO last_writes VALUES ({name}"  # noqa: S608
        self._numbers = count(1)
        self._connection = _Connection(self)
        try:
            self._opened()
        except BaseException:
            self.close()
            raise

    @property
    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if self._loop.is_closed():
            return
        if self._live is not None and not self._live.is_closed():
            with suppress(Exception):  # It is being left: whatever the server has to say is late.
                self._run(self._live.execute(self._forget_last))
                self._run(self._live.close(timeout=1.0))
        self._drop()
        self._run(self._loop.shutdown_asyncgens())
        self._loop.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        number = next(self._numbers)
        with self.told():
            self._begin(f"{_BEGIN_ALONE}; {self._note_write}, {number})")
            with self.told(is_undone=True), self._undone_by_errors():
                yield self._connection
            try:
                self._at_once(f"NOTIFY {CHANNEL}; COMMIT")
            except Exception as error:
                if not is_lost(error):
                    self._undo()
                    raise
                self._drop()
                if not self._surely_done(number):
                    raise StoreProblem(
                        "unreachable", self._address.shown, "nothing of this was written", is_undone=True
                    ) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self.told():
            self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            with self._undone_by_errors():
                yield self._connection
            self._at_once("COMMIT")

    @contextmanager
    def chores(self) -> Iterator[bool]:
        """True for one process of all, as long as it is inside and its connection lives."""
        with self.told():
            self._begin("SELECT 1")
            mine = self.execute(f"SELECT pg_try_advisory_lock({_CHORES})", ()).fetchone()[0]
            connection = self._live
        try:
            yield mine
        finally:
            if mine and connection is self._live and not connection.is_closed():
                with suppress(Exception):  # The lock ends with the connection anyhow.
                    self.execute(f"SELECT pg_advisory_unlock({_CHORES})", ())

    def is_own(self, pid: int) -> bool:
        """Whether our connection is served by that process of the server's."""
        live = self._live
        return live is not None and live.get_server_pid() == pid

    def forget(self) -> None:
        """The server's own cleaning does that, when it comes to it."""

    def file_bytes(self) -> int:
        with self.reading() as connection:
            size: int = connection.execute("SELECT pg_database_size(current_database())").fetchone()[0]
        return size

    def used_bytes(self, connection: Connection) -> int:
        """By what is held: the files of a server do not get smaller when rows go."""
        entries, tokens, body_bytes = connection.execute(
            "SELECT CAST(coalesce(sum(entries), 0) AS BIGINT), (SELECT count(*) FROM tokens),"
            " CAST(coalesce(sum(body_bytes), 0) AS BIGINT) FROM logs"
        ).fetchone()
        used: int = (entries - tokens) * ENTRY_BYTES + tokens * TOKEN_BYTES + body_bytes
        return used

    @contextmanager
    def told(self, *, is_undone: bool = False) -> Iterator[None]:
        """Turns every trouble with the server inside into a StoreProblem."""
        try:
            yield
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.PostgresSyntaxError):
            raise  # Our own broken promise, not the server's.
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.exceptions.InternalClientError,
            OSError,
        ) as error:
            self._tell(error, is_undone=is_undone)

    def _tell(self, error: BaseException, *, is_undone: bool = False) -> NoReturn:
        reason: ProblemReason = "damaged"
        if is_lost(error):
            self._drop()
            reason = "unreachable"
        elif isinstance(error, asyncpg.LockNotAvailableError):
            reason = "busy"
        elif isinstance(error, asyncpg.DiskFullError | asyncpg.OutOfMemoryError):
            reason = "full"
        elif isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            reason = "unreachable"
        detail = str(error) or type(error).__name__
        raise StoreProblem(reason, self._address.shown, detail, is_undone=is_undone) from error

    # Statements.

    def execute(self, sql: str, parameters: Sequence[Any]) -> _Rows:
        statement = self._prepared(sql)
        rows = self._run(statement.fetch(*parameters))
        return _Rows(rows, statement.get_statusmsg())

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        rows = list(parameters)
        if len(rows) == 1:
            self.execute(sql, rows[0])
        elif rows:
            self._run(self._prepared(sql).executemany(rows))

    def _prepared(self, sql: str) -> Any:
        statement = self._statements.get(sql)
        if statement is None:
            statement = self._statements[sql] = self._run(self._live.prepare(_numbered(sql)))
        return statement

    def _at_once(self, sql: str) -> None:
        """Statements without values in one round trip; the connection is given up if they take too long.

        Never cancelled: a COMMIT whose wait for a stand-by is cancelled is visible to others, and nowhere else.
        """
        self._run(self._answered(self._live.execute(sql)))

    async def _answered(self, asked: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(asked)
        done, _ = await asyncio.wait({task}, timeout=ANSWER_S)
        if not done:
            self._live.terminate()
        await task

    def _run(self, waiting: Coroutine[Any, Any, T]) -> T:
        if asyncio._get_running_loop() is None:
            return self._loop.run_until_complete(waiting)
        # Called from another loop's thread: rarely, and it has to wait anyhow.
        answers: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(self._loop.run_until_complete(waiting))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, name="beepmesh-store")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]

    # The line.

    def _begin(self, sql: str) -> None:
        """Nothing has happened yet, so it may be tried on another connection, until the patience is over."""
        deadline, (pause_s, pause_max_s) = time.monotonic() + self._patience_s, PAUSES_S
        while True:
            try:
                if self._live is None or self._live.is_closed():
                    self._drop()
                    self._live = self._run(self._address.connect())
                self._at_once(sql)
                return
            except Exception as error:
                if not is_lost(error):
                    self._undo()
                    raise
                self._drop()
                if time.monotonic() + pause_s > deadline:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, pause_max_s)

    @contextmanager
    def _undone_by_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        if self._live is not None:
            try:
                self._at_once("ROLLBACK")
            except Exception:
                self._drop()  # A transaction without a connection is undone.

    def _drop(self) -> None:
        self._statements.clear()
        live, self._live = self._live, None
        if live is not None and not live.is_closed():
            live.terminate()
            self._run(asyncio.sleep(0))

    def _surely_done(self, number: int) -> bool:
        try:
            return self._was_done(number)
        except Exception as error:
            if not is_lost(error):
                raise
            self._drop()
            why = "it is not known whether this was written; look before you do it again"
            raise StoreProblem("unreachable", self._address.shown, why) from error

    def _was_done(self, number: int) -> bool:
        """Whether a transaction of ours was done whose COMMIT got no answer.

        Asked while we hold the writers' lock, so that it has ended; and the COMMIT of asking waits for the stand-bys,
        so that what was found is as durable as any. Raises what is_lost knows.
        """
        sql = "SELECT number FROM last_writes WHERE process = $1"
        self._begin(_BEGIN_ALONE)
        found = self._run(self._live.fetchval(sql, self._process))
        # It is no longer there to be found a second time: a number is asked for once.
        self._at_once(f"{self._forget_last}; COMMIT")
        return bool(found == number)

    # Opening.

    def _opened(self) -> None:
        try:
            self._begin("SELECT 1")
            self._migrate()
        except (asyncpg.exceptions.ClientConfigurationError, ValueError) as error:
            raise Usage(f"--store does not say where the database is ({error}). See `beepmesh hub --help`.") from None
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.exceptions.InternalClientError,
            OSError,
        ) as error:
            for kind, words in _REFUSALS:
                if isinstance(error, kind):
                    raise HomeProblem(f"{self._address.shown} {words} ({error})") from None
            self._tell(error)

    def _migrate(self) -> None:
        """All scripts that are missing in one transaction. Leaves a database of a newer format alone."""
        self._begin(_BEGIN_ALONE)
        with self._undone_by_errors():
            found = FIRST_FORMAT - 1
            if self._run(self._live.fetchval("SELECT to_regclass('beepmesh')")) is not None:
                found = self._run(self._live.fetchval("SELECT format FROM beepmesh"))
            newest = newest_format()
            if found > newest:
                raise HomeProblem(
                    f"{self._address.shown} was written by a newer beepmesh (format {found}; this one knows {newest})."
                    " Update beepmesh to use it."
                )
            for script in migrations()[found - FIRST_FORMAT + 1 :]:
                self._run(self._live.execute(script))
            if found < newest:
                sql = "INSERT INTO beepmesh VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET format = excluded.format"
                self._run(self._live.execute(sql, newest))
            # What processes that were killed left behind.
            self._run(self._live.execute("DELETE FROM last_writes WHERE written < now() - interval '1 day'"))
        self._at_once("COMMIT")


class _Connection:
    """A transaction as the store's modules see it."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> _Rows:
        return self._database.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        self._database.executemany(sql, parameters)


class _Rows:
    def __init__(self, rows: list[Any], status: str) -> None:
        self._rows = rows
        self._next = iter(rows)
        self._status = status

    @property
    def rowcount(self) -> int:
        last = self._status.rpartition(" ")[2]
        return int(last) if last.isdecimal() else -1

    def fetchone(self) -> Any:
        return next(self._next, None)

    def fetchall(self) -> list[Any]:
        return list(self._next)

    def __iter__(self) -> Iterator[Any]:
        return self._next


@cache
def _numbered(sql: str) -> str:
    """`?` as PostgreSQL wants it: $1, $2 and so on. No text of ours holds one inside quotes."""
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))
