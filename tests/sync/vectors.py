"""The vectors of tests/vectors/sync/, made from sync/. `python -m tests.sync.vectors` writes them anew.

Write them anew only together with a new wire version, or for new cases: the old bytes are what others implemented.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from sync.feeds import FeedList
from sync.logs import SUM_MODULUS, LogId, LogState, leaf, root, view_digest
from sync.names import tag
from sync.ranges import NOTHING, Ranges
from sync.refs import LogRef
from sync.sketch import Decoder, Encoder, Symbol, encode_symbols
from sync.sketching import item
from sync.wire import (
    Ack,
    Ask,
    Check,
    Gone,
    Hello,
    Listed,
    Record,
    Remembered,
    RemoteProtocolError,
    Run,
    Sketch,
    Sketched,
    Spoken,
    State,
    States,
    Stop,
    Tagged,
    Unknown,
    Vector,
    Want,
    Withheld,
    decode,
    encode,
)
from tests.sync.naive import Json
from tests.sync.pair import Node, World, first, log, seqs

FOLDER = Path(__file__).parent.parent / "vectors" / "sync"

LOG = LogId(bytes(range(16)), 1)
TAGGED = Tagged(bytes.fromhex("b0b1b2b3b4"), 1)
ROOT, CHAIN = bytes(range(0xA0, 0xA8)), bytes(range(0xC0, 0xC4))
PREV = bytes(range(0xE0, 0x100))
HELLO = Hello(3, 0b1111, 131_072, 0, b"", 0x01020304, 9, ROOT, CHAIN)

RECORDS: dict[str, Spoken] = {
    "hello": HELLO,
    "hello of a node with nothing": Hello(3, 0b0111, 16_384, 0, b"", 7, 0, bytes(8), bytes(4)),
    "hello to one that is remembered": Hello(
        3, 0b1111, 131_072, 300, b"\xd0\xd1", 0x01020304, 1_000, ROOT, CHAIN, Remembered(998, 0x0B0C, 700), delta=True
    ),
    "hello of a node that is receiving elsewhere": Hello(
        3, 0b1111, 2**29, 65_536, b"\xd0\xd1", 2**32 - 1, 2**35 - 1, ROOT, CHAIN, Remembered(0, 0, 0), hold=True
    ),
    "hello of a later version": Hello(4, 0b1111, 131_072, 0, b"", 0x01020304, 9, ROOT, CHAIN),
    "states": States((
        State(Listed(7, 0), first(3)), State(Listed(9, 0), first(1)), State(Listed(300, 1), seqs((0, 5), (7, 10))),
        State(TAGGED, first(70)), State(LOG, seqs((2, 3))),
    )),
    "states that another part follows, the rest as told": States((State(Listed(0, 2), NOTHING),), True, True),
    "states of nothing, all as told": States((), rest=True),
    "states with the last seq": States((State(Listed(65_535, 2), first(2**32)),)),
    "states, deflated": States(tuple(State(Listed(number, 1), first(3)) for number in range(40))),
    "vector": Vector(False, (State(Listed(4, 0), first(2)), State(Listed(6, 0), seqs((1, 3))), State(LOG, first(5)))),
    "vector of nothing": Vector(False, ()),
    "vector, deflated": Vector(True, tuple(State(Listed(number, 1), first(300)) for number in range(100, 140))),
    "run that extends the peer's newest entry": Run(0, 10, None, (b"entry ten", b"entry eleven")),
    "run with prev": Run(LOG, 5, PREV, (b"entry five",)),
    "run of eight": Run(Listed(4_711, 2), 0, None, tuple(b"entry %d" % number for number in range(8))),
    "run of a tagged feed": Run(TAGGED, 2**32 - 1, PREV, (b"the last",)),
    "ack": Ack(2, 3, 0),
    "ack that also says what was heard": Ack(16, 16, 300),
    "ack of refused runs": Ack(5, 3, 0, (0, 3)),
    "ack of what came from elsewhere": Ack(0, 1, 0),
    "gone": Gone(0, seqs((0, 2), (5, 8))),
    "gone from the last seq": Gone(LOG, seqs((2**32 - 1, 2**32))),
    "want of bulk": Want(Listed(7, 3), seqs((3, 600))),
    "want of a log that was stopped": Want(5, NOTHING),
    "stop": Stop((0, Listed(7, 1), LOG)),
    "stop of nothing": Stop(()),
    "ask": Ask(),
    "withheld": Withheld(),
    "sketch": Sketch(encode_symbols([Symbol(0x0102030405060708, 0x090A0B0C, 3_073)])),
    "sketched, more wanted": Sketched(96, False, ()),
    "sketched, solved": Sketched(0, False, (b"\xf0\xf1\xf2\xf3", b"\xf4\xf5\xf6\xf7")),
    "sketched, given up": Sketched(0, True, ()),
    "check": Check(ROOT[:2], CHAIN),
}  # fmt: skip

_STATES = b"\x01"
REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "hello cut short": encode(HELLO)[:-1],
    "hello with a byte more": encode(HELLO) + b"\x00",
    "hello of version 1, which was CBOR": bytes.fromhex("86000100") + b"P" + bytes(16) + bytes.fromhex("071a00028000"),
    "hello that says version 1": encode(HELLO).replace(b"\x00\x03", b"\x00\x01", 1),
    "hello of version 2": encode(HELLO).replace(b"\x00\x03", b"\x00\x02", 1),
    "hello that knows too many feeds": b"\x00\x03\x3f" + b"\x81\x80\x04",
    "hello with a delta and no memory": b"\x20" + encode(HELLO)[1:],
    "hello with an unknown flag": b"\x80" + encode(HELLO)[1:],
    "hello that remembers more than there is": b"\x10" + encode(HELLO)[1:] + bytes.fromhex("0a000000"),
    "a number in a longer form than needed": bytes.fromhex("03820000"),
    "a number in six bytes": bytes.fromhex("0380808080800100"),
    "a number beyond 2^35": bytes.fromhex("03ffffffffff0100"),
    "states without sections": _STATES,
    "states of a lane that is not told": _STATES + b"\x10",
    "states of a section with nothing": _STATES + b"\x01\x00",
    "states of more logs than bytes": _STATES + b"\x01\x05\x00\x00",
    "states of a number beyond the list": _STATES + bytes.fromhex("0101 808004 02"),
    "states with a span from 0 beside next": _STATES + bytes.fromhex("010100 01 01 0000"),
    "states with spans of nothing": _STATES + bytes.fromhex("010100 03 00"),
    "states with too many spans": _STATES + bytes.fromhex("010100 03 8108") + b"\x01\x00" * 1_025,
    "states beyond the last seq": _STATES + bytes.fromhex("010100 03 01 01 feffffff0f"),
    "states of more than the last seq": _STATES + bytes.fromhex("010100 8280808020"),
    "states of an odd name": _STATES + bytes.fromhex("0801 08") + bytes(17),
    "states with a byte more": encode(RECORDS["states"]) + b"\x00",
    "states that do not inflate": b"\x81" + b"\xff\xff",
    "states deflated and cut short": encode(RECORDS["states, deflated"])[:-1],
    "states deflated with a byte more": encode(RECORDS["states, deflated"]) + b"\x00",
    "states with an unknown flag": b"\x41\x00",
    "vector that is the rest": b"\x2a\x00",
    "run of none": bytes.fromhex("020200"),
    "run with an empty entry": bytes.fromhex("12020000") + b"e",
    "run of two that is too long": bytes.fromhex("120200") + b"\xff\x7f" + bytes(16_383) + b"ee",
    "run beyond the last seq": bytes.fromhex("1202ffffffff0f") + b"\x01ee",
    "run from 0 with prev": bytes.fromhex("820200") + PREV + b"e",
    "run of a log in lane 4": b"\x02\x00" + bytes(16) + b"\x04\x00e",
    "run of a mention beyond all": bytes.fromhex("02868020") + b"\x00e",
    "ack of nothing": bytes.fromhex("030000"),
    "ack of nothing heard": bytes.fromhex("23010000"),
    "ack of runs refused that it does not count": bytes.fromhex("1301000001"),
    "ack that refuses nothing": bytes.fromhex("130100"),
    "gone of nothing": bytes.fromhex("0402"),
    "gone of no spans": bytes.fromhex("040200"),
    "want of no spans": bytes.fromhex("050200"),
    "stop of half a name": b"\x06\x01\x00",
    "ask for something": b"\x07\x00",
    "sketched, no more": b"\x09\x00",
    "sketched, more than a sketch has": b"\x09\x81\x40",
    "sketched, half a hash": b"\x19\x00\x00",
    "sketched, given up with a hash": b"\x29\x00\x00\x00\x00",
    "sketched, solved and given up": b"\x39",
    "check cut short": b"\x0b" + bytes(5),
    "check with a flag": b"\x1b" + bytes(6),
    "withheld with a flag": b"\x1c",
    "withheld with the last flag": b"\x8c",
    "withheld with a byte more": b"\x0c\x00",
}


def as_json(record: Record) -> Json:
    match record:
        case Hello(memory=memory):
            told = {"since": memory.since, "epoch": memory.epoch, "heard": memory.heard} if memory else None
            return {"type": "hello", "version": record.version, "lanes": record.lanes,
                    "record_bytes_max": record.record_bytes_max, "known": record.known, "check": record.check.hex(),
                    "epoch": record.epoch, "upto": record.upto, "root": record.root.hex(), "chain": record.chain.hex(),
                    "memory": told, "delta": record.delta, "hold": record.hold}  # fmt: skip
        case States(states, more, rest):
            return {"type": "states", "more": more, "rest": rest, "states": list(map(_state, states))}
        case Vector(more, states):
            return {"type": "vector", "more": more, "states": list(map(_state, states))}
        case Run(ref, start, prev, packed):
            return {"type": "run", "log": _name(ref), "start": start, "prev": None if prev is None else prev.hex(),
                    "packed": [data.hex() for data in packed]}  # fmt: skip
        case Ack(runs_done, advance, heard, refused):
            return {"type": "ack", "runs_done": runs_done, "advance": advance, "heard": heard, "refused": list(refused)}
        case Gone(ref, gone):
            return {"type": "gone", "log": _name(ref), "seqs": _spans(gone)}
        case Want(ref, wanted):
            return {"type": "want", "log": _name(ref), "seqs": _spans(wanted)}
        case Stop(logs):
            return {"type": "stop", "logs": list(map(_name, logs))}
        case Ask():
            return {"type": "ask"}
        case Withheld():
            return {"type": "withheld"}
        case Sketch(symbols):
            return {"type": "sketch", "symbols": symbols.hex()}
        case Sketched(more, given_up, hashes):
            return {"type": "sketched", "more": more, "given_up": given_up, "hashes": [each.hex() for each in hashes]}
        case Check(root_, chain_):
            return {"type": "check", "root": root_.hex(), "chain": chain_.hex()}
        case Unknown(kind):
            return {"type": "unknown", "kind": kind}


def _state(state: State) -> Json:
    return {"log": _name(state.log), "settled": _spans(state.settled)}


def _spans(seqs_: Ranges) -> Json:
    return [list(span) for span in seqs_.spans]


def _name(ref: LogRef) -> Json:
    match ref:
        case int():
            return {"mention": ref}
        case Listed(number, lane):
            return {"listed": number, "lane": lane}
        case Tagged(name, lane):
            return {"tag": name.hex(), "lane": lane}
        case LogId(feed, lane):
            return {"feed": feed.hex(), "lane": lane}


def records() -> Json:
    return [{"name": name, "hex": encode(each).hex(), "record": as_json(each)} for name, each in RECORDS.items()]


def reason(data: bytes) -> str:
    """Why these bytes are refused, empty if they are not."""
    try:
        decode(data, bytes_max=1 << 20)
    except RemoteProtocolError as error:
        return error.reason
    return ""


def refused() -> Json:
    return [{"name": name, "hex": data.hex(), "reason": reason(data)} for name, data in REFUSED.items()]


SALT = b"the handshake hash of one link, "


def states_as_json(states: dict[LogId, LogState]) -> Json:
    return [[of.feed.hex(), of.lane, _spans(state.settled), state.tip.hex()] for of, state in states.items()]


def sums() -> Json:
    """Roots, chains, digests and items of some states; tags of feeds; the check of a list."""
    tip = bytes(range(32))
    cases: list[dict[LogId, LogState]] = [
        {},
        {log(1, 0): LogState(first(1), tip)},
        {log(1, 0): LogState(first(1), b"")},
        {log(1, 0): LogState(first(1), tip), log(1, 1): LogState(seqs((0, 2), (4, 2**32)), tip[::-1])},
        {log(1, 0): LogState(first(1), tip), log(1, 1): LogState(seqs((0, 2), (4, 2**32)), b""),
         log(2, 1): LogState(seqs((9, 10)), tip), log(2, 3): LogState(first(4), tip),
         log(3, 2): LogState(first(0), b"")},
    ]  # fmt: skip
    listed = []
    for case in cases:
        node = Node()
        node.frontier.change(case, 1)
        positions = sum(leaf(of, state.settled) for of, state in case.items()) % SUM_MODULUS
        assert root(positions, SALT) == node.frontier.root(SALT)
        items = [item(SALT, of, state.settled, state.tip) for of, state in case.items() if state.settled]
        listed.append(
            {"logs": states_as_json(case), "root": node.frontier.root(SALT).hex(),
             "chain": node.frontier.chain(SALT).hex(), "digest": view_digest(node.frontier.positions).hex(),
             "items": [each.to_bytes(8).hex() for each in items]}
        )  # fmt: skip
    pages = [[log(number).feed for number in page] for page in ((1, 2, 3), (9,))]
    feeds = FeedList()
    for page in pages:
        feeds.grow(page)
    check = feeds.check(4)
    assert check is not None
    return {
        "salt": SALT.hex(), "sums": listed, "tags": {log(n).feed.hex(): tag(log(n).feed, SALT).hex() for n in (1, 2)},
        "list": {"pages": [[feed.hex() for feed in page] for page in pages], "check": check.hex()},
    }  # fmt: skip


# Whole sessions.


def _listed(count: int) -> FeedList:
    feeds = FeedList()
    feeds.grow([log(number).feed for number in range(count)])
    return feeds


def _nodes() -> tuple[Node, Node]:
    """Two that have met, so that each remembers the other; with some feeds in the list and one outside it."""
    feeds = _listed(5)
    a = Node({log(number, lane): first(3) for number in range(6) for lane in (0, 1)}, feeds=feeds)
    b = Node({log(1, 0): first(1)}, feeds=feeds, epoch=2)
    for _ in range(2):
        _meet(a, b)
    return a, b


def _meet(a: Node, b: Node) -> None:
    world = World()
    world.connect(a, b, salt=SALT)
    world.run()
    world.cut()


def _transcript(a: Node, b: Node, live: Callable[[], None] | None = None) -> Json:
    """What both say, each thing as soon as it can be, left side first."""
    before = {name: states_as_json(node.states) for name, node in (("a", a), ("b", b))}
    world = World()
    world.connect(a, b, salt=SALT)
    order: list[tuple[str, bytes]] = []
    heard = [0, 0]
    while True:
        for number, end in enumerate(world.ends):
            order += [("ab"[number], data) for data in end.sent[heard[number] :]]
            heard[number] = len(end.sent)
        if not world.step():
            if live is None:
                break
            live()
            live = None
    assert [end.hangup for end in world.ends] == [None, None]
    after = {name: states_as_json(node.states) for name, node in (("a", a), ("b", b))}
    feeds = a.frontier.feeds
    return {
        "salt": SALT.hex(), "listed": [feeds.feed(number).hex() for number in range(len(feeds))], "before": before,
        "said": [[speaker, data.hex()] for speaker, data in order], "after": after,
    }  # fmt: skip


def _nothing_new() -> Json:
    return _transcript(*_nodes())


def _one_new() -> Json:
    a, b = _nodes()
    a.write(log(3, 1), seqs((3, 4)))
    return _transcript(a, b)


def _new_on_both_sides_and_live() -> Json:
    a, b = _nodes()
    a.write(log(3, 1), seqs((3, 6)))
    a.write(log(5, 0), seqs((3, 4)))
    b.write(log(8, 2), first(2))
    return _transcript(a, b, lambda: b.write(log(1, 0), seqs((3, 4))))


def _first_contact() -> Json:
    feeds = _listed(5)
    a = Node({log(number, lane): first(3) for number in range(6) for lane in (0, 1)}, feeds=feeds)
    b = Node({log(1, 0): first(1), log(7, 1): seqs((0, 2), (3, 4))}, feeds=feeds, epoch=2)
    a.give_up(log(2, 1), seqs((1, 2)))
    return _transcript(a, b)


def _forgotten_by_one() -> Json:
    a, b = _nodes()
    b.memories.clear()
    a.write(log(3, 1), seqs((3, 4)))
    return _transcript(a, b)


def _remembered_wrongly() -> Json:
    a, b = _nodes()
    views = {of: first(2) for of in a.states}
    memory = replace(a.memories[id(b)], views=views)
    a.memories[id(b)] = replace(memory, digest=view_digest(a.frontier.view_of(memory.views)))
    a.write(log(2, 0), seqs((3, 4)))
    return _transcript(a, b)


def _sketched() -> Json:
    """Neither remembers, and a VECTOR would be long."""
    held = {LogId(sha256(bytes([number])).digest()[:16], 1): first(1) for number in range(250)}
    a, b = Node(held), Node(held, epoch=2)
    a.write(log(301, 1), seqs((0, 5)))
    b.write(next(iter(held)), seqs((1, 2)))
    return _transcript(a, b)


def _forked() -> Json:
    a, b = Node(), Node(epoch=2)
    for node, branch in ((a, "a"), (b, "b")):
        node.branches[log(1)] = (1, branch)
        node.write(log(1), first(3))
    return _transcript(a, b)


def _withheld() -> Json:
    """Of one log, then of nothing: it is told, is not pushed, and comes when it may."""
    a, b = _nodes()
    a.write(log(2, 1), seqs((3, 5)))
    a.write(log(3, 1), seqs((3, 6)))
    a.withholds = lambda of, start, stop: seqs((max(start, 4), stop)) if of == log(3, 1) else NOTHING
    return _transcript(a, b, a.weigh)


def sessions() -> Json:
    return {
        "nothing new": _nothing_new(), "one new entry": _one_new(),
        "new on both sides, then live": _new_on_both_sides_and_live(), "first contact": _first_contact(),
        "forgotten by one": _forgotten_by_one(), "remembered wrongly": _remembered_wrongly(),
        "sketched": _sketched(), "forked": _forked(),
        "withheld": _withheld(),
    }  # fmt: skip


# Sketches alone.

SKETCHED = [int.from_bytes(sha256(bytes([number])).digest()[:8]) for number in range(60)]
LONE = Symbol(SKETCHED[0], 0, 1)

NO_SKETCHES: dict[str, bytes] = {
    "a sum alone": bytes(8),
    "no count": bytes(12),
    "half a symbol after a whole one": encode_symbols([LONE]) + bytes(5),
    "a count cut short": encode_symbols([LONE])[:-1] + b"\x82",
    "a count in a longer form than needed": encode_symbols([LONE])[:-1] + b"\x82\x00",
    "a count beyond 32 bits": bytes(12) + b"\x80\x80\x80\x80\x10",
    "a count of six bytes": bytes(12) + b"\x80\x80\x80\x80\x80\x01",
}


def sketch() -> Json:
    """The last case's stream begins too short to tell the difference."""
    cases = [
        (set[int](), set[int](), 2),
        (set(SKETCHED[:40]), set(SKETCHED[:40]), 1),
        (set[int](), {SKETCHED[0]}, 1),
        (set(SKETCHED[:50]), set(SKETCHED[4:56]), 24),
        (set(SKETCHED[:20]), set(SKETCHED[20:]), 16),
    ]
    listed: list[Json] = []
    for own, sender, count in cases:
        symbols, decoder = Encoder(sender).symbols(count), Decoder(own)
        decoder.feed(symbols)
        found: Json = {"mine": _items(decoder.mine), "theirs": _items(decoder.theirs)} if decoder.done else None
        listed.append(
            {"own": _items(own), "sender": _items(sender), "hex": encode_symbols(symbols).hex(), "difference": found}
        )
    return {"streams": listed, "refused": [{"name": name, "hex": data.hex()} for name, data in NO_SKETCHES.items()]}


def _items(items: set[int]) -> Json:
    return [each.to_bytes(8).hex() for each in sorted(items)]


def everything() -> dict[str, Json]:
    return {
        "records": records(), "refused": refused(), "sums": sums(), "sessions": sessions(), "sketch": sketch(),
    }  # fmt: skip


def text(value: Json) -> str:
    """One case a line, or one part of it."""
    cases = value.items() if isinstance(value, dict) else enumerate(value)
    lines = [("" if isinstance(value, list) else f"{json.dumps(name)}: ") + _parted(case) for name, case in cases]
    return ("[\n{}\n]\n" if isinstance(value, list) else "{{\n{}\n}}\n").format(",\n".join(lines))


def _parted(case: Json) -> str:
    if not isinstance(case, dict):
        return json.dumps(case)
    return "{" + ",\n ".join(f"{json.dumps(name)}: {json.dumps(part)}" for name, part in case.items()) + "}"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, content in everything().items():
        (FOLDER / f"{file}.json").write_text(text(content))
