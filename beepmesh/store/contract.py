"""What a store promises, and the words it is spoken to in. Memory, SQLite and PostgreSQL keep the promise.

Law 1: a commit is all or nothing, and durable when it returns. Whatever it raises, everything is as it was.
Law 2: entries, facts, payloads, the outbox and the sealings are truth. Messages and receipts are views of them:
       `rebuild_views` makes them again and nothing changes.
Law 3: what is settled stays settled. A body may be erased; its header stays, verifies and is handed on. Where there is
       a limit, entries may be given up whole, least useful first (policy.py); what they were linked to is still known.
Law 4: an entry that is held is never replaced by another one of the same log and seq.
Law 5: the store verifies no signature and opens nothing sealed by others: what it is given was checked by its caller.
       It does see what contradicts what it holds, because only a transaction can: see `Committed.forks`.

A store is synchronous and is called by one thread at a time. Several processes may use one home: each write is one
transaction that waits up to five seconds for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from beepmesh.crypto.primitives import SigningKey, sha256
from beepmesh.messages.entry import NO_PREV, Entry, write
from beepmesh.messages.inbox import MessageRow, Payload
from beepmesh.messages.token import Token
from beepmesh.store.accounting import Accounts
from beepmesh.store.problem import StoreProblem
from beepmesh.trust.clock import author_time
from beepmesh.trust.facts import PREKEY_BUNDLE, Fact
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.ranges import Ranges

__all__ = [
    "BASE_AGE_MAX",
    "Batch",
    "Changes",
    "Committed",
    "Count",
    "Draft",
    "EVICTED_BYTES_MAX",
    "FIND_MAX",
    "Fact",
    "Fork",
    "Invitation",
    "Issued",
    "LedgerLine",
    "LedgerState",
    "Message",
    "MessageQuery",
    "PACKED_BYTES_MIN",
    "PEERS_REMEMBERED_MAX",
    "PERISHABLE_FACT",
    "Payload",
    "Peer",
    "Place",
    "ReadResult",
    "Recipient",
    "Sealing",
    "Size",
    "Statement",
    "Store",
    "StoreProblem",
    "Unsealed",
    "VIEWS_BYTES_MAX",
    "Worth",
    "feeds_of",
    "packed_bytes",
]

FIND_MAX = 8
PEERS_REMEMBERED_MAX = 64  # Who is forgotten costs one vector of all logs; a field device meets fewer.
VIEWS_BYTES_MAX = 1 << 20  # Of one memory, encoded: 50,000 logs. 64 hostile members cost 64 MiB at most.
# A session tells how it stood when it last looked; meanwhile others commit. So long ago may that be, in changes.
BASE_AGE_MAX = 256
EVICTED_BYTES_MAX = 32 << 20  # Given up in one commit: a second for which other processes wait.
# The one kind whose bodies expire: a newcomer needs the newest bundle only, but every certificate.
PERISHABLE_FACT = PREKEY_BUNDLE
PACKED_BYTES_MIN = 72  # What messages/entry.py packs in front of hints and body.


@dataclass(frozen=True, slots=True)
class Place:
    """Where one entry stands."""

    feed: bytes
    lane: int
    seq: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact to be: it gets its feed and seq together with the entry that carries it."""

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Sealing:
    """That an own message (16 B) was sealed to a device (16 B) of a person (16 B)."""

    message_id: bytes
    person: bytes
    device: bytes


@dataclass(frozen=True, slots=True)
class Recipient:
    """That an own message (16 B) is meant for a person (16 B)."""

    message_id: bytes
    person: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """An own entry to be. Its seq, prev and time are known only inside the transaction, so it is made there.

    `make(feed, lane, seq)` returns the hints and the body. What it raises undoes the whole commit and passes through.
    """

    control: bool
    """Into the control feed (signed by the device key) or the message feed."""
    lane: int
    ttl: int
    priority: int
    make: Callable[[bytes, int, int], tuple[bytes, bytes]]
    sealed_to: tuple[Sealing, ...] = ()
    statement: Statement | None = None

    def written(self, key: SigningKey, log: LogId, seq: int, last: Entry | None, now_ms: int) -> Entry:
        """The entry at seq of that log of key's, behind `last`, the newest; None only where the log is empty."""
        assert last is not None or seq == 0, "the newest own entry is always held"
        hints, body = self.make(log.feed, self.lane, seq)
        return write(
            key,
            lane=self.lane,
            seq=seq,
            prev=NO_PREV if last is None else last.id,
            time_ms=now_ms if last is None else author_time(now_ms, last.time_ms),
            ttl=self.ttl,
            priority=self.priority,
            hints=hints,
            body=body,
        )


