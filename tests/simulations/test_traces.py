"""Traces are read as they are, put in order, refused with file and line, and written so that they can be read again."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given

from simulations import lines
from simulations.lines import BadFile
from simulations.traces import Contact, Trace, load, merged, normalised, save, statistics, window
from tests.simulations.drawn import sightings, traces

HEADER = '# {"name": "small", "nodes": 4}\n'


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_the_own_format_keeps_numbers_and_times(tmp_path: Path) -> None:
    path = write(tmp_path, "a.ct", HEADER + "5 60.5 0 2\n7 8 1 0\n")
    trace = load(path)
    assert (trace.name, trace.nodes, trace.duration) == ("small", 4, 60.5)
    assert trace.contacts == (Contact(5, 60.5, 0, 2), Contact(7, 8, 0, 1))


@pytest.mark.parametrize("name", ["a.ct", "a.ct.gz", "a.one", "a.one.gz"])
def test_what_was_written_is_read_again(tmp_path: Path, name: str) -> None:
    contacts = (Contact(0, 60, 1, 2), Contact(60.25, 61, 1, 2), Contact(70, 70, 0, 3), Contact(71, 80, 0, 3))
    trace = Trace("små", 5, contacts, {"licence": "own", "seed": 3})
    save(trace, tmp_path / name)
    found = load(tmp_path / name)
    assert (found.name, found.nodes, found.contacts) == (trace.name, trace.nodes, trace.contacts)
    assert found.meta["licence"] == "own"
    first = (tmp_path / name).read_bytes()
    save(found, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_one_files_of_others_are_closed_renumbered_and_moved_to_zero(tmp_path: Path) -> None:
    text = "10 CONN p7 c3 up\n10.5 C M1 1 2 3\n11 CONN c3 p7 up\n12\tCONN\tp10\tp7\tup\n" + "15 CONN p7 c3 down\n" * 2
    trace = load(write(tmp_path, "theirs.txt", text), "one")
    assert trace.contacts == (Contact(0, 5, 0, 1), Contact(2, 5, 1, 2))
    assert trace.meta["ids"] == ["c3", "p7", "p10"]


def test_face_to_face_rows_are_the_twenty_seconds_before_and_neighbours_are_joined(tmp_path: Path) -> None:
    trace = load(write(tmp_path, "a.tij.gz", "100\t9\t4\tX\n120 4 9\n160 4 9\n200 4 9\n200 11 4\n"))
    assert trace.contacts == (Contact(0, 120, 0, 1), Contact(100, 120, 0, 2))
    assert len(load(tmp_path / "a.tij.gz", gap=0).contacts) == 4


def test_a_single_sighting_of_a_scan_lasts_half_a_scan(tmp_path: Path) -> None:
    trace = load(write(tmp_path, "a.imote", "id1,id2,start,stop\n3 1 500 500 1 0\n1;8;530;700\n"))
    assert trace.contacts == (Contact(0, 60, 0, 1), Contact(30, 200, 0, 2))
    assert load(tmp_path / "a.imote", min_length=0).contacts[0].stop == 0


@pytest.mark.parametrize(
    ("name", "text", "where", "what"),
    [
        ("a.ct", "", ":1:", "JSON object"),
        ("a.ct", "0 1 2 3\n", ":1:", "JSON object"),
        ("a.ct", "# " + "[" * 5000 + "\n", ":1:", "JSON object"),
        ("a.ct", '# {"name": "x", "nodes": 1000001}\n', ":1:", "nodes should be"),
        ("a.ct", '# {"name": "", "nodes": 4}\n', ":1:", "name should be"),
        ("a.ct", HEADER + "0 1 2\n", ":2:", "3 columns"),
        ("a.ct", HEADER + "\n0 1 2 4\n", ":3:", "from 0 to 3"),
        ("a.ct", HEADER + "0 1 2 2\n", ":2:", "meets itself"),
        ("a.ct", HEADER + "5 1 2 3\n", ":2:", "the stop"),
        ("a.ct", HEADER + "nan 1 2 3\n", ":2:", "the start"),
        ("a.ct", HEADER + "-1 1 2 3\n", ":2:", "the start"),
        ("a.ct", HEADER + "0 inf 2 3\n", ":2:", "the stop"),
        ("a.ct", HEADER + "0 1 1_0 3\n", ":2:", "a node"),
        ("a.ct", HEADER + "0 1 ² 3\n", ":2:", "a node"),
        ("a.ct", HEADER + "0 1 2 " + "9" * 5000 + "\n", ":2:", "a node"),
        ("a.ct", HEADER + "x" * 70_000, ":2:", "longer than"),
        ("a.one", "5 CONN 1 2 up\n4 CONN 1 2 down\n", ":2:", "the time"),
        ("a.one", "5 CONN 1 2 sideways\n", ":1:", "up|down"),
        ("a.one", "5 CONN 1 b up\n", ":1:", "a host"),
        ("a.one", HEADER + "5 CONN 1 4 up\n", "", "is beyond"),
        ("a.one", HEADER + "5 CONN 1 b3 up\n", "", "is beyond"),
        ("a.one", "", "", "no contacts"),
        ("a.tij", "20 1\n", ":1:", "2 columns"),
        ("a.tij", "time 1 2\nsoon 1 2\n", ":2:", "the time"),
        ("a.imote", "1 2 5 4\n", ":1:", "the stop"),
        ("a.dat", "1 2 3 4\n", "", "does not say the format"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_and_line(
    tmp_path: Path, name: str, text: str, where: str, what: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(BadFile) as caught:
        load(path)
    assert f"{path}{where}" in str(caught.value)
    assert what in str(caught.value)


def test_files_that_are_absent_damaged_or_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.ct.gz").write_bytes(gzip.compress((HEADER + "0 1 2 3\n" * 99).encode())[:-12])
    (tmp_path / "flat.ct.gz").write_bytes(HEADER.encode())
    (tmp_path / "bytes.ct").write_bytes(HEADER.encode() + b"\xff\n")
    (tmp_path / "folder.ct").mkdir()
    for name in ("cut.ct.gz", "flat.ct.gz", "bytes.ct", "folder.ct", "absent.ct"):
        with pytest.raises(BadFile, match=name):
            load(tmp_path / name)


def test_a_file_of_one_line_too_many_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.ct", HEADER + "0 1 2 3\n2 3 2 3\n")
    monkeypatch.setattr(lines, "LINE_COUNT_MAX", 3)
    assert len(load(path).contacts) == 2
    monkeypatch.setattr(lines, "LINE_COUNT_MAX", 2)
    with pytest.raises(BadFile, match=r":3: more than 2 lines"):
        load(path)


@given(drawn=sightings)
def test_merging_keeps_who_hears_whom_at_every_moment(drawn: list[tuple[int, int, int, int]]) -> None:
    contacts = merged((float(t), float(t + d), a, b) for t, d, a, b in drawn)
    assert contacts == sorted(contacts, key=lambda c: (c.start, c.a, c.b))
    assert all(c.a < c.b for c in contacts)
    for half in range(60):
        near = {(c.a, c.b) for c in contacts if c.start <= half / 2 <= c.stop}
        assert near == {(min(a, b), max(a, b)) for t, d, a, b in drawn if a != b and t <= half / 2 <= t + d}
        assert sum(c.start <= half / 2 <= c.stop for c in contacts) == len(near)


@given(trace=traces)
def test_a_window_shows_what_was_to_be_seen_through_it(trace: Trace) -> None:
    cut = window(trace, 5, 15)
    assert cut.nodes == trace.nodes
    assert list(cut.contacts) == sorted(cut.contacts, key=lambda c: (c.start, c.a, c.b))
    for half in range(1, 20):
        then = half / 2
        assert {(c.a, c.b) for c in cut.contacts if c.start <= then <= c.stop} == {
            (c.a, c.b) for c in trace.contacts if c.start <= then + 5 <= c.stop
        }


def test_a_contact_too_short_is_stretched_before_it_is_merged() -> None:
    sighted = [(0.0, 0.0, 0, 1), (50.0, 50.0, 1, 0), (120.0, 130.0, 0, 1)]
    assert merged(sighted, min_length=60) == [Contact(0, 110, 0, 1), Contact(120, 180, 0, 1)]
    assert merged(sighted, min_length=60, gap=10) == [Contact(0, 180, 0, 1)]


def test_names_of_any_kind_become_numbers_in_their_order() -> None:
    trace = normalised("x", [(100.0, 90.0, "b", "a"), (95.0, 120.0, "d", "b"), (0.0, 9.0, "q", "q")])
    assert trace.contacts == (Contact(0, 10, 0, 1), Contact(5, 30, 1, 2))
    assert trace.nodes == 3


def test_statistics_count_what_is_there() -> None:
    contacts = (Contact(0, 10, 0, 1), Contact(30, 50, 0, 1), Contact(60, 90, 1, 2), Contact(86_300, 86_400, 0, 1))
    found = statistics(Trace("x", 4, contacts))
    assert (found.contacts, found.pairs, found.lonely, found.duration_s) == (4, 2, 1, 86_400)
    assert (found.pair_share, found.contact_median_s, found.contact_p90_s) == (2 / 6, 30, 100)
    assert (found.gap_median_s, found.contacts_per_node_day) == (86_250, 2)
    assert statistics(Trace("empty", 1, ())).contacts_per_node_day == 0
