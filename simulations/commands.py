"""What each verb does. It takes the parsed words and the screen, and returns the exit code."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from beepmesh.cli.screen import Screen
from beepmesh.cli.text import columns
from beepmesh.errors import Usage
from simulations import scenario
from simulations.following import Story
from simulations.invariants import Broken
from simulations.jobs import Done, Job, load_plan, perform, told
from simulations.marks import BY_CLASS, OVERALL, Mark
from simulations.metrics import CLASSES
from simulations.plan import ROUTER, Plan, Source
from simulations.populations import router_named
from simulations.progress import progress
from simulations.running import run as play
from simulations.workers import Workers

DONE: Final = 0
MISSED: Final = 1


def run(asked: Namespace, screen: Screen) -> int:
    plan, marks = _asked_plan(asked)
    job = Job(plan, marks, _folder(asked.out), asked.map, asked.check)
    with progress([plan.name]) as bar:
        done = perform(job, lambda share: bar.at(0, share))
    if screen.is_json:
        screen.result(_as_json(job, done))
    else:
        screen.exactly(_text(done))
        if job.out is not None:
            screen.line(f"\nThe files are in {job.out}.")
    return DONE if done.reached else MISSED


def _asked_plan(asked: Namespace) -> tuple[Plan, tuple[Mark, ...]]:
    if asked.scenario is not None:
        if asked.trace or asked.workload or asked.uplinks:
            raise Usage("A scenario has its own contacts and messages. Give a scenario, or --trace with --workload.")
        found = scenario.find(asked.scenario)
        plan, marks = found.plan, found.marks
    elif asked.trace and asked.workload:
        source, workload = Source(file=asked.trace), Source(file=asked.workload)
        plan, marks = Plan(Path(asked.trace).name.partition(".")[0], source, workload), ()
    else:
        raise Usage("Give a scenario (`python -m simulations list` shows them), or --trace FILE with --workload FILE.")
    said = {"bytes_per_s": asked.bw, "setup_s": asked.setup, "loss": asked.loss}
    air = replace(plan.air, **{name: value for name, value in said.items() if value is not None})
    plan = replace(plan, air=air, uplinks_file=asked.uplinks or plan.uplinks_file)
    plan = replace(plan, store_mb=plan.store_mb if asked.store is None else asked.store)
    return _overruled(plan, asked), marks if (asked.router or ROUTER) == ROUTER else ()


def _overruled(plan: Plan, asked: Namespace) -> Plan:
    router = plan.router if asked.router is None else router_named(asked.router)
    return replace(plan, router=router, seed=plan.seed if asked.seed is None else asked.seed)


def replay(asked: Namespace, screen: Screen) -> int:
    folder = Path(asked.what)
    plan = load_plan(folder) if folder.is_dir() else scenario.find(asked.what).plan
    plan = _overruled(plan, asked)
    followers = () if asked.message is None else (Story(asked.message, screen.line),)
    with progress([plan.name]) as bar:
        try:
            outcome = play(
                plan,
                lambda share: bar.at(0, share),
                checked=not asked.no_check,
                until=asked.until,
                followers=followers,
            )
        except Broken as broken:
            raise told(broken, plan, folder if folder.is_dir() else None) from broken
    screen.line(
        f"{plan.name}, seed {plan.seed}, {plan.router}: to {outcome.duration:g} s,"
        f" {len(outcome.deliveries)} deliveries, {outcome.transmissions:g} transmissions,"
        f" {outcome.bytes.total()} bytes."
    )
    return DONE


def listing(_asked: Namespace, screen: Screen) -> int:
    found = [scenario.find(name) for name in scenario.names()]
    for each in found if screen.is_json else ():
        screen.result({"name": each.plan.name, "about": each.about, "marks": [str(mark) for mark in each.marks]})
    screen.table(("scenario", "what it is"), [(each.plan.name, each.about) for each in found])
    return DONE


def suite(asked: Namespace, screen: Screen) -> int:
    jobs = list(_suite_jobs(asked))
    names = [_label(job) for job in jobs]
    rows: list[tuple[str, ...]] = []
    reached = True
    finished = 0
    try:
        with progress(names) as bar:
            for job, result in zip(jobs, Workers(perform, asked.workers).results(jobs, bar), strict=True):
                finished += 1
                if isinstance(result, Exception):
                    reached = False
                    screen.failure(f"{_label(job)}: {result}", "failed")
                    rows.append((job.plan.name, job.plan.router, str(job.plan.seed), *["-"] * 6, "failed"))
                    continue
                reached = reached and result.reached
                rows.append(_row(job, result))
                if screen.is_json:
                    screen.result(_as_json(job, result))
    except KeyboardInterrupt:
        reached = False
        screen.aside(f"Stopped: {finished} of {len(jobs)} are done, and their files are whole.")
    screen.table(_HEADS, rows)
    return DONE if reached else MISSED


def _suite_jobs(asked: Namespace) -> Iterator[Job]:
    scenarios = [scenario.find(name) for name in asked.names or scenario.names()]
    routers = [router_named(name) for name in asked.routers]
    for each in scenarios:
        for router in routers:
            for seed in asked.seeds or [each.plan.seed]:
                plan = replace(each.plan, router=router, seed=seed)
                out = None if asked.out is None else Path(asked.out) / f"{plan.name}-{router}-{seed}"
                yield Job(plan, each.marks if router == ROUTER else (), out, asked.map, asked.check)


_HEADS: Final = (
    "scenario", "router", "seed", "delivered", "of bound", "SOS of bound", "median", "by bound's", "passed on",
    "marks",
)  # fmt: skip


def _row(job: Job, done: Done) -> tuple[str, ...]:
    figures = done.figures
    shown = ("delivered", "of_bound", "sos_of_bound", "median_s", "median_ratio", "transmissions_per_delivered")
    held = sum(verdict.held for verdict in done.verdicts)
    marks = f"{held} of {len(done.verdicts)}" if done.verdicts else "-"
    if done.summary.faults:
        marks = "IMPOSSIBLE"
    cells = (_length(figures.get(name)) if name == "median_s" else _short(figures.get(name)) for name in shown)
    return (job.plan.name, job.plan.router, str(job.plan.seed), *cells, marks)


def _text(done: Done) -> str:
    """Figures, then marks, for people."""
    found = done.figures
    prefixes = {"all": "", **{kind: f"{kind.lower()}_" for kind in CLASSES if f"{kind.lower()}_delivered" in found}}
    if len(prefixes) == 2:
        del prefixes["all"]
    rows = [
        (
            kind,
            *(
                _length(found.get(prefix + name)) if name == "median_s" else _short(found.get(prefix + name))
                for name in BY_CLASS
            ),
        )
        for kind, prefix in prefixes.items()
    ]
    lines = columns([("messages", *(name.replace("_", " ") for name in BY_CLASS)), *rows])
    lines += ["", *columns((name.replace("_", " "), _short(found[name])) for name in OVERALL if name in found)]
    if done.verdicts:
        lines += ["", *map(str, done.verdicts)]
    if done.summary.faults:
        faults = ", ".join(f"{count} {reason}" for reason, count in done.summary.faults.items())
        lines += ["", f"Deliveries that cannot be: {faults}. The simulator is wrong, not the protocol."]
    return "\n".join(lines)


def _as_json(job: Job, done: Done) -> dict[str, object]:
    return {
        "name": job.plan.name,
        "router": job.plan.router,
        "seed": job.plan.seed,
        "reached": done.reached,
        "figures": done.figures,
        "marks": [
            {"mark": str(verdict.mark), "figure": verdict.figure, "held": verdict.held} for verdict in done.verdicts
        ],
        "faults": done.summary.faults,
        "out": None if job.out is None else str(job.out),
    }


def _label(job: Job) -> str:
    return f"{job.plan.name} {job.plan.router} {job.plan.seed}"


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}" if value >= 10 else f"{value:.3f}"


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def _folder(named: str | None) -> Path | None:
    if named is None:
        return None
    path = Path(named)
    if path.exists() and not path.is_dir():
        raise Usage(f"{path} is a file. Name a folder for --out.")
    return path


def trace(asked: Namespace, screen: Screen) -> int:
    from simulations.staging import stage
    from simulations.traces import FORMATS, load, save, statistics

    if asked.form is not None and asked.form not in FORMATS:
        raise Usage(f"--from is one of {', '.join(FORMATS)}, not {asked.form!r}.")
    path = Path(asked.file)
    drawn = not path.exists() and (path.suffix == ".toml" or asked.file in scenario.names())
    found = stage(scenario.find(asked.file).plan).trace if drawn else load(path, asked.form)
    counted = dataclasses.asdict(statistics(found))
    if screen.is_json:
        screen.result(counted)
    screen.table(("of the trace", ""), [(name, _plain(value)) for name, value in counted.items()])
    if asked.to is not None:
        save(found, Path(asked.to))
        screen.line(f"Written to {asked.to}.")
    return DONE


def _plain(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)


def report(asked: Namespace, _screen: Screen) -> int:
    from simulations.report import report as print_report

    print_report(Path(asked.dir), markdown=asked.markdown)
    return DONE


def compare(asked: Namespace, _screen: Screen) -> int:
    from simulations.report import compare as print_comparison

    print_comparison([Path(each) for each in asked.dirs], markdown=asked.markdown, plots=_folder(asked.out))
    return DONE


VERBS: Final[Mapping[str, Callable[[Namespace, Screen], int]]] = {
    "run": run,
    "replay": replay,
    "compare": compare,
    "report": report,
    "list": listing,
    "trace": trace,
    "suite": suite,
}
