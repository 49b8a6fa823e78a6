"""Contents of messages: every text comes back as it was, every other sequence of bytes is refused in one way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.errors import Refused, TooLarge, Usage
from beepmesh.messages.content import (
    CONTENT_BYTES_MAX,
    PERSONS_MAX,
    RECEIPTS_MAX,
    SPEC_BYTES_MAX,
    TEXT_BYTES_MAX,
    Receipts,
    Text,
    Unknown,
    content_id,
    decode_content,
    encode_content,
)
from sync import cbor

ID = bytes(range(16))
ids = st.binary(min_size=16, max_size=16)
texts = st.builds(
    Text,
    ids,
    st.lists(ids, max_size=4).map(tuple),
    st.text(max_size=40),
    st.text(max_size=200),
    st.integers(0, 3),
)
receipts = st.builds(Receipts, st.lists(st.tuples(ids, st.integers(0, 255)), min_size=1, max_size=5).map(tuple))


def a_text(text: str = "Bridge at Mingora is open.") -> Text:
    return Text(ID, (b"p" * 16,), "", text, 2)


def fields(**changed: object) -> list[object]:
    whole: dict[str, object] = {
        "version": 1, "kind": 1, "id": ID, "to": [b"p" * 16], "spec": "", "text": "x", "priority": 2,
    }  # fmt: skip
    return list((whole | changed).values())


def refusal(data: bytes) -> str | None:
    try:
        decode_content(data)
    except Refused as refused:
        return refused.reason
    return None


@given(texts | receipts)
@settings(max_examples=150, deadline=None)
def test_what_was_written_is_what_is_read(content: Text | Receipts) -> None:
    assert decode_content(encode_content(content)) == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "سیلاب کا پانی پل تک آ گیا ہے",
        "🚑 2 زخمی, 1 dead",
        "a\x00b\x1b[31mred\x07",
        "\u202ereversed",
        "e\u0301 is not é",
        "\n\r\t",
    ],
)
def test_any_characters_survive_unchanged(text: str) -> None:
    assert decode_content(encode_content(a_text(text))) == a_text(text)


def test_a_lone_surrogate_is_wrongly_asked_not_a_crash() -> None:
    with pytest.raises(Usage, match="Unicode"):
        encode_content(a_text("from argv \udcff"))


def test_the_largest_text_to_the_most_people_fits_and_one_step_beyond_does_not() -> None:
    most = Text(ID, (b"p" * 16,) * PERSONS_MAX, "s" * SPEC_BYTES_MAX, "t" * TEXT_BYTES_MAX, 3)
    assert decode_content(encode_content(most)) == most
    assert len(encode_content(most)) <= CONTENT_BYTES_MAX - 4_000
    with pytest.raises(TooLarge, match="65536"):
        encode_content(a_text("t" * (TEXT_BYTES_MAX + 1)))
    with pytest.raises(TooLarge):
        encode_content(a_text("پ" * (TEXT_BYTES_MAX // 2 + 1)))
    with pytest.raises(TooLarge):
        encode_content(Text(ID, (b"p" * 16,) * (PERSONS_MAX + 1), "", "", 2))
    with pytest.raises(TooLarge):
        encode_content(Text(ID, (), "s" * (SPEC_BYTES_MAX + 1), "", 2))


@pytest.mark.parametrize(
    "bad",
    [
        fields(text="t" * (TEXT_BYTES_MAX + 1)),
        fields(to=[b"p" * 16] * (PERSONS_MAX + 1)),
        fields(to=[b"p" * 15]),
        fields(to=ID),
        fields(to=["p" * 16]),
        fields(spec="s" * (SPEC_BYTES_MAX + 1)),
        fields(spec=None),
        fields(id=b"short"),
        fields(priority=4),
        fields(priority=-1),
        fields(priority=True),
        fields(text=b"bytes"),
        fields()[:-1],
        fields(version=True),
        fields(version=-1),
        fields(kind="1"),
        [],
        [1],
        {},
        None,
        5,
        [1, 2],
        [1, 2, []],
        [1, 2, [[ID, 1]] * (RECEIPTS_MAX + 1)],
        [1, 2, [[ID]]],
        [1, 2, [[ID, 256]]],
        [1, 2, [ID, 1]],
    ],
)
def test_a_malformed_content_is_refused(bad: object) -> None:
    with pytest.raises(Refused) as refused:
        decode_content(cbor.encode(bad))
    assert refused.value.reason == "content-malformed"


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_content_or_refused(data: bytes) -> None:
    assert refusal(data) in (None, "content-malformed")


@given(texts | receipts, st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_content_is_another_content_or_refused(content: Text | Receipts, data: st.DataObject) -> None:
    raw = bytearray(encode_content(content))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert refusal(bytes(raw)) in (None, "content-malformed")


def test_more_bytes_than_a_content_may_have_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(Refused):
        decode_content(b"\x81" * (CONTENT_BYTES_MAX + 1))


def test_an_older_node_reads_a_text_that_has_new_fields() -> None:
    assert decode_content(cbor.encode([*fields(), {1: "reply"}, b"attachment"])) == Text(ID, (b"p" * 16,), "", "x", 2)
    assert decode_content(cbor.encode([1, 2, [[ID, 1]], "new"])) == Receipts(((ID, 1),))


@pytest.mark.parametrize("raw", [cbor.encode([1, 77, "form"]), cbor.encode([2, 1, "a text of another meaning"])])
def test_a_newer_kind_or_format_is_kept_as_it_came(raw: bytes) -> None:
    content = decode_content(raw)
    assert isinstance(content, Unknown)
    assert content.raw == raw
    assert encode_content(content) == raw


def test_a_text_is_named_by_its_id_and_receipts_by_their_bytes() -> None:
    assert content_id(a_text()) == ID
    one, other = Receipts(((ID, 1),)), Receipts(((ID, 2),))
    assert content_id(one) == content_id(Receipts(((ID, 1),))) != content_id(other)
    assert len(content_id(one)) == 16
