"""Records of the reconciliation protocol, version 1: values here, deterministic CBOR arrays on the wire.

Law 1: decode of any bytes is one Record or RemoteProtocolError. Law 2: decode(encode(record)) == record, and
encode(decode(data)) == data. README.md, "Records", has them byte by byte.

A log is its 17 bytes `feed 16 | lane 1` where its sender first mentions it in a session, and from then on the number
of that mention, counted from 0. Which is which only the session knows; here it is a `LogRef`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from sync import cbor
from sync.limits import LANE_MAX, LOGS_MAX, RANGES_MAX, RECORD_BYTES_MIN, RUN_BYTES_MAX, RUN_ENTRIES_MAX, SEQ_END
from sync.logs import TIP_BYTES
from sync.ranges import NOTHING, Ranges, Span

WIRE_VERSION: Final = 1
LOG_BYTES: Final = 17
RUN_OVERHEAD_BYTES: Final = 128  # A RUN beside its packed entries: 64 B, and 5 B for each entry's length, at most.

HELLO, VECTOR, RUN, ACK, GONE = range(5)
# 5 WANT, 6 STOP, 7 GETHDR, 8 FORK, 9 SKETCH, 10 DELTA: reserved for the next forms.

LogRef: TypeAlias = bytes | int


class RemoteProtocolError(Exception):
    """The other node broke the protocol: hang up, keep what was good. `reason` is one stable word for counting."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Hello:
    """The first record of each side."""

    version: int
    capabilities: int
    """Bit set, up to 32 bits; none is defined in version 1. Unknown bits are ignored."""
    root: bytes
    """16 B over everything settled, see logs.root."""
    lanes: int
    """Bit set of the lanes this side takes part in."""
    record_bytes_max: int
    """The largest record this side takes."""


class State(NamedTuple):
    """What the sender has settled of one log."""

    log: LogRef
    settled: Ranges
    tip: bytes
    """First 8 B of the id of the entry at settled.top - 1; empty when not known."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A part of everything the sender has settled, by (lane, feed)."""

    more: bool
    """Whether another part follows."""
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries of one log."""

    log: LogRef
    start: int
    prev: bytes | None
    """32 B, the id of entry start - 1; None when the receiver knows it as its tip, or start is 0."""
    packed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """RUNs processed since the last ACK, and the logs whose settled seqs the receiver of this should know anew."""

    runs_done: int
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Gone:
    """Settled at the sender and not held there: these will not come from it."""

    log: LogRef
    seqs: Ranges


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record type that version 1 does not have."""

    kind: int


Record: TypeAlias = Hello | Vector | Run | Ack | Gone | Unknown


def encode(record: Hello | Vector | Run | Ack | Gone) -> bytes:
    return cbor.encode(_array(record))


def _array(record: Hello | Vector | Run | Ack | Gone) -> list[object]:
    match record:
        case Run(log, start, prev, packed):
            return [RUN, log, start, prev, list(packed)]
        case Ack(runs_done, states):
            return [ACK, runs_done, [_state_array(state) for state in states]]
        case Vector(more, states):
            return [VECTOR, more, [_state_array(state) for state in states]]
        case Gone(log, seqs):
            return [GONE, log, _deltas(seqs.spans, 0)]
        case Hello(version, capabilities, root, lanes, record_bytes_max):
            return [HELLO, version, capabilities, root, lanes, record_bytes_max]


def decode(data: bytes, *, bytes_max: int) -> Record:
    """The one record in data. Raises RemoteProtocolError: record-oversized, record-malformed, run-bounds,
    ranges-too-many."""
    if len(data) > bytes_max:
        raise RemoteProtocolError("record-oversized", f"{len(data)} bytes, {bytes_max} allowed")
    try:
        value = cbor.decode(data, bytes_max=bytes_max)
    except cbor.CborError as error:
        raise RemoteProtocolError("record-malformed", str(error)) from None
    items = _list(value)
    kind = _integer(items[0] if items else None, 2**32)
    rest = items[1:]
    match kind:
        case 2:
            return _run(rest)
        case 3:
            return _ack(rest)
        case 1:
            return _vector(rest)
        case 4:
            return _gone(rest)
        case 0:
            return _hello(rest)
        case _:
            return Unknown(kind)


def state_bytes(state: State) -> int:
    """The size of one state inside a record."""
    ranges = _deltas(_above(state.settled), state.settled.next)
    size = 1 + (1 + LOG_BYTES if isinstance(state.log, bytes) else _head_bytes(state.log))
    size += _head_bytes(state.settled.next) + _head_bytes(len(ranges)) + sum(map(_head_bytes, ranges))
    return size + 1 + len(state.tip)


def _head_bytes(number: int) -> int:
    """The size of a CBOR head that carries this number (RFC 8949 section 3)."""
    return 1 if number < 24 else 2 if number < 2**8 else 3 if number < 2**16 else 5 if number < 2**32 else 9


