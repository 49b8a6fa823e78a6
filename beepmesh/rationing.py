"""Which large entries are pushed on which link. What decides is carrying.py; here stand the questions and answers.

Before an entry of the lane of large mail is read for a peer, its crowd is looked up, and the peer is asked how well it
leads there. What it should not carry is told to be gone, for this session: the next one asks again.

Owner records, CBOR arrays: `[5, crowds]` how well do you lead to these? `[6, [leads]]` so well, in the same order.

Law: what a peer answers makes a difference to large mail that we carry for others, and to nothing else; a link whose
peer never answers pushes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from beepmesh.carrying import LEAD_MAX, Carrying
from beepmesh.errors import Refused
from beepmesh.events import LinkId
from beepmesh.trust.crowds import NOBODY
from sync import cbor
from sync.events import ReadRun
from sync.logs import LogId
from sync.ranges import Ranges

CROWDS_ASKED_MAX: Final = 64  # A read is of so many entries at most.
RECORD_BYTES_MAX: Final = 512
_ASK, _ANSWER = 5, 6

Crowds = Mapping[int, int]
"""By seq of one log, the crowd of each large entry that is held."""


@dataclass(slots=True)
class _Waiting:
    run: ReadRun
    crowds: Crowds


@dataclass(slots=True)
class _Peer:
    device: bytes
    leads: dict[int, int] = field(default_factory=dict)
    """By crowd, what it answered on this link."""
    asked: list[tuple[int, ...]] = field(default_factory=list)
    waiting: list[_Waiting] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ration:
    """What to do about one read: push `given` of it."""

    run: ReadRun
    given: Ranges


class Rationing:
    """All links of a node."""

    def __init__(self, carrying: Carrying) -> None:
        self._carrying = carrying
        self._peers: dict[LinkId, _Peer] = {}

    def open(self, link: LinkId, device: bytes) -> None:
        """A member is at the other end."""
        self._peers[link] = _Peer(device)

    def close(self, link: LinkId) -> None:
        self._peers.pop(link, None)

    def weigh(self, link: LinkId, run: ReadRun, crowds: Crowds) -> tuple[bytes, list[Ration]]:
        """(the question to the peer or nothing, what is decided already) about a read of the lane of large mail."""
        peer = self._peers.get(link)
        if peer is None:
            return b"", []
        unknown = self._unknown(peer, crowds.values())
        if not unknown:
            return b"", [self._ration(peer, run, crowds)]
        peer.waiting.append(_Waiting(run, crowds))
        if any(set(unknown) <= set(asked) for asked in peer.asked):
            return b"", []
        peer.asked.append(unknown)
        return cbor.encode([_ASK, list(unknown)]), []

    def receive(self, link: LinkId, record: Sequence[object]) -> tuple[bytes, list[Ration]]:
        """(our answer or nothing, what is decided now). Raises Refused("owner-record")."""
        peer = self._peers.get(link)
        if peer is None:
            return b"", []
        match record:
            case [int(kind), [*crowds]] if kind == _ASK and len(crowds) <= CROWDS_ASKED_MAX:
                return cbor.encode([_ANSWER, [self._carrying.lead(number) for number in _numbers(crowds)]]), []
            case [int(kind), [*leads]] if kind == _ANSWER and peer.asked and len(leads) == len(peer.asked[0]):
                peer.leads.update(zip(peer.asked.pop(0), _numbers(leads), strict=True))
                return b"", self._decided(peer)
            case _:
                raise Refused("owner-record")

    def _decided(self, peer: _Peer) -> list[Ration]:
        ready = [waiting for waiting in peer.waiting if not self._unknown(peer, waiting.crowds.values())]
        peer.waiting = [waiting for waiting in peer.waiting if waiting not in ready]
        return [self._ration(peer, waiting.run, waiting.crowds) for waiting in ready]

    def _unknown(self, peer: _Peer, crowds: Iterable[int]) -> tuple[int, ...]:
        wanted = (crowd for crowd in crowds if crowd != NOBODY and crowd not in peer.leads)
        return tuple(dict.fromkeys(wanted))[:CROWDS_ASKED_MAX]

    def _ration(self, peer: _Peer, run: ReadRun, crowds: Crowds) -> Ration:
        given = Ranges()
        for seq, crowd in crowds.items():
            if crowd == NOBODY or self._carrying.gives((run.log, seq), crowd, peer.device, peer.leads[crowd]):
                given = given.add(seq, seq + 1)
        return Ration(run, given)


def is_rationing(kind: object) -> bool:
    """Whether an owner record of that kind is for `Rationing.receive`."""
    return kind in (_ASK, _ANSWER)


def _numbers(found: Sequence[object]) -> list[int]:
    numbers = [number for number in found if isinstance(number, int) and not isinstance(number, bool)]
    if len(numbers) != len(found) or not all(0 <= number <= LEAD_MAX for number in numbers):
        raise Refused("owner-record")
    return numbers
