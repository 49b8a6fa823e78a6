"""The same trace and workload on the virtual clock, as fast as the real nodes played it.

The product has clocks of its own: a second for which something is held back is a second however fast the contacts come.
So the simulator gets the trace compressed as the real nodes got it, and what it says is stretched again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from simulations.engine import Simulation
from simulations.outcome import Outcome
from simulations.radio import Medium, Radio
from simulations.teams import departments
from simulations.traces import Contact, Trace
from simulations.workload import Message
from simulations.world import World


def simulate(trace: Trace, messages: Iterable[Message], radio: Radio, speed: float, seed: int = 1) -> Outcome:
    """The product on the simulator, from the beginning of the trace to its end; everything in seconds of the trace."""
    simulation = Simulation(seed)
    outcome = Outcome("simulated", trace.name, seed, trace.nodes, trace.duration)
    world = World(simulation, trace.nodes, deliver=outcome.deliveries.append, departments=departments(trace))
    fast = Radio(radio.name, radio.bytes_per_s * speed, radio.setup_s / speed, exclusive=radio.exclusive)
    contacts = (Contact(start / speed, stop / speed, a, b) for start, stop, a, b in trace.contacts)
    medium = Medium(simulation, world.hosts, contacts, fast)
    for message in messages:
        simulation.at(message.t / speed, partial(world.submit, message))
    simulation.run(trace.duration / speed)
    outcome.deliveries = [one._replace(t=one.t * speed) for one in outcome.deliveries]
    outcome.contacts = medium.records
    for record in outcome.contacts:
        record.start *= speed
        record.stop *= speed
    outcome.counts = world.counts()
    return outcome
