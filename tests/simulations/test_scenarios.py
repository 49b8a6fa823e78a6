"""Scenarios: read strictly, complete, and the smoke ones reach their marks with every invariant held."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from beepmesh.errors import Usage
from simulations import jobs, scenario
from simulations.engine import Simulation
from simulations.jobs import Job, perform
from simulations.marks import Mark, Verdict, read_marks
from simulations.outcome import Outcome
from simulations.populations import populate
from simulations.scenario import find, load, read_plan
from simulations.staging import stage
from simulations.teams import departments
from simulations.world import World

ALL = scenario.names()
SMOKE = [name for name in ALL if find(name).smoke]
SMALL = ("smoke-village", "hostile", "churn", "week-apart")


def _written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_there_is_a_scenario_for_each_thing_that_goes_wrong() -> None:
    assert len(SMOKE) == 2
    assert {"hostile", "churn", "clock-skew", "gateway-loss", "revoked", "thousand", "ten-thousand"} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_scenario_has_words_and_marks_and_comes_back_from_its_own_table(name: str) -> None:
    found = find(name)
    assert found.about
    assert found.marks
    assert read_plan(found.plan.as_table(), name) == found.plan


@pytest.mark.parametrize("name", SMALL)
def test_a_scenario_can_be_staged_and_one_seed_is_one_stage(name: str) -> None:
    plan = find(name).plan
    first, second = stage(plan), stage(plan)
    assert first.messages
    assert (first.trace, first.messages, first.reboots) == (second.trace, second.messages, second.reboots)
    assert (first.hostile, first.skews_s) == (second.hostile, second.skews_s)


@pytest.mark.parametrize("name", SMOKE)
def test_a_smoke_scenario_reaches_its_marks_with_every_invariant_held(name: str) -> None:
    found = find(name)
    done = perform(Job(found.plan, found.marks, checked=True))
    assert done.reached, [str(verdict) for verdict in done.verdicts]


HEAD = 'about = "x"\n[trace]\ndrawn = "reunion"\n[workload]\ndrawn = "texts"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("about = 1 2", "is no TOML"),
        (HEAD.replace("about", "abuot"), "lacks about"),
        (HEAD + "[mark]\nof_bound_min = 1", "has no 'mark'. Did you mean marks?"),
        (HEAD.replace("reunion", "reunoin"), "has no generator 'reunoin'. Did you mean reunion?"),
        (HEAD + "mesages = 3", "workload has no 'mesages'. Did you mean messages?"),
        (HEAD + "messages = -3", "messages is -3: it must be from 0 to 100000."),
        (HEAD + "[faults]\nhostile_share = 0.9", "hostile_share is 0.9: it must be from 0 to 0.5."),
        (HEAD + '[faults]\nhostile_kinds = ["lier"]', "Did you mean liar?"),
        (HEAD + "[marks]\nof_bund_min = 1", "marks has no 'of_bund_min'. Did you mean of_bound_min?"),
        (HEAD + "[marks]\nof_bound_min = -1", "of_bound_min is -1: it must be at least 0."),
        (HEAD + "[air]\nloss = 1.5", "loss is 1.5: it must be from 0 to 0.95."),
    ],
)
def test_a_scenario_that_is_not_understood_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Usage) as refused:
        load(_written(tmp_path, text))
    assert words in str(refused.value)
    assert "own.toml" in str(refused.value)


def test_a_plan_that_names_a_node_beyond_its_trace_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, HEAD + "[[faults.off]]\nnode = 16\nfrom_h = 1\nto_h = 2\n")
    with pytest.raises(Usage, match="speaks of node 16, but its trace has the nodes 0 to 15"):
        stage(load(path).plan)


def test_who_is_off_has_no_contact_and_an_uplink_is_there_at_its_times(tmp_path: Path) -> None:
    off = "[[faults.off]]\nnode = 0\nfrom_h = 10\nto_h = 40\n"
    link = "[[uplinks]]\na = 3\nb = 12\nevery_h = 24\nfor_min = 10\n"
    staged = stage(load(_written(tmp_path, HEAD + off + link)).plan)
    assert not [c for c in staged.trace.contacts if 0 in (c.a, c.b) and c.stop > 36_000 and c.start < 144_000]
    windows = [(c.start, c.stop) for c in staged.trace.contacts if (c.a, c.b) == (3, 12) and c.start < 600_000]
    assert windows[:2] == [(0.0, 600.0), (86_400.0, 87_000.0)]
    assert staged.radio_of(12, 3).bytes_per_s == 125_000
    assert staged.radio_of(1, 2).bytes_per_s == 20_000


def test_hostile_nodes_are_a_share_write_nothing_of_the_workload_and_are_not_counted_on(tmp_path: Path) -> None:
    staged = stage(load(_written(tmp_path, HEAD + "[faults]\nhostile_share = 0.25\n")).plan)
    assert len(staged.hostile) == 4
    assert sorted(set(staged.hostile.values())) == ["black-hole", "flooder", "liar"]
    assert 0 not in staged.hostile
    assert not [m for m in staged.messages if m.src in staged.hostile or m.dst in staged.hostile]
    assert not [c for c in staged.trustworthy.contacts if c.a in staged.hostile or c.b in staged.hostile]


FAULTS = "[faults]\nhostile_share = 0.25\nreboots_a_day = 3\n[[faults.off]]\nnode = 1\nfrom_h = 0\nto_h = 300\n"


def test_departments_are_made_of_the_contacts_before_anything_goes_wrong(tmp_path: Path) -> None:
    as_planned = stage(load(_written(tmp_path, HEAD)).plan)
    staged = stage(load(_written(tmp_path, HEAD + FAULTS)).plan)
    assert staged.trace != as_planned.trace
    assert staged.departments == as_planned.departments == departments(as_planned.trace)
    assert len(set(staged.departments)) > 2


def test_everybody_of_a_run_is_in_his_department_hostile_or_not(tmp_path: Path) -> None:
    staged = stage(load(_written(tmp_path, HEAD + FAULTS)).plan)
    outcome = Outcome("beepmesh", "own", 1, staged.trace.nodes, staged.trace.duration)
    world = populate(Simulation(1), staged, outcome)
    assert isinstance(world, World)
    found = [identity.department for identity in world.organisation.identities]
    assert found == ["", *staged.departments[1:]]


def test_a_mark_is_held_up_to_its_limit_and_missed_without_its_figure() -> None:
    assert Verdict(Mark("of_bound", 0.98, is_max=False), 0.98).held
    assert not Verdict(Mark("of_bound", 0.98, is_max=False), 0.97).held
    assert Verdict(Mark("peak_mb", 100, is_max=True), 100).held
    assert not Verdict(Mark("peak_mb", 100, is_max=True), 101).held
    assert not Verdict(Mark("sos_of_bound", 0, is_max=False), None).held
    assert read_marks({"sos_median_ratio_max": 1.1}, "marks") == (Mark("sos_median_ratio", 1.1, is_max=True),)


def test_what_a_hostile_node_carried_all_the_same_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.csv").write_text("id,t,src,dst,size,ttl,prio\n0,1,0,2,400,1000,1\n")
    (tmp_path / "t.ct").write_text('# {"name": "t", "nodes": 3}\n0 20 0 1\n30 50 1 2\n100 130 0 2\n')
    found = load(_written(tmp_path, 'about = "x"\n[trace]\nfile = "t.ct"\n[workload]\nfile = "w.csv"\n'))
    monkeypatch.setattr(jobs, "stage", lambda plan: replace(stage(plan), hostile={1: "flooder"}))
    done = perform(Job(replace(found.plan, router="epidemic+ack")))
    assert done.figures["median_s"] < 50
    assert done.figures["of_bound"] == 1.0
