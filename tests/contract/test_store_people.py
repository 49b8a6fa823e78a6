"""What every store promises, the people's side: inbox, receipts, ledger, what is still to be sealed."""

from __future__ import annotations

import pytest

from beepmesh.messages.content import ACKNOWLEDGED, DELIVERED, READ, Receipts
from beepmesh.messages.lifetimes import expires_ms
from beepmesh.store.contract import (
    FIND_MAX,
    Batch,
    Count,
    Invitation,
    Issued,
    LedgerLine,
    LedgerState,
    MessageQuery,
    Peer,
    Place,
    Recipient,
    Store,
    Unsealed,
)
from sync.ranges import Ranges
from tests.store.writing import (
    ANA,
    BEN,
    KEYS,
    ME,
    NOW_MS,
    OWN_LOG,
    Author,
    device_of,
    draft,
    incoming,
    marked,
    message_id,
    own,
    put,
    sealing,
    sent,
    text,
)

ENDS_MS = expires_ms(NOW_MS, 5)


def names(store: Store, query: MessageQuery) -> list[str]:
    return [message.row.text for message in store.messages(query)]


def received(store: Store, *names: str, person: bytes = ANA) -> None:
    seq = store.counts().get("seq", Count(0, 0)).count
    some = [incoming(text(name, name), person, seq + number) for number, name in enumerate(names)]
    put(store, Batch(payloads=tuple(some), counts={"seq": len(some)}))


def test_messages_come_in_the_order_of_arrival_and_of_too_many_the_newest(store: Store) -> None:
    received(store, "one", "two", "three")
    assert names(store, MessageQuery()) == ["one", "two", "three"]
    assert names(store, MessageQuery(limit=2)) == ["two", "three"]
    assert names(store, MessageQuery(limit=0)) == []


def test_a_follower_asks_with_the_last_number_it_saw(store: Store) -> None:
    received(store, "one", "two")
    last = store.messages(MessageQuery())[-1].number
    assert store.messages(MessageQuery(after=last)) == []
    received(store, "three")
    assert names(store, MessageQuery(after=last)) == ["three"]


def test_messages_are_chosen_by_direction_author_and_time(store: Store) -> None:
    received(store, "from ana")
    received(store, "from ben", person=BEN)
    sent(store, "mine", ANA)
    assert names(store, MessageQuery(direction="in")) == ["from ana", "from ben"]
    assert names(store, MessageQuery(direction="out")) == ["Come"]
    assert names(store, MessageQuery(direction="both")) == ["from ana", "from ben", "Come"]
    assert names(store, MessageQuery(person=BEN)) == ["from ben"]
    assert names(store, MessageQuery(direction="both", person=ME)) == ["Come"]
    assert names(store, MessageQuery(since_ms=NOW_MS + 5)) == ["from ana", "from ben"]
    assert names(store, MessageQuery(since_ms=NOW_MS + 6)) == []


def test_a_message_stays_unread_until_we_say_that_it_was_read(store: Store) -> None:
    received(store, "one", "two")
    marked(store, DELIVERED, "one", ANA)
    assert names(store, MessageQuery(unread=True)) == ["one", "two"]
    marked(store, READ, "one", ANA)
    assert names(store, MessageQuery(unread=True)) == ["two"]
    assert [message.state for message in store.messages(MessageQuery())] == [READ, 0]
    marked(store, ACKNOWLEDGED, "one", ANA)
    assert store.messages(MessageQuery())[0].state == ACKNOWLEDGED


def test_a_receipt_for_one_authors_message_does_not_hide_anothers_under_the_same_id(store: Store) -> None:
    received(store, "order", person=BEN)
    marked(store, READ, "order", BEN)
    received(store, "order", person=ANA)
    assert [message.row.sender_person for message in store.messages(MessageQuery(unread=True))] == [ANA]


