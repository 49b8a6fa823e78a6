"""What a workload found out, beside what the best peer needs and what we want to reach; as JSON and as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.bars import Bar, missed

Value: TypeAlias = float | int | str


@dataclass(frozen=True, slots=True)
class Line:
    """One workload in one variant."""

    workload: str
    variant: str
    figures: Mapping[str, Value]
    bar: Bar

    @property
    def missed(self) -> list[str]:
        return missed(self.bar.target, self.figures)

    @property
    def missed_first(self) -> list[str]:
        return missed(self.bar.first_target, self.figures)

    def to_json(self) -> str:
        fields: dict[str, object] = {"workload": self.workload, "variant": self.variant}
        fields |= {name: rounded(value) for name, value in self.figures.items()}
        fields |= {"peer": dict(self.bar.peer), "target": dict(self.bar.target)}
        fields |= {"met": not self.missed, "missed": self.missed}
        if self.bar.first_target:
            fields |= {"first_target": dict(self.bar.first_target), "first_met": not self.missed_first}
        return json.dumps(fields)


def rounded(value: Value) -> Value:
    """Four digits say all that a busy machine knows."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def table(lines: Iterable[Line]) -> str:
    """For people: what each target asks, what we are at, what the best peer needs."""
    rows = [("", "figure", "here", "target", "", "best peer")]
    for line in lines:
        (_, name), *values = line.bar.peer.items()
        peer = ": ".join([str(name), *filter(None, [", ".join(f"{of} {_grouped(value)}" for of, value in values)])])
        judged = [(*item, "", line.missed) for item in line.bar.target.items()]
        judged += [(*item, "first: ", line.missed_first) for item in line.bar.first_target.items()]
        for number, (bound, limit, which, missed_here) in enumerate(judged):
            figure, sign = bound[:-4], "<=" if bound.endswith("_max") else ">="
            head = f"{line.workload} {line.variant}" if number == 0 else ""
            state = "missed" if bound in missed_here else "met"
            here = _grouped(line.figures.get(figure, "not measured"))
            rows.append((head, figure, here, f"{which}{sign} {_grouped(limit)}", state, peer if number == 0 else ""))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join((*(cell.ljust(width) for cell, width in zip(row[:5], widths, strict=True)), row[5])).rstrip()
        for row in rows
    )


def _grouped(value: Value) -> str:
    short = rounded(value)
    if isinstance(short, str):
        return short
    return f"{short:,.0f}" if short == int(short) else f"{short:,g}"
