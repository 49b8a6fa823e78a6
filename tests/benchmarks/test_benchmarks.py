"""The benchmarks run, count what they say they count, and judge by their own bars."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from beepmesh.home import Home
from benchmarks import processes
from benchmarks.bars import Bar
from benchmarks.bigstore import big_store
from benchmarks.figures import Line, table
from benchmarks.ground import JUMBO_MTU, MTU, Ground
from benchmarks.syncing import reconnect
from benchmarks.village import AUTHORS, KEEPER, RECIPIENT, Village, carry, write
from benchmarks.wraps import WRAP_BYTES, record_bytes, wraps_on_wire


@pytest.mark.needs_hosts
def test_two_that_hold_the_same_meet_again_for_little(tmp_path: Path) -> None:
    (line,) = reconnect(Village(tmp_path), 20)
    found = json.loads(line.to_json())
    assert found["workload"] == "W2"
    assert 0 < found["record_bytes"] < found["wire_bytes"]
    assert found["met"] is True
    assert found["peer"]["wire_bytes"] == 2_203


@pytest.mark.needs_hosts
def test_cables_between_nodes_that_say_nothing_are_silent(tmp_path: Path) -> None:
    village = Village(tmp_path)
    with Ground("a", "b") as ground:
        ground.pair(village.known(KEEPER), village.known(RECIPIENT))
        before = ground.wire()
        ground.until_quiet()
        assert ground.wire() == before


def test_a_village_knows_its_people_and_its_keeper_holds_what_was_written(tmp_path: Path) -> None:
    village = Village(tmp_path)
    with Home.open(village.keeper_of(10)) as keeper, Home.open(village.known(AUTHORS[0])) as author:
        assert len(keeper.roster.people()) == len(author.roster.people()) == 13
        assert len(keeper.roster.feed_list) == len(author.roster.feed_list) == 13 * 2
        assert keeper.store.size().entries == 13 * 3 + 1 + 10


def test_a_big_store_is_asked_what_it_is_said_to_be_asked() -> None:
    (line,) = big_store(4_000, 200)
    found = json.loads(line.to_json())
    assert found["workload"] == "store"
    assert 3_000 < found["entries"] < 5_000
    assert {"open_s", "changed_since_0_ms", "hello_ms", "run_read_ms", "expire_100_ms", "evict_100_ms"} <= set(found)
    assert table([line]).count("nobody else was measured") == 1


def test_what_is_written_is_carried_once(tmp_path: Path) -> None:
    village = Village(tmp_path)
    with Home.open(village.known(AUTHORS[0])) as author, Home.open(village.known(KEEPER)) as keeper:
        before = keeper.store.size().entries
        write(author, RECIPIENT, 3)
        carry(author, keeper)
        carry(author, keeper)
        assert keeper.store.size().entries == before + 3


def test_wraps_are_told_from_the_rest_with_the_segments_they_add() -> None:
    assert wraps_on_wire([40, -200], MTU) == (0, 0)
    assert wraps_on_wire([WRAP_BYTES + 100], MTU) == (1, WRAP_BYTES)
    assert wraps_on_wire([-(WRAP_BYTES + 300), 50], MTU) == (1, WRAP_BYTES + 66)
    assert wraps_on_wire([-(WRAP_BYTES + 300), 50], JUMBO_MTU) == (1, WRAP_BYTES)


def test_records_are_counted_without_handshake_and_sealing() -> None:
    assert record_bytes([100, -120, 90, 17 + 20, -(17 + 30)]) == 50


def test_a_figure_beyond_its_bound_or_not_there_is_missed() -> None:
    bar = Bar({"name": "peer", "fast": 5}, {"fast_min": 10, "bytes_max": 10, "absent_max": 1})
    line = Line("W0", "none", {"fast": 9.99, "bytes": 10}, bar)
    assert line.missed == ["fast_min", "absent_max"]
    assert json.loads(line.to_json())["met"] is False
    assert "not measured" in table([line])


def test_the_cpu_clock_of_a_process_counts_its_work() -> None:
    before, own = processes.cpu_s(os.getpid()), time.process_time()
    while time.process_time() - own < 0.02:
        pass
    assert 0.02 <= processes.cpu_s(os.getpid()) - before < 5
