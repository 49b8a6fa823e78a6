"""Records of the reconciliation protocol, version 3: values here, bytes on the wire. README.md has them byte by byte.

Law 1: decode of any bytes is one Record or RemoteProtocolError. Law 2: decode(encode(record)) == record.
A record never says more than its type allows: bytes left over are an error.

How a log is named (LogRef): by the number of an earlier mention in the same direction, by its feed's number in the
organisation's list, by a short tag of a feed that both are known to know, or in full. What which means only a session
knows (names.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from sync.blocks import (
    State,
    pack_dense,
    pack_spans,
    pack_sparse,
    read_dense,
    read_spans,
    read_sparse,
    unzipped,
    zipped,
)
from sync.feeds import CHECK_BYTES
from sync.limits import (
    HASHES_MAX,
    LANE_MAX,
    LOGS_MAX,
    RECORD_BYTES_MIN,
    RUN_BYTES_MAX,
    RUN_ENTRIES_MAX,
    SEQ_END,
    SYMBOLS_MAX,
)
from sync.logs import CHAIN_BYTES, ROOT_BYTES, LogId
from sync.octets import VARINT_END, Octets, RemoteProtocolError, malformed, varint
from sync.ranges import Ranges
from sync.refs import HASH_BYTES, Listed, LogRef, Tagged, pack_ref, read_ref

__all__ = [
    "Ack", "Ask", "Check", "Gone", "Hello", "Listed", "LogId", "LogRef", "Record", "RemoteProtocolError", "Run",
    "Sketch", "Sketched", "State", "States", "Stop", "Tagged", "Unknown", "Vector", "Want", "Withheld", "decode",
    "encode",
]  # fmt: skip

WIRE_VERSION: Final = 3
CHECK_ROOT_BYTES: Final = 2
RUN_OVERHEAD_BYTES: Final = 96  # A RUN beside its packed entries: type, names, seq, prev and eight lengths, at most.

HELLO, STATES, RUN, ACK, GONE, WANT, STOP, ASK, SKETCH, SKETCHED, VECTOR, CHECK, WITHHELD = range(13)


class Remembered(NamedTuple):
    """That the sender remembers its peer, and how far."""

    since: int
    """The sender's change number that it believes the peer to know: a delta tells what changed after it."""
    epoch: int
    """Lowest 16 bits of the peer's epoch."""
    heard: int
    """The peer's change number that the sender knows."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first record of each side."""

    version: int
    lanes: int
    """Bit set of the lanes this side takes part in, 4 bits."""
    record_bytes_max: int
    """The largest record this side takes: a power of two, 2^14 to 2^29."""
    known: int
    """How many feeds of the organisation's list this side knows."""
    check: bytes
    """2 B that all who know these must agree on; empty if known is 0."""
    epoch: int
    """32 bits: another one is another database."""
    upto: int
    """Change number of all that is told here."""
    root: bytes
    """8 B, logs.root of everything settled."""
    chain: bytes
    """4 B, logs.chain of the same with the tips; zeros where one of them is not known."""
    memory: Remembered | None = None
    delta: bool = False
    """Whether the records that follow tell what changed after memory.since."""
    hold: bool = False
    """Push nothing but lane 0 before my first STOP: I am receiving from another node."""


@dataclass(frozen=True, slots=True)
class States:
    """What the sender has settled of some logs."""

    states: tuple[State, ...]
    more: bool = False
    """Whether another STATES follows that belongs to this one."""
    rest: bool = False
    """Of every log that is not told here I have settled just what you told me that you have."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A part of everything that the sender has settled."""

    more: bool
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
    """RUNs dealt with since the last ACK, in the order they came; all of them settled but the refused ones."""

    runs_done: int
    advance: int
    """How much my change number has grown since I last told it; you know now everything up to it."""
    heard: int
    """How much of yours I have heard since I last said so."""
    refused: tuple[int, ...] = ()
    """Which of these runs, counted from 0, are not settled as a whole."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Settled at the sender and not held there: these will not come from it."""

    log: LogRef
    seqs: Ranges


@dataclass(frozen=True, slots=True)
class Withheld:
    """What you lack of that which I have told you, but in lane 0, will not come from me for now."""


@dataclass(frozen=True, slots=True)
class Want:
    """Push these, or, if none are named, go on with this log after a STOP."""

    log: LogRef
    seqs: Ranges


