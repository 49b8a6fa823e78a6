"""A run's files: exact, stable, whole or absent, and read back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulations.metrics import delays, summarise
from simulations.writing import NotARun, load_outcome, load_run
from tests.simulations.runs import BOUNDS, MESSAGES, RADIO, small_run, write_small_run

ROOT = Path(__file__).parents[2]


def test_the_lines_are_exact(tmp_path: Path) -> None:
    write_small_run(tmp_path / "deep" / "run")
    written = {path.name: path.read_bytes().decode().split("\n") for path in (tmp_path / "deep" / "run").iterdir()}
    assert written["deliveries.csv"] == [
        "id,node,t,hops",
        "0,2,110.000,2",
        "3,1,110.000,1",
        "1,3,220.000,3",
        "3,0,240.000,2",
        "4,0,3820.000,2",
        "",
    ]
    header = "start,stop,a,b,radio,payload,receipts,reconciliation,handshake,transmissions,duplicates"
    assert written["contacts.csv"][0] == header
    assert written["contacts.csv"][2] == "60.000,300.500,1,2,ble,3000,30,110,200,2.500,0.500"
    assert written["occupancy.csv"] == ["t,mean,most", "0.000,0.0,0", "3600.000,512.2,1400", ""]
    assert all(lines[-1] == "" and not any("\r" in line for line in lines) for lines in written.values())


def test_a_contacts_bytes_fall_into_the_hours_it_lasted(tmp_path: Path) -> None:
    write_small_run(tmp_path)
    # The last contact is 600 s in hour 0, 3,600 s in hour 1 and 600 s in hour 2.
    assert (tmp_path / "timeline.csv").read_text().splitlines() == [
        "hour,written,delivered,payload,receipts,reconciliation,handshake",
        "0,4,4,9125,30,310,805",
        "1,1,0,30750,0,60,150",
        "2,0,0,5125,0,10,25",
    ]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_small_run(tmp_path)
    outcome = small_run()
    outcome.deliveries = sorted((one._replace(t=round(one.t, 3)) for one in outcome.deliveries), key=lambda x: x[2::-2])
    read = load_outcome(tmp_path)
    read.occupancy[1] = outcome.occupancy[1]  # Its mean was 512.25, its line says 512.2.
    read.cpu_s = outcome.cpu_s
    assert read == outcome


def test_the_figures_of_a_run_are_those_of_its_files(tmp_path: Path) -> None:
    write_small_run(tmp_path)
    run = load_run(tmp_path)
    again = summarise(
        load_outcome(tmp_path), MESSAGES, BOUNDS, [RADIO], command=run.summary.command, versions=run.summary.versions
    )
    assert again == run.summary
    assert run.delays == delays(small_run(), MESSAGES, BOUNDS)


def test_the_bytes_are_the_same_whatever_the_hash_seed(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from tests.simulations.runs import write_small_run"
    for seed in ("1", "2"):
        command = [sys.executable, "-c", f"{program}; write_small_run(Path({str(tmp_path / seed)!r}))"]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, check=True)
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(names) == 6
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in names)


def test_a_folder_half_written_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_run(tmp_path)
    replace = os.replace

    def fails(source: Path, target: Path) -> None:
        if target.name == "timeline.csv":
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        write_small_run(tmp_path)
    with pytest.raises(NotARun, match=r"holds no finished run: summary.json is missing"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("summary.json", "{"),
        ("summary.json", "[]"),
        ("summary.json", '{"router": "x"}'),
        ("deliveries.csv", "id,node,t\n"),
        ("deliveries.csv", "id,node,t,hops\n1,2\n"),
        ("contacts.csv", "\x00"),
    ],
)
def test_strange_files_are_said_to_be_strange(tmp_path: Path, name: str, text: str) -> None:
    write_small_run(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(NotARun, match="does not hold the files of a run"):
        load_outcome(tmp_path)
