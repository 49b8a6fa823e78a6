"""The whole node as one machine: links in, orders out. It routes; what it routes to decides.

    frames -> Links -> Session -> Intake.judge -> ProveRuns -> Intake.take -> Reader -> Commit -> (durable)
        -> Session.ACK, other sessions, receipts

Laws
1. Nothing is acknowledged, passed on or shown before the commit that holds it has succeeded.
2. A commit that fails takes every link down: what the sessions believe is no longer what the disk holds.

A node has one engine; whoever drives it (node.py, a simulator) calls `handle` for each event and then `flush`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    LinkDrained,
    LinkId,
    LinkUp,
    MessageArrived,
    Output,
    PeerLeft,
    ProveForks,
    ProveRuns,
    ReadEntries,
    Reopened,
    ReopenEntries,
    RunsProved,
    SealWaiting,
    SendFrames,
    TellDrained,
    TimeCame,
    WakeAt,
    WriteReceipts,
)
from beepmesh.forks import proves
from beepmesh.intake import Intake
from beepmesh.links import Happened, Links, Said, Welcomed
from beepmesh.messages.entry import Entry, pack
from beepmesh.messages.inbox import Payload
from beepmesh.messages.lifetimes import LANE_URGENT
from beepmesh.proving import Offer, Proof, cut, prove_each
from beepmesh.reading import Reader
from beepmesh.recent import Recent
from beepmesh.store.contract import Batch, Fork, Place, ReadResult
from beepmesh.trust.facts import DEVICE_CERTIFICATE, PREKEY_BUNDLE, Fact
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster
from sync.events import AskDrained, Drained
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
# vouched for him - or have erased their bodies by a clock that ran ahead; where two push the same log at once, each
# builds on what the other one had not sent yet; and signatures may have been spoiled before they came to him.
BLAMELESS: Final = frozenset(
    {"log-frozen", "feed-revoked", "unknown-feed", "certificate-expired", "body-missing", "no-predecessor"}
    | {"signature-spoiled", "fork-unproved"}
)
# What a transport saw and no channel could: these are somebody's fault, the other ends of a link are the field's.
FRAMING_FAULTS: Final = {
    "malformed": "framing-malformed",
    "oversize": "framing-oversized",
    "silent": "handshake-timeout",
}
TRAFFIC_MAX: Final = 256  # Links whose count is kept, ended ones too until somebody asks.
MARKS_MAX: Final = 1_024  # Signatures checked for a push and not yet noted; what is forgotten is checked again.


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
    proved: set[bytes] = field(default_factory=set)
    mended: list[Entry] = field(default_factory=list)

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
            proved=frozenset(self.proved),
            mended=tuple(self.mended),
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
        self._offers: list[tuple[LinkId, Offer]] = []
        self._proving = 0
        self._marks: list[Place] = []
        self._recent = Recent()

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
            case LinkDrained(link):
                return self._to_session(link, Drained(), now)
            case EntriesRead(order, result):
                return self._run_read(order, result, now)
            case RunsProved(order, proofs):
                self._proving -= 1
                settled = zip(order.offers, proofs, strict=True)
                return [output for (link, offer), proof in settled for output in self._settle(link, offer, proof, now)]
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
        """The signatures to check, or else the transaction, that the events since the last one call for, if any."""
        if self._offers:
            offers, self._offers = tuple(self._offers), []
            self._proving += 1
            return [ProveRuns(offers)]
        if self._proving:
            return []
        pending, self._pending = self._pending, _Pending()
        if pending.batch() == _NOTHING:
            return []
        pending.counts += self._uncounted
        self._uncounted.clear()
        self._asked_counts.append(pending.counts)
        marks, self._marks = tuple(self._marks), []
        return [Commit(replace(pending.batch(), prove=marks))]

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
                case AskDrained():
                    outputs.append(TellDrained(link))
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

    def _read(self, link: LinkId, run: ReadRun, now: float) -> list[Output]:
        order = ReadEntries(link, run.log, run.start, run.stop, run.bytes_max, run.with_prev, run.run_bytes_max)
        read = self._recent.read(order)
        return [order] if read is None else self._run_read(order, read, now)

    def _run_read(self, order: ReadEntries, read: ReadResult, now: float) -> list[Output]:
        """Cut into runs that the peer can prove (proving.py)."""
        talk, feed = self._talks.get(order.link), self._roster.feed(order.log.feed)
        if talk is None:
            return []
        packed = tuple(pack(entry) for entry in read.entries)
        whole = order.start + len(packed) == order.stop
        sizes = [len(data) for data in packed]
        public = None if feed is None else feed.public
        runs = cut(public, read, sizes, run_bytes_max=order.run_bytes_max, whole=whole)
        self._recent.mend(runs.proved)
        self._marks += (Place(entry.feed, entry.lane, entry.seq) for entry in runs.proved)
        del self._marks[:-MARKS_MAX]
        gone = read.gone
        if runs.spoiled:
            self.count("signature-spoiled", runs.spoiled)
            gone = gone.add(order.start, order.start + runs.spoiled)
        packed = packed[: runs.ends[-1] if runs.ends else 0]
        talk.traffic.sent += len(packed)
        return self._to_session(order.link, RunRead(order.log, order.start, read.prev, packed, gone, runs.ends), now)

    def _take(self, link: LinkId, talk: _Talk, run: TakeRun, now: float) -> list[Output]:
        talk.traffic.received += len(run.packed)
        try:
            offer = self._intake.judge(run.log, run.start, run.prev, run.packed, self._believed_s())
        except Refused as refused:
            return self._refuse(link, RunDone(run.log, run.start, len(run.packed), taken=False), refused.reason, now)
        if run.log.lane == LANE_URGENT:
            return self._settle(link, offer, prove_each(offer), now)
        self._offers.append((link, offer))
        return []

    def _settle(self, link: LinkId, offer: Offer, proof: Proof, now: float) -> list[Output]:
        """A run whose signatures were checked; its link may have ended meanwhile."""
        log, start, count = offer.log, offer.start, len(offer.entries)
        try:
            taken = self._intake.take(offer, proof, self._believed_s())
        except Refused as refused:
            return self._refuse(link, RunDone(log, start, count, taken=False), refused.reason, now)
        self._pending.counts += taken.counts
        self._pending.entries += taken.entries
        self._pending.entries += taken.overlapping
        self._pending.proved |= taken.proved
        self._pending.mended += taken.mended
        self._pending.facts += taken.facts
        self._pending.forks += taken.forks
        self._taken.append((link, log, start, count))
        for entry in taken.entries:
            if entry.hints and not self._open(entry, None) and entry.lane == LANE_URGENT:
                # Certificates come on lane 0 too, so only here may a message overtake its sender's.
                self._pending.pending_add.append(Place(entry.feed, entry.lane, entry.seq))
        return []

    def _refuse(self, link: LinkId, done: RunDone, reason: str, now: float) -> list[Output]:
        self.count(reason)
        talk = self._talks.get(link)
        if talk is None:
            return []
        talk.refusals += reason not in BLAMELESS
        if talk.refusals > REFUSALS_MAX:
            return self._close(link, "too-many-refusals")
        return self._to_session(link, done, now)

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
        outputs += self._forked(done.result.forks)
        self._remember(done)
        outputs += self._grew(done.result.states, now)
        taken, self._taken = self._taken, []
        for link, log, start, count in taken:
            outputs += self._to_session(link, RunDone(log, start, count, taken=True), now)
        return outputs + self._consequences(done.batch)

    def _forked(self, forks: tuple[Fork, ...]) -> list[Output]:
        """One proof ends a log: whoever signs a hundred contradictions must not make every node write a hundred."""
        if not forks:
            return []
        shown: dict[LogId, Fork] = {}
        for fork in forks:
            feed = self._roster.feed(fork.first.feed)
            if fork.first.log not in shown and feed is not None and proves(fork, feed.public):
                shown[fork.first.log] = fork
        told = sum(fork.first.log in shown for fork in forks)
        self._pending.counts += Counter({"fork": told, "fork-unproved": len(forks) - told})
        return [ProveForks(tuple(shown.values()))] if shown else []

    def _consequences(self, batch: Batch) -> list[Output]:
        outputs: list[Output] = [MessageArrived(payload) for payload in batch.payloads]
        if batch.payloads:
            outputs.append(WriteReceipts())
        if any(fact.kind in (PREKEY_BUNDLE, DEVICE_CERTIFICATE) for fact in batch.facts):
            outputs.append(SealWaiting())
        newcomers = tuple(fact.feed for fact in batch.facts if fact.kind == DEVICE_CERTIFICATE)
        if newcomers:
            outputs.append(ReopenEntries(newcomers))
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

    def _remember(self, done: BatchCommitted) -> None:
        """What is new, before `_states` says so: where something was held or a log has forked, the store knows best."""
        forked = {fork.first.log for fork in done.result.forks}
        fresh: list[Entry] = []
        for entry in done.batch.entries:
            known = self._states.get(entry.log)
            if entry.log not in forked and (known is None or entry.seq not in known.settled):
                fresh.append(entry)
        self._recent.keep(fresh, done.batch.proved)
        self._recent.mend(done.batch.mended)

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
