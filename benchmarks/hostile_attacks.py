"""What a hostile member can say to a session: each attack is all that it sends, record by record.

A number among the records lets so many seconds pass in silence. Attacks that no rule ends are cut off after RECORDS, or
earlier where each record costs much; what matters of them is what a record costs, and that nothing grows.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice, repeat
from typing import Final, TypeAlias

from sync.limits import RANGES_MAX, RUN_ENTRIES_MAX, SPANS_MAX, STALL_S, SYMBOLS_MAX, SYMBOLS_MORE_MAX
from sync.logs import LogId
from sync.ranges import NOTHING, Ranges
from sync.sketch import Encoder, Symbol, encode_symbols
from sync.wire import (
    VECTOR,
    WIRE_VERSION,
    Ack,
    Ask,
    Check,
    Gone,
    Hello,
    Remembered,
    Run,
    Sketch,
    Sketched,
    Spoken,
    State,
    States,
    Stop,
    Vector,
    Want,
    encode,
)

Said: TypeAlias = bytes | float
Attack: TypeAlias = Callable[[], Iterator[Said]]

RECORD_BYTES_MAX: Final = 1 << 17
"""What the node takes in one record."""
RECORDS: Final = 5_000
EPOCH: Final = 7
MET_UPTO: Final = 1
"""Of a peer that the node remembers."""
_FEW: Final = 20
_ZIPPED: Final = bytes((VECTOR | 0x90,))  # VECTOR, more, deflated.
_STATES_AT_ONCE: Final = 600
_WIDE_AT_ONCE: Final = 40
_ONE: Final = Ranges(((0, 1),))
_COMB: Final = Ranges(tuple((2 * seq, 2 * seq + 1) for seq in range(1, RANGES_MAX)))
"""As many spans as one state may have, and with the zeros between them they deflate to nearly nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """An attack and the node it meets."""

    name: str
    attack: Attack
    stands_still: bool = False
    """The node's disk does: no run that it takes is answered."""
    remembers: bool = False
    """The node has met the peer before."""
    twice: bool = False
    """The same is said on another link before, up to the first silence."""
    endless: bool = False
    """No rule ends it: the same RECORDS times over."""


def new_log(number: int, lane: int = 1) -> LogId:
    """One that no node here has."""
    return LogId((1 << 127 | number).to_bytes(16), lane)


def _hello(root: bytes = bytes(8), memory: Remembered | None = None) -> Hello:
    """With the lower root a peer tells everything, with the higher one it is told."""
    return Hello(WIRE_VERSION, 15, RECORD_BYTES_MAX, 0, b"", EPOCH, MET_UPTO, root, bytes(4), memory)


def _met(*more: Spoken) -> Iterator[Said]:
    """A peer that has settled nothing, and then says more."""
    return map(encode, chain((_hello(), Vector(False, ())), more))


def _unending(record: Spoken, records: int = RECORDS) -> Iterator[Said]:
    return chain(_met(), repeat(encode(record), records))


def _vectors(states: Iterator[State], at_once: int = _STATES_AT_ONCE) -> Iterator[Said]:
    """A VECTOR that does not end."""
    while part := tuple(islice(states, at_once)):
        yield encode(Vector(True, part))


def _new_states(settled: Ranges = _ONE) -> Iterator[State]:
    return (State(new_log(number), settled) for number in count())


# Who claims things.


def _vector_without_end() -> Iterator[Said]:
    return chain((encode(_hello()),), _vectors(_new_states()))


