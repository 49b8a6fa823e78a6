"""Three camps that never meet, and three who walk between them: twelve nodes, made to be played in a few minutes.

Camps are nodes 0-2, 3-5 and 6-8; walkers 9-11 each go to and fro between two camps. At a speed of 30 a contact lasts
6 s and more, and between a message and its delivery lie some forty, so that what a busy machine adds is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from simulations.engine import Simulation
from simulations.traces import Contact, Trace
from simulations.workload import EVERYBODY, Message

NODES = 12
CAMPS = ((0, 1, 2), (3, 4, 5), (6, 7, 8))
ROUNDS = {9: (0, 1), 10: (1, 2), 11: (2, 0)}
"""Between which camps each walker goes."""
CAMP_S, VISIT_S, PAUSE_S = 300.0, 240.0, 60.0
DURATION_S = 6_000.0
SEED = 28
"""Of this trace the ideal flood delivers the same, and with it whatever floods, where each link's set-up takes anything
up to 150 s and each step from node to node another 30 s (5 s and 1 s at a speed of 30): a busy machine is slow, but
no contact is so short, and no message so late, that it decides about a delivery."""
MESSAGES = 60
BROADCAST_EVERY = 15
SIZE, SIZE_LONG, LONG_EVERY = 300, 30_000, 6
TTL_S = 86_400.0


def mules(seed: int) -> Trace:
    """Contacts of the camps and of the walkers."""
    simulation = Simulation(seed)
    found: list[Contact] = []
    for camp in CAMPS:
        for a, b in ((camp[0], camp[1]), (camp[1], camp[2]), (camp[0], camp[2])):
            found += _repeated(simulation, a, b)
    for walker in ROUNDS:
        found += _walked(simulation, walker)
    return Trace("mules", NODES, tuple(sorted(one for one in found if one.stop <= DURATION_S)))


def workload(seed: int) -> list[Message]:
    """Messages over three quarters of the trace, most to one, some to everybody; the last come too late for many."""
    stream = Simulation(seed).random("workload")
    times = sorted(round(stream.uniform(60, DURATION_S * 0.85)) for _ in range(MESSAGES))
    messages = []
    for number, t in enumerate(times):
        src = stream.randrange(NODES)
        dst = (
            EVERYBODY
            if number % BROADCAST_EVERY == BROADCAST_EVERY - 1
            else stream.choice([node for node in range(NODES) if node != src])
        )
        size = SIZE_LONG if number % LONG_EVERY == LONG_EVERY - 1 else SIZE
        messages.append(Message(number, float(t), src, dst, size, TTL_S, 1))
    return messages


def _repeated(simulation: Simulation, a: int, b: int) -> Iterator[Contact]:
    stream = simulation.random(f"camp/{a}/{b}")
    at = stream.uniform(0, 900)
    while at < DURATION_S:
        stop = at + CAMP_S * stream.uniform(0.8, 1.4)
        yield Contact(round(at), round(stop), a, b)
        at = stop + stream.uniform(300, 1_200)


def _walked(simulation: Simulation, walker: int) -> Iterator[Contact]:
    """One after the other with those he finds in a camp, then the way to the other camp."""
    stream = simulation.random(f"walker/{walker}")
    at = stream.uniform(0, 600)
    here = 0
    while at < DURATION_S:
        camp = CAMPS[ROUNDS[walker][here]]
        for node in _some(stream.sample(camp, len(camp)), stream.choice((1, 2, 2, 3))):
            stop = at + VISIT_S * stream.uniform(0.8, 1.5)
            yield Contact(round(at), round(stop), node, walker)
            at = stop + PAUSE_S * stream.uniform(0.5, 1.5)
        at += stream.uniform(240, 480)
        here = 1 - here


def _some(nodes: Iterable[int], count: int) -> list[int]:
    return list(nodes)[:count]
