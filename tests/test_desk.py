"""The desk: what is accepted is kept, what is refused says why, and the ledger is honest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beepmesh import desk
from beepmesh.errors import TooLarge, UnknownName, Usage
from beepmesh.home import Home
from beepmesh.messages.content import TEXT_BYTES_MAX
from beepmesh.store.contract import Batch, MessageQuery, StoreProblem
from sync.logs import LogId
from tests.homes import BILAL, DAY_MS, NOW_MS, URDU, acquainted, carry, founded, joined, ledger, meet, texts


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    with acquainted(tmp_path) as homes:
        yield homes


# Sending.


@pytest.mark.parametrize("text", [URDU, "x", "\x1b[2J\x00\n", "x" * TEXT_BYTES_MAX, "ا" * (TEXT_BYTES_MAX // 2)])
def test_a_text_of_any_characters_and_size_arrives_as_it_was_written(pair: tuple[Home, Home], text: str) -> None:
    a, b = pair
    desk.send(a, BILAL, text, now_ms=NOW_MS)
    carry(a, b)
    assert texts(b) == [text]


def test_an_empty_and_a_too_long_text_are_refused_and_leave_nothing(pair: tuple[Home, Home]) -> None:
    a, _ = pair
    before = a.store.states()
    with pytest.raises(Usage, match="empty"):
        desk.send(a, BILAL, "", now_ms=NOW_MS)
    with pytest.raises(TooLarge, match="65537"):
        desk.send(a, BILAL, "x" * (TEXT_BYTES_MAX + 1), now_ms=NOW_MS)
    with pytest.raises(Usage, match="Unicode"):
        desk.send(a, BILAL, "\udcff", now_ms=NOW_MS)
    assert a.store.states() == before
    assert a.store.messages(MessageQuery(direction="both")) == []


def test_an_unknown_name_is_an_error_that_lists_near_ones(pair: tuple[Home, Home]) -> None:
    a, _ = pair
    with pytest.raises(UnknownName, match=BILAL):
        desk.send(a, "بلال احمدد", "x", now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("priority", "lane", "days"), [("sos", 0, 90), ("urgent", 0, 14), ("routine", 1, 14), ("bulk", 1, 14)]
)
def test_a_priority_decides_lane_and_lifetime(pair: tuple[Home, Home], priority: str, lane: int, days: int) -> None:
    a, _ = pair
    before = a.store.states()
    sent = desk.send(a, BILAL, "x", priority=priority, now_ms=NOW_MS)
    log = LogId(a.identity.feed, lane)
    assert a.store.states()[log].settled.top == (before[log].settled.top if log in before else 0) + 1
    shown = desk.show(a, sent.id, now_ms=NOW_MS).message
    assert shown.priority == priority
    assert shown.expires_ms - shown.sent_ms == days * DAY_MS


def test_what_is_asked_for_wrongly_is_refused(pair: tuple[Home, Home]) -> None:
    a, _ = pair
    for wrong in ({"priority": "very"}, {"expires": "91d"}, {"expires": "soon"}):
        with pytest.raises(Usage):
            desk.send(a, BILAL, "x", now_ms=NOW_MS, **wrong)
    desk.send(a, BILAL, "x", expires="36h", now_ms=NOW_MS)


def test_words_for_many_never_mean_oneself(tmp_path: Path, pair: tuple[Home, Home]) -> None:
    a, b = pair
    with joined(tmp_path / "c", a, "Dawood", department="flood") as c:
        meet(a, b, c)
        assert desk.send(a, "everyone", "x", now_ms=NOW_MS).recipients == ("Dawood", BILAL)
        assert desk.send(b, "everyone", "x", now_ms=NOW_MS).recipients == ("Ayesha Khan", "Dawood")
        assert desk.send(b, "hq", "x", now_ms=NOW_MS).recipients == ("Ayesha Khan",)
        assert desk.send(b, "dept:flood", "x", now_ms=NOW_MS).recipients == ("Dawood",)
        for who, home in (("hq", a), ("dept:flood/swat", b)):
            with pytest.raises(Usage, match="nobody but you"):
                desk.send(home, who, "x", now_ms=NOW_MS)


def test_a_message_to_many_says_to_whom_as_its_author_did(pair: tuple[Home, Home]) -> None:
    a, b = pair
    desk.send(a, "everyone", "all", now_ms=NOW_MS)
    desk.send(a, BILAL, "one", now_ms=NOW_MS)
    carry(a, b)
    assert [shown.to for shown in desk.inbox(b, now_ms=NOW_MS).messages] == [("everyone",), (BILAL,)]


def test_a_message_to_oneself_needs_another_device(tmp_path: Path, pair: tuple[Home, Home]) -> None:
    a, b = pair
    with pytest.raises(Usage, match="no other device"):
        desk.send(a, "ayesha khan", "note", now_ms=NOW_MS)
    with joined(tmp_path / "a2", a, "Ayesha Khan", person=a.identity.person) as second:
        meet(a, b, second)
        sent = desk.send(a, "Ayesha Khan", "note", now_ms=NOW_MS)
        carry(a, second)
        assert texts(second) == ["note"]
        assert desk.receipts_due(second, NOW_MS) == 1
        carry(second, a)
        assert ledger(a, sent.id) == [("Ayesha Khan", "delivered", "")]


def test_own_other_devices_get_a_copy_that_asks_for_no_receipt_on_the_air(
    tmp_path: Path, pair: tuple[Home, Home]
) -> None:
    a, b = pair
    with joined(tmp_path / "a2", a, "Ayesha Khan", person=a.identity.person) as second:
        meet(a, b, second)
        sent = desk.send(a, BILAL, URDU, now_ms=NOW_MS)
        carry(a, second)
        before = second.store.states()
        assert desk.receipts_due(second, NOW_MS) == 1
        (copy,) = desk.inbox(second, now_ms=NOW_MS).messages
        assert (copy.text, copy.sender, copy.mine) == (URDU, "Ayesha Khan", False)
        assert desk.show(second, sent.id, now_ms=NOW_MS).lines == ()
        assert desk.receipts_due(second, NOW_MS) == 0
        assert desk.seal_waiting(second, NOW_MS) == 0
        assert second.store.states() == before
        assert [who for who, _, _ in ledger(a, sent.id)] == [BILAL]


# Reading.


def test_reading_tells_the_sender_and_only_once(pair: tuple[Home, Home]) -> None:
    a, b = pair
    sent = desk.send(a, BILAL, "x", now_ms=NOW_MS)
    carry(a, b)
    carry(a, b)
    assert desk.receipts_due(b, NOW_MS) == 1
    carry(b, a)
    assert ledger(a, sent.id) == [(BILAL, "delivered", "")]
    (first,) = desk.inbox(b, unread=True, now_ms=NOW_MS).messages
    assert (first.unread, first.state) == (True, "read")
    written = b.store.states()
    assert desk.inbox(b, unread=True, now_ms=NOW_MS).messages == ()
    (again,) = desk.inbox(b, now_ms=NOW_MS).messages
    assert (again.unread, again.state) == (False, "read")
    assert b.store.states() == written
    carry(b, a)
    assert ledger(a, sent.id) == [(BILAL, "read", "")]


def test_many_messages_are_receipted_in_one_entry_for_each_sender(pair: tuple[Home, Home]) -> None:
    a, b = pair
    for number in range(10):
        desk.send(a, BILAL, str(number), now_ms=NOW_MS)
    carry(a, b)
    lane = LogId(b.identity.feed, 1)
    assert desk.receipts_due(b, NOW_MS) == 10
    assert b.store.states()[lane].settled.top == 1
    desk.inbox(b, now_ms=NOW_MS)
    assert b.store.states()[lane].settled.top == 2


def test_an_order_is_acknowledged_as_urgently_as_it_came(pair: tuple[Home, Home]) -> None:
    a, b = pair
    sent = desk.send(a, BILAL, "Evacuate.", priority="urgent", now_ms=NOW_MS)
    carry(a, b)
    urgent = LogId(b.identity.feed, 0)
    before = b.store.states()[urgent].settled.top
    assert desk.acknowledge(b, sent.id[:8], now_ms=NOW_MS).state == "acknowledged"
    assert b.store.states()[urgent].settled.top == before + 1
    assert desk.acknowledge(b, sent.id[:8], now_ms=NOW_MS).state == "acknowledged"
    assert b.store.states()[urgent].settled.top == before + 1
    carry(b, a)
    assert ledger(a, sent.id) == [(BILAL, "acknowledged", "")]
    assert desk.inbox(b, now_ms=NOW_MS).messages[0].state == "acknowledged"


def test_only_a_receiver_acknowledges_and_ids_must_be_ids(pair: tuple[Home, Home]) -> None:
    a, _ = pair
    sent = desk.send(a, BILAL, "x", now_ms=NOW_MS)
    with pytest.raises(Usage, match="You wrote"):
        desk.acknowledge(a, sent.id, now_ms=NOW_MS)
    for wrong in ("", "abc", "zzzz", "12 34", "%", "_" * 4):
        with pytest.raises(Usage):
            desk.show(a, wrong, now_ms=NOW_MS)
    other = "0000" if not sent.id.startswith("0000") else "ffff"
    with pytest.raises(UnknownName):
        desk.show(a, other, now_ms=NOW_MS)


def test_the_inbox_can_be_narrowed_and_followed(tmp_path: Path, pair: tuple[Home, Home]) -> None:
    a, b = pair
    with joined(tmp_path / "c", a, "Dawood") as c:
        meet(a, b, c)
        desk.send(a, BILAL, "from a", now_ms=NOW_MS)
        desk.send(c, BILAL, "from c", now_ms=NOW_MS)
        carry(a, b)
        carry(c, b, now_ms=NOW_MS + DAY_MS)
        every = desk.inbox(b, mark_read=False, now_ms=NOW_MS).messages
        assert [shown.text for shown in every] == ["from a", "from c"]
        assert texts_of(desk.inbox(b, who="dawood", mark_read=False, now_ms=NOW_MS)) == ["from c"]
        assert texts_of(desk.inbox(b, since_ms=NOW_MS + 1, mark_read=False, now_ms=NOW_MS)) == ["from c"]
        assert texts_of(desk.inbox(b, after=every[0].number, mark_read=False, now_ms=NOW_MS)) == ["from c"]
        assert texts_of(desk.inbox(b, limit=1, mark_read=False, now_ms=NOW_MS)) == ["from c"]
        for wrong in ("everyone", "Nobody"):
            with pytest.raises(UnknownName):
                desk.inbox(b, who=wrong, now_ms=NOW_MS)


def texts_of(inbox: desk.Inbox) -> list[str]:
    return [shown.text for shown in inbox.messages]


def test_people_of_one_name_are_told_apart(tmp_path: Path, pair: tuple[Home, Home]) -> None:
    a, b = pair
    with joined(tmp_path / "b2", a, BILAL) as namesake:
        meet(a, b, namesake)
        names = [person.name for person in desk.people(a, now_ms=NOW_MS)]
        assert len(set(names)) == 3
        assert all(re.fullmatch(r"بلال احمد#[0-9a-f]{8}", name) for name in names[1:])
        with pytest.raises(UnknownName, match="2 people"):
            desk.send(a, BILAL, "x", now_ms=NOW_MS)
        desk.send(a, names[1], "x", now_ms=NOW_MS)
        meet(a, b, namesake)
        assert sorted([texts(b), texts(namesake)]) == [[], ["x"]]


# Views, disks and clocks.


def test_views_rebuilt_from_the_truth_are_equal(pair: tuple[Home, Home]) -> None:
    a, b = pair
    for number in range(3):
        desk.send(a, "everyone", f"{number} {URDU}", now_ms=NOW_MS + number)
        desk.send(b, "hq", f"answer {number}", priority="urgent", now_ms=NOW_MS + number)
    meet(a, b)
    desk.receipts_due(b, NOW_MS)
    desk.inbox(a, now_ms=NOW_MS)
    meet(a, b)
    for home in (a, b):
        query = MessageQuery(direction="both")
        before = home.store.messages(query)
        ledgers = [home.store.ledger(message.row.message_id, NOW_MS) for message in before]
        home.store.rebuild_views()
        assert home.store.messages(query) == before
        assert [home.store.ledger(message.row.message_id, NOW_MS) for message in before] == ledgers
        assert before


def test_a_home_that_cannot_be_written_accepts_nothing_and_still_shows(
    pair: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    sent = desk.send(a, BILAL, URDU, now_ms=NOW_MS)
    carry(a, b)
    for reason in ("full", "read-only"):

        def refuse(*_: object, reason: str = reason, **__: object) -> None:
            raise StoreProblem("full" if reason == "full" else "read-only", "store.db")

        with monkeypatch.context() as patch:
            patch.setattr(b.store, "commit", refuse)
            with pytest.raises(StoreProblem, match="nothing was written|cannot be written"):
                desk.send(b, "hq", "x", now_ms=NOW_MS)
            shown = desk.inbox(b, now_ms=NOW_MS)
            assert texts_of(shown) == [URDU]
            assert shown.note.startswith("Nothing was marked as read")
            assert shown.messages[0].state == "new"
            assert desk.show(b, sent.id, now_ms=NOW_MS).message.text == URDU
    assert texts_of(desk.inbox(b, unread=True, now_ms=NOW_MS)) == [URDU]
    assert b.store.messages(MessageQuery(direction="out")) == []


def test_status_counts_what_waits_and_what_was_refused(pair: tuple[Home, Home]) -> None:
    a, b = pair
    desk.send(a, BILAL, "x", now_ms=NOW_MS)
    carry(a, b)
    a.store.commit(Batch(counts={"bad-signature": 2}), keys=a.keys(), now_ms=NOW_MS)
    status = desk.status(a, now_ms=NOW_MS)
    assert status.underway == {"queued": 1}
    assert status.counts["bad-signature"].count == 2
    assert (status.people, status.unread, status.node, status.writable) == (2, 0, None, True)
    assert desk.status(b, now_ms=NOW_MS).unread == 1
    assert status.roles == ("hq", "registrar")
    assert [setting.key for setting in status.settings] == [
        "links.use",
        "links.metered_kilobytes_per_day",
        "storage.megabytes",
        "storage.carried_megabytes",
    ]


def test_nobody_reads_names_or_texts_in_the_files(pair: tuple[Home, Home]) -> None:
    a, b = pair
    desk.send(a, BILAL, URDU * 3, now_ms=NOW_MS)
    carry(a, b)
    desk.inbox(b, now_ms=NOW_MS)
    for home in (a, b):
        for file in home.path.iterdir():
            if file.is_file():
                data = file.read_bytes()
                for word in (URDU[:20], "بلال", "Ayesha", "flood", "Rescue"):
                    assert word.encode() not in data, (file.name, word)


# Processes.

SENDER = """
import sys, time
from pathlib import Path
from beepmesh import desk
from beepmesh.home import Home
with Home.open(Path(sys.argv[1])) as home:
    for number in range(int(sys.argv[2])):
        print(desk.send(home, "everyone", f"{sys.argv[3]} {number}", now_ms=time.time_ns() // 1_000_000).id, flush=True)
"""


def sender(home: Path, count: int, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SENDER, str(home), str(count), name], stdout=subprocess.PIPE, text=True
    )


def now_pair(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    with founded(tmp_path / "a", now_ms=now_ms) as a, joined(tmp_path / "b", a, "Bilal", now_ms=now_ms) as b:
        meet(a, b, now_ms=now_ms)


def test_two_processes_send_from_one_home_at_once(tmp_path: Path) -> None:
    now_pair(tmp_path)
    children = [sender(tmp_path / "a", 20, name) for name in ("one", "two")]
    printed = [line for child in children for line in child.communicate(timeout=60)[0].split()]
    assert [child.returncode for child in children] == [0, 0]
    with Home.open(tmp_path / "a") as a, Home.open(tmp_path / "b") as b:
        now_ms = time.time_ns() // 1_000_000
        own = a.store.messages(MessageQuery(direction="out"))
        assert sorted(message.row.message_id.hex() for message in own) == sorted(printed)
        carry(a, b, now_ms=now_ms)
        assert sorted(texts(b)) == sorted(f"{name} {number}" for name in ("one", "two") for number in range(20))


def test_what_send_returned_survives_being_killed_in_the_middle_of_the_next(tmp_path: Path) -> None:
    now_pair(tmp_path)
    printed: list[str] = []
    for number in range(5):
        with sender(tmp_path / "a", 10_000, "x") as child:
            assert child.stdout is not None
            printed += [child.stdout.readline().strip() for _ in range(1 + 3 * number)]
            os.kill(child.pid, signal.SIGKILL)
            # What stood in the pipe was printed, so it was sent; a last half line was not printed.
            printed += [line for line in child.stdout.read().split("\n") if len(line) == 32]
    with Home.open(tmp_path / "a") as a, Home.open(tmp_path / "b") as b:
        own = {message.row.message_id.hex() for message in a.store.messages(MessageQuery(direction="out"))}
        assert set(printed) <= own
        carry(a, b, now_ms=time.time_ns() // 1_000_000)
        theirs = {message.row.message_id.hex() for message in b.store.messages(MessageQuery())}
        assert theirs == own
