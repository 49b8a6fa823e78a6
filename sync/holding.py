"""Logs that came from another peer a moment ago: the peer is told of them, and they are pushed to it a little later.

Law: nothing is pushed before the link has said that what was told of it has left. On a radio that is busy with others
that takes longer than the wait; a run that stood behind the telling would leave with it, and nobody could say that he
has it already (recorded contacts: of messages for everybody, of 31 kB, more than half came twice).
"""

from __future__ import annotations

from math import inf

from sync.events import Output
from sync.limits import HOLD_BACK_APART_S, HOLD_BACK_S, HOLD_BACK_URGENT_S, LINK_FAST_S, OFFER_S
from sync.logs import LogId
from sync.peer import PeerLog
from sync.push import Push


class Holding:
    """One session's."""

    def __init__(self, push: Push, apart: bool = False) -> None:
        self.apart = apart
        self._push = push
        self._held: dict[LogId, tuple[PeerLog, float]] = {}
        """And when each may be pushed."""
        self.until = inf
        """The first of these times."""
        self._asked: tuple[PeerLog, ...] = ()
        """What goes when the link says that all has left that was given to it before `_asked_at`."""
        self._asked_at = 0.0

    @property
    def count(self) -> int:
        return len(self._held)

    def hold(self, view: PeerLog, now: float) -> None:
        """Not to be pushed yet."""
        view.held_back = True
        self.until = min(self._wait(view, now), self.until)

    def offer(self, now: float) -> list[LogId]:
        """What is to be told once more; it goes when it is wanted, or when no answer comes until then."""
        offered, self._push.offered = self._push.offered, []
        for view in offered:
            self._held[view.log] = view, now + OFFER_S
        self._look_ahead()
        return [view.log for view in offered]

    def release(self, view: PeerLog) -> None:
        """May be pushed now."""
        view.to_offer = False
        if view.held_back:
            self._free(view)
            self._look_ahead()

    def noted(self, view: PeerLog) -> None:
        """The peer has more of it, perhaps all that we owed: then there is nothing to wait for."""
        if view.held_back and not any(view.owed(*span) for span in view.todo):
            self.release(view)

    def let_go(self, now: float, out: list[Output]) -> float:
        """Ask the link, if anything was held back for long enough. Returns when to look again, if nothing happens."""
        if self._asked:
            return inf
        if now >= self.until:
            due = tuple(view for view, when in self._held.values() if now >= when)
            if self.apart:
                for view in due:
                    self._free(view)
                    self._push.enqueue(view)
                self._look_ahead()
                return self.until
            self._asked = due
            self._asked_at = now
            self._push.ask_drained(self._drained, out)
            return inf
        return self.until

    def _drained(self, now: float) -> None:
        asked, self._asked = self._asked, ()
        for view in asked:
            if view.held_back and now > self._asked_at + LINK_FAST_S:
                self._wait(view, now)  # It has left just now: the peer is given time to answer.
                continue
            if view.held_back:
                self._free(view)
            self._push.enqueue(view)
        self._look_ahead()

    def _wait(self, view: PeerLog, now: float) -> float:
        usual_s = HOLD_BACK_S if view.log.lane else HOLD_BACK_URGENT_S
        until = now + (HOLD_BACK_APART_S if self.apart else usual_s)
        self._held[view.log] = view, until
        return until

    def _free(self, view: PeerLog) -> None:
        view.held_back = False
        del self._held[view.log]

    def _look_ahead(self) -> None:
        self.until = min((when for _, when in self._held.values()), default=inf)
