"""What the messages and receipts that reached this device amount to: a pure fold over payloads.

Law: the same set of payloads gives the same rows, in any order and with any number of repeats. It holds because rows
of one key are joined by `merge_message` and `merge_receipt`, which commute, associate and are idempotent.

A message row is keyed by (message id, sender's person): an id is random, but anybody who has seen one could write it
again, and must not thereby cover another person's message. A receipt row is keyed by (message id, person, state), and
counts for a message only if that person was among its recipients; that question is the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from beepmesh.errors import Refused
from beepmesh.messages.content import KIND_TEXT, Receipts, Text, Unknown, decode_content
from beepmesh.messages.lifetimes import expires_ms

KIND_UNREADABLE = 0  # Content that this version can not decode although an earlier one kept it.


@dataclass(frozen=True, slots=True)
class Payload:
    """A content that was opened or authored here. It is truth: the prekey that opened it will be destroyed."""

    message_id: bytes  # 16 B, `content.content_id` of the content
    feed: bytes | None  # the entry it came in (16 B); None for one of our own that no entry carries yet
    lane: int
    seq: int
    sender: bytes  # device id, 16 B, proved by the signature inside the envelope
    sender_person: bytes  # the person of that device's certificate, 16 B
    received_ms: int  # our wall clock when it was opened, or written
    time_ms: int  # the author's time, from the entry's header
    content: bytes  # `content.decode_content` reads it
    mine: bool  # authored on this device
    ttl: int  # class, see lifetimes
    priority: int  # class, see lifetimes


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message, for the inbox or the outbox. `kind` is that of the content; 0 and unknown kinds have no text."""

    message_id: bytes
    sender_person: bytes
    sender: bytes
    kind: int
    to: tuple[bytes, ...]
    spec: str
    text: str
    priority: int
    ttl: int
    time_ms: int
    received_ms: int
    mine: bool

    @property
    def key(self) -> tuple[bytes, bytes]:
        return self.message_id, self.sender_person

    @property
    def expires_ms(self) -> int:
        return expires_ms(self.time_ms, self.ttl)


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One person reached one state with one message, first at `at_ms` on that person's device."""

    message_id: bytes
    person: bytes
    state: int
    at_ms: int
    received_ms: int
    device: bytes
    mine: bool  # authored on this device

    @property
    def key(self) -> tuple[bytes, bytes, int]:
        return self.message_id, self.person, self.state


Row = MessageRow | ReceiptRow


def rows_of(payload: Payload) -> list[Row]:
    """What one payload contributes. Never raises: what cannot be read is shown as that, not dropped."""
    try:
        content = decode_content(payload.content)
    except Refused:
        return [_message(payload, KIND_UNREADABLE)]
    match content:
        case Text(message_id=message_id, to=to, spec=spec, text=text, priority=priority):
            row = _message(payload, KIND_TEXT)
            return [replace(row, message_id=message_id, to=to, spec=spec, text=text, priority=priority)]
        case Receipts(items=items):
            return [_receipt(payload, message_id, state) for message_id, state in dict.fromkeys(items)]
        case Unknown(kind=kind):
            return [_message(payload, kind)]


def merge_message(one: MessageRow, other: MessageRow) -> MessageRow:
    """Of two rows with one key, the one written first: a message that is sealed again later stays what it was."""
    assert one.key == other.key
    first = min(one, other, key=_message_order)
    return replace(first, received_ms=min(one.received_ms, other.received_ms), mine=one.mine or other.mine)


def merge_receipt(one: ReceiptRow, other: ReceiptRow) -> ReceiptRow:
    """Of two rows with one key, the earlier."""
    assert one.key == other.key
    return min(one, other, key=lambda row: (row.at_ms, row.received_ms, row.device, row.mine))


def fold(payloads: Iterable[Payload]) -> tuple[list[MessageRow], list[ReceiptRow]]:
    """All rows, sorted by author's time and then by key: what the store's views must equal."""
    messages: dict[tuple[bytes, bytes], MessageRow] = {}
    receipts: dict[tuple[bytes, bytes, int], ReceiptRow] = {}
    for payload in payloads:
        for row in rows_of(payload):
            if isinstance(row, MessageRow):
                messages[row.key] = merge_message(messages.get(row.key, row), row)
            else:
                receipts[row.key] = merge_receipt(receipts.get(row.key, row), row)
    return (
        sorted(messages.values(), key=lambda row: (row.time_ms, row.key)),
        sorted(receipts.values(), key=lambda row: (row.at_ms, row.key)),
    )


def _message(payload: Payload, kind: int) -> MessageRow:
    return MessageRow(
        message_id=payload.message_id,
        sender_person=payload.sender_person,
        sender=payload.sender,
        kind=kind,
        to=(),
        spec="",
        text="",
        priority=payload.priority,
        ttl=payload.ttl,
        time_ms=payload.time_ms,
        received_ms=payload.received_ms,
        mine=payload.mine,
    )


def _receipt(payload: Payload, message_id: bytes, state: int) -> ReceiptRow:
    return ReceiptRow(
        message_id=message_id,
        person=payload.sender_person,
        state=state,
        at_ms=payload.time_ms,
        received_ms=payload.received_ms,
        device=payload.sender,
        mine=payload.mine,
    )


def _message_order(row: MessageRow) -> tuple[int, bytes, int, tuple[bytes, ...], str, str, int, int]:
    return row.time_ms, row.sender, row.kind, row.to, row.spec, row.text, row.priority, row.ttl
