"""One session's part in sharing out logs among several links, and how long it waits for what a peer has announced."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sync.events import Output, Send
from sync.frontier import Frontier
from sync.limits import LINKS_FEW, STALL_S, STOP_LOGS_MAX, TAKE_OVER_LOGS_MAX
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
        self.progress = 0.0
        """When the peer pushed something last, or began to have something to push."""
        self.waits = False
        self.told: dict[LogId, None] = {}
        """Logs that the peer, which we knew before, has just told: it holds back what it has of them, or offers it.
        What is offered we want at once; with few links the rest, too."""
        self._frontier = frontier
        self._peer = peer
        self._names = names
        self._sources = sources
        self._number = number
        self._paused: dict[LogId, None] = {}
        self._expected: set[LogId] = set()  # Awaited, and not paused.
        self._holds = False  # We have told the peer to hold, and not yet what it may push.

    def start(self) -> bool:
        """Whether the peer is to hold: another one is giving us something."""
        self._sources.join(self._number)
        self._holds = self._sources.busy(self._number)
        return self._holds

    @property
    def others(self) -> bool:
        """Whether there are links to other peers."""
        return self._sources.links > 1

    @property
    def crowded(self) -> bool:
        """Whether there are so many that what is told need not be wanted: it comes from one of them soon."""
        return self._sources.links > LINKS_FEW

    @property
    def has_news(self) -> bool:
        """Whether `share` has anything to do."""
        return bool(self._peer.flipped or self.told) or self._holds

    def share(self, out: list[Output], now: float) -> list[LogId]:
        """Claim what the peer, which is known, has for us; stop it where another session has it already.

        Returns what was stopped and is ours to receive now: the session asks for it, see `go_on`.
        """
        told, self.told = self.told, {}
        flipped, self._peer.flipped = self._peer.flipped, []
        stops: list[LogId] = []
        ours: list[LogId] = []
        for log in dict.fromkeys((*flipped, *told)):
            view = self._peer.log(log)
            self._expect(view)
            if not log.lane or not reconciled(log):
                if log in told and log in self._peer.awaited:
                    self._want(log, out)
                continue
            if log not in self._peer.awaited:
                # If it was stopped it stays so, and is asked to go on when it has more of this log.
                self._sources.release(log, self._number)
            elif self._sources.claim(log, self._number, now):
                if view.paused:
                    ours.append(log)
                elif log in told:
                    self._want(log, out)
            elif not view.paused:
                self._pause(view, True)
                stops.append(log)
        if stops or self._holds:
            self._holds = False
            names = [self._name(log) for log in stops]  # Not before: names count in the order of records.
            parts = (names[at : at + STOP_LOGS_MAX] for at in range(0, len(names) or 1, STOP_LOGS_MAX))
            out.extend(Send(encode(Stop(tuple(part)))) for part in parts)
        return ours

    def pushed(self, log: LogId, now: float) -> None:
        """The peer has pushed something of this log."""
        self.progress = now
        self._sources.gave(log, self._number, now)

    def resumed(self, logs: Iterable[LogId]) -> list[LogId]:
        """These are ours to receive; of which of them the peer does not know what we have got meanwhile."""
        return [log for log in logs if self._peer.log(log).told != self._frontier.settled(log)]

    def go_on(self, logs: Iterable[LogId], out: list[Output], now: float) -> None:
        """Ask the peer to push them."""
        for log in logs:
            self._sources.gave(log, self._number, now)  # It is given as long as who was claimed first.
            view = self._peer.log(log)
            if view.paused:
                self._pause(view, False)
                self._want(log, out)
                self.waits = False  # It is given as long as if it had just announced it.

    @property
    def awaits(self) -> bool:
        """Whether the peer has something for us that it is not stopped from pushing."""
        return bool(self._expected)

    @property
    def stands_by(self) -> bool:
        """Whether all that the peer has for us is to come from others."""
        return bool(self._peer.awaited) and not self.awaits

    def overdue(self, now: float) -> list[LogId]:
        """What this peer may push after all, for it stood by for long and the source gave nothing of it meanwhile."""
        if not self.stands_by or now < self.progress + STALL_S:
            return []
        self.progress = now  # What is not overdue yet is looked at again after as long.
        late = (log for log in self._paused if self._sources.take_over(log, self._number, now - STALL_S))
        return list(islice(late, TAKE_OVER_LOGS_MAX))

    def wait(self, now: float) -> float:
        """The peer should push something; when it will have kept us waiting for too long."""
        if not self.waits:
            self.waits, self.progress = True, now
        return self.progress + STALL_S

    def stalled(self, now: float) -> bool:
        """Whether it has; then it is waited for no longer."""
        if now < self.progress + STALL_S:
            return False
        self.progress = now
        for log in list(self._peer.awaited):
            view = self._peer.log(log)
            if not view.paused:
                self._peer.excuse(log, view.missing)
        return True

    def _pause(self, view: PeerLog, paused: bool) -> None:
        view.paused = paused
        if paused:
            self._peer.paused(view)
            self._paused[view.log] = None
        else:
            self._paused.pop(view.log, None)
        self._expect(view)

    def _expect(self, view: PeerLog) -> None:
        expected = view.log in self._peer.awaited and not view.paused
        (self._expected.add if expected else self._expected.discard)(view.log)

    def _want(self, log: LogId, out: list[Output]) -> None:
        out.append(Send(encode(Want(self._name(log), NOTHING))))

    def _name(self, log: LogId) -> LogRef:
        is_listed = self._names.is_listed(log)
        return self._names.mention(log, tagged=not is_listed and self._peer.knows_feed(log.feed))
