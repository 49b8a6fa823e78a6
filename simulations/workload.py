"""What is sent during a simulation: by whom, when, to whom, how much."""

from __future__ import annotations

from typing import NamedTuple

EVERYBODY = -1


class Message(NamedTuple):
    """One line of a workload. `dst` is a node, or EVERYBODY; `prio` 0 SOS, 1 normal, 2 bulk."""

    id: int
    t: float
    src: int
    dst: int
    size: int
    """Bytes of what is said."""
    ttl: float
    """Seconds after which it is worth nothing."""
    prio: int
