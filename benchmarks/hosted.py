"""`python -m benchmarks [--quick] [W1 ... W7 send store]`: the workloads between processes on hosts of their own.

A JSON line for each workload, at the end a table on the error output.

Exit code 0 when every workload came to its end, whether it met its target or not; 1 when one did not, 2 when wrongly
asked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from beepmesh.demo.hosts import HostsProblem, can_make_hosts
from benchmarks.bigstore import big_store
from benchmarks.delivering import alone, fetch, latency, talk
from benchmarks.figures import Line, table
from benchmarks.ground import BenchmarkProblem
from benchmarks.idle import idle
from benchmarks.syncing import cold_sync, reconnect, ten_new
from benchmarks.village import Village

Workload = Callable[[Village, bool], Iterator[Line]]


def _cold_syncs(village: Village, quick: bool) -> Iterator[Line]:
    yield from cold_sync(village, 1_000)
    if not quick:
        yield from cold_sync(village, 10_000)


def _latencies(village: Village, quick: bool) -> Iterator[Line]:
    yield from latency(village, 1, 20 if quick else 200)
    yield from latency(village, 4, 20 if quick else 200)


WORKLOADS: dict[str, Workload] = {
    "W1": _cold_syncs,
    "W2": lambda village, quick: reconnect(village, 1_000 if quick else 10_000),
    "W3": lambda village, quick: ten_new(village, 1_000 if quick else 10_000),
    "W4": _latencies,
    "W5": lambda village, quick: fetch(village, 2 if quick else 5),
    "W6": lambda village, quick: talk(village, 10 if quick else 20),
    "W7": lambda village, quick: idle(village, 4 if quick else 15),
    "send": lambda village, quick: alone(village, 100 if quick else 500),
    "store": lambda _, quick: big_store(*((50_000, 1_000) if quick else (1_000_000, 10_000))),
}


def run(names: list[str], *, quick: bool) -> int:
    """Print what each workload found; how many did not come to their end."""
    lines: list[Line] = []
    broken = 0
    # Not /tmp, which is often memory: what is written durably should cost what it costs on a disk.
    with tempfile.TemporaryDirectory(prefix="bm-", dir="/var/tmp") as folder:
        village = Village(Path(folder))
        for name in names:
            since = time.monotonic()
            try:
                for line in WORKLOADS[name](village, quick):
                    print(line.to_json(), flush=True)
                    lines.append(line)
            except (BenchmarkProblem, HostsProblem) as problem:
                broken += 1
                print(f"{name} did not come to its end: {problem}", file=sys.stderr)
            print(f"{name} took {time.monotonic() - since:.0f} s", file=sys.stderr)
    print(table(lines), file=sys.stderr)
    return broken


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures beepmesh between real processes in network namespaces; needs Linux and root. What"
        " reconciliation costs is measured apart: python -m benchmarks reconcile.",
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; without any: all")
    parser.add_argument("--quick", action="store_true", help="smaller numbers: under 40 seconds in all")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"no workload is called {unknown[0]}; there are {', '.join(WORKLOADS)}")
    reason = can_make_hosts()
    if reason is not None:
        print(f"The benchmarks need network namespaces, and {reason}.", file=sys.stderr)
        return 1
    names = [name for name in WORKLOADS if not asked.workloads or name in asked.workloads]
    return 1 if run(names, quick=asked.quick) else 0
