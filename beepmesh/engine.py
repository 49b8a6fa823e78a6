"""The whole node as one machine: links in, orders out. It routes; what it routes to decides.

    frames -> Channel -> Session -> Intake -> Reader -> Commit -> (durable) -> Session.ACK, other sessions, receipts

Laws
1. Nothing is acknowledged, passed on or shown before the commit that holds it has succeeded.
2. One link for each pair of devices: of two, that which the device with the smaller id dialled; of two dialled by the
   same end, the newer, because the older one's end has forgotten it.
3. No member's link before a certificate of this organisation names its Noise key, unrevoked and not long expired.
4. A commit that fails takes every link down: what the sessions believe is no longer what the disk holds.

A node has one engine; whoever drives it (node.py, a simulator) calls `handle` for each event and then `flush`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

from beepmesh.channel import Channel, OwnerRecord, Secured, SessionRecord
from beepmesh.errors import Refused
from beepmesh.events import (
    AdmissionDecided,
    Admit,
    BatchCommitted,
    BatchFailed,
    Commit,
    EntriesRead,
    FrameReceived,
    HangUp,
    HomeChanged,
    Input,
    LevelReached,
    LinkDown,
    LinkId,
    LinkUp,
    MessageArrived,
    Output,
    PeerJoined,
    PeerLeft,
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
from beepmesh.introduction import ASK_CERTIFICATE, Introduction
from beepmesh.messages.content import KIND_RECEIPTS
from beepmesh.messages.entry import Entry, pack
from beepmesh.messages.inbox import Payload
from beepmesh.reading import Reader
from beepmesh.store.contract import Batch
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
    SessionInput,
    SessionOutput,
    Started,
    TakeRun,
)
from sync.session import TimeCame as SessionTimeCame
from sync.session import WakeAt as SessionWakeAt

HANDSHAKE_S: Final = 10.0  # A slow radio needs two seconds; a silent stranger should not hold a place for long.
REFUSALS_MAX: Final = 64  # Runs refused on one link before it is closed: a peer that checks would have refused them.
EARLY_BYTES_MAX: Final = 256 * 1024  # Session records of a peer whose certificate is still on its way.
RECENT_BYTES_MAX: Final = 2 * 1024 * 1024  # Entries just committed, kept so that passing them on reads no disk.


@dataclass(slots=True)
class _Pending:
    """What the next commit will hold."""

    entries: list[Entry] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    peer_settled: dict[tuple[bytes, LogId], Ranges] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def batch(self) -> Batch:
        return Batch(
            entries=tuple(self.entries),
            facts=tuple(self.facts),
            payloads=tuple(self.payloads),
            peer_settled=tuple((device, log, settled) for (device, log), settled in self.peer_settled.items()),
            counts=dict(self.counts),
        )


_NOTHING: Final = Batch()


@dataclass(slots=True)
class _Link:
    """One link and what has become of it."""

    up: LinkUp
    channel: Channel
    deadline: float
    introduction: Introduction | None = None
    session: Session | None = None
    device: bytes = b""
    early: list[bytes] = field(default_factory=list)
    early_bytes: int = 0
    refusals: int = 0
    wake: float | None = None


class Engine:
    """See the laws above. `clock` gives wall milliseconds through the shell; `entropy` gives random bytes."""

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
        self._root = RootSum(states)
        self._intake = Intake(states, frozen, roster, identity.control_keys)
        self._reader = Reader(identity, roster)
        self._believed_s = believed_s
        self._wall_ms = wall_ms
        self._entropy = entropy
        self._links: dict[LinkId, _Link] = {}
        self._by_device: dict[bytes, LinkId] = {}
        self._pending = _Pending()
        self._taken: list[tuple[LinkId, LogId, int, int]] = []
        self._recent: OrderedDict[tuple[LogId, int], Entry] = OrderedDict()
        self._recent_bytes = 0

    @property
    def peers(self) -> dict[bytes, LinkUp]:
        """Members at the other end of a link now."""
        return {device: self._links[link].up for device, link in self._by_device.items()}

    def renew(self, identity: Identity) -> None:
        """Prekeys have been rotated, or secrets added."""
        self._identity = identity
        self._reader.renew(identity)

    def handle(self, event: Input, now: float) -> list[Output]:
        """One event; the orders it leads to."""
        match event:
            case LinkUp():
                return self._link_up(event, now)
            case FrameReceived(link, frame):
                return self._frame(link, frame, now)
            case LinkDown(link):
                return self._forget(link, "link-ended")
            case EntriesRead(order, result):
                packed = tuple(pack(entry) for entry in result.entries)
                done = RunRead(order.log, order.start, result.prev, packed, result.gone)
                return self._to_session(order.link, done, now)
            case BatchCommitted():
                return self._committed(event, now)
            case BatchFailed(reason):
                return self._commit_failed(reason)
            case HomeChanged(states):
                return self._grew(states, now)
            case Reopened(order, results):
                return self._reopened(order, [entry for result in results for entry in result.entries])
            case AdmissionDecided(link, record):
                return self._owner_send(link, record) + self._close(link, "admission-over")
            case TimeCame():
                return self._time_came(now)
            case _:
                assert_never(event)

    def flush(self) -> list[Output]:
        """The transaction that the events since the last one call for, if any."""
        pending, self._pending = self._pending, _Pending()
        batch = pending.batch()
        return [Commit(batch)] if batch != _NOTHING else []

    def count(self, reason: str) -> None:
        """Something was refused or dropped; it is written with the next commit."""
        self._pending.counts[reason] += 1

    # Links: from the first byte to a session.

    def _link_up(self, up: LinkUp, now: float) -> list[Output]:
        channel = Channel(
            dialled=up.dialled,
            device=self._identity.device,
            link_key=self._identity.link_key,
            doors=up.doors,
            ephemeral_seed=self._entropy(32),
            frame_bytes_max=up.frame_bytes_max,
        )
        self._links[up.link] = _Link(up, channel, now + HANDSHAKE_S)
        first = channel.start()
        outputs: list[Output] = [SendFrames(up.link, tuple(first))] if first else []
        return [*outputs, WakeAt(now + HANDSHAKE_S)]

    def _frame(self, link_id: LinkId, frame: bytes, now: float) -> list[Output]:
        link = self._links.get(link_id)
        if link is None:
            return []
        try:
            answers, happened = link.channel.receive(frame)
        except Refused as refused:
            return self._close(link_id, refused.reason)
        outputs: list[Output] = [SendFrames(link_id, tuple(answers))] if answers else []
        for event in happened:
            match event:
                case Secured():
                    outputs += self._secured(link_id, link, event, now)
                case OwnerRecord(data):
                    outputs += self._owner_record(link_id, link, data, now)
                case SessionRecord(data):
                    outputs += self._session_record(link_id, link, data, now)
                case _:
                    assert_never(event)
            if link_id not in self._links:
                break
        return outputs

    def _secured(self, link_id: LinkId, link: _Link, secured: Secured, now: float) -> list[Output]:
        link.introduction = Introduction(secured, self._identity, self._roster)
        try:
            if link.introduction.expects_certificate:
                return self._owner_send(link_id, ASK_CERTIFICATE)
            if secured.door.invitation is not None:
                return []  # The joiner speaks next.
            link.introduction.check_known(self._believed_s())
        except Refused as refused:
            return self._close(link_id, refused.reason)
        return self._welcome(link_id, link, secured.device, now)

    def _owner_record(self, link_id: LinkId, link: _Link, data: bytes, now: float) -> list[Output]:
        assert link.introduction is not None
        try:
            step = link.introduction.receive(data, self._believed_s())
        except Refused as refused:
            return self._close(link_id, refused.reason)
        outputs = self._owner_send(link_id, step.answer) if step.answer else []
        if step.request is not None:
            secured = link.introduction.secured
            assert secured.door.invitation is not None
            outputs.append(Admit(link_id, secured.door.invitation, step.request, secured.handshake_hash))
        if step.proved and link.session is None:
            outputs += self._welcome(link_id, link, link.introduction.secured.device, now)
        return outputs

    def _session_record(self, link_id: LinkId, link: _Link, data: bytes, now: float) -> list[Output]:
        if link.session is not None:
            return self._to_session(link_id, RecordReceived(data), now)
        link.early.append(data)
        link.early_bytes += len(data)
        if link.early_bytes > EARLY_BYTES_MAX:
            return self._close(link_id, "talked-before-proof")
        return []

    def _welcome(self, link_id: LinkId, link: _Link, device: bytes, now: float) -> list[Output]:
        if device == self._identity.device:
            return self._close(link_id, "own-echo")
        outputs: list[Output] = []
        other_id = self._by_device.get(device)
        if other_id is not None:
            if not self._replaces(link, self._links[other_id], device):
                link.device = device
                return self._close(link_id, "duplicate-link")
            outputs += self._close(other_id, "duplicate-link")
        link.device = device
        link.deadline = float("inf")
        self._by_device[device] = link_id
        link.session = Session(self._states, root=self._root.value)
        outputs.append(PeerJoined(link_id, device, link.up.transport, link.up.address))
        outputs += self._to_session(link_id, Started(), now)
        early, link.early, link.early_bytes = link.early, [], 0
        for data in early:
            outputs += self._to_session(link_id, RecordReceived(data), now)
        return outputs

    def _replaces(self, new: _Link, old: _Link, device: bytes) -> bool:
        if new.up.dialled == old.up.dialled:
            return True
        dialler_of_new = self._identity.device if new.up.dialled else device
        return dialler_of_new == min(self._identity.device, device)

    def _owner_send(self, link_id: LinkId, record: bytes) -> list[Output]:
        link = self._links.get(link_id)
        if link is None or not link.channel.secured:
            return []
        return [SendFrames(link_id, tuple(link.channel.seal(record, owner=True)))]

    def _close(self, link_id: LinkId, reason: str) -> list[Output]:
        link = self._links.get(link_id)
        if link is None:
            return []
        if reason not in ("duplicate-link", "admission-over"):
            self.count(reason)
        return [HangUp(link_id, reason, link.device), *self._forget(link_id, reason)]

    def _forget(self, link_id: LinkId, reason: str) -> list[Output]:
        link = self._links.pop(link_id, None)
        if link is None or self._by_device.get(link.device) != link_id:
            return []
        del self._by_device[link.device]
        return [PeerLeft(link_id, link.device, reason)]

    # Sessions: records in, runs out.

    def _to_session(self, link_id: LinkId, event: SessionInput, now: float) -> list[Output]:
        link = self._links.get(link_id)
        if link is None or link.session is None:
            return []
        return self._perform(link_id, link, link.session.handle(event, now), now)

    def _perform(self, link_id: LinkId, link: _Link, orders: list[SessionOutput], now: float) -> list[Output]:
        outputs: list[Output] = []
        frames: list[bytes] = []
        for order in orders:
            match order:
                case Send(data):
                    frames += link.channel.seal(data)
                case ReadRun():
                    outputs += self._read(link_id, order, now)
                case TakeRun():
                    outputs += self._take(link_id, link, order, now)
                case PeerSettled(log, settled):
                    if log.feed in (self._identity.feed, self._identity.device):
                        self._pending.peer_settled[(link.device, log)] = settled
                case Level():
                    outputs.append(LevelReached(link_id))
                case SessionWakeAt(when):
                    link.wake = when
                    outputs.append(WakeAt(when))
                case Hangup(reason):
                    return [*outputs, *self._close(link_id, reason)]
                case _:
                    assert_never(order)
        # What the session said comes before what its reads lead to, in the order it said it.
        return [SendFrames(link_id, tuple(frames)), *outputs] if frames else outputs

    def _read(self, link_id: LinkId, order: ReadRun, now: float) -> list[Output]:
        entries: list[Entry] = []
        total = 0
        for seq in range(order.start, order.stop):
            entry = self._recent.get((order.log, seq))
            if entry is None:
                return [ReadEntries(link_id, order.log, order.start, order.stop, order.bytes_max, order.with_prev)]
            total += entry.body_bytes
            if entries and total > order.bytes_max:
                break
            entries.append(entry)
        prev = entries[0].prev if order.with_prev else None
        run = RunRead(order.log, order.start, prev, tuple(pack(entry) for entry in entries), Ranges())
        return self._to_session(link_id, run, now)

    def _take(self, link_id: LinkId, link: _Link, run: TakeRun, now: float) -> list[Output]:
        try:
            taken = self._intake.take(run.log, run.start, run.prev, run.packed, self._believed_s())
        except Refused as refused:
            self.count(refused.reason)
            link.refusals += 1
            if link.refusals > REFUSALS_MAX:
                return self._close(link_id, "too-many-refusals")
            return self._to_session(link_id, RunDone(run.log, run.start, len(run.packed), taken=False), now)
        self._pending.counts += taken.counts
        self._pending.entries += taken.entries
        self._pending.entries += taken.overlapping
        self._pending.facts += taken.facts
        self._taken.append((link_id, run.log, run.start, len(run.packed)))
        for entry in taken.entries:
            if entry.hints:
                self._open(entry, None)
        return []

    def _open(self, entry: Entry, senders: list[bytes] | None) -> None:
        try:
            payload = self._reader.open(entry, self._wall_ms(), senders)
        except Refused as refused:
            self.count(refused.reason)
            return
        if payload is not None:
            self._pending.payloads.append(payload)

    # Commits: what becomes of a batch.

    def _committed(self, done: BatchCommitted, now: float) -> list[Output]:
        self._intake.committed()
        outputs: list[Output] = []
        for held, _offered in done.result.forks:
            self._intake.freeze(held.log)
            self.count("fork")
        for entry in done.batch.entries:
            self._remember(entry)
        self._settle(done.result.states)
        taken, self._taken = self._taken, []
        for link_id, log, start, count in taken:
            outputs += self._to_session(link_id, RunDone(log, start, count, taken=True), now)
        outputs += self._tell_sessions(tuple(done.result.states), now)
        return outputs + self._consequences(done.batch)

    def _consequences(self, batch: Batch) -> list[Output]:
        outputs: list[Output] = [MessageArrived(payload) for payload in batch.payloads]
        if any(_wants_receipt(payload) for payload in batch.payloads):
            outputs.append(WriteReceipts())
        if any(fact.kind in (PREKEY_BUNDLE, DEVICE_CERTIFICATE) for fact in batch.facts):
            outputs.append(SealWaiting())
        newcomers = tuple(fact.feed for fact in batch.facts if fact.kind == DEVICE_CERTIFICATE)
        if newcomers:
            outputs.append(ReopenEntries(newcomers))
        return outputs

    def _commit_failed(self, reason: str) -> list[Output]:
        self._intake.committed()
        self._taken = []
        outputs: list[Output] = []
        for link_id in list(self._links):
            outputs += self._close(link_id, f"store-{reason}")
        return outputs

    def _grew(self, states: dict[LogId, LogState], now: float) -> list[Output]:
        self._settle(states)
        return self._tell_sessions(tuple(states), now)

    def _settle(self, states: dict[LogId, LogState]) -> None:
        for log, state in states.items():
            self._root.replace(log, self._states.get(log), state)
            self._states[log] = state

    def _tell_sessions(self, logs: tuple[LogId, ...], now: float) -> list[Output]:
        outputs: list[Output] = []
        if logs:
            for link_id in list(self._by_device.values()):
                outputs += self._to_session(link_id, LogsGrew(logs), now)
        return outputs

    def _remember(self, entry: Entry) -> None:
        self._recent[(entry.log, entry.seq)] = entry
        self._recent_bytes += entry.body_bytes
        while self._recent_bytes > RECENT_BYTES_MAX:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= oldest.body_bytes

    def _reopened(self, order: ReopenEntries, entries: list[Entry]) -> list[Output]:
        for entry in entries:
            self._open(entry, list(order.devices))
        return []

    def _time_came(self, now: float) -> list[Output]:
        outputs: list[Output] = []
        for link_id, link in list(self._links.items()):
            if now >= link.deadline:
                outputs += self._close(link_id, "handshake-timeout")
            elif link.wake is not None and now >= link.wake:
                link.wake = None
                outputs += self._to_session(link_id, SessionTimeCame(), now)
        return outputs


def _wants_receipt(payload: Payload) -> bool:
    return not payload.mine and bool(payload.content) and payload.content[1] != KIND_RECEIPTS
