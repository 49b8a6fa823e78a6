"""The eight numbers that reconciliation is judged by, each measured on worlds with as many reconciled logs as it asks.

Bytes are those of all records but RUN, on the link where that is more; of strangers, until both know what to send. What
RUN says around its entries is overhead of the entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from benchmarks.bars import Bar
from benchmarks.figures import Line, Value
from benchmarks.reconcile_bars import CPU, ENTRY, EQUAL, HOLES, MANY, NEWEST, ONE, STRANGERS
from benchmarks.reconcile_cases import Case, Cost, cost, pair
from benchmarks.reconcile_world import World

WORLD: Final = (100_000, 1_430)
LARGE_WORLD: Final = (1_000_000, 14_000)
"""Entries and authors. With these there are 3,073 and 29,196 reconciled logs, or a few more. The bars were set with
1,000 and 10,000 authors and the fourth lane among the logs, which is never reconciled."""


class Judge:
    """Measures a world, and a large one or none: then what is asked of the large one is left out."""

    def __init__(self, world: World, large: World | None, ingest_us: float, many: int = 10_000) -> None:
        self._world = world
        self._large = large
        self._ingest_us = ingest_us
        self._many = many
        self._costs: dict[tuple[int, Case], Cost] = {}

    def lines(self) -> Iterator[Line]:
        """One for each of the eight."""
        few, many = Case(100), Case(self._many)
        equal = self._cost(Case(0))
        cpu_ms = equal.session_cpu_s * 1e3
        figures: dict[str, Value] = {"bytes": _bytes(equal), "round_trips": equal.round_trips, "cpu_ms": cpu_ms}
        if self._large is not None:
            equal = self._cost(Case(0), large=True)
            figures |= {"large_bytes": _bytes(equal), "large_cpu_ms": equal.session_cpu_s * 1e3}
        yield self._line("1", "equal and known", figures, EQUAL)
        yield self._line("2", "one new, known", {"bytes": self._most(Case(1))}, ONE)
        newest = self._cost(few)
        yield self._line(
            "3",
            "100 newest, known",
            {
                "bytes": self._most(few),
                "urgent_ble_s": newest.ble.urgent,
                "urgent_2g_s": newest.two_g.urgent,
                "all_ble_s": newest.ble.everything,
                "all_2g_s": newest.two_g.everything,
            },
            NEWEST,
        )
        yield self._line("4", "100 holes, known", {"bytes": self._most(Case(100, "holes"))}, HOLES)
        found = self._cost(many)
        assert found.resumed is not None
        twice = found.duplicates + found.resumed.duplicates
        figures = {"bytes": _bytes(found), "resume_bytes": found.resumed.beyond, "duplicates": twice}
        if self._large is not None:
            figures["large_bytes"] = _bytes(self._cost(many, large=True))
        yield self._line("5", f"{self._many:,} newest, known", figures, MANY)
        strangers = [Case(differing, known=False) for differing in (100, self._many)]
        figures = {"bytes": max(self._cost(case).ble_bytes.introduction for case in strangers)}
        if self._large is not None:
            apart = [self._cost(case, large=True).ble_bytes.introduction for case in strangers]
            figures |= {"large_bytes": max(apart), "large_few_bytes": apart[0]}
        yield self._line("6", "strangers", figures, STRANGERS)
        lone = [self._cost(Case(1), large=large).ble_bytes.overhead for large in {False, self._large is not None}]
        figures = {
            "lone_bytes": max(lone),
            "of_100_bytes": self._cost(few).ble_bytes.overhead,
            "of_many_bytes": self._cost(many).ble_bytes.overhead,
        }
        yield self._line("7", "an entry beside its body", figures, ENTRY)
        figures = {"ingest_us": self._ingest_us}
        if self._large is not None:
            large = self._cost(few, large=True)
            figures |= {"large_hello_ms": large.hello_cpu_s * 1e3, "large_session_ms": large.session_cpu_s * 1e3}
        yield self._line("8", "CPU", figures, CPU)

    def _most(self, case: Case) -> int:
        """Bytes in the world where they are more."""
        return max(_bytes(self._cost(case, large=large)) for large in {False, self._large is not None})

    def _cost(self, case: Case, *, large: bool = False) -> Cost:
        world = self._large if large and self._large is not None else self._world
        key = world.authors, case
        if key not in self._costs:
            meeting = world.meeting(case.differing, case.where)
            self._costs[key] = cost(lambda: pair(world, meeting, case))
        return self._costs[key]

    def _line(self, number: str, what: str, figures: Mapping[str, Value], bar: Bar) -> Line:
        asked = {bound: limit for bound, limit in bar.target.items() if self._large or not bound.startswith("large_")}
        logs = {"logs": self._world.logs} | ({"large_logs": self._large.logs} if self._large else {})
        return Line(f"reconcile {number}", what, {**logs, **figures}, Bar(bar.peer, asked))


def _bytes(found: Cost) -> int:
    return max(found.ble_bytes.reconciliation, found.two_g_bytes.reconciliation)
