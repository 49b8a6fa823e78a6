"""Many states in few bytes: the bodies of STATES (some logs) and VECTOR (all logs), and of spans.

    spans   number of them | for each: distance from what came before - 1, length - 1
    value   next << 1 | whether spans follow above next
    sparse  sections 1 | for each lane of listed feeds in it: count | gaps between numbers | values | spans
    dense   sections 1 | for each lane of listed feeds in it: first number | count | values | spans
    both    then, if the section is there, feeds outside the list: count | each: kind << 2 | lane 1, name, value, spans

All numbers are varints. Gaps, values and spans stand in columns, because they deflate better (RFC 1951) than in rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

from sync.limits import LANE_MAX, LOGS_MAX, PLAIN_BYTES_MAX, PUSHED_LANES, RANGES_MAX, SEQ_END, ZIP_BYTES_MIN
from sync.logs import LogId
from sync.octets import Octets, RemoteProtocolError, malformed, varint, varints
from sync.ranges import NOTHING, Ranges, Span
from sync.refs import FEED_BYTES, TAG_BYTES, Listed, StateRef, Tagged

_LANES: Final = PUSHED_LANES.bit_length()
_UNLISTED: Final = 1 << _LANES
_TAGGED: Final = 4


class State(NamedTuple):
    """What the sender has settled of one log; nothing, where it tells just that."""

    log: StateRef
    settled: Ranges


def pack_sparse(states: Sequence[State]) -> bytes:
    """Some logs: those of listed feeds by (lane, number), then the others."""
    return _pack(states, dense=False)


def read_sparse(data: bytes) -> tuple[State, ...]:
    """Raises RemoteProtocolError: record-malformed, ranges-too-many."""
    return _read(data, dense=False)


def pack_dense(states: Sequence[State]) -> bytes:
    """The same for all logs: of each lane every number from the first to the last."""
    return _pack(states, dense=True)


def read_dense(data: bytes) -> tuple[State, ...]:
    """Without the logs of which nothing is settled. Raises RemoteProtocolError: record-malformed, ranges-too-many."""
    return _read(data, dense=True)


def _pack(states: Sequence[State], *, dense: bool) -> bytes:
    lanes: list[list[tuple[int, Ranges]]] = [[] for _ in range(_LANES)]
    others: list[State] = []
    for state in states:
        if isinstance(state.log, Listed):
            lanes[state.log.lane].append((state.log.number, state.settled))
        else:
            others.append(state)
    sections = sum(1 << lane for lane in range(_LANES) if lanes[lane]) | (_UNLISTED if others else 0)
    out = [bytes((sections,))]
    for rows in lanes:
        if rows:
            rows.sort(key=itemgetter(0))
            out.append(_dense_column(rows) if dense else _sparse_column(rows))
    if others:
        out.append(varint(len(others)))
        out += map(_pack_other, others)
    return b"".join(out)


def _sparse_column(rows: list[tuple[int, Ranges]]) -> bytes:
    numbers = [len(rows)]
    after = 0
    for number, _ in rows:
        numbers.append(number - after)
        after = number + 1
    return varints(numbers) + _values((index, settled) for index, (_, settled) in enumerate(rows))


def _dense_column(rows: list[tuple[int, Ranges]]) -> bytes:
    first, last = rows[0][0], rows[-1][0]
    return varints([first, last - first + 1]) + _values((number - first, settled) for number, settled in rows)


def _values(rows: Iterable[tuple[int, Ranges]]) -> bytes:
    """By index, ascending; of what is left out nothing is settled."""
    values: list[int] = []
    spans: list[bytes] = []
    for index, settled in rows:
        if index > len(values):
            values += bytes(index - len(values))
        after = settled.next
        above = len(settled.spans) - 1 if after else len(settled.spans)
        if above:
            values.append(after << 1 | 1)
            spans.append(pack_spans(Ranges(settled.spans[-above:]), after))
        else:
            values.append(after << 1)
    return varints(values) + b"".join(spans)


def _pack_other(state: State) -> bytes:
    log = state.log
    assert not isinstance(log, Listed)
    head = bytes((log.lane | _TAGGED,)) + log.tag if isinstance(log, Tagged) else bytes((log.lane,)) + log.feed
    return head + _values(((0, state.settled),))


def pack_spans(seqs: Ranges, at: int) -> bytes:
    """Spans above `at`. Only where `at` is 0 may the first one begin just there: its distance counts from -1."""
    numbers = [len(seqs.spans)]
    at = at or -1
    for start, stop in seqs.spans:
        numbers += (start - at - 1, stop - start - 1)
        at = stop
    return varints(numbers)


def read_spans(octets: Octets, at: int) -> tuple[Span, ...]:
    """Raises RemoteProtocolError: record-malformed, ranges-too-many."""
    count = octets.varint()
    if not count:
        raise malformed("no spans")
    if count > RANGES_MAX:
        raise RemoteProtocolError("ranges-too-many", f"{count} in one state")
    spans: list[Span] = []
    at = at or -1
    for _ in range(count):
        start = at + 1 + octets.varint(SEQ_END)
        at = start + 1 + octets.varint(SEQ_END)
        if at > SEQ_END:
            raise malformed("spans")
        spans.append((start, at))
    return tuple(spans)


def _read(data: bytes, *, dense: bool) -> tuple[State, ...]:
    octets = Octets(data)
    sections = octets.take(1)[0]
    if sections >= _UNLISTED << 1:
        raise malformed("sections")
    states: list[State] = []
    for lane in range(_LANES):
        if sections >> lane & 1:
            numbers = _read_run_of_numbers(octets) if dense else _read_numbers(octets)
            values = octets.varints(len(numbers), 2 * SEQ_END + 2)
            told = zip(numbers, values, strict=True)
            # In their order, for spans stand behind the column.
            states += [State(Listed(n, lane), _settled(octets, value)) for n, value in told if value or not dense]
    if sections & _UNLISTED:
        count = octets.varint(LOGS_MAX + 1)
        if not count:
            raise malformed("an empty section")
        states += [_read_other(octets) for _ in range(count)]
    octets.end()
    return tuple(states)


def _read_numbers(octets: Octets) -> Sequence[int]:
    count = octets.varint(LOGS_MAX + 1)
    if not count or count > octets.left:
        raise malformed("number of states")
    numbers: list[int] = []
    after = 0
    for gap in octets.varints(count, LOGS_MAX):
        numbers.append(after + gap)
        after += gap + 1
    return numbers


def _read_run_of_numbers(octets: Octets) -> Sequence[int]:
    first, count = octets.varint(LOGS_MAX), octets.varint(LOGS_MAX + 1)
    if not count or count > octets.left:
        raise malformed("number of states")
    return range(first, first + count)


def _settled(octets: Octets, value: int) -> Ranges:
    after = value >> 1
    if not value & 1:
        return _below(after)
    above = read_spans(octets, after)
    if above[0][0] == after:
        raise malformed("spans that touch")
    return Ranges(_below(after).spans + above)


@lru_cache(maxsize=1_024)  # Most logs have no holes, and many are equally long.
def _below(after: int) -> Ranges:
    return Ranges(((0, after),)) if after else NOTHING


def _read_other(octets: Octets) -> State:
    head = octets.take(1)[0]
    lane = head & 3
    if head > (_TAGGED | LANE_MAX):
        raise malformed("name of a log")
    log: StateRef = Tagged(octets.take(TAG_BYTES), lane) if head & _TAGGED else LogId(octets.take(FEED_BYTES), lane)
    return State(log, _settled(octets, octets.varint(2 * SEQ_END + 2)))


def zipped(plain: bytes) -> bytes:
    """Deflated, if that is shorter."""
    if len(plain) < ZIP_BYTES_MIN:
        return plain
    # Numbers that repeat by chance only are 7 % shorter when no repetition is pointed at; others are not.
    return min(
        plain, *(_deflated(plain, strategy) for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)), key=len
    )


def _deflated(plain: bytes, strategy: int) -> bytes:
    # A window as large as what is packed: to set up the largest takes ten times as long as to pack some hundred bytes.
    window = min(max(len(plain).bit_length(), 9), 15)
    packer = zlib.compressobj(9, zlib.DEFLATED, -window, min(window - 6, zlib.DEF_MEM_LEVEL), strategy)
    return packer.compress(plain) + packer.flush()


def unzipped(body: bytes, is_zipped: bool) -> bytes:
    """At most PLAIN_BYTES_MAX. Raises RemoteProtocolError("record-malformed")."""
    if not is_zipped:
        return body
    unpacker = zlib.decompressobj(-15)
    try:
        plain = unpacker.decompress(body, PLAIN_BYTES_MAX)
    except zlib.error:
        raise malformed("deflated states") from None
    if not unpacker.eof or unpacker.unused_data:
        raise malformed("deflated states")
    return plain