def test_a_receipt_counts_for_a_message_that_comes_later(store: Store) -> None:
    marked(store, READ, "one", ANA)
    received(store, "one")
    assert store.messages(MessageQuery())[0].state == READ


def test_a_lesser_receipt_written_later_takes_nothing_back(store: Store) -> None:
    received(store, "before")
    for name in ("before", "after"):
        marked(store, READ, name, ANA)
        marked(store, DELIVERED, name, ANA)
    received(store, "after")
    assert [message.state for message in store.messages(MessageQuery())] == [READ, READ]


def test_a_receipt_counts_once_it_is_addressed(store: Store) -> None:
    received(store, "one")
    payload = own(Receipts(((message_id("one"), READ),)))
    put(store, Batch(payloads=(payload,)))
    assert store.messages(MessageQuery())[0].state == 0
    put(store, Batch(outbox=(Recipient(payload.message_id, ANA),)))
    assert store.messages(MessageQuery())[0].state == READ


def test_unreceipted_messages_are_those_without_any_receipt_oldest_first(store: Store) -> None:
    received(store, "one", "two", "three")
    sent(store, "mine", ANA)
    marked(store, DELIVERED, "two", ANA)
    assert [message.row.text for message in store.unreceipted()] == ["one", "three"]
    assert [message.row.text for message in store.unreceipted(1)] == ["one"]


def test_a_message_that_comes_again_is_one_message(store: Store) -> None:
    put(store, Batch(payloads=(incoming(text("one", "late"), ANA, 0, NOW_MS + 9),)))
    number = store.messages(MessageQuery())[0].number
    put(store, Batch(payloads=(incoming(text("one", "early"), ANA, 1, NOW_MS),)))
    put(store, Batch(payloads=(incoming(text("one", "same place"), ANA, 1, NOW_MS - 9),)))
    put(store, Batch(payloads=(incoming(text("one", "latest"), ANA, 2, NOW_MS + 10),)))
    (message,) = store.messages(MessageQuery())
    assert (message.row.text, message.number) == ("early", number)


def test_a_message_is_found_by_its_id_or_the_beginning_of_it(store: Store) -> None:
    received(store, "one", "two")
    sent(store, "mine", ANA)
    wanted = message_id("one")
    assert [message.row.message_id for message in store.find(wanted)] == [wanted]
    for length in (5, 6, 32):
        assert [message.row.message_id for message in store.find(wanted.hex()[:length].upper())] == [wanted]
    assert (
        store.find(wanted[:6])
        == store.find("xyz")
        == store.find(wanted.hex() + "0")
        == store.find("é")
        == store.find(" " * 2)
        == []
    )
    assert [message.row.mine for message in store.find("")] == [True, False, False]
    received(store, *(f"more {number}" for number in range(FIND_MAX)))
    assert len(store.find("")) == FIND_MAX


def test_an_own_payload_is_kept_as_it_was_written(store: Store) -> None:
    payload = own(text("one"))
    put(store, Batch(payloads=(payload,)))
    put(store, Batch(payloads=(own(text("one", "another")), incoming(text("two"), ANA, 0))))
    assert store.own_payload(message_id("one")) == payload
    assert store.own_payload(message_id("two")) is None


