"""What a shared store adds to the contract: several processes, broken lines, moving in, and what its user is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from beepmesh import upkeep
from beepmesh.errors import HomeProblem, Usage
from beepmesh.home import Home
from beepmesh.sharing import MOVED_NAME, URL_NAME
from beepmesh.store import postgres
from beepmesh.store.contract import Batch, Invitation, MessageQuery, StoreProblem
from beepmesh.store.hub_store import SharedStore, open_shared_store
from beepmesh.store.sqlite import FILE_NAME, open_store
from beepmesh.testing import make_homes
from beepmesh.waking import drain, wake_socket
from sync.logs import LogId
from sync.ranges import Ranges
from tests.store.clusters import Cluster, free_port, running
from tests.store.test_processes import batch
from tests.store.writing import ANA, KEYS, NOW_MS, OWN_LOG, Author, draft, incoming, put, sent, text, token

KEY: Final = bytes(32)
DEVICE: Final = bytes(16)
ROOT: Final = Path(__file__).parents[2]

# Keeps what came in, as test_processes' does, and says how far it is.
_TAKER: Final = """
import sys
from beepmesh.store.hub_store import open_shared_store
from tests.store.test_postgres import DEVICE, KEY
from tests.store.test_processes import arrivals, put

store = open_shared_store(sys.argv[1], KEY, DEVICE)
store.number_intake()
for number in range(10_000):
    put(store, arrivals(sys.argv[2], number))
    print(number, flush=True)
