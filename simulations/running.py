"""One run: a plan becomes a clock, an air, nodes and messages, and ends with the trace."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from simulations.engine import Simulation
from simulations.following import Follower
from simulations.invariants import Watch
from simulations.letters import Letter
from simulations.outcome import Delivery, Occupancy, Outcome
from simulations.plan import Plan
from simulations.populations import counts, populate
from simulations.progress import OnProgress
from simulations.radio import Medium, Population
from simulations.staging import Stage, stage
from simulations.watched import Noted
from simulations.workload import Message
from simulations.world import World

STEPS: Final = 400
"""So often is progress told."""
COLLECTED_EVERY: Final = 50_000
"""Objects that were made and are still there: some 10 MB. Python's own 700 is for programs that end soon."""
SAMPLES: Final = 200
"""So often is it noted how full the stores are."""


def run(
    plan: Plan,
    on_progress: OnProgress = lambda _: None,
    *,
    on_stage: Stage | None = None,
    checked: bool = False,
    until: float | None = None,
    followers: Sequence[Follower] = (),
) -> Outcome:
    """The plan from the beginning of its trace to the end, or `until` a time of it.

    `checked` holds the invariants after every event and raises Broken at the first that does not hold. `on_stage` is
    the plan's own stage, where the caller has it already. `followers` hear of the ways of messages for the product
    only. Raises Usage where the plan does not fit its trace, BadFile.
    """
    began = time.process_time()
    setting = on_stage or stage(plan)
    simulation = Simulation(plan.seed)
    duration = setting.trace.duration if until is None else min(until, setting.trace.duration)
    outcome = Outcome(plan.router, setting.trace.name, plan.seed, setting.trace.nodes, duration)
    noted = Noted() if checked else None
    population = populate(simulation, setting, outcome, noted)
    _follow(simulation, population, setting, outcome, followers)
    medium = Medium(simulation, population.hosts, setting.trace.contacts, setting.radio_of)
    outcome.contacts = medium.records
    for each in setting.messages:
        simulation.at(each.t, partial(population.submit, each))
    for number in range(SAMPLES + 1):
        simulation.at(setting.trace.duration * number / SAMPLES, partial(_sample, simulation, population, outcome))
    watch = None if noted is None else Watch(simulation, setting, population, outcome, noted)
    with _seldom_collected():
        for step in range(1, STEPS + 1):
            # Worked out, the last moment may be a rounding too soon.
            simulation.run(duration * step / STEPS if step < STEPS else duration)
            on_progress(step / STEPS)
    if watch is not None:
        watch.stores()
    outcome.counts.update(counts(population))
    outcome.cpu_s = time.process_time() - began
    outcome.peak_bytes = peak_bytes()
    return outcome


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Nearly all that a run lets go of goes at once, and nearly all that it keeps stays to its end. To look again and
    again for rings among what stays took a tenth of its time."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECTED_EVERY, *before[1:])
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def _follow(
    simulation: Simulation, population: Population, setting: Stage, outcome: Outcome, followers: Sequence[Follower]
) -> None:
    if not followers:
        return

    def came(letter: Letter, giver: int, taker: int) -> None:
        for follower in followers:
            follower.came(simulation.now, letter, giver, taker)

    def written(message: Message) -> None:
        for follower in followers:
            follower.written(simulation.now, message)

    if isinstance(population, World):
        population.letters.on_first = came
    for message in setting.messages:
        simulation.at(message.t, partial(written, message))
    outcome.deliveries = _Told(followers)


class _Told(list[Delivery]):
    """Deliveries, told as they are added."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        super().__init__()
        self._followers = followers

    def append(self, delivery: Delivery) -> None:
        super().append(delivery)
        for follower in self._followers:
            follower.delivered(delivery)


def _sample(simulation: Simulation, population: Population, outcome: Outcome) -> None:
    carried = population.carried_bytes()
    mean = sum(carried) / len(carried) if carried else 0.0
    outcome.occupancy.append(Occupancy(simulation.now, mean, max(carried, default=0)))


def peak_bytes() -> int:
    """Resident memory of this process at its most."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
