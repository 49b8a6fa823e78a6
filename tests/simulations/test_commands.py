"""The command line: what is asked, what comes of it, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulations.__main__ import main

ROOT = Path(__file__).parents[2]
TRACE = '# {"name": "line", "nodes": 4}\n0 30 0 1\n40 80 1 2\n50 90 2 3\n100 200 0 3\n'
WORKLOAD = "id,t,src,dst,size,ttl,prio\n0,1,0,3,400,1000,1\n1,5,0,2,300,1000,0\n2,60,3,0,30000,1000,2\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "line.ct").write_text(TRACE)
    (tmp_path / "line.csv").write_text(WORKLOAD)
    return str(tmp_path / "line.ct"), str(tmp_path / "line.csv")


def _run(files: tuple[str, str], out: Path, *more: str) -> int:
    trace, workload = files
    return main(
        ["run", "--trace", trace, "--workload", workload, "--bw", "20000", "--setup", "2", "--out", str(out), *more]
    )


@pytest.mark.parametrize("router", ["beepmesh", "epidemic+ack"])
def test_a_trace_and_a_workload_become_files(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], router: str
) -> None:
    assert _run(files, tmp_path / "out", "--router", router, "--check", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["figures"]["delivered"] == 1.0
    assert said["faults"] == {}
    lines = (tmp_path / "out" / "deliveries.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "2"], ["0", "3"], ["2", "0"]]


def test_one_seed_writes_the_same_bytes_under_any_hash_seed(files: tuple[str, str], tmp_path: Path) -> None:
    for hash_seed in ("1", "2"):
        words = ["run", "--trace", files[0], "--workload", files[1], "--out", str(tmp_path / hash_seed)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", "simulations", *words], check=True, env=environment, capture_output=True)
    written = sorted(path.name for path in (tmp_path / "1").glob("*.csv"))
    assert "contacts.csv" in written
    for name in written:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_run_is_played_again_from_its_folder_and_a_message_followed(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(files, tmp_path / "out") == 0
    capsys.readouterr()
    assert main(["replay", str(tmp_path / "out"), "--message", "0"]) == 0
    said = capsys.readouterr().out
    assert "node 0 writes message 0 to node 3: 400 bytes" in said
    assert "node 3 opens it" in said
    assert "3 deliveries" in said


def test_a_replay_stops_where_it_is_told_to(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(files, tmp_path / "out") == 0
    capsys.readouterr()
    assert main(["replay", str(tmp_path / "out"), "--until", "50"]) == 0
    assert "to 50 s, 1 deliveries" in capsys.readouterr().out


def test_runs_are_reported_and_compared(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(files, tmp_path / "a") == 0
    assert _run(files, tmp_path / "b", "--router", "direct") == 0
    assert main(["report", str(tmp_path / "a")]) == 0
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "direct" in capsys.readouterr().out


def test_a_trace_is_counted_and_converted(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", files[0], "--to", str(tmp_path / "line.one")]) == 0
    assert main(["trace", str(tmp_path / "line.one"), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (counted["nodes"], counted["contacts"]) == (4, 4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rum"], "There is no verb 'rum'. Did you mean run?"),
        (["run", "--trac", "x"], "`run` has no option '--trac'. Did you mean --trace?"),
        (["run", "--trace", "x"], "Give a scenario"),
        (["run", "smoke-vilage"], "There is no scenario 'smoke-vilage'. Did you mean smoke-village"),
        (["run", "smoke-village", "--router", "epidemc"], "There is no router 'epidemc'. Did you mean epidemic?"),
        (["run", "smoke-village", "--loss", "2"], "--loss: '2' is no number from 0 to 0.95."),
        (["suite", "--workers", "0"], "--workers: '0' is no whole number from 1 to 256."),
        (["list", "all"], "'all' is one word too many."),
    ],
)
def test_what_is_wrongly_asked_is_said_in_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_what_cannot_be_read_is_said_in_a_sentence(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--trace", files[0], "--workload", str(tmp_path / "none.csv")]) == 1
    assert "none.csv" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_every_verb_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    verbs = ("run", "replay", "compare", "report", "list", "trace", "suite")
    overview = capsys.readouterr().out
    for verb in verbs:
        assert f"  {verb} " in overview
        assert main([verb, "--help"]) == 0
        assert f"python -m simulations {verb}" in capsys.readouterr().out


def test_a_suite_runs_scenarios_with_routers_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["suite", "smoke-reunion", "smoke-village", "--routers", "direct,epidemic+ack", "--workers", "2"]
    assert main([*words, "--out", str(tmp_path), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [(row["name"], row["router"]) for row in rows]
    assert names == [(s, r) for s in ("smoke-reunion", "smoke-village") for r in ("direct", "epidemic+ack")]
    assert len(list(tmp_path.glob("*/summary.json"))) == 4


def test_ctrl_c_leaves_what_is_done_and_nothing_running(tmp_path: Path) -> None:
    words = ["suite", "smoke-reunion", "--routers", "direct,beepmesh", "--out", str(tmp_path)]
    suite = subprocess.Popen(
        [sys.executable, "-m", "simulations", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Whatever started these tests may have had Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert suite.stderr is not None
    assert any(line.startswith("smoke-reunion direct 1: done") for line in suite.stderr)
    suite.send_signal(signal.SIGINT)
    _, complained = suite.communicate()
    assert suite.returncode == 1
    assert "of 2 are done, and their files are whole" in complained
    assert (tmp_path / "smoke-reunion-direct-1" / "summary.json").exists()
    assert not (tmp_path / "smoke-reunion-beepmesh-1" / "summary.json").exists()
