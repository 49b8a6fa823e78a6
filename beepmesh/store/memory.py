"""The reference store: plain dictionaries, views recomputed from the truth. Nothing outlives the process.

Here are the acts of a commit and the people's side; memory_logs.py has the logs.

Where SQLite answers otherwise, SQLite is wrong. The simulator runs thousands of these in one process.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from beepmesh.crypto.primitives import Entropy, SigningKey
from beepmesh.messages.content import READ
from beepmesh.messages.entry import Entry
from beepmesh.messages.inbox import MessageRow, Payload, ReceiptRow, fold, rows_of
from beepmesh.messages.lifetimes import expires_ms
from beepmesh.store.accounting import IN_TIME, Usage, added_up
from beepmesh.store.contract import (
    FIND_MAX,
    Batch,
    Committed,
    Count,
    Fact,
    Invitation,
    Issued,
    LedgerLine,
    Message,
    MessageQuery,
    Peer,
    Place,
    Recipient,
    Sealing,
    Size,
    Unsealed,
    feeds_of,
)
from beepmesh.store.ledger import ledger_line
from beepmesh.store.memory_logs import MemoryLogs
from sync.logs import LogId
from sync.ranges import Ranges

MessageKey = tuple[bytes, bytes]  # message id, sender's person


@dataclass(frozen=True, slots=True)
class _Views:
    """The number is that of the first payload which gave the row."""

    messages: dict[MessageKey, tuple[int, MessageRow]]
    receipts: list[ReceiptRow]
    marks: dict[MessageKey, int]


class MemoryStore(MemoryLogs):
    def __init__(self, entropy: Entropy = os.urandom) -> None:
        super().__init__(entropy)
        self._payloads: list[Payload] = []
        self._known_payloads: set[object] = set()
        self._outbox: set[Recipient] = set()
        self._sealings: dict[tuple[Sealing, Place], None] = {}
        self._peers: dict[bytes, Peer] = {}
        self._invitations: dict[bytes, Invitation] = {}
        self._issued: list[Issued] = []
        self._counts: dict[str, Count] = {}
        self._blobs: dict[str, bytes] = {}
        self._views: _Views | None = None
        self._numbers_intake = self._keeps_accounts = False
        self._usage: list[Usage] = []
        """One for each commit and sum: they are added up when they are asked for."""
        self._relayed: dict[tuple[int, bytes], int] = {}
        self._intake: dict[MessageKey, int] = {}

    @property
    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def commit(self, batch: Batch, *, keys: Mapping[bool, SigningKey], now_ms: int) -> Committed:
        own = feeds_of(keys)
        told, found = self._told(batch.tokens, own)
        fresh, more_found = self._fresh(batch.entries, told, own)
        found += more_found
        # From here to the last draft nothing is changed: what a draft raises leaves everything as it was.
        written = self._write_drafts(batch, told, fresh, keys, now_ms)
        purged = sum(
            entry is not None and place[0].feed not in own and self.entry(*place) is not None
            for place, (_, entry) in told.items()
        )
        told_of = [entry for _, entry in told.values() if entry is not None]
        accepted = {(entry.log, entry.seq): entry for entry in (*told_of, *fresh.values(), *written)}
        states = self.states()
        settled = {log: states[log].settled for log, _ in accepted if log in states}
        changes = self._change(batch, told, fresh.values(), written, found, own, now_ms)
        if self._keeps_accounts:
            first = [entry for (log, seq), entry in accepted.items() if seq not in settled.get(log, Ranges())]
            self._usage += added_up(first, now_ms)
        self._remember(batch, written)
        evicted = self._evict(own)
        for name, more in (Counter(batch.counts) + Counter(evicted=evicted, purged=purged)).items():
            before = self._counts.get(name, Count(0, 0))
            self._counts[name] = Count(before.count + more, now_ms)
        delivered = self._delivered_by(
            {Place(*log, seq) for (log, seq), (_, entry) in told.items() if entry is not None}
        )
        return Committed(tuple(written), changes.states, tuple(found), changes.version, evicted, purged, delivered)

    def _delivered_by(self, told: Collection[Place]) -> tuple[Sealing, ...]:
        if not told:
            return ()
        mine = {message.row.message_id for message in self._all_messages() if message.row.mine}
        found = [sealing for sealing, place in self._sealings if place in told and sealing.message_id in mine]
        return tuple(sorted(found, key=lambda each: (each.message_id, each.device)))

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
                    delivered_ms=min(
                        (self._delivered[place] for place in places if place in self._delivered), default=None
                    ),
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

    # --- neighbours, invitations, odds and ends ---
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

    def number_intake(self) -> None:
        self._numbers_intake = True

    def keep_accounts(self) -> None:
        self._keeps_accounts = True

    def usage(self, month: int) -> list[Usage]:
        sums: dict[tuple[bytes, int, int], tuple[int, ...]] = {}
        for one in self._usage:
            if one.came == month or (one.month == month and one.came == IN_TIME):
                before = sums.get(one[:3], (0, 0, 0, 0))
                sums[one[:3]] = tuple(map(sum, zip(before, one[3:], strict=True)))
        return [Usage(*key, *sums[key]) for key in sorted(sums)]

    def note_relayed(self, month: int, sent: Mapping[bytes, int]) -> None:
        for device, count in sent.items():
            self._relayed[month, device] = self._relayed.get((month, device), 0) + count

    def relayed(self, month: int) -> dict[bytes, int]:
        return {device: count for (its_month, device), count in sorted(self._relayed.items()) if its_month == month}

    def size(self) -> Size:
        entries = [entry for log in self._logs.values() for entry in log.entries.values()]
        body_bytes = sum(len(entry.body) for entry in entries if entry.body is not None)
        return Size(len(entries), body_bytes, 0, self._used_bytes(), self._bytes_max)

    def rebuild_views(self) -> None:
        self._views = None

    def _remember(self, batch: Batch, written: list[Entry]) -> None:
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
                self._give_intake(payload)
                self._payloads.append(payload)
        self._outbox.update(batch.outbox)
        for place in batch.pending_add:
            self._pending.setdefault(place)
        for place in (*batch.pending_remove, *(Place(*token.log, token.seq) for token in batch.tokens)):
            self._pending.pop(place, None)
        for device, log_id, settled in batch.peer_settled:
            self._peer_settled.setdefault(device, {})[log_id] = settled
        self._views = None

    def _give_intake(self, payload: Payload) -> None:
        """Its intake number, if it is the first of a message that came in."""
        if not self._numbers_intake or payload.mine:
            return
        known = {row.key for row in fold(self._payloads)[0]}
        for row in rows_of(payload):
            if isinstance(row, MessageRow) and row.key not in known:
                self._intake[row.key] = len(self._intake) + 1

    # --- views ---
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
                Message(number, row, 0 if row.mine else view.marks.get(key, 0), self._intake.get(key, 0))
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
