"""Who lives in a run: the product, or one of the published schemes, by the router's name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Final

from beepmesh import admission
from beepmesh.cli.parsing import near, short
from beepmesh.errors import Usage
from beepmesh.home import Home
from simulations.baselines import Baseline
from simulations.engine import Simulation
from simulations.hostile import KINDS
from simulations.node import SimNode
from simulations.organisation import person_name
from simulations.outcome import Outcome
from simulations.plan import ROUTER
from simulations.radio import Population
from simulations.routers import ROUTERS
from simulations.staging import HOUR_S, Stage
from simulations.watched import Noted, WatchedNode
from simulations.world import MakeNode, World

NAMES: Final = (ROUTER, *ROUTERS)


def router_named(name: str) -> str:
    """The name itself, if there is such a router. Raises Usage."""
    if name in NAMES:
        return name
    close = near(name, NAMES)
    hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(NAMES)}."
    raise Usage(f"There is no router {short(name)}. {hint}")


def populate(simulation: Simulation, setting: Stage, outcome: Outcome, noted: Noted | None = None) -> Population:
    """All nodes of the run, with what becomes of them on the way. Deliveries go into `outcome`; the honest nodes of the
    product say to `noted`, where there is somebody who looks on, what they do.

    The published schemes have no clocks, no members to put out and nobody hostile; when off, they lose nothing.
    """
    plan = setting.plan
    if plan.router != ROUTER:
        router = ROUTERS[router_named(plan.router)]()
        return Baseline(simulation, setting.trace.nodes, router, outcome, float(plan.store_bytes or math.inf))

    skews = dict(enumerate(setting.skews_s))
    makers: dict[int, MakeNode] = {}
    if noted is not None:
        makers = {number: partial(_watched, noted, skews) for number in range(setting.trace.nodes)}
    makers |= {number: partial(_hostile, kind) for number, kind in setting.hostile.items()}
    world = World(
        simulation,
        setting.trace.nodes,
        deliver=lambda delivery: outcome.deliveries.append(delivery),  # The list may be exchanged.
        departments=setting.departments,
        store_bytes=plan.store_bytes,
        skew_s=skews,
        others=makers,
    )
    for absence in setting.reboots:
        node = world.nodes[absence.node]
        simulation.at(absence.start, node.lose_power)
        simulation.at(absence.stop, node.switch_on)
    for gone in plan.faults.revoked:
        simulation.at(gone.at_h * HOUR_S, partial(_revoke, world, gone.node, noted))
    return world


def counts(population: Population) -> Counter[str]:
    """What its nodes have counted by the end, where they count."""
    return population.counts() if isinstance(population, World) else Counter()


def _hostile(kind: str, number: int, world: World) -> SimNode:
    return KINDS[kind](number, world)


def _watched(noted: Noted, skews: Mapping[int, float], number: int, world: World) -> SimNode:
    return WatchedNode(number, world, noted, skew_s=skews.get(number, 0.0))


def _revoke(world: World, number: int, noted: Noted | None) -> None:
    headquarters = world.nodes[0]
    if noted is not None:
        noted.put_out.append(world.nodes[number].identity.device)

    def revoke(home: Home) -> None:
        admission.revoke(home, person_name(number), now_ms=headquarters.wall_ms)

    if headquarters.is_on:
        headquarters.act(revoke)
    else:
        headquarters.later.append(lambda: headquarters.act(revoke))