@dataclass(frozen=True, slots=True)
class Fork:
    """Two signed entries of one place: the proof that the log's author said two things. Kept without bodies."""

    first: Entry
    second: Entry


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit writes, in this order."""

    entries: tuple[Entry, ...] = ()
    """Verified entries. One that is held already is ignored; one that contradicts a held one is a fork: it is not
    stored, the proof is, and the log is frozen."""
    settled: tuple[tuple[LogId, Ranges], ...] = ()
    """Given up for good: settled here without being held, so that no peer sends them again."""
    drafts: tuple[Draft, ...] = ()
    facts: tuple[Fact, ...] = ()
    """One place has one fact: a second one is ignored."""
    payloads: tuple[Payload, ...] = ()
    """Incoming ones are known by their place, own ones by their message id; a second one is ignored."""
    outbox: tuple[Recipient, ...] = ()
    """Whom the own payloads are meant for. A batch of receipts is meant for the sender of what it acknowledges:
    only that person's messages get the state, whatever ids they bear."""
    forks: tuple[Fork, ...] = ()
    """Each freezes its log."""
    pending_add: tuple[Place, ...] = ()
    pending_remove: tuple[Place, ...] = ()
    peer_settled: tuple[tuple[bytes, LogId, Ranges], ...] = ()
    """(device 16 B, log, everything it has settled there): replaces what it said before. Own logs are enough."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How much to add to the named counters."""
    proved: frozenset[bytes] = frozenset()
    """Ids of those `entries` whose own signature was checked, not only that of an entry linked to them. Own entries
    always are."""
    prove: tuple[Place, ...] = ()
    """Held entries whose own signature has been checked since."""
    mended: tuple[Entry, ...] = ()
    """With a checked signature. Where the same entry (the same id) is held unproved, its signature is replaced."""
    memories: tuple[tuple[bytes, Memory], ...] = ()
    """(device 16 B, what to remember of it): replaces what was known of that device. Written before anything else.
    Ignored if its base has not come yet (this store was rolled back), is more than BASE_AGE_MAX changes ago, or the
    views are more than VIEWS_BYTES_MAX. Of more than PEERS_REMEMBERED_MAX the least recently written is forgotten."""
    tokens: tuple[Token, ...] = ()
    """Checked by the caller, of `entries` or of others; written before these. A place has one: a second one is ignored.
    Its entry's place is settled from then on, and is no longer pending. What is held of it goes, or is not taken, but
    of an own entry the header stays, and all of it if it is held. One that contradicts what is known is a fork."""


@dataclass(frozen=True, slots=True)
class Committed:
    written: tuple[Entry, ...]
    """The entries made from the drafts, in their order."""
    states: dict[LogId, LogState]
    """The logs that this commit changed, as they are now."""
    forks: tuple[Fork, ...] = ()
    """What was offered against what is held: of one place, or neighbours whose hash link does not fit."""
    version: int = 0
    """The number of this commit; of the newest change if this one changed no log."""
    evicted: int = 0
    """How many entries and tokens were given up so that the rest stays within the limit; counted as "evicted", too."""
    purged: int = 0
    """How many entries went because their tokens came. They are counted as "purged", too."""
    delivered: tuple[Sealing, ...] = ()
    """Of which own messages the tokens of this commit tell, and to whom. Own receipts are none."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Remember `version` and ask with it next time."""

    version: int
    states: dict[LogId, LogState]
    """In the order of their numbers."""
    numbers: dict[LogId, int]
    """The number of the commit that changed each of these logs last."""


