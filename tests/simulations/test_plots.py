"""Pictures of runs: drawn, the same for the same runs, and missed in words where they cannot be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simulations.extras import ExtraMissing
from simulations.plots import draw_all, draw_costs, names
from simulations.writing import Run, load_run
from tests.simulations.runs import write_small_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    for router in ("beepmesh", "epidemic+ack"):
        write_small_run(tmp_path / router, router)
    return [load_run(tmp_path / "beepmesh"), load_run(tmp_path / "epidemic+ack")]


def test_every_picture_is_drawn(runs: list[Run], tmp_path: Path) -> None:
    drawn = sorted(draw_all(runs, tmp_path))
    assert [path.name for path in drawn] == [
        "costs.png",
        "costs.svg",
        "delays.png",
        "delays.svg",
        "stores.png",
        "stores.svg",
    ]
    assert all(path.stat().st_size > 5_000 for path in drawn)


def test_a_picture_is_the_same_each_time(runs: list[Run], tmp_path: Path) -> None:
    first, second = draw_costs(runs, tmp_path / "first"), draw_costs(runs, tmp_path / "second")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_runs_are_called_by_what_tells_them_apart(runs: list[Run]) -> None:
    ours, epidemic = runs
    assert names(runs) == ["beepmesh", "epidemic+ack"]
    elsewhere = replace(ours, summary=replace(ours.summary, trace="town", seed=9))
    assert names([ours, elsewhere]) == ["beepmesh, small, seed 7", "beepmesh, town, seed 9"]
    assert names([ours, replace(ours, folder=epidemic.folder)]) == ["beepmesh", "epidemic+ack"]


def test_a_missing_library_is_named(runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ExtraMissing, match=r"Drawing needs matplotlib: pip install 'beepmesh\[simulations\]'"):
        draw_all(runs, tmp_path)
