"""The vectors of tests/vectors/sync/, made from sync/. `python -m tests.sync.vectors` writes them anew.

Write them anew only together with a new wire version, or for new cases: the old bytes are what others implemented.
"""

from __future__ import annotations

import json
from pathlib import Path

from sync import cbor
from sync.logs import LogState, root
from sync.ranges import Ranges
from sync.wire import Ack, Gone, Hello, Record, RemoteProtocolError, Run, State, Unknown, Vector, decode, encode
from tests.sync.naive import Json
from tests.sync.pair import End, Node, World, first, log, seqs

FOLDER = Path(__file__).parent.parent / "vectors" / "sync"

FEED = bytes(range(16))
LOG = FEED + b"\x01"
ROOT = bytes(range(0xA0, 0xB0))
PREV = bytes(range(0xC0, 0xE0))
TIP = bytes(range(0xF0, 0xF8))

RECORDS: dict[str, Hello | Vector | Run | Ack | Gone] = {
    "hello": Hello(1, 0, ROOT, 0b0111, 163_840),
    "hello of a node with nothing": Hello(1, 0, bytes(16), 0b0111, 16_384),
    "vector": Vector(False, (State(LOG, Ranges.of((0, 5), (7, 10)), TIP),)),
    "vector of nothing": Vector(False, ()),
    "vector with more to come": Vector(
        True, (State(LOG, first(300), TIP), State(0, seqs((2, 3)), b""), State(70, first(2**32), TIP))
    ),
    "run that extends the peer's newest entry": Run(0, 10, None, (b"entry ten", b"entry eleven")),
    "run with prev": Run(LOG, 5, PREV, (b"entry five",)),
    "run from the beginning": Run(LOG, 0, None, (b"entry zero",)),
    "ack": Ack(2, (State(0, first(12), TIP),)),
    "ack of a refused run": Ack(1, ()),
    "ack of what came from elsewhere": Ack(0, (State(LOG, Ranges.of((0, 2), (5, 6)), b""),)),
    "gone": Gone(0, Ranges.of((0, 2), (5, 8))),
    "gone from the last seq": Gone(LOG, Ranges.of((2**32 - 1, 2**32))),
}

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "an array cut short": encode(RECORDS["hello"])[:-1],
    "a byte too many": encode(RECORDS["ack"]) + b"\x00",
    "a number in a longer form than needed": bytes.fromhex("8303180080"),
    "an array of unknown length": bytes.fromhex("9f030180ff"),
    "hello of version 0": cbor.encode([0, 0, 0, ROOT, 7, 163_840]),
    "hello with one element more": cbor.encode([0, 1, 0, ROOT, 7, 163_840, 0]),
    "hello of a peer that takes too little": cbor.encode([0, 1, 0, ROOT, 7, 16_383]),
    "vector whose flag is a number": cbor.encode([1, 0, []]),
    "state whose ranges touch next": cbor.encode([1, False, [[LOG, 1, [0, 1], b""]]]),
    "state with an empty range": cbor.encode([1, False, [[LOG, 1, [1, 0], b""]]]),
    "state beyond the last seq": cbor.encode([1, False, [[LOG, 1, [1, 2**32 - 1], b""]]]),
    "state with a tip of nothing": cbor.encode([1, False, [[LOG, 0, [], TIP]]]),
    "state with too many ranges": cbor.encode([1, False, [[LOG, 1, [1] * 2_050, b""]]]),
    "log in lane 4": cbor.encode([2, FEED + b"\x04", 0, None, [b"e"]]),
    "run of nine": cbor.encode([2, LOG, 0, None, [b"e"] * 9]),
    "run of none": cbor.encode([2, LOG, 0, None, []]),
    "run with an empty entry": cbor.encode([2, LOG, 0, None, [b""]]),
    "run of two that is too long": cbor.encode([2, LOG, 0, None, [bytes(16_384), b"e"]]),
    "run beyond the last seq": cbor.encode([2, LOG, 2**32 - 1, None, [b"e", b"e"]]),
    "run from 0 with prev": cbor.encode([2, LOG, 0, PREV, [b"e"]]),
    "gone of nothing": cbor.encode([4, LOG, []]),
}


