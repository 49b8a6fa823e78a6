"""What reconciliation is to cost at most, and what others need for the same.

The bars are those of the design; the seconds and CPU seconds among them were its prototype's, on 2 virtual CPUs.

The others' figures were measured or computed on 2026-11-22 on the same kind of data (the same N, authors and
differences, all four lanes; log for log it is not the same history), both directions until both sides know what to
send. negentropy: the V1 protocol without frame limit, an implementation of our own that passed the conformance suite
of github.com/hoytech/negentropy (6edb041). RIBLT: 8-byte ids with the mapping of github.com/yangl1996/riblt (297bf35),
want lists included. EBT: first contact of github.com/ssbc/ssb-ebt 9.0.4, notes as JSON; where both remember and n
feeds changed it takes 4 + 120 n bytes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.bars import Bar
from benchmarks.reconcile_world import Where


class Others(NamedTuple):
    """Bytes."""

    negentropy: int
    riblt: int
    ebt: int


OTHERS: Final[dict[tuple[int, int, int, Where], Others]] = {
    (1_000, 10, 0, "newest"): Others(338, 18, 1_194),
    (1_000, 10, 1, "newest"): Others(856, 18, 1_194),
    (1_000, 10, 100, "newest"): Others(4_950, 2_214, 1_194),
    (1_000, 10, 100, "holes"): Others(27_000, 2_261, 1_176),
    (1_000, 1_000, 0, "newest"): Others(338, 18, 116_000),
    (1_000, 1_000, 1, "newest"): Others(912, 26, 115_900),
    (1_000, 1_000, 100, "newest"): Others(4_658, 2_227, 110_200),
    (1_000, 1_000, 100, "holes"): Others(27_200, 2_295, 110_200),
    (100_000, 10, 0, "newest"): Others(338, 18, 1_234),
    (100_000, 10, 1, "newest"): Others(1_739, 26, 1_234),
    (100_000, 10, 100, "newest"): Others(2_349, 2_515, 1_234),
    (100_000, 10, 10_000, "newest"): Others(129_700, 231_500, 1_234),
    (100_000, 10, 100, "holes"): Others(107_600, 2_528, 1_219),
    (100_000, 10, 10_000, "holes"): Others(2_900_000, 217_500, 1_179),
    (100_000, 1_000, 0, "newest"): Others(338, 18, 118_600),
    (100_000, 1_000, 1, "newest"): Others(1_739, 26, 118_600),
    (100_000, 1_000, 100, "newest"): Others(3_093, 2_590, 118_600),
    (100_000, 1_000, 10_000, "newest"): Others(175_600, 222_700, 118_600),
    (100_000, 1_000, 100, "holes"): Others(110_000, 2_479, 118_600),
    (100_000, 1_000, 10_000, "holes"): Others(2_900_000, 217_900, 117_600),
    (100_000, 10_000, 0, "newest"): Others(338, 18, 1_200_000),
    (100_000, 10_000, 1, "newest"): Others(1_811, 18, 1_200_000),
    (100_000, 10_000, 100, "newest"): Others(4_864, 2_401, 1_200_000),
    (100_000, 10_000, 10_000, "newest"): Others(225_300, 218_100, 1_200_000),
    (100_000, 10_000, 100, "holes"): Others(110_900, 2_608, 1_200_000),
    (100_000, 10_000, 10_000, "holes"): Others(2_900_000, 217_700, 1_200_000),
    (1_000_000, 1_000, 0, "newest"): Others(338, 18, 120_600),
    (1_000_000, 1_000, 1, "newest"): Others(2_263, 18, 120_600),
    (1_000_000, 1_000, 100, "newest"): Others(5_631, 2_291, 120_600),
    (1_000_000, 1_000, 10_000, "newest"): Others(362_700, 219_600, 120_600),
    (1_000_000, 1_000, 100, "holes"): Others(164_300, 2_226, 120_600),
    (1_000_000, 1_000, 10_000, "holes"): Others(10_400_000, 215_800, 119_600),
    (1_000_000, 10_000, 0, "newest"): Others(338, 18, 1_200_000),
    (1_000_000, 10_000, 1, "newest"): Others(2_263, 18, 1_200_000),
    (1_000_000, 10_000, 100, "newest"): Others(5_727, 2_304, 1_200_000),
    (1_000_000, 10_000, 10_000, "newest"): Others(338_800, 225_100, 1_200_000),
    (1_000_000, 10_000, 100, "holes"): Others(163_800, 2_414, 1_200_000),
    (1_000_000, 10_000, 10_000, "holes"): Others(10_500_000, 218_500, 1_200_000),
}
"""By entries, authors, differing entries and where they are."""


def _bar(others: Others | None, **target: float) -> Bar:
    peer = {} if others is None else {f"{name}_bytes": size for name, size in others._asdict().items()}
    return Bar({"name": "others" if peer else "none", **peer}, target)


EQUAL: Final = _bar(Others(338, 18, 118_600), bytes_max=70, round_trips_max=0.5, cpu_ms_max=10, large_cpu_ms_max=33)
ONE: Final = _bar(OTHERS[100_000, 1_000, 1, "newest"], bytes_max=105)
NEWEST: Final = _bar(
    OTHERS[100_000, 1_000, 100, "newest"],
    bytes_max=600, urgent_ble_s_max=0.08, urgent_2g_s_max=0.8, all_ble_s_max=0.45, all_2g_s_max=4.5,
)  # fmt: skip
HOLES: Final = _bar(OTHERS[100_000, 1_000, 100, "holes"], bytes_max=750)
MANY: Final = _bar(OTHERS[100_000, 1_000, 10_000, "newest"], bytes_max=10_000, resume_bytes_max=350, duplicates_max=0)
STRANGERS: Final = _bar(
    OTHERS[100_000, 1_000, 100, "newest"], bytes_max=6_600, large_bytes_max=55_000, large_few_bytes_max=6_000
)
ENTRY: Final = Bar(
    {"name": "SSB, Briar, p2panda", "ssb": 313, "briar": 140, "p2panda": 191},
    {f"{which}_bytes_max": 79 for which in ("lone", "of_100", "of_many")},
)
CPU: Final = _bar(None, ingest_us_max=30, large_hello_ms_max=6, large_session_ms_max=90)
