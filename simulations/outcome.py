"""What a run says when it is over: who got what when, what each contact carried, and what it came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["payload", "receipts", "reconciliation", "handshake"]
KINDS: tuple[Kind, ...] = ("payload", "receipts", "reconciliation", "handshake")


class Delivery(NamedTuple):
    """The first arrival of a whole message at one whom it is for."""

    id: int
    node: int
    t: float
    """Seconds of the trace."""
    hops: int


@dataclass(slots=True)
class ContactRecord:
    """One contact as it went. Bytes are those on the air, both directions together, lost and repeated ones included."""

    start: float
    stop: float
    a: int
    b: int
    radio: str
    bytes: Counter[Kind] = field(default_factory=Counter)
    transmissions: float = 0.0
    """Messages that passed; of one that travels in parts, each part counts its share."""
    duplicates: float = 0.0
    """Those among them that the receiver had already."""


class Occupancy(NamedTuple):
    """How full the stores were at one moment: bytes of what is carried for others."""

    t: float
    mean: float
    most: int


@dataclass(slots=True)
class Outcome:
    """All of it. `router` is "beepmesh" or a baseline's name."""

    router: str
    trace: str
    seed: int
    nodes: int
    duration: float
    deliveries: list[Delivery] = field(default_factory=list)
    contacts: list[ContactRecord] = field(default_factory=list)
    occupancy: list[Occupancy] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Whatever else is worth counting: evictions, refusals by reason, entries purged."""
    cpu_s: float = 0.0
    """Not written into any CSV: it differs from run to run."""
    peak_bytes: int = 0
    """Resident memory of the process at its most, likewise."""

    @property
    def transmissions(self) -> float:
        return sum(contact.transmissions for contact in self.contacts)

    @property
    def bytes(self) -> Counter[Kind]:
        total: Counter[Kind] = Counter()
        for contact in self.contacts:
            total.update(contact.bytes)
        return total