@dataclass(frozen=True, slots=True)
class ReadResult:
    prev: bytes | None
    """The id before the first entry, where it was asked for and there is a first entry."""
    entries: tuple[Entry, ...]
    """Consecutive from the start; empty where the first is not held."""
    gone: Ranges
    """What of the asked span is settled here and not held, or held though its token is: the token is told instead."""
    proved: frozenset[bytes] = frozenset()
    """Ids of those `entries` whose own signature was checked."""
    tokens: tuple[Token, ...] = ()
    """Of a token log: consecutive from the start, and no entries. Nothing links them: `prev` is zeros."""
    above: bytes | None = None
    """What the entry right above `entries` names as its predecessor, where its token tells it: it vouches for them."""


def feeds_of(keys: Mapping[bool, SigningKey]) -> frozenset[bytes]:
    """The feeds that these keys write."""
    return frozenset(sha256(key.public)[:16] for key in keys.values())


def packed_bytes(entry: Entry) -> int:
    """What the entry takes on the air, within 36 bytes: an erased body counts as none."""
    return PACKED_BYTES_MIN + len(entry.hints) + len(entry.body or b"")


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages. They come in the order of arrival; of too many, the newest."""

    direction: Literal["in", "out", "both"] = "in"
    unread: bool = False
    """Only incoming ones for which no read receipt was written."""
    person: bytes | None = None
    """Only those this person wrote."""
    since_ms: int = 0
    """Received, or written here, at this time or later."""
    after: int = 0
    """Only with a greater number: what to ask with to follow."""
    limit: int = 1_000


@dataclass(frozen=True, slots=True)
class Message:
    number: int
    """Counts what arrived or was written here, with gaps, never twice: a cursor."""
    row: MessageRow
    state: int
    """The highest receipt that we wrote for it: 0 none, 1 delivered, 2 read, 3 acknowledged. 0 for own ones."""
    intake: int = 0
    """Its number among those that came in since `number_intake` was said (each process says it for itself), from 1
    without gaps, given by the commit that kept it; 0 for others."""


LedgerState = Literal["queued", "carried", "delivered", "read", "acknowledged", "expired"]


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What became of an own message for one recipient."""

    person: bytes
    state: LedgerState
    at_ms: int | None
    """When, by the clock of the recipient's device, or by ours if a token tells it; None for what only we know."""
    reason: str
    """For queued: "no-prekey" (sealed to none of the person's devices yet) or "nobody-met". Else empty."""
    carriers: int
    """How many devices that we met hold it."""


@dataclass(frozen=True, slots=True)
class Unsealed:
    """An own message that still lives, one of its recipients, and the person's devices it is sealed to."""

    message_id: bytes
    person: bytes
    devices: frozenset[bytes]
    priority: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A device that we were linked to, and how. The latest seen is told first."""

    device: bytes
    last_seen_ms: int
    transport: str
    address: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """One that this device gave out. `data` is the caller's, secret included; it rests sealed. The first to expire is
    told first."""

    id: bytes
    data: bytes
    expires_ms: int
    burnt_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A device that this device let in. The tie from person to feed exists only here."""

    device: bytes
    feed: bytes
    serial: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Count:
    count: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Size:
    entries: int
    body_bytes: int
    """Of the bodies that are still here."""
    file_bytes: int
    """On the disk, write-ahead log included."""
    used_bytes: int = 0
    """What the limit is about: of the file, without what is free in it."""
    limit_bytes: int | None = None


Worth = Callable[[tuple[LogId, int], int], float]
"""What a copy at (log, seq) is worth that names that crowd (`Carrying.worth`)."""


