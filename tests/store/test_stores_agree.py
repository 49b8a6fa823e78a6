"""The same random operations on both stores give equal answers to every question. The reference is memory.py."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beepmesh.messages.content import Receipts
from beepmesh.messages.lifetimes import BULK, ROUTINE, SOS
from beepmesh.messages.token import TOKEN_PACKED_BYTES, token_log
from beepmesh.store import memories, memory_logs
from beepmesh.store.accounting import month_of
from beepmesh.store.contract import (
    Batch,
    Draft,
    Fork,
    Invitation,
    Issued,
    MessageQuery,
    Payload,
    Peer,
    Place,
    Recipient,
    Statement,
    Store,
)
from beepmesh.store.database import SqliteDatabase
from beepmesh.store.memory import MemoryStore
from beepmesh.store.sqlite import open_store
from beepmesh.trust.facts import Fact
from sync.logs import LogId
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from tests.store.writing import (
    ANA,
    BEN,
    CONTROL_LOG,
    KEYS,
    ME,
    NOW_MS,
    OWN_LOG,
    Author,
    draft,
    envelope,
    incoming,
    message_id,
    own,
    sealing,
    text,
    token,
)

LENGTH = 6
BASE_AGE_MAX = 3
DEVICES = [b"p" * 16, b"q" * 16, b"r" * 16]


def same_entropy(size: int) -> bytes:
    return bytes(size)


def packed_sum(connection: sqlite3.Connection) -> int:
    query = "SELECT coalesce(sum(72 + length(hints) + coalesce(length(body), 0)), 0) FROM entries"
    (total,) = connection.execute(query).fetchone()
    (tokens,) = connection.execute("SELECT count(*) FROM tokens").fetchone()
    assert isinstance(total, int)
    assert isinstance(tokens, int)
    return total + TOKEN_PACKED_BYTES * tokens


def _authors() -> list[Author]:
    made = [
        Author("ana", lane=0, ttl=0),
        Author("ana", lane=1, ttl=2),
        Author("ben", lane=0, ttl=5, priority=SOS),
        Author("ben", lane=2, ttl=1, priority=BULK),
    ]
    for author in made:
        author.run(LENGTH, envelope(author.name.encode() * 3))
    return made


AUTHORS = _authors()
LOGS = [*(author.log for author in AUTHORS), OWN_LOG, CONTROL_LOG]
ENTRIES = [entry for author in AUTHORS for entry in author.entries]
TOKEN_LOGS = [token_log(log) for log in LOGS]
LIES = [author.entry(envelope(b"lie"), seq=seq) for author in AUTHORS for seq in (1, 4)]
FORKS = [Fork(author.entries[seq], author.entry(b"other", seq=seq)) for author in AUTHORS for seq in (0, 3)]
NAMES = ("one", "two", "order")
IDS = [message_id(name) for name in NAMES]
PERSONS = (ANA, BEN, ME)
RECEIPTS = [Receipts(((one, state),)) for one in IDS for state in (1, 2, 3)] + [Receipts(((IDS[0], 1), (IDS[1], 9)))]

times = st.integers(0, 20).map(lambda hours: NOW_MS + hours * 3_600_000)
seqs = st.integers(0, LENGTH + 1)
spans = st.lists(st.tuples(seqs, seqs), max_size=3).map(lambda some: Ranges.of(*some))
persons = st.sampled_from(PERSONS)
names = st.sampled_from(NAMES)
logs = st.sampled_from(LOGS)
places = st.builds(Place, st.sampled_from([author.log.feed for author in AUTHORS]), st.integers(0, 1), seqs)
contents = st.one_of(st.builds(text, names, st.sampled_from(["Come", "Go"])), st.sampled_from(RECEIPTS))
payloads = st.one_of(
    st.builds(own, contents, times, st.integers(0, 5)),
    st.builds(incoming, contents, st.sampled_from([ANA, BEN]), seqs, times),
)
sealings = st.lists(st.builds(sealing, names, persons, st.integers(1, 2)), max_size=3).map(tuple)
drafts = st.builds(
    draft,
    st.binary(max_size=8).map(envelope),
    control=st.booleans(),
    lane=st.just(1),
    priority=st.sampled_from([ROUTINE, BULK]),
    sealed_to=sealings,
    statement=st.none() | st.builds(Statement, st.integers(0, 4), st.binary(max_size=4)),
)
facts = st.builds(Fact, st.sampled_from([log.feed for log in LOGS]), seqs, st.integers(0, 4), st.binary(max_size=4))
recipients = st.builds(Recipient, st.sampled_from([*IDS, *(own(some).message_id for some in RECEIPTS)]), persons)
given_up = st.tuples(st.sampled_from([author.log for author in AUTHORS]), spans)
peer_settled = st.tuples(st.sampled_from([b"p" * 16, b"q" * 16]), logs, spans)
peers = st.sampled_from(DEVICES)
views = st.dictionaries(st.sampled_from([*LOGS, *TOKEN_LOGS, LogId(b"unknown".ljust(16), 1)]), spans, max_size=3)
counts = st.dictionaries(st.sampled_from(["seen", "bad-signature"]), st.integers(1, 3))


# By index: hypothesis prints its strategies, and thirty entries are pages.
ERASED = [entry.erased() for entry in ENTRIES]
SPOILT = [entry._replace(signature=bytes(64)) for entry in ENTRIES]
OFFERED = [*ENTRIES, *ENTRIES, *SPOILT, *ERASED, *LIES]
offered = st.integers(0, len(OFFERED) - 1).map(lambda index: OFFERED[index])
checked = st.integers(0, len(ENTRIES) - 1).map(lambda index: ENTRIES[index])
TOKENS = [token(entry) for entry in (*ENTRIES, *ENTRIES, *LIES)]
told = st.integers(0, len(TOKENS) - 1).map(lambda index: TOKENS[index])


def some(of: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(of, max_size=3).map(tuple)


batches = st.builds(
    Batch,
    entries=st.lists(offered, max_size=8).map(tuple),
    settled=some(given_up),
    drafts=some(drafts),
    facts=some(facts),
    payloads=some(payloads),
    outbox=some(recipients),
    forks=some(st.integers(0, len(FORKS) - 1).map(lambda index: FORKS[index])),
    pending_add=some(places),
    pending_remove=some(places),
    peer_settled=some(peer_settled),
    counts=counts,
    proved=st.lists(checked, max_size=3).map(lambda entries: frozenset(entry.id for entry in entries)),
    prove=some(places),
    mended=some(checked),
    tokens=some(told),
)


def _failing(feed: bytes, lane: int, seq: int) -> tuple[bytes, bytes]:
    raise LookupError


@dataclass
class Answers:
    """Everything a store can be asked, asked."""

    store: Store
    now_ms: int
    said: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        store, now_ms = self.store, self.now_ms
        self.said = {
            "states": store.states(),
            "frozen": store.frozen(),
            "forks": store.forks(),
            "changes": [store.changed_since(version) for version in (0, 1, 3)],
            "entries": [store.entry(log, seq) for log in (*LOGS, *TOKEN_LOGS) for seq in range(LENGTH + 2)],
            "reads": [
                store.read(log, start, stop, bytes_max=bytes_max, with_prev=bool(start))
                for log in (*LOGS, *TOKEN_LOGS)
                for start, stop, bytes_max in [(0, LENGTH, 200), (2, LENGTH + 2, 10_000), (3, 3, 0)]
            ],
            "facts": store.facts(),
            "messages": [
                store.messages(query)
                for query in (
                    MessageQuery(direction="both"),
                    MessageQuery(direction="out", limit=1),
                    MessageQuery(unread=True),
                    MessageQuery(person=ANA, since_ms=NOW_MS + 1),
                    MessageQuery(direction="both", after=2, limit=2),
                )
            ],
            "found": [store.find(prefix) for prefix in ("", IDS[0], IDS[1].hex()[:7])],
            "own": [store.own_payload(one) for one in IDS],
            "ledger": [store.ledger(one, now_ms) for one in IDS],
            "unsealed": [store.unsealed(now_ms), store.unsealed(0, [ANA])],
            "unreceipted": [store.unreceipted(), store.unreceipted(1)],
            "unopened": store.unopened(),
            "peer_settled": store.peer_settled(b"p" * 16),
            "peers": store.peers(),
            "invitations": store.invitations(),
            "issued": store.issued(),
            "counts": store.counts(),
            "blob": store.get("blob"),
            "size": replace(store.size(), file_bytes=0),
            "epoch": store.epoch(),
            "memories": [store.recall(device) for device in DEVICES],
            "usage": [store.usage(month_of(NOW_MS) + months) for months in range(4)],
            "relayed": [store.relayed(month_of(NOW_MS) + months) for months in range(-1, 3)],
        }


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        for module in (memories, memory_logs):
            self.patch.setattr(module, "BASE_AGE_MAX", BASE_AGE_MAX)
            self.patch.setattr(module, "PEERS_REMEMBERED_MAX", len(DEVICES) - 1)
        # The reference has no pages: both give up by the bytes of what they hold.
        self.patch.setattr(SqliteDatabase, "used_bytes", lambda _, connection: packed_sum(connection))
        self.reference = MemoryStore(same_entropy)
        self.sqlite = open_store(self.folder, bytes(32), same_entropy)
        self.now_ms = NOW_MS
        self.bytes_max: int | None = None
        self.numbers_intake = self.keeps_accounts = False
        self.settled: list[dict[LogId, Ranges]] = [{}]
        """After each change, by its number."""
        self.remembered: dict[bytes, Memory] = {}

    def teardown(self) -> None:
        self.sqlite.close()
        self.patch.undo()
        shutil.rmtree(self.folder)

    @rule(batch=batches, hours=st.integers(0, 3) | st.sampled_from([20 * 24, 40 * 24]))
    def write(self, batch: Batch, hours: int) -> None:
        self.now_ms += hours * 3_600_000
        self.commit(batch)

    def commit(self, batch: Batch) -> None:
        expected = self.reference.commit(batch, keys=KEYS, now_ms=self.now_ms)
        assert self.sqlite.commit(batch, keys=KEYS, now_ms=self.now_ms) == expected
        if expected.version == len(self.settled):
            self.settled.append({log: state.settled for log, state in self.reference.states().items()})
        assert expected.version == len(self.settled) - 1

    @rule(contents=st.lists(payloads, min_size=1, max_size=6), outbox=st.lists(recipients, min_size=1, max_size=6))
    def hear(self, contents: list[Payload], outbox: list[Recipient]) -> None:
        for payload in contents:
            self.commit(Batch(payloads=(payload,)))
        self.commit(Batch(payloads=tuple(contents), outbox=tuple(outbox)))

    @rule(batch=batches)
    def fail(self, batch: Batch) -> None:
        failing = Batch(entries=batch.entries, drafts=(*batch.drafts, Draft(False, 1, 5, 2, _failing)))
        for store in (self.reference, self.sqlite):
            try:
                store.commit(failing, keys=KEYS, now_ms=self.now_ms)
            except LookupError:
                continue
            raise AssertionError("a failing draft was committed")

    @rule(delivered=st.sets(st.integers(0, LENGTH), min_size=1), batch=batches)
    def deliver_own(self, delivered: set[int], batch: Batch) -> None:
        entries = [self.reference.entry(OWN_LOG, seq) for seq in delivered]
        tokens = tuple(token(entry) for entry in entries if entry is not None and entry.body is not None)
        self.commit(replace(batch, tokens=tokens))

    @rule(hours=st.integers(0, 30))
    def expire(self, hours: int) -> None:
        self.now_ms += hours * 3_600_000
        assert self.sqlite.expire(self.now_ms) == self.reference.expire(self.now_ms)

    @rule()
    def rebuild(self) -> None:
        self.sqlite.rebuild_views()

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = open_store(self.folder, bytes(32), same_entropy)
        self.sqlite.limit(self.bytes_max)
        if self.numbers_intake:
            self.sqlite.number_intake()
        if self.keeps_accounts:
            self.sqlite.keep_accounts()

    @rule()
    def keep_accounts(self) -> None:
        self.keeps_accounts = True
        self.reference.keep_accounts()
        self.sqlite.keep_accounts()

    @rule(months=st.integers(-1, 2), sent=st.dictionaries(st.sampled_from(DEVICES), st.integers(0, 9)))
    def relay(self, months: int, sent: dict[bytes, int]) -> None:
        for store in (self.reference, self.sqlite):
            store.note_relayed(month_of(NOW_MS) + months, sent)

    @rule()
    def number_intake(self) -> None:
        self.numbers_intake = True
        self.reference.number_intake()
        self.sqlite.number_intake()

    @rule(bytes_max=st.none() | st.integers(0, 6_000))
    def limit(self, bytes_max: int | None) -> None:
        self.bytes_max = bytes_max
        self.reference.limit(bytes_max)
        self.sqlite.limit(bytes_max)

    @rule(device=peers, back=st.integers(-1, BASE_AGE_MAX + 1), views=views, batch=batches, seed=st.integers(0, 9))
    def remember(self, device: bytes, back: int, views: dict[LogId, Ranges], batch: Batch, seed: int) -> None:
        newest = len(self.settled) - 1
        base = max(newest - back, 0)
        memory = Memory(seed, seed, seed, base, seed, bytes([seed]) * 32, views)
        if newest - BASE_AGE_MAX <= base <= newest:
            self.remembered.pop(device, None)
            self.remembered[device] = memory
            if len(self.remembered) == len(DEVICES):
                del self.remembered[next(iter(self.remembered))]
        self.commit(replace(batch, memories=((device, memory),)))

    @rule(device=peers)
    def forget(self, device: bytes) -> None:
        self.remembered.pop(device, None)
        self.reference.forget(device)
        self.sqlite.forget(device)

    @rule()
    def renew_epoch(self) -> None:
        assert self.sqlite.renew_epoch() == self.reference.renew_epoch()

    @rule(device=st.sampled_from([b"p" * 16, b"q" * 16]), address=st.text(max_size=5), last_seen_ms=st.integers(0, 3))
    def meet(self, device: bytes, address: str, last_seen_ms: int) -> None:
        for store in (self.reference, self.sqlite):
            store.put_peer(Peer(device, last_seen_ms, "lan", address))

    @rule(name=st.sampled_from([b"i" * 8, b"j" * 8]), data=st.binary(max_size=4), expires_ms=st.integers(0, 3))
    def invite(self, name: bytes, data: bytes, expires_ms: int) -> None:
        for store in (self.reference, self.sqlite):
            store.put_invitation(Invitation(name, data, expires_ms))
            store.put_issued(Issued(name * 2, name * 2, name, expires_ms))
            store.put("blob", data)

    @rule(name=st.sampled_from([b"i" * 8, b"j" * 8]))
    def burn(self, name: bytes) -> None:
        assert self.sqlite.burn(name, self.now_ms) == self.reference.burn(name, self.now_ms)

    @invariant()
    def they_answer_alike(self) -> None:
        expected, answered = Answers(self.reference, self.now_ms).said, Answers(self.sqlite, self.now_ms).said
        for question, answer in expected.items():
            assert answered[question] == answer, question

    @invariant()
    def memories_say_what_was_settled_when_they_were_made(self) -> None:
        now = self.settled[-1]
        for device in DEVICES:
            recalled, memory = self.sqlite.recall(device), self.remembered.get(device)
            if memory is None:
                assert recalled is None
                continue
            assert recalled is not None
            assert replace(recalled, views=memory.views) == memory
            then = self.settled[memory.base] | dict(memory.views)
            for log in [*LOGS, *TOKEN_LOGS, *memory.views]:
                assert recalled.views.get(log, now.get(log, NOTHING)) == then.get(log, NOTHING)

    @invariant()
    def no_past_is_kept_that_nobody_needs(self) -> None:
        with self.sqlite._database.reading() as connection:
            pasts = connection.execute("SELECT since, until FROM pasts").fetchall()
        bases = [memory.base for memory in self.remembered.values()]
        for since, until in pasts:
            assert until > len(self.settled) - 1 - BASE_AGE_MAX or any(since <= base < until for base in bases)


TwoStores.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestTwoStores = TwoStores.TestCase
