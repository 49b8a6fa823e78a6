"""What runs came to, for people: one run on a page, several side by side, and the table that a README shows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from simulations.metrics import ALL, Summary
from simulations.outcome import KINDS
from simulations.plots import draw_all, names
from simulations.wording import number, ratio, share, size, span
from simulations.writing import Run, load_run

SHARE_MARGIN: Final = 0.02
"""By so much shares of one policy differ from seed to seed on sparse traces."""
COST_MARGIN: Final = 0.1
PAGE_COLUMNS: Final = 160
"""A file's or a pipe's: wide enough that no figure is cut in two."""
BETTER, WORSE = "▲", "▼"


@dataclass(frozen=True, slots=True)
class Table:
    """The first `words` columns say what a row speaks of, the others are figures."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run: how to read it, and what another one's must be to differ in earnest."""

    name: str
    of: Callable[[Summary], float | None]
    words: Callable[[float | None], str]
    more_is_better: bool = False

    def mark(self, here: float | None, first: float | None) -> str:
        """Beside the first run's."""
        if here is None or first is None:
            return ""
        margin = SHARE_MARGIN if self.words is share else COST_MARGIN * abs(first)
        if abs(here - first) <= margin:
            return ""
        return BETTER if (here > first) == self.more_is_better else WORSE


def report(folder: Path, *, markdown: bool = False, file: TextIO | None = None) -> None:
    """Print one run; `compare` draws it. Raises NotARun."""
    run = load_run(folder)
    _show(tables(run), markdown=markdown, file=file or sys.stdout)


def compare(
    folders: Sequence[Path], *, markdown: bool = False, plots: Path | None = None, file: TextIO | None = None
) -> None:
    """Print several runs side by side, in Markdown one below the other, and draw them together into the folder `plots`.

    Raises NotARun, and ExtraMissing where there is nothing to draw with.
    """
    runs = [load_run(folder) for folder in folders]
    _show([one_a_line(runs)] if markdown else side_by_side(runs), markdown=markdown, file=file or sys.stdout)
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
        draw_all(runs, plots)


def tables(run: Run) -> list[Table]:
    """One run: what arrived by class, what it cost, and what was counted besides."""
    summary = run.summary
    delivered = max(summary.shares[ALL].delivered, 1)
    sent = sum(summary.bytes.values())
    found = [
        Table(
            f"{summary.router} on {summary.trace}, seed {summary.seed}: {summary.nodes} nodes, "
            f"{span(summary.duration_s)}, {summary.messages} messages",
            ("messages", "wanted", "delivered", "of flood", "of foremost", "median", "flood's", "ratio", "95 % within"),
            [
                (
                    kind,
                    str(one.wanted),
                    str(one.delivered),
                    share(one.of_flood),
                    share(one.of_foremost),
                    span(one.median_s),
                    span(one.flood_median_s),
                    ratio(one.ratio_to_flood),
                    span(one.p95_s),
                )
                for kind, one in summary.shares.items()
            ],
        ),
        Table("Cost", ("", "all", "a delivery"), [
            ("transmissions", number(summary.transmissions, 0), number(summary.transmissions_per_delivered)),
            ("duplicates", number(summary.duplicates, 0), ratio(summary.duplicates / delivered)),
            *((kind, size(summary.bytes[kind]), size(summary.bytes[kind] / delivered)) for kind in KINDS),
            ("bytes in all", size(sent), size(sent / delivered)),
        ]),
        Table("Nodes", ("", ""), [
            ("a contact with nothing to exchange", size(summary.idle_contact_bytes)),
            ("fullest store", size(summary.store_peak_bytes)),
            ("mean store", size(summary.store_mean_bytes)),
            ("radio busy, a node and day", f"{summary.radio_s_per_node_day:,.0f} s"),
            ("busiest node beside the mean one", ratio(summary.relay_load_ratio)),
            ("contacts, used ones", f"{summary.contacts:,}, {summary.contacts_used:,}"),
            ("CPU", f"{summary.machine['cpu_s']:,.1f} s"),
            ("memory at its most", size(summary.machine["peak_bytes"])),
        ]),
    ]  # fmt: skip
    if summary.counts:
        found.append(Table("Counted", ("", ""), [(name, f"{count:,}") for name, count in summary.counts.items()]))
    if summary.faults:
        title = "Deliveries that cannot be: the simulator is wrong, not the protocol"
        found.append(Table(title, ("", ""), [(name, f"{count:,}") for name, count in summary.faults.items()]))
    if summary.command:
        found.append(Table("Made by", ("",), [(summary.command,)]))
    return found


