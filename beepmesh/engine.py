"""The whole node as one machine: links in, orders out. It routes; what it routes to decides.

    frames -> Links -> Session -> Intake.judge -> ProveRuns -> Intake.take -> Reader -> Commit -> (durable)
        -> Session.ACK, other sessions, receipts; tokens go past the proving and the reading

Laws
1. Nothing is acknowledged, passed on or shown before the commit that holds it has succeeded.
2. A commit that fails takes every link down: what the sessions believe is no longer what the disk holds.

A node has one engine; whoever drives it (node.py, a simulator) calls `handle` for each event and then `flush`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import assert_never

from beepmesh.carrying import Carrying
from beepmesh.errors import Refused
from beepmesh.events import (
    CARRIED,
    AdmissionDecided,
    BatchCommitted,
    BatchFailed,
    Commit,
    CrowdsRead,
    EntriesRead,
    FrameReceived,
    HomeChanged,
    Input,
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
    PeerLeft,
    PeerRecalled,
    ProveForks,
    ProveRuns,
    ReadCrowds,
    ReadEntries,
    RecallPeer,
    RenewEpoch,
    Reopened,
    ReopenEntries,
    RunCarried,
    RunsProved,
    SealWaiting,
    SendFrames,
    TellDrained,
    TimeCame,
    WakeAt,
    WriteReceipts,
)
from beepmesh.forks import one_of_each
from beepmesh.gathering import Pending
from beepmesh.giving import Giving
from beepmesh.intake import BLAMELESS, REFUSALS_MAX, Intake
from beepmesh.links import Happened, Links, Said, Viewed, Welcomed
from beepmesh.messages.entry import Entry
from beepmesh.messages.lifetimes import LANE_URGENT
from beepmesh.messages.token import is_token
from beepmesh.proving import Offer, Proof, prove_each
from beepmesh.rationing import VIEW_AGE_S, Rationing
from beepmesh.reading import NOBODY, Reader
from beepmesh.store.contract import Fork, Place, ReadResult
from beepmesh.talks import EntryTraffic, Talk, Talks
from beepmesh.trust.facts import DEVICE_CERTIFICATE, PREKEY_BUNDLE
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster
from beepmesh.watching import Watcher
from sync.frontier import Frontier
from sync.logs import LogId, LogState
from sync.session import (
    AskDrained,
    Drained,
    Hangup,
    Level,
    LogsGrew,
    Noticed,
    PeerSettled,
    PeerTook,
    ReadRun,
    RecordReceived,
    RunDone,
    Send,
    SourceFree,
    TakeRun,
    Weighed,
)
from sync.session import Input as SessionInput
from sync.session import Output as SessionOutput
from sync.session import TimeCame as SessionTimeCame
from sync.session import WakeAt as SessionWakeAt


class Engine:
    """See the laws above. Clocks and randomness are the shell's: `believed_s`, `wall_ms`, `entropy`."""

    def __init__(
        self,
        *,
        identity: Identity,
        roster: Roster,
        frontier: Frontier,
        frozen: set[LogId],
        believed_s: Callable[[], int],
        wall_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
        writers: Mapping[bytes, bytes] = NOBODY,
        watcher: Watcher | None = None,
        history: bytes = b"",
    ) -> None:
        """`writers`: the devices (16 B) that are known to write these feeds. `history`: as `KeepHistory` told it."""
        self._identity = identity
        self._roster = roster
        self._frontier = frontier
        self._links = Links(identity, roster, believed_s=believed_s, entropy=entropy, count=self.count)
        self._intake = Intake(frontier.states, frozen, roster, identity.control_keys)
        self._reader = Reader(identity, roster, writers)
        self._watcher = watcher
        self._believed_s = believed_s
        self._wall_ms = wall_ms
        # Of what is held only tokens stand under a feed that nobody writes: they wait for alerts and certificates.
        self._talks = Talks(
            frontier,
            (identity.feed, identity.device),
            later=lambda log: not roster.vouches(log.feed),
            withholds=lambda link, log, start, stop: self._rationing.withheld(link, log, start, stop, self._now),
        )
        self._pending = Pending()
        self._asked_counts: deque[Counter[str]] = deque()
        # Counts of commits that failed. They alone are no reason for another one, which would fail as well.
        self._uncounted: Counter[str] = Counter()
        self._taken: list[tuple[LinkId, LogId, int, int]] = []
        self._offers: list[tuple[LinkId, Offer]] = []
        self._proving = 0
        self._giving = Giving(roster)
        self.carrying = Carrying(history)
        self._rationing = Rationing(self.carrying, identity.feed, roster.crowds)
        self.metered = self._rationing.metered
        self._now = 0.0

    @property
    def upto(self) -> int:
        """The change number of this home up to which nothing is missing here."""
        return self._frontier.upto

    @property
    def peers(self) -> dict[bytes, LinkUp]:
        """Members at the other end of a link now."""
        return self._links.peers

    def take_traffic(self, link: LinkId) -> EntryTraffic:
        """What passed on that link; for one that has ended, only once."""
        return self._talks.take_traffic(link)

    def renew_epoch(self, epoch: int) -> None:
        """Our change numbers begin to mean something else: a peer has heard more of them than our disk knows."""
        self._frontier.epoch = epoch

    def farewell(self) -> list[Output]:
        """The node stops: what is to be written before."""
        for link in self._talks:
            self._end_talk(link)
        self._offers.clear()  # Not acknowledged: they come again.
        return [*self.flush(), KeepHistory(self.carrying.encode(self._now))]

    def renew(self, identity: Identity) -> None:
        """Prekeys have been rotated, or secrets added."""
        self._identity = identity
        self._links.renew(identity)
        self._reader.renew(identity)

    def handle(self, event: Input, now: float) -> list[Output]:
        """One event; the orders it leads to."""
        self._now = now
        match event:
            case LinkUp():
                return self._links.up(event, now)
            case FrameReceived(link, frame):
                return self._happened(self._links.frame(link, frame), now)
            case LinkDown(link, broken):
                self._end_talk(link)
                return [*self._links.down(link, broken), *self._shared(now)]
            case PeerRecalled(order, memory):
                first = self._talks.recalled(order.link, memory, now)
                return [output for event in first for output in self._to_session(order.link, event, now)]
            case LinkDrained(link):
                return self._to_session(link, Drained(), now)
            case EntriesRead(order, result):
                return self._run_read(order, result, now)
            case CrowdsRead(order, crowds):
                self._rationing.tagged(order.spans, crowds)
                return self._to_session(order.link, Weighed(), now)
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
                self._talks.close_all()
                return self._links.close_all(f"store-{reason}")
            case HomeChanged(states, version):
                # What was read before our last commit may be told after it.
                news = {log: state for log, state in states.items() if state.settled.minus(self._frontier.settled(log))}
                return self._grew(news, version, now, complete=True)
            case RunCarried(run):
                return self._take(CARRIED, run, now)
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
        if self._proving or self._pending.empty:
            return []
        pending, self._pending = self._pending, Pending()
        pending.memories = {**self._talks.memories(self._now), **pending.memories}
        pending.counts += self._uncounted
        self._uncounted.clear()
        self._asked_counts.append(pending.counts)
        return [Commit(pending.batch(self._giving.take_marks()))]

    def count(self, reason: str, times: int = 1) -> None:
        """Something was refused or dropped; it is written with the next commit."""
        self._pending.counts[reason] += times

    # Sessions: records in, runs out.

    def _happened(self, happened: list[Happened], now: float) -> list[Output]:
        outputs: list[Output] = []
        for event in happened:
            match event:
                case Welcomed(link, device, salt):
                    self._frontier.feeds = self._roster.names
                    self._talks.open(link, device, salt, apart=self._links.is_apart(link))
                    self._rationing.open(link, device, now)
                    # Before the handshake's last frame, which then leaves in one packet with HELLO.
                    outputs.insert(0, RecallPeer(link, device))
                case Viewed(link, data):
                    outputs += self._viewed(link, data, now)
                case Said(link, data):
                    outputs += self._to_session(link, RecordReceived(data), now)
                case PeerLeft(link):
                    self._end_talk(link)
                    outputs.append(event)
                case _:
                    outputs.append(event)
        return outputs

    def _viewed(self, link: LinkId, record: bytes, now: float) -> list[Output]:
        try:
            answer, is_news = self._rationing.receive(link, record, now)
        except Refused as refused:
            return self._close(link, refused.reason)
        outputs = self._to_owner(link, answer)
        if is_news:
            outputs += [*self._to_session(link, Weighed(), now), WakeAt(now + VIEW_AGE_S)]
        history = self._rationing.history_due(now)
        return [*outputs, KeepHistory(history)] if history else outputs

    def _to_owner(self, link: LinkId, record: bytes) -> list[Output]:
        return [SendFrames(link, tuple(self._links.seal_owner(link, record)))] if record else []

    def _close(self, link: LinkId, reason: str) -> list[Output]:
        self._end_talk(link)
        return self._links.close(link, reason)

    def _end_talk(self, link: LinkId) -> None:
        self._rationing.close(link)
        if (kept := self._talks.close(link)) is not None:
            self._pending.memories.update((kept,))

    def _to_session(self, link: LinkId, event: SessionInput, now: float) -> list[Output]:
        talk = self._talks.get(link)
        if talk is None:
            return []
        orders = talk.handle(event, now)
        outputs = self._perform(link, talk, orders, now) if orders else []
        if self._rationing.asking:
            for asked, questions in self._rationing.questions():
                outputs += self._to_owner(asked, questions.record)
                outputs += [ReadCrowds(asked, questions.spans)] if questions.spans else []
        return outputs + self._shared(now) if self._talks.has_due else outputs

    def _shared(self, now: float) -> list[Output]:
        """Sessions hear which logs are theirs to receive, since another one's peer has given all or is gone."""
        due = self._talks.due()
        return [output for link in due for output in self._to_session(link, SourceFree(tuple(due[link])), now)]

    def _perform(self, link: LinkId, talk: Talk, orders: list[SessionOutput], now: float) -> list[Output]:
        # Sealed first and together: what the session says now comes before what its reads, answered here, lead to.
        records = [order.data for order in orders if isinstance(order, Send)]
        frames = self._links.seal(link, records) if records else []
        if frames and self._watcher is not None:
            self._watcher.sealed(link, records, frames)
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
                    outputs += self._take(link, order, now)
                case PeerSettled(log, settled):
                    self._pending.peer_settled[(talk.device, log)] = settled
                case PeerTook(log, start, stop):
                    self._rationing.taken(link, log, start, stop)
                case Level():
                    talk.changed = True
                    outputs.append(LevelReached(link))
                case Noticed(reason):
                    self.count(reason)
                    outputs += [RenewEpoch()] if reason == "rolled-back" else []
                case SessionWakeAt(when):
                    talk.wake = when
                    outputs.append(WakeAt(when))
                case Hangup(reason):
                    self._talks.broke(link, reason)
                    outputs += self._close(link, reason)
                case _:
                    assert_never(order)
        return outputs

    def _read(self, link: LinkId, run: ReadRun, now: float) -> list[Output]:
        order, read = self._giving.order(link, run)
        return [order] if read is None else self._run_read(order, read, now)

    def _run_read(self, order: ReadEntries, read: ReadResult, now: float) -> list[Output]:
        if order.link not in self._talks:
            return []
        given, spoiled = self._giving.runs(order, read)
        if spoiled:
            self.count("signature-spoiled", spoiled)
        self._talks[order.link].traffic.sent += 0 if read.tokens else len(given.packed)
        return self._to_session(order.link, given, now)

    def _take(self, link: LinkId, run: TakeRun, now: float) -> list[Output]:
        if is_token(run.packed[0], run.log):
            return self._take_tokens(link, run, now)
        if link != CARRIED:
            self._talks[link].traffic.received += len(run.packed)
        if self._watcher is not None:
            self._watcher.pushed(link, run)
        done = RunDone(run.log, run.start, len(run.packed), taken=True)
        if run.prev is None and self._intake.repeats(run.log, run.start, run.start + done.count):
            return self._to_session(link, done, now)
        try:
            offer = self._intake.judge(run.log, run.start, run.prev, run.packed, self._believed_s())
        except Refused as refused:
            return self._refuse(link, replace(done, taken=False), refused.reason, now)
        if run.log.lane == LANE_URGENT:
            return self._settle(link, offer, prove_each(offer), now)
        self._offers.append((link, offer))
        return []

    def _take_tokens(self, link: LinkId, run: TakeRun, now: float) -> list[Output]:
        done, counts = RunDone(run.log, run.start, len(run.packed), taken=True), self._pending.counts
        try:
            tokens = self._intake.take_tokens(run.log, run.start, run.packed, self._believed_s(), counts)
        except Refused as refused:
            return self._refuse(link, replace(done, taken=False), refused.reason, now)
        if not tokens:
            return self._to_session(link, done, now)
        self._pending.tokens += tokens
        self._taken.append((link, done.log, done.start, done.count))
        return []

    def _settle(self, link: LinkId, offer: Offer, proof: Proof, now: float) -> list[Output]:
        """A run whose signatures were checked; its link may have ended meanwhile."""
        log, start, count = offer.log, offer.start, len(offer.entries)
        try:
            taken = self._intake.take(offer, proof, self._believed_s())
        except Refused as refused:
            return self._refuse(link, RunDone(log, start, count, taken=False), refused.reason, now)
        self._pending.take(taken)
        self._taken.append((link, log, start, count))
        for entry in taken.entries:
            if entry.hints and not self._open(entry, None) and entry.lane == LANE_URGENT:
                # Certificates come on lane 0 too, so only here may a message overtake its sender's.
                self._pending.pending_add.append(Place(entry.feed, entry.lane, entry.seq))
        return []

    def _refuse(self, link: LinkId, done: RunDone, reason: str, now: float) -> list[Output]:
        self.count(reason)
        if link not in self._talks:
            return []
        talk = self._talks[link]
        talk.refusals += reason not in BLAMELESS
        if talk.refusals > REFUSALS_MAX:
            return self._close(link, "too-many-refusals")
        return self._to_session(link, done, now)

    def _open(self, entry: Entry, senders: list[bytes] | None) -> bool:
        try:
            letter = self._reader.open(entry, self._wall_ms(), senders)
        except Refused as refused:
            self.count(refused.reason)
            return False
        if letter is not None:
            self._pending.add(letter)
        return letter is not None

    # Commits: what becomes of a batch.

    def _committed(self, done: BatchCommitted, now: float) -> list[Output]:
        self._asked_counts.popleft()
        self._intake.committed()
        outputs: list[Output] = []
        for fork in (*done.batch.forks, *done.result.forks):
            self._intake.freeze(fork.first.log)
            self._frontier.freeze(fork.first.log)
        outputs += self._forked(done.result.forks)
        self._giving.remember(done, self._frontier)
        self._rationing.came(done.batch.entries)
        outputs += self._grew(done.result.states, done.result.version, now)
        taken, self._taken = self._taken, []
        for link, log, start, count in taken:
            outputs += self._to_session(link, RunDone(log, start, count, taken=True), now)
        return outputs + self._consequences(done)

    def _forked(self, forks: tuple[Fork, ...]) -> list[Output]:
        if not forks:
            return []
        shown = one_of_each(forks, self._roster)
        told = sum(fork.first.log in shown for fork in forks)
        self._pending.counts += Counter({"fork": told, "fork-unproved": len(forks) - told})
        return [ProveForks(tuple(shown.values()))] if shown else []

    def _consequences(self, done: BatchCommitted) -> list[Output]:
        batch = done.batch
        arrived = [MessageArrived(payload) for payload in batch.payloads if not payload.mine]
        kinds = {fact.kind for fact in batch.facts}
        outputs: list[Output] = [*arrived, WriteReceipts()] if arrived else []
        outputs += (MessageDelivered(each.message_id, each.person) for each in done.result.delivered)
        if not kinds.isdisjoint((PREKEY_BUNDLE, DEVICE_CERTIFICATE)):
            outputs.append(SealWaiting())
        if DEVICE_CERTIFICATE in kinds:
            outputs.append(ReopenEntries(tuple(fact.feed for fact in batch.facts if fact.kind == DEVICE_CERTIFICATE)))
            if self._roster.keeps_list(self._identity.device):
                outputs.append(ListFeeds())
        return outputs

    def _grew(self, states: dict[LogId, LogState], number: int, now: float, *, complete: bool = False) -> list[Output]:
        """These states are durable, by the commit of that number. `complete`: so is all that came before is known."""
        before = self._frontier.change(states, number)
        if complete or number == self._frontier.upto + 1:
            self._frontier.upto = max(self._frontier.upto, number)
        outputs: list[Output] = []
        if any(log.lane == LANE_URGENT for log in states):
            for link in self._links.revoked:
                outputs += self._close(link, "certificate-revoked")
        grew = LogsGrew(tuple(before))
        for link in self._talks.before_due() if before else ():
            outputs += self._to_session(link, grew, now)
        return outputs + self._shared(now)

    def _reopened(self, order: ReopenEntries, entries: list[Entry]) -> list[Output]:
        opened = [entry for entry in entries if self._open(entry, list(order.devices))]
        self._pending.pending_remove += (Place(entry.feed, entry.lane, entry.seq) for entry in opened)
        return []

    def _time_came(self, now: float) -> list[Output]:
        outputs = self._links.overdue(now)
        for link, record in self._rationing.overdue(now).items():
            outputs += self._to_owner(link, record)
        for link in self._talks:
            talk = self._talks[link]
            if talk.wake is not None and now >= talk.wake:
                talk.wake = None
                outputs += self._to_session(link, SessionTimeCame(), now)
        # The shell keeps one wish to be woken, and has just used it up: whoever waits for later says so again.
        wakes = [wake for link in self._talks if (wake := self._talks[link].wake) is not None]
        soonest = min([*wakes, self._links.next_deadline, self._rationing.next_due])
        return [*outputs, WakeAt(soonest)] if soonest < float("inf") else outputs
