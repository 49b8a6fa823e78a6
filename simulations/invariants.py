"""What must be true at every moment of a run, looked at after every event.

1. A message is opened only by those it is for, by each once, and never before the ideal flood could have brought it.
2. What a node has settled stays settled, also when its power was lost; its change numbers grow.
3. What a node holds goes only because its token came, or by an eviction that was counted.
4. Two nodes that both say they are level lack nothing that the other one holds and does not withhold.
5. Queues, sessions and what stands in memory stay within their bounds; nobody carries more than his store's limit.
6. A device that was put out gains nothing on a link to anybody who knew it when the link began.

Laws 1, 2, 4, 6 and memory's bounds are looked at where an event could have broken them, 3 and the stores' limits
`STORES_EVERY` events. Laws 2 to 6 are about the product's honest nodes; hostile ones keep what they like.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from beepmesh.giving import MARKS_MAX
from beepmesh.messages.token import token_log
from beepmesh.recent import RECENT_BYTES_MAX
from simulations.bound import flood
from simulations.engine import Simulation
from simulations.metrics import TOLERANCE_S
from simulations.outcome import Outcome
from simulations.radio import Link, Population
from simulations.staging import Stage
from simulations.watched import Noted, WatchedNode
from simulations.workload import EVERYBODY
from sync.logs import LogId, reconciled
from sync.ranges import NOTHING, Ranges

STORES_EVERY: Final = 5_000
LINKS_MAX: Final = 1_024
"""Of one node at once: more people than ever stand in reach of one radio."""
LIMIT_SLACK: Final = 65_536
"""A store's limit is about its file; bodies may be ahead of it by one entry."""


class Broken(Exception):
    """Something is not true that must be. The text says what and who; `when` is the time of the trace."""

    def __init__(self, when: float, what: str) -> None:
        super().__init__(what)
        self.when = when


@dataclass(slots=True)
class _Known:
    """What was true of a node when it was looked at last."""

    epoch: int = 0
    upto: int = 0
    settled: dict[LogId, Ranges] = field(default_factory=dict)
    held: dict[LogId, Ranges] = field(default_factory=dict)
    counted: int = 0
    revoked: dict[bytes, float] = field(default_factory=dict)
    """Since when it has known that these devices are out."""


