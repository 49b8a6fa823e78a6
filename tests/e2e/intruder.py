"""Links spoken by hand: what a stranger, a false member or a hostile member can put on a node's TCP port.

Everything here blocks with a deadline. A node that does not close a link where it should fails the test.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Self

from beepmesh.channel import RECORD_BYTES_MAX, Channel, ChannelEvent, Door, OwnerRecord, Secured, SessionRecord
from beepmesh.crypto.primitives import AgreementKey
from beepmesh.home import Home
from beepmesh.messages.entry import Entry, pack
from beepmesh.trust.identity import Identity
from sync import cbor, wire
from sync.logs import LogId
from transports.framing import Deframer, frame

# Of two that do not know each other the one with the smaller root tells everything: here that is us.
HELLO = wire.Hello(wire.WIRE_VERSION, 15, 1 << 17, 0, b"", 1, 1, root=bytes(8), chain=bytes(4))

CLOSED_WITHIN_S = 15.0  # Beyond the ten seconds that a silent stranger is given.
SHOW_CERTIFICATE = 1


class Wire:
    """A TCP connection to a node."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=CLOSED_WITHIN_S)
        self._deframer = Deframer()
        self._frames: deque[bytes] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self._socket.sendall(data)

    def send_frame(self, data: bytes) -> None:
        self.send(frame(data))

    def receive(self) -> bytes:
        """The next frame. Raises ConnectionError at the end of the link."""
        while not self._frames:
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError("closed")
            self._frames.extend(self._deframer.feed(data))
        return self._frames.popleft()

    def rest(self) -> bytes:
        """Everything until the other end closes, which it must."""
        heard = b""
        try:
            while data := self._socket.recv(65_536):
                heard += data
        except ConnectionResetError:
            pass
        return heard


class Insider:
    """A link whose handshake is done with a secret of the organisation. What follows may be anything."""

    def __init__(
        self,
        wire: Wire,
        identity: Identity,
        *,
        link_key: AgreementKey | None = None,
        door: Door | None = None,
        certificates: tuple[bytes, bytes] | None = None,
    ) -> None:
        """Introduces itself with the identity's certificates, or with others."""
        self.wire = wire
        self.channel = Channel(
            dialled=True,
            device=identity.device,
            link_key=link_key or identity.link_key,
            doors=(door or Door(identity.link_psks[0], None),),
            ephemeral_seed=os.urandom(32),
            frame_bytes_max=65_535,
        )
        self.heard: deque[ChannelEvent] = deque()
        self._mentioned: list[LogId] = []
        for first in self.channel.start():
            wire.send_frame(first)
        answers, events = self.channel.receive(wire.receive())
        for answer in answers:
            wire.send_frame(answer)
        assert isinstance(events[0], Secured)
        self.secured = events[0]
        shown = certificates or (identity.device_certificate, identity.issuer_certificate)
        self._shown: list[object] = [SHOW_CERTIFICATE, *shown]

    def seal(self, record: bytes, *, owner: bool = False) -> list[bytes]:
        return self.channel.seal(record, owner=owner)

    def say(self, record: bytes, *, owner: bool = False) -> None:
        for sealed in self.seal(record, owner=owner):
            self.wire.send_frame(sealed)

    def hear(self) -> ChannelEvent:
        while not self.heard:
            self.heard.extend(self.channel.receive(self.wire.receive())[1])
        return self.heard.popleft()

    def introduce(self) -> None:
        """Show the certificates unasked: a node that knows the device closes on it, one that does not needs them."""
        self.say(cbor.encode(self._shown), owner=True)

    def answer_introduction(self) -> None:
        """Wait for the node's first record, and show the certificates if it asks for them."""
        first = self.hear()
        if isinstance(first, OwnerRecord):
            self.introduce()
            first = self.hear()
        assert isinstance(first, SessionRecord), first

    def greet(self) -> None:
        """Become a party to a session in which nothing is said to be held here."""
        self.answer_introduction()
        self.say(wire.encode(HELLO))
        self.say(wire.encode(wire.Vector(more=False, states=())))

    def push(self, entries: Sequence[Entry], *, start: int | None = None, prev: bytes | None = None) -> None:
        """One run."""
        log = entries[0].log
        packed = tuple(pack(entry) for entry in entries)
        first = entries[0].seq if start is None else start
        self.say(wire.encode(wire.Run(self.reference(log), first, prev, packed)))

    def reference(self, log: LogId) -> wire.LogRef:
        """In full the first time, then the number of that time."""
        if log in self._mentioned:
            return self._mentioned.index(log)
        self._mentioned.append(log)
        return log

    def await_ack(self) -> None:
        """Wait until the node says that it has dealt with a run."""
        while True:
            event = self.hear()
            if isinstance(event, SessionRecord):
                record = wire.decode(event.data, bytes_max=RECORD_BYTES_MAX)
                if isinstance(record, wire.Ack) and record.runs_done:
                    return


def entries_of(home: Home, log: LogId) -> list[Entry]:
    """What that home holds of a log, from its beginning."""
    state = home.store.states().get(log)
    held = (home.store.entry(log, seq) for seq in range(state.settled.top if state else 0))
    return [entry for entry in held if entry is not None]


def own_logs(home: Home) -> Iterable[LogId]:
    """The logs that this home's device writes, those that vouch for others first."""
    own = (home.identity.device, home.identity.feed)
    logs = [log for log in home.store.states() if log.feed in own]
    return sorted(logs, key=lambda log: (log.lane, log.feed != home.identity.device))
