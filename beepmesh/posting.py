"""From a content to what one commit writes: entries, the payload we keep, and whom it is meant for.

Law: what is posted is durable or not posted at all; a recipient who cannot be sealed to yet stands in the outbox, and
`upkeep.seal_waiting` seals to them when their prekeys have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beepmesh.author import Composed, compose
from beepmesh.home import Home
from beepmesh.messages.content import Content, content_id, encode_content
from beepmesh.messages.inbox import Payload
from beepmesh.store.contract import Batch, Draft, Recipient


@dataclass(frozen=True, slots=True)
class Posting:
    """A content and the persons (16 B each) it is for. `travels` False: a note to ourselves that no entry carries."""

    content: Content
    persons: tuple[bytes, ...]
    lane: int
    ttl: int
    priority: int
    travels: bool = True


def post(home: Home, postings: Sequence[Posting], now_ms: int) -> list[Composed]:
    """All of them in one transaction. Raises StoreProblem, Usage and TooLarge, and then nothing was accepted."""
    drafts: list[Draft] = []
    payloads: list[Payload] = []
    outbox: list[Recipient] = []
    composed: list[Composed] = []
    for posting in postings:
        entries = _compose(home, posting, now_ms)
        message_id = content_id(posting.content)
        drafts += entries.drafts
        payloads.append(_payload(home, posting, message_id, now_ms))
        outbox += [Recipient(message_id, person) for person in _meant(home, posting, entries)]
        composed.append(entries)
    home.commit(Batch(drafts=tuple(drafts), payloads=tuple(payloads), outbox=tuple(outbox)), now_ms)
    return composed


def _compose(home: Home, posting: Posting, now_ms: int) -> Composed:
    if not posting.travels:
        return Composed((), ())
    return compose(
        posting.content,
        tuple(dict.fromkeys((*posting.persons, home.identity.person))),
        identity=home.identity,
        roster=home.roster,
        believed_s=home.believed_s(now_ms),
        lane=posting.lane,
        ttl=posting.ttl,
        priority=posting.priority,
        entropy=home.entropy,
    )


def _meant(home: Home, posting: Posting, entries: Composed) -> list[bytes]:
    """The persons of the outbox: ourselves too where another device of ours still waits for its copy."""
    own = home.identity.person
    waits = any(person == own for person, _ in entries.missing) and own not in posting.persons
    return [*posting.persons, own] if waits else list(posting.persons)


def _payload(home: Home, posting: Posting, message_id: bytes, now_ms: int) -> Payload:
    dated_ms = home.dated_ms(now_ms)
    return Payload(
        message_id=message_id,
        feed=None,
        lane=posting.lane,
        seq=0,
        sender=home.identity.device,
        sender_person=home.identity.person,
        received_ms=dated_ms,
        time_ms=dated_ms,
        content=encode_content(posting.content),
        mine=True,
        ttl=posting.ttl,
        priority=posting.priority,
    )