def side_by_side(runs: Sequence[Run]) -> list[Table]:
    """A column for each run. Marks say what differs from the first in earnest, where runs had the same to do."""
    first = runs[0].summary
    alike = (
        len({(run.summary.trace, run.summary.shares[ALL].wanted, run.summary.shares[ALL].flood) for run in runs}) == 1
    )
    rows = []
    for figure in figures(runs):
        values = [figure.of(run.summary) for run in runs]
        marks = [figure.mark(value, figure.of(first)) if alike else "" for value in values]
        cells = (f"{figure.words(value)} {mark}".rstrip() for value, mark in zip(values, marks, strict=True))
        rows.append((figure.name, *cells))
    title = (
        f"{BETTER} better, {WORSE} worse than the first: shares by more than {100 * SHARE_MARGIN:.0f} points, "
        f"the others by more than {COST_MARGIN:.0%}"
        if alike
        else "Different traces or workloads: no differences are marked"
    )
    return [Table(title, ("", *names(runs)), rows)]


def one_a_line(runs: Sequence[Run]) -> Table:
    """A line for each run: what a README shows."""
    chosen = [figure for figure in figures(runs) if figure.name in README_FIGURES]
    heads = ("trace", "policy", *(figure.name for figure in chosen))
    rows = [
        (run.summary.trace, run.summary.router, *(figure.words(figure.of(run.summary)) for figure in chosen))
        for run in runs
    ]
    return Table("", heads, rows, words=2)


def figures(runs: Sequence[Run]) -> list[Figure]:
    """Those that at least one of the runs has."""
    return [figure for figure in FIGURES if any(figure.of(run.summary) is not None for run in runs)]


def to_markdown(table: Table) -> str:
    """With figures to the right; a pipe inside a cell is escaped."""
    rule = ["---"] * table.words + ["---:"] * (len(table.heads) - table.words)
    lines = [table.heads, rule, *table.rows]
    text = "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
    return f"**{table.title}**\n\n{text}" if table.title else text


def _show(found: Sequence[Table], *, markdown: bool, file: TextIO) -> None:
    if markdown:
        file.write("\n".join(to_markdown(table) for table in found))
        return
    console = Console(file=file, highlight=False, markup=False, width=None if file.isatty() else PAGE_COLUMNS)
    for table in found:
        drawn = RichTable(title=Text(table.title, style="bold"), title_justify="left", box=None, pad_edge=False)
        drawn.show_header = any(table.heads)
        for at, head in enumerate(table.heads):
            drawn.add_column(Text(head), justify="left" if at < table.words else "right", overflow="fold")
        for row in table.rows:
            drawn.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        console.print(drawn)
        console.print()


def _style(cell: str) -> str:
    return "green" if cell.endswith(BETTER) else "red" if cell.endswith(WORSE) else ""


def _of(kind: str, name: str) -> Callable[[Summary], float | None]:
    """A figure of a class, None where the class does not occur."""
    return lambda summary: getattr(summary.shares[kind], name) if kind in summary.shares else None


def _delivered(summary: Summary) -> float | None:
    return summary.shares[ALL].delivered / max(summary.shares[ALL].wanted, 1)


def _a_delivery(summary: Summary) -> float | None:
    return sum(summary.bytes_per_delivered.values()) if summary.bytes_per_delivered else None


def _overhead(summary: Summary) -> float | None:
    """What meeting costs, beside what is carried."""
    talk = summary.bytes["reconciliation"] + summary.bytes["handshake"]
    return talk / summary.bytes["payload"] if summary.bytes["payload"] else None


FIGURES: Final = (
    Figure(
        "delivered", lambda summary: summary.shares[ALL].delivered / max(summary.shares[ALL].wanted, 1), share, True
    ),
    Figure("of the flood", _of(ALL, "of_flood"), share, more_is_better=True),
    Figure("of the foremost journeys", _of(ALL, "of_foremost"), share, more_is_better=True),
    Figure("SOS of the flood", _of("SOS", "of_flood"), share, more_is_better=True),
    Figure("median delay", _of(ALL, "median_s"), span),
    Figure("median by the flood's", _of(ALL, "ratio_to_flood"), ratio),
    Figure("SOS median delay", _of("SOS", "median_s"), span),
    Figure("transmissions a delivery", lambda summary: summary.transmissions_per_delivered, number),
    Figure("bytes a delivery", _a_delivery, size),
    Figure("talk by payload", _overhead, ratio),
    Figure("an idle contact", lambda summary: summary.idle_contact_bytes, size),
    Figure("fullest store", lambda summary: summary.store_peak_bytes, size),
    Figure("radio s, a node and day", lambda summary: summary.radio_s_per_node_day, number),
)
README_FIGURES: Final = (
    "of the flood",
    "of the foremost journeys",
    "SOS of the flood",
    "median delay",
    "median by the flood's",
    "transmissions a delivery",
    "bytes a delivery",
)
