"""Runs as pictures, each as SVG and as PNG: how soon messages come, what that costs, how full stores are.

Colours are those of M. Okabe and K. Ito, "Color Universal Design" (2008), which colour-blind people tell apart; lines
differ in their dashes and bars in their hatching too, so that nothing is lost in print.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulations.extras import extra
from simulations.metrics import ALL
from simulations.outcome import KINDS, Kind
from simulations.writing import HOUR_S, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = (
    ("#0072B2", "-"),
    ("#D55E00", (0, (6, 2))),
    ("#009E73", (0, (4, 1.5, 1, 1.5))),
    ("#CC79A7", (0, (2, 1.2))),
    ("#E69F00", (0, (8, 2, 2, 2))),
    ("#56B4E9", (0, (1, 1))),
)
KIND_LOOKS: Mapping[Kind, tuple[str, str]] = {
    "payload": ("#0072B2", ""),
    "receipts": ("#56B4E9", "///"),
    "reconciliation": ("#E69F00", "..."),
    "handshake": ("#999999", "xxx"),
}
DELAY_TICKS = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 6 * 3600: "6 h", 86_400: "1 d"}
DELAY_TICKS |= {7 * 86_400: "1 week"}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "beepmesh",
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def names(runs: Sequence[Run]) -> list[str]:
    """What tells the runs apart: the router, with trace and seed where those differ, or else the folder."""
    routers, traces, seeds = (
        [run.summary.router for run in runs],
        [run.summary.trace for run in runs],
        [run.summary.seed for run in runs],
    )
    found = [
        ", ".join(
            [
                router,
                *([trace] if len(set(traces)) > 1 else []),
                *([f"seed {seed}"] if len(set(seeds)) > 1 else []),
            ]
        )
        for router, trace, seed in zip(routers, traces, seeds, strict=True)
    ]
    return found if len(set(found)) == len(found) else [run.folder.name for run in runs]


def draw_all(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Every picture that the runs give, into the folder; says which. Raises ExtraMissing."""
    drawn = [draw_delays(runs, folder / "delays"), draw_costs(runs, folder / "costs")]
    if any(run.occupancy for run in runs):
        drawn.append(draw_stores(runs, folder / "stores"))
    return [path for pair in drawn for path in pair]


def draw_delays(runs: Sequence[Run], target: Path) -> list[Path]:
    """The share of all wanted messages that had come within each delay, and of the SOS where there are any."""
    kinds = [kind for kind in (ALL, "SOS") if all(kind in run.summary.shares for run in runs)]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
        for kind, axes in zip(kinds, panels, strict=True):
            _delay_panel(axes, runs, kind)
        panels[0].set_ylabel("delivered, % of what was wanted")
        panels[0].legend(loc="upper left", fontsize=8.5)

    return _save(target, (4.6 * len(kinds) + 0.8, 4.0), draw)


def draw_costs(runs: Sequence[Run], target: Path) -> list[Path]:
    """Transmissions, and bytes by kind, for each message delivered."""
    places = range(len(runs))

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        counts = [run.summary.transmissions_per_delivered or 0.0 for run in runs]
        bars = left.barh(places, counts, height=0.6, color="#0072B2")
        left.bar_label(bars, [f"{count:.1f}" for count in counts], padding=3, fontsize=8.5)
        left.set_xlabel("transmissions per delivered message")
        left.set_yticks(places, names(runs))
        left.invert_yaxis()
        sums = [0.0] * len(runs)
        for kind in KINDS:
            sizes = [(run.summary.bytes_per_delivered or {}).get(kind, 0.0) / 1000 for run in runs]
            colour, hatch = KIND_LOOKS[kind]
            right.barh(places, sizes, 0.6, sums, color=colour, hatch=hatch, edgecolor="white", linewidth=0, label=kind)
            sums = [a + b for a, b in zip(sums, sizes, strict=True)]
        for place, whole in zip(places, sums, strict=True):
            right.annotate(f"{whole:.3g}", (whole, place), (3, 0), textcoords="offset points", va="center", size=8.5)
        right.set_xlabel("kB on the air per delivered message")
        for axes, most in ((left, max(counts)), (right, max(sums))):
            axes.grid(axis="y", visible=False)
            axes.set_xlim(0, most * 1.15 or 1)
        figure.legend(loc="outside upper right", ncols=4, fontsize=8.5)

    return _save(target, (8.4, 1.7 + 0.45 * len(runs)), draw)


def draw_stores(runs: Sequence[Run], target: Path) -> list[Path]:
    """How much the mean node, and the fullest one, carries for others over time."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for run, name, (colour, dashes) in zip(runs, names(runs), _looks(runs), strict=True):
            hours = [stock.t / HOUR_S for stock in run.occupancy]
            axes.plot(hours, [s.mean / 1000 for s in run.occupancy], color=colour, ls=dashes, label=f"{name}, mean")
            axes.plot(hours, [s.most / 1000 for s in run.occupancy], color=colour, ls=dashes, lw=0.8, alpha=0.7)
        axes.set_xlabel("hours of the trace")
        axes.set_ylabel("kB carried for others")
        axes.set_ylim(0)
        axes.margins(x=0.01)
        axes.plot([], [], color="#555555", lw=0.8, label="thin: the fullest node")
        axes.legend(fontsize=8.5)

    return _save(target, (7.0, 3.6), draw)


def _delay_panel(axes: Axes, runs: Sequence[Run], kind: str) -> None:
    drawn: set[tuple[float, ...]] = set()
    for run, name, (colour, dashes) in zip(runs, names(runs), _looks(runs), strict=True):
        rows = [row for row in run.delays if row.kind == kind]
        wanted = max(run.summary.shares[kind].wanted, 1)
        delays = [row.delay_s for row in rows]
        flood = [100 * row.flood / wanted for row in rows]
        alone = [100 * row.foremost / wanted for row in rows if row.foremost is not None]
        for bound, dots, word in ((flood, 1.2, "bound"), (alone, 3.0, "bound with transfer times")):
            if bound and tuple(bound) not in drawn:  # Runs on the same trace and workload share theirs.
                label = "" if word in axes.get_legend_handles_labels()[1] else word
                axes.plot(delays, bound, color="black", lw=1.1, ls=(0, (1, dots)), label=label, zorder=3)
                drawn.add(tuple(bound))
        axes.plot(delays, [100 * row.delivered / wanted for row in rows], color=colour, ls=dashes, label=name)
    longest = max(row.delay_s for run in runs for row in run.delays)
    shown = {at: word for at, word in DELAY_TICKS.items() if at <= longest * 1.05}
    axes.set_xscale("log")
    axes.set_xticks(list(shown), list(shown.values()), fontsize=8.5)
    axes.set_xticks([], minor=True)
    axes.set_xlim(1, longest)
    axes.set_ylim(0, 102)
    axes.set_xlabel("delay after writing")
    axes.set_title("all messages" if kind == ALL else kind, fontsize=10)


def _looks(runs: Sequence[Run]) -> list[tuple[str, object]]:
    return [LINES[index % len(LINES)] for index in range(len(runs))]


def _save(target: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> list[Path]:
    with extra("matplotlib", "Drawing"):
        import matplotlib
        from matplotlib.figure import Figure
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        paths = [target.with_suffix(".svg"), target.with_suffix(".png")]
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=160, metadata={"Software": None})
    return paths
