"""Workloads are read as they are or refused with the line, and what is written is read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from simulations import workload
from simulations.lines import BadFile
from simulations.workload import EVERYBODY, Message, load, load_uplinks, save, save_uplinks
from tests.simulations.drawn import NODES, workloads

COLUMNS = "id,t,src,dst,size,ttl,prio\n"


def test_a_workload_is_read_in_the_order_of_its_times(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text(COLUMNS + "4,70.5,1,-1,400,86400,0\n9,4.000,0,2,50000,60,2\n")
    assert load(path, 3) == (Message(9, 4, 0, 2, 50_000, 60, 2), Message(4, 70.5, 1, EVERYBODY, 400, 86_400, 0))


@given(messages=workloads())
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, messages: tuple[Message, ...]
) -> None:
    path = tmp_path_factory.mktemp("workload") / "w.csv"
    save(messages, path)
    assert load(path, NODES) == tuple(sorted(messages, key=lambda message: (message.t, message.id)))


@pytest.mark.parametrize(
    ("rows", "where", "what"),
    [
        ("1,0,0,1,400,60\n", ":2:", "6 columns"),
        ("1,0,0,1,400,60,1,1\n", ":2:", "8 columns"),
        ("1,0,0,1,400,60,1\n1,0,0,1,400,60,1\n", ":3:", "second time"),
        ("1,0,1,1,400,60,1\n", ":2:", "writes to itself"),
        ("1,0,0,3,400,60,1\n", ":2:", "dst"),
        ("1,0,-1,1,400,60,1\n", ":2:", "src"),
        ("1,0,0,1,0,60,1\n", ":2:", "size"),
        ("1,0,0,1,4e2,60,1\n", ":2:", "size"),
        ("1,nan,0,1,400,60,1\n", ":2:", "t is"),
        ("1,0,0,1,400,-1,1\n", ":2:", "ttl"),
        ("1,0,0,1,400,60,3\n", ":2:", "prio"),
        ("x,0,0,1,400,60,1\n", ":2:", "id"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(tmp_path: Path, rows: str, where: str, what: str) -> None:
    path = tmp_path / "w.csv"
    path.write_text(COLUMNS + rows)
    with pytest.raises(BadFile) as caught:
        load(path, 3)
    assert f"{path}{where}" in str(caught.value)
    assert what in str(caught.value)


def test_other_columns_and_a_message_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.csv"
    path.write_text("id,time\n")
    with pytest.raises(BadFile, match=":1: the columns are 'id,time'"):
        load(path, 3)
    path.write_text(COLUMNS + "1,0,0,1,4,60,1\n2,0,0,1,4,60,1\n")
    monkeypatch.setattr(workload, "MESSAGE_COUNT_MAX", 1)
    with pytest.raises(BadFile, match=":3: more than 1 messages"):
        load(path, 3)


def test_uplinks_are_pairs_with_a_speed(tmp_path: Path) -> None:
    path = tmp_path / "u.csv"
    path.write_text("a,b,bytes_per_s\n15,39,125000\n37,3,9.5\n")
    speeds = load_uplinks(path, 40)
    assert speeds == {(15, 39): 125_000, (3, 37): 9.5}
    save_uplinks(speeds, path)
    assert load_uplinks(path, 40) == speeds


@pytest.mark.parametrize("rows", ["1,1,5\n", "1,2,5\n2,1,5\n", "1,2,0\n", "1,40,5\n", "1,2\n"])
def test_a_wrong_uplink_is_refused_by_its_number(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "u.csv"
    path.write_text("a,b,bytes_per_s\n" + rows)
    with pytest.raises(BadFile, match=rf":{rows.count(chr(10)) + 1}: "):
        load_uplinks(path, 40)
