"""A node of the reconcile benchmark as far as its session cares: what it holds, in memory.

All entries are the same bytes: an entry really signed, with a body of 150 B and the hint of one device. Nobody opens
them or checks their links here; what matters is how long they are and what a session does with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from beepmesh.crypto.primitives import SigningKey
from beepmesh.messages.entry import NO_PREV, pack, write
from benchmarks.reconcile_world import Meeting, Place, tip
from sync.events import ReadRun, RunRead, TakeRun
from sync.feeds import FeedList
from sync.frontier import Frontier
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges

BODY_BYTES: Final = 150
PACKED: Final = pack(
    write(
        SigningKey(bytes(range(32))), lane=1, seq=0, prev=NO_PREV, time_ms=1_795_000_000_000, ttl=8, priority=2,
        hints=b"hint", body=bytes(BODY_BYTES),
    )
)  # fmt: skip


class MemoryShelf:
    """One node. Knows one other."""

    def __init__(self, meeting: Meeting, feeds: FeedList, epoch: int) -> None:
        """As it was when both had the same."""
        self.frontier = Frontier(epoch, feeds, meeting.common)
        self.frontier.upto = meeting.upto
        self._memory: Memory | None = None
        self._past: dict[LogId, Ranges] = {}

    def write(self, place: Place) -> None:
        log, seq = place
        self._settle(log, seq, seq + 1)

    def read(self, order: ReadRun) -> RunRead:
        log, start, stop = order.log, order.start, order.stop
        count = min(stop - start, max(order.bytes_max // len(PACKED), 1))
        assert self.frontier.settled(log).covers(start, start + count)
        prev = tip(log, start - 1) if order.with_prev else None
        return RunRead(log, start, prev, (PACKED,) * count, NOTHING)

    def commit(self, order: TakeRun) -> tuple[tuple[LogId, Ranges], ...]:
        return self._settle(order.log, order.start, order.start + len(order.packed))

    def recall(self) -> Memory | None:
        memory = self._memory
        if memory is None:
            return None
        grown = {log: self._past.get(log, NOTHING) for log in self.frontier.since(memory.base)}
        return replace(memory, views={**grown, **memory.views})

    def keep(self, memory: Memory) -> None:
        self._memory = memory
        self._past = {log: state.settled for log, state in self.frontier.states.items()}

    def _settle(self, log: LogId, start: int, stop: int) -> tuple[tuple[LogId, Ranges], ...]:
        settled = self.frontier.settled(log).add(start, stop)
        number = self.frontier.upto + 1
        grown = self.frontier.change({log: LogState(settled, tip(log, settled.top - 1))}, number)
        self.frontier.upto = number
        return tuple(grown)
