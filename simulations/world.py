"""The product as a population: its nodes, what a workload has them send, and what arrives.

A message of the workload is a text to the person of its destination, or to everyone, of so many random characters that
its sealed form takes the bytes that the workload asks for, and our overhead. What one text may not hold travels in
several, and is delivered when all have come.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from beepmesh import desk
from beepmesh.home import Home
from beepmesh.messages.inbox import Payload
from beepmesh.store.database import STATEMENTS
from simulations.engine import Simulation
from simulations.letters import Letters, Text
from simulations.node import SimNode
from simulations.organisation import enrolled, person_name
from simulations.outcome import Delivery
from simulations.workload import EVERYBODY, Message
from sync.logs import LogId

PART_BYTES_MAX: Final = 48_000  # Its characters are 64,000 of the 65,536 bytes that a text may have.
PRIORITIES: Final = ("sos", "routine", "bulk")  # By `Message.prio`.
LETTERS: Final = string.ascii_letters + string.digits + "-_"  # 6 bits each, and the product's compression finds that.

MANY_NODES: Final = 2_000
STATEMENTS_OF_MANY: Final = 16
"""In a world of more nodes than that: 150 kB less for each node that is busy, and a run takes a fifth longer."""

MakeNode = Callable[[int, "World"], SimNode]


class World:
    """A `Population`. `deliver` is told of each delivery when it happens."""

    def __init__(
        self,
        simulation: Simulation,
        nodes: int,
        *,
        deliver: Callable[[Delivery], None],
        departments: Sequence[str] = (),
        store_bytes: int | None = None,
        skew_s: Mapping[int, float] | None = None,
        others: Mapping[int, MakeNode] | None = None,
    ) -> None:
        """All by node. `departments`: without them, everybody belongs to the whole organisation. `skew_s`: how far its
        clock is ahead. `others`: who is there in place of an honest one.
        """
        self.simulation = simulation
        self.organisation = enrolled(simulation, departments or ("",) * nodes)
        self.letters = Letters(nodes)
        self.store_bytes = store_bytes
        self.statements = STATEMENTS if nodes <= MANY_NODES else STATEMENTS_OF_MANY
        self._deliver = deliver
        self._missing: dict[tuple[int, int], dict[int, int]] = {}
        self._delivered: set[tuple[int, int]] = set()
        skews = skew_s or {}
        makers = others or {}
        self.nodes = [
            makers[number](number, self) if number in makers else SimNode(number, self, skew_s=skews.get(number, 0.0))
            for number in range(nodes)
        ]

    @property
    def hosts(self) -> Sequence[SimNode]:
        return self.nodes

    def submit(self, message: Message) -> None:
        """Its author writes it now, or, if he is off, when he is on again."""
        author = self.nodes[message.src]
        if not author.is_on:
            author.later.append(partial(self.submit, message))
            return
        who = "everyone" if message.dst == EVERYBODY else person_name(message.dst)
        count = max(1, -(-message.size // PART_BYTES_MAX))
        for number in range(count):
            size = (message.size + number) // count
            self._send(author, who, Text(message, number, count), size)

    def carried_bytes(self) -> list[int]:
        return [node.carried_bytes() for node in self.nodes]

    def counts(self) -> Counter[str]:
        """What all nodes together have counted: refusals by their reasons, evictions."""
        total: Counter[str] = Counter()
        for node in self.nodes:
            if node.store is not None:
                total.update({reason: count.count for reason, count in node.store.counts().items()})
        return total

    def arrived(self, node: int, payload: Payload) -> None:
        """A node has opened something."""
        text = self.letters.text(payload.message_id)
        if text is None or text.message.src == node or text.message.dst not in (node, EVERYBODY):
            return
        key = (text.message.id, node)
        if key in self._delivered:
            return
        letter = None if payload.feed is None else self.letters.letter(LogId(payload.feed, payload.lane), payload.seq)
        assert letter is not None
        came = self._missing.setdefault(key, {})
        came.setdefault(text.number, letter.steps[node] - 1)
        if len(came) == text.count:
            del self._missing[key]
            self._delivered.add(key)
            self._deliver(Delivery(text.message.id, node, self.simulation.now, max(came.values())))

    def _send(self, author: SimNode, who: str, text: Text, size: int) -> None:
        message = text.message
        said = "".join(self.simulation.random("texts").choices(LETTERS, k=max(1, size * 4 // 3)))
        minutes = max(1, -(-int(message.ttl) // 60))

        def send(home: Home) -> None:
            sent = desk.send(
                home,
                who,
                said,
                priority=PRIORITIES[message.prio],
                expires=f"{minutes}m",
                now_ms=author.wall_ms,
            )
            self.letters.posted(bytes.fromhex(sent.id), text)

        author.act(send)
