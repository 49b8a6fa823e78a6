"""Members who mean ill: enrolled like all others, and running the product but for what they spoil.

black-hole   says that it leads everywhere, takes everything, acknowledges it, and hands on only what it wrote itself
flooder      writes without end, to headquarters, as urgently as it may
liar         claims to have settled more than there is of every log it knows
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from beepmesh import desk
from beepmesh.asking import Asked
from beepmesh.carrying import Carrying, View
from beepmesh.engine import Engine
from beepmesh.events import EntriesRead, Input, ReadEntries
from beepmesh.home import Home
from beepmesh.recent import Recent
from beepmesh.store.contract import ReadResult
from simulations.node import SimNode
from simulations.organisation import person_name
from simulations.radio import Link
from sync.logs import LogState
from sync.ranges import Ranges

FLOOD_EVERY_S: Final = 120.0
FLOOD_TEXT: Final = "Everybody leave the camp at once. " * 8
CLAIMED: Final = 64
"""So many entries of each log that nobody wrote."""


class _Forgetful(Recent):
    def read(self, order: ReadEntries) -> ReadResult | None:
        return None


class _Boaster(Carrying):
    def __init__(self, home: Home) -> None:
        super().__init__()
        crowds = home.roster.crowds()
        self._boast = View(dict.fromkeys(map(crowds.of, home.roster.devices()), 1.0))

    @property
    def view(self) -> View:
        return self._boast


class BlackHole(SimNode):
    def _make_engine(self, home: Home) -> Engine:
        engine = super()._make_engine(home)
        engine._giving._recent = _Forgetful()
        engine.carrying = engine._rationing._carrying = _Boaster(home)
        return engine

    def _answer(self, home: Home, order: Asked) -> Input:
        if isinstance(order, ReadEntries) and order.log.feed not in (self.identity.feed, self.identity.device):
            return EntriesRead(order, ReadResult(None, (), Ranges(((order.start, order.stop),))))
        return super()._answer(home, order)


class Flooder(SimNode):
    def up(self, link: Link) -> None:
        """It begins when it first meets somebody: who never does harms nobody."""
        if not self._links_seen and self.is_on:
            self.simulation.after(0.0, self._flood)
        super().up(link)

    def _flood(self) -> None:
        self.simulation.after(FLOOD_EVERY_S, self._flood)
        text = f"{FLOOD_TEXT}{self.simulation.now}"
        self.act(lambda home: desk.send(home, person_name(0), text, priority="sos", now_ms=self.wall_ms))


class Liar(SimNode):
    def up(self, link: Link) -> None:
        self._awake()
        if self.store is not None:
            claims = {
                log: LogState(state.settled.add(0, state.settled.spans[-1][1] + CLAIMED), b"")
                for log, state in self.store.states().items()
                if state.settled and log.feed not in (self.identity.feed, self.identity.device)
            }
            self.frontier.change(claims, self.frontier.upto)
        super().up(link)


KINDS: Final[Mapping[str, type[SimNode]]] = {"black-hole": BlackHole, "flooder": Flooder, "liar": Liar}
