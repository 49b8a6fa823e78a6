"""Engines driven by hand: nodes without a shell, links as queues, time that moves when it is told to.

Everything happens in the order in which `Mesh.run` picks it: by default the oldest frame first, or any order that a
test chooses. Nodes are real engines over the reference store; a member who says whatever a test wants is in speaker.py.

A node does with orders what the shell does: in their order, answering the store's at once - or, with `withholds`, only
when the test says how it went.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from beepmesh import desk, upkeep
from beepmesh.asking import answer
from beepmesh.author import control_draft, feed_certificate_draft
from beepmesh.channel import Door
from beepmesh.config import Config
from beepmesh.engine import Engine
from beepmesh.events import (
    Admit,
    BatchCommitted,
    BatchFailed,
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
    ProveRuns,
    ReadCrowds,
    ReadEntries,
    RecallPeer,
    RenewEpoch,
    ReopenEntries,
    SealWaiting,
    SendFrames,
    TellDrained,
    TimeCame,
    Told,
    WakeAt,
    WriteReceipts,
)
from beepmesh.forks import fork_statement
from beepmesh.home import Home, first_statements
from beepmesh.messages.entry import Entry
from beepmesh.receipts import receipts_due
from beepmesh.safe import MemorySafe
from beepmesh.shell import HISTORY_NAME, frontier_of
from beepmesh.store.contract import Batch, Statement, Store
from beepmesh.store.memory import MemoryStore
from beepmesh.trust.facts import PREKEY_BUNDLE, prekey_bundle_data
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster
from sync.logs import LogId
from tests.trust.village import NOW_S, Entropy, Village

NOW_MS = NOW_S * 1_000
FRAME_BYTES_MAX = 65_535
QUIET_S = 2.0  # Longer than an ACK is delayed, shorter than a handshake may take.
STEPS_MAX = 200_000

T = TypeVar("T")
Pick = Callable[[int], int]
"""Which of so many things that could happen next does."""


class MemoryHome(Home):
    """A home without a folder: the desk's acts work on it as they do on a real one."""

    def __init__(self, identity: Identity, store: Store, roster: Roster | None = None) -> None:
        super().__init__(Path("memory"), MemorySafe(identity), store, Config(), roster=roster, alone=True)

    @classmethod
    def moved_in(cls, identity: Identity, entropy: Entropy, now_ms: int = NOW_MS) -> MemoryHome:
        """With its own first entries, as `Home.admit` writes them."""
        ring, bundle = identity.prekeys.rotate(now_ms // 1_000, identity.device_key, entropy)
        home = cls(identity.with_prekeys(ring), MemoryStore())
        device, feed = first_statements(identity)
        prekey = Statement(PREKEY_BUNDLE, prekey_bundle_data(bundle.encode()))
        drafts = (control_draft(device, identity), control_draft(prekey, identity), feed_certificate_draft(feed))
        home.commit(Batch(drafts=drafts), now_ms)
        return home


class End(Protocol):
    """Whoever is at one end of a cable."""

    def on_frame(self, link: int, frame: bytes) -> None: ...

    def on_drained(self, link: int) -> None: ...

    def on_down(self, link: int) -> None: ...


@dataclass(eq=False)
class Cable:
    """A link: frames under way to either end, and whether an end has hung up or somebody cut it."""

    ends: tuple[End, End]
    numbers: tuple[int, int]
    queues: tuple[deque[bytes | None], deque[bytes | None]] = field(default_factory=lambda: (deque(), deque()))
    """Towards the first end, and towards the second. None: whoever sends there hears that all before it has left."""
    ending: list[bool] = field(default_factory=lambda: [False, False])
    """Towards an end: whether nothing follows what is in its queue."""
    down: list[bool] = field(default_factory=lambda: [False, False])
    frames_sent: int = 0
    bytes_sent: int = 0

    def send(self, link: int, frames: Iterable[bytes]) -> None:
        towards = 1 - self.numbers.index(link)
        for frame in frames:
            if not self.ending[towards] and not self.down[1 - towards]:
                self.frames_sent += 1
                self.bytes_sent += len(frame)
                self.queues[towards].append(frame)

    def tell_drained(self, link: int) -> None:
        towards = 1 - self.numbers.index(link)
        if not self.ending[towards]:
            self.queues[towards].append(None)

    def hang_up(self, link: int) -> None:
        side = self.numbers.index(link)
        self.ending = [True, True]
        self.queues[side].clear()

    def cut(self) -> None:
        """What was under way is lost."""
        self.ending = [True, True]
        for queue in self.queues:
            queue.clear()

    def ready(self) -> list[int]:
        return [side for side in (0, 1) if self.queues[side] or (self.ending[side] and not self.down[side])]

    def deliver(self, side: int) -> None:
        end, number = self.ends[side], self.numbers[side]
        if self.queues[side]:
            frame = self.queues[side].popleft()
            if frame is None:
                self.ends[1 - side].on_drained(self.numbers[1 - side])
            else:
                end.on_frame(number, frame)
        else:
            self.down[side] = True
            end.on_down(number)


class Mesh:
    """An organisation, its nodes, the cables between them and the one clock they share."""

    def __init__(self, *names: str) -> None:
        self.village = Village()
        self.now = 0.0
        self.cables: list[Cable] = []
        self._links = 0
        self.nodes = [self.node(name) for name in names]

    def node(self, name: str) -> EngineNode:
        """A member's node: the organisation's first is headquarters itself."""
        return EngineNode(self, MemoryHome.moved_in(self.identity(name), Entropy(f"prekeys of {name}")))

    def identity(self, name: str) -> Identity:
        return self.village.hq if name == "Headquarters" else self.village.admit(name)

    @property
    def wall_ms(self) -> int:
        return NOW_MS + round(self.now * 1_000)

    def number(self) -> int:
        self._links += 1
        return self._links

    def connect(self, dialler: EngineNode, accepter: EngineNode, transport: str = "memory") -> Cable:
        """A link that the first one dialled. Nothing has been said on it yet but the first frame."""
        cable = Cable((dialler, accepter), (self.number(), self.number()))
        self.cables.append(cable)
        for end, number, dialled in ((dialler, cable.numbers[0], True), (accepter, cable.numbers[1], False)):
            end.plug(cable, number, transport, dialled=dialled)
        return cable

    def happenings(self) -> list[Callable[[], None]]:
        """What could happen now."""
        self.cables = [cable for cable in self.cables if not all(cable.down)]
        found: list[Callable[[], None]] = []
        for cable in self.cables:
            found += [partial(cable.deliver, side) for side in cable.ready()]
        return found

    def pass_time(self, until: float = float("inf")) -> bool:
        """Up to when the next node wants to be woken; False if none does until then."""
        wakes = [node.wake_at for node in self.nodes if node.wake_at is not None and node.wake_at <= until]
        if wakes:
            self.now = max(self.now, min(wakes))
            for node in self.nodes:
                node.tick()
        return bool(wakes)

    def run(self, pick: Pick = lambda _: 0, *, seconds: float = QUIET_S) -> None:
        """Until nothing is under way and no node wants to be woken for so many seconds."""
        until = self.now + seconds
        for _ in range(STEPS_MAX):
            able = self.happenings()
            if able:
                able[pick(len(able))]()
                continue
            if not self.pass_time(until):
                self.now = until
                return
        raise AssertionError("the nodes never fall silent")


class EngineNode:
    """One engine and its home."""

    def __init__(self, mesh: Mesh, home: MemoryHome) -> None:
        self.mesh = mesh
        self.home = home
        self.told: list[Told] = []
        self.outputs: list[Output] = []
        """Everything that the engine ever ordered."""
        self.wake_at: float | None = None
        self.withholds = False
        """Whether a commit waits for `release` or `fail`."""
        self.disk_full = False
        self.stored: Callable[[Commit], BatchCommitted | None] = self.store_batch
        """What the disk does with a commit; None: it fails."""
        self._stalled: deque[Output] = deque()
        self._inputs: deque[Input] = deque()
        self._cables: dict[int, Cable] = {}
        self._busy = False
        home.refresh()
        self.engine = Engine(
            identity=home.identity,
            roster=home.roster,
            frontier=frontier_of(home),
            frozen=home.store.frozen(),
            believed_s=lambda: home.believed_s(mesh.wall_ms),
            wall_ms=lambda: mesh.wall_ms,
            entropy=Entropy(f"links of {home.identity.name}"),
        )

    # What a test asks.

    @property
    def name(self) -> str:
        return self.home.identity.name

    @property
    def device(self) -> bytes:
        return self.home.identity.device

    @property
    def counts(self) -> dict[str, int]:
        return {reason: count.count for reason, count in self.home.store.counts().items()}

    def arrived(self) -> list[bytes]:
        """Message ids in the order in which they were told, repeats included."""
        return [told.payload.message_id for told in self.told if isinstance(told, MessageArrived)]

    def texts(self) -> list[str]:
        return [shown.text for shown in self.inbox().messages]

    def inbox(self, *, mark_read: bool = False) -> desk.Inbox:
        return self.act(lambda: desk.inbox(self.home, mark_read=mark_read, now_ms=self.mesh.wall_ms))

    def state_of(self, message: str) -> list[str]:
        return [line.state for line in desk.show(self.home, message, now_ms=self.mesh.wall_ms).lines]

    def send(self, who: str, text: str, *, priority: str = "routine") -> str:
        now_ms = self.mesh.wall_ms
        return self.act(lambda: desk.send(self.home, who, text, priority=priority, now_ms=now_ms)).id

    def held(self, log: LogId) -> list[Entry]:
        state = self.home.store.states().get(log)
        found = (self.home.store.entry(log, seq) for seq in range(state.settled.top if state else 0))
        return [entry for entry in found if entry is not None]

    def commits(self) -> list[Batch]:
        return [output.batch for output in self.outputs if isinstance(output, Commit)]

    # What happens to it.

    def plug(self, cable: Cable, link: int, transport: str = "memory", *, dialled: bool) -> None:
        self._cables[link] = cable
        psks = self.home.identity.link_psks
        doors = tuple(Door(psk, None) for psk in (psks[:1] if dialled else psks))
        self.give(LinkUp(link, dialled, transport, str(link), FRAME_BYTES_MAX, doors))

    def on_frame(self, link: int, frame: bytes) -> None:
        self.give(FrameReceived(link, frame))

    def on_drained(self, link: int) -> None:
        self.give(LinkDrained(link))

    def on_down(self, link: int) -> None:
        self.give(LinkDown(link))

    def tick(self) -> None:
        """As the shell does: one wish to be woken is kept, the earliest."""
        if self.wake_at is not None and self.wake_at <= self.mesh.now:
            self.wake_at = None
            self.give(TimeCame())

    def act(self, function: Callable[[], T]) -> T:
        """An act of the desk, and what the engine makes of it."""
        result = function()
        fresh = self.home.refresh()
        if fresh.identity_changed:
            self.engine.renew(self.home.identity)
        if fresh.states:
            self.give(HomeChanged(fresh.states, fresh.version))
        return result

    def give(self, *events: Input) -> None:
        """These, in one round."""
        self._inputs.extend(events)
        if self._busy or self._stalled:
            return
        self._busy = True
        try:
            while self._inputs and not self._stalled:
                round_of = list(self._inputs)
                self._inputs.clear()
                outputs = [output for event in round_of for output in self.engine.handle(event, self.mesh.now)]
                self._perform(deque([*outputs, *self.engine.flush()]))
        finally:
            self._busy = False

    def release(self) -> None:
        """The commit that waits succeeds."""
        self._go_on(lambda order: self.stored(order) or BatchFailed("full"))

    def fail(self, reason: str = "full") -> None:
        """The commit that waits fails."""
        self._go_on(lambda _: BatchFailed(reason))

    @property
    def waiting(self) -> Batch | None:
        """What the commit that waits holds."""
        first = self._stalled[0] if self._stalled else None
        return first.batch if isinstance(first, Commit) else None

    def _go_on(self, answer: Callable[[Commit], Input]) -> None:
        order = self._stalled.popleft()
        assert isinstance(order, Commit)
        orders, self._stalled = self._stalled, deque()
        self._busy = True
        try:
            self._answered(orders, answer(order))
            self._perform(orders)
        finally:
            self._busy = False
        self.give()

    def _perform(self, orders: deque[Output]) -> None:
        self.outputs += orders
        while orders:
            order = orders.popleft()
            match order:
                case Commit() if self.withholds:
                    orders.appendleft(order)
                    self._stalled = orders
                    return
                case Commit():
                    self._answered(orders, (None if self.disk_full else self.stored(order)) or BatchFailed("full"))
                case ReadEntries() | ReadCrowds() | ProveRuns() | RecallPeer() | ReopenEntries():
                    self._answered(orders, answer(self.home, order, self.mesh.wall_ms))
                case RenewEpoch():
                    self.engine.renew_epoch(self.home.store.renew_epoch())
                case SendFrames(link, frames):
                    self._cables[link].send(link, frames)
                case TellDrained(link):
                    self._cables[link].tell_drained(link)
                case HangUp(link):
                    self._cables[link].hang_up(link)
                case WakeAt(when):
                    self.wake_at = when if self.wake_at is None else min(when, self.wake_at)
                case WriteReceipts() | SealWaiting() | ListFeeds() | ProveForks():
                    self._chore(order)
                case PeerJoined() | PeerLeft() | MessageArrived() | MessageDelivered() | LevelReached() | JoinDecided():
                    self.told.append(order)
                case KeepHistory(data):
                    self.home.store.put(HISTORY_NAME, data)
                case Admit():
                    raise AssertionError("nobody joins here")

    def _answered(self, orders: deque[Output], answer: Input) -> None:
        more = [*self.engine.handle(answer, self.mesh.now), *self.engine.flush()]
        self.outputs += more
        orders.extend(more)

    def store_batch(self, order: Commit) -> BatchCommitted:
        """As the shell does it."""
        home = self.home
        done = home.store.commit(order.batch, keys=home.keys(), now_ms=home.dated_ms(self.mesh.wall_ms))
        return BatchCommitted(order.batch, done)

    def _chore(self, order: WriteReceipts | SealWaiting | ListFeeds | ProveForks) -> None:
        now_ms = self.mesh.wall_ms
        match order:
            case WriteReceipts():
                self.act(lambda: receipts_due(self.home, now_ms))
            case SealWaiting():
                self.act(lambda: upkeep.seal_waiting(self.home, now_ms))
            case ListFeeds():
                self.act(lambda: upkeep.list_feeds(self.home, now_ms))
            case ProveForks(forks):
                identity = self.home.identity
                drafts = tuple(control_draft(fork_statement(fork), identity) for fork in forks)
                self.act(lambda: self.home.commit(Batch(drafts=drafts), now_ms))


def all_counts(nodes: Iterable[EngineNode]) -> Counter[str]:
    return sum((Counter(node.counts) for node in nodes), Counter())
