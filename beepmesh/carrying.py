"""Who is given what is large while air and disk are scarce, and which copy goes first. Pure: the engine carries it out.

What is small or urgent floods. What is large is rationed: each holder gives it to whoever has a better chance than
itself of meeting the recipient's crowd, and in a full store the copy goes first that still adds least. A crowd is some
devices of one department that share a tag: a relay learns that an entry is for one of them, and not for which.

Law 1: what this device wrote, and what may be for it, it never gives up for want of chances.
Law 2: what a peer says of itself decides what it is given, and never alone what is given up: a liar wastes its own
       copies, and makes others' of the same entry go sooner, but not at once.

The chances are those of PRoPHETv2 (Grasic, Davies, Lindgren and Doria, CHANTS 2011), of crowds, not of nodes; what a
copy still adds is our own. `python -m simulations compare` shows what it comes to.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from hashlib import sha256
from heapq import nlargest
from itertools import pairwise
from typing import Final, NamedTuple, NewType

from beepmesh.errors import Refused
from beepmesh.messages.lifetimes import DAY_S, LANE_URGENT, SOS, URGENT

Tag = NewType("Tag", bytes)
"""Two bytes that a few devices of one department share."""

TAG_BYTES: Final = 2
NO_TAG: Final = Tag(bytes(TAG_BYTES))
"""Of an entry for several devices, and of a device that shows none. Nobody is met under it."""
CROWDS: Final = 4  # In a department. One of 16 devices then has crowds of about four.

RATIONED_BYTES_MIN: Final = 8_192  # As packed. Flooding less costs a Bluetooth link less than half a second.
GIFTS_MAX: Final = 8  # By its author, whatever the chances: a recipient whom nobody knows yet is looked for so widely.

FADE_S: Final = 14 * DAY_S  # A chance falls by a factor of e. Who comes once a week is still remembered.
MEETING_CHANCE: Final = 0.5
MEETING_S: Final = 1_800  # Meetings nearer than this count in part: a link that flickers is one meeting.
PASSING: Final = 0.9  # What a chance loses with each hop it is heard over.

TAGS_MAX: Final = 256  # Kept; the best ones.
VIEW_TAGS_MAX: Final = 128  # Told: 514 B at most, 26 ms of Bluetooth.

LEVELS: Final = 0xFFFF  # Steps as fine as these are told apart with profit; one byte costs 3 % of the deliveries.
_NEVER: Final = 2**32 - 1
_HEAD: Final = struct.Struct(">BI")
_ROW: Final = struct.Struct(f">{TAG_BYTES}sHI")
_TOLD: Final = struct.Struct(f">{TAG_BYTES}sH")
_FLOOR: Final = struct.Struct(">H")
_STATE_VERSION: Final = 1


def crowd_tag(secret: bytes, department: str, device: bytes) -> Tag:
    """The tag of a device, by what its certificate says: all members come to the same one, outsiders to none.

    `secret` is the organisation's. A crowd lies within a department, since people of one department are met in the same
    places: crowds drawn from everywhere cost a third of the deliveries where villages are cut off.
    """
    bucket = sha256(device).digest()[0] % CROWDS
    tag = sha256(b"beepmesh/crowd/1" + secret + bytes([bucket]) + department.encode()).digest()[:TAG_BYTES]
    return Tag(tag if tag != NO_TAG else b"\x00\x01")


def is_rationed(*, lane: int, priority: int, packed_bytes: int) -> bool:
    """Whether an entry is given to some only; all else floods."""
    return packed_bytes >= RATIONED_BYTES_MIN and lane != LANE_URGENT and priority not in (SOS, URGENT)


def level_of(chance: float) -> int:
    """A chance as it is told and kept: 2 bytes, 0 is none."""
    return round(min(chance, 1.0) * LEVELS)


class View(NamedTuple):
    """What a node tells another when they meet. On the wire: the floor, then each tag and level, ascending by tag."""

    floor: int
    """The level of the least worth that its store holds, if it is full; 0: it has room."""
    levels: Mapping[Tag, int]

    def encode(self) -> bytes:
        return _FLOOR.pack(self.floor) + b"".join(_TOLD.pack(tag, self.levels[tag]) for tag in sorted(self.levels))

    @classmethod
    def decode(cls, data: bytes) -> View:
        """What encode gave. Raises Refused("view-malformed")."""
        head = _FLOOR.size
        if not head <= len(data) <= head + VIEW_TAGS_MAX * _TOLD.size or (len(data) - head) % _TOLD.size:
            raise Refused("view-malformed", "length")
        rows: list[tuple[bytes, int]] = list(_TOLD.iter_unpack(data[head:]))
        if not _ascending([tag for tag, _ in rows]) or any(level == 0 for _, level in rows):
            raise Refused("view-malformed", "rows")
        return cls(_FLOOR.unpack_from(data)[0], {Tag(tag): level for tag, level in rows})


class Peer(NamedTuple):
    """A node at the other end of a link."""

    tag: Tag
    view: View | None
    """None: it has told none, and is given only what may be for it and what we wrote."""

    def chance(self, tag: Tag) -> float:
        return self.view.levels.get(tag, 0) / LEVELS if self.view is not None else 0.0


class History:
    """What this device remembers of its meetings, by crowds. Times are seconds of a clock that should never fall."""

    __slots__ = ("_at_s", "_chances", "_met_s")

    def __init__(self) -> None:
        self._chances: dict[Tag, float] = {}
        """As of `_at_s`."""
        self._met_s: dict[Tag, int] = {}
        """When a device of the crowd was last met; of those known by hearsay nothing."""
        self._at_s = 0

    def meet(self, peer: Peer, now_s: int) -> None:
        """A link to it is up, and what it tells has come, if it tells anything."""
        self._fade(now_s)
        tag = peer.tag
        if tag == NO_TAG:
            return
        met_s = self._met_s.get(tag)
        whole = 1.0 if met_s is None else min(1.0, (self._at_s - met_s) / MEETING_S)
        before = self._chances.get(tag, 0.0)
        self._chances[tag] = by = before + (1.0 - before) * MEETING_CHANCE * whole
        self._met_s[tag] = self._at_s
        if peer.view is not None:
            for other, level in peer.view.levels.items():
                heard = by * PASSING * level / LEVELS
                if other != NO_TAG and heard > self._chances.get(other, 0.0):
                    self._chances[other] = heard
        if len(self._chances) > TAGS_MAX:
            self._keep_best()

    def chance(self, tag: Tag) -> float:
        """How likely this device meets that crowd, or somebody who does; only good to be compared."""
        return self._chances.get(tag, 0.0)

    def view(self, floor: int) -> View:
        """What to tell a peer."""
        best = nlargest(VIEW_TAGS_MAX, self._chances, key=lambda tag: (self._chances[tag], tag))
        levels = {tag: level_of(self._chances[tag]) for tag in best}
        return View(floor, {tag: level for tag, level in levels.items() if level})

    def encode(self) -> bytes:
        """At most 2,053 B, rounded: it is not worth the disk to keep more exactly."""
        rows = (
            _ROW.pack(tag, max(1, level_of(chance)), self._met_s.get(tag, _NEVER))
            for tag, chance in sorted(self._chances.items())
        )
        return _HEAD.pack(_STATE_VERSION, self._at_s) + b"".join(rows)

    @classmethod
    def decode(cls, data: bytes) -> History:
        """What encode gave. Raises Refused("history-malformed")."""
        if not _HEAD.size <= len(data) <= _HEAD.size + TAGS_MAX * _ROW.size or (len(data) - _HEAD.size) % _ROW.size:
            raise Refused("history-malformed", "length")
        version, at_s = _HEAD.unpack_from(data)
        rows: list[tuple[bytes, int, int]] = list(_ROW.iter_unpack(data[_HEAD.size :]))
        if version != _STATE_VERSION or at_s == _NEVER or not _ascending([tag for tag, _, _ in rows]):
            raise Refused("history-malformed", "order")
        if any(level == 0 or at_s < met_s != _NEVER for _, level, met_s in rows):
            raise Refused("history-malformed", "rows")
        history = cls()
        history._at_s = at_s
        history._chances = {Tag(tag): level / LEVELS for tag, level, _ in rows}
        history._met_s = {Tag(tag): met_s for tag, _, met_s in rows if met_s != _NEVER}
        return history

    def _fade(self, now_s: int) -> None:
        now_s = min(now_s, _NEVER - 1)
        if now_s > self._at_s:
            fade = math.exp((self._at_s - now_s) / FADE_S)
            for tag in self._chances:
                self._chances[tag] *= fade
            self._at_s = now_s

    def _keep_best(self) -> None:
        best = nlargest(TAGS_MAX, self._chances, key=lambda tag: (self._chances[tag], tag))
        self._chances = {tag: self._chances[tag] for tag in best}
        self._met_s = {tag: met_s for tag, met_s in self._met_s.items() if tag in self._chances}


def gives(history: History, tag: Tag, peer: Peer, gifts: int | None) -> bool:
    """Whether a rationed entry of that tag goes to that peer now; if not, it may another time.

    `gifts`: to how many this device has given it, if it wrote it; None if it did not.
    """
    if tag == peer.tag != NO_TAG:
        return True
    gift = gifts is not None and gifts < GIFTS_MAX
    if peer.view is None or tag == NO_TAG:
        return gift
    theirs = peer.view.levels.get(tag, 0)
    if peer.view.floor and theirs <= peer.view.floor:
        return False
    return gift or theirs > level_of(history.chance(tag))


def left_after(left: float, tag: Tag, peer: Peer) -> float:
    """What a copy still adds once it was given to that peer: what that one will bring, this one need not.

    `left` is 1 when a copy comes, and again when the device restarts. It never becomes 0, whatever the peer says.
    """
    return left * (1.0 - PASSING * peer.chance(tag))


def worth(history: History, tag: Tag, left: float) -> float:
    """Of the rationed entries that are carried for others the one that is worth least is given up first."""
    return history.chance(tag) * left


def _ascending(tags: list[bytes]) -> bool:
    return NO_TAG not in tags and all(one < two for one, two in pairwise(tags))
