"""W7: what a node costs that has ten neighbours and nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import processes
from benchmarks.bars import IDLE
from benchmarks.figures import Line
from benchmarks.ground import PORT, Ground
from benchmarks.village import AUTHORS, KEEPER, Village

SETTLE_S = 2.0


def idle(village: Village, seconds: float) -> Iterator[Line]:
    """The node is Keeper's; its neighbours are ten processes on the other end of one cable."""
    with Ground("a", "b") as ground:
        ground.cable("a", "b")
        node = ground.worker("a", village.known(KEEPER))
        node.ask("serve", "ready", links=[f"listen:0.0.0.0:{PORT}"])
        neighbours = [ground.worker("b", village.known(name), [ground.dial("b", "a")]) for name in AUTHORS]
        for neighbour in neighbours:
            neighbour.wait("level")
        ground.until_quiet()
        time.sleep(SETTLE_S)
        with ground.metering(node, *neighbours) as meter:
            time.sleep(seconds)
        resident = processes.resident_mb(node.pid)
    yield Line(
        "W7",
        f"{len(neighbours)} neighbours",
        {
            "neighbours": len(neighbours),
            "seconds": meter.seconds,
            "resident_mb": resident,
            "peak_mb": meter.peak_mb(node),
            "cpu_percent": meter.cpu_s(node) / meter.seconds * 100,
            "wire_bytes": meter.wire_bytes,
            "bytes_per_s": meter.wire_bytes / meter.seconds,
            "other_load": meter.other_load,
        },
        IDLE,
    )