class Watch:
    """Looks from when it is made. Raises Broken out of the event after which something was untrue."""

    def __init__(
        self, simulation: Simulation, setting: Stage, population: Population, outcome: Outcome, noted: Noted
    ) -> None:
        self._simulation = simulation
        self._outcome = outcome
        self._population = population
        self._noted = noted
        self._limit = setting.plan.store_bytes
        self._messages = {message.id: message for message in setting.messages}
        self._bound = flood(setting.trace, setting.messages)
        self._seen: set[tuple[int, int]] = set()
        self._looked = 0
        self._nodes = {host.number: host for host in population.hosts if isinstance(host, WatchedNode)}
        self._known = {number: _Known() for number in self._nodes}
        self._level: dict[tuple[int, int], tuple[Link, int]] = {}
        simulation.after_each = self.look

    def look(self) -> None:
        """Everything that could have become untrue by what has just happened."""
        self._deliveries()
        for number in self._noted.take_touched():
            self._changed(self._nodes[number])
        for giver, taker, link in self._noted.take_gained():
            self._gained(giver, taker, link)
        for number, link, upto in self._noted.take_levels():
            self._levelled(number, link, upto)
        if self._simulation.events % STORES_EVERY == 0:
            self.stores()

    def stores(self) -> None:
        """The dear ones: nothing held has gone uncounted, and nobody carries more than he may."""
        for node in self._nodes.values():
            self._held(node)
        if self._limit is not None:
            for number, carried in enumerate(self._population.carried_bytes()):
                if carried > self._limit + LIMIT_SLACK:
                    self._broken(f"node {number} carries {carried} bytes for others, and {self._limit} is its limit")

    def _deliveries(self) -> None:
        deliveries = self._outcome.deliveries
        for message_id, node, when, _ in deliveries[self._looked :]:
            message = self._messages.get(message_id)
            key = (message_id, node)
            if message is None or message.dst not in (node, EVERYBODY) or node == message.src:
                self._broken(f"message {message_id} was opened at node {node}, for whom it is not")
            if key in self._seen:
                self._broken(f"message {message_id} was delivered to node {node} a second time")
            if when < self._bound.get(key, float("inf")) - TOLERANCE_S:
                self._broken(f"message {message_id} was at node {node} before anything could be there")
            self._seen.add(key)
        self._looked = len(deliveries)

    def _changed(self, node: WatchedNode) -> None:
        known, frontier = self._known[node.number], node.frontier
        if not node.is_on:
            return
        if frontier.epoch == known.epoch and frontier.upto < known.upto:
            self._broken(f"node {node.number} went back from change {known.upto} to {frontier.upto}")
        for log in frontier.states if frontier.epoch != known.epoch else list(frontier.since(known.upto)):
            was, now = known.settled.get(log, NOTHING), frontier.settled(log)
            if was.minus(now):
                self._broken(f"node {node.number} had settled {was.minus(now)} of {log} and has not now")
            known.settled[log] = now
        known.epoch, known.upto = frontier.epoch, frontier.upto
        for device in self._noted.put_out:
            if device not in known.revoked and node.home.roster.revoked(device) is not None:
                known.revoked[device] = self._simulation.now
        self._bounds(node)

    def _bounds(self, node: WatchedNode) -> None:
        engine = node.engine
        assert engine is not None
        for what, count, most in (
            ("sessions", len(list(engine._talks)), min(LINKS_MAX, len(node.links))),
            ("links", len(node.links), LINKS_MAX),
            ("bytes of recent entries", engine._giving._recent._bytes, RECENT_BYTES_MAX),
            ("signatures to note", len(engine._giving._marks), MARKS_MAX),
        ):
            if count > most:
                self._broken(f"node {node.number} has {count} {what}, and {most} is the most")

    def _held(self, node: WatchedNode) -> None:
        """Of each log, a read that asks for next to nothing says what is gone."""
        known, store = self._known[node.number], node.store
        if store is None or not node.is_on:
            return
        counts = store.counts()
        counted = counts["evicted"].count if "evicted" in counts else 0
        lost: Counter[LogId] = Counter()
        for log, state in store.states().items():
            if not state.settled:
                continue
            stop = state.settled.spans[-1][1]
            held = state.settled.minus(store.read(log, 0, stop, bytes_max=0, with_prev=False).gone)
            excused = node.frontier.settled(token_log(log))
            lost[log] = sum(high - low for low, high in known.held.get(log, NOTHING).minus(held).minus(excused).spans)
            known.held[log] = held
        if lost.total() > counted - known.counted:
            where = ", ".join(f"{count} of {log}" for log, count in sorted(lost.items()) if count)
            self._broken(
                f"node {node.number} held {where}, and holds them no more: {counted - known.counted} were counted"
            )
        known.counted = counted

    def _gained(self, giver: int, taker: int, link: Link) -> None:
        if giver not in self._known:
            return
        device = self._population.hosts[taker].identity.device  # type: ignore[attr-defined]  # A node of the product.
        since = self._known[giver].revoked.get(device)
        if since is not None and link.record.start > since:
            self._broken(f"node {taker} is out, and node {giver}, who knew it, gave it something")

    def _levelled(self, number: int, link: Link, upto: int) -> None:
        """The second of the two to say so, unless the first one has changed since."""
        other = self._nodes.get(link.peer)
        mine = self._nodes[number]
        if other is None or not mine.is_on or not other.is_on:
            return
        self._level[number, link.peer] = (link, upto)
        theirs = self._level.get((link.peer, number))
        if theirs is None or theirs[0].record is not link.record:
            return
        if (upto, theirs[1]) != (mine.frontier.upto, other.frontier.upto):
            return
        if mine.frontier.positions != other.frontier.positions:
            self._lacks(mine, other, theirs[0])
            self._lacks(other, mine, link)

    def _lacks(self, node: WatchedNode, other: WatchedNode, link: Link) -> None:
        """What `other` holds, on its end of the link, and the node does not have."""
        assert other.engine is not None
        session = other.engine._talks[other.numbers[link]].session
        assert session is not None
        for log, state in other.frontier.states.items():
            missing = state.settled.minus(node.frontier.settled(log))
            if not missing or not reconciled(log) or node.number in self._noted.refusing:
                continue
            view = session._peer._logs.get(log)  # To ask for it would make one, and change the run.
            if view is not None:
                if view.stopped:
                    continue  # It comes from another neighbour, at the node's own wish.
                missing = missing.minus(view.withheld)
                if not missing:
                    continue
            assert other.store is not None
            gone = other.store.read(log, 0, missing.top, bytes_max=0, with_prev=False).gone
            if missing.minus(gone):
                self._broken(
                    f"nodes {node.number} and {other.number} say they are level, and node {node.number} lacks"
                    f" {missing.minus(gone)} of {log}"
                )

    def _broken(self, what: str) -> None:
        raise Broken(self._simulation.now, what)
