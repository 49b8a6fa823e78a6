"""What is printed of runs."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from simulations.report import FIGURES, Table, compare, one_a_line, report, side_by_side, to_markdown
from simulations.writing import NotARun, Run, load_run
from tests.simulations.runs import write_small_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_small_run(tmp_path / "ours")
    return load_run(tmp_path / "ours")


def printed(folders: list[Path], *, markdown: bool = False) -> str:
    file = io.StringIO()
    compare(folders, markdown=markdown, file=file) if len(folders) > 1 else report(
        folders[0], markdown=markdown, file=file
    )
    return file.getvalue()


def test_a_run_is_told_by_class_and_by_cost(run: Run) -> None:
    lines = [" ".join(line.split()) for line in printed([run.folder]).splitlines()]
    assert "beepmesh on small, seed 7: 4 nodes, 2.2 h, 5 messages" in lines
    assert "all 7 4 57.1 % - 3 min 70 s 2.86 3 min" in lines
    assert "transmissions 8 2.0" in lines
    assert "payload 45.0 kB 11.2 kB" in lines
    assert "evicted 2" in lines
    assert "python -m simulations run" in lines


def test_markdown_is_a_table(run: Run) -> None:
    text = printed([run.folder], markdown=True)
    assert "| all | 7 | 4 | 57.1 % | - | 3 min | 70 s | 2.86 | 3 min |\n" in text
    assert to_markdown(Table("", ("a", "b"), [("x|y", "1")])) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"


def test_only_what_differs_in_earnest_is_marked(run: Run) -> None:
    by_name = {figure.name: figure for figure in FIGURES}
    of_flood, cost = by_name["of the flood"], by_name["transmissions a delivery"]
    assert [of_flood.mark(here, 0.90) for here in (0.885, 0.915, 0.87, 0.93)] == ["", "", "▼", "▲"]
    assert [cost.mark(here, 10.0) for here in (10.9, 9.1, 11.1, 8.9, None)] == ["", "", "▼", "▲", ""]
    dearer = replace(run, summary=replace(run.summary, router="spray", transmissions_per_delivered=9.0))
    (table,) = side_by_side([run, dearer])
    assert table.heads == ("", "beepmesh", "spray")
    assert ("transmissions a delivery", "2.0", "9.0 ▼") in table.rows
    assert sum("▼" in cell or "▲" in cell for row in table.rows for cell in row) == 1


def test_runs_on_different_traces_are_not_weighed(run: Run) -> None:
    elsewhere = replace(run, summary=replace(run.summary, trace="town", transmissions_per_delivered=9.0))
    (table,) = side_by_side([run, elsewhere])
    assert not any("▼" in cell for row in table.rows for cell in row)
    assert table.title.startswith("Different traces")


def test_a_readme_has_a_line_for_each_run(run: Run, tmp_path: Path) -> None:
    write_small_run(tmp_path / "other", "epidemic+ack")
    text = printed([run.folder, tmp_path / "other"], markdown=True).splitlines()
    assert [line.split(" | ")[:2] for line in text] == [
        ["| trace", "policy"],
        ["| ---", "---"],
        ["| small", "beepmesh"],
        ["| small", "epidemic+ack"],
    ]
    assert "SOS of the flood" in text[0]
    assert len(one_a_line([run]).heads) == len(one_a_line([run]).rows[0])


def test_several_runs_are_drawn_together(run: Run, tmp_path: Path) -> None:
    write_small_run(tmp_path / "other", "epidemic+ack")
    compare([run.folder, tmp_path / "other"], plots=tmp_path / "pictures", file=io.StringIO())
    assert (tmp_path / "pictures" / "delays.svg").is_file()


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotARun):
        report(tmp_path)
