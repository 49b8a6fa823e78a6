"""Sketches: the published mapping, any two sets, what the cost is, and peers that make symbols up."""

from __future__ import annotations

import json
import random
import re
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sync
from sync.limits import SYMBOLS_MAX
from sync.sketch import Decoder, Encoder, SketchError, Symbol, decode_symbols, encode_symbols, walk
from tests.sync import naive, vectors

README = Path(sync.__file__).parent / "README.md"

item = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 20))
items = st.sets(item, max_size=30)
number = st.one_of(st.integers(-2, 2), st.integers(-(2**31), 2**31 - 1))
symbol = st.builds(Symbol, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), number)


def differing(count: int, rng: random.Random) -> tuple[set[int], set[int]]:
    """Two sets that share a hundred items and differ in `count`."""
    shared = {rng.getrandbits(64) for _ in range(100)}
    lone = [rng.getrandbits(64) for _ in range(count)]
    return shared.union(lone[::2]), shared.union(lone[1::2])


def lone(one: int) -> Symbol:
    """A symbol with this item alone in it."""
    return Encoder([one]).symbols(1)[0]


def plus(symbol: Symbol, other: Symbol, sign: int = 1) -> Symbol:
    return Symbol(symbol.sum ^ other.sum, symbol.check ^ other.check, symbol.count + sign * other.count)


def symbols_needed(own: set[int], sender: set[int]) -> int:
    encoder, decoder, count = Encoder(sender), Decoder(own), 0
    while not decoder.done:
        decoder.feed(encoder.symbols(1))
        count += 1
    assert (decoder.mine, decoder.theirs) == (own - sender, sender - own)
    return count


def fed(own: set[int], *parts: list[Symbol]) -> Decoder | None:
    """A decoder that was fed these; None where it refused them."""
    decoder = Decoder(own)
    try:
        for part in parts:
            decoder.feed(part)
    except SketchError:
        assert not decoder.done
        return None
    return decoder


def test_an_item_is_in_the_symbols_that_the_published_vector_says() -> None:
    published = json.loads((vectors.FOLDER / "riblt_mapping.json").read_text())
    indices = published["indices"]
    assert len(indices) == 76
    assert walk(published["seed"], 0, indices[-1] + 1)[0] == [0, *indices]
    before, state, index = walk(published["seed"], 0, 1_000)
    assert [*before, *walk(state, index, indices[-1] + 1)[0]] == [0, *indices]


@settings(max_examples=100)
@given(items, items, items)
def test_any_two_sets_tell_exactly_their_difference(shared: set[int], left: set[int], right: set[int]) -> None:
    own, sender = shared | left, shared | right
    decoder = Decoder(own)
    decoder.feed(Encoder(sender).symbols(10 * len(own ^ sender) + 200))
    assert decoder.done
    assert (decoder.mine, decoder.theirs) == (own - sender, sender - own)


@settings(max_examples=100)
@given(items, st.lists(st.integers(0, 40), max_size=6))
def test_a_longer_sketch_begins_with_the_shorter(held: set[int], counts: list[int]) -> None:
    encoder = Encoder(held)
    parts = [symbol for count in counts for symbol in encoder.symbols(count)]
    assert parts == Encoder(held).symbols(sum(counts))


@settings(max_examples=100)
@given(items, items, st.lists(st.integers(0, 30), max_size=6))
def test_symbols_fed_in_parts_tell_what_they_tell_at_once(own: set[int], sender: set[int], counts: list[int]) -> None:
    encoder = Encoder(sender)
    parts = [encoder.symbols(count) for count in counts]
    for number in range(len(parts) + 1):
        slow = fed(own, *parts[:number])
        fast = fed(own, [symbol for part in parts[:number] for symbol in part])
        assert slow is not None
        assert fast is not None
        assert (slow.done, slow.mine, slow.theirs) == (fast.done, fast.mine, fast.theirs)


def test_items_given_twice_count_once() -> None:
    assert Encoder([7, 9, 7]).symbols(9) == Encoder([9, 7]).symbols(9)
    assert symbols_needed({7}, {7}) == 1


def test_nothing_fed_tells_nothing() -> None:
    decoder = Decoder([])
    decoder.feed([])
    assert not decoder.done


@pytest.mark.parametrize(
    ("count", "trials", "most"), [(1, 50, 1), (2, 200, 2.2), (10, 100, 2.2), (100, 20, 1.7), (1_000, 2, 1.6)]
)
def test_a_difference_costs_few_symbols_an_item(count: int, trials: int, most: float) -> None:
    rng = random.Random(22)
    total = sum(symbols_needed(*differing(count, rng)) for _ in range(trials))
    assert 1 <= total / trials / count <= most


