"""A second reading of sync/README.md, written without sync/: slow, short, and wrong wherever the README is unclear.

It reads and writes records, computes the sums, tags and items, and reads sketches; `listener.py` follows transcripts
with it. The vectors, and records made at random, hold both implementations to each other.
"""

from __future__ import annotations

import math
import zlib
from hashlib import sha256, shake_128
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""What JSON may hold; the shapes are the vectors'."""


class NotARecord(Exception):
    """With the word for it."""


def need(condition: bool, reason: str = "record-malformed") -> None:
    if not condition:
        raise NotARecord(reason)


# Numbers and bytes.


def varint(number: int) -> bytes:
    digits = [number >> 7 * place & 127 for place in range(max(1, -(-number.bit_length() // 7)))]
    return bytes(digit | 128 for digit in digits[:-1]) + bytes(digits[-1:])


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        need(len(self.data) >= count)
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def rest(self) -> bytes:
        return self.take(len(self.data))

    def varint(self, end: int = 2**35) -> int:
        length = next((place for place, byte in enumerate(self.data[:5], 1) if byte < 128), 0)
        need(length > 0)
        taken = self.take(length)
        need(length == 1 or taken[-1] > 0)
        number = sum((byte & 127) << 7 * place for place, byte in enumerate(taken))
        need(number < end)
        return number


# Names and blocks.


def read_name(data: Bytes) -> Json:
    head = data.varint(3 + 2 * 4 * 65_536)
    if head >= 2 and head % 2 == 0:
        return {"mention": (head - 2) // 2}
    if head >= 2:
        return {"listed": (head - 3) // 2 // 4, "lane": (head - 3) // 2 % 4}
    name = {"tag": data.take(5).hex()} if head else {"feed": data.take(16).hex()}
    lane = data.take(1)[0]
    need(lane < 4)
    return {**name, "lane": lane}


def write_name(name: Json) -> bytes:
    if "mention" in name:
        return varint(2 + 2 * name["mention"])
    if "listed" in name:
        return varint(3 + 2 * (4 * name["listed"] + name["lane"]))
    tagged = "tag" in name
    return varint(int(tagged)) + bytes.fromhex(name["tag" if tagged else "feed"]) + bytes([name["lane"]])


def read_spans(data: Bytes, at: int) -> list[list[int]]:
    """Distances count from one beyond what came before; at 0 nothing did."""
    count = data.varint()
    need(count > 0)
    need(count <= 1_024, "ranges-too-many")
    spans: list[list[int]] = []
    after = at - 1 if at == 0 else at
    for _ in range(count):
        start = after + 1 + data.varint(2**32)
        after = start + 1 + data.varint(2**32)
        need(after <= 2**32)
        spans.append([start, after])
    return spans


def write_spans(spans: list[list[int]], at: int) -> bytes:
    after, out = (at - 1 if at == 0 else at), varint(len(spans))
    for start, stop in spans:
        out += varint(start - after - 1) + varint(stop - start - 1)
        after = stop
    return out


def read_settled(data: Bytes, value: int) -> list[list[int]]:
    after = value // 2
    spans = [[0, after]] if after else []
    if value % 2:
        above = read_spans(data, after)
        need(above[0][0] > after)
        spans += above
    return spans


def split(settled: list[list[int]]) -> tuple[int, list[list[int]]]:
    """What is below the first gap, and the rest."""
    return (settled[0][1], settled[1:]) if settled and settled[0][0] == 0 else (0, settled)


def write_column(column: list[list[list[int]]]) -> bytes:
    parts = [split(settled) for settled in column]
    values = b"".join(varint(2 * after + bool(above)) for after, above in parts)
    return values + b"".join(write_spans(above, after) for after, above in parts if above)


def read_states(plain: bytes, dense: bool) -> list[Json]:
    data = Bytes(plain)
    sections = data.take(1)[0]
    need(sections < 16)
    states: list[Json] = []
    for lane in range(3):
        if sections >> lane & 1:
            first = data.varint(65_536) if dense else 0
            count = data.varint(65_537)
            need(0 < count <= len(data.data))
            numbers = list(range(first, first + count)) if dense else []
            after = 0
            while len(numbers) < count:
                numbers.append(after + data.varint(65_536))
                after = numbers[-1] + 1
            values = [data.varint(2**33 + 2) for _ in numbers]
            for number, value in zip(numbers, values, strict=True):
                settled = read_settled(data, value)
                if settled or not dense:
                    states.append({"log": {"listed": number, "lane": lane}, "settled": settled})
    if sections >> 3:
        count = data.varint(65_537)
        need(count > 0)
        for _ in range(count):
            head = data.take(1)[0]
            need(head < 8)
            name = {"tag": data.take(5).hex()} if head >= 4 else {"feed": data.take(16).hex()}
            settled = read_settled(data, data.varint(2**33 + 2))
            states.append({"log": {**name, "lane": head % 4}, "settled": settled})
    need(not data.data)
    return states


def write_states(states: list[Json], dense: bool) -> bytes:
    out, sections = b"", 0
    for lane in range(3):
        rows = sorted(
            (state["log"]["listed"], state["settled"])
            for state in states
            if "listed" in state["log"] and state["log"]["lane"] == lane
        )
        if not rows:
            continue
        sections |= 1 << lane
        if dense:
            told, first, last = dict(rows), rows[0][0], rows[-1][0]
            out += varint(first) + varint(last - first + 1)
            out += write_column([told.get(number, []) for number in range(first, last + 1)])
        else:
            numbers = [number for number, _ in rows]
            gaps = [number - before - 1 for before, number in zip([-1, *numbers], numbers, strict=False)]
            out += varint(len(rows)) + b"".join(map(varint, gaps)) + write_column([settled for _, settled in rows])
    others = [state for state in states if "listed" not in state["log"]]
    if others:
        sections |= 8
        out += varint(len(others))
    for state in others:
        name = state["log"]
        out += bytes([name["lane"] + 4 * ("tag" in name)]) + bytes.fromhex(name.get("tag", name.get("feed")))
        out += write_column([state["settled"]])
    return bytes([sections]) + out


def inflated(data: bytes) -> bytes:
    reader = zlib.decompressobj(-15)
    try:
        plain = reader.decompress(data, 98_304)
    except zlib.error:
        raise NotARecord("record-malformed") from None
    need(reader.eof and not reader.unused_data)
    return plain


def deflated(plain: bytes) -> bytes:
    writer = zlib.compressobj(wbits=-15)
    return writer.compress(plain) + writer.flush()


# Records.

KINDS = "hello states run ack gone want stop ask sketch sketched vector check withheld".split()
FLAGS = {"hello": 7, "states": 11, "run": 15, "ack": 3, "sketched": 3, "vector": 9}


def read(record: bytes) -> Json:
    """The record in these bytes, as the vectors write it. Raises NotARecord."""
    data = Bytes(record)
    first = data.take(1)[0]
    kind, flags = first % 16, first // 16
    if kind >= len(KINDS):
        return {"type": "unknown", "kind": kind}
    name = KINDS[kind]
    need(name == "hello" or not flags & ~FLAGS.get(name, 0))
    found = {"type": name, **READERS[name](data, flags)}
    need(not data.data)
    return found


def read_hello(data: Bytes, flags: int) -> Json:
    version, lanes = data.take(2)
    need(version >= 3, "version-unsupported")
    known = data.varint(65_537)
    hello: Json = {
        "version": version, "lanes": lanes % 16, "record_bytes_max": 16_384 << lanes // 16, "known": known,
        "check": data.take(2 if known else 0).hex(), "epoch": int.from_bytes(data.take(4)), "upto": data.varint(),
        "root": data.take(8).hex(), "chain": data.take(4).hex(), "memory": None,
        "delta": bool(flags & 2), "hold": bool(flags & 4),
    }  # fmt: skip
    if flags & 1:
        since = hello["upto"] - data.varint()
        need(since >= 0)
        hello["memory"] = {"since": since, "epoch": int.from_bytes(data.take(2)), "heard": data.varint()}
    need(bool(flags & 1) or not flags & 2)
    if version > 3:
        data.rest()
    else:
        need(flags < 8)
    return hello


def read_run(data: Bytes, flags: int) -> Json:
    name, start = read_name(data), data.varint(2**32)
    prev = data.take(32).hex() if flags & 8 else None
    entries = [data.take(data.varint(16_384)) for _ in range(flags & 7)]
    entries.append(data.rest())
    need(all(entries) and start + len(entries) <= 2**32, "run-bounds")
    need(len(entries) == 1 or sum(map(len, entries)) <= 16_384, "run-bounds")
    need(prev is None or start > 0)
    return {"log": name, "start": start, "prev": prev, "packed": [entry.hex() for entry in entries]}


def read_ack(data: Bytes, flags: int) -> Json:
    done, advance = data.varint(), data.varint()
    heard = data.varint() if flags & 2 else 0
    refused: list[int] = []
    while flags & 1 and data.data:
        refused.append((refused[-1] + 1 if refused else 0) + data.varint())
    need(not flags & 1 or (bool(refused) and refused[-1] < done))
    need(not data.data)
    need(bool(done or advance or heard) and (heard > 0 or not flags & 2), "ack-empty")
    return {"runs_done": done, "advance": advance, "heard": heard, "refused": refused}


def read_states_record(data: Bytes, flags: int) -> Json:
    body = inflated(data.rest()) if flags & 8 else data.rest()
    return {"more": bool(flags & 1), "rest": bool(flags & 2), "states": read_states(body, dense=False)}


def read_vector(data: Bytes, flags: int) -> Json:
    body = inflated(data.rest()) if flags & 8 else data.rest()
    return {"more": bool(flags & 1), "states": read_states(body, dense=True)}


def read_stop(data: Bytes, flags: int) -> Json:
    logs = []
    while data.data:
        logs.append(read_name(data))
    return {"logs": logs}


def read_sketched(data: Bytes, flags: int) -> Json:
    need(flags < 3)
    more = data.varint(8_193) if flags == 0 else 0
    need(flags > 0 or more > 0)
    body = data.rest()
    need(len(body) % 4 == 0 and len(body) <= 4 * 8_192 and (flags == 1 or not body))
    hashes = [body[at : at + 4].hex() for at in range(0, len(body), 4)]
    return {"more": more, "given_up": flags == 2, "hashes": hashes}


READERS: dict[str, Any] = {
    "hello": read_hello,
    "states": read_states_record,
    "vector": read_vector,
    "run": read_run,
    "ack": read_ack,
    "gone": lambda data, flags: {"log": read_name(data), "seqs": read_spans(data, 0)},
    "want": lambda data, flags: {"log": read_name(data), "seqs": read_spans(data, 0) if data.data else []},
    "stop": read_stop,
    "ask": lambda data, flags: {},
    "withheld": lambda data, flags: {},
    "sketch": lambda data, flags: {"symbols": data.rest().hex()},
    "sketched": read_sketched,
    "check": lambda data, flags: {"root": data.take(2).hex(), "chain": data.take(4).hex()},
}


def write(record: Json, *, deflate: bool = False) -> bytes:
    """The bytes of a record of the vectors' shape."""
    flags: int
    body: bytes
    flags, body = WRITERS[record["type"]](record)
    if deflate:
        flags, body = flags | 8, deflated(body)
    return bytes([KINDS.index(record["type"]) + 16 * flags]) + body


def write_hello(hello: Json) -> tuple[int, bytes]:
    memory = hello["memory"]
    size = (hello["record_bytes_max"] // 16_384).bit_length() - 1
    body = bytes([hello["version"], hello["lanes"] + 16 * size]) + varint(hello["known"])
    body += bytes.fromhex(hello["check"]) + hello["epoch"].to_bytes(4) + varint(hello["upto"])
    body += bytes.fromhex(hello["root"] + hello["chain"])
    if memory:
        body += varint(hello["upto"] - memory["since"]) + memory["epoch"].to_bytes(2) + varint(memory["heard"])
    return (memory is not None) + 2 * hello["delta"] + 4 * hello["hold"], body


def write_run(run: Json) -> tuple[int, bytes]:
    entries = [bytes.fromhex(entry) for entry in run["packed"]]
    body = write_name(run["log"]) + varint(run["start"]) + bytes.fromhex(run["prev"] or "")
    body += b"".join(varint(len(entry)) + entry for entry in entries[:-1]) + entries[-1]
    return len(entries) - 1 + 8 * (run["prev"] is not None), body


def write_ack(ack: Json) -> tuple[int, bytes]:
    refused = ack["refused"]
    gaps = [index - before - 1 for before, index in zip([-1, *refused], refused, strict=False)]
    numbers = [ack["runs_done"], ack["advance"], *([ack["heard"]] if ack["heard"] else []), *gaps]
    return bool(refused) + 2 * bool(ack["heard"]), b"".join(map(varint, numbers))


def write_sketched(answer: Json) -> tuple[int, bytes]:
    if answer["more"]:
        return 0, varint(answer["more"])
    return (2 if answer["given_up"] else 1), bytes.fromhex("".join(answer["hashes"]))


def write_seqs(record: Json) -> tuple[int, bytes]:
    return 0, write_name(record["log"]) + (write_spans(record["seqs"], 0) if record["seqs"] else b"")


WRITERS: dict[str, Any] = {
    "hello": write_hello,
    "states": lambda record: (record["more"] + 2 * record["rest"], write_states(record["states"], dense=False)),
    "vector": lambda record: (int(record["more"]), write_states(record["states"], dense=True)),
    "run": write_run,
    "ack": write_ack,
    "gone": write_seqs,
    "want": write_seqs,
    "stop": lambda record: (0, b"".join(map(write_name, record["logs"]))),
    "ask": lambda record: (0, b""),
    "withheld": lambda record: (0, b""),
    "sketch": lambda record: (0, bytes.fromhex(record["symbols"])),
    "sketched": write_sketched,
    "check": lambda record: (0, bytes.fromhex(record["root"] + record["chain"])),
}


# Sums, tags and items. A log is [feed in hex, lane, spans, tip in hex].


def form(log: Json) -> bytes:
    feed, lane, spans, _ = log
    numbers = b"".join(start.to_bytes(8) + stop.to_bytes(8) for start, stop in spans)
    return bytes.fromhex(feed) + bytes([lane]) + len(spans).to_bytes(4) + numbers


def total(logs: list[Json], *, tips: bool) -> int:
    counted = [log for log in logs if log[2] and log[1] < 3]
    tails = [bytes.fromhex(log[3]) if tips else b"" for log in counted]
    leaves = [shake_128(b"beepmesh/leaf/2" + form(log) + tip) for log, tip in zip(counted, tails, strict=True)]
    return sum(int.from_bytes(leaf.digest(256)) for leaf in leaves) % 2**2048


def root(logs: list[Json], salt: bytes) -> str:
    return sha256(b"beepmesh/root/2" + salt + total(logs, tips=False).to_bytes(256)).hexdigest()[:16]


def chain(logs: list[Json], salt: bytes) -> str:
    if any(spans and lane < 3 and not tip for _, lane, spans, tip in logs):
        return "00000000"
    return sha256(b"beepmesh/chain/2" + salt + total(logs, tips=True).to_bytes(256)).hexdigest()[:8]


def digest(logs: list[Json]) -> str:
    return sha256(b"beepmesh/view/2" + total(logs, tips=False).to_bytes(256)).hexdigest()


def tag(feed: str, salt: bytes) -> str:
    return sha256(b"beepmesh/tag/2" + salt + bytes.fromhex(feed)).hexdigest()[:10]


def item(log: Json, salt: bytes) -> str:
    return sha256(b"beepmesh/item/2" + salt + form(log) + bytes.fromhex(log[3])).hexdigest()[:16]


def list_check(pages: list[list[str]]) -> str:
    after = bytes(32)
    for page in pages:
        after = sha256(after + bytes.fromhex("".join(page))).digest()
    return after[:2].hex()


# Sketches.

Cell: TypeAlias = tuple[int, int, int]


def places(item: int, end: int) -> set[int]:
    """The symbols below end that hold the item."""
    state, at, found = int.from_bytes(sha256(b"beepmesh/sketch/1" + item.to_bytes(8)).digest()[:8]), 0, set[int]()
    while at < end:
        found.add(at)
        state = state * 0xDA942042E4DD58B5 % 2**64
        at = at + math.ceil((at + 1.5) * (2.0**32 / math.sqrt(float(state) + 1.0) - 1.0))
    return found


def check(item: int) -> int:
    return int.from_bytes(sha256(b"beepmesh/sketch/1" + item.to_bytes(8)).digest()[8:12])


def symbol(held: set[int], index: int) -> Cell:
    inside = [item for item in held if index in places(item, index + 1)]
    xored = checks = 0
    for one in inside:
        xored, checks = xored ^ one, checks ^ check(one)
    return xored, checks, len(inside)


def difference(own: set[int], cells: list[Cell]) -> tuple[set[int], set[int]] | None:
    """What the own set and that of these symbols differ in; None when they are too few. Everything anew each time."""
    mine, theirs = set[int](), set[int]()
    while True:
        explained = [symbol((own - mine) | theirs, index) for index in range(len(cells))]
        left = [(a[0] ^ b[0], a[1] ^ b[1], a[2] - b[2]) for a, b in zip(cells, explained, strict=True)]
        if not any(map(any, left)):
            return mine, theirs
        alone = {
            (one, count)
            for index, (one, checks, count) in enumerate(left)
            if abs(count) == 1 and check(one) == checks and index in places(one, index + 1)
        }
        if not alone:
            return None
        mine |= {one for one, count in alone if count == -1}
        theirs |= {one for one, count in alone if count == 1}


def read_symbols(data: bytes) -> list[Cell]:
    cells: list[Cell] = []
    left = Bytes(data)
    while left.data:
        xored, checks = int.from_bytes(left.take(8)), int.from_bytes(left.take(4))
        zigzag = left.varint(2**32)
        cells.append((xored, checks, -(zigzag + 1) // 2 if zigzag % 2 else zigzag // 2))
    return cells
