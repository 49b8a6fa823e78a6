"""Every link of a node from its first byte to its end: handshake, proof of membership, one link for each pair.

Laws
1. No member's link before a certificate of this organisation names its Noise key, unrevoked and not long expired.
2. One link for each pair of devices: of two, that which the device with the smaller id dialled. Of two dialled by the
   same end, that end keeps the older and breaks off the newer before its last message, so the other end never has to
   choose; where it does see a newer one, the dialler has forgotten the older.
   A link that stays in spite of a newer one is spoken on: if the other host has forgotten it, that ends it at once.
3. What a peer says before it is proved is kept, within a bound, and read only after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias, assert_never

from beepmesh.channel import Channel, OwnerRecord, Secured, SessionRecord
from beepmesh.errors import Refused
from beepmesh.events import Admit, HangUp, LinkId, LinkUp, Output, PeerJoined, PeerLeft, SendFrames, WakeAt
from beepmesh.introduction import Introduction
from beepmesh.rationing import is_view
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster

HANDSHAKE_S: Final = 10.0  # A slow radio needs two seconds; a silent stranger should not hold a place for long.
EARLY_BYTES_MAX: Final = 256 * 1024  # Session records of a peer whose certificate is still on its way.
# What a transport saw and no channel could: these are somebody's fault, the other ends of a link are the field's.
_FRAMING_FAULTS: Final = {
    "malformed": "framing-malformed",
    "oversize": "framing-oversized",
    "silent": "handshake-timeout",
}
_NO_FAULT: Final = frozenset({"duplicate-link", "admission-over", "link-ended"})


@dataclass(frozen=True, slots=True)
class Welcomed:
    """A member is proved to be at the other end."""

    link: LinkId
    device: bytes
    salt: bytes
    """32 B that both ends know and nobody could know before: the handshake's hash."""


@dataclass(frozen=True, slots=True)
class Said:
    """A proved member's session record."""

    link: LinkId
    data: bytes


@dataclass(frozen=True, slots=True)
class Viewed:
    """A proved member's record about where mail leads (rationing.py)."""

    link: LinkId
    data: bytes


Happened: TypeAlias = Output | Welcomed | Said | Viewed


@dataclass(slots=True)
class _Link:
    up: LinkUp
    channel: Channel
    since: float
    deadline: float
    introduction: Introduction | None = None
    device: bytes = b""
    early: list[bytes] = field(default_factory=list)
    early_bytes: int = 0


