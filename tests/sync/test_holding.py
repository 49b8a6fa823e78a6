"""holding.py: what is held back, for how long, and that the link is asked before it goes."""

from __future__ import annotations

from math import inf

from sync.events import AskDrained, Output
from sync.frontier import Frontier
from sync.holding import Holding
from sync.limits import HOLD_BACK_APART_S, HOLD_BACK_S, HOLD_BACK_URGENT_S, LINK_FAST_S
from sync.logs import LogId
from sync.names import Names
from sync.peer import Peer, PeerLog
from sync.push import Push
from sync.ranges import NOTHING

BEGUN = 10.0


class Held:
    """Two logs of which an entry each is owed, held back at the same time."""

    def __init__(self, *, apart: bool = False) -> None:
        frontier = Frontier()
        self.push = Push(Peer(frontier), Names(frontier, b""), lambda _: False, lambda *_: NOTHING)
        self.holding = Holding(self.push, apart)
        self.later, self.urgent = (PeerLog(LogId(bytes([lane]) * 16, lane), todo=[(0, 1)]) for lane in (1, 0))
        for view in (self.later, self.urgent):
            self.holding.hold(view, BEGUN)

    def asks(self, now: float) -> int:
        """How often the link is asked at that time."""
        out: list[Output] = []
        self.holding.let_go(now, out)
        return out.count(AskDrained())

    @property
    def queued(self) -> list[PeerLog]:
        return [view for view in (self.later, self.urgent) if view.queued]


def test_each_goes_when_its_time_is_over_and_the_link_has_nothing_left_to_say() -> None:
    held = Held()
    assert held.holding.let_go(BEGUN, []) == BEGUN + HOLD_BACK_URGENT_S
    assert held.asks(BEGUN + HOLD_BACK_URGENT_S) == 1
    assert (held.asks(BEGUN + HOLD_BACK_S), held.queued) == (0, [])
    held.push.drained(BEGUN + HOLD_BACK_URGENT_S)
    assert held.queued == [held.urgent]
    assert held.asks(BEGUN + HOLD_BACK_S) == 1
    held.push.drained(BEGUN + HOLD_BACK_S + LINK_FAST_S)
    assert held.queued == [held.later, held.urgent]
    assert held.holding.count == 0


def test_where_the_telling_left_late_the_peer_is_given_as_long_again() -> None:
    held = Held()
    held.asks(BEGUN + HOLD_BACK_S)
    left = BEGUN + HOLD_BACK_S + 3.0
    held.push.drained(left)
    assert held.queued == []
    assert held.holding.let_go(left, []) == left + HOLD_BACK_URGENT_S
    assert held.asks(left + HOLD_BACK_S) == 1
    held.push.drained(left + HOLD_BACK_S)
    assert held.queued == [held.later, held.urgent]


def test_a_peer_that_is_apart_is_given_all_together_a_little_later_and_its_link_is_not_asked() -> None:
    held = Held(apart=True)
    assert held.holding.let_go(BEGUN, []) == BEGUN + HOLD_BACK_APART_S
    assert (held.queued, held.holding.count) == ([], 2)
    assert held.asks(BEGUN + HOLD_BACK_APART_S) == 0
    assert (held.queued, held.holding.count) == ([held.later, held.urgent], 0)
    assert held.holding.let_go(BEGUN + 60.0, []) == inf


def test_what_is_released_is_waited_for_no_longer() -> None:
    held = Held()
    held.asks(BEGUN + HOLD_BACK_S)
    held.holding.release(held.urgent)
    assert not held.urgent.held_back
    held.holding.release(held.urgent)
    held.push.drained(BEGUN + HOLD_BACK_S + 3.0)
    assert held.queued == [held.urgent]
    held.holding.release(held.later)
    assert (held.holding.count, held.holding.let_go(BEGUN + 60.0, [])) == (0, inf)


def test_an_answer_goes_to_who_asked_first() -> None:
    held, told = Held(), list[str]()
    held.push.ask_drained(lambda _: told.append("first"), [])
    held.asks(BEGUN + HOLD_BACK_S)
    held.push.drained(BEGUN + HOLD_BACK_S)
    assert (told, held.queued) == (["first"], [])
    held.push.drained(BEGUN + HOLD_BACK_S)
    assert held.queued == [held.later, held.urgent]
    held.push.drained(BEGUN + HOLD_BACK_S)