def as_json(record: Record) -> Json:
    match record:
        case Hello(version, capabilities, root_, lanes, record_bytes_max):
            hello: dict[str, Json] = {"type": "hello", "version": version, "capabilities": capabilities}
            return hello | {"root": root_.hex(), "lanes": lanes, "record_bytes_max": record_bytes_max}
        case Vector(more, states):
            return {"type": "vector", "more": more, "states": [_state(state) for state in states]}
        case Run(reference, start, prev, packed):
            return {"type": "run", "log": _name(reference), "start": start, "prev": prev.hex() if prev else None,
                    "packed": [data.hex() for data in packed]}  # fmt: skip
        case Ack(runs_done, states):
            return {"type": "ack", "runs_done": runs_done, "states": [_state(state) for state in states]}
        case Gone(reference, gone):
            return {"type": "gone", "log": _name(reference), "seqs": [list(span) for span in gone.spans]}
        case Unknown():
            raise AssertionError("no vector has one")


def _state(state: State) -> Json:
    return {"log": _name(state.log), "settled": [list(span) for span in state.settled.spans], "tip": state.tip.hex()}


def _name(reference: bytes | int) -> Json:
    return reference if isinstance(reference, int) else reference.hex()


def records() -> Json:
    return [{"name": name, "hex": encode(item).hex(), "record": as_json(item)} for name, item in RECORDS.items()]


def refused() -> Json:
    listed: list[Json] = []
    for name, data in REFUSED.items():
        try:
            decode(data, bytes_max=1 << 20)
        except RemoteProtocolError as error:
            listed.append({"name": name, "hex": data.hex(), "reason": error.reason})
    return listed


def roots() -> Json:
    tip = bytes(range(32))
    cases = [
        {},
        {log(1, 0): LogState(first(1), tip)},
        {log(1, 0): LogState(first(1), tip), log(1, 1): LogState(seqs((0, 2), (4, 2**32)), b""),
         log(2, 1): LogState(seqs((9, 10)), tip), log(2, 3): LogState(first(4), tip),
         log(3, 2): LogState(first(0), b"")},
    ]  # fmt: skip
    return [
        {
            "logs": [
                [(of.feed + bytes([of.lane])).hex(), [list(span) for span in state.settled.spans], state.tip.hex()]
                for of, state in case.items()
            ],
            "root": root(case).hex(),
        }
        for case in cases
    ]


def session() -> Json:
    """Two nodes meet; the first then writes one more entry. Each thing happens as soon as it can, left side first."""
    a = Node({log(1, 0): first(2), log(1, 1): seqs((0, 20), (22, 24)), log(2, 1): first(3)})
    b = Node({log(1, 0): first(1), log(1, 1): first(22), log(3, 1): first(2), log(2, 2): first(1)})
    a.give_up(log(2, 1), seqs((1, 2)))
    world = World()
    world.connect(a, b)
    order: list[tuple[str, bytes]] = []
    heard = [0, 0]
    while True:
        for number, end in enumerate(world.ends):
            order += [("ab"[number], data) for data in end.sent[heard[number] :]]
            heard[number] = len(end.sent)
        if not world.step():
            break
    states = {name: _held(end) for name, end in zip("ab", world.ends, strict=True)}
    return {"said": [[speaker, data.hex()] for speaker, data in order], "held": states}


def _held(end: End) -> Json:
    held: list[Json] = []
    for of, entries in sorted(end.node.entries.items()):
        held += [[(of.feed + bytes([of.lane])).hex(), seq, entries[seq].hex()] for seq in sorted(entries)]
    return held


def everything() -> dict[str, Json]:
    return {"records": records(), "refused": refused(), "roots": roots(), "session": session()}


def text(value: Json) -> str:
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, content in everything().items():
        (FOLDER / f"{file}.json").write_text(text(content))
