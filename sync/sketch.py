"""Sketches: how two sets differ, told in about as many symbols as they differ in items, whatever their size.

A rateless IBLT (Yang, Gilad, Alizadeh: "Practical Rateless Set Reconciliation", SIGCOMM 2024, arXiv:2402.02668). A set
is an endless stream of symbols; an item is in symbol i with probability 1 / (1 + i / 2). Symbols of two sets subtract,
and what is left is the stream of their difference, from which whatever stands alone in a symbol is peeled.

Laws: every beginning of a stream is a sketch, and a longer one starts with a shorter one. A Decoder is done only when
`mine` and `theirs` explain every symbol it was fed. What a peer feeds costs a bounded amount; see Decoder.

An item is a number below 2^64. The caller makes it with a key of that meeting, so that nobody else can choose items
that collide; the peer itself can, and is the only one to lose by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil, sqrt
from typing import Final

from sync.limits import SYMBOLS_MAX

ITEM_BYTES: Final = 8
CHECK_BYTES: Final = 4
"""Of an item's checksum: bytes 8 to 12 of SHA-256("beepmesh/sketch/1" | item 8). Bytes 0 to 8 seed its mapping."""

_CHECK_BITS: Final = 8 * CHECK_BYTES
_MULTIPLIER: Final = 0xDA942042E4DD58B5  # Of the reference's generator, yangl1996/riblt mapping.go.
_COUNT_END: Final = 2**31


class SketchError(ValueError):
    """These bytes are no symbols, or these symbols no beginning of any set's stream. Throw the Decoder away."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol of a stream: all items in it together."""

    sum: int
    """XOR of the items, 8 B."""
    check: int
    """XOR of their checksums, 4 B."""
    count: int
    """How many they are. Signed, 32 bits: a stream of changes may take items away."""


class Encoder:
    """The stream of one set. Items given twice count once.

    What it costs stands in README.md, "Sketches". Asking for symbols one by one costs about twice as much as at once.
    """

    def __init__(self, items: Iterable[int]) -> None:
        self._cells = _Cells(set(items), 1)
        self._told = 0

    def symbols(self, count: int) -> list[Symbol]:
        """The next `count` symbols; at most SYMBOLS_MAX in all."""
        start, stop = self._told, self._told + count
        assert start <= stop <= SYMBOLS_MAX
        self._cells.reach(stop)
        self._told = stop
        cells = zip(self._cells.values[start:stop], self._cells.counts[start:stop], strict=True)
        return [Symbol(value >> _CHECK_BITS, value & (1 << _CHECK_BITS) - 1, number) for value, number in cells]


class Decoder:
    """What our set and a sender's differ in, from the sender's stream.

    Held: our items, and 2 SYMBOLS_MAX cells at most. Found: never more items than symbols were fed, each one once, so
    feeding ends for any symbols. Finding one costs a walk through its symbols (2 ln n of n for an item nobody searched
    for, n at most), and one SHA-256 for each of them that might now stand alone.
    """

    def __init__(self, items: Iterable[int]) -> None:
        self.mine: set[int] = set()
        """Our items that the sender lacks; complete, and to be believed, when done."""
        self.theirs: set[int] = set()
        """The sender's items that we lack; likewise."""
        self.done = False
        """Whether `mine` and `theirs` explain all symbols fed so far, and there were some."""
        self._own = frozenset(items)
        self._cells = _Cells(self._own, -1)
        self._fed = 0

    def feed(self, symbols: Sequence[Symbol]) -> None:
        """The sender's next symbols. Raises SketchError: beyond SYMBOLS_MAX, or no stream of a set begins like this.

        Not every lie is one that shows; a stream of nonsense mostly ends by never being done.
        """
        self.done = False
        start, stop = self._fed, self._fed + len(symbols)
        if stop > SYMBOLS_MAX:
            raise SketchError(f"{stop} symbols")
        cells = self._cells
        cells.reach(stop)
        for index, symbol in enumerate(symbols, start):
            cells.values[index] ^= symbol.sum << _CHECK_BITS | symbol.check
            cells.counts[index] += symbol.count
        self._fed = stop
        self._peel(list(range(start, stop)))
        # Every item is in symbol 0, so it alone tells that nothing is left. The others may only agree.
        if stop and not cells.values[0] and not cells.counts[0]:
            if any(cells.values[:stop]) or any(cells.counts[:stop]):
                raise SketchError("symbol 0 is explained and another is not")
            self.done = True

    @property
    def left(self) -> int:
        """About how many items are not found yet; mostly within a third, if 50 symbols or more were fed.

        Each is in symbol i with probability p = 1 / (1 + i / 2), and all are in symbol 0. So if that says n, symbol i
        is n p on the average, and its spread, the same number of items p (1 - p), tells how many cancel in n.
        """
        counts = self._cells.counts[: self._fed]
        chances = [2 / (index + 2) for index in range(self._fed)]
        spreads = [(c - counts[0] * p) ** 2 / (p * (1 - p)) for c, p in zip(counts[1:], chances[1:], strict=True)]
        return ceil(sum(spreads) / len(spreads)) if spreads else abs(counts[0])

    def _peel(self, waiting: list[int]) -> None:
        """Find every item that stands alone in one of the cells waiting, and what that leads to."""
        cells = self._cells
        while waiting:
            at = waiting.pop()
            count, value = cells.counts[at], cells.values[at]
            if count not in (1, -1):
                continue
            item = value >> _CHECK_BITS
            found = self.theirs if count == 1 else self.mine
            if item in found or (item in self._own) == (count == 1):
                continue
            seed, check = _hashed(item)
            if value != item << _CHECK_BITS | check or at not in walk(seed, 0, at + 1)[0]:
                continue
            # In the stream of a set a symbol that gave its item is empty from then on. A peer that searched for
            # checksums which cancel can fill it again.
            if len(self.mine) + len(self.theirs) == self._fed:
                raise SketchError("more items than symbols")
            found.add(item)
            waiting += [index for index in cells.add(item, -count) if index < self._fed]


