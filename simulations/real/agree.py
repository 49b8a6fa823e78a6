"""Whether two runs of one trace and workload say the same: the same deliveries, and as soon."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from simulations.outcome import Delivery
from simulations.workload import Message

MEDIANS_APART_MAX = 0.1
"""By what part the medians of delay may differ."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Delays are seconds of the trace, by message and node."""

    real: Mapping[tuple[int, int], float]
    simulated: Mapping[tuple[int, int], float]

    @property
    def only_real(self) -> list[tuple[int, int]]:
        return sorted(self.real.keys() - self.simulated.keys())

    @property
    def only_simulated(self) -> list[tuple[int, int]]:
        return sorted(self.simulated.keys() - self.real.keys())

    @property
    def medians(self) -> tuple[float, float]:
        """The real one and the simulated one; 0 where nothing was delivered."""
        real, simulated = (statistics.median(delays.values() or [0.0]) for delays in (self.real, self.simulated))
        return real, simulated

    @property
    def holds(self) -> bool:
        """Whether the delivered sets are equal, and the medians no more than MEDIANS_APART_MAX of the simulated one
        apart."""
        real, simulated = self.medians
        return self.real.keys() == self.simulated.keys() and abs(real - simulated) <= MEDIANS_APART_MAX * simulated

    def rows(self) -> Iterator[tuple[int, int, str, str]]:
        """Message, node and both delays, the real one first; empty where it was not delivered."""
        for id_, node in sorted(self.real.keys() | self.simulated.keys()):
            both = (delays.get((id_, node)) for delays in (self.real, self.simulated))
            real, simulated = ("" if delay is None else f"{delay:.3f}" for delay in both)
            yield id_, node, real, simulated

    def lines(self) -> Iterator[str]:
        """For a person."""
        equal = "equal" if self.real.keys() == self.simulated.keys() else "DIFFERENT"
        yield f"delivered sets   {equal}: {len(self.real)} real, {len(self.simulated)} simulated"
        for who, missing in (("real nodes", self.only_real), ("the simulator", self.only_simulated)):
            yield from (f"  message {id_} to node {node}: delivered by {who} only" for id_, node in missing)
        real, simulated = self.medians
        yield f"median delay     {real:.1f} s real, {simulated:.1f} s simulated" + (
            f", ratio {real / simulated:.3f}" if simulated else ""
        )
        differences = sorted(self.real[key] - self.simulated[key] for key in self.real.keys() & self.simulated.keys())
        if differences:
            tenth = len(differences) // 10
            middle = f"{statistics.median(differences):+.1f} s in the middle"
            most = f"{differences[tenth]:+.1f} to {differences[-1 - tenth]:+.1f} s for eight in ten"
            yield f"real - simulated {middle}, {most}, {differences[0]:+.1f} to {differences[-1]:+.1f} s for all"


def agreement(messages: Iterable[Message], real: Iterable[Delivery], simulated: Iterable[Delivery]) -> Agreement:
    """The first arrivals of each, beside each other."""
    sent = {message.id: message.t for message in messages}
    return Agreement(_delays(sent, real), _delays(sent, simulated))


def _delays(sent: Mapping[int, float], deliveries: Iterable[Delivery]) -> dict[tuple[int, int], float]:
    delays: dict[tuple[int, int], float] = {}
    for one in sorted(deliveries, key=lambda one: one.t):
        delays.setdefault((one.id, one.node), one.t - sent[one.id])
    return delays
