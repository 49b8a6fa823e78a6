"""The same random operations on both stores give equal answers to every question. The reference is memory.py."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beepmesh.messages.content import Receipts
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
from beepmesh.store.memory import MemoryStore
from beepmesh.store.sqlite import open_store
from beepmesh.trust.facts import Fact
from sync.ranges import Ranges
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
    incoming,
    message_id,
    own,
    sealing,
    text,
)

LENGTH = 6


def _authors() -> list[Author]:
    made = [Author("ana", lane=0, ttl=0), Author("ana", lane=1, ttl=2), Author("ben", lane=0, ttl=5)]
    for author in made:
        author.run(LENGTH, author.name.encode() * 3)
    return made


AUTHORS = _authors()
LOGS = [*(author.log for author in AUTHORS), OWN_LOG, CONTROL_LOG]
ENTRIES = [entry for author in AUTHORS for entry in author.entries]
LIES = [author.entry(b"lie", seq=seq) for author in AUTHORS for seq in (1, 4)]
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
    st.binary(max_size=8),
    control=st.booleans(),
    lane=st.just(1),
    sealed_to=sealings,
    statement=st.none() | st.builds(Statement, st.integers(0, 4), st.binary(max_size=4)),
)
facts = st.builds(Fact, st.sampled_from([log.feed for log in LOGS]), seqs, st.integers(0, 4), st.binary(max_size=4))
recipients = st.builds(Recipient, st.sampled_from([*IDS, *(own(some).message_id for some in RECEIPTS)]), persons)
given_up = st.tuples(st.sampled_from([author.log for author in AUTHORS]), spans)
peer_settled = st.tuples(st.sampled_from([b"p" * 16, b"q" * 16]), logs, spans)
counts = st.dictionaries(st.sampled_from(["seen", "bad-signature"]), st.integers(1, 3))


# By index: hypothesis prints its strategies, and thirty entries are pages.
OFFERED = [*ENTRIES, *ENTRIES, *ENTRIES, *LIES]
offered = st.integers(0, len(OFFERED) - 1).map(lambda index: OFFERED[index])


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
            "entries": [store.entry(log, seq) for log in LOGS for seq in range(LENGTH + 2)],
            "reads": [
                store.read(log, start, stop, bytes_max=bytes_max, with_prev=bool(start))
                for log in LOGS
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
            "size": (store.size().entries, store.size().body_bytes),
        }


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.reference = MemoryStore()
        self.sqlite = open_store(self.folder, bytes(32))
        self.now_ms = NOW_MS

    def teardown(self) -> None:
        self.sqlite.close()
        shutil.rmtree(self.folder)

    @rule(batch=batches, hours=st.integers(0, 3))
    def write(self, batch: Batch, hours: int) -> None:
        self.now_ms += hours * 3_600_000
        self.commit(batch)

    def commit(self, batch: Batch) -> None:
        expected = self.reference.commit(batch, keys=KEYS, now_ms=self.now_ms)
        assert self.sqlite.commit(batch, keys=KEYS, now_ms=self.now_ms) == expected

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
        self.sqlite = open_store(self.folder, bytes(32))

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


TwoStores.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestTwoStores = TwoStores.TestCase
