"""Contact traces: who could hear whom, from when to when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Contact(NamedTuple):
    """Two nodes hear each other from `start` to `stop`, in seconds; a < b; contacts of one pair never overlap."""

    start: float
    stop: float
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Contacts in the order (start, a, b), between nodes 0 to nodes - 1."""

    name: str
    nodes: int
    contacts: tuple[Contact, ...]
    meta: dict[str, object] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        return max((contact.stop for contact in self.contacts), default=0.0)