"""


@contextmanager
def opened(url: str) -> Iterator[SharedStore]:
    with closing(open_shared_store(url, KEY, DEVICE)) as store:
        yield store


def end_lines(cluster: Cluster) -> None:
    """As a server does that is restarted: every line breaks."""
    cluster.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'beepmesh'")


def test_both_databases_have_one_format() -> None:
    from beepmesh.store.database import migrations, newest_format

    assert postgres.newest_format() == newest_format(migrations())


def test_what_two_processes_take_in_is_numbered_without_gaps_though_one_is_killed(database_url: str) -> None:
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", _TAKER, database_url, name], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for name in ("first", "second")
    ]
    for taker in takers:
        assert taker.stdout is not None
        for _ in range(10):
            assert taker.stdout.readline()
        taker.send_signal(signal.SIGKILL)
        taker.communicate()
    with opened(database_url) as store:
        found = store.messages(MessageQuery(limit=1_000_000))
        assert [message.intake for message in found] == list(range(1, len(found) + 1))
        assert len(found) >= 40
        store.rebuild_views()
        assert store.messages(MessageQuery(limit=1_000_000)) == found


def test_one_process_sees_what_another_wrote_and_is_called(database_url: str) -> None:
    called = threading.Semaphore(0)
    with opened(database_url) as node, opened(database_url) as other, node.hearing(lambda: called.release()):
        assert called.acquire(timeout=20)  # It listens from now on.
        version = node.changed_since(0).version
        put(node, Batch(counts={"own": 1}))
        put(other, batch("other", 0))
        assert called.acquire(timeout=20)
        changes = node.changed_since(version)
        assert OWN_LOG in changes.states
        assert changes.states == other.states()


def test_who_follows_by_change_numbers_misses_nothing_while_others_commit(database_url: str) -> None:
    with ExitStack() as stack:
        reader, *writers = (stack.enter_context(opened(database_url)) for _ in range(4))

        def write_on(store: SharedStore, name: int) -> None:
            for number in range(40):
                put(store, Batch(entries=Author(f"{name} {number}").run(1)))

        threads = [threading.Thread(target=write_on, args=(store, name)) for name, store in enumerate(writers)]
        for thread in threads:
            thread.start()
        version, told = 0, dict[LogId, int]()
        is_over = False
        while not is_over:
            is_over = not any(thread.is_alive() for thread in threads)
            changes = reader.changed_since(version)
            assert all(version < number <= changes.version for number in changes.numbers.values())
            version = changes.version
            told |= changes.numbers
        assert told == reader.changed_since(0).numbers
        assert sorted(told.values()) == list(range(1, 121))


def test_the_store_is_there_again_after_its_line_broke(database_url: str, cluster: Cluster) -> None:
    with opened(database_url) as store:
        put(store, Batch(entries=Author("ana").run(2)))
        end_lines(cluster)
        assert store.size().entries == 2
        end_lines(cluster)
        put(store, Batch(entries=Author("ben").run(1)))
        assert store.size().entries == 3


def test_a_commit_whose_line_breaks_before_its_end_is_done_once_more(database_url: str, cluster: Cluster) -> None:
    with opened(database_url) as store:
        broken: list[int] = []

        def make(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
            if not broken:
                end_lines(cluster)
            broken.append(seq)
            return b"hint", b"body"

        (written,) = store.commit(Batch(drafts=(replace(draft(), make=make),)), keys=KEYS, now_ms=NOW_MS).written
        assert broken == [0, 0]
        assert store.read(OWN_LOG, 0, 9, bytes_max=1 << 20, with_prev=False).entries == (written,)


@pytest.mark.parametrize("is_done", [True, False])
def test_a_commit_without_an_answer_is_looked_up_and_never_doubled(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    with opened(database_url) as store:
        database = store._postgres
        at_once = database._at_once
        broken: list[str] = []

        def breaking(sql: str) -> None:
            if sql.endswith("; COMMIT") and not broken:
                broken.append(sql)
                if is_done:
                    at_once(sql)
                database._drop()
                raise ConnectionResetError("the line broke")
            at_once(sql)

        monkeypatch.setattr(database, "_at_once", breaking)
        sent(store, "one", ANA)
        assert broken
        assert store.size().entries == 1
        assert len(store.messages(MessageQuery(direction="out"))) == 1


def test_a_commit_that_cannot_be_looked_up_says_that_it_may_have_been_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with running("fsync = off") as cluster, opened(cluster.url()) as store:
        database = store._postgres
        database._patience_s = 0.3
        at_once = database._at_once

        def breaking(sql: str) -> None:
            if sql.endswith("; COMMIT"):
                cluster.kill()
            at_once(sql)

        monkeypatch.setattr(database, "_at_once", breaking)
        with pytest.raises(StoreProblem, match="not known whether this was written"):
            put(store, Batch(counts={"seen": 1}))


def test_a_server_that_is_gone_is_told_as_unreachable_and_found_again() -> None:
    with running("fsync = off") as cluster, opened(cluster.url()) as store:
        store._postgres._patience_s = 0.3
        put(store, Batch(entries=Author("ana").run(1)))
        cluster.kill()
        for act in (store.states, lambda: put(store, Batch(entries=Author("ben").run(1)))):
            with pytest.raises(StoreProblem, match="whether the") as caught:
                act()
            assert caught.value.reason == "unreachable"
        cluster.start()
        put(store, Batch(entries=Author("ben").run(1)))
        assert store.size().entries == 2


def test_a_writer_that_does_not_end_is_told_as_busy(database_url: str) -> None:
    with opened(database_url) as first, opened(database_url) as second:
        second._postgres._run(second._postgres._live.execute("SET lock_timeout = '50ms'"))
        with first.database.writing(), pytest.raises(StoreProblem) as caught:
            put(second, Batch(counts={"seen": 1}))
        assert caught.value.reason == "busy"
        put(second, Batch(counts={"seen": 1}))
        assert second.counts()["seen"].count == 1


def test_what_is_done_by_one_process_at_a_time_is_offered_to_one(database_url: str) -> None:
    with opened(database_url) as first, opened(database_url) as second:
        with first.chores() as mine, second.chores() as also:
            assert (mine, also) == (True, False)
        with second.chores() as mine:
            assert mine


def test_the_store_answers_in_a_thread_in_which_a_loop_runs(database_url: str) -> None:
    async def ask(store: SharedStore) -> int:
        return store.size().entries

    with opened(database_url) as store:
        put(store, Batch(entries=Author("ana").run(2)))
        assert asyncio.run(ask(store)) == 2


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("mysql://host/name", Usage, "postgresql://USER@HOST"),
        ("postgresql://postgres@127.0.0.1:{port}/nowhere", HomeProblem, "createdb"),
        ("postgresql://guarded:wr0ng-secret@127.0.0.1:{port}/postgres", HomeProblem, "password"),
        ("postgresql://postgres:wr0ng-secret@127.0.0.1:{free}/postgres", StoreProblem, "does not answer"),
        ("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=odd", Usage, "does not say where"),
        ("postgresql://postgres@127.0.0.1:none/postgres", Usage, "does not say where"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_with_what_to_do(
    url: str, kind: type[Exception], said: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres.PostgresDatabase.__init__, "__defaults__", (0.2,))
    cluster.ask("DROP ROLE IF EXISTS guarded; CREATE ROLE guarded LOGIN PASSWORD 'right-secret'")
    with pytest.raises(kind, match=said) as caught:
        open_shared_store(url.format(port=cluster.port, free=free_port()), KEY, DEVICE)
    assert "secret" not in str(caught.value)


def test_the_password_may_come_from_the_environment(
    database_url: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.ask("DROP ROLE IF EXISTS guarded; CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'right-secret'")
    monkeypatch.setenv("PGPASSWORD", "right-secret")
    with opened(database_url.replace("postgres@", "guarded@")) as store:
        assert store.states() == {}


def test_a_database_of_a_newer_format_or_of_another_device_is_left_alone(database_url: str, cluster: Cluster) -> None:
    name = database_url.rpartition("/")[2]
    cluster.ask(f"UPDATE beepmesh SET device = '\\x{'77' * 16}'", name)
    with pytest.raises(HomeProblem, match="another device"):
        open_shared_store(database_url, KEY, DEVICE)
    cluster.ask("UPDATE beepmesh SET format = format + 1", name)
    with pytest.raises(HomeProblem, match="Update beepmesh"):
        open_shared_store(database_url, KEY, DEVICE)


# A home that moves in.


def test_a_store_that_moves_in_is_the_same_store(database_url: str, tmp_path: Path) -> None:
    with closing(open_store(tmp_path, KEY)) as file:
        file.number_intake()
        ana = Author("ana")
        put(file, Batch(entries=(*ana.run(3), ana.entry(b"another", seq=1)), pending_add=(), tokens=()))
        put(file, Batch(payloads=(incoming(text("one"), ANA, 0),), tokens=(token(Author("ben").entry()),)))
        sent(file, "two", ANA)
        file.put_invitation(Invitation(bytes(8), b"secret", NOW_MS))
        file.put("small", b"value")
        with opened(database_url) as store:
            store.move_in(file, DEVICE, {})
            assert store.changed_since(0) == file.changed_since(0)
            assert store.epoch() == file.epoch()
            assert store.forks() == file.forks()
            assert store.frozen() == file.frozen()
            assert store.messages(MessageQuery("both")) == file.messages(MessageQuery("both"))
            assert store.invitations() == file.invitations()
            assert store.get("small") == b"value"
            assert store.size().entries == file.size().entries
            store.number_intake()
            for each in (store, file):
                put(each, Batch(entries=Author("new").run(2), payloads=(incoming(text("three"), ANA, 5),)))
                sent(each, "four", ANA)
            assert [message.intake for message in store.messages(MessageQuery())] == [1, 2]
            assert store.states().keys() == file.states().keys()


def write(home: Home) -> None:
    home.commit(Batch(drafts=(draft(),)), home.dated_ms(0))


def moved(path: Path, url: str) -> None:
    Home.open(path, store_url=url).close()


def test_a_home_that_has_moved_uses_the_database_for_every_command(database_url: str, tmp_path: Path) -> None:
    home, other = make_homes(tmp_path / "homes", "Ayesha", "Bilal")
    Home.open(other).close()
    moved(home, database_url)
    assert not (home / FILE_NAME).exists()
    assert (home / MOVED_NAME).exists()
    assert (home / URL_NAME).stat().st_mode & 0o077 == 0
    with Home.open(home) as opened_home:
        write(opened_home)
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    with Home.open(copy) as second:
        log = LogId(second.identity.feed, 1)
        assert second.store.states()[log].settled == Ranges.of((0, 1))


def test_a_copy_that_was_used_by_itself_is_refused_and_an_untouched_one_is_taken(
    database_url: str, tmp_path: Path
) -> None:
    (home,) = make_homes(tmp_path / "homes", "Ayesha")
    for name in ("untouched", "used"):
        shutil.copytree(home, tmp_path / name)
    with Home.open(tmp_path / "used") as used:
        write(used)
    moved(home, database_url)
    moved(tmp_path / "untouched", database_url)
    with pytest.raises(HomeProblem, match="used by itself"):
        moved(tmp_path / "used", database_url)
    with pytest.raises(HomeProblem, match="is empty"):
        moved(home, database_url.rpartition("/")[0] + "/template")


def test_copies_of_a_home_have_one_identity_whoever_renews_it(database_url: str, tmp_path: Path) -> None:
    (home,) = make_homes(tmp_path / "homes", "Ayesha")
    moved(home, database_url)
    shutil.copytree(home, tmp_path / "copy")
    with Home.open(home) as first, Home.open(tmp_path / "copy") as second:
        later_ms = first.dated_ms(0) + 40 * 86_400_000
        upkeep.in_turn(upkeep.rotate_prekeys, first, later_ms)
        upkeep.in_turn(upkeep.rotate_prekeys, second, later_ms)
        second.refresh()
        assert second.identity.encode() == first.identity.encode()
        with first.changing_identity(), second.changing_identity():
            ring, _ = first.identity.prekeys.rotate(later_ms // 1_000, first.identity.device_key, os.urandom)
            renewed = first.identity.with_prekeys(ring)
            first.save_identity(renewed)
            with pytest.raises(StoreProblem) as caught:
                second.save_identity(renewed)
            assert caught.value.reason == "busy"


def test_a_node_runs_on_each_copy_but_only_one_on_each(database_url: str, tmp_path: Path) -> None:
    (home,) = make_homes(tmp_path / "homes", "Ayesha")
    moved(home, database_url)
    shutil.copytree(home, tmp_path / "copy", ignore=shutil.ignore_patterns("*.lock"))
    with ExitStack() as stack:
        for path in (home, tmp_path / "copy"):
            stack.enter_context(stack.enter_context(Home.open(path)).lock())
        with pytest.raises(HomeProblem, match="runs on"):
            stack.enter_context(stack.enter_context(Home.open(home)).lock())


def test_a_running_node_is_woken_by_what_another_copy_writes(database_url: str, tmp_path: Path) -> None:
    (home,) = make_homes(tmp_path / "homes", "Ayesha")
    moved(home, database_url)
    shutil.copytree(home, tmp_path / "copy")
    with ExitStack() as stack:
        node, other = (stack.enter_context(Home.open(path)) for path in (home, tmp_path / "copy"))
        wake = stack.enter_context(wake_socket(node.wake_path))
        stack.enter_context(node.lock())
        assert isinstance(wake, socket.socket)
        wake.settimeout(20)
        assert wake.recv(16)  # It hears from now on.
        wake.setblocking(False)
        drain(wake)
        wake.settimeout(20)
        write(other)
        assert wake.recv(16)