@dataclass(frozen=True, slots=True)
class Stop:
    """Do not push these logs until I want them. The first one ends `hold`."""

    logs: tuple[LogRef, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """I do not know you: tell me everything."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """The next coded symbols over all my states, sketch.py's bytes."""

    symbols: bytes


@dataclass(frozen=True, slots=True)
class Sketched:
    """The answer to a SKETCH. `more` > 0: send so many symbols. Otherwise it is solved, or given up."""

    more: int
    given_up: bool
    hashes: tuple[bytes, ...]
    """4 B each, the first of items that you have and I have not."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record type that version 3 does not have."""

    kind: int


@dataclass(frozen=True, slots=True)
class Check:
    """The first reconciliation is over. Where we have settled the same, do we also have the same tips?"""

    root: bytes
    """The first 2 B of logs.root now."""
    chain: bytes
    """4 B, logs.chain now."""


Spoken: TypeAlias = (
    Check | Hello | States | Vector | Run | Ack | Gone | Withheld | Want | Stop | Ask | Sketch | Sketched
)
Record: TypeAlias = Spoken | Unknown

_REMEMBERS, _DELTA, _HOLD = 1, 2, 4
_MORE, _REST, _ZIP = 1, 2, 8
_PREV = 8
_REFUSED, _HEARD = 1, 2
_SOLVED, _GIVEN_UP = 1, 2


def encode(record: Spoken) -> bytes:
    match record:
        case Run(log, start, prev, packed):
            head = bytes((RUN | (len(packed) - 1 | (0 if prev is None else _PREV)) << 4,)) + pack_ref(log)
            parts = [head, varint(start), prev or b""]
            for entry in packed[:-1]:
                parts += (varint(len(entry)), entry)
            return b"".join((*parts, packed[-1]))
        case Ack():
            return _encode_ack(record)
        case States(states, more, rest):
            plain = pack_sparse(states)
            body = zipped(plain)
            return _head(STATES, more * _MORE | rest * _REST | (body != plain) * _ZIP) + body
        case Vector(more, states):
            plain = pack_dense(states)
            body = zipped(plain)
            return _head(VECTOR, more * _MORE | (body != plain) * _ZIP) + body
        case Gone(log, seqs):
            return _head(GONE) + pack_ref(log) + pack_spans(seqs, 0)
        case Want(log, seqs):
            return _head(WANT) + pack_ref(log) + (pack_spans(seqs, 0) if seqs else b"")
        case Stop(logs):
            return _head(STOP) + b"".join(map(pack_ref, logs))
        case Ask():
            return _head(ASK)
        case Withheld():
            return _head(WITHHELD)
        case Sketch(symbols):
            return _head(SKETCH) + symbols
        case Sketched(count, given_up, hashes):
            if count:
                return _head(SKETCHED) + varint(count)
            return _head(SKETCHED, _GIVEN_UP if given_up else _SOLVED) + b"".join(hashes)
        case Check(root, chain):
            return _head(CHECK) + root + chain
        case Hello():
            return _encode_hello(record)


def _head(kind: int, flags: int = 0) -> bytes:
    return bytes((kind | flags << 4,))


def _encode_hello(hello: Hello) -> bytes:
    memory = hello.memory
    flags = (memory is not None) * _REMEMBERS | hello.delta * _DELTA | hello.hold * _HOLD
    size = hello.record_bytes_max.bit_length() - 1 - RECORD_BYTES_MIN.bit_length() + 1
    out = [_head(HELLO, flags), bytes((hello.version, hello.lanes | size << 4)), varint(hello.known), hello.check]
    out += [hello.epoch.to_bytes(4), varint(hello.upto), hello.root, hello.chain]
    if memory is not None:
        out += [varint(hello.upto - memory.since), memory.epoch.to_bytes(2), varint(memory.heard)]
    return b"".join(out)


def _encode_ack(ack: Ack) -> bytes:
    out = [_head(ACK, bool(ack.refused) * _REFUSED | bool(ack.heard) * _HEARD), varint(ack.runs_done)]
    out.append(varint(ack.advance))
    if ack.heard:
        out.append(varint(ack.heard))
    after = 0
    for index in ack.refused:
        out.append(varint(index - after))
        after = index + 1
    return b"".join(out)


def decode(data: bytes, *, bytes_max: int) -> Record:
    """The one record in data. Raises RemoteProtocolError: record-oversized, record-malformed, run-bounds,
    ranges-too-many, version-unsupported."""
    if len(data) > bytes_max:
        raise RemoteProtocolError("record-oversized", f"{len(data)} bytes, {bytes_max} allowed")
    octets = Octets(data)
    first = octets.take(1)[0]
    flags = first >> 4
    match first & 15:
        case 2:
            return _run(octets, flags)
        case 3:
            return _ack(octets, flags)
        case 1:
            return _states(octets, flags)
        case 4:
            _only(flags, 0)
            return Gone(read_ref(octets), _seqs(octets))
        case 5:
            _only(flags, 0)
            return Want(read_ref(octets), _seqs(octets) if octets.left else Ranges())
        case 6:
            return _stop(octets, flags)
        case 7:
            _only(flags, 0)
            octets.end()
            return Ask()
        case 8:
            _only(flags, 0)
            return Sketch(octets.rest())
        case 9:
            return _sketched(octets, flags)
        case 10:
            _only(flags, _MORE | _ZIP)
            return Vector(bool(flags & _MORE), read_dense(unzipped(octets.rest(), bool(flags & _ZIP))))
        case 11:
            _only(flags, 0)
            check = Check(octets.take(CHECK_ROOT_BYTES), octets.take(CHAIN_BYTES))
            octets.end()
            return check
        case 12:
            _only(flags, 0)
            octets.end()
            return Withheld()
        case 0:
            return _hello(octets, flags)
        case kind:
            return Unknown(kind)


def _only(flags: int, allowed: int) -> None:
    if flags & ~allowed:
        raise malformed("flags")


def _hello(octets: Octets, flags: int) -> Hello:
    version, lanes = octets.take(2)
    if version < WIRE_VERSION:
        raise RemoteProtocolError("version-unsupported", f"version {version}")
    known = octets.varint(LOGS_MAX + 1)
    check = octets.take(CHECK_BYTES) if known else b""
    epoch, upto = int.from_bytes(octets.take(4)), octets.varint()
    root, chain = octets.take(ROOT_BYTES), octets.take(CHAIN_BYTES)
    memory: Remembered | None = None
    if flags & _REMEMBERS:
        since = upto - octets.varint()
        if since < 0:
            raise malformed("since")
        memory = Remembered(since, int.from_bytes(octets.take(2)), octets.varint())
    if version == WIRE_VERSION:  # A later version may say more in its HELLO; what this one reads stays where it is.
        _only(flags, _REMEMBERS | _DELTA | _HOLD)
        octets.end()
    if flags & _DELTA and memory is None:
        raise malformed("a delta without a memory")
    size = RECORD_BYTES_MIN << (lanes >> 4)
    return Hello(
        version, lanes & 15, size, known, check, epoch, upto, root, chain, memory,
        bool(flags & _DELTA), bool(flags & _HOLD),
    )  # fmt: skip


def _states(octets: Octets, flags: int) -> States:
    _only(flags, _MORE | _REST | _ZIP)
    states = read_sparse(unzipped(octets.rest(), bool(flags & _ZIP)))
    return States(states, bool(flags & _MORE), bool(flags & _REST))


def _run(octets: Octets, flags: int) -> Run:
    log = read_ref(octets)
    start = octets.varint(SEQ_END)
    prev = octets.take(32) if flags & _PREV else None
    count = (flags & 7) + 1
    entries = [octets.take(octets.varint(RUN_BYTES_MAX)) for _ in range(count - 1)]
    entries.append(octets.rest())
    if start + count > SEQ_END or not all(entries):
        raise RemoteProtocolError("run-bounds", f"{count} entries from {start}")
    if count > 1 and sum(map(len, entries)) > RUN_BYTES_MAX:
        raise RemoteProtocolError("run-bounds", "several entries, too long together")
    if prev is not None and start == 0:
        raise malformed("prev")
    assert count <= RUN_ENTRIES_MAX
    return Run(log, start, prev, tuple(entries))


def _ack(octets: Octets, flags: int) -> Ack:
    _only(flags, _REFUSED | _HEARD)
    runs_done, advance = octets.varint(VARINT_END), octets.varint()
    heard = octets.varint() if flags & _HEARD else 0
    refused: list[int] = []
    if flags & _REFUSED:
        after = 0
        while octets.left:
            refused.append(after + octets.varint())
            after = refused[-1] + 1
        if not refused or after > runs_done:
            raise malformed("refused runs")
    octets.end()
    if (flags & _HEARD and not heard) or not (runs_done or advance or heard):
        raise RemoteProtocolError("ack-empty")
    return Ack(runs_done, advance, heard, tuple(refused))


def _stop(octets: Octets, flags: int) -> Stop:
    _only(flags, 0)
    logs: list[LogRef] = []
    while octets.left:
        logs.append(read_ref(octets))
    return Stop(tuple(logs))


def _sketched(octets: Octets, flags: int) -> Sketched:
    if not flags:
        count = octets.varint(SYMBOLS_MAX + 1)
        octets.end()
        if not count:
            raise malformed("no symbols wanted")
        return Sketched(count, False, ())
    data = octets.rest()
    if flags not in (_SOLVED, _GIVEN_UP) or len(data) % HASH_BYTES or (flags == _GIVEN_UP and data):
        raise malformed("answer to a sketch")
    if len(data) > HASHES_MAX * HASH_BYTES:
        raise malformed("too many unknown items")
    hashes = tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))
    return Sketched(0, flags == _GIVEN_UP, hashes)


def _seqs(octets: Octets) -> Ranges:
    spans = read_spans(octets, 0)
    octets.end()
    return Ranges(spans)


assert LANE_MAX == 3  # Two bits in every name of a log.
