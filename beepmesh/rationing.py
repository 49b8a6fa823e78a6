"""Which large entries are pushed on which link. What decides is carrying.py; here stand the questions and answers.

Before an entry of the lane of large mail is read for a peer, its crowd is looked up, and peers tell each other their
views. What a peer should not carry is said to be gone, for this session: the next one asks again.

Records between owners (introduction.py), after the proof: `00 | view` this is mine, tell me yours; `01 | view` mine.

Law: what a peer tells makes a difference to large mail, and to nothing else; one that never answers is given none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from beepmesh.carrying import Carrying, View, read_view
from beepmesh.errors import Refused
from beepmesh.events import LinkId
from beepmesh.trust.crowds import NOBODY, bits_for
from sync.events import ReadRun
from sync.ranges import Ranges

VIEW_AGE_S: Final = 1_800.0  # How long a view is believed on one link.
HISTORY_S: Final = 600.0  # How much of the history of meetings a crash may cost.
_ASK, _ANSWER = 0, 1

Crowds = Mapping[int, int]
"""By seq of one log, the crowd of each envelope that is held."""


class Ration(NamedTuple):
    """What is decided about one read: all but these may be pushed."""

    run: ReadRun
    withheld: Ranges


@dataclass(slots=True)
class _Peer:
    device: bytes
    view: View | None = None
    told_at: float = 0.0
    asked: bool = False
    waiting: list[tuple[ReadRun, Crowds]] = field(default_factory=list)


class Rationing:
    """All links of a node. `own`: the feed that this device writes."""

    def __init__(self, carrying: Carrying, own: bytes) -> None:
        self._carrying = carrying
        self._own = own
        self._peers: dict[LinkId, _Peer] = {}
        self._kept_at = 0.0

    def open(self, link: LinkId, device: bytes, devices: int, now: float) -> None:
        """A member is at the other end, one of so many devices."""
        self._peers[link] = _Peer(device)
        self._carrying.met(device, bits_for(devices), now)

    def close(self, link: LinkId) -> None:
        self._peers.pop(link, None)

    def weigh(self, link: LinkId, run: ReadRun, crowds: Crowds, now: float) -> tuple[bytes, list[Ration]]:
        """(a record for the peer or nothing, what is decided already) about a read of the lane of large mail."""
        peer = self._peers.get(link)
        if peer is None:
            return b"", []
        is_fresh = peer.view is not None and now < peer.told_at + VIEW_AGE_S
        if is_fresh or all(crowd == NOBODY for crowd in crowds.values()):
            return b"", [self._ration(peer, run, crowds)]
        peer.waiting.append((run, crowds))
        if peer.asked:
            return b"", []
        peer.asked = True
        return bytes((_ASK,)) + self._carrying.view(), []

    def receive(self, link: LinkId, record: bytes, now: float) -> tuple[bytes, list[Ration]]:
        """(our answer or nothing, what is decided now). Raises Refused("view-malformed")."""
        peer = self._peers.get(link)
        if peer is None:
            return b"", []
        if record[0] == _ANSWER and not peer.asked:
            raise Refused("view-malformed", "nobody asked")
        peer.view, peer.told_at = read_view(record[1:]), now
        peer.asked = peer.asked and record[0] == _ASK  # Where both ask at once, the answer is still on its way.
        answer = bytes((_ANSWER,)) + self._carrying.view() if record[0] == _ASK else b""
        self._carrying.heard(peer.device, peer.view)
        waiting, peer.waiting = peer.waiting, []
        return answer, [self._ration(peer, run, crowds) for run, crowds in waiting]

    def history_due(self, now: float) -> bytes:
        """What is to be kept of our meetings, now and then; else nothing."""
        if now < self._kept_at + HISTORY_S:
            return b""
        self._kept_at = now
        return self._carrying.encode(now)

    def _ration(self, peer: _Peer, run: ReadRun, crowds: Crowds) -> Ration:
        own, view = run.log.feed == self._own, peer.view or {}
        withheld = Ranges()
        for seq, crowd in crowds.items():
            if crowd != NOBODY and not self._carrying.gives((run.log, seq), crowd, peer.device, view, own=own):
                withheld = withheld.add(seq, seq + 1)
        return Ration(run, withheld)


def is_view(record: bytes) -> bool:
    """Whether a record between owners is for `Rationing.receive`."""
    return record[:1] in (bytes((_ASK,)), bytes((_ANSWER,)))
