"""Pictures of runs: drawn, the same for the same runs, and missed in words where they cannot be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simulations.extras import ExtraMissing
from simulations.plots import draw_all, names
from simulations.writing import Run, load_run
from tests.simulations.runs import write_small_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    for router in ("beepmesh", "epidemic+ack"):
        write_small_run(tmp_path / router, router)
    return [load_run(tmp_path / "beepmesh"), load_run(tmp_path / "epidemic+ack")]


def test_every_picture_is_drawn_twice_the_same(runs: list[Run], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    names_drawn = sorted(path.name for path in draw_all(runs, first))
    draw_all(runs, second)
    assert names_drawn == ["costs.png", "costs.svg", "delays.png", "delays.svg", "stores.png", "stores.svg"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names_drawn)
    assert all((first / name).stat().st_size > 5_000 for name in names_drawn)


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
