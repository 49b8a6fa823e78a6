"""A run's files: written the same to the byte for the same run, and read back.

| file | a line is |
|---|---|
| `deliveries.csv` | a message's first arrival at one whom it is for |
| `contacts.csv` | a contact, with its bytes by kind, both directions together |
| `occupancy.csv` | how full the stores were at a moment |
| `timeline.csv` | an hour of virtual time |
| `delays.csv` | how many had been delivered within a delay, beside the bounds |
| `summary.json` | everything else; written last, so that where it stands the others are whole |
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulations.metrics import Arrivals, DelayRow, Share, Summary, fulfilled
from simulations.outcome import KINDS, ContactRecord, Delivery, Occupancy, Outcome
from simulations.workload import Message

SUMMARY = "summary.json"
DELIVERIES = "id", "node", "t", "hops"
CONTACTS = "start", "stop", "a", "b", "radio", *KINDS, "transmissions", "duplicates"
OCCUPANCY = "t", "mean", "most"
TIMELINE = "hour", "written", "delivered", *KINDS
DELAYS = "class", "delay", "delivered", "flood", "foremost"
HOUR_S = 3600


class NotARun(Exception):
    """This folder does not hold the files of a finished run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run as its folder tells it."""

    folder: Path
    summary: Summary
    delays: list[DelayRow]
    occupancy: list[Occupancy]


def write_run(
    folder: Path,
    outcome: Outcome,
    messages: Sequence[Message],
    flood: Arrivals,
    summary: Summary,
    delays: Iterable[DelayRow],
) -> None:
    """Write all files, each whole or not at all; those of an earlier run give way."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).unlink(missing_ok=True)
    for name, columns, rows in (
        ("deliveries.csv", DELIVERIES, _deliveries(outcome)),
        ("contacts.csv", CONTACTS, _contacts(outcome)),
        ("occupancy.csv", OCCUPANCY, ((f"{o.t:.3f}", f"{o.mean:.1f}", o.most) for o in outcome.occupancy)),
        ("timeline.csv", TIMELINE, _timeline(outcome, messages, fulfilled(outcome, messages, flood).arrivals)),
        ("delays.csv", DELAYS, ((d.kind, f"{d.delay_s:.3f}", d.delivered, d.flood, d.foremost) for d in delays)),
    ):
        write_whole(folder / name, _csv(columns, rows))
    write_whole(folder / SUMMARY, json.dumps(dataclasses.asdict(summary), indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Nobody ever sees half of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)


def load_run(folder: Path) -> Run:
    """What a report needs. Raises NotARun."""
    with _reading(folder):
        summary = _summary(json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
        rows = [
            DelayRow(
                row["class"],
                float(row["delay"]),
                int(row["delivered"]),
                int(row["flood"]),
                int(row["foremost"]) if row["foremost"] else None,
            )
            for row in _rows(folder / "delays.csv", DELAYS)
        ]
        return Run(folder, summary, rows, _load_occupancy(folder))


def load_outcome(folder: Path) -> Outcome:
    """The run itself, with times as exact as they were written. Raises NotARun."""
    with _reading(folder):
        summary = _summary(json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
        return Outcome(
            router=summary.router,
            trace=summary.trace,
            seed=summary.seed,
            nodes=summary.nodes,
            duration=summary.duration_s,
            deliveries=[
                Delivery(int(row["id"]), int(row["node"]), float(row["t"]), int(row["hops"]))
                for row in _rows(folder / "deliveries.csv", DELIVERIES)
            ],
            contacts=[
                ContactRecord(
                    float(row["start"]),
                    float(row["stop"]),
                    int(row["a"]),
                    int(row["b"]),
                    row["radio"],
                    Counter({kind: int(row[kind]) for kind in KINDS if row[kind] != "0"}),
                    float(row["transmissions"]),
                    float(row["duplicates"]),
                )
                for row in _rows(folder / "contacts.csv", CONTACTS)
            ],
            occupancy=_load_occupancy(folder),
            counts=Counter(summary.counts),
            cpu_s=summary.machine["cpu_s"],
            peak_bytes=int(summary.machine["peak_bytes"]),
        )


def _deliveries(outcome: Outcome) -> Iterator[Sequence[object]]:
    for delivery in sorted(outcome.deliveries, key=lambda one: (round(one.t, 3), one.id, one.node)):
        yield delivery.id, delivery.node, f"{delivery.t:.3f}", delivery.hops


def _contacts(outcome: Outcome) -> Iterator[Sequence[object]]:
    for one in sorted(outcome.contacts, key=lambda one: (one.start, one.a, one.b, one.radio)):
        sizes = [one.bytes[kind] for kind in KINDS]
        times = f"{one.start:.3f}", f"{one.stop:.3f}"
        yield *times, one.a, one.b, one.radio, *sizes, f"{one.transmissions:.3f}", f"{one.duplicates:.3f}"


def _timeline(outcome: Outcome, messages: Iterable[Message], arrivals: Arrivals) -> Iterator[Sequence[object]]:
    """A contact's bytes are spread evenly over its time, for nobody noted the moment of each."""
    written = Counter(int(message.t // HOUR_S) for message in messages)
    delivered = Counter(int(t // HOUR_S) for t in arrivals.values())
    sent = {kind: Counter[int]() for kind in KINDS}
    for one in outcome.contacts:
        hours = range(int(one.start // HOUR_S), int(one.stop // HOUR_S) + 1)
        for kind, size in one.bytes.items():
            # Whole bytes, and no byte lost: each hour has what its end has beyond its beginning.
            passed = 0
            for hour in hours:
                length = max(one.stop - one.start, 0.001)
                until = size if hour == hours[-1] else int(size * ((hour + 1) * HOUR_S - one.start) / length)
                sent[kind][hour] += until - passed
                passed = until
    last = max(
        [int(outcome.duration // HOUR_S), *written, *delivered, *(hour for kind in KINDS for hour in sent[kind])]
    )
    for hour in range(last + 1):
        yield hour, written[hour], delivered[hour], *(sent[kind][hour] for kind in KINDS)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != tuple(columns):
            raise ValueError(f"{path.name} has other columns than {','.join(columns)}")
        return list(reader)


def _load_occupancy(folder: Path) -> list[Occupancy]:
    return [
        Occupancy(float(row["t"]), float(row["mean"]), int(row["most"]))
        for row in _rows(folder / "occupancy.csv", OCCUPANCY)
    ]


def _summary(found: dict[str, Any]) -> Summary:
    found["shares"] = {kind: Share(**share) for kind, share in found["shares"].items()}
    return Summary(**found)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotARun(f"{folder} holds no finished run: {Path(error.filename).name} is missing") from error
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise NotARun(f"{folder} does not hold the files of a run: {error}") from error
