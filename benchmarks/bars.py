"""The figures to beat: the best peer on the same workload, and what beepmesh wants to reach.

The peers were measured on 2026-11-22 on a machine with 2 virtual CPUs that other work kept busy (Linux 6.18, Python
3.11.7, Node 20.20.2), between network namespaces as here. Bytes, memory and CPU seconds compare well from machine to
machine of that kind; seconds and latencies are upper bounds there as here. Their versions are in README.md.

A bound's name is the figure's with `_max` or `_min`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Figures: TypeAlias = Mapping[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Bar:
    """`first_target` is what the first version with links on a LAN has to reach already, where that is less."""

    peer: Figures
    target: Mapping[str, float]
    first_target: Mapping[str, float] = field(default_factory=dict)


def missed(bounds: Mapping[str, float], figures: Figures) -> list[str]:
    """The bounds that the figures do not keep; a figure that is not there keeps none."""
    return [bound for bound, limit in bounds.items() if not _kept(bound, limit, figures.get(bound[:-4]))]


def _kept(bound: str, limit: float, value: float | int | str | None) -> bool:
    if value is None or isinstance(value, str):
        return False
    return value <= limit if bound.endswith("_max") else value >= limit


COLD_SYNC: Final = Bar(
    {"name": "hypercore 11.37.1", "messages_per_cpu_s": 3_040, "bytes_per_message": 451, "peak_mb": 123.6},
    {"messages_per_cpu_s_min": 9_000, "bytes_per_message_max": 400, "peak_mb_max": 60},
)
RECONNECT: Final = Bar(
    {"name": "nostr-sdk 0.44.2 (negentropy)", "wire_bytes": 2_203},
    {"wire_bytes_max": 1_200, "record_bytes_max": 100},
)
TEN_NEW: Final = Bar({"name": "hypercore 11.37.1", "wire_bytes": 12_167}, {"wire_bytes_max": 9_000})
ONE_HOP: Final = Bar(
    {"name": "RNS 1.5.7 + LXMF 1.2.1, nothing stored", "median_ms": 1.64, "p95_ms": 5.35},
    {"median_ms_max": 3},
)
FOUR_HOPS: Final = Bar(
    {"name": "RNS 1.5.7 + LXMF 1.2.1, nothing stored", "median_ms": 3.77, "p95_ms": 7.26},
    {"median_ms_max": 12},
)
FETCH: Final = Bar(
    {"name": "RNS 1.5.7 + LXMF 1.2.1", "from_start_s": 0.3648, "from_ready_ms": 22},
    {"from_start_s_max": 0.36, "from_ready_ms_max": 25},
    {"from_ready_ms_max": 50},
)
TALK: Final = Bar(
    {"name": "RNS 1.5.7 + LXMF 1.2.1", "bytes_per_message": 535.1},
    {"bytes_per_message_max": 480},
    {"bytes_per_message_without_wraps_max": 700},
)
IDLE: Final = Bar(
    {"name": "RNS 1.5.7", "resident_mb": 38.8, "cpu_percent": 0.13, "bytes_per_s": 528},
    {"resident_mb_max": 45, "cpu_percent_max": 0.1, "bytes_per_s_max": 50},
    {"resident_mb_max": 60, "cpu_percent_max": 0.5},
)
ALONE: Final = Bar(
    {"name": "LXMF 1.2.1 (proof of work, cost 16)", "cpu_ms_per_message": 16_600}, {"cpu_ms_per_message_max": 2}
)
BIG_STORE: Final = Bar(
    {"name": "nobody else was measured"},
    {"open_s_max": 1, "changed_since_0_ms_max": 30, "hello_ms_max": 10},
)
