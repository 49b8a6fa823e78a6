"""What a scenario's run has to reach, and whether it did.

A mark is a figure's name with `_min` or `_max` behind it. The figures are those of `FIGURES`; those of `BY_CLASS` may
have a class of messages in front: `sos_of_bound_min`. A figure that a run does not have holds no mark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simulations import tables
from simulations.metrics import ALL, CLASSES, Share, Summary
from simulations.outcome import KINDS

BY_CLASS: Final = {
    "delivered": "what arrived in time, of what was wanted",
    "of_bound": "of what the foremost journeys deliver; of what the flood does, where a message is for everybody",
    "of_flood": "of what the ideal flood delivers",
    "median_s": "the median delay of what arrived",
    "median_ratio": "the median delay, by that of the same bound over the same messages",
}
OVERALL: Final = {
    "transmissions_per_delivered": "messages that passed from one node to another, for one delivery",
    "bytes_per_delivered": "all bytes on the air for one delivery",
    "control_share": "bytes of reconciliation and handshakes, by those of payload",
    "idle_contact_bytes": "the median of contacts in which neither had anything for the other",
    "store_peak_mb": "the fullest store of all, in 10^6 bytes",
    "cpu_s": "processor seconds of the run",
    "peak_mb": "memory of the process at its most, in 10^6 bytes",
}
FIGURES: Final = (
    *(f"{prefix}{name}" for prefix in ("", *(f"{each.lower()}_" for each in CLASSES)) for name in BY_CLASS),
    *OVERALL,
)
_ENDINGS: Final = ("_min", "_max")


@dataclass(frozen=True, slots=True)
class Mark:
    figure: str
    limit: float
    is_max: bool

    def __str__(self) -> str:
        return f"{self.figure} {'<=' if self.is_max else '>='} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    mark: Mark
    figure: float | None
    """None: the run has no such figure."""

    @property
    def held(self) -> bool:
        if self.figure is None:
            return False
        return self.figure <= self.mark.limit if self.mark.is_max else self.figure >= self.mark.limit

    def __str__(self) -> str:
        came_to = "there is no such figure" if self.figure is None else f"{self.figure:g}"
        return f"{'held' if self.held else 'MISSED'}  {self.mark}: {came_to}"


def read_marks(table: Mapping[str, object], where: str) -> tuple[Mark, ...]:
    """Raises Usage."""
    tables.known(table, dict.fromkeys(f"{figure}{ending}" for figure in FIGURES for ending in _ENDINGS), where)
    bounds = tables.Between(0, math.inf)
    return tuple(
        Mark(name[:-4], tables.bounded(float, limit, (bounds,), f"{where}: {name}"), name.endswith("_max"))
        for name, limit in table.items()
    )


def judge(marks: Sequence[Mark], figures: Mapping[str, float]) -> tuple[Verdict, ...]:
    return tuple(Verdict(mark, figures.get(mark.figure)) for mark in marks)


def figures(summary: Summary) -> dict[str, float]:
    """The figures that this run has, in the order of FIGURES."""
    found: dict[str, float | None] = {}
    for kind in (ALL, *CLASSES):
        share = summary.shares.get(kind)
        if share is not None:
            prefix = "" if kind == ALL else f"{kind.lower()}_"
            found |= {f"{prefix}{name}": figure for name, figure in _of_class(share).items()}
    per_delivered, payload = summary.bytes_per_delivered, summary.bytes["payload"]
    control = summary.bytes["reconciliation"] + summary.bytes["handshake"]
    found |= {
        "transmissions_per_delivered": summary.transmissions_per_delivered,
        "bytes_per_delivered": None if per_delivered is None else sum(per_delivered[kind] for kind in KINDS),
        "control_share": round(control / payload, 4) if payload else None,
        "idle_contact_bytes": summary.idle_contact_bytes,
        "store_peak_mb": summary.store_peak_bytes / 1e6,
        "cpu_s": summary.machine["cpu_s"],
        "peak_mb": summary.machine["peak_bytes"] / 1e6,
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _of_class(share: Share) -> dict[str, float | None]:
    has_foremost = share.foremost is not None
    return {
        "delivered": round(share.delivered / share.wanted, 4) if share.wanted else None,
        "of_bound": share.of_foremost if has_foremost else share.of_flood,
        "of_flood": share.of_flood,
        "median_s": share.median_s,
        "median_ratio": share.ratio_to_foremost if has_foremost else share.ratio_to_flood,
    }
