"""What is sent during a simulation: by whom, when, to whom, how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from simulations.lines import BadFile, Lines

EVERYBODY = -1

COLUMNS = "id,t,src,dst,size,ttl,prio"
UPLINK_COLUMNS = "a,b,bytes_per_s"
MESSAGE_COUNT_MAX = 1_000_000
SIZE_BYTES_MAX = 2**31
TIME_S_MAX = 1e10


class Message(NamedTuple):
    """One line of a workload. `dst` is a node, or EVERYBODY; `prio` 0 SOS, 1 normal, 2 bulk."""

    id: int
    t: float
    src: int
    dst: int
    size: int
    """Bytes of what is said."""
    ttl: float
    """Seconds after which it is worth nothing."""
    prio: int


def load(path: str | Path, nodes: int) -> tuple[Message, ...]:
    """The messages of a CSV file for a trace of that many nodes, in the order (t, id). Raises BadFile."""
    lines = Lines(Path(path))
    messages: list[Message] = []
    seen: set[int] = set()
    for parts in _rows(lines, COLUMNS):
        message = Message(
            lines.integer(parts[0], "id", 0, 2**62),
            lines.real(parts[1], "t", 0, TIME_S_MAX),
            lines.integer(parts[2], "src", 0, nodes - 1),
            lines.integer(parts[3], "dst", EVERYBODY, nodes - 1),
            lines.integer(parts[4], "size", 1, SIZE_BYTES_MAX),
            lines.real(parts[5], "ttl", 0, TIME_S_MAX),
            lines.integer(parts[6], "prio", 0, 2),
        )
        if message.id in seen:
            raise lines.wrong(f"id {message.id} is there a second time")
        if message.src == message.dst:
            raise lines.wrong(f"node {message.src} writes to itself")
        if len(messages) >= MESSAGE_COUNT_MAX:
            raise lines.wrong(f"more than {MESSAGE_COUNT_MAX} messages")
        seen.add(message.id)
        messages.append(message)
    return tuple(sorted(messages, key=lambda message: (message.t, message.id)))


def save(messages: Iterable[Message], path: str | Path) -> None:
    """Write them as `load` reads them; times to the millisecond."""
    rows = (f"{m.id},{m.t:.3f},{m.src},{m.dst},{m.size},{m.ttl:.15g},{m.prio}\n" for m in messages)
    Path(path).write_text(f"{COLUMNS}\n{''.join(rows)}", encoding="utf-8", newline="\n")


def load_uplinks(path: str | Path, nodes: int) -> dict[tuple[int, int], float]:
    """{(a, b), a < b: bytes per second} of the pairs whose contacts are an uplink. Raises BadFile."""
    lines = Lines(Path(path))
    speeds: dict[tuple[int, int], float] = {}
    for parts in _rows(lines, UPLINK_COLUMNS):
        a, b = sorted(lines.integer(part, "a node", 0, nodes - 1) for part in parts[:2])
        if a == b or (a, b) in speeds:
            raise lines.wrong(
                f"the pair {a}, {b} is one node" if a == b else f"the pair {a}, {b} is there a second time"
            )
        speeds[a, b] = lines.real(parts[2], "bytes_per_s", 1, 1e12)
    return speeds


def save_uplinks(speeds: Mapping[tuple[int, int], float], path: str | Path) -> None:
    rows = (f"{a},{b},{speed:.15g}\n" for (a, b), speed in sorted(speeds.items()))
    Path(path).write_text(f"{UPLINK_COLUMNS}\n{''.join(rows)}", encoding="utf-8", newline="\n")


def _rows(lines: Lines, columns: str) -> Iterator[list[str]]:
    texts = iter(lines)
    if (first := next(texts, "")) != columns:
        raise BadFile(f"{lines.path}:1: the columns are {first[:80]!r} and should be {columns!r}")
    count = columns.count(",") + 1
    for text in texts:
        if not text:
            continue
        parts = text.split(",")
        if len(parts) != count:
            raise lines.wrong(f"{len(parts)} columns, and there should be {count}")
        yield parts
