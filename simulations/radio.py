"""The air between nodes: bandwidth, set-up time, loss, and contacts that end in the middle of a word.

A `Medium` turns contacts into links between hosts. A host is anything that can be told of a link, a frame and the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from simulations.outcome import ContactRecord, Kind
from simulations.workload import Message


@dataclass(frozen=True, slots=True)
class Radio:
    """A class of links."""

    name: str
    bytes_per_s: float
    setup_s: float
    frame_bytes_max: int = 65_535
    loss: float = 0.0
    """The part of packets that is lost and sent again: airtime, not data."""
    exclusive: bool = True
    """Whether a node can be part of one transfer at a time only; a wire or a base station can of more."""


class Link(Protocol):
    """One end of a link, in a host's hands."""

    @property
    def peer(self) -> int: ...

    @property
    def dialled(self) -> bool: ...

    @property
    def radio(self) -> Radio: ...

    @property
    def record(self) -> ContactRecord:
        """Where hosts count transmissions and duplicates; bytes are counted by the medium."""
        ...

    def send(self, frame: object, size: Mapping[Kind, int]) -> None:
        """Put these bytes on the air, behind what was sent before. The other host gets `frame` if all arrives."""
        ...

    def tell_drained(self) -> None:
        """Have `Host.drained` called once all that was sent on this end so far has left."""
        ...

    def close(self) -> None:
        """End the link once what was sent has left; then both hosts are told."""
        ...


class Host(Protocol):
    """A node as the air knows it."""

    def up(self, link: Link) -> None: ...

    def received(self, link: Link, frame: object) -> None: ...

    def drained(self, link: Link) -> None: ...

    def down(self, link: Link) -> None: ...


class Population(Protocol):
    """All nodes of one run, whatever they run: the product or a baseline."""

    @property
    def hosts(self) -> Sequence[Host]: ...

    def submit(self, message: Message) -> None:
        """Its author writes it now. Deliveries go where the population was told to put them when it was made."""
        ...

    def carried_bytes(self) -> list[int]:
        """What each node carries for others at this moment."""
        ...
