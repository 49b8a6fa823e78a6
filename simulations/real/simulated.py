"""The same trace and workload on the virtual clock, with links like those of the real run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from simulations.engine import Simulation
from simulations.outcome import Outcome
from simulations.radio import Medium, Radio
from simulations.traces import Trace
from simulations.workload import Message
from simulations.world import World


def simulate(trace: Trace, messages: Iterable[Message], radio: Radio, seed: int = 1) -> Outcome:
    """The product on the simulator, from the beginning of the trace to its end."""
    simulation = Simulation(seed)
    outcome = Outcome("simulated", trace.name, seed, trace.nodes, trace.duration)
    world = World(simulation, trace.nodes, deliver=outcome.deliveries.append)
    outcome.contacts = Medium(simulation, world.hosts, trace.contacts, radio).records
    for message in messages:
        simulation.at(message.t, partial(world.submit, message))
    simulation.run(trace.duration)
    outcome.counts = world.counts()
    return outcome
