"""One link made safe: the Noise handshake, then whole records of any size up to a bound, both ways.

Law 1: an outsider hears nothing. Whoever dials speaks first; who accepts answers only to a first message that was
       made with a secret it knows (a link secret of the organisation, or the secret of an open invitation).
Law 2: nothing that names a person is said before both ends are known: the handshake carries device ids only.
Law 3: after any error the channel is dead.

First frame: preamble `"BM" 0x01 suite` | Noise message 1. Then Noise messages 2 and 3, each with the sender's
device id (16 B; empty for a joiner) as payload. Then frames, each one Noise transport message of
`flags 1 | part of a record`: flag 1 = more parts follow, flag 2 = a record between the channels' owners
(certificates, enrolment) and not one of the sync session. Flag 4 = two or more whole session records, each as
`length 2 | record`: an acknowledgement that rides with something else costs no tag of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.noise import LINK_PROTOCOL, Cipher, Handshake, NoiseError
from beepmesh.crypto.primitives import AgreementKey
from beepmesh.errors import Refused

SUITE: Final = 1
PREAMBLE: Final = b"BM\x01" + bytes([SUITE])
RECORD_BYTES_MAX: Final = 160 * 1024  # One entry of the largest body and its framing, twice over.
FRAME_BYTES_MAX: Final = 65_535  # A Noise message (revision 34, section 3).
REKEY_FRAMES: Final = 2**16  # Both ends count alike, so neither has to announce it.
FRAME_OVERHEAD_BYTES: Final = 17  # Flags and tag.
LENGTH_BYTES: Final = 2
_MORE: Final = 1
_OWNER: Final = 2
_SEVERAL: Final = 4


@dataclass(frozen=True, slots=True)
class Door:
    """A secret that opens this node to somebody: the organisation's, or an invitation's."""

    psk: bytes
    invitation: bytes | None
    """8-B id of the invitation; None for members."""

    def __repr__(self) -> str:
        return f"Door({'member' if self.invitation is None else self.invitation.hex()})"


@dataclass(frozen=True, slots=True)
class Secured:
    """The handshake is done: who claims to be there, and by which door."""

    device: bytes
    """16 B, or empty for a joiner. A claim until a certificate names `link_public` for it."""
    link_public: bytes
    handshake_hash: bytes
    door: Door


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """A record from the other end's owner."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A record of the sync session."""

    data: bytes


ChannelEvent = Secured | OwnerRecord | SessionRecord


