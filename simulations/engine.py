"""A virtual clock and what is to happen on it. Nothing else in a simulation tells time or draws numbers.

Laws
1. Events of one time happen in the order in which they were planned.
2. Random numbers come from named streams that depend on the seed and the name alone: one more draw here moves nothing
   there, and PYTHONHASHSEED changes nothing.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any


class Event:
    """Something planned. `cancel` makes it not happen."""

    __slots__ = ("call", "cancelled")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Simulation:
    """Times are seconds from the beginning of the trace."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.events = 0
        """How many have happened."""
        self.after_each: Callable[[], Any] | None = None
        """Called when an event has happened: to look, not to change anything."""
        self._heap: list[tuple[float, int, Event]] = []
        self._planned = 0
        self._streams: dict[str, random.Random] = {}

    def at(self, when: float, call: Callable[[], Any]) -> Event:
        """Plan a call; what lies in the past happens now."""
        event = Event(call)
        self._planned += 1
        heapq.heappush(self._heap, (max(when, self.now), self._planned, event))
        return event

    def after(self, seconds: float, call: Callable[[], Any]) -> Event:
        return self.at(self.now + seconds, call)

    def random(self, name: str) -> random.Random:
        """The stream of that name, the same one each time."""
        stream = self._streams.get(name)
        if stream is None:
            number = int.from_bytes(sha256(f"{self.seed}/{name}".encode()).digest()[:8])
            stream = self._streams[name] = random.Random(number)
        return stream

    def run(self, until: float) -> None:
        """Let everything up to that time happen."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, event = heapq.heappop(self._heap)
            if not event.cancelled:
                self.events += 1
                event.call()
                if self.after_each is not None:
                    self.after_each()
        self.now = max(self.now, until)
