"""Where contacts and messages come from: a file, or a generator with its settings."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from beepmesh.cli.parsing import near, short
from beepmesh.errors import Usage
from simulations import mobility, tables
from simulations.mobility import Ground
from simulations.plan import Source
from simulations.tables import Between
from simulations.traces import Trace, load, merged
from simulations.traffic import TRAFFIC, Traffic
from simulations.workload import Message
from simulations.workload import load as load_messages


def read_source(table: Mapping[str, object], kinds: Mapping[str, type[Any]], where: str, folder: Path) -> Source:
    """A source, its settings looked at. A file's path is taken from `folder`. Raises Usage."""
    if "file" in table:
        tables.known(table, {"file": None}, where)
        return Source(file=str(folder / tables.value(str, table["file"], f"{where}: file")))
    drawn = table.get("drawn")
    if not isinstance(drawn, str):
        raise Usage(f'{where} needs file = "..." or drawn = "...": one of {", ".join(kinds)}.')
    settings = {name: value for name, value in table.items() if name != "drawn"}
    _drawing(drawn, settings, kinds, where)
    return Source(drawn=drawn, settings=tuple(settings.items()))  # type: ignore[arg-type]  # Read as scalars above.


def contacts_of(source: Source, chance: random.Random) -> Trace:
    """Raises BadFile."""
    if source.file:
        return load(source.file)
    ground: Ground = _drawing(source.drawn, dict(source.settings), GROUNDS, "trace")
    return ground.draw(chance)


def messages_of(source: Source, trace: Trace, chance: random.Random) -> tuple[Message, ...]:
    """In the order in which they are written. Raises BadFile."""
    if source.file:
        return load_messages(source.file, trace.nodes)
    traffic: Traffic = _drawing(source.drawn, dict(source.settings), TRAFFIC, "workload")
    return tuple(traffic.draw(trace, chance))


def _drawing(drawn: str, settings: Mapping[str, object], kinds: Mapping[str, type[Any]], where: str) -> Any:
    if drawn not in kinds:
        close = near(drawn, list(kinds))
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(kinds)}."
        raise Usage(f"{where} has no generator {short(drawn)}. {hint}")
    return tables.read(kinds[drawn], settings, where)


@dataclass(frozen=True, slots=True)
class Reunion:
    """Parties that walk apart, each among themselves, and all meet once at the end: everything is exchanged there."""

    parties: Annotated[int, Between(2, 100)] = 2
    members: Annotated[int, Between(1, 1_000)] = 8
    apart_h: Annotated[float, Between(1, 24 * 60)] = 168.0
    together_min: Annotated[float, Between(1, 24 * 60)] = 30.0
    meetings_a_day: Annotated[float, Between(0, 1_000)] = 12.0
    """Of each member, within his party."""
    meeting_min: Annotated[float, Between(0.1, 60)] = 10.0

    def draw(self, chance: random.Random) -> Trace:
        apart, together = self.apart_h * 3_600, self.together_min * 60
        found: list[tuple[float, float, int, int]] = []
        for party in range(self.parties):
            people = range(party * self.members, (party + 1) * self.members)
            for _ in range(round(self.members * self.meetings_a_day * self.apart_h / 24 / 2)):
                if self.members > 1:
                    a, b = chance.sample(people, 2)
                    start = chance.uniform(0, apart - self.meeting_min * 60)
                    found.append((start, start + self.meeting_min * 60, a, b))
        nodes = self.parties * self.members
        # They come in one after the other, and hear everybody who is there.
        came = [apart + chance.uniform(0, together / 4) for _ in range(nodes)]
        found += [(max(came[a], came[b]), apart + together, a, b) for a in range(nodes) for b in range(a + 1, nodes)]
        return Trace("reunion", nodes, tuple(merged(found)))


GROUNDS: Final[Mapping[str, type[Ground]]] = {**mobility.GROUNDS, "reunion": Reunion}