def test_the_ledger_tells_how_far_a_message_got(store: Store) -> None:
    sent(store, "order", ANA, sealed=False)
    order = message_id("order")

    def line() -> LedgerLine:
        (only,) = store.ledger(order, NOW_MS)
        return only

    assert line() == LedgerLine(ANA, "queued", None, "no-prekey", 0)
    put(store, Batch(drafts=(draft(sealed_to=(sealing("order", ANA),)),)))
    assert line() == LedgerLine(ANA, "queued", None, "nobody-met", 0)
    put(store, Batch(peer_settled=((device_of(BEN), OWN_LOG, Ranges.of((0, 1))), (b"r" * 16, OWN_LOG, Ranges()))))
    assert line() == LedgerLine(ANA, "carried", None, "", 1)
    put(store, Batch(peer_settled=((b"r" * 16, OWN_LOG, Ranges.of((0, 9))),)))
    assert line().carriers == 2
    states: list[tuple[int, LedgerState]] = [(DELIVERED, "delivered"), (READ, "read"), (ACKNOWLEDGED, "acknowledged")]
    for seq, (state, told) in enumerate(states):
        receipts = incoming(Receipts(((order, state),)), ANA, seq, NOW_MS + seq)
        put(store, Batch(payloads=(receipts,)))
        assert line() == LedgerLine(ANA, told, NOW_MS + seq, "", 2)
    put(store, Batch(payloads=(incoming(Receipts(((order, DELIVERED),)), ANA, 9, NOW_MS + 9),)))
    assert line() == LedgerLine(ANA, "acknowledged", NOW_MS + 2, "", 2)


def test_of_several_receipts_for_one_state_the_earliest_counts(store: Store) -> None:
    sent(store, "order", ANA)
    for seq, at_ms in enumerate([NOW_MS + 5, NOW_MS + 3, NOW_MS + 4]):
        said = Receipts(((message_id("order"), READ), (message_id(f"{seq}"), READ)))
        put(store, Batch(payloads=(incoming(said, ANA, seq, at_ms),)))
    assert [line.at_ms for line in store.ledger(message_id("order"), NOW_MS)] == [NOW_MS + 3]


def test_a_receipt_counts_for_its_own_person_only(store: Store) -> None:
    sent(store, "order", ANA, BEN)
    stranger = b"stranger".ljust(16)
    said = Receipts(((message_id("order"), READ),))
    put(store, Batch(payloads=(incoming(said, BEN, 0), incoming(said, stranger, 0))))
    assert [(line.person, line.state) for line in store.ledger(message_id("order"), NOW_MS)] == [
        (ANA, "queued"),
        (BEN, "read"),
    ]


def test_a_message_expires_by_its_authors_clock_unless_it_was_delivered(store: Store) -> None:
    sent(store, "order", ANA, BEN)
    put(store, Batch(payloads=(incoming(Receipts(((message_id("order"), DELIVERED),)), BEN, 0),)))
    assert [line.state for line in store.ledger(message_id("order"), ENDS_MS - 1)] == ["queued", "delivered"]
    assert [line.state for line in store.ledger(message_id("order"), ENDS_MS)] == ["expired", "delivered"]


def test_the_ledger_of_what_we_did_not_write_is_empty(store: Store) -> None:
    received(store, "one")
    assert store.ledger(message_id("one"), NOW_MS) == store.ledger(message_id("none"), NOW_MS) == []


def test_what_is_sealed_to_whom_is_told_while_the_message_lives(store: Store) -> None:
    sent(store, "first", ANA, BEN, sealed=False)
    sent(store, "second", ANA)
    put(store, Batch(drafts=(draft(sealed_to=(sealing("second", ANA, 2),)),)))
    none: frozenset[bytes] = frozenset()
    first = [Unsealed(message_id("first"), person, none, 2, ENDS_MS) for person in (ANA, BEN)]
    both = frozenset({device_of(ANA, 1), device_of(ANA, 2)})
    second = Unsealed(message_id("second"), ANA, both, 2, ENDS_MS)
    assert store.unsealed(NOW_MS) == [*first, second]
    assert store.unsealed(NOW_MS, [BEN]) == [first[1]]
    assert store.unsealed(NOW_MS, []) == store.unsealed(ENDS_MS) == []


def test_pending_entries_wait_until_they_are_opened_or_erased(store: Store) -> None:
    ana = Author("ana", ttl=0)
    run = ana.run(3)
    places = [Place(entry.feed, entry.lane, entry.seq) for entry in run]
    put(store, Batch(entries=run[:2], pending_add=(places[1], places[0], places[2])))
    assert store.unopened() == [places[1], places[0]]
    put(store, Batch(entries=run[2:], pending_remove=(places[1],)), NOW_MS + 1)
    assert store.unopened() == [places[0], places[2]]
    store.expire(NOW_MS + 3_600_000)
    assert store.unopened() == [places[2]]


