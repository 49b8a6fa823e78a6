"""What the messages and receipts that reached this device amount to: a pure fold over payloads.

Law: the same set of payloads gives the same rows, in any order and with any number of repeats.
"""

from __future__ import annotations

from dataclasses import dataclass


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
