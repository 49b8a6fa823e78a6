"""What no protocol can beat on a trace.

`flood`                 everybody passes everything on at once and at no cost: exact earliest arrivals of all messages
`Foremost.arrival`      one message alone, each hop costs the link's set-up and size / bandwidth within one contact; a
                        protocol that goes on with a cut message in a later contact may beat it, none can beat `flood`
`Foremost.fewest_hops`  the fewest transmissions with which one who knows the future brings a message there in time

Foremost journeys: B. Bui Xuan, A. Ferreira, A. Jarry, "Computing shortest, fastest, and foremost journeys in dynamic
networks", IJFCS 14(2), 2003.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from simulations.traces import Trace
from simulations.workload import EVERYBODY, Message

Pair = tuple[int, int]


class Arrival(NamedTuple):
    t: float
    hops: int


def flood(trace: Trace, messages: Sequence[Message]) -> dict[tuple[int, int], float]:
    """{(message id, node it is for): earliest time it can be there}, in the order of arrival, lifetimes not looked at.

    A contact's both ends belong to it: what is written, or meets, at the moment it ends still passes.
    """
    flooding = _Flooding(trace.nodes, messages)
    happenings = [(message.t, 0, index, 0) for index, message in enumerate(messages)]
    for start, stop, a, b in trace.contacts:
        happenings.append((start, 1, a, b))
        happenings.append((stop, 2, a, b))
    happenings.sort()
    for time, what, a, b in happenings:
        if what == 0:
            flooding.spread(messages[a].src, 1 << a, time)
        elif what == 1:
            flooding.join(a, b, time)
        else:
            flooding.part(a, b)
    return flooding.arrivals


def in_time(arrivals: Mapping[tuple[int, int], float], messages: Sequence[Message]) -> dict[tuple[int, int], float]:
    """Those of them that come while the message is worth something."""
    ends = {message.id: message.t + message.ttl for message in messages}
    return {key: time for key, time in arrivals.items() if time <= ends[key[0]]}


class _Flooding:
    """Message number i is bit i. Whoever is connected at a moment holds the same, so news stops where it is known."""

    def __init__(self, nodes: int, messages: Sequence[Message]) -> None:
        self.arrivals: dict[tuple[int, int], float] = {}
        self._ids = [message.id for message in messages]
        self._held = [0] * nodes
        self._near: list[set[int]] = [set() for _ in range(nodes)]
        everybody = sum(1 << index for index, message in enumerate(messages) if message.dst == EVERYBODY)
        self._awaited = [everybody] * nodes
        for index, message in enumerate(messages):
            if message.dst != EVERYBODY:
                self._awaited[message.dst] |= 1 << index
            self._awaited[message.src] &= ~(1 << index)

    def join(self, a: int, b: int, time: float) -> None:
        self._near[a].add(b)
        self._near[b].add(a)
        for_a, for_b = self._held[b] & ~self._held[a], self._held[a] & ~self._held[b]
        if for_a:
            self.spread(a, for_a, time)
        if for_b:
            self.spread(b, for_b, time)

    def part(self, a: int, b: int) -> None:
        self._near[a].discard(b)
        self._near[b].discard(a)

    def spread(self, node: int, news: int, time: float) -> None:
        """`news`, which nobody connected with `node` on this side has, to all of them."""
        self._give(node, news, time)
        waiting = [node]
        while waiting:
            for near in self._near[waiting.pop()]:
                if news & ~self._held[near]:
                    self._give(near, news, time)
                    waiting.append(near)

    def _give(self, node: int, news: int, time: float) -> None:
        hits = news & ~self._held[node] & self._awaited[node]
        self._held[node] |= news
        while hits:
            lowest = hits & -hits
            self.arrivals[self._ids[lowest.bit_length() - 1], node] = time
            hits ^= lowest


class Foremost:
    """Journeys of single messages. `bandwidths` has the bytes per second of pairs (a < b) that differ from the rest."""

    def __init__(
        self, trace: Trace, bytes_per_s: float, setup_s: float, bandwidths: Mapping[Pair, float] | None = None
    ) -> None:
        self._bytes_per_s = bytes_per_s
        self._setup_s = setup_s
        self._bandwidths = dict(bandwidths or {})
        meetings: dict[Pair, tuple[list[float], list[float]]] = {}
        for start, stop, a, b in trace.contacts:
            starts, stops = meetings.setdefault((a, b), ([], []))
            starts.append(start)
            stops.append(stop)
        self._near: list[list[tuple[int, float, list[float], list[float]]]] = [[] for _ in range(trace.nodes)]
        for (a, b), (starts, stops) in meetings.items():
            speed = self._bandwidths.get((a, b), bytes_per_s)
            self._near[a].append((b, speed, starts, stops))
            self._near[b].append((a, speed, starts, stops))

    def arrival(self, message: Message) -> Arrival | None:
        """When the fastest journey is there, and its hops; None if that is after the message's lifetime."""
        return self.arrivals(message, stop_at=message.dst).get(message.dst)

    def arrivals(self, message: Message, stop_at: int | None = None) -> dict[int, Arrival]:
        """Of every node that it can reach within its lifetime, the author apart; or only until `stop_at` is reached."""
        limit = message.t + message.ttl
        best = {message.src: message.t}
        done: dict[int, Arrival] = {}
        heap = [(message.t, 0, message.src)]
        while heap:
            time, hops, node = heapq.heappop(heap)
            if node in done:
                continue
            done[node] = Arrival(time, hops)
            if node == stop_at:
                break
            for near, speed, starts, stops in self._near[node]:
                if near in done:
                    continue
                there = self._next(time, message.size / speed, starts, stops, min(limit, best.get(near, limit)))
                if there is not None and there < best.get(near, limit + 1):
                    best[near] = there
                    heapq.heappush(heap, (there, hops + 1, near))
        del done[message.src]
        return done

    def fewest_hops(self, message: Message, hops_max: int = 12) -> int | None:
        """The fewest hops of any journey that is there in time; None where there is none of `hops_max` or fewer."""
        limit = message.t + message.ttl
        best = {message.src: message.t}
        newest = dict(best)
        for hops in range(1, hops_max + 1):
            further: dict[int, float] = {}
            for node, time in newest.items():
                for near, speed, starts, stops in self._near[node]:
                    known = min(best.get(near, limit), further.get(near, limit))
                    there = self._next(time, message.size / speed, starts, stops, known)
                    if there is not None and (there < known or (near not in best and near not in further)):
                        further[near] = there
            if message.dst in further:
                return hops
            best.update(further)
            newest = further
        return None

    def _next(self, time: float, cost: float, starts: list[float], stops: list[float], limit: float) -> float | None:
        """When a transfer that may begin at `time` is over at the earliest; None where no contact has room for it."""
        for index in range(bisect_left(stops, time + cost), len(starts)):
            there = max(time, starts[index] + self._setup_s) + cost
            if there > limit:
                return None
            if there <= stops[index]:
                return there
        return None
