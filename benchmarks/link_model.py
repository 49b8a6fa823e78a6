"""Two sessions and a link between them that takes its time: a rate, a round trip and a price for each packet.

Both directions work at once. A record leaves when all before it have left, and arrives whole, half a round trip later.
Nothing is lost and nothing else takes time: stores and processors answer at once, and what they need is counted apart.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Protocol, assert_never

from sync.events import (
    AskDrained,
    Drained,
    Hangup,
    Input,
    Level,
    LogsGrew,
    Noticed,
    Output,
    PeerSettled,
    PeerTook,
    ReadRun,
    RecordReceived,
    RunDone,
    RunRead,
    Send,
    Started,
    TakeRun,
    TimeCame,
    WakeAt,
)
from sync.frontier import Frontier
from sync.logs import LogId
from sync.memory import Memory
from sync.ranges import Ranges
from sync.session import Session

RECORD_BYTES_MAX = 163_840
"""What both nodes take."""


@dataclass(frozen=True, slots=True)
class LinkModel:
    name: str
    bytes_per_s: float
    round_trip_s: float
    packet_bytes: int = 0
    """Payload of one packet, 0 where packets cost nothing."""
    packet_overhead_bytes: int = 0

    def takes_s(self, size: int) -> float:
        """How long a record of that size takes to leave."""
        packets = -(-size // self.packet_bytes) if self.packet_bytes else 0
        return (size + packets * self.packet_overhead_bytes) / self.bytes_per_s


BLE = LinkModel("BLE", 40_000, 0.060, 182, 10)
TWO_G = LinkModel("2G", 4_000, 0.600)
ROUND_TRIPS = LinkModel("round trips", inf, 1.0)
"""Seconds on it are round trips."""


class Shelf(Protocol):
    """What a session needs of a store."""

    frontier: Frontier

    def write(self, place: tuple[LogId, int]) -> None:
        """One more entry, from its author or from a third node."""
        ...

    def read(self, order: ReadRun) -> RunRead: ...

    def commit(self, order: TakeRun) -> tuple[tuple[LogId, Ranges], ...]:
        """What was settled before of the logs that grew."""
        ...

    def recall(self) -> Memory | None:
        """What was kept of the other node, completed as memory.py says."""
        ...

    def keep(self, memory: Memory) -> None: ...


@contextmanager
def set_apart() -> Iterator[None]:
    """What exists now, worlds of a million entries among it, is no part of a node: its collector does not walk it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class CpuTime:
    """CPU seconds of what happens inside `with`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._since


class End:
    """One node's side."""

    def __init__(self, shelf: Shelf, salt: bytes) -> None:
        self.session_cpu, self.store_cpu = CpuTime(), CpuTime()
        self.hello_cpu_s = 0.0
        """Of the session's, until its first records left."""
        self.sent: list[bytes] = []
        self.free_at = 0.0
        """When the last byte given to the link will have left."""
        self.known_at = self.level_at = inf
        self.taken = self.duplicates = 0
        """Entries."""
        self.noticed: list[str] = []
        self.shelf = shelf
        with self.store_cpu:
            memory = shelf.recall()
        with self.session_cpu:
            self.session = Session(shelf.frontier, record_bytes_max=RECORD_BYTES_MAX, salt=salt, memory=memory)


class Talk:
    """One session over one link, from the first record until nothing can happen any more, or until it is cut."""

    def __init__(self, shelves: tuple[Shelf, Shelf], link: LinkModel, salt: bytes) -> None:
        self.now = 0.0
        self.lane_done_at: dict[int, float] = {}
        """For each lane, when its last entry was taken."""
        self.ends = (End(shelves[0], salt), End(shelves[1], salt))
        self._link = link
        self._due: list[tuple[float, int, End, Input]] = []
        self._order = count()

    def run(self, cut_after: float = inf) -> None:
        """Cut when both together have taken so many entries. Both remember each other."""
        for end in self.ends:
            self._tell(end, Started())
            end.hello_cpu_s = end.session_cpu.seconds
        while self._due and sum(end.taken for end in self.ends) < cut_after:
            self.now, _, end, event = heappop(self._due)
            self._tell(end, event)
        for end in self.ends:
            with end.session_cpu:
                memory = end.session.memory()
            if memory is not None:
                with end.store_cpu:
                    end.shelf.keep(memory)

    def _tell(self, end: End, event: Input) -> None:
        events = deque((event,))
        while events:
            with end.session_cpu:
                outputs = end.session.handle(events.popleft(), self.now)
            if end.known_at == inf and end.session.memory() is not None:
                end.known_at = self.now
            for output in outputs:
                self._perform(end, output, events)

    def _perform(self, end: End, output: Output, events: deque[Input]) -> None:
        match output:
            case Send(data):
                end.sent.append(data)
                end.free_at = max(end.free_at, self.now) + self._link.takes_s(len(data))
                peer = self.ends[0 if end is self.ends[1] else 1]
                self._later(end.free_at + self._link.round_trip_s / 2, peer, RecordReceived(data))
            case AskDrained():
                self._later(max(end.free_at, self.now), end, Drained())
            case ReadRun():
                with end.store_cpu:
                    events.append(end.shelf.read(output))
            case TakeRun(log, start, _, packed):
                stop = start + len(packed)
                end.taken += len(packed)
                end.duplicates += len(packed) - Ranges(end.shelf.frontier.settled(log).gaps(start, stop)).count
                self.lane_done_at[log.lane] = self.now
                with end.store_cpu:
                    grown = end.shelf.commit(output)
                events += (LogsGrew(grown), RunDone(log, start, len(packed), True))
            case WakeAt(when):
                self._later(when, end, TimeCame())
            case Level():
                end.level_at = min(end.level_at, self.now)
            case Noticed(reason):
                end.noticed.append(reason)
            case Hangup(reason):
                raise AssertionError(f"two honest nodes, and one hung up: {reason}")
            case PeerSettled() | PeerTook():
                pass
            case _:
                assert_never(output)

    def _later(self, when: float, end: End, event: Input) -> None:
        heappush(self._due, (when, next(self._order), end, event))
