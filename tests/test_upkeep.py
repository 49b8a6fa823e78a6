"""What passing days ask for: waiting messages sealed, prekeys renewed and destroyed, and no clock that erases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from beepmesh import desk
from beepmesh.home import Home
from beepmesh.store.contract import Batch, StoreProblem
from beepmesh.upkeep import list_feeds
from sync.logs import LogId
from tests.homes import BILAL, DAY_MS, NOW_MS, acquainted, carry, founded, joined, ledger, meet, texts


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    with acquainted(tmp_path) as homes:
        yield homes


# Waiting for prekeys.


def without_prekeys(source: Home, target: Home) -> None:
    """Target hears of source's device, but not of its prekeys."""
    log = LogId(source.identity.device, 0)
    first = source.store.entry(log, 0)
    assert first is not None
    fact = source.store.facts()[0]
    target.roster.learn(fact)
    target.store.commit(Batch(entries=(first,), facts=(fact,)), keys=target.keys(), now_ms=NOW_MS)


def test_a_message_waits_for_prekeys_and_is_sealed_when_they_come(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, joined(tmp_path / "b", a, "Bilal") as b:
        without_prekeys(b, a)
        sent = desk.send(a, "Bilal", "Bridge is out.", now_ms=NOW_MS)
        assert [(waiting.name, waiting.reason) for waiting in sent.waiting] == [("Bilal", "no-prekey")]
        assert ledger(a, sent.id) == [("Bilal", "queued", "no-prekey")]
        assert desk.status(a, now_ms=NOW_MS).waiting_for_prekeys == 1
        assert desk.seal_waiting(a, NOW_MS) == 0
        carry(b, a)
        assert desk.seal_waiting(a, NOW_MS) == 1
        assert desk.seal_waiting(a, NOW_MS) == 0
        assert ledger(a, sent.id) == [("Bilal", "queued", "nobody-met")]
        carry(a, b)
        assert texts(b) == ["Bridge is out."]
        assert desk.inbox(b, now_ms=NOW_MS).messages[0].id == sent.id


def test_what_waits_survives_reopening_and_dies_with_its_lifetime(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, joined(tmp_path / "b", a, "Bilal") as b:
        without_prekeys(b, a)
        sent = desk.send(a, "Bilal", "x", expires="1h", now_ms=NOW_MS)
        a.close()
        with Home.open(tmp_path / "a") as again:
            carry(b, again)
            assert desk.seal_waiting(again, NOW_MS + DAY_MS) == 0
            assert ledger(again, sent.id, now_ms=NOW_MS + DAY_MS) == [("Bilal", "expired", "")]
            assert desk.seal_waiting(again, NOW_MS) == 1


def test_a_device_that_comes_later_gets_what_still_lives(tmp_path: Path, pair: tuple[Home, Home]) -> None:
    a, b = pair
    desk.send(a, BILAL, "x", now_ms=NOW_MS)
    with joined(tmp_path / "b2", a, BILAL, person=b.identity.person) as second:
        meet(a, second)
        assert desk.seal_waiting(a, NOW_MS) == 1
        meet(a, b, second)
        assert texts(second) == ["x"]
        assert texts(b) == ["x"]


def test_receipts_wait_for_prekeys_too(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, joined(tmp_path / "b", a, "Bilal") as b:
        carry(b, a)
        without_prekeys(a, b)
        sent = desk.send(a, "Bilal", "x", now_ms=NOW_MS)
        feed = LogId(a.identity.feed, 0)
        assert feed in a.store.states()
        carry_without_prekeys(a, b)
        assert desk.receipts_due(b, NOW_MS) == 1
        assert desk.seal_waiting(b, NOW_MS) == 0
        meet(a, b)
        assert desk.seal_waiting(b, NOW_MS) == 1
        meet(a, b)
        assert ledger(a, sent.id) == [("Bilal", "delivered", "")]


def carry_without_prekeys(source: Home, target: Home) -> None:
    real = source.store.entry
    hidden = LogId(source.identity.device, 0)

    def entry(log: LogId, seq: int) -> object:
        return None if log == hidden and seq == 1 else real(log, seq)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source.store, "entry", entry)
        carry(source, target)


# Clocks and disks.


def test_a_full_disk_between_keystore_and_log_is_made_good_later(
    pair: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    later = NOW_MS + 8 * DAY_MS

    def refuse(*_: object, **__: object) -> None:
        raise StoreProblem("full", "store.db")

    with monkeypatch.context() as patch:
        patch.setattr(a.store, "commit", refuse)
        with pytest.raises(StoreProblem):
            desk.rotate_prekeys(a, later)
    newest = a.identity.prekeys.held[-1].prekey_id
    assert desk.rotate_prekeys(a, later)
    assert not desk.rotate_prekeys(a, later)
    assert len(a.identity.prekeys.held) == 2
    carry(a, b)
    bundle = b.roster.bundle(a.identity.device, later // 1_000)
    assert bundle is not None
    assert bundle.prekey_id == newest


def test_prekeys_are_destroyed_though_headquarters_is_far_and_the_device_often_off(pair: tuple[Home, Home]) -> None:
    _, b = pair
    first = b.identity.prekeys.held[0]
    for days in range(2, 46, 2):  # On every other day: never on the very day on which a new prekey is due.
        desk.rotate_prekeys(b, NOW_MS + days * DAY_MS)
    assert first not in b.identity.prekeys.held


def test_prekeys_are_destroyed_by_the_clock_but_not_by_one_that_jumped(pair: tuple[Home, Home]) -> None:
    a, _ = pair
    first = a.identity.prekeys.held[0].prekey_id
    for week in range(1, 9):
        desk.rotate_prekeys(a, NOW_MS + 7 * week * DAY_MS)
    assert first not in [held.prekey_id for held in a.identity.prekeys.held]
    held = a.identity.prekeys.held
    desk.rotate_prekeys(a, 4_102_444_800_000)
    assert set(held) <= set(a.identity.prekeys.held)
    with Home.open(a.path) as again:
        assert again.identity == a.identity


@pytest.mark.parametrize("clock_ms", [0, 4_102_444_800_000])
def test_a_wrong_clock_sends_and_reads_and_erases_nothing(pair: tuple[Home, Home], clock_ms: int) -> None:
    a, b = pair
    first = desk.send(a, BILAL, "before", now_ms=NOW_MS)
    desk.send(a, BILAL, "with a wrong clock", now_ms=clock_ms)
    assert desk.expire(a, clock_ms) == 0
    assert ledger(a, first.id, now_ms=clock_ms) == [(BILAL, "queued", "nobody-met")]
    carry(a, b, now_ms=clock_ms)
    desk.inbox(b, now_ms=clock_ms)
    desk.seal_waiting(b, clock_ms)
    desk.rotate_prekeys(b, clock_ms)
    desk.send(a, BILAL, "after", now_ms=NOW_MS + 1)
    carry(a, b)
    assert texts(b) == ["before", "with a wrong clock", "after"]
    log = a.store.read(LogId(a.identity.feed, 1), 0, 9, bytes_max=1 << 20, with_prev=False)
    times = [entry.time_ms for entry in log.entries]
    assert times == sorted(set(times))
    assert any("clock" in trouble for trouble in desk.status(a, now_ms=clock_ms).troubles)
    assert not desk.status(a, now_ms=NOW_MS).troubles


def test_what_has_outlived_its_time_is_erased(pair: tuple[Home, Home]) -> None:
    a, _ = pair
    desk.send(a, BILAL, "x", expires="1h", now_ms=NOW_MS)
    assert desk.expire(a, NOW_MS + 3_599_000) == 0
    assert desk.expire(a, NOW_MS + 3_601_000) == 1


def test_headquarters_renews_itself_and_everybody_hears_the_time(pair: tuple[Home, Home]) -> None:
    a, b = pair
    later = NOW_MS + 31 * DAY_MS
    assert not desk.renew_certificates(a, NOW_MS + 29 * DAY_MS)
    assert not desk.renew_certificates(b, later)
    assert desk.renew_certificates(a, later)
    assert not desk.renew_certificates(a, later)
    carry(a, b)
    assert b.trusted_s == later // 1_000
    certificate = b.roster.device(a.identity.device)
    assert certificate is not None
    assert certificate.expires == later // 1_000 + 90 * 86_400
    assert desk.rotate_prekeys(b, later)
    carry(b, a)
    desk.send(a, BILAL, "still here", now_ms=later)
    carry(a, b, now_ms=later)
    assert texts(b) == ["still here"]


# The organisation's list of feeds.


def listed(home: Home) -> list[bytes]:
    return [home.roster.feed_list.feed(number) for number in range(len(home.roster.feed_list))]


def test_the_founder_lists_control_feeds_once_and_everybody_reads_the_same_list(pair: tuple[Home, Home]) -> None:
    a, b = pair
    assert list_feeds(a, NOW_MS) == 2
    assert list_feeds(a, NOW_MS) == 0
    assert listed(a) == sorted([a.identity.device, b.identity.device])
    carry(a, b)
    assert listed(b) == listed(a)
    assert list_feeds(b, NOW_MS) == 0
    for home in pair:
        with Home.open(home.path) as again:
            assert listed(again) == listed(a)
            assert list_feeds(again, NOW_MS) == 0


def test_somebody_else_than_the_keeper_lists_nothing(pair: tuple[Home, Home]) -> None:
    _, b = pair
    entries = b.store.size().entries
    assert list_feeds(b, NOW_MS) == 0
    assert listed(b) == []
    assert b.store.size().entries == entries


def test_a_page_never_ties_a_message_feed_to_who_came_with_it(tmp_path: Path, pair: tuple[Home, Home]) -> None:
    a, b = pair
    with joined(tmp_path / "c", a, "Chand") as c, joined(tmp_path / "d", a, "Dawood") as d:
        members = (a, b, c, d)
        for member in members:  # One after the other, each with a page of its own.
            meet(a, member)
            list_feeds(a, NOW_MS)
        assert set(listed(a)) == {member.identity.device for member in members}
        tomorrow = NOW_MS + DAY_MS
        assert list_feeds(a, tomorrow) == 4
        assert listed(a)[4:] == sorted(member.identity.feed for member in members)


def test_message_feeds_that_come_late_wait_for_others_and_for_another_day(
    tmp_path: Path, pair: tuple[Home, Home]
) -> None:
    a, _ = pair
    later = NOW_MS + 3 * DAY_MS
    with ExitStack() as homes:
        late = [homes.enter_context(joined(tmp_path / f"late {number}", a, f"L{number}")) for number in range(7)]
        for member in late[:2]:
            meet(a, member)
        assert list_feeds(a, later) == 4 + 4  # With the two who are there: four of each kind.
        for member in late[2:5]:
            meet(a, member)
        assert list_feeds(a, later + DAY_MS) == 3  # Control feeds: three message feeds would be too few.
        meet(a, late[5])
        assert list_feeds(a, later + DAY_MS) == 1 + 4
        meet(a, late[6])
        assert list_feeds(a, later + DAY_MS) == 1
        assert not {member.identity.feed for member in late[6:]} & set(listed(a))


def test_a_day_has_one_page_of_message_feeds_at_most(tmp_path: Path, pair: tuple[Home, Home]) -> None:
    a, _ = pair
    later = NOW_MS + 3 * DAY_MS
    with ExitStack() as homes:
        late = [homes.enter_context(joined(tmp_path / f"late {number}", a, f"L{number}")) for number in range(6)]
        for member in late[:2]:
            meet(a, member)
        list_feeds(a, later)
        for member in late[2:]:
            meet(a, member)
        assert list_feeds(a, later + 1) == 4  # Four message feeds wait, and go on waiting.
        with Home.open(a.path) as again:
            assert list_feeds(again, later + 2) == 0
            assert list_feeds(again, later + DAY_MS) == 4
