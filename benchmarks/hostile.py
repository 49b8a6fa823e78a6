"""`python -m benchmarks hostile`: what one hostile member can make a node hold and compute, attack by attack.

A real Session of a node with LOGS logs of ENTRIES entries hears what hostile_attacks.py says, until it hangs up or the
attack is over; the store is instant and refuses every run. Then a real Engine hears runs that are not what their author
signed (hostile_runs.py). No network and no root. A JSON line for each attack, a table on the error output. Exit code 0
when everything ran, whether the bars are met or not.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from benchmarks.bars import Bar
from benchmarks.figures import Line, Value, rounded, table
from benchmarks.hostile_attacks import CASES, EPOCH, MET_UPTO, RECORD_BYTES_MAX, RECORDS, Case, Said
from benchmarks.hostile_runs import floods
from sync.events import AskDrained, Drained, Hangup, Noticed, ReadRun, RecordReceived, RunDone, RunRead, Send, TakeRun
from sync.frontier import Frontier
from sync.logs import LogId, LogState, view_digest
from sync.memory import Memory
from sync.ranges import NOTHING, Ranges
from sync.session import Input, Session, Started, TimeCame
from sync.sources import Sources

LOGS: Final = 1_000
ENTRIES: Final = 10
_ENTRY: Final = bytes(300)
_NONE: Final = {"name": "nobody else was measured"}
BAR: Final = Bar(_NONE, {"held_mb_max": 128, "cpu_ms_per_record_max": 5, "worst_record_ms_max": 100})
ENDLESS_BAR: Final = Bar(_NONE, {**BAR.target, "grown_mb_max": 0.5})
"""Where no rule ends it nothing may grow: `grown_mb` is by how much in the second half of it."""
_MEGABYTE: Final = 1_000_000


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks hostile",
        description="What one hostile member costs: memory and CPU, attack by attack, in some three minutes.",
    )
    parser.parse_args(arguments)
    lines: list[Line] = []
    for line in _lines():
        print(line.to_json(), flush=True)
        lines.append(line)
    print(_columns(lines), file=sys.stderr)
    print(table(lines), file=sys.stderr)
    missed = [line for line in lines if line.missed]
    for line in missed:
        print(f"*** {line.variant}: MISSED {', '.join(line.missed)} ***", file=sys.stderr)
    print(f"{len(lines) - len(missed)} of {len(lines)} are within their bars.", file=sys.stderr)
    return 0


def _lines() -> Iterator[Line]:
    yield from map(attacked, CASES)
    yield from floods()


def attacked(case: Case) -> Line:
    """One attack, made twice: for its CPU, and for its memory."""
    cost = _cost(case, traced=False)
    held = _cost(case, traced=True)
    figures: dict[str, Value] = {
        "held_mb": held.held / _MEGABYTE,
        "cpu_s": cost.cpu_s,
        "cpu_ms_per_record": cost.cpu_s * 1e3 / cost.records,
        "worst_record_ms": cost.worst_s * 1e3,
        "cpu_s_per_mb": cost.cpu_s / cost.sent * _MEGABYTE,
        "records": cost.records,
        "sent_mb": cost.sent / _MEGABYTE,
        "answered_mb": cost.answered / _MEGABYTE,
        "ended": cost.ended or ("never" if case.endless else "all was said"),
    }
    if case.endless:
        figures["grown_mb"] = held.grown / _MEGABYTE
    return Line("hostile", case.name, figures, ENDLESS_BAR if case.endless else BAR)


@dataclass(slots=True)
class _Cost:
    ended: str = ""
    """The reason to hang up, or what was noticed; empty if it could go on for ever."""
    records: int = 0
    sent: int = 0
    answered: int = 0
    cpu_s: float = 0.0
    worst_s: float = 0.0
    held: int = 0
    """Bytes beyond what there was before, at the worst moment."""
    grown: int = 0


def _cost(case: Case, *, traced: bool) -> _Cost:
    cost, sources = _Cost(), Sources()
    if case.twice:
        first = Node(case, sources, 1)
        for said in takewhile(lambda said: isinstance(said, bytes), case.attack()):
            first.hear(said)
    node = Node(case, sources, 2)
    if traced:
        tracemalloc.start()
    said_in_all = RECORDS if case.endless else 0
    half = 0
    for said in case.attack():
        tracemalloc.reset_peak()
        before = time.process_time()
        node.hear(said)
        spent = time.process_time() - before
        cost.records += 1
        cost.sent += len(said) if isinstance(said, bytes) else 0
        cost.cpu_s += spent
        cost.worst_s = max(cost.worst_s, spent)
        if traced:
            now, peak = tracemalloc.get_traced_memory()
            cost.held = max(cost.held, peak)
            half = now if cost.records <= said_in_all // 2 else half
            cost.grown = now - half
        if node.hung:
            break
    tracemalloc.stop()
    cost.answered = node.answered
    cost.ended = node.hung or ", ".join(dict.fromkeys(node.noticed))
    return cost


class Node:
    """One session of a node, with all that the shell does for it."""

    def __init__(self, case: Case, sources: Sources, number: int) -> None:
        self.answered = 0
        self.hung = ""
        self.noticed: list[str] = []
        self._stands_still = case.stands_still
        self._waiting: list[TakeRun] = []
        self._now = 100.0
        whole = LogState(Ranges(((0, ENTRIES),)), bytes(32))
        logs = (LogId(of.to_bytes(16), 1) for of in range(LOGS))
        frontier = Frontier(1, None, ((log, whole, change) for change, log in enumerate(logs, 1)))
        memory: Memory | None = None
        if case.remembers:
            blank = Memory(EPOCH, MET_UPTO, 0, frontier.upto, 0, b"", {})
            memory = replace(blank, digest=view_digest(frontier.view_of(blank.views)))
        self._session = Session(
            frontier, record_bytes_max=RECORD_BYTES_MAX, salt=b"link", memory=memory, sources=sources, number=number
        )
        self._tell(Started())

    def hear(self, said: Said) -> None:
        """A record, or so many seconds of silence."""
        if isinstance(said, bytes):
            self._tell(RecordReceived(said))
        else:
            self._now += said
            self._tell(TimeCame())

    def _tell(self, event: Input) -> None:
        """And all that follows from it here."""
        inputs: deque[Input] = deque((event,))
        while inputs:
            for output in self._session.handle(inputs.popleft(), self._now):
                match output:
                    case Send(data):
                        self.answered += len(data)
                    case ReadRun(log, start, stop):
                        prev = bytes(32) if output.with_prev else None
                        inputs.append(RunRead(log, start, prev, (_ENTRY,) * (stop - start), NOTHING))
                    case TakeRun() if self._stands_still:
                        self._waiting.append(output)
                    case TakeRun(log, start, _, packed):
                        inputs.append(RunDone(log, start, len(packed), taken=False))
                    case AskDrained():
                        inputs.append(Drained())
                    case Hangup(reason):
                        self.hung = reason
                    case Noticed(reason):
                        self.noticed.append(reason)
                    case _:
                        pass


def _columns(lines: Sequence[Line]) -> str:
    """For people: what each attack cost."""
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    cells = [
        ["attack", *names],
        *([line.variant, *(_cell(line.figures.get(name, "-")) for name in names)] for line in lines),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(row.rstrip() for row in rows)


def _cell(value: Value) -> str:
    value = rounded(value)
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
