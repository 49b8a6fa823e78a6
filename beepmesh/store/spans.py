"""Settled seqs as a few bytes: what rests in the rows of logs, and in what is remembered of a peer.

    spans  distance and length of each span, the distance from the end of the one before it, as unsigned LEB128
    views  how many 4 | (feed 16 | lane 1) of each | (bytes of its spans, LEB128 | spans) of each

A log without holes takes 2 to 4 bytes. We wrote these bytes ourselves, so nothing is refused here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from sync.logs import LogId
from sync.ranges import Ranges, Span

_COUNT: Final = struct.Struct(">I")
_LOG: Final = struct.Struct(">16sB")
_LANES: Final = tuple(bytes([lane]) for lane in range(256))


def encode_spans(ranges: Ranges) -> bytes:
    encoded = bytearray()
    before = 0
    for start, stop in ranges.spans:
        _append(encoded, start - before)
        _append(encoded, stop - start)
        before = stop
    return bytes(encoded)


@lru_cache(maxsize=1_024)  # Many logs are equally long, and a Ranges never changes.
def decode_spans(data: bytes) -> Ranges:
    numbers: list[int] = []
    at = number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            at += number
            numbers.append(at)
            number = shift = 0
    return Ranges(tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def encode_views(views: Mapping[LogId, Ranges]) -> bytes:
    known: dict[tuple[Span, ...], bytes] = {}  # Many logs are equally long.
    sized: list[bytes] = []
    for settled in views.values():
        encoded = known.get(settled.spans)
        if encoded is None:
            spans = encode_spans(settled)
            encoded = known[settled.spans] = _number(len(spans)) + spans
        sized.append(encoded)
    return b"".join([_COUNT.pack(len(views)), *[feed + _LANES[lane] for feed, lane in views], *sized])


def decode_views(data: bytes) -> dict[LogId, Ranges]:
    (count,) = _COUNT.unpack_from(data)
    at = _COUNT.size + count * _LOG.size
    known: dict[bytes, Ranges] = {}
    views: dict[LogId, Ranges] = {}
    for log in map(LogId._make, _LOG.iter_unpack(data[_COUNT.size : at])):
        size = data[at]
        at += 1
        if size & 0x80:
            size, at = _continued(data, at, size & 0x7F)
        spans = data[at : at + size]
        at += size
        settled = known.get(spans)
        if settled is None:
            settled = known[spans] = decode_spans(spans)
        views[log] = settled
    return views


def _continued(data: bytes, at: int, number: int) -> tuple[int, int]:
    """The rest of a number whose first seven bits are known, and where it ends."""
    shift = 7
    while True:
        number |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return number, at
        shift += 7


def _number(number: int) -> bytes:
    encoded = bytearray()
    _append(encoded, number)
    return bytes(encoded)


def _append(encoded: bytearray, number: int) -> None:
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
