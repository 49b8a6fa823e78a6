"""Populations of light nodes: the published ways of carrying messages, on the same air as the product.

They are given every advantage: a node sees what the other end holds, acknowledgements travel for nothing and at once
over standing links, what to send is chosen when the air is free, nothing is sealed or signed. What they lose is what
the air takes: one transfer at a time, and a transfer that a parting cuts counts for nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

from simulations.engine import Simulation
from simulations.outcome import Delivery, Kind, Outcome
from simulations.radio import Link
from simulations.routers import Copy, Router, Table
from simulations.workload import EVERYBODY, Message


class Baseline:
    """All nodes of a run. Deliveries and counts go into `outcome`."""

    def __init__(
        self,
        simulation: Simulation,
        nodes: int,
        router: Router,
        outcome: Outcome,
        store_bytes_max: float = float("inf"),
    ) -> None:
        self.simulation = simulation
        self.router = router
        self.outcome = outcome
        self.store_bytes_max = store_bytes_max
        self.messages: list[Message] = []
        """By their index, which is their place in every set of bits."""
        self.hosts = [LightNode(self, number) for number in range(nodes)]

    def submit(self, message: Message) -> None:
        index = len(self.messages)
        self.messages.append(message)
        parts = len(self.parts(message))
        self.hosts[message.src].write(Copy(index, message, (1 << parts) - 1, parts, self.router.copies))
        self.simulation.at(message.t + message.ttl, lambda: self._expire(index))

    def carried_bytes(self) -> list[int]:
        return [host.carried for host in self.hosts]

    def parts(self, message: Message) -> Sequence[int]:
        """The sizes of the parts in which a message travels."""
        size, part = message.size, self.router.part_bytes_max
        return [part] * (size // part) + [size % part] * (size % part > 0) if size > part else [size]

    def _expire(self, index: int) -> None:
        for host in self.hosts:
            host.drop(index)


class LightNode:
    """A host. Sets of messages are integers, a bit for each message's index."""

    def __init__(self, population: Baseline, number: int) -> None:
        self.population = population
        self.number = number
        self.table: Table = population.router.table(number)
        self.copies: dict[int, Copy] = {}
        self.held = 0
        """Messages of which anything is held."""
        self.had = 0
        """Messages that are held whole, were written here or have arrived here."""
        self.acked = 0
        self.gone = 0
        """Messages that were given up here and, with some routers, are not taken again."""
        self.carried = 0
        self.lanes: dict[int, _Lane] = {}

    # What the air says.

    def up(self, link: Link) -> None:
        self.lanes[link.peer] = _Lane(self, link)
        other = self.population.hosts[link.peer]
        if self.number not in other.lanes:
            return  # The second of the two does it for both.
        router, now = self.population.router, self.population.simulation.now
        if router.acks:
            fresh = self.acked ^ other.acked
            self.acknowledge(fresh)
            other.acknowledge(fresh)
        router.meet(self.table, other.table, now)
        if router.learns:
            for node in (self, other):
                for peer in node.lanes:
                    self.population.hosts[peer].lanes[node.number].fill()
                    node.lanes[peer].fill()
        else:
            self.lanes[link.peer].fill()
            other.lanes[self.number].fill()

    def received(self, link: Link, frame: object) -> None:
        assert isinstance(frame, _Part)
        message, now = frame.message, self.population.simulation.now
        giver = self.population.hosts[link.peer]
        bit = 1 << frame.index
        parts = self.population.parts(message)
        link.record.transmissions += 1 / len(parts)
        mine = self.copies.get(frame.index)
        if (self.had | self.acked) & bit or (mine is not None and mine.parts >> frame.part & 1):
            link.record.duplicates += 1 / len(parts)
        elif now < message.t + message.ttl:
            self._take(frame, giver, parts[frame.part], now)
        giver.lanes[self.number].go_on()

    def drained(self, link: Link) -> None: ...

    def down(self, link: Link) -> None:
        del self.lanes[link.peer]

    # What a node does.

    def write(self, copy: Copy) -> None:
        self.copies[copy.index] = copy
        self.held |= 1 << copy.index
        self.had |= 1 << copy.index
        self._offer(copy.index)

    def acknowledge(self, fresh: int) -> None:
        """Learn that messages have arrived, and tell it to all who are in reach."""
        waiting: list[LightNode] = [self]
        while waiting:
            node = waiting.pop()
            new = fresh & ~node.acked
            if new:
                node.acked |= new
                for index in bits(new & node.held):
                    node.drop(index)
                waiting.extend(node.population.hosts[peer] for peer in node.lanes)

    def drop(self, index: int) -> None:
        copy = self.copies.pop(index, None)
        if copy is not None:
            self.held &= ~(1 << index)
            if copy.message.src != self.number:
                self.had &= ~(1 << index) | -(copy.message.dst in (self.number, EVERYBODY)) & (1 << index)
                self.carried -= self._bytes(copy)

    def lacks(self, copy: Copy) -> int:
        """The parts of what the other end holds that could be given to this node."""
        bit = 1 << copy.index
        if (self.had | self.acked | (self.gone if copy.message.dst != self.number else 0)) & bit:
            return 0
        mine = self.copies.get(copy.index)
        return copy.parts & ~mine.parts if mine is not None else copy.parts

    def has_room(self, copy: Copy, size: int) -> bool:
        """Whether it would give up something worth less for this."""
        if copy.message.dst == self.number:
            return True
        limit = self.population.store_bytes_max
        return self.carried + size <= limit or self._victims(copy, size) is not None

    def _bytes(self, copy: Copy) -> int:
        parts = self.population.parts(copy.message)
        return sum(parts[part] for part in bits(copy.parts))

    def _take(self, frame: _Part, giver: LightNode, size: int, now: float) -> None:
        message, index = frame.message, frame.index
        mine = self.copies.get(index)
        theirs = giver.copies.get(index)
        if mine is None:
            mine = Copy(index, message, 0, frame.count, 0.0)
            mine.came = now
        if message.dst != self.number:
            victims = self._victims(mine, size)
            if victims is None:
                self.population.outcome.counts["refused"] += 1
                return
            for victim in victims:
                self._give_up(victim)
            self.carried += size
        self.copies[index] = mine
        self.held |= 1 << index
        mine.parts |= 1 << frame.part
        mine.hops = max(mine.hops, frame.hops + 1)
        if mine.whole:
            self._have(mine, now)
        if theirs is not None and mine.whole:
            self.population.router.passed(giver.table, self.table, theirs, mine, now)
        if index in self.copies:
            self._offer(index)

    def _have(self, copy: Copy, now: float) -> None:
        message = copy.message
        self.had |= 1 << copy.index
        if message.dst in (self.number, EVERYBODY):
            self.population.outcome.deliveries.append(Delivery(message.id, self.number, now, copy.hops))
        if message.dst == self.number:
            del self.copies[copy.index]
            self.held &= ~(1 << copy.index)
            if self.population.router.acks:
                self.acknowledge(1 << copy.index)

    def _victims(self, copy: Copy, size: int) -> list[int] | None:
        """What has to go so that this can come, or None if that is worth more."""
        lacking = self.carried + size - self.population.store_bytes_max
        if lacking <= 0:
            return []
        worth = self.population.router.worth
        now = self.population.simulation.now
        limit = worth(self.table, copy, now)
        others = [
            (worth(self.table, other, now), index)
            for index, other in self.copies.items()
            if self.number not in (other.message.src, other.message.dst) and index != copy.index
        ]
        heapq.heapify(others)
        victims = []
        while others and lacking > 0:
            value, index = heapq.heappop(others)
            if value >= limit:
                return None
            victims.append(index)
            lacking -= self._bytes(self.copies[index])
        return victims if lacking <= 0 else None

    def _give_up(self, index: int) -> None:
        self.population.outcome.counts["evicted"] += 1
        if self.population.router.final:
            self.gone |= 1 << index
        self.drop(index)

    def _offer(self, index: int) -> None:
        for lane in self.lanes.values():
            lane.add(self.copies[index])


