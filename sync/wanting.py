"""What we ask of the peer by WANT, and it of us. Ours waits for its HELLO: then names begin to count, and its lanes are
known."""

from __future__ import annotations

from sync.events import Noticed, Output, Send, Wanted
from sync.limits import RANGES_MAX
from sync.logs import LogId
from sync.peer import Peer, PeerLog
from sync.push import Push
from sync.ranges import NOTHING, Ranges
from sync.wire import Gone, Want, encode


class Wanting:
    """One side's."""

    def __init__(self, peer: Peer, push: Push) -> None:
        self._peer = peer
        self._push = push
        self._asked: dict[LogId, Ranges] = {}
        self._waiting: list[Wanted] = []

    def want(self, wanted: Wanted) -> None:
        """To be asked for as soon as it can be."""
        assert 0 < len(wanted.seqs.spans) <= RANGES_MAX
        self._asked[wanted.log] = self._asked.get(wanted.log, NOTHING).union(wanted.seqs)
        self._waiting.append(wanted)

    def ask(self, agreed_lanes: int, out: list[Output]) -> None:
        """The peer's HELLO has come."""
        for log, seqs in ((wanted.log, wanted.seqs) for wanted in self._waiting):
            if agreed_lanes >> log.lane & 1:
                out.append(Send(encode(Want(self._push.name(log), seqs))))
            else:
                out.append(Noticed("lane-not-shared"))
        self._waiting.clear()

    def asked_for(self, log: LogId, start: int, stop: int) -> bool:
        """Whether all of this was wanted in this session."""
        return self._asked.get(log, NOTHING).covers(start, stop)

    def wanted(self, view: PeerLog, seqs: Ranges, ours: Ranges, out: list[Output]) -> None:
        """The peer asks for these, of which we have settled `ours`."""
        view.stopped = False
        self._peer.withheld_unsaid |= bool(view.withheld)  # It waits for all of this log again.
        self._peer.wants(view, seqs.intersect(ours))
        unheard = seqs.minus(ours)
        if unheard:
            out.append(Send(encode(Gone(self._push.name(view.log), Ranges(unheard.spans[:RANGES_MAX])))))
        self._push.enqueue(view)
