"""Authors and payloads for the store's tests: everything small, named and the same at every run."""

from __future__ import annotations

from dataclasses import dataclass, field

from beepmesh.crypto.primitives import SigningKey, sha256
from beepmesh.crypto.seal import face_of
from beepmesh.messages.content import Receipts, Text, content_id, encode_content
from beepmesh.messages.entry import NO_PREV, Entry, write
from beepmesh.messages.inbox import Payload
from beepmesh.messages.token import Token, token_of
from beepmesh.store.contract import Batch, Draft, Recipient, Sealing, Statement, Store
from sync.logs import LogId

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
ME, ANA, BEN = b"me".ljust(16, b"."), b"ana".ljust(16, b"."), b"ben".ljust(16, b".")
MY_DEVICE = b"my device".ljust(16, b".")
CONTROL, FEED = SigningKey(b"c" * 32), SigningKey(b"f" * 32)
KEYS = {True: CONTROL, False: FEED}
SECRET = bytes(range(16))
OWN_LOG = LogId(sha256(FEED.public)[:16], 1)
CONTROL_LOG = LogId(sha256(CONTROL.public)[:16], 0)


@dataclass
class Author:
    """Somebody else, who writes one linked log."""

    name: str
    lane: int = 1
    ttl: int = 5
    priority: int = 2
    entries: list[Entry] = field(default_factory=list)

    @property
    def key(self) -> SigningKey:
        return SigningKey(sha256(self.name.encode()))

    @property
    def log(self) -> LogId:
        return LogId(sha256(self.key.public)[:16], self.lane)

    def entry(self, body: bytes = b"sealed", seq: int | None = None) -> Entry:
        """The next entry, or another one in the place of an earlier one."""
        at = len(self.entries) if seq is None else seq
        made = write(
            self.key,
            lane=self.lane,
            seq=at,
            prev=self.entries[at - 1].id if at else NO_PREV,
            time_ms=NOW_MS + at,
            ttl=self.ttl,
            priority=self.priority,
            hints=b"hint",
            body=body,
        )
        if seq is None:
            self.entries.append(made)
        return made

    def run(self, count: int, body: bytes = b"sealed") -> tuple[Entry, ...]:
        return tuple(self.entry(body) for _ in range(count))


def envelope(text: bytes = b"sealed") -> bytes:
    """A body of which there can be a token."""
    return face_of(SECRET) + text


def token(entry: Entry) -> Token:
    """That it was delivered; its body is an `envelope`."""
    return token_of(entry, SECRET)


def message_id(name: str) -> bytes:
    return sha256(name.encode())[:16]


def device_of(person: bytes, number: int = 1) -> bytes:
    return sha256(b"%b%d" % (person, number))[:16]


def text(name: str, words: str = "Come") -> Text:
    return Text(message_id(name), (ANA, BEN), "", words, 2)


def own(content: Text | Receipts, time_ms: int = NOW_MS, ttl: int = 5) -> Payload:
    return Payload(
        content_id(content), None, 1, 0, MY_DEVICE, ME, time_ms, time_ms, encode_content(content), True, ttl, 2
    )


def incoming(content: Text | Receipts, person: bytes, seq: int, time_ms: int = NOW_MS, lane: int = 1) -> Payload:
    feed = sha256(person)[:16]
    return Payload(
        content_id(content), feed, lane, seq, device_of(person), person, NOW_MS + 5, time_ms, encode_content(content),
        False, 5, 2,
    )  # fmt: skip


def draft(
    body: bytes = b"own", *, control: bool = False, lane: int = 1, sealed_to: tuple[Sealing, ...] = (),
    statement: Statement | None = None, priority: int = 2,
) -> Draft:  # fmt: skip
    return Draft(control, lane, 5, priority, lambda feed, lane, seq: (b"hint", body), sealed_to, statement)


def sealing(name: str, person: bytes, number: int = 1) -> Sealing:
    return Sealing(message_id(name), person, device_of(person, number))


def sent(store: Store, name: str, *persons: bytes, sealed: bool = True) -> None:
    """An own text for these people, carried by one entry if it is sealed."""
    store.commit(
        Batch(
            payloads=(own(text(name)),),
            outbox=tuple(Recipient(message_id(name), person) for person in persons),
            drafts=(draft(sealed_to=tuple(sealing(name, person) for person in persons)),) if sealed else (),
        ),
        keys=KEYS,
        now_ms=NOW_MS,
    )


def marked(store: Store, state: int, name: str, author: bytes) -> None:
    """An own receipt for a message, meant for its author."""
    receipts = Receipts(((message_id(name), state),))
    payload = own(receipts)
    put(store, Batch(payloads=(payload,), outbox=(Recipient(payload.message_id, author),)))


def days_pass(store: Store, days: int, now_ms: int = NOW_MS) -> int:
    """A device is on for so many days and looks for what has expired on each; how much it erased."""
    return sum(store.expire(now_ms + day * DAY_MS) for day in range(1, days + 1))


def put(store: Store, batch: Batch, now_ms: int = NOW_MS) -> None:
    store.commit(batch, keys=KEYS, now_ms=now_ms)
