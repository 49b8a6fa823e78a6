"""One value, one encoding: what RFC 8949 shows is read or refused; nothing malformed, ambiguous or endless passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.cbor import DEPTH_MAX, CborError, decode, encode

APPENDIX_A = Path(__file__).parent.parent / "vectors" / "crypto" / "cbor_rfc8949_appendix_a.json"
# Of the appendix's 82 examples those without floats, tags, simple values and indefinite lengths.
INSIDE_OUR_SUBSET = 37

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**64), 2**64 - 1), st.binary(max_size=40), st.text(max_size=20)
)
# True and 1 are one key to Python and two to CBOR, so a key is a number, bytes or text.
keys = st.one_of(st.integers(-(2**64), 2**64 - 1), st.binary(max_size=20), st.text(max_size=10))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=20,
)


def refused(data: bytes) -> None:
    with pytest.raises(CborError):
        decode(data, bytes_max=100_000)


@settings(max_examples=200, deadline=None)
@given(values)
def test_what_is_encoded_decodes_to_itself(value: object) -> None:
    data = encode(value)
    assert decode(data, bytes_max=len(data)) == value
    assert encode(decode(data, bytes_max=len(data))) == data


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_one_encoding_or_refused(data: bytes) -> None:
    try:
        value = decode(data, bytes_max=60)
    except CborError:
        return
    assert encode(value) == data


@settings(max_examples=200, deadline=None)
@given(values, st.data())
def test_every_cut_and_every_byte_more_is_refused(value: object, data: st.DataObject) -> None:
    encoded = encode(value)
    refused(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    refused(encoded + b"\0")


def test_the_examples_of_the_rfc_are_read_if_they_are_inside_our_subset_and_refused_otherwise() -> None:
    read = 0
    for example in json.loads(APPENDIX_A.read_text("utf-8")):
        data = bytes.fromhex(example["hex"])
        # From 0xc0 there are tags, floats and simple values, of which three are ours.
        plain = data[0] < 0xC0 or data in {b"\xf4", b"\xf5", b"\xf6"}
        if plain and example["roundtrip"]:
            read += 1
            value = decode(data, bytes_max=100)
            assert encode(value) == data
            if "decoded" in example:
                assert value == example["decoded"]
        else:
            refused(data)
    assert read == INSIDE_OUR_SUBSET


MALFORMED = {
    # RFC 8949 appendix F, in its order.
    "end of input in a head": "18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8",
    "end of input in the head of a tag, simple value or float": "d8 f8 f900 fa0000 fb000000",
    "bytes cut": "41 5affffffff00 5bffffffffffffffff010203",
    "text cut": "61 7affffffff00 7b7fffffffffffffff010203",
    "definite container not closed": "81 818181818181818181 8200 a1 a20102 a100 a2000000 9affffffff bbffffffffffffffff",
    "tag without its content": "c0",
    "indefinite string not closed": "5f4100 7f6100",
    "indefinite container not closed": "9f 9f0102 bf bf01020102 819f 9f8000 9f9f9f9f9fffffffff 9f819f819f9fffffff",
    "reserved additional information": "1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe",
    "reserved two-byte simple value": "f800 f801 f818 f81f",
    "indefinite string of the wrong chunks": "5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff",
    "indefinite string in an indefinite string": "5f5f4100ffff 7f7f6100ffff",
    "break alone": "ff",
    "break inside a container": "81ff 8200ff a1ff a1ff00 a100ff a20000ff 9f81ff 9f829f819f9fffffffff",
    "break for the value of a map": "bf00ff bf000000ff",
    "indefinite integer or tag": "1f 3f df",
    # Beyond the appendix: well-formed, but not the one encoding.
    "not minimal": "1817 1800 190018 1900ff 1a0000ffff 1b00000000ffffffff 3817 5801ff 780161 980100 b8010000",
    "trailing bytes": "0000 f6f6 8000 6161ff",
    "a key twice": "a200010002 a2616101616102 a2410001410002",
    # The last is in the order of RFC 7049, which put shorter keys first.
    "keys out of order": "a202000100 a2616200616100 a220000000 a240000000 a22000186400",
    "a list or a map for a key": "a1800000 a18000 a1a000",
    "text that is not UTF-8": "61ff 62c328 63eda080 64f4908080 62c080",
    "floats": "f90000 f93c00 fa47c35000 fb3ff199999999999a f97e00",
    "undefined and simple values": "f7 e0 f0 f820 f8ff",
    "tags": "c100 c24101 c249010000000000000000 c34100 d81c80 d81d00 d9d9f700 d9010080 d82461ff",
    "a cycle": "d81c81d81d00",
    "nothing": "",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_the_one_encoding_is_refused(name: str) -> None:
    for text in MALFORMED[name].split() or [""]:
        refused(bytes.fromhex(text))


def test_keys_are_in_the_order_of_their_encodings() -> None:
    assert decode(bytes.fromhex("a21864002000"), bytes_max=6) == {100: 0, -1: 0}


def test_a_bomb_of_shared_references_is_refused_before_it_is_unfolded() -> None:
    """Each level says ten times "the list below": 14 levels in 410 bytes are 10^14 values."""
    bomb = bytes.fromhex("d81c8100")
    for level in range(13, 0, -1):
        bomb = bytes.fromhex("d81c8a") + bomb + bytes([0xD8, 0x1D, level]) * 9
    refused(bomb)


@pytest.mark.parametrize("head", ["9b", "bb", "5b", "7b"])
@pytest.mark.parametrize("count", [2**16, 2**31, 2**32, 2**63 - 1, 2**64 - 1])
def test_a_promised_length_takes_no_memory(head: str, count: int) -> None:
    refused(bytes.fromhex(head) + count.to_bytes(8, "big") + bytes(10))


def test_more_bytes_than_allowed_are_refused_unread() -> None:
    assert decode(b"\x42ab", bytes_max=3) == b"ab"
    with pytest.raises(CborError, match="3 bytes of CBOR where 2 are allowed"):
        decode(b"\x42ab", bytes_max=2)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x00"])
def test_nesting_has_a_bound(opening: bytes) -> None:
    deepest = opening * DEPTH_MAX + b"\x00"
    assert encode(decode(deepest, bytes_max=100)) == deepest
    refused(opening + deepest)
    refused(opening * 40_000 + b"\x00")


@pytest.mark.parametrize(
    "value",
    [1.0, 2**64, -(2**64) - 1, (1, 2), {1, 2}, object(), [1.5], {"a": 1.5}, {(1,): 2}, bytearray(b"a")],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_place_in_the_subset_is_not_encoded(value: object) -> None:
    with pytest.raises(CborError):
        encode(value)


def test_a_list_that_holds_itself_is_not_encoded() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(CborError):
        encode(endless)
