"""Who gives a copy to whom, as published: the rules by which the light nodes of `baselines.py` differ.

epidemic: Vahdat and Becker, 2000. Spray and wait, binary: Spyropoulos, Psounis and Raghavendra, WDTN 2005. PRoPHETv2:
Grasic, Davies, Lindgren and Doria, CHANTS 2011, with the constants of the ONE simulator. Delegation: Erramilli,
Crovella, Chaintreau and Diot, MobiHoc 2008, with PRoPHET's chances as the quality.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from simulations.workload import Message


class Copy:
    """What one node has of one message."""

    __slots__ = ("bar", "came", "copies", "count", "hops", "index", "message", "parts")

    def __init__(self, index: int, message: Message, parts: int, count: int, copies: float) -> None:
        self.index = index
        self.message = message
        self.parts = parts
        """A bit for each part that is here."""
        self.count = count
        """How many parts there are."""
        self.copies = copies
        """Spray and wait: how many it stands for."""
        self.bar = 0.0
        """Delegation: the best that this copy has seen."""
        self.came = message.t
        self.hops = 0

    @property
    def whole(self) -> bool:
        return self.parts == (1 << self.count) - 1


class Table:
    """What one node knows about meetings."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.chances: dict[int, float] = {}
        """PRoPHET: by node, as of `aged`."""
        self.aged = 0.0
        self.seen: dict[int, float] = {}
        """When each node was met last."""
        self.meetings: dict[int, int] = {}


class Router:
    """Epidemic: give everything to everybody."""

    part_bytes_max = 1 << 40
    copies = 1.0
    learns = False
    """Whether a meeting may change what should be given over links that stand already."""
    final = False
    """Whether what was given up is never taken again."""

    def __init__(self, *, acks: bool = True) -> None:
        self.acks = acks

    def table(self, node: int) -> Table:
        return Table(node)

    def meet(self, a: Table, b: Table, now: float) -> None:
        """Both learn of the meeting."""

    def gives(self, giver: Table, taker: Table, copy: Copy, now: float) -> bool:
        """Whether to give a copy to one for whom it is not."""
        return True

    def passed(self, giver: Table, taker: Table, theirs: Copy, ours: Copy, now: float) -> None:
        """A whole copy has been given."""

    def turn(self, giver: Table, taker: Table, copy: Copy) -> tuple[float, ...]:
        """The lowest leaves first: what has arrived with this, then what is urgent and small."""
        message = copy.message
        return (message.dst != taker.node, message.prio, message.size, message.t)

    def worth(self, table: Table, copy: Copy, now: float) -> float:
        """The lowest is given up first: what came first, so that there is room for everything new."""
        return copy.came


class Direct(Router):
    def gives(self, giver: Table, taker: Table, copy: Copy, now: float) -> bool:
        return False


class SprayAndWait(Router):
    copies = 8.0

    def gives(self, giver: Table, taker: Table, copy: Copy, now: float) -> bool:
        return copy.copies > 1

    def passed(self, giver: Table, taker: Table, theirs: Copy, ours: Copy, now: float) -> None:
        ours.copies = theirs.copies // 2
        theirs.copies -= ours.copies


class Prophet(Router):
    """PRoPHETv2."""

    learns = True
    chance_max = 0.5
    typical_s = 1_800.0
    ageing = 0.999885791
    unit_s = 30.0
    passing = 0.9

    def meet(self, a: Table, b: Table, now: float) -> None:
        for table in (a, b):
            fade = self.ageing ** ((now - table.aged) / self.unit_s)
            table.aged = now
            for node in table.chances:
                table.chances[node] *= fade
        for table, other in ((a, b), (b, a)):
            since = now - table.seen.get(other.node, -self.typical_s)
            chance = self.chance_max * min(since / self.typical_s, 1.0)
            old = table.chances.get(other.node, 0.0)
            table.chances[other.node] = old + (1.0 - old) * chance
            table.seen[other.node] = now
        before = dict(a.chances)
        self._pass_on(a, b, b.chances)
        self._pass_on(b, a, before)

    def gives(self, giver: Table, taker: Table, copy: Copy, now: float) -> bool:
        dst = copy.message.dst
        return taker.chances.get(dst, 0.0) > giver.chances.get(dst, 0.0)

    def _pass_on(self, table: Table, other: Table, others: dict[int, float]) -> None:
        """What the other one can reach, we can reach by it."""
        by = table.chances[other.node] * self.passing
        for node, chance in others.items():
            if node != table.node and by * chance > table.chances.get(node, 0.0):
                table.chances[node] = by * chance


class Delegation(Prophet):
    """With PRoPHET's chances as the quality: they see further than one's own meetings."""

    def gives(self, giver: Table, taker: Table, copy: Copy, now: float) -> bool:
        dst = copy.message.dst
        copy.bar = max(copy.bar, giver.chances.get(dst, 0.0))
        return taker.chances.get(dst, 0.0) > copy.bar

    def passed(self, giver: Table, taker: Table, theirs: Copy, ours: Copy, now: float) -> None:
        ours.bar = theirs.bar = max(theirs.bar, taker.chances.get(ours.message.dst, 0.0))


ROUTERS: Mapping[str, Callable[[], Router]] = {
    "epidemic": lambda: Router(acks=False),
    "epidemic+ack": lambda: Router(acks=True),
    "direct": lambda: Direct(acks=True),
    "snw8+ack": lambda: SprayAndWait(acks=True),
    "prophet2+ack": lambda: Prophet(acks=True),
    "delegation+ack": lambda: Delegation(acks=True),
}
