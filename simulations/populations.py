"""Who lives in a run: the product, or one of the published schemes, by the router's name."""

from __future__ import annotations

import math
from typing import Final

from beepmesh.cli.parsing import near, short
from beepmesh.errors import Usage
from simulations.engine import Simulation
from simulations.outcome import Outcome
from simulations.plan import ROUTER
from simulations.radio import Population
from simulations.routers import ROUTERS
from simulations.staging import Stage

NAMES: Final = (ROUTER, *ROUTERS)


def router_named(name: str) -> str:
    """The name itself, if there is such a router. Raises Usage."""
    if name in NAMES:
        return name
    close = near(name, NAMES)
    hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(NAMES)}."
    raise Usage(f"There is no router {short(name)}. {hint}")


def populate(simulation: Simulation, setting: Stage, outcome: Outcome) -> Population:
    """All nodes of the run. Deliveries and counts go into `outcome`."""
    plan = setting.plan
    if plan.router == ROUTER:
        from simulations.world import World

        return World(
            simulation,
            setting.trace.nodes,
            deliver=outcome.deliveries.append,
            store_bytes=plan.store_bytes,
            skew_s=dict(enumerate(setting.skews_s)),
        )
    from simulations.baselines import Baseline

    store_bytes_max = plan.store_bytes or math.inf
    return Baseline(simulation, setting.trace.nodes, ROUTERS[router_named(plan.router)](), outcome, store_bytes_max)
