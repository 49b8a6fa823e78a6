"""A run as one HTML page that moves: who is near whom, where messages are, what has arrived.

The page holds everything in itself and asks nothing of any network; its own policy forbids it to. `map.html`, `map.css`
and `map.js` beside this file are its parts. Its data are columns of whole numbers, packed (`pack`) so that a thousand
nodes with seventy thousand contacts stay below five megabytes; times are in tenths of a second, those of sorted columns
are differences to the line above.

| column | a line is, in order of |
|---|---|
| `messages` | t, id, src, dst + 1 (0 is everybody), size, ttl in s, prio | t |
| `contacts` | start, length, a, b | start |
| `hops` | t, source, target, message | t |
| `losses` | t, node, message: a copy given up | t |
| `deliveries` | t, node, message, hops: those in time | t |
| `bound` | t, node, message: the same of the ideal flood | t |

"Message" is a line of `messages`, counted from 0.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

from simulations.bound import in_time
from simulations.layout import lay_out
from simulations.metrics import ALL, Arrivals, Summary, fulfilled
from simulations.outcome import Outcome
from simulations.traces import Trace
from simulations.trail import Gone, Hop, Trail
from simulations.wording import number, share, size, span
from simulations.workload import Message
from simulations.writing import write_whole

TICKS = 10
"""A second's."""
RECORDS_MAX = 450_000
"""Hops and losses that a page takes, some four megabytes of it; of more, those of evenly chosen messages are shown."""
SQUARES = 4095
"""The finest difference of two places, as a part of the map's longer side."""
PARTS = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Scene:
    """What a page shows. Without places the nodes are laid out by their contacts, without a trail ways stay unknown."""

    trace: Trace
    messages: Sequence[Message]
    outcome: Outcome
    flood: Arrivals
    summary: Summary
    trail: Trail | None = None


def write_map(folder: Path, scene: Scene) -> Path:
    """`map.html`. Raises ExtraMissing as `map_page` does."""
    path = folder / "map.html"
    write_whole(path, map_page(scene))
    return path


