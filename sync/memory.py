"""What one node keeps of another between their meetings, so that the next one begins where the last one ended.

Law: the views speak of one moment, our change number `base`. Of every log that is not among them, the peer had settled
just what we had at that moment; the store knows what that was, also of logs that have grown since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync.logs import LogId
from sync.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Memory:
    """All change numbers are counted by the node they speak of, 0 before its first change."""

    epoch: int
    """The peer's, 32 bits: another one is another database."""
    heard: int
    """The peer's change number up to which we know it."""
    told: int
    """Our change number up to which the peer said that it knows us."""
    base: int
    known: int
    """How many feeds of the organisation's list the peer knows."""
    digest: bytes
    """32 B over the peer's whole view: damage is noticed before it is believed."""
    views: Mapping[LogId, Ranges]
    """What the peer has settled of a log, where that is not what we had settled at `base`."""
