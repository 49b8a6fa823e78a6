"""What it costs a whole node to be pushed runs that are not what their author signed, over a link as a member has one.

The author is a member whom the node knows; the runs are on lane 0, where every signature is checked. Handshake,
sealing, the engine, libsodium and the store are the real ones; only the link is not there.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from beepmesh.asking import Asked, answer
from beepmesh.channel import Channel, Door, OwnerRecord, Secured
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
    RenewEpoch,
    ReopenEntries,
    SendFrames,
    TellDrained,
)
from beepmesh.home import Home
from beepmesh.messages.entry import Entry, pack, write
from beepmesh.messages.lifetimes import TTL_DEFAULT, URGENT
from beepmesh.shell import frontier_of
from benchmarks.bars import Bar
from benchmarks.figures import Line
from benchmarks.village import AUTHORS, KEEPER, Village
from sync import cbor, wire
from sync.limits import RUN_ENTRIES_MAX
from sync.logs import LogId

RUNS: Final = 500
"""Where no rule ends it."""
_FRAME_BYTES_MAX: Final = 65_535
_BAR: Final = Bar({"name": "nobody else was measured"}, {"cpu_ms_per_run_max": 5})
_LINK: Final = 1
Bad: TypeAlias = Callable[[list[Entry], int], list[bytes]]


def floods() -> Iterator[Line]:
    """One line for each kind of bad run."""
    with tempfile.TemporaryDirectory(prefix="bm-", dir="/var/tmp") as folder:
        village = Village(Path(folder))
        yield _flooded(village, "runs of eight bad signatures", _all_bad)
        yield _flooded(village, "runs of one good and seven bad signatures", _one_good)
        yield _flooded(village, "runs of a feed that nobody vouches for", _stranger)


def _all_bad(entries: list[Entry], _: int) -> list[bytes]:
    return [pack(entry._replace(signature=bytes(64))) for entry in entries]


def _one_good(entries: list[Entry], _: int) -> list[bytes]:
    return [pack(entries[0]), *_all_bad(entries[1:], 0)]


def _stranger(_: list[Entry], number: int) -> list[bytes]:
    return [pack(entry) for entry in _entries(SigningKey(number.to_bytes(32)), 0, NO_PREV)]


def _entries(key: SigningKey, start: int, prev: bytes) -> list[Entry]:
    entries: list[Entry] = []
    for seq in range(start, start + RUN_ENTRIES_MAX):
        entry = write(
            key, lane=0, seq=seq, prev=prev, time_ms=time.time_ns() // 1_000_000, ttl=TTL_DEFAULT, priority=URGENT,
            hints=b"", body=b"\x01 no envelope",
        )  # fmt: skip
        entries.append(entry)
        prev = entry.id
    return entries


def _flooded(village: Village, name: str, bad: Bad) -> Line:
    with Home.open(village.known(KEEPER)) as home, Home.open(village.known(AUTHORS[0])) as author:
        log = LogId(author.identity.feed, 0)
        start = author.store.states()[log].settled.top
        newest = author.store.entry(log, start - 1)
        assert newest is not None
        entries = _entries(author.identity.feed_key, start, newest.id)
        met = Met(home, author)
        met.greet()
        before, sent, records = time.process_time(), met.sent, 0
        while records < RUNS and not met.hung:
            if bad is _stranger:
                key = SigningKey((records + 1).to_bytes(32))
                met.push(LogId(key.public[:0] + _entries(key, 0, NO_PREV)[0].feed, 0), 0, None, bad(entries, records + 1))
            else:
                met.push(log, start, newest.id, bad(entries, records))
            records += 1
        spent = time.process_time() - before
        return Line(
            "hostile", name,
            {"cpu_s": spent, "cpu_ms_per_run": spent * 1e3 / records, "records": records,
             "sent_mb": (met.sent - sent) / 1e6, "ended": met.hung or "never"},
            _BAR,
        )  # fmt: skip