def map_page(scene: Scene) -> str:
    """The page. Raises ExtraMissing where nodes are to be laid out and numpy is not there."""
    style, script = ((PARTS / f"map.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    title = f"{scene.outcome.trace}, {scene.outcome.router}, seed {scene.outcome.seed}"
    parts = {
        "title": html.escape(title),
        "policy": f"default-src 'none'; base-uri 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
        "style": style,
        "script": script,
        # A name may hold what would end the element.
        "data": json.dumps({"title": title} | page_data(scene), separators=(",", ":")).replace("<", "\\u003c"),
    }
    page = (PARTS / "map.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page)


def page_data(scene: Scene) -> dict[str, object]:
    """What the script finds in the page, before it is text."""
    messages = sorted(scene.messages, key=lambda message: (message.t, message.id))
    line = {message.id: at for at, message in enumerate(messages)}
    hops, losses, shown = _records(scene, line)
    arrivals = fulfilled(scene.outcome, messages, scene.flood).arrivals
    hop_counts = {(delivery.id, delivery.node): delivery.hops for delivery in reversed(scene.outcome.deliveries)}
    return {
        "nodes": scene.trace.nodes,
        "duration": scene.outcome.duration,
        "ticks": TICKS,
        "names": _names(scene.trace),
        "facts": _facts(scene.summary)
        + ([("ways shown", f"{shown} of {len(messages)}")] if scene.trail and shown < len(messages) else []),
        "trail": scene.trail is not None,
        "shown": shown,
        "places": _places(scene),
        "messages": _columns(
            (
                _ticks(message.t),
                message.id,
                message.src,
                message.dst + 1,
                message.size,
                round(message.ttl),
                message.prio,
            )
            for message in messages
        ),
        "contacts": _columns(
            (_ticks(start), _ticks(stop) - _ticks(start), a, b) for start, stop, a, b in sorted(scene.trace.contacts)
        ),
        "hops": _columns(sorted((_ticks(t), source, target, line[id_]) for t, source, target, id_ in hops)),
        "losses": _columns(sorted((_ticks(t), node, line[id_]) for t, node, id_ in losses)),
        "deliveries": _columns(
            sorted((_ticks(t), node, line[id_], hop_counts[id_, node]) for (id_, node), t in arrivals.items())
        ),
        "bound": _columns(
            sorted((_ticks(t), node, line[id_]) for (id_, node), t in in_time(scene.flood, messages).items())
        ),
    }


def pack(numbers: Iterable[int]) -> str:
    """Numbers from 0 up, seven bits a byte, the lowest first, the eighth bit where more follow (LEB128); in Base64."""
    packed = bytearray()
    for left in numbers:
        assert left >= 0
        while left > 127:
            packed.append(left & 127 | 128)
            left >>= 7
        packed.append(left)
    return base64.b64encode(packed).decode()


def signed(value: int) -> int:
    """0, -1, 1, -2, 2 become 0, 1, 2, 3, 4."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def _columns(lines: Iterable[Sequence[int]]) -> list[str]:
    """Each column packed, the first one, which is sorted, by its differences. No lines, no columns."""
    columns = [list(column) for column in zip(*lines, strict=True)]
    if columns:
        columns[0] = _steps(columns[0])
    return [pack(column) for column in columns]


def _steps(sorted_numbers: Sequence[int]) -> list[int]:
    return [b - a for a, b in zip(chain([0], sorted_numbers), sorted_numbers, strict=False)]


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS)


def _records(scene: Scene, line: dict[int, int]) -> tuple[list[Hop], list[Gone], int]:
    """Those that the page takes, and of how many messages they show the ways."""
    if scene.trail is None:
        return [], [], 0
    hops, losses = scene.trail.hops, scene.trail.losses
    sizes = Counter(line[hop.id] for hop in hops) + Counter(line[loss.id] for loss in losses)
    step = 1
    while sum(count for at, count in sizes.items() if at % step == 0) > RECORDS_MAX:
        step += 1
    return (
        [hop for hop in hops if line[hop.id] % step == 0],
        [loss for loss in losses if line[loss.id] % step == 0],
        len(range(0, len(line), step)),
    )


def _places(scene: Scene) -> dict[str, object]:
    """Moments on a raster, each node's place by its difference to the one before; x to the right, y downwards."""
    given = scene.trace.places
    if given is None:
        moments = [(0, lay_out(scene.trace.nodes, scene.trace.contacts))]
    else:
        moments = [
            (given.every_s * step, [(east, -north) for east, north in given.at(step)])
            for step in range(len(given.steps))
        ]
    xs, ys = zip(*chain.from_iterable(places for _, places in moments), strict=True)
    left, top, side = min(xs), min(ys), max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    numbers, before = [], [0] * (2 * scene.trace.nodes)
    for _, places in moments:
        flat = [round((value - low) / side * SQUARES) for x, y in places for value, low in ((x, left), (y, top))]
        numbers += [signed(now - then) for now, then in zip(flat, before, strict=True)]
        before = flat
    return {
        "given": given is not None,
        "metres": side / SQUARES,
        "t": pack(_steps([_ticks(t) for t, _ in moments])),
        "xy": pack(numbers),
    }


def _names(trace: Trace) -> list[str]:
    """From what the trace says of single nodes, like `"hq": 0` and `"boats": [1, 2]`; the others have their number."""
    names = [""] * trace.nodes
    for word, found in trace.meta.items():
        nodes = found if isinstance(found, list) else [found] if word == "hq" else []
        for count, node in enumerate(nodes, 1):
            if type(node) is int and 0 <= node < trace.nodes:
                names[node] = word.upper() if word == "hq" else f"{word.removesuffix('s')} {count}"
    return names


def _facts(summary: Summary) -> list[tuple[str, str]]:
    all_ = summary.shares[ALL]
    return [
        ("delivered", f"{all_.delivered} of {all_.wanted}"),
        ("of the ideal flood", share(all_.of_flood)),
        ("median delay", span(all_.median_s)),
        ("transmissions per delivered", number(summary.transmissions_per_delivered)),
        ("on the air", size(sum(summary.bytes.values()))),
    ]


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
