"""The file itself: its formats, what a thief of it reads, and what its user is told when the disk fails."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beepmesh.errors import HomeProblem
from beepmesh.messages.content import READ, Receipts
from beepmesh.store.contract import Batch, Invitation, MessageQuery, Peer, StoreProblem
from beepmesh.store.database import OLDEST_FORMAT, Columns, SqliteDatabase, migrations, newest_format, statements
from beepmesh.store.sqlite import FILE_NAME, SqliteStore, open_store
from beepmesh.trust.facts import DEVICE_CERTIFICATE, Fact
from sync.ranges import Ranges
from tests.store.writing import ANA, NOW_MS, Author, incoming, marked, message_id, put, sent, text

KEY = bytes(32)
NOBODY = 65_534


def connection_of(store: SqliteStore) -> sqlite3.Connection:
    assert isinstance(store._database, SqliteDatabase)
    return store._database.connection


@contextmanager
def opened(folder: Path) -> Iterator[SqliteStore]:
    store = open_store(folder, KEY)
    try:
        yield store
    finally:
        store.close()


def test_an_empty_file_is_brought_to_the_newest_format_and_says_so(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest_format(migrations()),)
        assert connection.execute("PRAGMA application_id").fetchone() == (0x62656570,)
    connection.close()


def test_an_old_file_takes_the_migrations_it_lacks_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    first = "CREATE TABLE words (word TEXT);"
    second = """-- One; with a semicolon in a comment.
        ALTER TABLE words ADD COLUMN language TEXT;
        DELETE FROM words WHERE word = 'no';"""
    third = "UPDATE words SET language = 'en; or so';"
    old = SqliteDatabase(path, [first])
    with old.writing() as connection:
        connection.execute("INSERT INTO words VALUES ('yes'), ('no')")
    old.close()
    for scripts in ([first, second, third], [first, second, third]):
        new = SqliteDatabase(path, scripts)
        with new.reading() as connection:
            assert connection.execute("SELECT word, language FROM words").fetchall() == [("yes", "en; or so")]
        new.close()


def test_a_migration_that_fails_leaves_the_old_format_whole(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    first = "CREATE TABLE words (word TEXT);"
    SqliteDatabase(path, [first]).close()
    with pytest.raises(StoreProblem):
        SqliteDatabase(path, [first, "CREATE TABLE more (word TEXT);", "DROP TABLE nothing;"])
    again = SqliteDatabase(path, [first])
    with again.reading() as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("words",)]
    again.close()


def test_a_file_of_a_newer_beepmesh_is_left_alone_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    first = "CREATE TABLE words (word TEXT);"
    SqliteDatabase(path, [first, first.replace("words", "more")]).close()
    with pytest.raises(HomeProblem, match="Update beepmesh"):
        SqliteDatabase(path, [first])


def test_a_file_from_before_the_first_release_is_left_alone_with_a_sentence(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE words (word TEXT)")
        connection.execute(f"PRAGMA user_version = {OLDEST_FORMAT - 1}")
    connection.close()
    with pytest.raises(HomeProblem, match="cannot be read any more"):
        open_store(tmp_path, KEY)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("words",)]
    connection.close()


def test_half_a_statement_is_our_own_mistake() -> None:
    assert statements("SELECT 1;\n-- nothing\n") == ("SELECT 1;\n",)
    with pytest.raises(AssertionError):
        statements("SELECT 1;\nSELECT 2")


def test_what_is_committed_is_synced_to_the_disk(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for pragma, value in [("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1)]:
            assert connection_of(store).execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, Batch(counts={"seen": 1}))
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
        assert len(list(tmp_path.iterdir())) == 3


def test_no_name_text_or_address_stands_in_the_files(tmp_path: Path) -> None:
    secrets = ["Sher Ali Khan", "to the red bridge", "واپس آؤ", "192.0.2.77", "lan-of-the-school", "invitation-secret"]
    with opened(tmp_path) as store:
        put(store, Batch(facts=(Fact(bytes(16), 0, DEVICE_CERTIFICATE, secrets[0].encode()),)))
        put(store, Batch(payloads=(incoming(text("one", secrets[1]), ANA, 0),)))
        put(store, Batch(payloads=(incoming(text("two", secrets[2]), ANA, 1),)))
        sent(store, "three", ANA)
        marked(store, READ, "one", ANA)
        store.put_peer(Peer(bytes(16), 1, secrets[4], secrets[3]))
        store.put_invitation(Invitation(bytes(8), secrets[5].encode(), 1))
        store.put("config", secrets[0].encode())
        store.rebuild_views()
        assert store.messages(MessageQuery())[0].row.text == secrets[1]
        for _ in ("in the write-ahead log", "in the file"):
            files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
            assert {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"} == set(files)
            for secret in [*secrets, "Come"]:
                assert [name for name, data in files.items() if secret.encode() in data] == []
                assert [name for name, data in files.items() if secret.encode("utf-16-le") in data] == []
            store._database.forget()


def test_an_erased_body_is_in_no_file_any_more(tmp_path: Path) -> None:
    ana = Author("ana", ttl=0)
    with opened(tmp_path) as store:
        put(store, Batch(entries=ana.run(3, b"ciphertext that outlived its time" * 40)))
        store._database.forget()
        assert any(b"outlived" in path.read_bytes() for path in tmp_path.iterdir())
        assert store.expire(NOW_MS + 3_600_000) == 3
        assert not any(b"outlived" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_sealed_value_opens_in_its_own_place_only() -> None:
    columns = Columns(KEY)
    sealed = columns.seal("peers", b"row", b"value")
    assert columns.open("peers", b"row", sealed) == b"value"
    for table, row in [("blobs", b"row"), ("peers", b"other")]:
        with pytest.raises(StoreProblem) as caught:
            columns.open(table, row, sealed)
        assert caught.value.reason == "damaged"
    assert "00" not in repr(columns)


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreProblem, match="restore") as caught:
        open_store(tmp_path, KEY)
    assert caught.value.reason == "damaged"


def test_a_page_that_was_overwritten_is_told_as_damage(tmp_path: Path) -> None:
    ana = Author("ana")
    with opened(tmp_path) as store:
        put(store, Batch(entries=ana.run(400, b"x" * 1_000)))
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    whole = len(data) // 2 // 4_096 * 4_096
    path.write_bytes(data[:whole] + b"\xa5" * (len(data) - whole))  # No kind of page begins so.
    with opened(tmp_path) as store, pytest.raises(StoreProblem) as caught:
        store.read(ana.log, 0, 400, bytes_max=10**6, with_prev=False)
    assert caught.value.reason == "damaged"


def test_a_writer_that_does_not_end_is_told_as_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beepmesh.store.database.BUSY_TIMEOUT_S", 0.05)
    with opened(tmp_path) as store:
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreProblem, match="Wait") as caught:
            put(store, Batch(counts={"seen": 1}))
        assert caught.value.reason == "busy"
        assert store.counts() == {}
        other.close()
        put(store, Batch(counts={"seen": 1}))
        assert list(store.counts()) == ["seen"]


def full_batch(number: int) -> tuple[Author, Batch]:
    author = Author(f"author {number}")
    said = incoming(Receipts(((message_id("order"), READ),)), ANA, number)
    return author, Batch(
        entries=author.run(4, b"x" * 1_500),
        payloads=(incoming(text(f"text {number}", "words " * 100), ANA, 100 + number), said),
        facts=(Fact(author.log.feed, 0, DEVICE_CERTIFICATE, b"f" * 500),),
        peer_settled=((author.log.feed, author.log, Ranges.of((0, 4))),),
        counts={"batches": 1},
    )


def holds_whole_batches(store: SqliteStore, count: int) -> None:
    authors = [full_batch(number)[0] for number in range(count)]
    assert set(store.states()) == {author.log for author in authors}
    assert all(state.settled == Ranges.of((0, 4)) for state in store.states().values())
    assert len(store.messages(MessageQuery(limit=10_000))) == len(store.facts()) == store.size().entries // 4 == count
    assert sum(number.count for number in store.counts().values()) == count


def test_a_full_disk_at_any_page_loses_nothing_and_says_so(tmp_path: Path) -> None:
    refused = 0
    with opened(tmp_path) as store:
        connection = connection_of(store)
        committed = 0
        for pages in range(connection.execute("PRAGMA page_count").fetchone()[0], 140):
            connection.execute(f"PRAGMA max_page_count = {pages}")
            try:
                put(store, full_batch(committed)[1])
                committed += 1
            except StoreProblem as problem:
                assert problem.reason == "full"  # noqa: PT017 - both ways on are asserted
                refused += 1
            holds_whole_batches(store, committed)
    assert refused > 50
    assert committed > 10
    with opened(tmp_path) as store:
        holds_whole_batches(store, committed)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The kernel refuses every write behind that many bytes of a file, the one that crosses it and all after it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_the_nth_write_of_a_commit_may_fail_for_every_n(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, full_batch(0)[1])
        failed, done = 0, False
        while not done:
            store._database.forget()
            # Half a page at a time: the commit writes whole pages of the write-ahead log, header first.
            with files_end_at(failed * 2_048):
                try:
                    put(store, full_batch(1)[1])
                    done = True
                except StoreProblem:
                    failed += 1
            holds_whole_batches(store, 1 + done)
    assert failed > 20
    with opened(tmp_path) as store:
        holds_whole_batches(store, 2)


def test_a_failing_checkpoint_takes_nothing_back(tmp_path: Path) -> None:
    author = Author("ana", ttl=0)
    with opened(tmp_path) as store:
        put(store, Batch(entries=author.run(40, b"x" * 1_500)))
        store._database.forget()
        connection_of(store).execute("PRAGMA wal_autocheckpoint = 0")
        put(store, Batch(entries=author.run(1)))
        with files_end_at((tmp_path / FILE_NAME).stat().st_size // 2), pytest.raises(StoreProblem):
            store._database.forget()
        assert store.size().entries == 41
        assert store.expire(NOW_MS + 3_600_000) == 41
    with opened(tmp_path) as store:
        assert (store.size().entries, store.size().body_bytes) == (41, 0)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Root may write anywhere: become nobody for a while, as far as files are concerned."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """Outside pytest's own folders, which nobody else may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.iterdir():
        path.chmod(0o644)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("hot", [False, True])
