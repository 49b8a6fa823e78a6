"""Contact traces: who could hear whom, from when to when; read from files, put in order, cut, counted, written.

Formats, by the end of a file's name (.gz may follow) or asked for:

ct      `# {json with name and nodes}`, then `start stop a b` a line; the project's own, numbers and times are kept
one     `time CONN a b up|down`, the StandardEvents of the ONE simulator (its class StandardEventsReader)
tij     `t i j ...`: seen face to face during the 20 s up to t, as SocioPatterns publishes it
imote   `a b start stop ...`, the columns of the Haggle sets; a sighting of one scan has length 0 there
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from simulations.lines import BadFile, Lines

Format = Literal["ct", "one", "tij", "imote"]
FORMATS: tuple[Format, ...] = get_args(Format)

NODE_COUNT_MAX = 1_000_000
TIME_S_MAX = 1e10
"""Wall-clock seconds of any trace of these centuries fit; they become times from 0."""
NAME_CHARACTERS_MAX = 64

TIJ_STEP_S = 20.0
IMOTE_SCAN_S = 60.0
"""Half of the 120 s between two scans: what one scan saw lasted this long on average."""


class Contact(NamedTuple):
    """Two nodes hear each other from `start` to `stop`, in seconds; a < b; contacts of one pair never overlap."""

    start: float
    stop: float
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where everybody was, for a map: only a drawn trace knows."""

    every_s: int
    nodes: int
    steps: tuple[bytes, ...]
    """One for each time 0, every_s, 2 * every_s...: x and y of each node, centimetres, as 32-bit little-endian."""

    def at(self, step: int) -> list[tuple[float, float]]:
        """Metres east and north of each node at time step * every_s."""
        return [(x / 100, y / 100) for x, y in struct.iter_unpack("<ii", self.steps[step])]


