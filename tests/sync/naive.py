"""A second reading of sync/README.md, written without sync/: slow, short, and wrong wherever the README is unclear.

It decodes records, follows a transcript and computes roots; the vectors hold both implementations to each other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | int | str | bool | None"
Plain: TypeAlias = "list[Plain] | int | bytes | bool | None"


class NotARecord(Exception):
    pass


def need(condition: bool) -> None:
    if not condition:
        raise NotARecord


def read_head(data: bytes, at: int) -> tuple[int, int, int]:
    need(at < len(data))
    major, low = data[at] >> 5, data[at] & 31
    if low < 24:
        return major, low, at + 1
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(low, 0)
    need(size > 0 and at + 1 + size <= len(data))
    number = int.from_bytes(data[at + 1 : at + 1 + size])
    need(major == 7 or number >= (24 if size == 1 else 1 << (4 * size)))  # The shortest form only.
    return major, number, at + 1 + size


def read(data: bytes, at: int) -> tuple[Plain, int]:
    major, number, after = read_head(data, at)
    if major == 0:
        return number, after
    if major == 2:
        need(after + number <= len(data))
        return data[after : after + number], after + number
    if major == 4:
        items: list[Plain] = []
        for _ in range(number):
            item, after = read(data, after)
            items.append(item)
        return items, after
    need(major == 7 and after == at + 1 and number in (20, 21, 22))
    return {20: False, 21: True, 22: None}[number], after


def number(value: Plain, end: int) -> int:
    need(isinstance(value, int) and not isinstance(value, bool))
    assert isinstance(value, int)
    need(value < end)
    return value


def octets(value: Plain, *sizes: int) -> bytes:
    need(isinstance(value, bytes))
    assert isinstance(value, bytes)
    need(not sizes or len(value) in sizes)
    return value


def items(value: Plain, count: int | None = None) -> list[Plain]:
    need(isinstance(value, list))
    assert isinstance(value, list)
    need(count is None or len(value) == count)
    return value


def log_name(value: Plain) -> Json:
    if isinstance(value, bytes):
        need(len(value) == 17 and value[16] < 4)
        return value.hex()
    return number(value, 65_536)


def spans(value: Plain, at: int, gap_min: int) -> list[Json]:
    flat = items(value)
    need(len(flat) % 2 == 0 and len(flat) <= 2_048)
    found: list[Json] = []
    while flat:
        gap, length = number(flat[0], 2**32), number(flat[1], 2**32 + 1)
        flat = flat[2:]
        need(gap >= gap_min and length > 0 and at + gap + length <= 2**32)
        found.append([at + gap, at + gap + length])
        at, gap_min = at + gap + length, 1
    return found


def state(value: Plain) -> Json:
    log, after, ranges, tip = items(value, 4)
    end = number(after, 2**32 + 1)
    settled: list[Json] = [[0, end]] if end else []
    settled += spans(ranges, end, 1)
    known = octets(tip, 0, 8)
    need(bool(settled) or not known)
    return {"log": log_name(log), "settled": settled, "tip": known.hex()}


def record(data: bytes) -> dict[str, Json]:
    """The record in data, as the vectors write it. Raises NotARecord."""
    value, end = read(data, 0)
    need(end == len(data))
    kind, *rest = items(value)
    if kind is True or kind is False:
        raise NotARecord
    if kind == 0:
        need(len(rest) >= 5)
        version = number(rest[0], 2**16)
        need(version >= 1 and (version > 1 or len(rest) == 5))
        hello: dict[str, Json] = {"type": "hello", "version": version, "capabilities": number(rest[1], 2**32)}
        hello |= {"root": octets(rest[2], 16).hex(), "lanes": number(rest[3], 256)}
        hello |= {"record_bytes_max": number(rest[4], 2**32)}
        need(number(rest[4], 2**32) >= 16_384)
        return hello
    if kind == 1:
        more, states = rest if len(rest) == 2 else (None, None)
        need(more is True or more is False)
        return {"type": "vector", "more": more is True, "states": [state(item) for item in items(states)]}
    if kind == 2:
        log, start, prev, packed = items(rest, 4)
        entries = [octets(item) for item in items(packed)]
        first = number(start, 2**32)
        need(1 <= len(entries) <= 8 and all(entries) and first + len(entries) <= 2**32)
        need(len(entries) == 1 or sum(map(len, entries)) <= 16_384)
        need(prev is None or first > 0)
        link = None if prev is None else octets(prev, 32).hex()
        return {"type": "run", "log": log_name(log), "start": first, "prev": link,
                "packed": [item.hex() for item in entries]}  # fmt: skip
    if kind == 3:
        done, states = items(rest, 2)
        return {"type": "ack", "runs_done": number(done, 2**32), "states": [state(item) for item in items(states)]}
    if kind == 4:
        log, ranges = items(rest, 2)
        gone = spans(ranges, 0, 0)
        need(bool(gone))
        return {"type": "gone", "log": log_name(log), "seqs": gone}
    raise NotARecord


def root(logs: list[tuple[str, list[list[int]], str]]) -> str:
    """Of (17 bytes of the log, spans, tip), both byte strings in hex."""
    total = 0
    for name, settled, tip in logs:
        log = bytes.fromhex(name)
        if not settled or log[16] == 3:
            continue
        form = b"beepmesh/leaf/1" + log + len(settled).to_bytes(4)
        for start, stop in settled:
            form += start.to_bytes(8) + stop.to_bytes(8)
        total += int.from_bytes(sha256(form + bytes.fromhex(tip)[:8]).digest()[:16])
    return (total % 2**128).to_bytes(16).hex()


def follow(transcript: list[tuple[str, str]]) -> dict[str, set[tuple[str, int, str]]]:
    """For each speaker the entries it pushed: (17 bytes of the log, seq, packed), all in hex."""
    names: dict[str, list[str]] = {}
    pushed: dict[str, set[tuple[str, int, str]]] = {}
    for speaker, said in transcript:
        mentioned = names.setdefault(speaker, [])
        heard = record(bytes.fromhex(said))
        listed = heard.get("states")
        for holder in [*(listed if isinstance(listed, list) else []), heard]:
            assert isinstance(holder, dict)
            log = holder.get("log")
            if isinstance(log, str):
                need(log not in mentioned)
                mentioned.append(log)
        start, packed, reference = heard.get("start"), heard.get("packed"), heard.get("log")
        if heard["type"] == "run":
            assert isinstance(start, int)
            assert isinstance(packed, list)
            log = reference if isinstance(reference, str) else mentioned[number(_plain(reference), len(mentioned))]
            pushed.setdefault(speaker, set()).update((log, seq, str(item)) for seq, item in enumerate(packed, start))
    return pushed


def _plain(value: Json) -> Plain:
    assert value is None or isinstance(value, int)
    return value