class Links:
    """See the laws above. `count` is told the reason of every link that ends through somebody's fault."""

    def __init__(
        self,
        identity: Identity,
        roster: Roster,
        *,
        believed_s: Callable[[], int],
        entropy: Callable[[int], bytes],
        count: Callable[[str], None],
    ) -> None:
        self._identity = identity
        self._roster = roster
        self._believed_s = believed_s
        self._entropy = entropy
        self._count = count
        self._links: dict[LinkId, _Link] = {}
        self._by_device: dict[bytes, LinkId] = {}

    @property
    def peers(self) -> dict[bytes, LinkUp]:
        """Members at the other end of a link now."""
        return {device: self._links[link].up for device, link in self._by_device.items()}

    @property
    def proved(self) -> list[LinkId]:
        """The links to members, oldest first."""
        return list(self._by_device.values())

    def device(self, link_id: LinkId) -> bytes:
        """Whose link it is, 16 B."""
        return self._links[link_id].device

    def is_apart(self, link_id: LinkId) -> bool:
        """Whether the peer came to us as to a hub, and so will hardly hear any of the others that we hear."""
        up = self._links[link_id].up
        return up.transport == "hub" and not up.dialled

    @property
    def revoked(self) -> list[LinkId]:
        """The links to members who have been put out since they were proved."""
        return [link for device, link in self._by_device.items() if self._roster.revoked(device) is not None]

    @property
    def next_deadline(self) -> float:
        """When the next link is overdue; infinity if none will be."""
        return min((link.deadline for link in self._links.values()), default=float("inf"))

    def renew(self, identity: Identity) -> None:
        """Secrets have been added."""
        self._identity = identity

    def up(self, event: LinkUp, now: float) -> list[Output]:
        """A transport handed over a link."""
        channel = Channel(
            dialled=event.dialled,
            device=b"" if event.dialled and event.doors[0].invitation else self._identity.device,
            link_key=self._identity.link_key,
            doors=event.doors,
            ephemeral_seed=self._entropy(32),
            frame_bytes_max=event.frame_bytes_max,
        )
        self._links[event.link] = _Link(event, channel, now, now + HANDSHAKE_S)
        first = channel.start()
        outputs: list[Output] = [SendFrames(event.link, tuple(first))] if first else []
        return [*outputs, WakeAt(now + HANDSHAKE_S)]

    def frame(self, link_id: LinkId, frame: bytes) -> list[Happened]:
        """A frame came."""
        link = self._links.get(link_id)
        if link is None:
            return []
        try:
            answers, events = link.channel.receive(frame)
            happened: list[Happened] = [SendFrames(link_id, tuple(answers))] if answers else []
            for event in events:
                match event:
                    case Secured() if (twin := self._twin(link, event)) is not None:
                        link.device = self._links[twin].device
                        return [*self._poke(twin, link), *self.close(link_id, "duplicate-link")]
                    case Secured():
                        happened += self._secured(link_id, link, event)
                    case OwnerRecord(data):
                        happened += self._owner_record(link_id, link, data)
                    case SessionRecord(data):
                        happened += self._session_record(link_id, link, data)
                    case _:
                        assert_never(event)
        except Refused as refused:
            return [*self.close(link_id, refused.reason)]
        return happened

    def seal_owner(self, link_id: LinkId, record: bytes) -> list[bytes]:
        """The frames of one record between owners; none if the link is gone."""
        link = self._links.get(link_id)
        return link.channel.seal(record, owner=True) if link is not None and link.channel.secured else []

    def seal(self, link_id: LinkId, records: list[bytes]) -> list[bytes]:
        """The frames of session records; none if the link is gone."""
        link = self._links.get(link_id)
        return link.channel.seal_all(records) if link is not None and link.channel.secured else []

    def close(self, link_id: LinkId, reason: str) -> list[Output]:
        """End a link for a reason, counted unless it is nobody's fault."""
        link = self._links.get(link_id)
        if link is None:
            return []
        if reason not in _NO_FAULT:
            self._count(reason)
        return [HangUp(link_id, reason, link.device), *self.forget(link_id, reason)]

    def down(self, link_id: LinkId, broken: str) -> list[Output]:
        """The link has ended by itself. `broken`: how, by its transport's word."""
        if broken in _FRAMING_FAULTS:
            self._count(_FRAMING_FAULTS[broken])
        return self.forget(link_id)

    def forget(self, link_id: LinkId, reason: str = "link-ended") -> list[Output]:
        """The link has ended."""
        link = self._links.pop(link_id, None)
        if link is None or self._by_device.get(link.device) != link_id:
            return []
        del self._by_device[link.device]
        return [PeerLeft(link_id, link.device, reason)]

    def overdue(self, now: float) -> list[Output]:
        """Close the links that have not proved themselves in time."""
        late = [link_id for link_id, link in self._links.items() if now >= link.deadline]
        return [output for link_id in late for output in self.close(link_id, "handshake-timeout")]

    def close_all(self, reason: str) -> list[Output]:
        """Close every link."""
        return [output for link_id in list(self._links) for output in self.close(link_id, reason)]

    def _secured(self, link_id: LinkId, link: _Link, secured: Secured) -> list[Happened]:
        link.introduction = Introduction(secured, self._identity, self._roster)
        if secured.door.invitation is not None:
            return []  # The joiner speaks next.
        if link.introduction.expects_certificate:
            return [SendFrames(link_id, tuple(link.channel.seal(link.introduction.ask(), owner=True)))]
        link.introduction.check_known(self._believed_s())
        return self._welcome(link_id, link, secured.device)

    def _owner_record(self, link_id: LinkId, link: _Link, data: bytes) -> list[Happened]:
        assert link.introduction is not None
        if link.device and is_view(data):
            return [Viewed(link_id, data)]
        step = link.introduction.receive(data, self._believed_s())
        happened: list[Happened] = []
        if step.answer:
            happened.append(SendFrames(link_id, tuple(link.channel.seal(step.answer, owner=True))))
        secured = link.introduction.secured
        if step.request is not None and secured.door.invitation is not None:
            asks = Admit(link_id, secured.door.invitation, step.request, secured.handshake_hash, secured.link_public)
            happened.append(asks)
        if step.proved and not link.device:
            happened += self._welcome(link_id, link, secured.device)
        return happened

    def _session_record(self, link_id: LinkId, link: _Link, data: bytes) -> list[Happened]:
        if link.device:
            return [Said(link_id, data)]
        link.early.append(data)
        link.early_bytes += len(data)
        if link.early_bytes > EARLY_BYTES_MAX:
            raise Refused("talked-before-proof")
        return []

    def _welcome(self, link_id: LinkId, link: _Link, device: bytes) -> list[Happened]:
        if device == self._identity.device:
            raise Refused("own-echo")
        link.device = device
        happened: list[Happened] = []
        other_id = self._by_device.get(device)
        if other_id is not None:
            if not self._replaces(link, self._links[other_id], device):
                return [*self._poke(other_id, link), *self.close(link_id, "duplicate-link")]
            happened += self.close(other_id, "duplicate-link")
        link.deadline = float("inf")
        self._by_device[device] = link_id
        assert link.introduction is not None
        salt = link.introduction.secured.handshake_hash
        happened += [PeerJoined(link_id, device, link.up.transport, link.up.address), Welcomed(link_id, device, salt)]
        early, link.early, link.early_bytes = link.early, [], 0
        return happened + [Said(link_id, data) for data in early]

    def _twin(self, new: _Link, secured: Secured) -> LinkId | None:
        """Our other link to the same Noise key, where we have dialled both."""
        if not new.up.dialled or secured.door.invitation is not None:
            return None
        for link_id, link in self._links.items():
            if link is not new and link.up.dialled and link.introduction is not None:
                if link.introduction.secured.link_public == secured.link_public:
                    return link_id
        return None

    def _poke(self, link_id: LinkId, newer: _Link) -> list[Happened]:
        """Say something on a link that may be dead; not where two dialled each other at one time."""
        link = self._links[link_id]
        if link.introduction is None or newer.since - link.since < HANDSHAKE_S:
            return []
        return [SendFrames(link_id, tuple(link.channel.seal(link.introduction.ask(), owner=True)))]

    def _replaces(self, new: _Link, old: _Link, device: bytes) -> bool:
        if new.up.dialled == old.up.dialled:
            return True
        dialler_of_new = self._identity.device if new.up.dialled else device
        return dialler_of_new == min(self._identity.device, device)
