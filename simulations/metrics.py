"""What a run came to: how much arrived, how soon, beside what could have arrived at all, and what it cost.

A delivery counts when the message was for that node and came within its time to live; the first one, once. Times are
taken as they are written, to the millisecond, so that the figures of a run and of its files are the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from simulations.bound import in_time
from simulations.outcome import KINDS, ContactRecord, Kind, Outcome
from simulations.radio import Radio
from simulations.workload import EVERYBODY, Message

Arrivals: TypeAlias = Mapping[tuple[int, int], float]
"""First arrivals in seconds of the trace, by message id and node."""

CLASSES = ("SOS", "text", "bulk", "broadcast")
ALL = "all"
TOLERANCE_S = 0.001
"""So much earlier than the bound a delivery may seem to be: what rounding does."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no protocol beats: the ideal flood, and each message alone with transfers that take their time."""

    flood: Arrivals
    foremost: Arrivals | None = None
    """For messages to one node; None where it was not computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How one class of messages fared. Each wish of one node for one message is one of `wanted`."""

    wanted: int
    delivered: int
    late: int
    """Arrived when it was worth nothing any more."""
    flood: int
    """What the ideal flood delivers in time."""
    foremost: int | None
    of_flood: float | None
    of_foremost: float | None
    median_s: float | None
    p95_s: float | None
    flood_median_s: float | None
    """The flood's, over what was delivered here: like beside like."""
    ratio_to_flood: float | None
    foremost_median_s: float | None
    ratio_to_foremost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`summary.json`. Only what stands under `machine` differs between two runs of one seed."""

    router: str
    trace: str
    seed: int
    nodes: int
    duration_s: float
    messages: int
    shares: dict[str, Share]
    """By class, those that occur, and "all"."""
    faults: dict[str, int]
    """Deliveries that cannot be: then the simulator is wrong, not the protocol."""
    transmissions: float
    transmissions_per_delivered: float | None
    duplicates: float
    bytes: dict[Kind, int]
    bytes_per_delivered: dict[Kind, float] | None
    contacts: int
    contacts_used: int
    """Those during which anything was on the air."""
    idle_contact_bytes: int | None
    """The median over contacts in which two nodes talked and neither had a message or receipt for the other."""
    store_peak_bytes: int
    store_mean_bytes: float
    radio_s_per_node_day: float
    """Set-up and bytes on the air, at both ends: how long a node's radio is busy in a day."""
    relay_load_ratio: float | None
    """Payload bytes through the busiest node, divided by those through the mean one."""
    counts: dict[str, int]
    command: str
    versions: dict[str, str]
    machine: dict[str, float]


@dataclass(frozen=True, slots=True)
class DelayRow:
    """How many wishes of a class were fulfilled within `delay_s`: here, by the flood, by each message alone."""

    kind: str
    delay_s: float
    delivered: int
    flood: int
    foremost: int | None


@dataclass(frozen=True, slots=True)
class Fulfilled:
    """Deliveries that count, by message id and node; those too late; and faults by reason."""

    arrivals: dict[tuple[int, int], float]
    late: dict[tuple[int, int], float]
    faults: Counter[str]


def class_of(message: Message) -> str:
    """An SOS to everybody is an SOS."""
    if message.prio == 0:
        return "SOS"
    if message.dst == EVERYBODY:
        return "broadcast"
    return "bulk" if message.prio == 2 else "text"