def test_a_home_that_cannot_be_written_can_be_read(readable_folder: Path, hot: bool) -> None:
    source = readable_folder / "source"
    home = readable_folder / "home"
    source.mkdir()
    home.mkdir()
    with opened(source) as store:
        put(store, full_batch(0)[1])
        if hot:  # copied under the running node, write-ahead log included
            shutil.copytree(source, home, dirs_exist_ok=True)
    if not hot:
        shutil.copytree(source, home, dirs_exist_ok=True)
    for path in home.iterdir():
        path.chmod(0o444)
    home.chmod(0o555)
    try:
        with somebody_else(), opened(home) as store:
            assert not store.writable
            holds_whole_batches(store, 1)
            with pytest.raises(StoreProblem, match="cannot be written") as caught:
                put(store, full_batch(1)[1])
            assert caught.value.reason == "read-only"
            holds_whole_batches(store, 1)
    finally:
        home.chmod(0o755)
        for folder in (source, home):
            shutil.rmtree(folder)


def test_a_write_ahead_log_that_cannot_be_read_in_place_is_told_and_not_passed_over(readable_folder: Path) -> None:
    home = readable_folder / "home"
    with opened(readable_folder) as store:
        put(store, full_batch(0)[1])
        home.mkdir()
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            shutil.copy(readable_folder / name, home / name)
    for path in home.iterdir():
        path.chmod(0o444)
    home.chmod(0o555)
    try:
        with somebody_else(), pytest.raises(StoreProblem, match="copy the home folder") as caught:
            open_store(home, KEY)
        assert caught.value.reason == "read-only"
    finally:
        home.chmod(0o755)
        shutil.rmtree(home)


def test_a_home_that_is_not_there_is_a_problem_with_words(tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="nowhere"):
        open_store(tmp_path / "nowhere", KEY)


def test_our_own_broken_promise_is_not_told_as_damage(tmp_path: Path) -> None:
    with opened(tmp_path) as store, pytest.raises(sqlite3.IntegrityError), store._database.writing() as connection:
        connection.execute("INSERT INTO blobs VALUES ('name', NULL)")
