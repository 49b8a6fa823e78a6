"""The engine in the world: performs its orders over real links and a real disk.

The shell is boring on purpose: collect events, let the engine decide, do what it says in its order. One task drives;
the store works in one thread, so a slow disk never stops the links from being read.

Law: the engine, the roster and the store are touched under `_home_lock` only: by a round of the engine, or by one act
of the desk. Whoever holds it may hand store work to the thread and wait.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Final, ParamSpec, TypeVar

import anyio.lowlevel
from anyio import to_thread
from anyio.abc import TaskGroup

from beepmesh import admission, upkeep
from beepmesh.asking import Asked, answer, is_quick, unanswered
from beepmesh.author import control_draft
from beepmesh.channel import Door
from beepmesh.engine import Engine
from beepmesh.errors import HomeProblem
from beepmesh.events import (
    AdmissionDecided,
    Admit,
    Commit,
    FrameReceived,
    HangUp,
    HomeChanged,
    Input,
    JoinDecided,
    KeepHistory,
    LevelReached,
    LinkDown,
    LinkDrained,
    LinkUp,
    ListFeeds,
    MessageArrived,
    MessageDelivered,
    Output,
    PeerJoined,
    PeerLeft,
    ProveForks,
    ReadEntries,
    RenewEpoch,
    Reopened,
    ReopenEntries,
    SealWaiting,
    SendFrames,
    TellDrained,
    Told,
    WakeAt,
    WriteReceipts,
)
from beepmesh.events import TimeCame as EngineTimeCame
from beepmesh.forks import fork_statement
from beepmesh.home import Home
from beepmesh.introduction import granted_record, refused_record
from beepmesh.metering import METER_NAME, Meter
from beepmesh.port import COUNTED_FAILURES, Port, Traffic
from beepmesh.receipts import receipts_due
from beepmesh.store.contract import Batch, Fork, Peer, StoreProblem
from beepmesh.trust.enrol import join_check_digits
from beepmesh.waking import drain, wake_socket
from sync.frontier import Frontier
from transports.link import Link, LinkBroken, Transport

EVENTS_A_ROUND: Final = 256  # Enough to fill a commit, few enough that an alert waits for one commit at most.
QUEUE_MAX: Final = 1024  # Frames waiting for the engine; above that links are not read.
LIST_DELAY_S: Final = 60.0  # A page costs 113 B beside its feeds: those who join together share one.
RECEIPT_DELAY_S: Final = 0.01  # Messages that come together are acknowledged in one entry.
REOPENED_A_TIME: Final = 16  # 16 entries of 300 possible senders take 15 ms.
WATCH_S: Final = 1.0  # How soon what a command wrote is noticed where there is no wake socket.
CALLED_WATCH_S: Final = 10.0  # The same where commands call: only a call that was lost has to wait.
UPKEEP_S: Final = 3600.0
HISTORY_NAME: Final = "carrying/history"  # Where the store keeps it.

P = ParamSpec("P")
T = TypeVar("T")


class Shell:
    """One home, its engine, and the links that transports hand over while `serve` runs."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._engine = engine_of(home, frontier_of(home))
        home.store.appraise(self._engine.carrying.worth)
        self._home_lock = anyio.Lock()
        self._thread = anyio.CapacityLimiter(1)
        self._events: deque[Input] = deque()
        self._work = anyio.Event()
        self._room = anyio.Event()
        self._ports: dict[int, Port] = {}
        self._numbers = count(1)
        self._wake_at: float | None = None
        self._doors: tuple[Door, ...] = ()
        self._listeners: list[Callable[[Told], None]] = []
        self._tasks: TaskGroup | None = None
        self._receipts_due = self._listing_due = False
        self._failures_counted: Counter[str] = Counter()
        self._transports: list[Transport] = []
        self._meter = Meter(home.config.links_metered_kilobytes * 1_000, home.store.get(METER_NAME) or b"", _wall_ms())
        self.disk_trouble = ""

    def listen(self, listener: Callable[[Told], None]) -> None:
        """Have every later event told: it is called in the loop and must not wait."""
        self._listeners.append(listener)

    @contextmanager
    def changes(self, listener: Callable[[Told], None] | None = None) -> Iterator[Callable[[], Awaitable[None]]]:
        """Gives a function that waits until something was told since it last returned."""
        news = anyio.Event()

        def heard(told: Told) -> None:
            if listener is not None:
                listener(told)
            news.set()

        async def changed() -> None:
            nonlocal news
            await news.wait()
            news = anyio.Event()

        self._listeners.append(heard)
        try:
            yield changed
        finally:
            self._listeners.remove(heard)

    @property
    def peers(self) -> dict[bytes, LinkUp]:
        """Devices linked now."""
        return self._engine.peers

    def traffic(self, link: int) -> Traffic:
        """What passed on a link of `peers`, or of one that has just left."""
        entries = self._engine.take_traffic(link)
        port = self._ports.get(link)
        sent, received = (port.sent_bytes, port.received_bytes) if port else (0, 0)
        return Traffic(entries.sent, sent, entries.received, received)

    def addresses(self) -> list[str]:
        """Where this node listens, as HOST:PORT."""
        return [address for transport in self._transports for address in transport.addresses()]

    async def act(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of the desk's acts on this home, off the loop, and let the engine know what it wrote."""
        async with self._home_lock:
            try:
                return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._thread)
            finally:
                await self._notice()
                self._work.set()

    async def serve(
        self, transports: Sequence[Transport], *, ready: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Be a node on these transports until cancelled. Raises HomeProblem if another one runs on this home."""
        self._transports = list(transports)
        with self.home.lock(), wake_socket(self.home.wake_path) as wake:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await self._remember_peers()
                await self.refresh_doors()
                tasks.start_soon(self._drive)
                tasks.start_soon(self._watch, wake)
                tasks.start_soon(self._upkeep)
                tasks.start_soon(self._reopen)
                for transport in transports:
                    await tasks.start(transport.serve, self._welcome)
                if ready is not None:
                    await ready()
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._farewell()

    async def _farewell(self) -> None:
        """Keep what the next meetings need to be short."""
        await self._keep_meter()
        async with self._home_lock:
            for order in self._engine.farewell():
                if isinstance(order, Commit):
                    await self._ask(order)
                elif isinstance(order, KeepHistory):
                    with suppress(StoreProblem):
                        self.home.store.put(HISTORY_NAME, order.data)

    # Links.

    async def _welcome(self, link: Link) -> None:
        """One link from its first frame to its last."""
        number = next(self._numbers)
        info = link.info
        meter = self._meter if info.metered and self._meter.limit_bytes else None
        port = Port(link, meter)
        if meter is not None:
            self._engine.metered[number] = meter
        doors = self._doors[:1] if info.dialled else self._doors
        self._ports[number] = port
        self._post(LinkUp(number, info.dialled, info.transport, info.address, info.record_bytes_max, doors))
        try:
            async with anyio.create_task_group() as tasks:
                port.scope = tasks.cancel_scope
                tasks.start_soon(port.write)
                with suppress(LinkBroken):
                    while True:
                        frame = await link.receive()
                        port.received(frame)
                        while len(self._events) >= QUEUE_MAX:
                            await self._room.wait()
                        self._post(FrameReceived(number, frame))
                tasks.cancel_scope.cancel()
        finally:
            del self._ports[number]
            self._engine.metered.pop(number, None)
            self._post(LinkDown(number, link.broken))

    # The engine's rounds.

    def _post(self, event: Input) -> None:
        self._events.append(event)
        self._work.set()

    async def _drive(self) -> None:
        while True:
            if not self._events:
                await self._rest()
            async with self._home_lock:
                now = time.monotonic()
                outputs: list[Output] = []
                if self._wake_at is not None and now >= self._wake_at:
                    self._wake_at = None
                    outputs += self._engine.handle(EngineTimeCame(), now)
                for _ in range(min(len(self._events), EVENTS_A_ROUND)):
                    outputs += self._engine.handle(self._events.popleft(), now)
                self._room.set()  # For every link that waits; whoever comes from now on waits for the next round.
                self._room = anyio.Event()
                await self._perform(outputs + self._engine.flush())

    async def _rest(self) -> None:
        wait = None if self._wake_at is None else max(0.0, self._wake_at - time.monotonic())
        with anyio.move_on_after(wait):
            await self._work.wait()
        self._work = anyio.Event()

    async def _perform(self, outputs: list[Output]) -> None:
        """Do what the engine said in its order, and what follows from that, until nothing is left."""
        orders = deque(outputs)
        while orders:
            order = orders.popleft()
            if isinstance(order, Asked):
                answer = await self._ask(order)
                orders.extend(self._engine.handle(answer, time.monotonic()))
                orders.extend(self._engine.flush())
            elif isinstance(order, Admit):
                await self._admit(order)
            else:
                self._perform_now(order)

    def _perform_now(self, order: Output) -> None:
        match order:
            case SendFrames(number, frames):
                if port := self._ports.get(number):
                    if not port.send(frames):
                        self._engine.count("never-read")
            case TellDrained(number):
                if port := self._ports.get(number):
                    port.tell_drained(partial(self._post, LinkDrained(number)))
            case HangUp(number, _, device):
                if port := self._ports.get(number):
                    if device:
                        port.link.established(device.hex())
                    port.hang_up()
            case WakeAt(when):
                self._wake_at = when if self._wake_at is None else min(when, self._wake_at)
            case WriteReceipts():
                self._start(self._receipts_soon)
            case SealWaiting():
                self._start(self._seal_waiting)
            case RenewEpoch():
                self._start(self._renew_epoch)
            case KeepHistory(data):
                self._start(self._try, self.home.store.put, HISTORY_NAME, data)
            case ListFeeds():
                self._start(self._list_feeds_soon)
            case ProveForks(forks):
                self._start(self._prove_forks, forks)
            case PeerJoined(number, device, _, _):
                if port := self._ports.get(number):
                    port.link.established(device.hex())
                self._start(self._note_peer, order)
                self._tell(order)
            case PeerLeft() | MessageArrived() | MessageDelivered() | LevelReached() | JoinDecided():
                self._tell(order)
            case _:
                raise AssertionError(order)

    async def _ask(self, order: Asked) -> Input:
        if is_quick(order):
            return answer(self.home, order, _wall_ms())
        try:
            answered = await to_thread.run_sync(answer, self.home, order, _wall_ms(), limiter=self._thread)
        except StoreProblem as problem:
            self.disk_trouble = str(problem)
            if isinstance(order, ReadEntries) and (port := self._ports.get(order.link)):
                port.hang_up()
            return unanswered(order, problem)
        if isinstance(order, Commit):
            self.disk_trouble = ""
        return answered

    def _tell(self, told: Told) -> None:
        for listener in self._listeners:
            listener(told)

    def _start(self, function: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> None:
        async def run() -> None:
            await function(*args, **kwargs)

        if self._tasks is not None:
            self._tasks.start_soon(run)

    # What follows from the engine's orders, as acts of the desk.

    async def _receipts_soon(self) -> None:
        if self._receipts_due:
            return
        self._receipts_due = True
        await anyio.sleep(RECEIPT_DELAY_S)
        self._receipts_due = False
        await self._try(receipts_due, self.home, _wall_ms())

    async def _seal_waiting(self) -> None:
        await self._try(upkeep.seal_waiting, self.home, _wall_ms())

    async def _renew_epoch(self) -> None:
        async with self._home_lock:
            with suppress(StoreProblem):
                self._engine.renew_epoch(await to_thread.run_sync(self.home.store.renew_epoch, limiter=self._thread))

    async def _list_feeds_soon(self) -> None:
        if self._listing_due:
            return
        self._listing_due = True
        await anyio.sleep(LIST_DELAY_S)
        self._listing_due = False
        await self._try(upkeep.list_feeds, self.home, _wall_ms())

    async def _prove_forks(self, forks: tuple[Fork, ...]) -> None:
        drafts = tuple(control_draft(fork_statement(fork), self.home.identity) for fork in forks)
        await self._try(self.home.commit, Batch(drafts=drafts), _wall_ms())

    async def _note_peer(self, joined: PeerJoined) -> None:
        dialled = (up := self.peers.get(joined.device)) is not None and up.dialled
        # The port that a dialler happened to have leads nowhere; its host may be found at the usual one.
        address = joined.address if dialled else joined.address.rpartition(":")[0]
        await self._try(self.home.store.put_peer, Peer(joined.device, _wall_ms(), joined.transport, address))

    async def _try(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """An act that nobody waits for: a full disk is said by status and tried again, and ends no task."""
        try:
            await self.act(function, *args, **kwargs)
        except HomeProblem as problem:
            self.disk_trouble = str(problem)

    async def _admit(self, order: Admit) -> None:
        decided = await to_thread.run_sync(
            lambda: admission.decide(
                self.home,
                order.invitation,
                order.request,
                context=order.handshake_hash,
                link_public=order.link_public,
                now_ms=_wall_ms(),
            ),
            limiter=self._thread,
        )
        reason = "" if isinstance(decided, bytes) else decided.reason
        self._tell(JoinDecided(join_check_digits(order.handshake_hash), reason))
        record = granted_record(decided) if isinstance(decided, bytes) else refused_record(decided.reason)
        self._post(AdmissionDecided(order.link, record))

    # What others write on this home, and the passing of days.

    async def _notice(self) -> None:
        """Tell the engine what this home's other writers have written. The lock is held."""
        fresh = await to_thread.run_sync(self.home.refresh, limiter=self._thread)
        if fresh.identity_changed:
            self._engine.renew(self.home.identity)
        if fresh.states or fresh.version > self._engine.upto:
            self._post(HomeChanged(fresh.states, fresh.version))

    async def _watch(self, wake: socket.socket | None) -> None:
        while True:
            with anyio.move_on_after(WATCH_S if wake is None else CALLED_WATCH_S):
                if wake is None:
                    await anyio.sleep_forever()
                else:
                    await anyio.wait_readable(wake)
                    drain(wake)
            async with self._home_lock:
                with suppress(StoreProblem):
                    await self._notice()
            await self.refresh_doors()
            self._count_failures()
            await self._keep_meter()

    async def _keep_meter(self) -> None:
        """A crash forgets what has passed since the last look. On a new day what waited is weighed on a new link."""
        if self._meter.turn(_wall_ms()):
            for port in [port for port in self._ports.values() if port.meter is not None]:
                port.hang_up()
        if kept := self._meter.take_unkept():
            await self._try(self.home.store.put, METER_NAME, kept)

    async def refresh_doors(self) -> None:
        """Let in by new invitations too. The watch does it, and whenever a command wrote."""
        async with self._home_lock:
            with suppress(StoreProblem):
                self._doors = await to_thread.run_sync(admission.doors, self.home, _wall_ms(), limiter=self._thread)

    async def _remember_peers(self) -> None:
        async with self._home_lock:
            peers = await to_thread.run_sync(self.home.store.peers, limiter=self._thread)
        for transport in self._transports:
            transport.remember([peer.address for peer in peers if peer.transport != "hub"])  # It is dialled by name.

    async def _reopen(self) -> None:
        """What a power cut left unopened: between a sender's certificate and the message that had waited for it."""
        async with self._home_lock:
            try:
                entries = await to_thread.run_sync(self.home.unopened, limiter=self._thread)
            except StoreProblem as problem:
                self.disk_trouble = str(problem)
                return
            order = ReopenEntries(self.home.roster.devices())
        for at in range(0, len(entries), REOPENED_A_TIME):
            self._post(Reopened(order, entries[at : at + REOPENED_A_TIME]))
            await anyio.lowlevel.checkpoint()

    async def _upkeep(self) -> None:
        while True:
            chores: tuple[Callable[[Home, int], object], ...] = (
                upkeep.renew_certificates,
                upkeep.rotate_prekeys,
                upkeep.expire,
                upkeep.list_feeds,
                upkeep.seal_waiting,
                receipts_due,
            )
            for chore in chores:
                await self._try(upkeep.in_turn, chore, self.home, _wall_ms())
            await anyio.sleep(UPKEEP_S)

    def _count_failures(self) -> None:
        """What the transports refused since the last look. A dial that found nobody is a day's work and not counted."""
        seen = sum((transport.failures for transport in self._transports), Counter[str]())
        for reason in sorted(COUNTED_FAILURES & seen.keys()):
            if more := seen[reason] - self._failures_counted[reason]:
                self._engine.count(reason, more)
                self._failures_counted[reason] += more


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def engine_of(home: Home, frontier: Frontier) -> Engine:
    """A new engine for that home. `frontier`: `frontier_of`."""
    return Engine(
        identity=home.identity,
        roster=home.roster,
        frontier=frontier,
        frozen=home.store.frozen(),
        believed_s=lambda: home.believed_s(_wall_ms()),
        wall_ms=_wall_ms,
        entropy=os.urandom,
        history=home.store.get(HISTORY_NAME) or b"",
    )


def frontier_of(home: Home) -> Frontier:
    """Everything that home has settled, as its engine starts with it."""
    changes = home.store.changed_since(0)
    states = ((log, state, changes.numbers[log]) for log, state in changes.states.items())
    frontier = Frontier(home.store.epoch(), home.roster.names, states, home.store.frozen())
    frontier.upto = changes.version
    return frontier
