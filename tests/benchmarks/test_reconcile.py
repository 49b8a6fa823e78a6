"""What two nodes say to agree stays within the bars: bytes are the same at every run, so they are held here."""

from __future__ import annotations

import json

import pytest

from benchmarks.figures import Line
from benchmarks.link_model import BLE, ROUND_TRIPS, Talk
from benchmarks.reconcile_cases import Case, cost, pair, sent
from benchmarks.reconcile_disk import disk_pair
from benchmarks.reconcile_shelf import BODY_BYTES, PACKED
from benchmarks.reconcile_verdict import Judge
from benchmarks.reconcile_world import World
from sync.wire import Run, decode

FEW, MANY = World(1_000, 10), World(4_000, 300)


@pytest.fixture(scope="module")
def verdict() -> list[Line]:
    return list(Judge(MANY, None, ingest_us=0.0, many=1_000).lines())


@pytest.mark.parametrize("number", range(1, 8))
def test_the_bytes_are_within_the_bars_in_a_small_world(verdict: list[Line], number: int) -> None:
    line = verdict[number - 1]
    assert line.workload == f"reconcile {number}"
    assert [bound for bound in line.missed if "bytes" in bound or bound in ("duplicates_max", "round_trips_max")] == []


def test_a_bar_that_is_not_kept_is_said_to_be_missed() -> None:
    *_, cpu = Judge(FEW, None, ingest_us=31.0, many=100).lines()
    assert cpu.missed == ["ingest_us_max"]
    assert json.loads(cpu.to_json())["met"] is False


def test_a_world_has_as_many_entries_and_authors_as_asked_and_comes_from_its_seed() -> None:
    meeting = FEW.meeting(100, "holes")
    assert meeting == World(1_000, 10).meeting(100, "holes") != World(1_000, 10, seed=2).meeting(100, "holes")
    before = list(FEW.before(meeting))
    assert len({*before, *meeting.apart[0], *meeting.apart[1]}) == len(before) + 100
    assert sum(state.settled.count for _, state, _ in meeting.common) == len(before)
    assert len({log.feed for log, _ in before}) == 10


def test_what_is_newest_is_at_one_side_for_each_author() -> None:
    first, second = MANY.meeting(100, "newest").apart
    assert len(first) + len(second) == 100
    assert {log.feed for log, _ in first} & {log.feed for log, _ in second} == set()


def test_every_byte_that_was_sent_is_counted_once() -> None:
    meeting = FEW.meeting(100, "newest")
    talk = Talk(pair(FEW, meeting, Case(100)), BLE, b"counted")
    talk.run()
    found = sent(talk)
    records = [data for end in talk.ends for data in end.sent]
    assert found.reconciliation + found.runs == sum(map(len, records))
    runs = [run for run in (decode(data, bytes_max=1 << 20) for data in records) if isinstance(run, Run)]
    assert found.entries == sum(len(run.packed) for run in runs) == 100
    assert found.beside_entries == sum(map(len, records)) - 100 * len(PACKED)
    assert 65 < len(PACKED) - BODY_BYTES < 79


def test_those_who_know_each_other_know_what_to_send_after_half_a_round_trip_and_strangers_later() -> None:
    meeting = MANY.meeting(100, "newest")
    known = cost(lambda: pair(MANY, meeting, Case(100)))
    strangers = cost(lambda: pair(MANY, meeting, Case(100, known=False)))
    assert known.round_trips == 0.5 < strangers.round_trips
    assert known.ble_bytes.hello < strangers.ble_bytes.introduction


def test_a_record_arrives_half_a_round_trip_after_its_last_packet_left() -> None:
    assert BLE.takes_s(183) == pytest.approx((183 + 2 * 10) / 40_000)
    meeting = FEW.meeting(0, "newest")
    talk = Talk(pair(FEW, meeting, Case(0)), BLE, b"slow")
    talk.run()
    said = max(len(end.sent[0]) for end in talk.ends)
    assert max(end.known_at for end in talk.ends) == pytest.approx(BLE.takes_s(said) + 0.03)
    assert ROUND_TRIPS.takes_s(1_000) == 0


def test_nodes_with_their_entries_in_sqlite_say_what_those_in_memory_say() -> None:
    meeting = FEW.meeting(100, "holes")
    with disk_pair(FEW, meeting) as shelves:
        on_disk = Talk(shelves, BLE, b"either")
        on_disk.run()
    in_memory = Talk(pair(FEW, meeting, Case(100, "holes")), BLE, b"either")
    in_memory.run()
    assert [end.taken for end in on_disk.ends] == [end.taken for end in in_memory.ends]
    # Change numbers are those of commits there, of entries here: varints of them may differ by a byte.
    assert sent(on_disk).reconciliation == pytest.approx(sent(in_memory).reconciliation, abs=16)
