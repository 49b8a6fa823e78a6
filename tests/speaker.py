"""A member, or one who says so, whose every record is the test's; and logs with any bodies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from beepmesh.channel import RECORD_BYTES_MAX, Channel, Door, OwnerRecord, Secured, SessionRecord
from beepmesh.crypto.primitives import AgreementKey, SigningKey
from beepmesh.messages.entry import NO_PREV, Entry, pack, write
from beepmesh.messages.lifetimes import TTL_LONGEST, URGENT
from beepmesh.trust.identity import Identity
from sync import cbor, wire
from sync.logs import LogId
from tests.engines import FRAME_BYTES_MAX, NOW_MS, Cable, EngineNode
from tests.trust.village import Entropy

_EPOCHS = count(1)


class Speaker:
    """A member, or one who says so, whose every record is the test's. It dials; it answers a demand for certificates.

    It holds nothing and acknowledges nothing. `heard` are the sync records that the node said, in order.
    """

    def __init__(
        self,
        node: EngineNode,
        identity: Identity,
        *,
        link_key: AgreementKey | None = None,
        certificates: tuple[bytes, bytes] | None = None,
        psk: bytes | None = None,
    ) -> None:
        self.heard: list[wire.Record] = []
        self.asked = 0
        self._ended = False
        self.secured: Secured | None = None
        self._certificates = certificates or (identity.device_certificate, identity.issuer_certificate)
        self._mentioned: list[LogId] = []
        self._node = node
        self.channel = Channel(
            dialled=True,
            device=identity.device,
            link_key=link_key or identity.link_key,
            doors=(Door(psk or identity.link_psks[0], None),),
            ephemeral_seed=Entropy(f"speaker {identity.name} {node.mesh.number()}")(32),
            frame_bytes_max=FRAME_BYTES_MAX,
        )
        mesh = node.mesh
        self.cable = Cable((self, node), (mesh.number(), mesh.number()))
        mesh.cables.append(self.cable)
        node.plug(self.cable, self.cable.numbers[1], dialled=False)
        self.cable.send(self.cable.numbers[0], self.channel.start())

    @property
    def link(self) -> int:
        """The node's number for it."""
        return self.cable.numbers[1]

    def on_frame(self, link: int, frame: bytes) -> None:
        answers, events = self.channel.receive(frame)
        self.cable.send(link, answers)
        for event in events:
            match event:
                case Secured():
                    self.secured = event
                case OwnerRecord():
                    self.asked += 1
                    self.say(cbor.encode([1, *self._certificates]), owner=True)
                case SessionRecord(data):
                    self.heard.append(wire.decode(data, bytes_max=RECORD_BYTES_MAX))

    def on_drained(self, link: int) -> None:
        """It never asks."""

    def on_down(self, link: int) -> None:
        self._ended = True

    def has_ended(self) -> bool:
        """Whether the node hung up."""
        return self._ended

    def say(self, record: bytes, *, owner: bool = False) -> None:
        self.cable.send(self.cable.numbers[0], self.channel.seal(record, owner=owner))

    def greet(self) -> None:
        """Begin a session in which nothing is said to be held here."""
        self._node.mesh.run()
        # Of two that do not know each other the one with the smaller root tells everything.
        # With a disk of its own each time, it is never taken for one that was met before.
        epoch = next(_EPOCHS)
        hello = wire.Hello(wire.WIRE_VERSION, 15, 1 << 17, 0, b"", epoch, 1, root=bytes(8), chain=bytes(4))
        self.say(wire.encode(hello))
        self.say(wire.encode(wire.Vector(more=False, states=())))
        self._node.mesh.run()

    def push(
        self, log: LogId, start: int, entries: Sequence[Entry | bytes], *, prev: bytes | None = None, run: bool = True
    ) -> None:
        """One run, entries packed or as the bytes they are."""
        if log not in self._mentioned:
            self._mentioned.append(log)
            reference: wire.LogRef = log
        else:
            reference = self._mentioned.index(log)
        packed = tuple(entry if isinstance(entry, bytes) else pack(entry) for entry in entries)
        self.say(wire.encode(wire.Run(reference, start, prev, packed)))
        if run:
            self._node.mesh.run()

    @property
    def runs_done(self) -> int:
        return sum(record.runs_done for record in self.heard if isinstance(record, wire.Ack))


def chain(
    key: SigningKey,
    lane: int,
    bodies: Iterable[tuple[bytes, bytes]],
    *,
    after: Entry | None = None,
    start: int = 0,
    time_ms: int = NOW_MS,
) -> list[Entry]:
    """Entries of that key's feed with these (hints, body), linked to each other and to the one before."""
    entries: list[Entry] = []
    prev = NO_PREV if after is None else after.id
    seq = start if after is None else after.seq + 1
    for hints, body in bodies:
        entry = write(
            key, lane=lane, seq=seq, prev=prev, time_ms=time_ms, ttl=TTL_LONGEST, priority=URGENT, hints=hints,
            body=body,
        )  # fmt: skip
        entries.append(entry)
        prev, seq = entry.id, seq + 1
    return entries
