"""The fold: a set of payloads means the same in any order and with any repeats."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.messages.content import DELIVERED, READ, Receipts, Text, content_id, encode_content
from beepmesh.messages.inbox import KIND_UNREADABLE, MessageRow, Payload, ReceiptRow, fold, rows_of
from sync import cbor

ANA, BEN = b"ana".ljust(16), b"ben".ljust(16)
IDS = [bytes([n]) * 16 for n in range(3)]


def payload(
    content: Text | Receipts, *, person: bytes = ANA, time_ms: int = 1_000, received_ms: int = 2_000
) -> Payload:
    return Payload(
        content_id(content), b"f" * 16, 1, 0, person[::-1], person, received_ms, time_ms, encode_content(content),
        mine=False, ttl=5, priority=2,
    )  # fmt: skip


def a_text(message_id: bytes = IDS[0], text: str = "Come") -> Text:
    return Text(message_id, (BEN,), "", text, 1)


contents = st.one_of(
    st.builds(a_text, st.sampled_from(IDS), st.sampled_from(["", "one", "دو"])),
    st.builds(
        Receipts, st.lists(st.tuples(st.sampled_from(IDS), st.integers(1, 3)), min_size=1, max_size=4).map(tuple)
    ),
)
payloads = st.builds(
    lambda content, person, time_ms, received_ms: payload(
        content, person=person, time_ms=time_ms, received_ms=received_ms
    ),
    contents,
    st.sampled_from([ANA, BEN]),
    st.integers(1, 3),
    st.integers(1, 3),
)


@given(st.lists(payloads, max_size=8), st.data())
@settings(max_examples=200, deadline=None)
def test_the_same_payloads_give_the_same_rows_in_any_order(some: list[Payload], data: st.DataObject) -> None:
    again = data.draw(st.permutations([*some, *some[:3]]))
    assert fold(again) == fold(some)


def test_a_message_sealed_again_later_stays_what_it_was() -> None:
    first, later = payload(a_text(), time_ms=1_000), payload(a_text(), time_ms=5_000, received_ms=1_500)
    (row,), receipts = fold([later, first])
    assert (row.time_ms, row.received_ms, row.text, row.to, row.priority) == (1_000, 1_500, "Come", (BEN,), 1)
    assert row.expires_ms == 1_000 + 14 * 86_400_000
    assert receipts == []


def test_nobody_covers_another_persons_message_by_repeating_its_id() -> None:
    messages, _ = fold([payload(a_text()), payload(a_text(text="Forged"), person=BEN, time_ms=1)])
    assert {(row.sender_person, row.text) for row in messages} == {(ANA, "Come"), (BEN, "Forged")}


def test_the_first_device_that_delivered_is_the_one_that_counts() -> None:
    phone = payload(Receipts(((IDS[0], DELIVERED),)), person=BEN, time_ms=7)
    radio = replace(phone, sender=b"radio".ljust(16), time_ms=5)
    _, receipts = fold([phone, radio, payload(Receipts(((IDS[0], READ),)), person=BEN, time_ms=9)])
    assert [(row.state, row.at_ms, row.device) for row in receipts] == [
        (DELIVERED, 5, b"radio".ljust(16)),
        (READ, 9, BEN[::-1]),
    ]


def test_a_newer_kind_and_an_unreadable_content_are_rows_without_text() -> None:
    base = payload(a_text())
    newer = rows_of(replace(base, content=cbor.encode([1, 900, "form"])))
    broken = rows_of(replace(base, content=b"\xff"))
    assert [(row.kind, row.text) for row in newer + broken if isinstance(row, MessageRow)] == [
        (900, ""),
        (KIND_UNREADABLE, ""),
    ]


def test_one_batch_gives_one_row_for_each_message() -> None:
    rows = rows_of(payload(Receipts(((IDS[0], DELIVERED), (IDS[1], READ), (IDS[0], DELIVERED)))))
    assert [(row.message_id, row.state) for row in rows if isinstance(row, ReceiptRow)] == [(IDS[0], 1), (IDS[1], 2)]
