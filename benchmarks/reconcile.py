"""`python -m benchmarks reconcile [--quick] [--bars]`: what it costs two nodes to agree, beside what others need.

Real sessions with real records over modelled links: no processes and no network, so bytes, and seconds on a link, are
the same at every run. JSON lines on standard output, one for each case and each bar; tables on the error output. Exit
code 0 when everything ran, whether the bars are met or not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.figures import Line, Value, rounded, table
from benchmarks.link_model import BLE, Talk
from benchmarks.reconcile_bars import OTHERS
from benchmarks.reconcile_cases import Case, Times, cost, pair, sent
from benchmarks.reconcile_disk import ingest_cpu_s, store_cpu_s
from benchmarks.reconcile_verdict import LARGE_WORLD, WORLD, Judge
from benchmarks.reconcile_world import Meeting, Where, World

Row = Mapping[str, Value | None]

_WORLDS = (
    (1_000, 10), (1_000, 1_000), (100_000, 10), (100_000, 1_000), (100_000, 10_000), (1_000_000, 1_000),
    (1_000_000, 10_000),
)  # fmt: skip
_QUICK_WORLDS = ((1_000, 10), (1_000, 1_000), (100_000, 1_000))
_DIFFERENCES: tuple[tuple[int, Where], ...] = (
    (0, "newest"), (1, "newest"), (100, "newest"), (100, "holes"), (10_000, "newest"), (10_000, "holes"),
)  # fmt: skip
_DISK_ENTRIES_MAX = 100_000
"""Worlds up to this size are also kept in SQLite, for the CPU seconds of a store."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks reconcile",
        description="What it costs two nodes to agree, over modelled links. All of it takes some twenty minutes.",
    )
    parser.add_argument("--quick", action="store_true", help="small worlds only, in under a minute")
    parser.add_argument("--bars", action="store_true", help="only the figures it is judged by")
    asked = parser.parse_args(arguments)
    quick: bool = asked.quick
    rows: list[Row] = []
    for entries, authors in () if asked.bars else _QUICK_WORLDS if quick else _WORLDS:
        for row in _rows(World(entries, authors), quick=quick):
            print(json.dumps({"workload": "reconcile", **row}), flush=True)
            rows.append(row)
    _say("the bars")
    large = None if quick else World(*LARGE_WORLD)
    lines: list[Line] = []
    for line in Judge(World(*WORLD), large, min(ingest_cpu_s(World(10_000, 100)) for _ in range(5)) * 1e6).lines():
        print(line.to_json(), flush=True)
        _say(f"{line.workload} {line.variant}: {'met' if not line.missed else 'MISSED: ' + ', '.join(line.missed)}")
        lines.append(line)
    if rows:
        print(_columns(rows), file=sys.stderr)
    print(table(lines), file=sys.stderr)
    missed = [line for line in lines if line.missed]
    for line in missed:
        print(f"*** {line.workload}, {line.variant}: MISSED {', '.join(line.missed)} ***", file=sys.stderr)
    print(f"{len(lines) - len(missed)} of {len(lines)} bars are met.", file=sys.stderr)
    return 0


def _rows(world: World, *, quick: bool) -> Iterator[Row]:
    """Two for each difference that this world can have: of nodes that know each other, and of strangers."""
    for differing, where in _DIFFERENCES:
        if differing > world.entries // 10 or (quick and differing > 100):
            continue
        _say(f"{world.entries:,} entries of {world.authors:,} authors: {differing:,} {where}")
        meeting = world.meeting(differing, where)
        on_disk = world.entries <= _DISK_ENTRIES_MAX and not quick
        store_ms = store_cpu_s(world, meeting) * 1e3 if on_disk else None
        for known in (True, False):
            yield _row(world, meeting, Case(differing, where, known), store_ms if known else None)


def _row(world: World, meeting: Meeting, case: Case, store_ms: float | None) -> Row:
    found = cost(lambda: pair(world, meeting, case))
    unlisted = Talk(pair(world, meeting, Case(case.differing, case.where, case.known, listed=False)), BLE, b"unlisted")
    unlisted.run()
    counted, resumed = found.ble_bytes, found.resumed
    others = OTHERS.get((world.entries, world.authors, case.differing, case.where))
    return {
        "entries": world.entries,
        "authors": world.authors,
        "logs": world.logs,
        "differing": case.differing,
        "where": case.where,
        "known": int(case.known),
        "logs_apart": meeting.logs_apart,
        "hello_bytes": counted.hello,
        "vector_bytes": counted.vectors,
        "ack_bytes": counted.acks,
        "bytes": counted.reconciliation,
        "bytes_2g": found.two_g_bytes.reconciliation,
        "beside_entries_bytes": counted.beside_entries,
        "unlisted_bytes": sent(unlisted).reconciliation,
        "overhead_per_entry": rounded(counted.overhead),
        "round_trips": found.round_trips,
        **_seconds("ble", found.ble),
        **_seconds("2g", found.two_g),
        "duplicates": found.duplicates,
        "resume_bytes": resumed.beyond if resumed else None,
        "resume_duplicates": resumed.duplicates if resumed else None,
        "session_cpu_ms": rounded(found.session_cpu_s * 1e3),
        "hello_cpu_ms": rounded(found.hello_cpu_s * 1e3),
        "sqlite_cpu_ms": store_ms if store_ms is None else rounded(store_ms),
        "bound_bytes": round(meeting.bound_bytes(world, case.where)),
        "negentropy_bytes": others.negentropy if others else None,
        "riblt_bytes": others.riblt if others else None,
        "ebt_bytes": others.ebt if others else None,
    }


def _seconds(link: str, times: Times) -> Row:
    found = {"known": times.known, "urgent": times.urgent, "all": times.everything}
    return {f"{link}_{name}_s": rounded(seconds) if seconds else None for name, seconds in found.items()}


def _columns(rows: Sequence[Row]) -> str:
    """For people."""
    heads = {
        "entries": "entries", "authors": "authors", "logs": "logs", "differing": "differ", "where": "where",
        "known": "known", "hello_bytes": "HELLO+STATES", "vector_bytes": "VECTOR/SKETCH", "ack_bytes": "ACK",
        "bytes": "bytes", "bytes_2g": "on 2G", "beside_entries_bytes": "+RUN heads", "unlisted_bytes": "unlisted",
        "overhead_per_entry": "B/entry", "round_trips": "RT", "ble_known_s": "BLE known", "ble_urgent_s": "urgent",
        "ble_all_s": "all", "2g_known_s": "2G known", "2g_urgent_s": "urgent", "2g_all_s": "all",
        "duplicates": "twice", "resume_bytes": "cut +B", "resume_duplicates": "twice",
        "session_cpu_ms": "CPU ms", "hello_cpu_ms": "HELLO",
        "sqlite_cpu_ms": "SQLite", "bound_bytes": "bound", "negentropy_bytes": "negentropy", "riblt_bytes": "RIBLT",
        "ebt_bytes": "EBT first",
    }  # fmt: skip
    cells = [list(heads.values()), *([_cell(row[name]) for name in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Value | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
