"""Where every copy of a message went: optional, for the map. A run without it loses nothing but the sight.

Whoever runs the nodes calls `hop` when a node first holds a whole message that another one sent it (destinations and
carriers alike, duplicates not), and `gone` when a node gives its copy up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Hop(NamedTuple):
    t: float
    """Seconds of the trace, when the last byte was there."""
    source: int
    target: int
    id: int
    """The message's."""


class Gone(NamedTuple):
    t: float
    node: int
    id: int


@dataclass(slots=True)
class Trail:
    """In order of time."""

    hops: list[Hop] = field(default_factory=list)
    losses: list[Gone] = field(default_factory=list)

    def hop(self, t: float, source: int, target: int, id_: int) -> None:
        self.hops.append(Hop(t, source, target, id_))

    def gone(self, t: float, node: int, id_: int) -> None:
        self.losses.append(Gone(t, node, id_))
