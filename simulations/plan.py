"""Everything that a run depends on. The same plan makes the same files, byte for byte.

A plan is read from a scenario's TOML, from the words of a command line or from a run's summary, always by the same
strict reader, and is written back as JSON.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from simulations.tables import Between, OneOf

ROUTER: Final = "beepmesh"
NODES_MAX: Final = 100_000
HOSTILE_KINDS: Final = ("black-hole", "flooder", "liar")

Node: TypeAlias = Annotated[int, Between(0, NODES_MAX - 1)]
Hours: TypeAlias = Annotated[float, Between(0, 24 * 366)]
Share: TypeAlias = Annotated[float, Between(0, 1)]
Rate: TypeAlias = Annotated[float, Between(1, 1e10)]
Scalar: TypeAlias = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Source:
    """Contacts, or messages: those of a file, or drawn by the generator of that name with its settings."""

    file: str = ""
    drawn: str = ""
    settings: tuple[tuple[str, Scalar], ...] = ()
    """In the order in which they were given; what is not named has the generator's own default."""

    def as_table(self) -> dict[str, object]:
        """As a scenario has it."""
        return {"file": self.file} if self.file else {"drawn": self.drawn, **dict(self.settings)}


@dataclass(frozen=True, slots=True)
class Air:
    """The radio of every pair that has no uplink."""

    bytes_per_s: Rate = 20_000.0
    setup_s: Annotated[float, Between(0, 3_600)] = 2.0
    frame_bytes_max: Annotated[int, Between(20, 65_535)] = 65_535
    loss: Annotated[float, Between(0, 0.95)] = 0.0


@dataclass(frozen=True, slots=True)
class Uplink:
    """Two nodes that reach each other over the internet, or a wire: faster, and at fixed times."""

    a: Node
    b: Node
    bytes_per_s: Rate = 125_000.0
    every_h: Hours = 0.0
    """0: this pair's contacts are in the trace already."""
    for_min: Annotated[float, Between(0, 60 * 24)] = 15.0
    first_h: Hours = 0.0


@dataclass(frozen=True, slots=True)
class Off:
    """A node that cannot be reached between two times."""

    node: Node
    from_h: Hours
    to_h: Hours


@dataclass(frozen=True, slots=True)
class Revoked:
    """A node that headquarters (node 0) puts out at that time."""

    node: Node
    at_h: Hours


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong. Who and when, where it is not named, is drawn from the seed."""

    off: tuple[Off, ...] = ()
    reboots_a_day: Annotated[float, Between(0, 96)] = 0.0
    """Of one node. It comes back with the store that it had; links and whatever stood in memory only are gone."""
    reboot_min: Annotated[float, Between(0, 24 * 60)] = 10.0
    clock_skew_days: Annotated[float, Between(0, 20 * 365)] = 0.0
    """Each clock is wrong by up to so much, either way."""
    hostile_share: Annotated[float, Between(0, 0.5)] = 0.0
    """Of all nodes but node 0."""
    hostile_kinds: tuple[Annotated[str, OneOf(HOSTILE_KINDS)], ...] = HOSTILE_KINDS
    """In turn."""
    revoked: tuple[Revoked, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """`name` is what the run is called in tables."""

    name: str
    trace: Source
    workload: Source
    air: Air = Air()
    uplinks: tuple[Uplink, ...] = ()
    uplinks_file: str = ""
    """Or those of a CSV file, whose contacts are in the trace already."""
    store_mb: Annotated[float, Between(0, 1e6)] = 0.0
    """How many 10^6 bytes a node may carry for others; 0: no limit."""
    router: str = ROUTER
    seed: Annotated[int, Between(0, 2**63)] = 1
    faults: Faults = field(default_factory=Faults)

    @property
    def store_bytes(self) -> int | None:
        return round(self.store_mb * 1_000_000) or None

    def as_table(self) -> dict[str, object]:
        """What `scenario.read_plan` makes this plan of again."""
        table: dict[str, object] = dataclasses.asdict(self)
        return table | {"trace": self.trace.as_table(), "workload": self.workload.as_table()}