def _claims_everything() -> Iterator[Said]:
    """As many logs as it may name, and nothing of them comes."""
    yield encode(_hello())
    yield from _vectors(islice(_new_states(), SPANS_MAX // 2))
    yield encode(Vector(False, ()))
    for _ in range(_FEW):
        yield encode(Ack(0, 1, 0))
    yield STALL_S
    yield STALL_S


def _claims_spans() -> Iterator[Said]:
    yield encode(_hello())
    yield from _vectors(islice(_new_states(_COMB), SPANS_MAX // (RANGES_MAX + 1)), _WIDE_AT_ONCE)
    yield encode(Vector(False, ()))


def _bomb() -> Iterator[Said]:
    yield encode(_hello())
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield _ZIPPED + b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()


def _zeros() -> Iterator[Said]:
    """A column of zeros says nothing and is read; with one log beside it, the VECTOR goes on."""
    yield encode(_hello())
    for number in range(_FEW):
        other = b"\x01\x01" + new_log(number).feed + b"\x02"
        column = b"\x00\xff\xff\x03"  # From number 0 on, 65,535 of them.
        plain = b"\x09" + column + bytes(65_535) + other
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        yield _ZIPPED + packer.compress(plain) + packer.flush()


def _spans_again() -> Iterator[Said]:
    return _unending(States(tuple(islice(_new_states(_COMB), _WIDE_AT_ONCE))), _FEW)


def _parts_without_end() -> Iterator[Said]:
    return _unending(States((), more=True, rest=True))


def _parts_of_new_logs() -> Iterator[Said]:
    states = _new_states()
    parts = iter(lambda: tuple(islice(states, _STATES_AT_ONCE)), ())
    return chain(_met(), (encode(States(part, more=True, rest=True)) for part in parts))


# Who sketches.


def _nonsense() -> Iterator[Said]:
    chance = random.Random(1)
    yield encode(_hello())
    while True:
        made = [Symbol(chance.getrandbits(64), chance.getrandbits(32), 1) for _ in range(SYMBOLS_MORE_MAX)]
        yield encode(Sketch(encode_symbols(made)))


def _other_things() -> Iterator[Said]:
    """A true sketch of so many logs that the node finds as much as symbols allow."""
    encoder = Encoder(map(random.Random(2).getrandbits, repeat(64, SYMBOLS_MAX // 2)))
    yield encode(_hello())
    yield encode(Sketch(encode_symbols(encoder.symbols(SYMBOLS_MAX))))
    yield encode(Sketch(encode_symbols([Symbol(0, 0, 0)])))


def _more_for_ever() -> Iterator[Said]:
    return chain((encode(_hello(b"\xff" * 8)),), repeat(encode(Sketched(1, False, ()))))


# Who asks.


def _asks() -> Iterator[Said]:
    said: tuple[Spoken, ...] = (_hello(b"\xff" * 8), Ask(), Ask())
    return map(encode, said)


def _wrong_root() -> Iterator[Said]:
    """What the node remembers of it does not come to this root."""
    yield encode(_hello(b"\x01" * 8, Remembered(MET_UPTO, 1, 0)))
    yield encode(Vector(False, ()))


def _wants_new_logs() -> Iterator[Said]:
    return chain(_met(), (encode(Want(new_log(number), _ONE)) for number in count()))


def _wants_spans() -> Iterator[Said]:
    """Each is answered by a GONE of as many."""
    return chain(_met(), (encode(Want(new_log(number), _COMB)) for number in range(_FEW)))


def _wants_again() -> Iterator[Said]:
    return _unending(Want(LogId(bytes(16), 1), Ranges(((0, 10),))))


def _checks() -> Iterator[Said]:
    return _unending(Check(bytes(2), b"\xff" * 4))


# Who floods.


def _stops() -> Iterator[Said]:
    return chain(_met(), (encode(Stop(tuple(new_log(7_000 * n + m) for m in range(7_000)))) for n in count()))


def _gones() -> Iterator[Said]:
    return chain(_met(), (encode(Gone(new_log(number), _COMB)) for number in count()))


def _gones_of_new_logs() -> Iterator[Said]:
    return chain(_met(), (encode(Gone(new_log(number), _ONE)) for number in count()))


def _acks() -> Iterator[Said]:
    return _unending(Ack(0, 1, 0))


def _stops_and_wants() -> Iterator[Said]:
    log = LogId(bytes(16), 1)
    pair = (encode(Stop((log,))), encode(Want(log, NOTHING)))
    return chain(_met(), chain.from_iterable(repeat(pair, RECORDS // 2)))


def _runs() -> Iterator[Said]:
    packed = (bytes(2_000),) * RUN_ENTRIES_MAX
    return chain(_met(), (encode(Run(new_log(0), RUN_ENTRIES_MAX * n, None, packed)) for n in count()))


def _runs_of_new_logs() -> Iterator[Said]:
    return chain(_met(), (encode(Run(new_log(number), 0, None, (b"e",))) for number in count()))


CASES: Final = (
    Case("a VECTOR of new logs without end", _vector_without_end),
    Case("claims 131,072 logs, gives nothing", _claims_everything),
    Case("the same on two links", _claims_everything, twice=True),
    Case("claims 261,000 spans", _claims_spans),
    Case("a deflate bomb of 100 MB", _bomb),
    Case("deflated zeros, again and again", _zeros),
    Case("deflated spans, again and again", _spans_again),
    Case("empty STATES parts without end", _parts_without_end, endless=True),
    Case("STATES parts of new logs without end", _parts_of_new_logs),
    Case("a sketch of nonsense", _nonsense),
    Case("a sketch of other things", _other_things),
    Case("asks for symbols one by one", _more_for_ever),
    Case("ASK, twice", _asks),
    Case("a root that does not fit, then nothing", _wrong_root, remembers=True),
    Case("WANT of new logs", _wants_new_logs),
    Case("WANT of 1,023 spans each", _wants_spans),
    Case("WANT of the same again", _wants_again, endless=True),
    Case("CHECK", _checks, endless=True),
    Case("STOP of new logs", _stops),
    Case("STOP and WANT in turn", _stops_and_wants, endless=True),
    Case("GONE of new logs", _gones_of_new_logs),
    Case("GONE of 1,023 spans each", _gones),
    Case("ACK of nothing but numbers", _acks, endless=True),
    Case("RUNs beyond the window", _runs, stands_still=True),
    Case("RUNs of new logs, refused", _runs_of_new_logs),
)  # fmt: skip