class Store(Accounts, Protocol):
    """Every method may raise StoreProblem; what else is said with each."""

    @property
    def writable(self) -> bool:
        """False where the home could only be opened for reading: every write then raises StoreProblem("read-only")."""
        ...

    def close(self) -> None: ...

    # --- logs ---
    def commit(self, batch: Batch, *, keys: Mapping[bool, SigningKey], now_ms: int) -> Committed:
        """Write it all or nothing, durably. `keys[control]` signs the drafts. See the laws above."""
        ...

    def states(self) -> dict[LogId, LogState]:
        """Every log of which something is settled."""
        ...

    def frozen(self) -> set[LogId]:
        """The logs with a proven fork. Whether they still grow is the caller's rule."""
        ...

    def forks(self) -> list[Fork]: ...

    def changed_since(self, version: int) -> Changes:
        """The logs that any process changed since that version (0: ever). Costs what has changed, not what is held."""
        ...

    def epoch(self) -> int:
        """32 bits drawn when the store was made: change numbers of another epoch say nothing about this one."""
        ...

    def renew_epoch(self) -> int:
        """For a store that was rolled back: its numbers will be given again, to other changes."""
        ...

    def recall(self, device: bytes) -> Memory | None:
        """What was remembered of it last, its views completed: every log that changed after `base` is among them, with
        what we had settled at `base` unless it was remembered otherwise (nothing, if we did not know the log). So of a
        log that is not among them the peer had just what we have now. Costs the logs changed since, not what is held.
        """
        ...

    def forget(self, device: bytes) -> None:
        """What was remembered of it. Its entries, and what it settled of our logs, stay."""
        ...

    def limit(self, bytes_max: int | None, carried_max: int | None = None) -> None:
        """From now on a commit that leaves the store larger, or holds more bytes of bodies for others than
        `carried_max`, gives up entries, in the order of policy.py, until it is not, or nothing is left that may go;
        each process says it for itself."""
        ...

    def appraise(self, worth: Worth) -> None:
        """Of large mail that goes for want of room, that goes first which is worth least."""
        ...

    def crowds(self, log: LogId, start: int, stop: int, /) -> dict[int, int]:
        """Of the envelopes of this span that are held, the crowd of each, by seq. LANE_URGENT has none."""
        ...

    def read(self, log: LogId, start: int, stop: int, /, *, bytes_max: int, with_prev: bool) -> ReadResult:
        """Entries from start on, before stop, packed within bytes_max; but always the first one, however large."""
        ...

    def entry(self, log: LogId, seq: int, /) -> Entry | None: ...

    def expire(self, now_ms: int) -> int:
        """Erase the bodies whose lifetime has passed; returns how many. To be called every hour.

        Counted by a clock of the store's own, which only this call moves: see policy.HoldingClock. It also empties the
        write-ahead log, of what was given up too. Certificates, revocations and fork proofs keep their bodies: without
        them a newcomer could judge no later entry."""
        ...

    # --- people's side ---
    def facts(self, skip: int = 0) -> list[Fact]:
        """In the order in which they were learned, without the first `skip`: none is ever removed."""
        ...

    def messages(self, query: MessageQuery) -> list[Message]: ...

    def find(self, prefix: bytes | str) -> list[Message]:
        """Messages of that id (16 B), or whose id in hex begins so; own ones first, at most eight."""
        ...

    def own_payload(self, message_id: bytes) -> Payload | None:
        """What we wrote, to be sealed to one more device."""
        ...

    def ledger(self, message_id: bytes, now_ms: int) -> list[LedgerLine]:
        """One line for each recipient of an own message, in the order of the person ids; empty for any other."""
        ...

    def unsealed(self, now_ms: int, persons: Collection[bytes] | None = None) -> list[Unsealed]:
        """Own payloads that still live, for each recipient (among these persons), oldest first."""
        ...

    def unreceipted(self, limit: int = 1_000) -> list[Message]:
        """Incoming messages for which we have written no receipt at all, oldest first."""
        ...

    def unopened(self) -> list[Place]:
        """The pending entries that still have a body, in the order in which they were added."""
        ...

    # --- neighbours, invitations, odds and ends ---
    def peer_settled(self, device: bytes) -> dict[LogId, Ranges]: ...

    def peers(self) -> list[Peer]: ...

    def put_peer(self, peer: Peer) -> None:
        """Replaces what was known of that device. The roster bounds how many there are."""
        ...

    def put_invitation(self, invitation: Invitation) -> None: ...

    def invitations(self) -> list[Invitation]: ...

    def burn(self, invitation_id: bytes, now_ms: int) -> bool:
        """True for exactly one caller, however many processes ask: the one who may use it."""
        ...

    def put_issued(self, issued: Issued) -> None: ...

    def issued(self) -> list[Issued]: ...

    def counts(self) -> dict[str, Count]: ...

    def get(self, name: str) -> bytes | None: ...

    def put(self, name: str, value: bytes) -> None: ...

    def size(self) -> Size: ...

    def rebuild_views(self) -> None: ...
