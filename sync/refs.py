"""How a log is named in a record. What a name stands for is names.py's.

0 | feed 16 | lane 1            in full
1 | tag 5 | lane 1              a feed outside the list, which both are known to know
2 + 2 n                         mention n, counted from 0 in this direction
3 + 2 (4 number + lane)         a feed of the organisation's list
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from sync.limits import LANE_MAX, LOGS_MAX
from sync.logs import LogId
from sync.octets import Octets, malformed, varint

TAG_BYTES: Final = 5
FEED_BYTES: Final = 16
ITEM_BYTES: Final = 8  # of a sketch
HASH_BYTES: Final = 4  # the first of an item


class Listed(NamedTuple):
    """A log of a feed in the organisation's list."""

    number: int
    lane: int


class Tagged(NamedTuple):
    """A log of a feed outside it."""

    tag: bytes
    """5 B, see names.tag."""
    lane: int


LogRef: TypeAlias = int | Listed | Tagged | LogId
StateRef: TypeAlias = Listed | Tagged | LogId

_REF_END: Final = 3 + 2 * 4 * LOGS_MAX


def pack_ref(ref: LogRef) -> bytes:
    match ref:
        case int():
            return varint(2 + 2 * ref)
        case Listed(number, lane):
            return varint(3 + 2 * (4 * number + lane))
        case Tagged(tag, lane):
            return b"\x01" + tag + bytes((lane,))
        case LogId(feed, lane):
            return b"\x00" + feed + bytes((lane,))


def read_ref(octets: Octets) -> LogRef:
    """Raises RemoteProtocolError("record-malformed")."""
    head = octets.varint(_REF_END)
    if head >= 2:
        value = (head - 2) // 2
        return Listed(value >> 2, value & 3) if head & 1 else value
    name, lane = octets.take(TAG_BYTES if head else FEED_BYTES), octets.take(1)[0]
    if lane > LANE_MAX:
        raise malformed("lane")
    return Tagged(name, lane) if head else LogId(name, lane)
