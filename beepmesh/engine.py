"""The whole node as one machine: links in, orders out. It routes; what it routes to decides.

    frames -> Links -> Session -> Intake -> Reader -> Commit -> (durable) -> Session.ACK, other sessions, receipts

Laws
1. Nothing is acknowledged, passed on or shown before the commit that holds it has succeeded.
2. A commit that fails takes every link down: what the sessions believe is no longer what the disk holds.

A node has one engine; whoever drives it (node.py, a simulator) calls `handle` for each event and then `flush`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

from beepmesh.channel import RECORD_BYTES_MAX
from beepmesh.errors import Refused
from beepmesh.events import (
    AdmissionDecided,
    BatchCommitted,
    BatchFailed,
    Commit,
    EntriesRead,
    FrameReceived,
    HomeChanged,
    Input,
    LevelReached,
    LinkDown,
    LinkId,
    LinkUp,
    ListFeeds,
    MessageArrived,
    Output,
    PeerLeft,
    ProveForks,
    ReadEntries,
    Reopened,
    ReopenEntries,
    SealWaiting,
    SendFrames,
    TimeCame,
    WakeAt,
    WriteReceipts,
)
from beepmesh.intake import Intake
from beepmesh.links import Happened, Links, Said, Welcomed
from beepmesh.messages.entry import Entry, pack
from beepmesh.messages.inbox import Payload
from beepmesh.messages.lifetimes import LANE_URGENT
from beepmesh.reading import Reader
from beepmesh.store.contract import Batch, Fork, Place, ReadResult
from beepmesh.trust.facts import DEVICE_CERTIFICATE, PREKEY_BUNDLE, Fact
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster
from sync.logs import LogId, LogState, RootSum
from sync.ranges import Ranges
from sync.session import (
    Hangup,
    Level,
    LogsGrew,
    PeerSettled,
    ReadRun,
    RecordReceived,
    RunDone,
    RunRead,
    Send,
    Session,
    Started,
    TakeRun,
)
from sync.session import Input as SessionInput
from sync.session import Output as SessionOutput
from sync.session import TimeCame as SessionTimeCame
from sync.session import WakeAt as SessionWakeAt

REFUSALS_MAX: Final = 64  # Runs refused on one link before it is closed: a peer that checks would have refused them.
# Except for these: a peer may have taken such entries before it could know - that the author was put out, or whoever
# vouched for him - or have erased their bodies by a clock that ran ahead; and where two push the same log at once, each
# builds on what the other one had not sent yet.
BLAMELESS: Final = frozenset(
    {"log-frozen", "feed-revoked", "unknown-feed", "certificate-expired", "body-missing", "no-predecessor"}
)
# What a transport saw and no channel could: these are somebody's fault, the other ends of a link are the field's.
FRAMING_FAULTS: Final = {
    "malformed": "framing-malformed",
    "oversize": "framing-oversized",
    "silent": "handshake-timeout",
}
TRAFFIC_MAX: Final = 256  # Links whose count is kept, ended ones too until somebody asks.
ENTRY_BYTES: Final = 1_024  # What an entry takes here beside its body, so that empty ones are bounded too.
RECENT_BYTES_MAX: Final = 2 * 1024 * 1024  # Entries just committed, kept so that passing them on reads no disk.


@dataclass(slots=True)
class _Pending:
    """What the next commit will hold."""

    entries: list[Entry] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    forks: list[Fork] = field(default_factory=list)
    pending_add: list[Place] = field(default_factory=list)
    pending_remove: list[Place] = field(default_factory=list)
    peer_settled: dict[tuple[bytes, LogId], Ranges] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def batch(self) -> Batch:
        return Batch(
            entries=tuple(self.entries),
            facts=tuple(self.facts),
            payloads=tuple(self.payloads),
            forks=tuple(self.forks),
            pending_add=tuple(self.pending_add),
            pending_remove=tuple(self.pending_remove),
            peer_settled=tuple((device, log, settled) for (device, log), settled in self.peer_settled.items()),
            counts=dict(self.counts),
        )


_NOTHING: Final = Batch()


@dataclass(slots=True)
class EntryTraffic:
    """Entries that passed on one link, repeats included."""

    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class _Talk:
    """One session, when it wants to be woken, how often it was refused something, what passed."""

    session: Session
    traffic: EntryTraffic
    wake: float | None = None
    refusals: int = 0


class Engine:
    """See the laws above. Clocks and randomness are the shell's: `believed_s`, `wall_ms`, `entropy`."""

    def __init__(
        self,
        *,
        identity: Identity,
        roster: Roster,
        states: dict[LogId, LogState],
        frozen: set[LogId],
        believed_s: Callable[[], int],
        wall_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._identity = identity
        self._roster = roster
        self._states = states
        self._root = RootSum(states.items())
        self._links = Links(identity, roster, believed_s=believed_s, entropy=entropy, count=self.count)
        self._intake = Intake(states, frozen, roster, identity.control_keys)
        self._reader = Reader(identity, roster)
        self._believed_s = believed_s
        self._wall_ms = wall_ms
        self._talks: dict[LinkId, _Talk] = {}
        self._traffic: dict[LinkId, EntryTraffic] = {}
        self._pending = _Pending()
        self._asked_counts: deque[Counter[str]] = deque()
        # Counts of commits that failed. They alone are no reason for another one, which would fail as well.
        self._uncounted: Counter[str] = Counter()
        self._taken: list[tuple[LinkId, LogId, int, int]] = []
        self._recent: OrderedDict[tuple[LogId, int], Entry] = OrderedDict()
        self._recent_bytes = 0

    @property
    def peers(self) -> dict[bytes, LinkUp]:
        """Members at the other end of a link now."""
        return self._links.peers

    def take_traffic(self, link: LinkId) -> EntryTraffic:
        """What passed on that link; for one that has ended, only once."""
        if link in self._talks:
            return self._traffic.get(link, EntryTraffic())
        return self._traffic.pop(link, EntryTraffic())

    def renew(self, identity: Identity) -> None:
        """Prekeys have been rotated, or secrets added."""
        self._identity = identity
        self._links.renew(identity)
        self._reader.renew(identity)

    def handle(self, event: Input, now: float) -> list[Output]:
        """One event; the orders it leads to."""
        match event:
            case LinkUp():
                return self._links.up(event, now)
            case FrameReceived(link, frame):
                return self._happened(self._links.frame(link, frame), now)
            case LinkDown(link, broken):
                if broken in FRAMING_FAULTS:
                    self.count(FRAMING_FAULTS[broken])
                self._talks.pop(link, None)
                return self._links.forget(link)
            case EntriesRead(order, result):
                return self._run_read(order.link, order.log, order.start, result, now)
            case BatchCommitted():
                return self._committed(event, now)
            case BatchFailed(reason):
                self._uncounted += self._asked_counts.popleft()
                self._intake.committed()
                self._taken = []
                self._talks.clear()
                return self._links.close_all(f"store-{reason}")
            case HomeChanged(states):
                return self._grew({log: state for log, state in states.items() if self._is_news(log, state)}, now)
            case Reopened(order, results):
                return self._reopened(order, [entry for result in results for entry in result.entries])
            case AdmissionDecided(link, record):
                frames = self._links.seal_owner(link, record)
                return [SendFrames(link, tuple(frames)), *self._close(link, "admission-over")]
            case TimeCame():
                return self._time_came(now)
            case _:
                assert_never(event)

    def flush(self) -> list[Output]:
        """The transaction that the events since the last one call for, if any."""
        pending, self._pending = self._pending, _Pending()
        if pending.batch() == _NOTHING:
            return []
        pending.counts += self._uncounted
        self._uncounted.clear()
        self._asked_counts.append(pending.counts)
        return [Commit(pending.batch())]

    def count(self, reason: str, times: int = 1) -> None:
        """Something was refused or dropped; it is written with the next commit."""
        self._pending.counts[reason] += times

    # Sessions: records in, runs out.

    def _happened(self, happened: list[Happened], now: float) -> list[Output]:
        outputs: list[Output] = []
        for event in happened:
            match event:
                case Welcomed(link):
                    session = Session(self._states, record_bytes_max=RECORD_BYTES_MAX, root=lambda: self._root.root)
                    while len(self._traffic) >= TRAFFIC_MAX:
                        del self._traffic[next(iter(self._traffic))]
                    self._talks[link] = _Talk(session, self._traffic.setdefault(link, EntryTraffic()))
                    outputs += self._to_session(link, Started(), now)
                case Said(link, data):
                    outputs += self._to_session(link, RecordReceived(data), now)
                case PeerLeft(link):
                    self._talks.pop(link, None)
                    outputs.append(event)
                case _:
                    outputs.append(event)
        return outputs

    def _close(self, link: LinkId, reason: str) -> list[Output]:
        self._talks.pop(link, None)
        return self._links.close(link, reason)

    def _to_session(self, link: LinkId, event: SessionInput, now: float) -> list[Output]:
        talk = self._talks.get(link)
        return [] if talk is None else self._perform(link, talk, talk.session.handle(event, now), now)

    def _perform(self, link: LinkId, talk: _Talk, orders: list[SessionOutput], now: float) -> list[Output]:
        # Sealed first and together: what the session says now comes before what its reads, answered here, lead to.
        frames = self._links.seal(link, [order.data for order in orders if isinstance(order, Send)])
        outputs: list[Output] = [SendFrames(link, tuple(frames))] if frames else []
        for order in orders:
            match order:
                case Send():
                    pass
                case ReadRun():
                    outputs += self._read(link, order, now)
                case TakeRun():
                    outputs += self._take(link, talk, order, now)
                case PeerSettled(log, settled):
                    if log.feed in (self._identity.feed, self._identity.device):
                        self._pending.peer_settled[(self._links.device(link), log)] = settled
                case Level():
                    outputs.append(LevelReached(link))
                case SessionWakeAt(when):
                    talk.wake = when
                    outputs.append(WakeAt(when))
                case Hangup(reason):
                    outputs += self._close(link, reason)
                case _:
                    assert_never(order)
        return outputs

    def _read(self, link: LinkId, order: ReadRun, now: float) -> list[Output]:
        """From memory if it was committed a moment ago, else from the disk."""
        entries: list[Entry] = []
        total = 0
        for seq in range(order.start, order.stop):
            entry = self._recent.get((order.log, seq))
            if entry is None:
                return [ReadEntries(link, order.log, order.start, order.stop, order.bytes_max, order.with_prev)]
            total += entry.body_bytes
            if entries and total > order.bytes_max:
                break
            entries.append(entry)
        prev = entries[0].prev if order.with_prev and order.start else None
        return self._run_read(link, order.log, order.start, ReadResult(prev, tuple(entries), Ranges()), now)

    def _run_read(self, link: LinkId, log: LogId, start: int, read: ReadResult, now: float) -> list[Output]:
        talk = self._talks.get(link)
        if talk is None:
            return []
        talk.traffic.sent += len(read.entries)
        packed = tuple(pack(entry) for entry in read.entries)
        return self._to_session(link, RunRead(log, start, read.prev, packed, read.gone), now)

    def _take(self, link: LinkId, talk: _Talk, run: TakeRun, now: float) -> list[Output]:
        talk.traffic.received += len(run.packed)
        try:
            taken = self._intake.take(run.log, run.start, run.prev, run.packed, self._believed_s())
        except Refused as refused:
            self.count(refused.reason)
            talk.refusals += refused.reason not in BLAMELESS
            if talk.refusals > REFUSALS_MAX:
                return self._close(link, "too-many-refusals")
            return self._to_session(link, RunDone(run.log, run.start, len(run.packed), taken=False), now)
        self._pending.counts += taken.counts
        self._pending.entries += taken.entries
        self._pending.entries += taken.overlapping
        self._pending.facts += taken.facts
        self._pending.forks += taken.forks
        self._taken.append((link, run.log, run.start, len(run.packed)))
        for entry in taken.entries:
            if entry.hints and not self._open(entry, None) and entry.lane == LANE_URGENT:
                # Certificates come on lane 0 too, so only here may a message overtake its sender's.
                self._pending.pending_add.append(Place(entry.feed, entry.lane, entry.seq))
        return []

    def _open(self, entry: Entry, senders: list[bytes] | None) -> bool:
        try:
            payload = self._reader.open(entry, self._wall_ms(), senders)
        except Refused as refused:
            self.count(refused.reason)
            return False
        if payload is not None:
            self._pending.payloads.append(payload)
        return payload is not None

    # Commits: what becomes of a batch.

    def _committed(self, done: BatchCommitted, now: float) -> list[Output]:
        self._asked_counts.popleft()
        self._intake.committed()
        outputs: list[Output] = []
        for fork in (*done.batch.forks, *done.result.forks):
            self._intake.freeze(fork.first.log)
        forked = {fork.first.log: fork for fork in reversed(done.result.forks)}
        if forked:
            self._pending.counts["fork"] += len(done.result.forks)
            # One proof ends a log: whoever signs a hundred contradictions must not make every node write a hundred.
            outputs.append(ProveForks(tuple(forked.values())))
        for entry in done.batch.entries:
            if entry.log not in forked:  # Of these the store has kept what it held before.
                self._remember(entry)
        outputs += self._grew(done.result.states, now)
        taken, self._taken = self._taken, []
        for link, log, start, count in taken:
            outputs += self._to_session(link, RunDone(log, start, count, taken=True), now)
        return outputs + self._consequences(done.batch)

    def _consequences(self, batch: Batch) -> list[Output]:
        outputs: list[Output] = [MessageArrived(payload) for payload in batch.payloads]
        if batch.payloads:
            outputs.append(WriteReceipts())
        if any(fact.kind in (PREKEY_BUNDLE, DEVICE_CERTIFICATE) for fact in batch.facts):
            outputs.append(SealWaiting())
        newcomers = tuple(fact.feed for fact in batch.facts if fact.kind == DEVICE_CERTIFICATE)
        if newcomers:
            outputs.append(ReopenEntries(newcomers))
            if self._roster.keeps_list(self._identity.device):
                outputs.append(ListFeeds())
        return outputs

    def _grew(self, states: dict[LogId, LogState], now: float) -> list[Output]:
        for log, state in states.items():
            self._root.replace(log, self._states.get(log), state)
            self._states[log] = state
        outputs: list[Output] = []
        if any(log.lane == LANE_URGENT for log in states):
            for link in self._links.revoked:
                outputs += self._close(link, "certificate-revoked")
        if states:
            for link in self._links.proved:
                outputs += self._to_session(link, LogsGrew(tuple(states)), now)
        return outputs

    def _is_news(self, log: LogId, state: LogState) -> bool:
        """Whether it holds more than we know: what was read before our last commit may be told after it."""
        known = self._states.get(log)
        return known is None or bool(state.settled.minus(known.settled))

    def _remember(self, entry: Entry) -> None:
        if (entry.log, entry.seq) in self._recent:
            return
        self._recent[(entry.log, entry.seq)] = entry
        self._recent_bytes += ENTRY_BYTES + entry.body_bytes
        while self._recent_bytes > RECENT_BYTES_MAX:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= ENTRY_BYTES + oldest.body_bytes

    def _reopened(self, order: ReopenEntries, entries: list[Entry]) -> list[Output]:
        for entry in entries:
            if self._open(entry, list(order.devices)):
                self._pending.pending_remove.append(Place(entry.feed, entry.lane, entry.seq))
        return []

    def _time_came(self, now: float) -> list[Output]:
        outputs = self._links.overdue(now)
        for link, talk in list(self._talks.items()):
            if talk.wake is not None and now >= talk.wake:
                talk.wake = None
                outputs += self._to_session(link, SessionTimeCame(), now)
        # The shell keeps one wish to be woken, and has just used it up: whoever waits for later says so again.
        wakes = [talk.wake for talk in self._talks.values() if talk.wake is not None]
        soonest = min([*wakes, self._links.next_deadline])
        return [*outputs, WakeAt(soonest)] if soonest < float("inf") else outputs
