"""One node of the product on the virtual clock: its engine, home and store, driven as the shell drives them.

What beepmesh/shell.py does with tasks and a thread happens here at once, in the same order: events are collected, the
engine decides, its orders are performed, and nothing is said before the commit that it speaks of. Nothing here decides
anything that the product decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from beepmesh import upkeep
from beepmesh.asking import Asked, answer
from beepmesh.author import control_draft
from beepmesh.channel import Door
from beepmesh.config import Config
from beepmesh.crypto.primitives import KEY_BYTES
from beepmesh.engine import Engine
from beepmesh.events import (
    FrameReceived,
    HangUp,
    HomeChanged,
    Input,
    JoinDecided,
    KeepHistory,
    LevelReached,
    LinkDown,
    LinkDrained,
    LinkId,
    LinkUp,
    ListFeeds,
    MessageArrived,
    MessageDelivered,
    Output,
    PeerJoined,
    PeerLeft,
    ProveForks,
    RenewEpoch,
    ReopenEntries,
    SealWaiting,
    SendFrames,
    TellDrained,
    TimeCame,
    WakeAt,
    WriteReceipts,
)
from beepmesh.forks import fork_statement
from beepmesh.home import Home
from beepmesh.messages.entry import Entry, is_erased
from beepmesh.messages.inbox import Payload
from beepmesh.receipts import receipts_due
from beepmesh.safe import MemorySafe
from beepmesh.shell import HISTORY_NAME, LIST_DELAY_S, RECEIPT_DELAY_S, UPKEEP_S, frontier_of
from beepmesh.store.contract import Batch, Committed, Draft, Fork
from beepmesh.store.sqlite import SqliteStore, memory_store
from beepmesh.trust.identity import Identity
from simulations.engine import Event, Simulation
from simulations.letters import Letters
from simulations.organisation import EPOCH_S, Organisation
from simulations.radio import Link
from simulations.tally import Tally
from sync.frontier import Frontier
from sync.session import TakeRun

DAY_S: Final = 86_400

T = TypeVar("T")


class Surroundings(Protocol):
    """What a node is in."""

    @property
    def simulation(self) -> Simulation: ...

    @property
    def organisation(self) -> Organisation: ...

    @property
    def letters(self) -> Letters: ...

    @property
    def store_bytes(self) -> int | None:
        """What each store may take; None for no limit."""
        ...

    @property
    def statements(self) -> int:
        """How many SQL statements each store keeps ready."""
        ...

    def arrived(self, node: int, payload: Payload) -> None:
        """A node has opened a message, and holds it durably."""
        ...


class _NotedHome(Home):
    """Remembers what it wrote until it is asked."""

    written: list[tuple[Draft, Entry]]

    def commit(self, batch: Batch, now_ms: int) -> Committed:
        done = super().commit(batch, now_ms)
        self.written += zip(batch.drafts, done.written, strict=True)
        return done


class SimNode:
    """A `Host`. Its home is made when it is first needed: most nodes of a large world never meet anybody."""

    def __init__(self, number: int, world: Surroundings, *, skew_s: float = 0.0) -> None:
        self.number = number
        self.world = world
        self.simulation = world.simulation
        self.skew_s = skew_s
        """How far its wall clock is ahead. May be changed at any moment: that is a clock that jumps."""
        self.is_on = True
        self.later: list[Callable[[], None]] = []
        """What its person does when it is on again."""
        self.entropy = self.simulation.random(f"node-{number}").randbytes
        self._safe = MemorySafe(world.organisation.identities[number])
        self._column_key = b""
        self._store: SqliteStore | None = None
        self._home: _NotedHome | None = None
        self._engine: Engine | None = None
        self._frontier = Frontier()
        self._tally = Tally(world.letters, self._pushed)
        self._links: dict[LinkId, Link] = {}
        self._numbers: dict[Link, LinkId] = {}
        self._links_seen = 0
        self._inputs: deque[Input] = deque()
        self._is_busy = False
        self._wake: Event | None = None
        self._wake_at = 0.0
        self._due: set[Callable[[], None]] = set()
        first_s = self.simulation.random("upkeep").uniform(0.0, UPKEEP_S)
        self.simulation.at(first_s, self._upkeep)

    # What others ask.

    @property
    def wall_ms(self) -> int:
        """What its clock says."""
        return round((EPOCH_S + self.skew_s + self.simulation.now) * 1_000)

    @property
    def identity(self) -> Identity:
        return self._safe.read()

    @property
    def home(self) -> Home:
        """Only while it is on."""
        self._awake()
        assert self._home is not None
        return self._home

    @property
    def store(self) -> SqliteStore | None:
        """None where it never had anything to keep."""
        return self._store

    @property
    def frontier(self) -> Frontier:
        return self._frontier

    def carried_bytes(self) -> int:
        """The bodies that it holds for others."""
        return 0 if self._store is None else self._store.carried_bytes((self.identity.feed, self.identity.device))

    def act(self, function: Callable[[Home], T]) -> T:
        """An act of the desk, and what the engine makes of it."""
        home = self._awake()
        try:
            return function(home)
        finally:
            written, home.written = home.written, []
            self.world.letters.written(self.number, written)
            self._notice(home)

    def lose_power(self) -> None:
        """At once. What was committed stays. The medium has been told before (`Medium.off`), or is next."""
        self.is_on = False
        self._engine = self._home = None
        self._links.clear()
        self._numbers.clear()
        self._inputs.clear()
        self._due.clear()
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def switch_on(self) -> None:
        """With what its store and its keystore kept."""
        self.is_on = True
        if self._store is not None:
            self._upkeep_now()
        later, self.later = self.later, []
        for done in later:
            done()

    # What the air says.

    def up(self, link: Link) -> None:
        self._awake()
        self._links_seen += 1
        number = self._numbers[link] = self._links_seen
        self._links[number] = link
        psks = self.identity.link_psks
        doors = tuple(Door(psk, None) for psk in (psks[:1] if link.dialled else psks))
        radio = link.radio
        self._give(LinkUp(number, link.dialled, radio.name, f"node {link.peer}", radio.frame_bytes_max, doors))

    def received(self, link: Link, frame: object) -> None:
        assert isinstance(frame, bytes)
        if (number := self._numbers.get(link)) is not None:
            self._give(FrameReceived(number, frame))

    def drained(self, link: Link) -> None:
        if (number := self._numbers.get(link)) is not None:
            self._give(LinkDrained(number))

    def down(self, link: Link) -> None:
        if (number := self._numbers.pop(link, None)) is not None:
            del self._links[number]
            self._give(LinkDown(number))

    # As the shell does it.

    def _awake(self) -> _NotedHome:
        assert self.is_on, "a node that is off does nothing"
        if self._home is None:
            self._home = self._open_home()
            self._home.refresh()
            self._frontier = frontier_of(self._home)
            self._engine = self._make_engine(self._home)
            self._home.store.appraise(self._engine.carrying.worth)
            if self._home.store.unopened():
                self._give_answer(ReopenEntries(self._home.roster.devices()))
        return self._home

    def _open_home(self) -> _NotedHome:
        if self._store is None:
            self._column_key = self.entropy(KEY_BYTES)
            self._store = memory_store(self._column_key, self.entropy, statements=self.world.statements)
            self._store.limit(None, self.world.store_bytes)
        home = _NotedHome(
            Path(f"node-{self.number}"),
            self._safe,
            self._store,
            Config(),
            roster=self.world.organisation.roster.fork(),
            alone=True,
            entropy=self.entropy,
        )
        home.written = []
        return home

    def _make_engine(self, home: Home) -> Engine:
        return Engine(
            identity=home.identity,
            roster=home.roster,
            frontier=self._frontier,
            frozen=home.store.frozen(),
            believed_s=lambda: home.believed_s(self.wall_ms),
            wall_ms=lambda: self.wall_ms,
            entropy=self.entropy,
            writers=self.world.organisation.writers,
            watcher=self._tally,
            history=home.store.get(HISTORY_NAME) or b"",
        )

    def _give(self, event: Input) -> None:
        self._inputs.append(event)
        if self._is_busy or self._engine is None:
            return
        self._is_busy = True
        try:
            while self._inputs and self._engine is not None:
                outputs = self._engine.handle(self._inputs.popleft(), self.simulation.now)
                if orders := [*outputs, *self._engine.flush()]:
                    self._perform(self._engine, deque(orders))
        finally:
            self._is_busy = False

    def _perform(self, engine: Engine, orders: deque[Output]) -> None:
        home, now = self._home, self.simulation.now
        assert home is not None
        while orders:
            order = orders.popleft()
            if isinstance(order, Asked):
                orders.extend(engine.handle(self._answer(home, order), now))
                orders.extend(engine.flush())
            else:
                self._perform_now(order)

    def _answer(self, home: Home, order: Asked) -> Input:
        return answer(home, order, self.wall_ms)

    def _give_answer(self, order: Asked) -> None:
        assert self._home is not None
        self._give(self._answer(self._home, order))

    def _perform_now(self, order: Output) -> None:
        match order:
            case SendFrames(number, frames):
                self._send(number, frames)
            case TellDrained(number):
                if link := self._links.get(number):
                    link.tell_drained()
            case HangUp(number):
                if link := self._links.get(number):
                    link.close()
            case WakeAt(when):
                self._wake_up(when)
            case WriteReceipts():
                self._soon(RECEIPT_DELAY_S, self._write_receipts)
            case SealWaiting():
                self._soon(0.0, self._seal_waiting)
            case RenewEpoch():
                self._soon(0.0, self._renew_epoch)
            case KeepHistory(data):
                self._awake().store.put(HISTORY_NAME, data)
            case ListFeeds():
                self._soon(LIST_DELAY_S, self._list_feeds)
            case ProveForks(forks):
                self.simulation.after(0.0, lambda: self._prove_forks(forks))
            case MessageArrived(payload):
                self.world.arrived(self.number, payload)
            case PeerJoined() | PeerLeft() | MessageDelivered() | LevelReached() | JoinDecided():
                pass  # For people who look on. Addresses of the air need no remembering.
            case _:
                raise AssertionError(order)

    def _send(self, number: LinkId, frames: tuple[bytes, ...]) -> None:
        link = self._links.get(number)
        for frame in frames:
            size = self._tally.size(frame)
            if link is not None:
                link.send(frame, size)

    def _wake_up(self, when: float) -> None:
        if self._wake is not None:
            if self._wake_at <= when:
                return
            self._wake.cancel()
        self._wake_at = when
        self._wake = self.simulation.at(when, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._give(TimeCame())

    def _pushed(self, number: LinkId, run: TakeRun) -> None:
        """A run has come: who had what from whom, and how much of it was in vain."""
        link = self._links[number]
        settled = self._frontier.settled(run.log)
        for seq, packed in enumerate(run.packed, run.start):
            letter = self.world.letters.letter(run.log, seq)
            if letter is not None and not is_erased(packed):
                self.world.letters.came(letter, link.peer, self.number)
                link.record.transmissions += letter.share
                if seq in settled:
                    link.record.duplicates += letter.share

    # What follows from the engine's orders, and the passing of days.

    def _soon(self, delay_s: float, chore: Callable[[], None]) -> None:
        """Once, however often it is ordered meanwhile."""
        if chore not in self._due:
            self._due.add(chore)
            self.simulation.after(delay_s, lambda: self._do(chore))

    def _do(self, chore: Callable[[], None]) -> None:
        if chore in self._due:  # Not after the power was lost.
            self._due.remove(chore)
            chore()

    def _write_receipts(self) -> None:
        self.act(lambda home: receipts_due(home, self.wall_ms))

    def _seal_waiting(self) -> None:
        self.act(lambda home: upkeep.seal_waiting(home, self.wall_ms))

    def _list_feeds(self) -> None:
        self.act(lambda home: upkeep.list_feeds(home, self.wall_ms))

    def _renew_epoch(self) -> None:
        assert self._engine is not None
        self._engine.renew_epoch(self.home.store.renew_epoch())

    def _prove_forks(self, forks: tuple[Fork, ...]) -> None:
        if self.is_on:
            drafts = tuple(control_draft(fork_statement(fork), self.identity) for fork in forks)
            self.act(lambda home: home.commit(Batch(drafts=drafts), self.wall_ms))

    def _notice(self, home: Home) -> None:
        engine = self._engine
        if engine is None:
            return
        fresh = home.refresh()
        if fresh.identity_changed:
            engine.renew(home.identity)
        if fresh.states or fresh.version > engine.upto:
            self._give(HomeChanged(fresh.states, fresh.version))

    def _upkeep(self) -> None:
        self.simulation.after(UPKEEP_S, self._upkeep)
        if self.is_on and (self._store is not None or self.identity.prekeys.due(self.wall_ms // 1_000)):
            self._upkeep_now()

    def _upkeep_now(self) -> None:
        chores: tuple[Callable[[Home, int], object], ...] = (
            upkeep.renew_certificates,
            upkeep.rotate_prekeys,
            upkeep.expire,
            upkeep.list_feeds,
            upkeep.seal_waiting,
            receipts_due,
        )

        def every(home: Home) -> None:
            for chore in chores:
                chore(home, self.wall_ms)

        self.act(every)