@pytest.mark.parametrize("count", [60, 200, 1_000])
def test_what_is_left_is_mostly_guessed_within_a_third(count: int) -> None:
    rng = random.Random(22)
    good = 0
    for _ in range(20):
        own, sender = differing(count, rng)
        decoder = Decoder(own)
        decoder.feed(Encoder(sender).symbols(96))
        found = len(decoder.mine) + len(decoder.theirs)
        good += decoder.done or abs(found + decoder.left - count) <= count / 3
    assert good >= 16


def test_nothing_is_left_of_a_difference_that_is_found() -> None:
    decoder = Decoder({1, 2, 3})
    decoder.feed(Encoder({2, 3, 4}).symbols(50))
    assert (decoder.done, decoder.left) == (True, 0)


def test_equal_sets_cost_one_symbol() -> None:
    assert symbols_needed(*differing(0, random.Random(22))) == 1


# Both implementations.


@settings(max_examples=50)
@given(st.sets(item, max_size=6), st.sets(item, max_size=6), st.integers(1, 20))
def test_the_second_implementation_agrees(own: set[int], sender: set[int], count: int) -> None:
    symbols = Encoder(sender).symbols(count)
    cells = naive.read_symbols(encode_symbols(symbols))
    assert cells == [naive.symbol(sender, index) for index in range(count)]
    decoder = Decoder(own)
    decoder.feed(symbols)
    told = (decoder.mine, decoder.theirs) if decoder.done else None
    assert naive.difference(own, cells) == told


def test_both_implementations_read_every_vector_alike() -> None:
    whole = json.loads((vectors.FOLDER / "sketch.json").read_text())
    assert any(case["difference"] is None for case in whole["streams"])
    for case in whole["streams"]:
        own, sender = ({int(each, 16) for each in case[name]} for name in ("own", "sender"))
        data = bytes.fromhex(case["hex"])
        cells = naive.read_symbols(data)
        assert decode_symbols(data) == Encoder(sender).symbols(len(cells)) == [Symbol(*cell) for cell in cells]
        assert encode_symbols(decode_symbols(data)) == data
        known = case["difference"]
        said = tuple({int(each, 16) for each in known[name]} for name in ("mine", "theirs")) if known else None
        assert naive.difference(own, cells) == said
        assert said in (None, (own - sender, sender - own))


@pytest.mark.parametrize("name", vectors.NO_SKETCHES)
def test_both_implementations_refuse_bytes_that_are_no_symbols(name: str) -> None:
    data = vectors.NO_SKETCHES[name]
    with pytest.raises(SketchError):
        decode_symbols(data)
    with pytest.raises(naive.NotARecord):
        naive.read_symbols(data)


def test_the_symbol_in_the_readme_is_the_one_we_make() -> None:
    shown = re.findall(r"^ {4}([0-9a-f]{26})  symbol 0 of the set of ([0-9a-f]{16})$", README.read_text(), re.MULTILINE)
    assert [encode_symbols(Encoder([int(each, 16)]).symbols(1)).hex() for _, each in shown] == [shown[0][0]]


# Bytes.


@settings(max_examples=200)
@given(st.lists(symbol, max_size=8))
def test_symbols_come_back_from_their_bytes(symbols: list[Symbol]) -> None:
    data = encode_symbols(symbols)
    assert decode_symbols(data) == symbols
    assert 13 * len(symbols) <= len(data) <= 17 * len(symbols)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=60), st.builds(lambda tail: bytes(12) + tail, st.binary(max_size=6))))
def test_any_bytes_are_symbols_in_their_one_form_or_refused(data: bytes) -> None:
    try:
        symbols = decode_symbols(data)
    except SketchError:
        return
    assert encode_symbols(symbols) == data


# Peers that lie.


def hold_to_its_word(own: set[int], symbols: list[Symbol]) -> None:
    """Whatever was fed: our items are ours, theirs are not, few are found, and `done` explains every symbol."""
    decoder = fed(own, symbols)
    if decoder is None:
        return
    assert decoder.mine <= own
    assert not decoder.theirs & own
    assert len(decoder.mine) + len(decoder.theirs) <= len(symbols)
    if decoder.done:
        assert Encoder((own - decoder.mine) | decoder.theirs).symbols(len(symbols)) == symbols


