"""What it costs a whole node to be pushed runs that are not what their author signed, over a link as a member has one.

The author is a member whom the node knows; the runs are on lane 0, where every signature is checked. Handshake,
sealing, the engine, libsodium and the store are the real ones; only the link is not there, and all is in one process.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from beepmesh.asking import answer
from beepmesh.channel import Channel, Door
from beepmesh.crypto.primitives import SigningKey
from beepmesh.engine import Engine
from beepmesh.events import (
    Commit,
    FrameReceived,
    HangUp,
    Input,
    LinkDrained,
    LinkUp,
    ProveRuns,
    ReadEntries,
    RecallPeer,
    ReopenEntries,
    SendFrames,
    TellDrained,
)
from beepmesh.home import Home
from beepmesh.messages.entry import NO_PREV, Entry, pack, write
from beepmesh.messages.lifetimes import TTL_DEFAULT, URGENT
from beepmesh.shell import frontier_of
from benchmarks.bars import Bar
from benchmarks.figures import Line, Value
from benchmarks.village import AUTHORS, KEEPER, Village
from sync import wire
from sync.limits import RUN_ENTRIES_MAX
from sync.logs import LogId

RUNS: Final = 300
"""Where no rule ends it."""
_FRAME_BYTES_MAX: Final = 65_535
_LINK: Final = 1
_BAR: Final = Bar({"name": "nobody else was measured"}, {"cpu_ms_per_record_max": 5, "worst_record_ms_max": 100})

Spoil: TypeAlias = Callable[[list[Entry]], list[bytes]]


def floods() -> Iterator[Line]:
    """One line for each kind of bad run."""
    with tempfile.TemporaryDirectory(prefix="bm-", dir="/var/tmp") as folder:
        village = Village(Path(folder))
        yield _flooded(village, "RUNs of eight bad signatures", _bad, known=True)
        yield _flooded(village, "RUNs of one good and seven bad ones", _one_good, known=True)
        yield _flooded(village, "RUNs of a feed nobody vouches for", _good, known=False)


def _good(entries: list[Entry]) -> list[bytes]:
    return [pack(entry) for entry in entries]


def _bad(entries: list[Entry]) -> list[bytes]:
    return [pack(entry._replace(signature=bytes(64))) for entry in entries]


def _one_good(entries: list[Entry]) -> list[bytes]:
    return [*_good(entries[:1]), *_bad(entries[1:])]


@dataclass(frozen=True, slots=True)
class _End:
    """Where a log ends: what a run is to follow."""

    key: SigningKey
    log: LogId
    start: int
    prev: bytes

    def entries(self) -> list[Entry]:
        entries: list[Entry] = []
        prev, time_ms = self.prev, time.time_ns() // 1_000_000
        for seq in range(self.start, self.start + RUN_ENTRIES_MAX):
            entry = write(
                self.key, lane=0, seq=seq, prev=prev, time_ms=time_ms, ttl=TTL_DEFAULT, priority=URGENT, hints=b"",
                body=b"\x01 no envelope",
            )  # fmt: skip
            entries.append(entry)
            prev = entry.id
        return entries


def _end_of(author: Home) -> _End:
    log = LogId(author.identity.feed, 0)
    start = author.store.states()[log].settled.top
    newest = author.store.entry(log, start - 1)
    assert newest is not None
    return _End(author.identity.feed_key, log, start, newest.id)


def _stranger() -> _End:
    key = SigningKey(bytes(31) + b"s")
    log = write(
        key, lane=0, seq=0, prev=NO_PREV, time_ms=0, ttl=TTL_DEFAULT, priority=URGENT, hints=b"", body=b"?"
    ).log  # fmt: skip
    return _End(key, log, 0, NO_PREV)


def _flooded(village: Village, name: str, spoil: Spoil, *, known: bool) -> Line:
    with Home.open(village.known(KEEPER)) as home, Home.open(village.known(AUTHORS[0])) as author:
        end = _end_of(author) if known else _stranger()
        packed = tuple(spoil(end.entries()))
        met = Met(home, author)
        met.say(wire.Hello(wire.WIRE_VERSION, 15, 1 << 17, 0, b"", 7, 1, root=bytes(8), chain=bytes(4)))
        met.say(wire.Vector(more=False, states=()))
        met.spent.clear()
        met.sent = 0
        reference: wire.LogRef = end.log
        while len(met.spent) < RUNS and not met.hung:
            met.say(wire.Run(reference, end.start, end.prev if end.start else None, packed))
            reference = 0
        figures: dict[str, Value] = {
            "cpu_s": sum(met.spent),
            "cpu_ms_per_record": sum(met.spent) / len(met.spent) * 1e3,
            "worst_record_ms": max(met.spent) * 1e3,
            "cpu_s_per_mb": sum(met.spent) / met.sent * 1e6,
            "records": len(met.spent),
            "sent_mb": met.sent / 1e6,
            "ended": met.hung or "never",
        }
        return Line("hostile", name, figures, _BAR)


class Met:
    """A node's engine over its home, and the member who speaks to it by hand."""

    def __init__(self, home: Home, member: Home) -> None:
        self.spent: list[float] = []
        """CPU seconds of the node for each record."""
        self.sent = 0
        self.hung = ""
        self._home = home
        me, them = home.identity, member.identity
        self._engine = Engine(
            identity=me, roster=home.roster, frontier=frontier_of(home), frozen=home.store.frozen(),
            believed_s=lambda: home.believed_s(_now_ms()), wall_ms=_now_ms, entropy=os.urandom,
        )  # fmt: skip
        self._channel = Channel(
            dialled=True, device=them.device, link_key=them.link_key, doors=(Door(them.link_psks[0], None),),
            ephemeral_seed=os.urandom(32), frame_bytes_max=_FRAME_BYTES_MAX,
        )  # fmt: skip
        doors = tuple(Door(psk, None) for psk in me.link_psks)
        self._frames: deque[bytes] = deque()
        self._happens(LinkUp(_LINK, False, "memory", "there", _FRAME_BYTES_MAX, doors))
        self._give(self._channel.start())

    def say(self, record: wire.Spoken) -> None:
        """One record, and all that the node makes of it."""
        frames = self._channel.seal(wire.encode(record))
        self.sent += sum(map(len, frames))
        self.spent.append(0.0)
        self._give(frames)

    def _give(self, frames: list[bytes]) -> None:
        for frame in frames:
            before = time.process_time()
            self._happens(FrameReceived(_LINK, frame))
            if self.spent:
                self.spent[-1] += time.process_time() - before
        while self._frames and not self.hung:
            self._give(self._channel.receive(self._frames.popleft())[0])

    def _happens(self, event: Input) -> None:
        inputs = deque((event,))
        while inputs:
            outputs = self._engine.handle(inputs.popleft(), time.monotonic())
            for output in (*outputs, *(() if inputs else self._engine.flush())):
                match output:
                    case SendFrames(_, frames):
                        self._frames += frames
                    case TellDrained(link):
                        inputs.append(LinkDrained(link))
                    case Commit() | ReadEntries() | RecallPeer() | ReopenEntries() | ProveRuns():
                        inputs.append(answer(self._home, output, _now_ms()))
                    case HangUp(_, reason):
                        self.hung = reason
                    case _:
                        pass


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
