"""From a plan to what happens: contacts with everything that goes wrong with them, messages, radios, who is hostile.

Chance comes from streams of the plan's seed, one for each thing, so that another fault leaves the messages as
they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beepmesh.errors import Usage
from simulations.engine import Simulation
from simulations.plan import Faults, Plan
from simulations.radio import Radio
from simulations.sources import contacts_of, messages_of
from simulations.teams import departments
from simulations.traces import Trace
from simulations.windows import Absence, regular, with_windows, without
from simulations.workload import Message, load_uplinks

DAY_S = 86_400.0
HOUR_S = 3_600.0
INF = float("inf")


@dataclass(frozen=True, slots=True)
class Stage:
    """What one run is played on."""

    plan: Plan
    trace: Trace
    """As it happens: who is off meets nobody, and uplinks are there at their times."""
    departments: tuple[str, ...]
    """By node. Made of the contacts as they were planned; who turns out hostile is in one like everybody."""
    messages: tuple[Message, ...]
    """In the order in which they are written; none of hostile nodes or to them, nor of or to one who is out by then."""
    radio: Radio
    uplinks: Mapping[tuple[int, int], Radio]
    """The pairs (a < b) that have another radio."""
    reboots: tuple[Absence, ...]
    hostile: Mapping[int, str]
    skews_s: tuple[float, ...]
    """How much each node's clock is ahead of the true time; empty where all are right."""

    def radio_of(self, a: int, b: int) -> Radio:
        return self.uplinks.get((min(a, b), max(a, b)), self.radio)

    @property
    def radios(self) -> list[Radio]:
        """By name, each once."""
        return list({radio.name: radio for radio in (self.radio, *self.uplinks.values())}.values())

    @property
    def speeds(self) -> dict[tuple[int, int], float]:
        return {pair: radio.bytes_per_s for pair, radio in self.uplinks.items()}

    @property
    def trustworthy(self) -> Trace:
        """The contacts of nodes that are not hostile: what the others' messages can count on."""
        return without(self.trace, (Absence(0.0, INF, node) for node in self.hostile))


def stage(plan: Plan) -> Stage:
    """Raises Usage where the plan does not fit its own trace, and BadFile."""
    chance = Simulation(plan.seed)
    planned = contacts_of(plan.trace, chance.random("contacts"))
    faults = plan.faults
    named = [off.node for off in faults.off] + [gone.node for gone in faults.revoked]
    named += [node for link in plan.uplinks for node in (link.a, link.b)]
    for node in named:
        if node >= planned.nodes:
            raise Usage(f"The plan speaks of node {node}, but its trace has the nodes 0 to {planned.nodes - 1}.")
    trace, uplinks = _with_uplinks(plan, planned)
    reboots = _reboots(faults, trace, chance)
    off = [Absence(each.from_h * HOUR_S, each.to_h * HOUR_S, each.node) for each in faults.off]
    hostile = _hostile(faults, trace.nodes, chance)
    out = {gone.node: gone.at_h * HOUR_S for gone in faults.revoked}
    messages = tuple(
        message
        for message in messages_of(plan.workload, trace, chance.random("messages"))
        if not {message.src, message.dst} & hostile.keys()
        and message.t < min(out.get(message.src, INF), out.get(message.dst, INF))
    )
    skew = chance.random("skew")
    skews = (skew.uniform(-1, 1) * faults.clock_skew_days * DAY_S for _ in range(trace.nodes))
    return Stage(
        plan=plan,
        trace=without(trace, [*off, *reboots]),
        departments=departments(planned),
        messages=messages,
        radio=_radio(plan),
        uplinks=uplinks,
        reboots=reboots,
        hostile=hostile,
        skews_s=tuple(skews) if faults.clock_skew_days else (),
    )


def _radio(plan: Plan) -> Radio:
    air = plan.air
    return Radio("radio", air.bytes_per_s, air.setup_s, air.frame_bytes_max, air.loss)


def _with_uplinks(plan: Plan, trace: Trace) -> tuple[Trace, dict[tuple[int, int], Radio]]:
    windows = [
        window
        for link in plan.uplinks
        if link.every_h
        for window in regular(
            link.a, link.b, link.every_h * HOUR_S, link.for_min * 60, link.first_h * HOUR_S, trace.duration
        )
    ]
    speeds = {(min(link.a, link.b), max(link.a, link.b)): link.bytes_per_s for link in plan.uplinks}
    if plan.uplinks_file:
        speeds |= load_uplinks(plan.uplinks_file, trace.nodes)
    names = {speed: f"uplink-{speed:.0f}" for speed in speeds.values()}
    radios = {
        pair: Radio(names[speed], speed, plan.air.setup_s, exclusive=False) for pair, speed in sorted(speeds.items())
    }
    return with_windows(trace, windows), radios


def _reboots(faults: Faults, trace: Trace, chance: Simulation) -> tuple[Absence, ...]:
    if not faults.reboots_a_day:
        return ()
    draw = chance.random("reboots")
    found = []
    for node in range(trace.nodes):
        when = draw.expovariate(faults.reboots_a_day / DAY_S)
        while when < trace.duration:
            back = when + faults.reboot_min * 60
            found.append(Absence(when, back, node))
            when = back + draw.expovariate(faults.reboots_a_day / DAY_S)
    return tuple(sorted(found))


def _hostile(faults: Faults, nodes: int, chance: Simulation) -> dict[int, str]:
    count = round(faults.hostile_share * nodes)
    if not count:
        return {}
    chosen = chance.random("hostile").sample(range(1, nodes), min(count, nodes - 1))
    kinds = faults.hostile_kinds
    return {node: kinds[number % len(kinds)] for number, node in enumerate(sorted(chosen))}