def quantile(values: Iterable[float], part: float) -> float | None:
    """An element of the values: the upper one of the two in the middle for `part` 0.5 of an even number."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None


def fulfilled(outcome: Outcome, messages: Iterable[Message], flood: Arrivals) -> Fulfilled:
    """Hold the deliveries against the workload and the bound."""
    by_id = {message.id: message for message in messages}
    found = Fulfilled({}, {}, Counter())
    for delivery in outcome.deliveries:
        key, t, message = (delivery.id, delivery.node), round(delivery.t, 3), by_id.get(delivery.id)
        if message is None or message.dst not in (EVERYBODY, delivery.node) or delivery.node == message.src:
            found.faults["not a destination"] += 1
        elif key in found.arrivals or key in found.late:
            found.faults["twice"] += 1
        elif t - message.t > message.ttl:
            found.late[key] = t
        elif t < flood.get(key, float("inf")) - TOLERANCE_S:
            found.faults["before the bound"] += 1
        else:
            found.arrivals[key] = t
    return found


def summarise(
    outcome: Outcome,
    messages: Sequence[Message],
    bounds: Bounds,
    radios: Iterable[Radio],
    *,
    command: str = "",
    versions: Mapping[str, str] | None = None,
) -> Summary:
    """`radios` are those named in the contact records. Raises KeyError for one that is missing."""
    got = fulfilled(outcome, messages, bounds.flood)
    delivered, total = len(got.arrivals), outcome.bytes
    idle = [contact.bytes.total() for contact in outcome.contacts if _idle(contact)]
    stores = [round(stock.mean, 1) for stock in outcome.occupancy]
    transmissions = sum(round(contact.transmissions, 3) for contact in outcome.contacts)
    idle_bytes = quantile(idle, 0.5)
    return Summary(
        router=outcome.router,
        trace=outcome.trace,
        seed=outcome.seed,
        nodes=outcome.nodes,
        duration_s=round(outcome.duration, 3),
        messages=len(messages),
        shares=_shares(outcome.nodes, messages, bounds, got),
        faults=dict(sorted(got.faults.items())),
        transmissions=round(transmissions, 3),
        transmissions_per_delivered=_ratio(transmissions, delivered, 3),
        duplicates=round(sum(round(contact.duplicates, 3) for contact in outcome.contacts), 3),
        bytes={kind: total[kind] for kind in KINDS},
        bytes_per_delivered={kind: round(total[kind] / delivered, 1) for kind in KINDS} if delivered else None,
        contacts=len(outcome.contacts),
        contacts_used=sum(bool(contact.bytes.total()) for contact in outcome.contacts),
        idle_contact_bytes=None if idle_bytes is None else int(idle_bytes),
        store_peak_bytes=max((stock.most for stock in outcome.occupancy), default=0),
        store_mean_bytes=round(sum(stores) / len(stores), 1) if stores else 0.0,
        radio_s_per_node_day=_radio_s_per_node_day(outcome, radios),
        relay_load_ratio=_relay_load_ratio(outcome),
        counts=dict(sorted(outcome.counts.items())),
        command=command,
        versions=dict(versions or {}),
        machine={"cpu_s": round(outcome.cpu_s, 2), "peak_bytes": outcome.peak_bytes},
    )


def delays(outcome: Outcome, messages: Sequence[Message], bounds: Bounds) -> list[DelayRow]:
    """The delay curve of each class that occurs, and of all: 40 delays a decade, from a second to the longest life."""
    by_id = {message.id: message for message in messages}
    longest = max((message.ttl for message in messages), default=1.0)
    grid = [delay for k in range(400) if (delay := round(10 ** (k / 40), 3)) < longest] + [round(longest, 3)]
    ours = _ages(fulfilled(outcome, messages, bounds.flood).arrivals, by_id)
    flood = _ages(in_time(bounds.flood, messages), by_id)
    foremost = None if bounds.foremost is None else _ages(in_time(bounds.foremost, messages), by_id)
    rows = []
    for kind in _kinds(messages):
        alone = foremost if _alone(kind, messages) else None
        rows += [
            DelayRow(kind, delay, a, b, c)
            for delay, a, b, c in zip(
                grid,
                _counted(ours[kind], grid),
                _counted(flood[kind], grid),
                [None] * len(grid) if alone is None else _counted(alone[kind], grid),
                strict=True,
            )
        ]
    return rows


def _shares(nodes: int, messages: Sequence[Message], bounds: Bounds, got: Fulfilled) -> dict[str, Share]:
    by_id = {message.id: message for message in messages}
    flood = in_time(bounds.flood, messages)
    foremost = None if bounds.foremost is None else in_time(bounds.foremost, messages)
    return {
        kind: _share(
            sum(nodes - 1 if message.dst == EVERYBODY else 1 for message in messages if _is(kind, message)),
            {key: message for key in got.arrivals if _is(kind, message := by_id[key[0]])},
            got.arrivals,
            sum(_is(kind, by_id[id_]) for id_, _ in got.late),
            {key: t for key, t in flood.items() if _is(kind, by_id[key[0]])},
            {key: t for key, t in foremost.items() if _is(kind, by_id[key[0]])}
            if foremost is not None and _alone(kind, messages)
            else None,
        )
        for kind in _kinds(messages)
    }


def _share(
    wanted: int,
    delivered: Mapping[tuple[int, int], Message],
    arrivals: Arrivals,
    late: int,
    flood: Arrivals,
    foremost: Arrivals | None,
) -> Share:
    ages = [arrivals[key] - message.t for key, message in delivered.items()]
    flood_median = quantile((flood[key] - message.t for key, message in delivered.items() if key in flood), 0.5)
    # What is carried on in a later contact may arrive where no single transfer would have.
    both = [key for key in delivered if key in foremost] if foremost is not None else []
    alone_median = quantile((foremost[key] - delivered[key].t for key in both), 0.5) if foremost is not None else None
    median, both_median = quantile(ages, 0.5), quantile((arrivals[key] - delivered[key].t for key in both), 0.5)
    return Share(
        wanted=wanted,
        delivered=len(delivered),
        late=late,
        flood=len(flood),
        foremost=None if foremost is None else len(foremost),
        of_flood=_ratio(len(delivered), len(flood), 4),
        of_foremost=None if foremost is None else _ratio(len(delivered), len(foremost), 4),
        median_s=_rounded(median),
        p95_s=_rounded(quantile(ages, 0.95)),
        flood_median_s=_rounded(flood_median),
        ratio_to_flood=_ratio(median, flood_median, 3),
        foremost_median_s=_rounded(alone_median),
        ratio_to_foremost=_ratio(both_median, alone_median, 3),
    )


def _kinds(messages: Iterable[Message]) -> list[str]:
    here = {class_of(message) for message in messages}
    return [*(kind for kind in CLASSES if kind in here), ALL]


def _is(kind: str, message: Message) -> bool:
    return kind in (ALL, class_of(message))


def _alone(kind: str, messages: Iterable[Message]) -> bool:
    """Whether every message of the class is for one node, so that its foremost journey is the whole of it."""
    return all(message.dst != EVERYBODY for message in messages if _is(kind, message))


def _ages(arrivals: Arrivals, by_id: Mapping[int, Message]) -> dict[str, list[float]]:
    ages: dict[str, list[float]] = defaultdict(list)
    for (id_, _), t in arrivals.items():
        ages[class_of(by_id[id_])].append(t - by_id[id_].t)
        ages[ALL].append(t - by_id[id_].t)
    return ages


def _counted(ages: Sequence[float], grid: Sequence[float]) -> list[int]:
    ordered, counts, at = sorted(ages), [], 0
    for delay in grid:
        while at < len(ordered) and ordered[at] <= delay + TOLERANCE_S:
            at += 1
        counts.append(at)
    return counts


def _idle(contact: ContactRecord) -> bool:
    sent = contact.bytes
    return bool(sent.total()) and not (contact.transmissions or sent["payload"] or sent["receipts"])


def _radio_s_per_node_day(outcome: Outcome, radios: Iterable[Radio]) -> float:
    by_name = {radio.name: radio for radio in radios}
    used = [(by_name[contact.radio], sent) for contact in outcome.contacts if (sent := contact.bytes.total())]
    busy = sum(radio.setup_s + sent / radio.bytes_per_s for radio, sent in used)
    return round(2 * busy / (outcome.nodes * outcome.duration / 86_400), 1) if outcome.duration else 0.0


def _relay_load_ratio(outcome: Outcome) -> float | None:
    load: Counter[int] = Counter()
    for contact in outcome.contacts:
        load[contact.a] += contact.bytes["payload"]
        load[contact.b] += contact.bytes["payload"]
    return _ratio(max(load.values(), default=0), load.total() / outcome.nodes, 2)


def _ratio(over: float | None, under: float | None, digits: int) -> float | None:
    return round(over / under, digits) if over is not None and under else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
