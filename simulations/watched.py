"""Nodes of the product that say what they do to whoever looks on. What they do is the same."""

from __future__ import annotations

from beepmesh.asking import Asked
from beepmesh.engine import Engine
from beepmesh.events import Commit, Input, LevelReached, LinkId, Output
from beepmesh.home import Home
from simulations.node import SimNode, Surroundings
from simulations.radio import Link
from sync.session import TakeRun


class Noted:
    """What has happened since somebody looked, in its order."""

    def __init__(self) -> None:
        self.put_out: list[bytes] = []
        """Devices that were revoked so far."""
        self.refusing: dict[int, None] = {}
        """Nodes that have refused a run: they may lack what others have."""
        self._touched: dict[int, None] = {}
        self._levels: list[tuple[int, Link, int]] = []
        self._gained: list[tuple[int, int, Link]] = []

    def touched(self, node: int) -> None:
        self._touched[node] = None

    def level(self, node: int, link: Link, upto: int) -> None:
        self._levels.append((node, link, upto))

    def gained(self, giver: int, taker: int, link: Link) -> None:
        self._gained.append((giver, taker, link))

    def take_touched(self) -> list[int]:
        """Nodes that have committed something."""
        taken = list(self._touched)
        self._touched.clear()
        return taken

    def take_levels(self) -> list[tuple[int, Link, int]]:
        """Who said on which link that both have the same, and its own newest change when it said so."""
        taken, self._levels = self._levels, []
        return taken

    def take_gained(self) -> list[tuple[int, int, Link]]:
        """Who gave a run to whom."""
        taken, self._gained = self._gained, []
        return taken


class WatchedNode(SimNode):
    def __init__(self, number: int, world: Surroundings, noted: Noted, *, skew_s: float = 0.0) -> None:
        super().__init__(number, world, skew_s=skew_s)
        self._noted = noted

    @property
    def engine(self) -> Engine | None:
        """None while it is off, or never had anything to do."""
        return self._engine

    @property
    def numbers(self) -> dict[Link, LinkId]:
        return self._numbers

    @property
    def links(self) -> dict[LinkId, Link]:
        return self._links

    def _notice(self, home: Home) -> None:
        super()._notice(home)
        self._noted.touched(self.number)

    def _answer(self, home: Home, order: Asked) -> Input:
        if isinstance(order, Commit):
            self._noted.touched(self.number)
            if order.batch.counts:
                self._noted.refusing[self.number] = None
        return super()._answer(home, order)

    def _perform_now(self, order: Output) -> None:
        if isinstance(order, LevelReached) and (link := self._links.get(order.link)) is not None:
            self._noted.level(self.number, link, self._frontier.upto)
        super()._perform_now(order)

    def _pushed(self, number: LinkId, run: TakeRun) -> None:
        self._noted.gained(self._links[number].peer, self.number, self._links[number])
        super()._pushed(number, run)