def _state_array(state: State) -> list[object]:
    log, settled, tip = state
    return [log, settled.next, _deltas(_above(settled), settled.next), tip]


def _above(settled: Ranges) -> Sequence[Span]:
    """The spans above `next`."""
    return settled.spans[1:] if settled.next else settled.spans


def _deltas(spans: Iterable[Span], at: int) -> list[int]:
    """Each span as its distance from the end of the one before it, and its length."""
    flat: list[int] = []
    for start, stop in spans:
        flat += (start - at, stop - start)
        at = stop
    return flat


def _hello(items: list[object]) -> Hello:
    # A later version may say more in its HELLO; what version 1 reads of it stays where it is.
    version = _integer(items[0] if items else None, 2**16)
    if version < 1 or len(items) < 5 or (version == WIRE_VERSION and len(items) != 5):
        raise _malformed("HELLO")
    record_bytes_max = _integer(items[4], 2**32)
    if record_bytes_max < RECORD_BYTES_MIN:
        raise _malformed("HELLO of a peer that takes no VECTOR chunk")
    root = _octets(items[2])
    if len(root) != 16:
        raise _malformed("root")
    return Hello(version, _integer(items[1], 2**32), root, _integer(items[3], 2**8), record_bytes_max)


def _vector(items: list[object]) -> Vector:
    more, states = _exactly(items, 2)
    if more is not True and more is not False:
        raise _malformed("VECTOR")
    return Vector(more, _states(states))


def _run(items: list[object]) -> Run:
    log, start, prev, packed = _exactly(items, 4)
    entries = tuple(map(_octets, _list(packed)))
    first = _integer(start, SEQ_END)
    if not 1 <= len(entries) <= RUN_ENTRIES_MAX or first + len(entries) > SEQ_END or not all(entries):
        raise RemoteProtocolError("run-bounds", f"{len(entries)} entries from {first}")
    if len(entries) > 1 and sum(map(len, entries)) > RUN_BYTES_MAX:
        raise RemoteProtocolError("run-bounds", "several entries, too long together")
    link = None if prev is None else _octets(prev)
    if link is not None and (len(link) != 32 or first == 0):
        raise _malformed("prev")
    return Run(_log(log), first, link, entries)


def _ack(items: list[object]) -> Ack:
    runs_done, states = _exactly(items, 2)
    return Ack(_integer(runs_done, 2**32), _states(states))


def _gone(items: list[object]) -> Gone:
    log, ranges = _exactly(items, 2)
    spans = _spans(ranges, 0, touching=True)
    if not spans:
        raise _malformed("GONE")
    return Gone(_log(log), Ranges(spans))


def _states(value: object) -> tuple[State, ...]:
    return tuple(_state(item) for item in _list(value))


def _state(value: object) -> State:
    log, after, ranges, tip = _exactly(_list(value), 4)
    end = _integer(after, SEQ_END + 1)
    spans = _spans(ranges, end, touching=False)
    known = _octets(tip)
    if len(known) not in (0, TIP_BYTES):
        raise _malformed("tip")
    if end:
        spans = ((0, end), *spans)
    if known and not spans:
        raise _malformed("tip of an empty log")
    return State(_log(log), Ranges(spans) if spans else NOTHING, known)


def _spans(value: object, at: int, *, touching: bool) -> tuple[Span, ...]:
    """Spans from distances and lengths. Only the first one of a GONE may begin where counting begins."""
    flat = _list(value)
    if len(flat) > 2 * RANGES_MAX:
        raise RemoteProtocolError("ranges-too-many", f"{len(flat) // 2} in one state")
    if len(flat) % 2:
        raise _malformed("ranges")
    spans: list[Span] = []
    for index in range(0, len(flat), 2):
        gap, length = _integer(flat[index], SEQ_END), _integer(flat[index + 1], SEQ_END + 1)
        start = at + gap
        at = start + length
        if not length or at > SEQ_END or not (gap or (touching and not index)):
            raise _malformed("ranges")
        spans.append((start, at))
    return tuple(spans)


def _log(value: object) -> LogRef:
    if isinstance(value, bytes):
        if len(value) != LOG_BYTES or value[-1] > LANE_MAX:
            raise _malformed("log")
        return value
    return _integer(value, LOGS_MAX)


def _integer(value: object, end: int) -> int:
    if type(value) is not int or not 0 <= value < end:
        raise _malformed("integer")
    return value


def _octets(value: object) -> bytes:
    if type(value) is not bytes:
        raise _malformed("bytes")
    return value


def _list(value: object) -> list[object]:
    if type(value) is not list:
        raise _malformed("array")
    return value


def _exactly(items: list[object], count: int) -> list[object]:
    if len(items) != count:
        raise _malformed("number of elements")
    return items


def _malformed(what: str) -> RemoteProtocolError:
    return RemoteProtocolError("record-malformed", what)
