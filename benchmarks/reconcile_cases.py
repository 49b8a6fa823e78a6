"""One case of the reconcile benchmark, measured: two nodes meet over each of the modelled links, and once with a cut.

What leaves a node is the same at every run, to the byte; only CPU seconds differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from benchmarks.link_model import BLE, ROUND_TRIPS, TWO_G, LinkModel, Shelf, Talk, set_apart
from benchmarks.reconcile_shelf import BODY_BYTES, PACKED, MemoryShelf
from benchmarks.reconcile_world import Meeting, Where, World
from sync.feeds import FeedList
from sync.wire import Ack, Run, Sketch, Sketched, Vector, decode

Pair: TypeAlias = tuple[Shelf, Shelf]

_EPOCHS = (0x1D0C5AFE, 0x7EEDFACE)
_ONE_RECORD_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """`known`: they met before what differs was written, and remember it. `listed`: the organisation's list has all
    authors; otherwise it is empty, and feeds are named by a tag or in full."""

    differing: int
    where: Where = "newest"
    known: bool = True
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Bytes:
    """What both sent."""

    hello: int
    """HELLO and STATES; with the rare small records."""
    vectors: int
    """VECTOR, SKETCH and their answers: of strangers, and of those whose memory does not help."""
    acks: int
    """ACK."""
    runs: int
    entries: int
    """How many were pushed; not bytes."""

    @property
    def introduction(self) -> int:
        """What it took until both knew what to send, as long as nothing else changes."""
        return self.hello + self.vectors

    @property
    def reconciliation(self) -> int:
        """All records but RUN."""
        return self.hello + self.vectors + self.acks

    @property
    def beside_entries(self) -> int:
        """All bytes but those of packed entries, so with what RUN says in front of them."""
        return self.reconciliation + self.runs - self.entries * len(PACKED)

    @property
    def overhead(self) -> float:
        """Of an entry beside its body: header, signature, one hint, its part of RUN; 0 without entries."""
        return self.runs / self.entries - BODY_BYTES if self.entries else 0.0


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds after the link came up."""

    known: float
    """Both know what to send."""
    urgent: float
    """The last entry of lane 0 was taken; 0 if none came."""
    everything: float
    """The last entry was taken; 0 if none came."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Over BLE, cut when half of the entries had come; then they met again."""

    beyond: int
    """Bytes of reconciliation that both meetings took beyond those of one without a cut."""
    duplicates: int
    """Entries that came to a node which had them."""


@dataclass(frozen=True, slots=True)
class Cost:
    ble_bytes: Bytes
    two_g_bytes: Bytes
    """On a slow link ACKs have less company."""
    round_trips: float
    """Until both know, on a link that takes no time for bytes."""
    ble: Times
    two_g: Times
    session_cpu_s: float
    """Of both sessions, over BLE: nothing of stores, links and cryptography."""
    hello_cpu_s: float
    """Of that, until both had said what they say unasked."""
    store_cpu_s: float
    """Of both stores, over BLE."""
    duplicates: int
    """Entries that came to a node which had them, over BLE: none, but where a log has more holes than are told."""
    resumed: Resumed | None


def pair(world: World, meeting: Meeting, case: Case) -> Pair:
    """Two nodes in memory, as they are when the measured meeting begins."""
    feeds = world.feed_list() if case.listed else FeedList()
    shelves = MemoryShelf(meeting, feeds, _EPOCHS[0]), MemoryShelf(meeting, feeds, _EPOCHS[1])
    prepare(shelves, meeting, known=case.known)
    return shelves


def prepare(shelves: Pair, meeting: Meeting, *, known: bool) -> None:
    """Let two nodes that have the same meet, if they shall know each other; then give each what the other lacks."""
    if known:
        Talk(shelves, BLE, b"first meeting").run()
    for shelf, places in zip(shelves, meeting.apart, strict=True):
        for place in places:
            shelf.write(place)


def cost(make: Callable[[], Pair]) -> Cost:
    """Of one case; `make` gives a new pair of nodes for each of its runs."""
    shelves = make()
    with set_apart():
        over_ble = _talk(shelves, BLE)
    over_2g, ideal = (_talk(make(), link) for link in (TWO_G, ROUND_TRIPS))
    ble_bytes = sent(over_ble)
    return Cost(
        ble_bytes,
        sent(over_2g),
        _times(ideal).known,
        _times(over_ble),
        _times(over_2g),
        sum(end.session_cpu.seconds for end in over_ble.ends),
        sum(end.hello_cpu_s for end in over_ble.ends),
        sum(end.store_cpu.seconds for end in over_ble.ends),
        sum(end.duplicates for end in over_ble.ends),
        _resumed(make(), ble_bytes) if ble_bytes.entries > 1 else None,
    )


def sent(*talks: Talk) -> Bytes:
    """What was sent in all of them."""
    sizes: Counter[type] = Counter()
    entries = 0
    for data in (data for talk in talks for end in talk.ends for data in end.sent):
        record = decode(data, bytes_max=_ONE_RECORD_MAX)
        sizes[type(record)] += len(data)
        entries += len(record.packed) if isinstance(record, Run) else 0
    vectors = sum(sizes.pop(kind, 0) for kind in (Vector, Sketch, Sketched))
    acks, runs = sizes.pop(Ack, 0), sizes.pop(Run, 0)
    return Bytes(sum(sizes.values()), vectors, acks, runs, entries)


def _talk(shelves: Pair, link: LinkModel) -> Talk:
    talk = Talk(shelves, link, b"this meeting")
    talk.run()
    assert all(end.level_at < inf for end in talk.ends), "two nodes, no fault, and they never said that they were level"
    _agreed(talk)
    return talk


def _agreed(talk: Talk) -> None:
    first, second = (end.shelf.frontier.positions for end in talk.ends)
    assert first == second, "two nodes met, and have not the same"


def _times(talk: Talk) -> Times:
    done = talk.lane_done_at
    return Times(max(end.known_at for end in talk.ends), done.get(0, 0.0), max(done.values(), default=0.0))


def _resumed(shelves: Pair, uncut: Bytes) -> Resumed:
    cut = Talk(shelves, BLE, b"this meeting")
    cut.run(cut_after=uncut.entries // 2)
    after = Talk(shelves, BLE, b"the next meeting")
    after.run()
    _agreed(after)
    duplicates = sum(end.duplicates for end in (*cut.ends, *after.ends))
    return Resumed(sent(cut, after).reconciliation - uncut.reconciliation, duplicates)