@dataclass(frozen=True, slots=True)
class Trace:
    """Contacts in the order (start, a, b), between nodes 0 to nodes - 1."""

    name: str
    nodes: int
    contacts: tuple[Contact, ...]
    meta: dict[str, object] = field(default_factory=dict)
    places: Places | None = field(default=None, compare=False, repr=False)
    """Not in any file."""

    @property
    def duration(self) -> float:
        return max((contact.stop for contact in self.contacts), default=0.0)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one compares traces by. Seconds; medians are 0 where there is nothing to take them of."""

    name: str
    nodes: int
    duration_s: float
    contacts: int
    pairs: int
    """That ever met."""
    pair_share: float
    """Of all pairs there could be."""
    contact_median_s: float
    contact_p90_s: float
    gap_median_s: float
    """Between one contact of a pair and its next."""
    contacts_per_node_day: float
    lonely: int
    """Nodes that never met anybody."""


Sighting = tuple[float, float, Hashable, Hashable]


def load(
    path: str | Path, form: Format | None = None, *, min_length: float | None = None, gap: float | None = None
) -> Trace:
    """The trace in that file, its format taken from its name unless given. Raises BadFile.

    A contact shorter than `min_length` seconds is stretched to it, two of one pair that are no more than `gap` apart
    are joined; the defaults fit the format (imote: 60 and 0, tij: 0 and 20). Everything but ct, and CONN files written
    here, is renumbered in the order of its names (`meta["ids"]` has them) and begins at time 0.
    """
    path = Path(path)
    form = form or format_of(path)
    lines = Lines(path)
    if form == "ct":
        return _load_ct(lines, min_length or 0.0, gap or 0.0)
    header: dict[str, object] = {}
    reader, usual_length, usual_gap = _READERS[form]
    found = list(reader(lines, header))
    length, join = usual_length if min_length is None else min_length, usual_gap if gap is None else gap
    if header:
        return _as_described(lines, header, found, length, join)
    if not found:
        raise BadFile(f"{path}: has no contacts")
    return normalised(_bare_name(path), found, min_length=length, gap=join, meta={"origin": path.name})


def format_of(path: Path) -> Format:
    """What the name says. Raises BadFile where it says nothing."""
    ending = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if ending in FORMATS:
        return ending
    raise BadFile(f"{path}: the name does not say the format; ask for one of {', '.join(FORMATS)}")


def save(trace: Trace, path: str | Path, form: Format | None = None) -> None:
    """Write it as ct or one (times to the millisecond); the same trace gives the same bytes. Raises BadFile."""
    path = Path(path)
    form = form or format_of(path)
    match form:
        case "ct":
            body = (f"{_time(start)} {_time(stop)} {a} {b}\n" for start, stop, a, b in trace.contacts)
        case "one":
            body = (f"{_time(time)} CONN {a} {b} {what}\n" for time, a, b, what in _changes(trace))
        case _:
            raise BadFile(f"{path}: traces are written as ct or one, not as {form}")
    known = {"name": trace.name, "nodes": trace.nodes}
    counted = {"contacts": len(trace.contacts), "duration_s": float(trace.duration)}
    header = json.dumps({**trace.meta, **known, **counted}, ensure_ascii=False)
    data = f"# {header}\n{''.join(body)}".encode()
    path.write_bytes(gzip.compress(data, 9, mtime=0) if path.name.endswith(".gz") else data)


def normalised(
    name: str,
    sightings: Iterable[Sighting],
    *,
    min_length: float = 0.0,
    gap: float = 0.0,
    meta: dict[str, object] | None = None,
) -> Trace:
    """A trace of (start, stop, a, b) with any names that can be sorted: renumbered in their order, times from 0."""
    found = list(sightings)
    names: list[Hashable] = sorted({x for _, _, a, b in found if a != b for x in (a, b)})  # type: ignore[type-var]
    number = {name: index for index, name in enumerate(names)}
    first = min((min(start, stop) for start, stop, a, b in found if a != b), default=0.0)
    moved = ((start - first, stop - first, number[a], number[b]) for start, stop, a, b in found if a != b)
    contacts = tuple(merged(moved, min_length, gap))
    return Trace(name, len(names), contacts, {**(meta or {}), "ids": [str(name) for name in names]})


def merged(
    sightings: Iterable[tuple[float, float, int, int]], min_length: float = 0.0, gap: float = 0.0
) -> list[Contact]:
    """Undirected contacts in the order of a trace; what overlaps, or is `gap` seconds apart or less, is one."""
    ordered = sorted(
        (*((a, b) if a < b else (b, a)), *((start, stop) if start <= stop else (stop, start)))
        for start, stop, a, b in sightings
        if a != b
    )
    contacts: list[Contact] = []
    for a, b, start, stop in ordered:
        stop = max(stop, start + min_length)
        last = contacts[-1] if contacts else None
        if last is not None and (last.a, last.b) == (a, b) and start <= last.stop + gap:
            contacts[-1] = last._replace(stop=max(last.stop, stop))
        else:
            contacts.append(Contact(start, stop, a, b))
    return sorted(contacts, key=itemgetter(0, 2, 3))


def window(trace: Trace, start: float, stop: float) -> Trace:
    """What happens from `start` until before `stop`, times from 0; the nodes stay all of them."""
    cut = (
        Contact(max(contact.start, start) - start, min(contact.stop, stop) - start, contact.a, contact.b)
        for contact in trace.contacts
        if contact.stop > start and contact.start < stop
    )
    ordered = sorted(cut, key=itemgetter(0, 2, 3))
    return Trace(trace.name, trace.nodes, tuple(ordered), {**trace.meta, "window_s": [start, stop]})


def statistics(trace: Trace) -> Statistics:
    last: dict[tuple[int, int], float] = {}
    lengths, gaps = [], []
    for start, stop, a, b in trace.contacts:
        lengths.append(stop - start)
        if (a, b) in last:
            gaps.append(start - last[a, b])
        last[a, b] = stop
    lengths.sort()
    gaps.sort()
    possible = trace.nodes * (trace.nodes - 1) / 2
    node_days = trace.nodes * trace.duration / 86_400
    return Statistics(
        name=trace.name,
        nodes=trace.nodes,
        duration_s=trace.duration,
        contacts=len(trace.contacts),
        pairs=len(last),
        pair_share=len(last) / possible if possible else 0.0,
        contact_median_s=_quantile(lengths, 0.5),
        contact_p90_s=_quantile(lengths, 0.9),
        gap_median_s=_quantile(gaps, 0.5),
        contacts_per_node_day=2 * len(trace.contacts) / node_days if node_days else 0.0,
        lonely=trace.nodes - len({x for pair in last for x in pair}),
    )


class _Host(NamedTuple):
    """A host of the ONE: `n12`, or `12`, sorted as a reader would."""

    prefix: str
    number: int

    def __str__(self) -> str:
        return f"{self.prefix}{self.number}"


def _load_ct(lines: Lines, min_length: float, gap: float) -> Trace:
    texts = iter(lines)
    header = _header(next(texts, ""))
    if header is None:
        raise BadFile(f"{lines.path}:1: should be '# ' and a JSON object with name and nodes")
    name, nodes = _described(lines, header)
    found = []
    for text in texts:
        if not text:
            continue
        parts = _parts(lines, text, 4)
        start = lines.real(parts[0], "the start", 0, TIME_S_MAX)
        stop = lines.real(parts[1], "the stop", start, TIME_S_MAX)
        a, b = (lines.integer(part, "a node", 0, nodes - 1) for part in parts[2:4])
        if a == b:
            raise lines.wrong(f"node {a} meets itself")
        found.append((start, stop, a, b))
    return Trace(name, nodes, tuple(merged(found, min_length, gap)), header)


def _header(text: str) -> dict[str, object] | None:
    """The JSON object behind a `#`; None where there is none."""
    if not text.startswith("#"):
        return None
    try:
        found = json.loads(text[1:])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _described(lines: Lines, header: dict[str, object]) -> tuple[str, int]:
    name, nodes = header.get("name"), header.get("nodes")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise BadFile(f"{lines.path}:1: name should be a text of 1 to {NAME_CHARACTERS_MAX} characters")
    if not isinstance(nodes, int) or not 0 < nodes <= NODE_COUNT_MAX:
        raise BadFile(f"{lines.path}:1: nodes should be a whole number from 1 to {NODE_COUNT_MAX}")
    return name, nodes


def _as_described(
    lines: Lines, header: dict[str, object], found: list[Sighting], min_length: float, gap: float
) -> Trace:
    """A CONN file that was written here: its numbers are nodes already."""
    name, nodes = _described(lines, header)
    numbered = []
    for start, stop, a, b in found:
        numbers = [
            host.number for host in (a, b) if isinstance(host, _Host) and not host.prefix and host.number < nodes
        ]
        if len(numbers) < 2:
            raise BadFile(f"{lines.path}: {a} or {b} is beyond the {nodes} nodes of its first line")
        numbered.append((start, stop, numbers[0], numbers[1]))
    return Trace(name, nodes, tuple(merged(numbered, min_length, gap)), header)


def _read_one(lines: Lines, header: dict[str, object]) -> Iterator[Sighting]:
    """Recorded files repeat themselves: an up of what is up, and a down of what is down, say nothing new."""
    since: dict[tuple[_Host, _Host], float] = {}
    time = 0.0
    for text in lines:
        if not text or text.startswith("#"):
            if lines.number == 1:
                own = _header(text) or {}
                header.update(own if "nodes" in own else {})
            continue
        parts = text.split()
        if len(parts) < 2 or parts[1] != "CONN":
            continue  # Messages and the like are events of the same file, and not contacts.
        if len(parts) < 5 or parts[4] not in ("up", "down"):
            raise lines.wrong("should be: time CONN host host up|down")
        time = lines.real(parts[0], "the time", time, TIME_S_MAX)
        first, second = sorted((_host(lines, parts[2]), _host(lines, parts[3])))
        if parts[4] == "up":
            since.setdefault((first, second), time)
        elif (first, second) in since:
            yield since.pop((first, second)), time, first, second
    for (first, second), start in since.items():
        yield start, time, first, second


def _host(lines: Lines, text: str) -> _Host:
    prefix = text.rstrip("0123456789")
    if len(prefix) > NAME_CHARACTERS_MAX:
        raise lines.wrong("a host's name is too long")
    return _Host(prefix, lines.integer(text[len(prefix) :], "the number of a host", 0, 10**9))


def _read_tij(lines: Lines, _: dict[str, object]) -> Iterator[Sighting]:
    for text in _rows(lines):
        time, a, b = _parts(lines, text, 3)[:3]
        stop = lines.real(time, "the time", 0, TIME_S_MAX)
        yield stop - TIJ_STEP_S, stop, *_numbers(lines, a, b)


def _read_imote(lines: Lines, _: dict[str, object]) -> Iterator[Sighting]:
    for text in _rows(lines):
        a, b, first, last = _parts(lines, text, 4)[:4]
        start = lines.real(first, "the start", 0, TIME_S_MAX)
        stop = lines.real(last, "the stop", start, TIME_S_MAX)
        yield start, stop, *_numbers(lines, a, b)


_READERS: Mapping[Format, tuple[Callable[[Lines, dict[str, object]], Iterator[Sighting]], float, float]] = {
    "one": (_read_one, 0.0, 0.0),
    "tij": (_read_tij, 0.0, TIJ_STEP_S),
    "imote": (_read_imote, IMOTE_SCAN_S, 0.0),
}
"""With the shortest contact and the widest gap that fit the format. A header that says what is in the file is kept."""


def _numbers(lines: Lines, a: str, b: str) -> tuple[int, int]:
    return lines.integer(a, "who", 0, 10**9), lines.integer(b, "whom", 0, 10**9)


def _rows(lines: Lines) -> Iterator[str]:
    """What is neither empty nor a comment; a first line of words is the columns' names."""
    for text in lines:
        if text and text[0] not in "#%" and not (lines.number == 1 and text[0].isalpha()):
            yield text


def _parts(lines: Lines, text: str, least: int) -> list[str]:
    parts = text.replace(",", " ").replace(";", " ").split()
    if len(parts) < least:
        raise lines.wrong(f"{len(parts)} columns, and at least {least} are needed")
    return parts


def _changes(trace: Trace) -> list[tuple[float, int, int, str]]:
    """At one time what ends ends before what begins, so that the next contact of a pair is not swallowed."""
    planned = []
    for start, stop, a, b in trace.contacts:
        planned.append((start, 1, a, b, "up"))
        planned.append((stop, 0 if stop > start else 2, a, b, "down"))
    return [(time, a, b, what) for time, _, a, b, what in sorted(planned)]


def _time(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _bare_name(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0][:NAME_CHARACTERS_MAX] or "trace"


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
