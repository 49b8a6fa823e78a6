"""Attacks are measured to the end that they come to."""

from __future__ import annotations

import pytest

from benchmarks.hostile import attacked
from benchmarks.hostile_attacks import CASES, RECORDS

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize(
    ("name", "ended"),
    [
        ("ASK, twice", "ask-twice"),
        ("a deflate bomb of 100 MB", "record-malformed"),
        ("RUNs beyond the window", "window-exceeded"),
        ("a root that does not fit, then nothing", "memory-wrong"),
    ],
)
def test_an_attack_comes_to_its_end_and_its_cost_is_counted(name: str, ended: str) -> None:
    figures = attacked(BY_NAME[name]).figures
    assert figures["ended"] == ended
    assert all(float(figures[each]) > 0 for each in ("held_mb", "cpu_s", "records", "sent_mb", "answered_mb"))


def test_what_no_rule_ends_is_cut_off_and_leaves_nothing_behind() -> None:
    line = attacked(BY_NAME["CHECK"])
    assert line.figures["ended"] == "never"
    assert int(line.figures["records"]) == RECORDS + 2
    assert "grown_mb_max" not in line.missed