class _Cells:
    """The first symbols of the stream of items that are there once (sign 1) or lacking (-1)."""

    def __init__(self, items: Iterable[int], sign: int) -> None:
        self.values: list[int] = []
        """For each symbol, sum << 32 | check: one XOR for both."""
        self.counts: list[int] = []
        self._onward: list[tuple[int, int, int, int]] = []
        """For each item its value, its sign, and where its walk goes on: state, index."""
        for item in items:
            seed, check = _hashed(item)
            self._onward.append((item << _CHECK_BITS | check, sign, seed, 0))

    def reach(self, stop: int) -> None:
        """Have at least `stop` symbols."""
        length = len(self.values)
        if stop <= length:
            return
        # Each time every item is looked at; twice as many symbols are hardly dearer than one more.
        stop = max(stop, 2 * length)
        self.values += [0] * (stop - length)
        self.counts += [0] * (stop - length)
        for number, (value, sign, state, index) in enumerate(self._onward):
            if index < stop:
                self._onward[number] = self._put(value, sign, state, index)[1]

    def add(self, item: int, sign: int) -> list[int]:
        """Put one more item in; returns the symbols that it is in."""
        seed, check = _hashed(item)
        indices, onward = self._put(item << _CHECK_BITS | check, sign, seed, 0)
        self._onward.append(onward)
        return indices

    def _put(self, value: int, sign: int, state: int, index: int) -> tuple[list[int], tuple[int, int, int, int]]:
        values, counts = self.values, self.counts
        indices, state, index = walk(state, index, len(values))
        for each in indices:
            values[each] ^= value
            counts[each] += sign
        return indices, (value, sign, state, index)


def walk(state: int, index: int, stop: int) -> tuple[list[int], int, int]:
    """The symbols below `stop` that an item is in, and the state and index with which to walk on.

    A walk starts from the item's seed at index 0. The arithmetic is the reference's (yangl1996/riblt mapping.go),
    operation by operation in IEEE 754 doubles, so that all nodes agree; an index in use is far below 2^53.
    """
    indices = []
    while index < stop:
        indices.append(index)
        state = state * _MULTIPLIER & 0xFFFFFFFFFFFFFFFF
        index += ceil((index + 1.5) * (4294967296.0 / sqrt(state + 1.0) - 1.0))
    return indices, state, index


def _hashed(item: int) -> tuple[int, int]:
    """The seed of an item's walk, and its checksum."""
    digest = sha256(b"beepmesh/sketch/1" + item.to_bytes(ITEM_BYTES)).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8 : 8 + CHECK_BYTES])


def encode_symbols(symbols: Iterable[Symbol]) -> bytes:
    """Symbols one after another: sum 8 | check 4 | count, zigzag and then LEB128 in 1 to 5 bytes. Mostly 13 or 14 B."""
    return b"".join(
        each.sum.to_bytes(ITEM_BYTES) + each.check.to_bytes(CHECK_BYTES) + _counted(each.count) for each in symbols
    )


def decode_symbols(data: bytes) -> list[Symbol]:
    """The symbols in these bytes, which must end with one. Raises SketchError. The caller bounds the bytes."""
    symbols = []
    at = 0
    while at < len(data):
        check = at + ITEM_BYTES
        after = check + CHECK_BYTES
        count, end = _count(data, after)
        symbols.append(Symbol(int.from_bytes(data[at:check]), int.from_bytes(data[check:after]), count))
        at = end
    return symbols


def _counted(count: int) -> bytes:
    assert -_COUNT_END <= count < _COUNT_END
    left = 2 * count if count >= 0 else -2 * count - 1
    data = bytearray()
    while left > 0x7F:
        data.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes((*data, left))


def _count(data: bytes, at: int) -> tuple[int, int]:
    """The count that starts at this byte, and where it ends."""
    zigzag = 0
    for place, byte in enumerate(data[at : at + 5]):
        zigzag |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if (place and not byte) or zigzag >= 2 * _COUNT_END:
                raise SketchError("a count in more bytes than it needs, or beyond 32 bits")
            return zigzag >> 1 ^ -(zigzag & 1), at + place + 1
    raise SketchError("a count of more than 5 bytes, or cut short")
