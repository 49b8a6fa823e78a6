"""Messages drawn from a seed, for any trace: what a field team, a crowd or groups would write.

Each class is one kind of traffic with its settings. Times, people and contents have a luck of their own: another size
leaves who writes to whom when as it was. A message to a group is one line for each other member, as the product sends
it once for each of their devices; `messages` counts what is written, not lines.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, Protocol, TypeAlias

from beepmesh.errors import Usage
from simulations.tables import Between
from simulations.traces import Trace
from simulations.workload import EVERYBODY, Message

HOUR: Final = 3_600

Hours: TypeAlias = Annotated[float, Between(0, 24 * 60)]
Share: TypeAlias = Annotated[float, Between(0, 1)]
Bytes: TypeAlias = Annotated[int, Between(1, 2**31)]


class Traffic(Protocol):
    """Settings from which messages are drawn."""

    def draw(self, trace: Trace, chance: random.Random) -> list[Message]:
        """In the order of their times. Raises Usage where the trace has too few nodes for them."""
        ...


@dataclass(frozen=True, slots=True)
class Texts:
    """Between any two, or from anybody to everybody; all of one size, or of sizes up to `size_max`."""

    messages: Annotated[int, Between(0, 100_000)] = 1_000
    ttl_h: Hours = 24.0
    size: Bytes = 400
    size_max: Annotated[int, Between(0, 2**31)] = 0
    to_everybody: bool = False
    first_h: Hours = 0.0
    last_h: Hours = 0.0
    """Between which hours they are written; 0 for the last: until a lifetime before the end, or the trace's middle."""

    def draw(self, trace: Trace, chance: random.Random) -> list[Message]:
        luck = _Luck(chance, trace.nodes)
        drawn = []
        for t in luck.moments(self.messages, self.first_h, self.last_h, self.ttl_h, trace):
            source, target = luck.people.sample(range(trace.nodes), 2)
            size = _between(luck.contents, self.size, self.size_max)
            drawn.append(_Written(t, source, (EVERYBODY if self.to_everybody else target,), size, 1))
        return _lines(drawn, self.ttl_h)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups that talk among themselves. Who is in which stays as it is; one may be in several, or in none."""

    messages: Annotated[int, Between(0, 100_000)] = 300
    groups: Annotated[int, Between(1, 10_000)] = 5
    members: Annotated[int, Between(2, 10_000)] = 6
    ttl_h: Hours = 24.0
    size: Bytes = 400
    first_h: Hours = 0.0
    last_h: Hours = 0.0

    def draw(self, trace: Trace, chance: random.Random) -> list[Message]:
        luck = _Luck(chance, trace.nodes)
        membership = luck.membership(self.groups, self.members, trace.nodes)
        drawn = []
        for t in luck.moments(self.messages, self.first_h, self.last_h, self.ttl_h, trace):
            source, *others = luck.among(luck.people.choice(membership))
            drawn.append(_Written(t, source, tuple(others), self.size, 1))
        return _lines(drawn, self.ttl_h)


@dataclass(frozen=True, slots=True)
class Field:
    """A field team: reports up to headquarters, orders down, groups, and the rest between two; most of it text, some
    SOS, which are short, and some attachments."""

    messages: Annotated[int, Between(0, 100_000)] = 1_000
    ttl_h: Hours = 24.0
    hq: Annotated[int, Between(0, 100_000)] = 0
    to_hq_share: Share = 0.5
    from_hq_share: Share = 0.15
    group_share: Share = 0.0
    groups: Annotated[int, Between(1, 10_000)] = 5
    members: Annotated[int, Between(2, 10_000)] = 6
    sos_share: Share = 0.05
    attachment_share: Share = 0.1
    text_bytes_min: Bytes = 200
    text_bytes_max: Bytes = 800
    attachment_bytes_min: Bytes = 20_000
    attachment_bytes_max: Bytes = 60_000
    sos_bytes: Bytes = 150
    first_h: Hours = 0.0
    last_h: Hours = 0.0

    def draw(self, trace: Trace, chance: random.Random) -> list[Message]:
        luck = _Luck(chance, trace.nodes, self.hq + 1)
        membership = luck.membership(self.groups, self.members, trace.nodes)
        drawn = []
        for t in luck.moments(self.messages, self.first_h, self.last_h, self.ttl_h, trace):
            source, targets = self._people(luck, membership, trace.nodes)
            drawn.append(_Written(t, source, targets, *self._contents(luck.contents)))
        return _lines(drawn, self.ttl_h)

    def _people(self, luck: _Luck, membership: list[tuple[int, ...]], nodes: int) -> tuple[int, tuple[int, ...]]:
        # All are drawn for each message, so that another share changes the kind of some and the people of none.
        kind = luck.people.random()
        one = luck.other_than((self.hq,), nodes)
        other = luck.other_than((self.hq, one), nodes) if nodes > 2 else self.hq
        source, *others = luck.among(luck.people.choice(membership))
        if kind < self.to_hq_share:
            return one, (self.hq,)
        if kind < self.to_hq_share + self.from_hq_share:
            return self.hq, (one,)
        if kind < self.to_hq_share + self.from_hq_share + self.group_share:
            return source, tuple(others)
        return one, (other,)

    def _contents(self, chance: random.Random) -> tuple[int, int]:
        """Size and priority."""
        kind = chance.random()
        text = _between(chance, self.text_bytes_min, self.text_bytes_max)
        attachment = _between(chance, self.attachment_bytes_min, self.attachment_bytes_max)
        if kind < self.sos_share:
            return self.sos_bytes, 0
        if kind < self.sos_share + self.attachment_share:
            return attachment, 2
        return text, 1


TRAFFIC: Final[Mapping[str, type[Traffic]]] = {"texts": Texts, "groups": Groups, "field": Field}


class _Written(NamedTuple):
    t: float
    source: int
    targets: tuple[int, ...]
    size: int
    prio: int


class _Luck:
    def __init__(self, chance: random.Random, nodes: int, least: int = 0) -> None:
        if nodes < max(2, least):
            raise Usage(f"These messages need a trace of {max(2, least)} nodes or more, and it has {nodes}.")
        self.times, self.people, self.contents, self._groups = (random.Random(chance.getrandbits(64)) for _ in range(4))

    def moments(self, count: int, first_h: float, last_h: float, ttl_h: float, trace: Trace) -> list[float]:
        """Milliseconds, in order: what a CSV file keeps."""
        last = last_h * HOUR or max(trace.duration - ttl_h * HOUR, trace.duration / 2)
        return sorted(round(self.times.uniform(first_h * HOUR, last), 3) for _ in range(count))

    def membership(self, groups: int, members: int, nodes: int) -> list[tuple[int, ...]]:
        return [tuple(self._groups.sample(range(nodes), min(max(2, members), nodes))) for _ in range(max(1, groups))]

    def other_than(self, these: tuple[int, ...], nodes: int) -> int:
        node = self.people.randrange(nodes - len(these))
        for here in sorted(these):
            node += node >= here
        return node

    def among(self, group: tuple[int, ...]) -> Iterator[int]:
        """One of them, who writes, and then the others as they stand."""
        source = self.people.choice(group)
        yield source
        yield from (node for node in group if node != source)


def _between(chance: random.Random, least: int, most: int) -> int:
    """At least `least`, even where `most` is less."""
    return chance.randint(least, max(least, most))


def _lines(drawn: Iterable[_Written], ttl_h: float) -> list[Message]:
    found: list[Message] = []
    for t, source, targets, size, prio in drawn:
        found += [
            Message(len(found) + k, t, source, target, size, ttl_h * HOUR, prio) for k, target in enumerate(targets)
        ]
    return found
