"""holding.py: what is held back, and for how long."""

from __future__ import annotations

from math import inf

from sync.holding import Holding
from sync.limits import HOLD_BACK_S, HOLD_BACK_URGENT_S
from sync.logs import LogId
from sync.peer import PeerLog

LATER, URGENT = PeerLog(LogId(b"a" * 16, 1)), PeerLog(LogId(b"b" * 16, 0))


def held() -> Holding:
    holding = Holding()
    holding.hold(LATER, 10.0)
    holding.hold(URGENT, 10.0)
    return holding


def test_each_is_due_when_its_time_is_over() -> None:
    holding = held()
    assert holding.until == 10.0 + HOLD_BACK_URGENT_S
    assert holding.due(10.0) == []
    assert holding.due(10.0 + HOLD_BACK_URGENT_S) == [URGENT.log]
    assert holding.due(10.0 + HOLD_BACK_S) == [LATER.log, URGENT.log]


def test_what_is_released_is_waited_for_no_longer() -> None:
    holding = held()
    holding.release(URGENT)
    assert holding.until == 10.0 + HOLD_BACK_S
    holding.release(LATER)
    holding.release(LATER)
    assert not LATER.held_back
    assert (holding.until, holding.count) == (inf, 0)