@settings(max_examples=200)
@given(items, st.lists(symbol, max_size=40))
def test_made_up_symbols_end_and_are_never_explained_wrongly(own: set[int], symbols: list[Symbol]) -> None:
    hold_to_its_word(own, symbols)


@settings(max_examples=200)
@given(items, st.lists(st.tuples(st.sets(item, max_size=2), st.sampled_from([-1, 1, 2])), max_size=40))
def test_a_stream_without_a_set_ends_and_is_never_explained_wrongly(
    own: set[int], claims: list[tuple[set[int], int]]
) -> None:
    """Each symbol is well made, checksums and all, but hardly any two of them agree."""
    symbols = Encoder(own).symbols(len(claims))
    for index, (claimed, sign) in enumerate(claims):
        for one in claimed:
            symbols[index] = plus(symbols[index], lone(one), sign)
    hold_to_its_word(own, symbols)


@settings(max_examples=200)
@given(items, items, st.integers(1, 60), st.data())
def test_one_wrong_bit_and_a_sketch_is_never_done(
    own: set[int], sender: set[int], count: int, data: st.DataObject
) -> None:
    symbols = Encoder(sender).symbols(count)
    at, bit = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, 126))
    total, check, number = astuple(symbols[at])
    if bit < 64:
        symbols[at] = Symbol(total ^ 1 << bit, check, number)
    elif bit < 96:
        symbols[at] = Symbol(total, check ^ 1 << bit - 64, number)
    else:
        symbols[at] = Symbol(total, check, number ^ 1 << bit - 96)
    decoder = fed(own, symbols)
    assert decoder is None or not decoder.done
    hold_to_its_word(own, symbols)


def test_a_lone_item_in_every_symbol_is_no_more_items_than_symbols() -> None:
    rng = random.Random(22)
    symbols = []
    for index in range(200):
        one = rng.getrandbits(64)
        while index not in naive.places(one, index + 1):
            one = rng.getrandbits(64)
        symbols.append(lone(one))
    hold_to_its_word(set(), symbols)
    decoder = fed(set(), symbols)
    assert decoder is not None
    assert decoder.theirs
    assert not decoder.done


# Found by search: FIRST ^ SECOND ^ THIRD ^ LAST is 0, and so is the XOR of their checksums. Of the first four symbols
# ALONE is in 0; FIRST in 0 and 1; SECOND in 0 and 2; THIRD in 0 and 3.
ALONE, FIRST, SECOND, THIRD, LAST = (
    0xD3F32BDF86F67EC5, 0x88B0F5DBD06ACCB5, 0x60F80DD32527F90A, 0x11243E2814E629CC, 0xF96CC620E1AB1C73,
)  # fmt: skip


def test_checksums_that_cancel_give_no_more_items_than_symbols() -> None:
    """Symbol 0 gives ALONE and is empty. What the other three give fills it again, with what looks like LAST."""
    ours = Encoder([FIRST, LAST]).symbols(4)
    decoder = Decoder([FIRST, LAST])
    decoder.feed([plus(ours[0], lone(ALONE))])
    assert decoder.done
    rest = [plus(ours[1], lone(FIRST), -1), plus(ours[2], lone(SECOND)), plus(ours[3], lone(THIRD))]
    with pytest.raises(SketchError, match="more items than symbols"):
        decoder.feed(rest)
    assert not decoder.done


def test_an_item_is_found_once_and_only_where_it_belongs() -> None:
    twice = Symbol(0, 0, 2)
    for other, found in ((lone(FIRST), {FIRST}), (lone(ALONE), set())):
        decoder = fed(set(), [twice, other])
        assert decoder is not None
        assert not decoder.done
        assert decoder.theirs == found


def test_a_symbol_that_disagrees_with_symbol_0_is_refused() -> None:
    symbols = Encoder([1, 2, 3]).symbols(9)
    for wrong in (Symbol(0, 0, 1), Symbol(0, 1, 0), Symbol(1, 0, 0)):
        with pytest.raises(SketchError, match="symbol 0"):
            Decoder([1, 2, 3]).feed([*symbols[:8], plus(symbols[8], wrong)])


def test_a_sketch_beyond_its_bound_is_refused() -> None:
    decoder = Decoder([5])
    symbols = Encoder([5]).symbols(SYMBOLS_MAX)
    decoder.feed(symbols)
    assert decoder.done
    with pytest.raises(SketchError, match=str(SYMBOLS_MAX + 1)):
        decoder.feed(symbols[:1])
