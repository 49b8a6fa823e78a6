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
        speeds = bandwidths or {}
        self._setup_s = setup_s
        self._contacts = trace.contacts
        self._starts = [contact.start for contact in trace.contacts]
        self._stops = [contact.stop for contact in trace.contacts]
        self._speeds = [speeds.get((contact.a, contact.b), bytes_per_s) for contact in trace.contacts]
        self._of: list[list[int]] = [[] for _ in range(trace.nodes)]
        """Of each node the numbers of its contacts, and so in the order of their start."""
        for index, contact in enumerate(trace.contacts):
            self._of[contact.a].append(index)
            self._of[contact.b].append(index)

    def arrival(self, message: Message) -> Arrival | None:
        """When the fastest journey is there, and its hops; None if that is after the message's lifetime."""
        return self.arrivals(message, stop_at=message.dst).get(message.dst)

    def arrivals(self, message: Message, stop_at: int | None = None) -> dict[int, Arrival]:
        """Of every node that it can reach within its lifetime, the author apart; or only until `stop_at` is reached.

        Contacts are gone through as they begin. One that begins where an end has the message is tried at once, and
        those in which an end is when it gets it, then.
        """
        limit = message.t + message.ttl
        starts, stops, contacts = self._starts, self._stops, self._contacts
        done: dict[int, Arrival] = {}
        coming = [(message.t, 0, message.src)]

        def attempt(index: int, node: int, near: int) -> None:
            there = self._there(index, done[node].t, message.size)
            if there is not None and there <= limit:
                heapq.heappush(coming, (there, done[node].hops + 1, near))

        begun = bisect_left(starts, message.t)
        while True:
            # Whoever is reached next may be in any contact that has begun by then.
            while begun < len(starts) and starts[begun] <= (coming[0][0] if coming else limit):
                _, _, a, b = contacts[begun]
                if (a in done) != (b in done):
                    attempt(begun, *((a, b) if a in done else (b, a)))
                begun += 1
            if not coming:
                break
            time, hops, node = heapq.heappop(coming)
            if node in done:
                continue
            done[node] = Arrival(time, hops)
            if node == stop_at:
                break
            own = self._of[node]
            for index in own[: bisect_left(own, begun)]:
                if stops[index] >= time:
                    _, _, a, b = contacts[index]
                    if (near := b if a == node else a) not in done:
                        attempt(index, node, near)
        del done[message.src]
        return done

    def fewest_hops(self, message: Message, hops_max: int = 12) -> int | None:
        """The fewest hops of any journey that is there in time; None where there is none of `hops_max` or fewer."""
        limit = message.t + message.ttl
        possible = [
            i for i, contact in enumerate(self._contacts) if contact.stop >= message.t and contact.start <= limit
        ]
        best = {message.src: message.t}
        for hops in range(1, hops_max + 1):
            further = dict(best)
            for index in possible:
                _, _, a, b = self._contacts[index]
                for node, near in ((a, b), (b, a)):
                    if node in best:
                        there = self._there(index, best[node], message.size)
                        if there is not None and there <= min(limit, further.get(near, limit)):
                            further[near] = there
            if message.dst in further:
                return hops
            if further == best:
                return None
            best = further
        return None

    def _there(self, index: int, time: float, size: int) -> float | None:
        """When a transfer that may begin at `time` is over; None where the contact has no room for it."""
        start, stop, _, _ = self._contacts[index]
        there = max(time, start + self._setup_s) + size / self._speeds[index]
        return there if there <= stop else None
