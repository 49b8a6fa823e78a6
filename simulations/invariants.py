"""What must be true at every moment of a run, looked at after every event.

What costs much is looked at where it could have become untrue: a store when its node took or gave something up, two
frontiers when their nodes said that they were level.
"""

from __future__ import annotations

from simulations.bound import flood
from simulations.engine import Simulation
from simulations.metrics import TOLERANCE_S
from simulations.outcome import Outcome
from simulations.radio import Population
from simulations.staging import Stage
from simulations.workload import EVERYBODY


class Broken(Exception):
    """Something is not true that must be. The text says what and who; `when` is the time of the trace."""

    def __init__(self, when: float, what: str) -> None:
        super().__init__(what)
        self.when = when


class Watch:
    """Looks from when it is made. Raises Broken out of the event after which something was untrue."""

    def __init__(self, simulation: Simulation, setting: Stage, population: Population, outcome: Outcome) -> None:
        self._simulation = simulation
        self._outcome = outcome
        self._population = population
        self._limit = setting.plan.store_bytes
        self._messages = {message.id: message for message in setting.messages}
        self._bound = flood(setting.trace, setting.messages)
        self._seen: set[tuple[int, int]] = set()
        self._looked = 0
        simulation.after_each = self.look

    def look(self) -> None:
        """Everything that could have become untrue by what has just happened."""
        deliveries = self._outcome.deliveries
        for delivery in deliveries[self._looked :]:
            self._delivered(delivery.id, delivery.node, delivery.t)
        self._looked = len(deliveries)

    def stores(self) -> None:
        """Nobody carries more than he may."""
        if self._limit is None:
            return
        for node, carried in enumerate(self._population.carried_bytes()):
            if carried > self._limit:
                self._broken(f"node {node} carries {carried} bytes for others, and {self._limit} is its limit")

    def _delivered(self, message_id: int, node: int, when: float) -> None:
        message = self._messages.get(message_id)
        key = (message_id, node)
        if message is None or message.dst not in (node, EVERYBODY) or node == message.src:
            self._broken(f"message {message_id} was opened at node {node}, for whom it is not")
        if key in self._seen:
            self._broken(f"message {message_id} was delivered to node {node} a second time")
        if when < self._bound.get(key, float("inf")) - TOLERANCE_S:
            self._broken(f"message {message_id} was at node {node} before anything could be there")
        self._seen.add(key)

    def _broken(self, what: str) -> None:
        raise Broken(self._simulation.now, what)
