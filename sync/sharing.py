"""One session's part in sharing out logs among several links, and how long it waits for what a peer has announced."""

from __future__ import annotations

from collections.abc import Iterable

from sync.events import Output, Send
from sync.frontier import Frontier
from sync.limits import STALL_S
from sync.logs import LogId, reconciled
from sync.names import Names
from sync.peer import Peer, PeerLog
from sync.ranges import NOTHING
from sync.refs import LogRef
from sync.sources import SessionId, Sources
from sync.wire import Stop, Want, encode


class Sharing:
    """See sources.py for the law."""

    def __init__(self, frontier: Frontier, peer: Peer, names: Names, sources: Sources, number: SessionId) -> None:
        self._frontier = frontier
        self._peer = peer
        self._names = names
        self._sources = sources
        self._number = number
        self._paused: set[LogId] = set()
        self._waiting_since: float | None = None
        self._holds = False  # We have told the peer to hold, and not yet what it may push.

    def start(self) -> bool:
        """Whether the peer is to hold: another one is giving us something."""
        self._holds = self._sources.busy(self._number)
        return self._holds

    def share(self, out: list[Output]) -> None:
        """Claim what the peer, which is known, has for us; stop it where another session has it already."""
        if not self._peer.flipped and not self._holds:
            return
        flipped, self._peer.flipped = self._peer.flipped, []
        stops: list[LogRef] = []
        had: list[LogId] = []
        for log in dict.fromkeys(flipped):
            view = self._peer.log(log)
            if not log.lane or not reconciled(log):
                continue
            if log not in self._peer.awaited:
                had.append(log)
                self._sources.release(log, self._number)
            elif not view.paused and not self._sources.claim(log, self._number):
                self._pause(view, True)
                stops.append(self._name(log))
        if stops or self._holds:
            self._holds = False
            out.append(Send(encode(Stop(tuple(stops)))))
        self.go_on(had, out)  # What it has of these later may come.

    def resumed(self, logs: Iterable[LogId]) -> list[LogId]:
        """These are ours to receive; of which of them the peer does not know what we have got meanwhile."""
        return [log for log in logs if self._peer.log(log).told != self._frontier.settled(log)]

    def go_on(self, logs: Iterable[LogId], out: list[Output]) -> None:
        """Ask the peer to push them."""
        for log in logs:
            view = self._peer.log(log)
            if view.paused:
                self._pause(view, False)
                out.append(Send(encode(Want(self._name(log), NOTHING))))

    @property
    def awaits(self) -> bool:
        """Whether the peer has something for us that it is not stopped from pushing."""
        return len(self._peer.awaited) > len(self._paused)

    def wait(self, now: float) -> float:
        """It should be pushing; until when it may keep us waiting."""
        if self._waiting_since is None:
            self._waiting_since = now
        return self._waiting_since + STALL_S

    def waited(self) -> None:
        """It pushes, or has nothing to push."""
        self._waiting_since = None

    def stalled(self, now: float) -> bool:
        """Whether it kept us waiting for too long; then it is waited for no longer."""
        if self._waiting_since is None or now < self._waiting_since + STALL_S:
            return False
        self._waiting_since = None
        for log in list(self._peer.awaited):
            view = self._peer.log(log)
            if not view.paused:
                self._peer.excuse(log, view.missing)
        return True

    def _pause(self, view: PeerLog, paused: bool) -> None:
        view.paused = paused
        (self._paused.add if paused else self._paused.discard)(view.log)

    def _name(self, log: LogId) -> LogRef:
        return self._names.mention(log, tagged=self._peer.knows_feed(log.feed))
