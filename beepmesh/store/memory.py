"""The reference store: plain dictionaries, views recomputed from the truth. Nothing outlives the process.

Where SQLite answers otherwise, SQLite is wrong. The simulator runs thousands of these in one process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from beepmesh.crypto.primitives import SigningKey, sha256
from beepmesh.messages.content import READ
from beepmesh.messages.entry import Entry
from beepmesh.messages.inbox import MessageRow, Payload, ReceiptRow, fold, rows_of
from beepmesh.messages.lifetimes import expires_ms
from beepmesh.store.contract import (
    FIND_MAX,
    PERISHABLE_FACT,
    Batch,
    Changes,
    Committed,
    Count,
    Fact,
    Fork,
    Invitation,
    Issued,
    LedgerLine,
    Message,
    MessageQuery,
    Peer,
    Place,
    ReadResult,
    Recipient,
    Sealing,
    Size,
    Unsealed,
    packed_bytes,
)
from beepmesh.store.ledger import ledger_line
from sync.logs import LogId, LogState
from sync.ranges import Ranges


@dataclass(slots=True)
class _Log:
    entries: dict[int, Entry] = field(default_factory=dict)
    received_ms: dict[int, int] = field(default_factory=dict)
    settled: Ranges = field(default_factory=Ranges)
    frozen: bool = False
    changed: int = 0
    proved: set[bytes] = field(default_factory=set)

    def state(self) -> LogState:
        last = self.entries.get(self.settled.top - 1)
        return LogState(self.settled, last.id if last is not None else b"")


MessageKey = tuple[bytes, bytes]  # message id, sender's person


@dataclass(frozen=True, slots=True)
class _Views:
    """The number is that of the first payload which gave the row."""

    messages: dict[MessageKey, tuple[int, MessageRow]]
    receipts: list[ReceiptRow]
    marks: dict[MessageKey, int]


class MemoryStore:
    def __init__(self) -> None:
        self._logs: dict[LogId, _Log] = {}
        self._facts: dict[tuple[bytes, int], Fact] = {}
        self._payloads: list[Payload] = []
        self._known_payloads: set[object] = set()
        self._outbox: set[Recipient] = set()
        self._sealings: dict[tuple[Sealing, Place], None] = {}
        self._forks: dict[Place, Fork] = {}
        self._pending: dict[Place, None] = {}
        self._peer_settled: dict[bytes, dict[LogId, Ranges]] = {}
        self._peers: dict[bytes, Peer] = {}
        self._invitations: dict[bytes, Invitation] = {}
        self._issued: list[Issued] = []
        self._counts: dict[str, Count] = {}
        self._blobs: dict[str, bytes] = {}
        self._views: _Views | None = None

    @property
    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass

    # --- logs ---
    def commit(self, batch: Batch, *, keys: Mapping[bool, SigningKey], now_ms: int) -> Committed:
        fresh, found = self._fresh(batch.entries)
        # From here to the last draft nothing is changed: what a draft raises leaves everything as it was.
        written = self._write_drafts(batch, fresh, keys, now_ms)
        version = max((log.changed for log in self._logs.values()), default=0) + 1
        changed: dict[LogId, None] = {}
        for entry in (*fresh.values(), *written):
            log = self._log(entry.log)
            log.entries[entry.seq] = entry
            log.received_ms[entry.seq] = now_ms
            log.settled = log.settled.add(entry.seq, entry.seq + 1)
            changed[entry.log] = None
        self._prove(batch, written)
        for log_id, given_up in batch.settled:
            log = self._log(log_id)
            if given_up.minus(log.settled):
                log.settled = log.settled.union(given_up)
                changed[log_id] = None
        for fork in (*found, *batch.forks):
            place = Place(fork.first.feed, fork.first.lane, fork.first.seq)
            if place not in self._forks:
                self._forks[place] = Fork(fork.first.erased(), fork.second.erased())
                self._log(fork.first.log).frozen = True
                changed[fork.first.log] = None
        self._remember(batch, written, now_ms)
        for log_id in changed:
            self._logs[log_id].changed = version
        return Committed(tuple(written), self._states(changed), tuple(found))

    def states(self) -> dict[LogId, LogState]:
        return self._states(self._logs)

    def frozen(self) -> set[LogId]:
        return {log_id for log_id, log in self._logs.items() if log.frozen}

    def forks(self) -> list[Fork]:
        return list(self._forks.values())

    def changed_since(self, version: int) -> Changes:
        changed = [log_id for log_id, log in self._logs.items() if log.changed > version]
        newest = max((log.changed for log in self._logs.values()), default=0)
        return Changes(newest, self._states(changed))

    def read(self, log: LogId, start: int, stop: int, *, bytes_max: int, with_prev: bool) -> ReadResult:
        held = self._logs.get(log, _Log())
        entries: list[Entry] = []
        size = 0
        for seq in range(start, stop):
            entry = held.entries.get(seq)
            if entry is None:
                break
            size += packed_bytes(entry)
            if entries and size > bytes_max:
                break
            entries.append(entry)
        gone = held.settled.intersect(Ranges.of((start, max(start, stop))))
        for seq in held.entries:
            gone = gone.minus(Ranges.of((seq, seq + 1)))
        proved = held.proved.intersection(entry.id for entry in entries)
        return ReadResult(entries[0].prev if entries and with_prev else None, tuple(entries), gone, frozenset(proved))

    def entry(self, log: LogId, seq: int) -> Entry | None:
        return self._logs.get(log, _Log()).entries.get(seq)

    def expire(self, now_ms: int) -> int:
        erased = 0
        for log in self._logs.values():
            for seq, entry in log.entries.items():
                fact = self._facts.get((entry.feed, seq)) if entry.lane == 0 else None
                if fact is not None and fact.kind != PERISHABLE_FACT:
                    continue
                if entry.body is not None and expires_ms(log.received_ms[seq], entry.ttl) <= now_ms:
                    log.entries[seq] = entry.erased()
                    erased += 1
        return erased

    # --- people's side ---
    def facts(self, skip: int = 0) -> list[Fact]:
        return list(self._facts.values())[skip:]

    def messages(self, query: MessageQuery) -> list[Message]:
        matching = [message for message in self._all_messages() if _matches(query, message)]
        return matching[-query.limit :] if query.limit else []

    def find(self, prefix: bytes | str) -> list[Message]:
        found = [
            message
            for message in self._all_messages()
            if (
                message.row.message_id == prefix
                if isinstance(prefix, bytes)
                else message.row.message_id.hex().startswith(prefix.lower())
            )
        ]
        return sorted(found, key=lambda message: (not message.row.mine, message.number))[:FIND_MAX]

    def own_payload(self, message_id: bytes) -> Payload | None:
        return next((payload for payload in self._payloads if payload.mine and payload.message_id == message_id), None)

    def ledger(self, message_id: bytes, now_ms: int) -> list[LedgerLine]:
        payload = self.own_payload(message_id)
        if payload is None:
            return []
        persons = sorted(row.person for row in self._outbox if row.message_id == message_id)
        receipts = [row for row in self._view().receipts if row.message_id == message_id]
        lines: list[LedgerLine] = []
        for person in persons:
            places = [
                place
                for sealing, place in self._sealings
                if (sealing.message_id, sealing.person) == (message_id, person)
            ]
            carriers = sum(
                any(place.seq in settled.get(LogId(place.feed, place.lane), Ranges()) for place in places)
                for settled in self._peer_settled.values()
            )
            lines.append(
                ledger_line(
                    person,
                    [row for row in receipts if row.person == person],
                    expired=expires_ms(payload.time_ms, payload.ttl) <= now_ms,
                    sealed=bool(places),
                    carriers=carriers,
                )
            )
        return lines

    def unsealed(self, now_ms: int, persons: Collection[bytes] | None = None) -> list[Unsealed]:
        found: list[Unsealed] = []
        for payload in self._payloads:
            ends_ms = expires_ms(payload.time_ms, payload.ttl)
            if not payload.mine or ends_ms <= now_ms:
                continue
            for person in sorted(row.person for row in self._outbox if row.message_id == payload.message_id):
                if persons is None or person in persons:
                    key = (payload.message_id, person)
                    devices = frozenset(row.device for row, _ in self._sealings if (row.message_id, row.person) == key)
                    found.append(Unsealed(payload.message_id, person, devices, payload.priority, ends_ms))
        return found

    def unreceipted(self, limit: int = 1_000) -> list[Message]:
        return [message for message in self._all_messages() if not message.row.mine and not message.state][:limit]

    def unopened(self) -> list[Place]:
        places: list[Place] = []
        for place in self._pending:
            entry = self.entry(LogId(place.feed, place.lane), place.seq)
            if entry is not None and entry.body is not None:
                places.append(place)
        return places

    # --- neighbours, invitations, odds and ends ---
    def peer_settled(self, device: bytes) -> dict[LogId, Ranges]:
        return dict(self._peer_settled.get(device, {}))

    def peers(self) -> list[Peer]:
        return sorted(self._peers.values(), key=lambda peer: (-peer.last_seen_ms, peer.device))

    def put_peer(self, peer: Peer) -> None:
        self._peers[peer.device] = peer

    def put_invitation(self, invitation: Invitation) -> None:
        self._invitations.setdefault(invitation.id, invitation)

    def invitations(self) -> list[Invitation]:
        return sorted(self._invitations.values(), key=lambda invitation: (invitation.expires_ms, invitation.id))

    def burn(self, invitation_id: bytes, now_ms: int) -> bool:
        invitation = self._invitations.get(invitation_id)
        if invitation is None or invitation.burnt_ms is not None:
            return False
        self._invitations[invitation_id] = Invitation(invitation.id, invitation.data, invitation.expires_ms, now_ms)
        return True

    def put_issued(self, issued: Issued) -> None:
        self._issued.append(issued)

    def issued(self) -> list[Issued]:
        return list(self._issued)

    def counts(self) -> dict[str, Count]:
        return dict(self._counts)

    def get(self, name: str) -> bytes | None:
        return self._blobs.get(name)

    def put(self, name: str, value: bytes) -> None:
        self._blobs[name] = value

    def size(self) -> Size:
        entries = [entry for log in self._logs.values() for entry in log.entries.values()]
        return Size(len(entries), sum(len(entry.body) for entry in entries if entry.body is not None), 0)

    def rebuild_views(self) -> None:
        self._views = None

    # --- inside a commit ---
    def _log(self, log_id: LogId) -> _Log:
        return self._logs.setdefault(log_id, _Log())

    def _fresh(self, entries: tuple[Entry, ...]) -> tuple[dict[tuple[LogId, int], Entry], list[Fork]]:
        """Those that are not held and contradict nothing, and the contradictions: log by log, as they were given."""
        fresh: dict[tuple[LogId, int], Entry] = {}
        found: list[Fork] = []
        for log_id in dict.fromkeys(entry.log for entry in entries):
            its_fresh: dict[int, Entry] = {}
            for entry in entries:
                if entry.log == log_id:
                    held = its_fresh.get(entry.seq) or self.entry(log_id, entry.seq)
                    if held is None:
                        its_fresh[entry.seq] = entry
                    elif held.id != entry.id:
                        found.append(Fork(held, entry))
            for run in _runs(its_fresh):
                contradiction = self._contradiction(run)
                if contradiction is None:
                    fresh.update(((log_id, entry.seq), entry) for entry in run)
                else:
                    found.append(contradiction)
        return fresh, found

    def _prove(self, batch: Batch, written: list[Entry]) -> None:
        for entry in (*batch.entries, *written):
            held = self.entry(entry.log, entry.seq)
            if held is entry and (entry.id in batch.proved or entry in written):
                self._log(entry.log).proved.add(entry.id)
        for place in batch.prove:
            held = self.entry(LogId(place.feed, place.lane), place.seq)
            if held is not None:
                self._log(held.log).proved.add(held.id)
        for entry in batch.mended:
            held, log = self.entry(entry.log, entry.seq), self._log(entry.log)
            if held is not None and held.id == entry.id and entry.id not in log.proved:
                log.entries[entry.seq] = held._replace(signature=entry.signature)
                log.proved.add(entry.id)

    def _contradiction(self, run: list[Entry]) -> Fork | None:
        first, last = run[0], run[-1]
        below, above = self.entry(first.log, first.seq - 1), self.entry(last.log, last.seq + 1)
        if below is not None and below.id != first.prev:
            return Fork(below, first)
        if above is not None and above.prev != last.id:
            return Fork(above, last)
        return None

    def _write_drafts(
        self,
        batch: Batch,
        fresh: dict[tuple[LogId, int], Entry],
        keys: Mapping[bool, SigningKey],
        now_ms: int,
    ) -> list[Entry]:
        tops: dict[LogId, tuple[int, Entry | None]] = {}
        written: list[Entry] = []
        for draft in batch.drafts:
            key = keys[draft.control]
            log_id = LogId(sha256(key.public)[:16], draft.lane)
            if log_id not in tops:
                settled = self._logs.get(log_id, _Log()).settled
                for own, seq in fresh:
                    settled = settled.add(seq, seq + 1) if own == log_id else settled
                for own, given_up in batch.settled:
                    settled = settled.union(given_up) if own == log_id else settled
                last = fresh.get((log_id, settled.top - 1)) or self.entry(log_id, settled.top - 1)
                tops[log_id] = settled.top, last
            seq, last = tops[log_id]
            entry = draft.written(key, log_id, seq, last, now_ms)
            tops[log_id] = seq + 1, entry
            written.append(entry)
        return written

    def _remember(self, batch: Batch, written: list[Entry], now_ms: int) -> None:
        for fact in batch.facts:
            self._facts.setdefault((fact.feed, fact.seq), fact)
        for draft, entry in zip(batch.drafts, written, strict=True):
            for sealing in draft.sealed_to:
                self._sealings[sealing, Place(entry.feed, entry.lane, entry.seq)] = None
            if draft.statement is not None:
                fact = Fact(entry.feed, entry.seq, draft.statement.kind, draft.statement.data)
                self._facts.setdefault((fact.feed, fact.seq), fact)
        for payload in batch.payloads:
            known = payload.message_id if payload.mine else (payload.feed, payload.lane, payload.seq)
            if known not in self._known_payloads:
                self._known_payloads.add(known)
                self._payloads.append(payload)
        self._outbox.update(batch.outbox)
        for place in batch.pending_add:
            self._pending.setdefault(place)
        for place in batch.pending_remove:
            self._pending.pop(place, None)
        for device, log_id, settled in batch.peer_settled:
            self._peer_settled.setdefault(device, {})[log_id] = settled
        for name, more in batch.counts.items():
            before = self._counts.get(name, Count(0, 0))
            self._counts[name] = Count(before.count + more, now_ms)
        self._views = None

    # --- views ---
    def _states(self, logs: Collection[LogId]) -> dict[LogId, LogState]:
        return {log_id: self._logs[log_id].state() for log_id in logs if self._logs[log_id].settled}

    def _view(self) -> _Views:
        if self._views is None:
            rows, _ = fold(self._payloads)
            _, receipts = fold(payload for payload in self._payloads if not payload.mine)
            numbers: dict[MessageKey, int] = {}
            marks: dict[MessageKey, int] = {}
            for number, payload in enumerate(self._payloads, 1):
                for row in rows_of(payload):
                    if isinstance(row, MessageRow):
                        numbers.setdefault(row.key, number)
                    elif payload.mine:
                        for recipient in self._outbox:
                            if recipient.message_id == payload.message_id:
                                key = (row.message_id, recipient.person)
                                marks[key] = max(marks.get(key, 0), row.state)
            self._views = _Views({row.key: (numbers[row.key], row) for row in rows}, receipts, marks)
        return self._views

    def _all_messages(self) -> list[Message]:
        view = self._view()
        return sorted(
            (
                Message(number, row, 0 if row.mine else view.marks.get(key, 0))
                for key, (number, row) in view.messages.items()
            ),
            key=lambda message: message.number,
        )


def _matches(query: MessageQuery, message: Message) -> bool:
    row = message.row
    return (
        (query.direction == "both" or row.mine == (query.direction == "out"))
        and not (query.unread and (row.mine or message.state >= READ))
        and (query.person is None or row.sender_person == query.person)
        and row.received_ms >= query.since_ms
        and message.number > query.after
    )


def _runs(entries: dict[int, Entry]) -> list[list[Entry]]:
    """Consecutive entries together."""
    runs: list[list[Entry]] = []
    for seq in sorted(entries):
        if runs and runs[-1][-1].seq == seq - 1:
            runs[-1].append(entries[seq])
        else:
            runs.append([entries[seq]])
    return runs