class _Part:
    """A frame."""

    __slots__ = ("count", "hops", "index", "message", "part")

    def __init__(self, copy: Copy, part: int) -> None:
        self.index = copy.index
        self.message = copy.message
        self.hops = copy.hops
        self.count = copy.count
        self.part = part


class _Lane:
    """What one node may give to one neighbour, best first."""

    __slots__ = ("heap", "link", "node", "other", "promised", "queued")

    def __init__(self, node: LightNode, link: Link) -> None:
        self.node = node
        self.link = link
        self.other = node.population.hosts[link.peer]
        self.heap: list[tuple[tuple[float, ...], int]] = []
        self.queued = 0
        self.promised = False

    def fill(self) -> None:
        for index in bits(self.node.held & ~self.other.had & ~self.other.acked & ~self.queued):
            self.add(self.node.copies[index])

    def add(self, copy: Copy) -> None:
        if not self.queued >> copy.index & 1 and self._wanted(copy):
            self.queued |= 1 << copy.index
            router = self.node.population.router
            heapq.heappush(self.heap, (router.turn(self.node.table, self.other.table, copy), copy.index))
            self.go_on()

    def go_on(self) -> None:
        if self.heap and not self.promised:
            self.promised = True
            self.link.send_late(self.choose)

    def choose(self) -> tuple[_Part, Mapping[Kind, int]] | None:
        self.promised = False
        node = self.node
        while self.heap:
            index = self.heap[0][1]
            copy = node.copies.get(index)
            lacking = self.other.lacks(copy) if copy is not None and self._wanted(copy) else 0
            if copy is not None and lacking:
                part = (lacking & -lacking).bit_length() - 1
                size = node.population.parts(copy.message)[part]
                if self.other.has_room(copy, size):
                    return _Part(copy, part), {"payload": size}
            heapq.heappop(self.heap)
            self.queued &= ~(1 << index)
        return None

    def _wanted(self, copy: Copy) -> bool:
        """Whether the router would give it, now."""
        message, node = copy.message, self.node
        now = node.population.simulation.now
        if now >= message.t + message.ttl or not self.other.lacks(copy):
            return False
        if message.dst in (self.other.number, EVERYBODY):
            return True
        return node.population.router.gives(node.table, self.other.table, copy, now)


def bits(number: int) -> Iterator[int]:
    """The places of its ones, from the lowest."""
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low
