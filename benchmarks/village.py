"""Homes for the workloads, made in this process without any network, once for each run, and copied for each use.

One organisation: Keeper founded it two days ago; Author0 to Author9, Relay and Recipient were let in then. There are
three stages:

    fresh       just let in: holds its own first entries only
    known       everybody holds everybody's certificates and prekeys, and Keeper's list of all feeds
    filled      known, and Keeper holds so many messages, written by the ten authors to Recipient

A copy of a home is the same device twice, so no two copies of one home may meet: each workload uses copies of its own.
"""

from __future__ import annotations

import base64
import os
import random
import shutil
import time
from pathlib import Path
from typing import Final

from beepmesh.home import Home
from beepmesh.intake import Intake
from beepmesh.messages.content import ID_BYTES, Text
from beepmesh.messages.entry import pack
from beepmesh.messages.lifetimes import ROUTINE, TTL_DEFAULT, lane_of
from beepmesh.posting import Posting, post
from beepmesh.proving import prove
from beepmesh.store.contract import Batch
from beepmesh.testing import admit
from beepmesh.upkeep import list_feeds
from sync.logs import LogState
from sync.ranges import Ranges

ORGANISATION: Final = "Flood Relief"
KEEPER: Final = "Keeper"
RELAY: Final = "Relay"
RECIPIENT: Final = "Recipient"
AUTHORS: Final = tuple(f"Author{number}" for number in range(10))
EVERYBODY: Final = (KEEPER, RELAY, RECIPIENT, *AUTHORS)
_AGE_MS: Final = 2 * 86_400_000  # Message feeds are listed a day after they were vouched for.
_POSTED_AT_ONCE: Final = 100
_READ_BYTES: Final = 1 << 20


class Village:
    """See the module's text. What is asked for is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies = 0
        self._held: list[int] = []

    def fresh(self, name: str) -> Path:
        self._found()
        return self._copy(self._folder / "fresh" / name)

    def known(self, name: str) -> Path:
        self._acquaint()
        return self._copy(self._folder / "known" / name)

    def keeper_of(self, messages: int) -> Path:
        """Keeper's home with that many messages of 200 B, an equal number from each author."""
        self._fill(messages)
        return self._copy(self._folder / f"filled-{messages}")

    def relay_of(self, messages: int) -> Path:
        """Relay's home that holds the same as keeper_of."""
        source, relay = self.keeper_of(messages), self.known(RELAY)
        with Home.open(source) as keeper, Home.open(relay) as home:
            carry(keeper, home)
        return relay

    def _copy(self, home: Path) -> Path:
        self._copies += 1
        # A short path: the wake socket's name has 108 bytes.
        return Path(shutil.copytree(home, self._folder / f"c{self._copies}"))

    def _found(self) -> None:
        if (self._folder / "fresh").exists():
            return
        folder, now_ms = self._folder / "fresh", _now_ms() - _AGE_MS
        with Home.found(folder / KEEPER, ORGANISATION, KEEPER, None, now_ms) as keeper:
            for name in EVERYBODY[1:]:
                admit(keeper, folder / name, name, now_ms=now_ms).close()

    def _acquaint(self) -> None:
        if (self._folder / "known").exists():
            return
        self._found()
        shutil.copytree(self._folder / "fresh", self._folder / "known")
        with Home.open(self._folder / "known" / KEEPER) as keeper:
            for name in EVERYBODY[1:]:
                with Home.open(self._folder / "known" / name) as home:
                    carry(home, keeper)
            list_feeds(keeper, _now_ms())
            for name in EVERYBODY[1:]:
                with Home.open(self._folder / "known" / name) as home:
                    carry(keeper, home)

    def _fill(self, messages: int) -> None:
        """The authors write on where they stopped, so smaller numbers are asked for first."""
        if messages in self._held:
            return
        self._acquaint()
        before = self._held[-1] if self._held else 0
        assert messages > before
        assert messages % len(AUTHORS) == 0
        writing = self._folder / "writing"
        filled = self._folder / f"filled-{messages}"
        if before:
            shutil.copytree(self._folder / f"filled-{before}", filled)
        else:
            shutil.copytree(self._folder / "known" / KEEPER, filled)
        with Home.open(filled) as keeper:
            for name in AUTHORS:
                if not before:
                    shutil.copytree(self._folder / "known" / name, writing / name)
                with Home.open(writing / name) as author:
                    write(author, RECIPIENT, (messages - before) // len(AUTHORS))
                    carry(author, keeper)
        self._held.append(messages)


def write(home: Home, to: str, count: int, text_bytes: int = 200) -> None:
    """So many messages, sealed and durable, many in one transaction."""
    now_ms = _now_ms()
    (person,) = home.roster.resolve(to, now_ms // 1_000)
    chance = random.Random()
    while count > 0:
        postings = [
            Posting(
                Text(os.urandom(ID_BYTES), (person.person,), "", text_of(text_bytes, chance), ROUTINE),
                (person.person,),
                lane_of(ROUTINE),
                TTL_DEFAULT,
                ROUTINE,
            )
            for _ in range(min(count, _POSTED_AT_ONCE))
        ]
        post(home, postings, now_ms)
        count -= len(postings)


def text_of(size: int, chance: random.Random) -> str:
    """Letters and digits by chance: hardly to be compressed, so that no dictionary flatters us."""
    return base64.b64encode(chance.randbytes(size)).decode()[:size]


def carry(source: Home, target: Home) -> None:
    """Everything the source holds and the target lacks, judged and stored as if it had come over a link."""
    held = dict(target.store.states())
    intake = Intake(held, target.store.frozen(), target.roster, target.identity.control_keys)
    now_ms = _now_ms()
    for log, state in sorted(source.store.states().items(), key=lambda item: (item[0].lane, item[0].feed)):
        while (start := held.get(log, _NOTHING).settled.top) < state.settled.top:
            read = source.store.read(log, start, state.settled.top, bytes_max=_READ_BYTES, with_prev=True)
            offer = intake.judge(log, start, read.prev, [pack(entry) for entry in read.entries], now_ms // 1_000)
            (proof,) = prove([offer], target.store.read)
            taken = intake.take(offer, proof, now_ms // 1_000)
            batch = Batch(entries=tuple(taken.entries), facts=tuple(taken.facts), proved=taken.proved)
            held.update(target.store.commit(batch, keys=target.keys(), now_ms=now_ms).states)
            intake.committed()


_NOTHING: Final = LogState(Ranges(), b"")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
