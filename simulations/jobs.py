"""One run as the commands want it: played, held against the bounds and its marks, written to its folder."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from beepmesh.errors import BeepmeshError
from simulations.arguments import PROGRAM
from simulations.bound import Foremost, flood
from simulations.following import Trailing
from simulations.invariants import Broken
from simulations.marks import Mark, Verdict, figures, judge
from simulations.metrics import Bounds, Summary, delays, summarise
from simulations.outcome import Outcome
from simulations.plan import ROUTER, Plan
from simulations.progress import OnProgress
from simulations.running import run
from simulations.scenario import find, names, read_plan
from simulations.staging import Stage, stage
from simulations.traces import Trace
from simulations.trail import Trail
from simulations.workload import EVERYBODY, Message
from simulations.writing import write_run, write_whole

PLAN: Final = "plan.json"
_PLAYED: Final = 0.97
"""The share of a job's progress that the run itself is; the rest is bounds and files."""


@dataclass(frozen=True, slots=True)
class Job:
    plan: Plan
    marks: tuple[Mark, ...] = ()
    out: Path | None = None
    with_map: bool = False
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    summary: Summary
    figures: dict[str, float]
    """For messages between nodes that are not hostile, by the contacts of such nodes."""
    verdicts: tuple[Verdict, ...]

    @property
    def reached(self) -> bool:
        """Every mark is held, and nothing was delivered that cannot be."""
        return not self.summary.faults and all(verdict.held for verdict in self.verdicts)


def perform(job: Job, on_progress: OnProgress = lambda _: None) -> Done:
    """Play it and write its files. Raises what `running.run` raises, and BeepmeshError where nothing can be written."""
    setting = stage(job.plan)
    if job.out is not None:
        # Before the run, so that one that breaks can be played again from here.
        _write_plan(job.plan, job.out)
    trail = Trail() if job.with_map and job.plan.router == ROUTER else None
    try:
        outcome = run(
            job.plan,
            lambda share: on_progress(share * _PLAYED),
            on_stage=setting,
            checked=job.checked,
            followers=() if trail is None else (Trailing(trail),),
        )
    except Broken as broken:
        raise told(broken, job.plan, job.out) from broken
    bounds = bounds_of(setting, setting.trace)
    summary = _summary(setting, outcome, bounds)
    honest = summary if not setting.hostile else _summary(setting, outcome, bounds_of(setting, setting.trustworthy))
    if job.out is not None:
        _write(job, job.out, setting, outcome, bounds, summary, trail)
    on_progress(1.0)
    found = figures(honest)
    return Done(summary, found, judge(job.marks, found))


def bounds_of(setting: Stage, trace: Trace) -> Bounds:
    """What no protocol beats with the messages and radios of that run."""
    air = setting.plan.air
    foremost = Foremost(trace, air.bytes_per_s, air.setup_s, setting.speeds)
    return Bounds(flood(trace, setting.messages), _alone(foremost, setting.messages))


def _alone(foremost: Foremost, messages: Sequence[Message]) -> dict[tuple[int, int], float] | None:
    """None where every message is for everybody: then the flood is the bound."""
    single = [message for message in messages if message.dst != EVERYBODY]
    arrivals = ((message, foremost.arrival(message)) for message in single)
    return {(m.id, m.dst): arrival.t for m, arrival in arrivals if arrival is not None} if single else None


def load_plan(folder: Path) -> Plan:
    """The plan of an earlier run. Raises BeepmeshError."""
    path = folder / PLAN
    try:
        return read_plan(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise BeepmeshError(f"{folder} holds no run that can be played again: {error}.") from None


def _summary(setting: Stage, outcome: Outcome, bounds: Bounds) -> Summary:
    return summarise(outcome, setting.messages, bounds, setting.radios, command=command_of(), versions=_versions())


def _write(
    job: Job, out: Path, setting: Stage, outcome: Outcome, bounds: Bounds, summary: Summary, trail: Trail | None
) -> None:
    try:
        if job.with_map:
            from simulations.map import Scene, write_map

            write_map(out, Scene(setting.trace, setting.messages, outcome, bounds.flood, summary, trail))
        curve = delays(outcome, setting.messages, bounds)
        write_run(out, outcome, setting.messages, bounds.flood, summary, curve)
    except OSError as error:
        raise BeepmeshError(f"{error.filename or out} cannot be written: {error.strerror or error}.") from None


def _write_plan(plan: Plan, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / PLAN, json.dumps(plan.as_table(), indent=1) + "\n")
    except OSError as error:
        raise BeepmeshError(f"{error.filename or out} cannot be written: {error.strerror or error}.") from None


def told(broken: Broken, plan: Plan, out: Path | None) -> BeepmeshError:
    """What broke, when, and how to see it again."""
    return BeepmeshError(
        f"{plan.name}, seed {plan.seed}, broke an invariant at {broken.when!r} s: {broken}. To see it again:"
        f" {replay_of(plan, out, broken.when)}"
    )


def replay_of(plan: Plan, out: Path | None, until: float | None = None) -> str:
    """The one command that plays a run again, up to a moment."""
    known = find(plan.name).plan if plan.name in names() else None
    if known is not None and replace(plan, seed=known.seed, router=known.router) == known:
        words = [plan.name, "--seed", str(plan.seed)]
        words += [] if plan.router == known.router else ["--router", plan.router]
    elif out is not None:
        words = [str(out)]
    else:
        return command_of()
    return f"{PROGRAM} replay {shlex.join(words)}" + ("" if until is None else f" --until {until!r}")


def command_of(words: Sequence[str] | None = None) -> str:
    """What was typed."""
    return f"{PROGRAM} {shlex.join(sys.argv[1:] if words is None else words)}"


def _versions() -> dict[str, str]:
    return {"beepmesh": version("beepmesh"), "python": platform.python_version()}