class Channel:
    """See the laws above. `receive` raises Refused, and nothing else, for whatever the other end does wrong."""

    def __init__(
        self,
        *,
        dialled: bool,
        device: bytes,
        link_key: AgreementKey,
        doors: Sequence[Door],
        ephemeral_seed: bytes,
        frame_bytes_max: int,
    ) -> None:
        assert not dialled or len(doors) == 1
        self._dialled = dialled
        self._device = device
        self._link_key = link_key
        self._doors = tuple(doors)
        self._ephemeral_seed = ephemeral_seed
        self._part_bytes = min(frame_bytes_max, FRAME_BYTES_MAX) - FRAME_OVERHEAD_BYTES
        self._handshake: Handshake | None = self._begin(doors[0]) if dialled else None
        self._door: Door | None = doors[0] if dialled else None
        self._sending: Cipher | None = None
        self._receiving: Cipher | None = None
        self._sent = 0
        self._received = 0
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._dead = False

    @property
    def secured(self) -> bool:
        """Whether records may be sealed."""
        return self._sending is not None and not self._dead

    def start(self) -> list[bytes]:
        """The first frame, from the end that dialled; the other end waits."""
        if not self._dialled:
            return []
        assert self._handshake is not None
        return [PREAMBLE + self._handshake.write()]

    def receive(self, frame: bytes) -> tuple[list[bytes], list[ChannelEvent]]:
        """What one frame brings: frames to answer with, and what happened."""
        if self._dead:
            raise Refused("channel-dead")
        try:
            if self._receiving is not None:
                return [], self._record(frame)
            return self._dialler(frame) if self._dialled else self._accepter(frame)
        except (NoiseError, Refused) as error:
            self._dead = True
            if isinstance(error, Refused):
                raise
            reason = "handshake-failed" if self._receiving is None else "frame-unreadable"
            raise Refused(reason, error.reason) from None

    def seal(self, record: bytes, *, owner: bool = False) -> list[bytes]:
        """The frames of one record."""
        assert 0 < len(record) <= RECORD_BYTES_MAX
        frames = []
        for at in range(0, len(record), self._part_bytes):
            part = record[at : at + self._part_bytes]
            flags = (_MORE if at + len(part) < len(record) else 0) | (_OWNER if owner else 0)
            frames.append(self._seal_frame(bytes([flags]) + part))
        return frames

    def seal_all(self, records: Sequence[bytes]) -> list[bytes]:
        """The frames of session records, as few as they fit into."""
        if len(records) == 1:
            return self.seal(records[0])
        frames: list[bytes] = []
        together: list[bytes] = []
        room = self._part_bytes
        for record in records:
            if len(record) + LENGTH_BYTES > room:
                frames += self._seal_together(together)
                together, room = [], self._part_bytes
            together.append(record)
            room -= len(record) + LENGTH_BYTES
        return frames + self._seal_together(together)

    def _seal_together(self, records: list[bytes]) -> list[bytes]:
        if len(records) < 2:
            return [frame for record in records for frame in self.seal(record)]
        parts = [part for record in records for part in (len(record).to_bytes(LENGTH_BYTES), record)]
        return [self._seal_frame(bytes([_SEVERAL]) + b"".join(parts))]

    def _seal_frame(self, plain: bytes) -> bytes:
        assert self._sending is not None
        frame = self._sending.seal(plain)
        self._sent += 1
        if self._sent % REKEY_FRAMES == 0:
            self._sending.rekey()
        return frame

    def _begin(self, door: Door) -> Handshake:
        return Handshake(
            LINK_PROTOCOL,
            initiator=self._dialled,
            prologue=PREAMBLE,
            static=self._link_key,
            psks=(door.psk,),
            ephemeral=AgreementKey(self._ephemeral_seed),
        )

    def _accepter(self, frame: bytes) -> tuple[list[bytes], list[ChannelEvent]]:
        if self._handshake is None:
            self._handshake = self._open_door(frame)
            return [self._handshake.write(self._device)], []
        device = self._handshake.read(frame)
        return [], [self._split(device)]

    def _dialler(self, frame: bytes) -> tuple[list[bytes], list[ChannelEvent]]:
        assert self._handshake is not None
        device = self._handshake.read(frame)
        answer = self._handshake.write(self._device)
        return [answer], [self._split(device)]

    def _open_door(self, frame: bytes) -> Handshake:
        if not frame.startswith(PREAMBLE):
            raise Refused("not-beepmesh")
        for door in self._doors:
            handshake = self._begin(door)
            try:
                handshake.read(frame[len(PREAMBLE) :])
            except NoiseError:
                continue
            self._door = door
            return handshake
        raise Refused("outsider", "no secret of ours fits its first message")

    def _split(self, device: bytes) -> Secured:
        assert self._handshake is not None
        assert self._door is not None
        assert self._handshake.remote_static is not None
        if len(device) not in (0, 16):
            raise Refused("handshake-failed", "a device id of the wrong size")
        self._sending, self._receiving = self._handshake.split()
        return Secured(device, self._handshake.remote_static, self._handshake.hash, self._door)

    def _record(self, frame: bytes) -> list[ChannelEvent]:
        assert self._receiving is not None
        plain = self._receiving.open(frame)
        self._received += 1
        if self._received % REKEY_FRAMES == 0:
            self._receiving.rekey()
        if len(plain) < 2 or plain[0] & ~(_MORE | _OWNER | _SEVERAL):
            raise Refused("frame-malformed")
        if plain[0] & _SEVERAL:
            return self._several(plain)
        self._parts_bytes += len(plain) - 1
        if self._parts_bytes > RECORD_BYTES_MAX:
            raise Refused("record-oversized")
        self._parts.append(plain[1:])
        if plain[0] & _MORE:
            return []
        record = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._parts_bytes = [], 0
        return [OwnerRecord(record) if plain[0] & _OWNER else SessionRecord(record)]

    def _several(self, plain: bytes) -> list[ChannelEvent]:
        records: list[ChannelEvent] = []
        at = 1
        while at < len(plain):
            start = at + LENGTH_BYTES
            at = start + int.from_bytes(plain[at:start])
            if not start < at <= len(plain):
                raise Refused("frame-malformed")
            records.append(SessionRecord(plain[start:at]))
        if plain[0] != _SEVERAL or self._parts or len(records) < 2:
            raise Refused("frame-malformed")
        return records
