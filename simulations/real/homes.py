"""Homes of one organisation that know each other before the trace begins, made without a network."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from beepmesh.home import Home
from beepmesh.intake import Intake
from beepmesh.messages.entry import pack
from beepmesh.proving import prove
from beepmesh.store.contract import Batch
from beepmesh.testing import admit
from beepmesh.upkeep import list_feeds
from sync.logs import LogState
from sync.ranges import Ranges

ORGANISATION: Final = "Flood Relief"
PLACE: Final = Path("/var/tmp")  # It lies on a disk, and short: a node's wake socket has a path of 108 bytes.
_AGE_MS: Final = 2 * 86_400_000  # Message feeds are listed a day after they were vouched for.
_READ_BYTES: Final = 1 << 20
_NOTHING: Final = LogState(Ranges(), b"")


@contextmanager
def folder_of_homes() -> Iterator[Path]:
    """A folder that is removed at the end, and with it those of processes that are gone."""
    for path in PLACE.glob("bm-real-*-*"):
        if not Path("/proc", path.name.split("-")[2]).exists():
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"bm-real-{os.getpid()}-", dir=PLACE) as folder:
        yield Path(folder)


def acquainted(folder: Path, names: Sequence[str], departments: Sequence[str]) -> list[Path]:
    """A home for each name, in the department of its place. Everybody holds everybody's certificate and prekeys.

    The first is the founder's. He belongs to the whole organisation, whatever department stands in his place.
    """
    paths = [folder / name for name in names]
    now_ms = time.time_ns() // 1_000_000
    with Home.found(paths[0], ORGANISATION, names[0], None, now_ms - _AGE_MS) as founder:
        for path, name, department in zip(paths[1:], names[1:], departments[1:], strict=True):
            with admit(founder, path, name, now_ms=now_ms - _AGE_MS, department=department) as home:
                carry(home, founder, now_ms)
        list_feeds(founder, now_ms)
        for path in paths[1:]:
            with Home.open(path) as home:
                carry(founder, home, now_ms)
    return paths


def carry(source: Home, target: Home, now_ms: int) -> None:
    """Everything the source holds and the target lacks, judged and stored as if it had come over a link."""
    held = dict(target.store.states())
    intake = Intake(held, target.store.frozen(), target.roster, target.identity.control_keys)
    for log, state in sorted(source.store.states().items(), key=lambda item: (item[0].lane, item[0].feed)):
        while (start := held.get(log, _NOTHING).settled.top) < state.settled.top:
            read = source.store.read(log, start, state.settled.top, bytes_max=_READ_BYTES, with_prev=True)
            offer = intake.judge(log, start, read.prev, [pack(entry) for entry in read.entries], now_ms // 1_000)
            (proof,) = prove([offer], target.store.read)
            taken = intake.take(offer, proof, now_ms // 1_000)
            batch = Batch(entries=tuple(taken.entries), facts=tuple(taken.facts), proved=taken.proved)
            held.update(target.store.commit(batch, keys=target.keys(), now_ms=now_ms).states)
            intake.committed()