def test_what_a_peer_said_last_is_what_it_has(store: Store) -> None:
    put(store, Batch(peer_settled=((b"r" * 16, OWN_LOG, Ranges.of((0, 9))),)))
    put(store, Batch(peer_settled=((b"r" * 16, OWN_LOG, Ranges.of((0, 2), (4, 5))),)))
    assert store.peer_settled(b"r" * 16) == {OWN_LOG: Ranges.of((0, 2), (4, 5))}
    assert store.peer_settled(b"s" * 16) == {}


def test_the_views_are_made_again_from_the_truth(store: Store) -> None:
    received(store, "one", "two")
    received(store, "one", person=BEN)
    sent(store, "order", ANA, BEN)
    marked(store, READ, "one", ANA)
    put(store, Batch(payloads=(incoming(Receipts(((message_id("order"), READ),)), BEN, 7),)))
    before = store.messages(MessageQuery(direction="both")), store.ledger(message_id("order"), NOW_MS)
    store.rebuild_views()
    assert (store.messages(MessageQuery(direction="both")), store.ledger(message_id("order"), NOW_MS)) == before
    assert [message.row.text for message in store.unreceipted()] == ["two", "one"]


def test_peers_are_told_latest_first_and_only_as_last_seen(store: Store) -> None:
    a, b = Peer(b"a" * 16, 5, "lan", "192.0.2.1:7700"), Peer(b"b" * 16, 6, "tcp", "[2001:db8::1]:7700")
    for peer in (Peer(b"a" * 16, 1, "lan", "old"), b, a):
        store.put_peer(peer)
    assert store.peers() == [b, a]
    store.put_peer(Peer(b"a" * 16, 6, "lan", "new"))
    assert [peer.device for peer in store.peers()] == [b"a" * 16, b"b" * 16]


def test_an_invitation_burns_once(store: Store) -> None:
    late, soon = Invitation(b"l" * 8, b"secret", NOW_MS + 2), Invitation(b"s" * 8, b"other", NOW_MS + 1)
    store.put_invitation(late)
    store.put_invitation(soon)
    assert store.invitations() == [soon, late]
    assert [store.burn(b"l" * 8, NOW_MS), store.burn(b"l" * 8, NOW_MS + 1), store.burn(b"x" * 8, NOW_MS)] == [
        True,
        False,
        False,
    ]
    store.put_invitation(late)
    assert store.invitations() == [soon, Invitation(late.id, late.data, late.expires_ms, NOW_MS)]


def test_issued_devices_counts_and_blobs_are_kept(store: Store) -> None:
    issued = [Issued(b"d" * 16, b"f" * 16, b"s" * 8, NOW_MS), Issued(b"e" * 16, b"g" * 16, b"t" * 8, NOW_MS)]
    for one in issued:
        store.put_issued(one)
    assert store.issued() == issued
    put(store, Batch(counts={"bad-signature": 2, "seen": 1}), NOW_MS)
    put(store, Batch(counts={"bad-signature": 3}), NOW_MS + 1)
    assert store.counts() == {"bad-signature": Count(5, NOW_MS + 1), "seen": Count(1, NOW_MS)}
    assert store.get("config") is None
    store.put("config", b"old")
    store.put("config", b"new")
    assert store.get("config") == b"new"


def test_an_empty_batch_changes_nothing_and_a_draft_needs_its_key(store: Store) -> None:
    committed = store.commit(Batch(), keys=KEYS, now_ms=NOW_MS)
    assert (committed.written, committed.states) == ((), {})
    with pytest.raises(KeyError):
        store.commit(Batch(drafts=(draft(),)), keys={}, now_ms=NOW_MS)
