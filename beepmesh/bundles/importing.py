"""Taking what bundles in a folder hold, by the same intake as what comes over a link.

Each run goes through an engine of this process (`RunCarried`), which proves, opens and orders commits as a node's does;
here they are performed at once. A node that runs on the home meanwhile is woken, and learns what was written.

Laws
1. Files may be taken in any order and any number of times: what is settled here already is passed over.
2. Whatever a file says, it costs what its size does: nothing of it is kept that was not taken.
3. What is durable stays: who interrupts an import loses the batch that was under way, and does it again.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from beepmesh import upkeep
from beepmesh.asking import Asked, answer
from beepmesh.author import control_draft
from beepmesh.bundles.chunks import FILE_BYTES_MAX
from beepmesh.bundles.medium import FILES_MAX, Medium
from beepmesh.bundles.opened import keys_of, pieces, secret_of
from beepmesh.bundles.records import Run
from beepmesh.bundles.sealing import Keys, Opening
from beepmesh.errors import Refused
from beepmesh.events import Commit, HomeChanged, MessageArrived, Output, ProveForks, RunCarried
from beepmesh.forks import fork_statement
from beepmesh.home import Home
from beepmesh.intake import BLAMELESS, REFUSALS_MAX
from beepmesh.messages.content import Receipts, decode_content
from beepmesh.messages.lifetimes import LANE_URGENT
from beepmesh.messages.token import is_token, token_log
from beepmesh.receipts import receipts_due
from beepmesh.shell import engine_of, frontier_of
from beepmesh.store.contract import Batch
from sync.events import TakeRun
from sync.logs import LogId

BATCH_BYTES: Final = 524_288  # What one commit takes, about: as much as a link has under way.
PASSES_MAX: Final = 4
"""So often files are read once more that hold something of feeds nobody vouched for yet: another file may have done
so since, for an export leaves out what others left there, and names are in no order."""

TROUBLES_MAX: Final = 64  # Files that are named; all are counted.

Progress = Callable[[str], None]


@dataclass(slots=True)
class Imported:
    """What an import did."""

    files: int = 0
    bytes: int = 0
    new: int = 0
    """Entries, tokens included, that were not settled here."""
    known: int = 0
    refused: int = 0
    """Entries that were not taken."""
    messages: int = 0
    """Those that this device could open, receipts apart."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why entries, runs of them or whole files were not taken, as `status` counts it."""
    troubles: list[tuple[str, str]] = field(default_factory=list)
    """(name of a file, what was wrong with it), at most TROUBLES_MAX."""


def import_all(home: Home, folder: Path, *, now_ms: Callable[[], int], progress: Progress) -> Imported:
    """Everything in the folder that is for this device. Raises MediumProblem, StoreProblem."""
    medium = Medium(folder, secret_of(home.identity))
    names = medium.names()
    taking = _Taking(home, now_ms)
    if len(names) > FILES_MAX:
        taking.count("bundle-many", len(names) - FILES_MAX)
        del names[FILES_MAX:]
    waiting = taking.files(medium, names, progress)
    taking.again = True
    for _ in range(PASSES_MAX):
        if not waiting or not taking.came:
            break
        waiting = taking.files(medium, waiting, progress)
    taking.patient = False
    taking.files(medium, waiting, progress)
    taking.chores()
    return taking.done


class _Taking:
    """One import. Drives an engine that has no links."""

    def __init__(self, home: Home, now_ms: Callable[[], int]) -> None:
        self._home = home
        self._now_ms = now_ms
        home.refresh()
        self._frontier = frontier_of(home)
        self._engine = engine_of(home, self._frontier)
        home.store.appraise(self._engine.carrying.worth)
        self._asked: set[tuple[LogId, int]] = set()
        self._asked_bytes = 0
        self._blamed = 0
        self._said: Counter[str] = Counter()
        self.done = Imported()
        self.came = 0
        """New entries of this pass."""
        self.patient = True
        """What nobody vouches for is passed over rather than refused."""
        self.again = False
        """What is wrong with these files, and known of them, has been counted."""
        self._waits = False

    def count(self, reason: str, times: int) -> None:
        """With the next commit."""
        self._engine.count(reason, times)

    def files(self, medium: Medium, names: Sequence[str], progress: Progress) -> list[str]:
        """Take these, once; in which of them something was passed over."""
        self.came = 0
        waiting: list[str] = []
        keys = keys_of(self._home.identity)
        for number, name in enumerate(names, 1):
            progress(f"Bundle {number} of {len(names)}: {self.done.new} entries are new")
            self._said, self._waits = Counter(), False
            self._refresh()
            size = self._file(medium, name, keys)
            self._commit()
            self.done.reasons += self._said
            if not self.again:
                self.done.files += 1
                self.done.bytes += size
            if self._waits:
                waiting.append(name)
            self._home.wake()
        return waiting

    def _file(self, medium: Medium, name: str, keys: Keys) -> int:
        """Returns how many bytes it has; 0 where nothing could be had from it."""
        self._blamed = 0
        opening: Opening | None = None
        trouble: Counter[str] = Counter()
        try:
            with medium.opened(name) as (file, size):
                for piece in pieces(file, size):
                    if opening is None:
                        opening = Opening(piece, keys)
                        continue
                    for run in opening.chunk(piece):
                        self._offer(run)
                    if self._blamed > REFUSALS_MAX:
                        trouble["too-many-refusals"] += 1
                        break
                if opening is not None and not trouble:
                    opening.end(cut=size > FILE_BYTES_MAX)
        except Refused as refused:
            trouble[refused.reason] += 1
            size = 0
        trouble += opening.counts if opening is not None else Counter()
        if not self.again:
            for reason, times in trouble.items():
                self._engine.count(reason, times)
                if len(self.done.troubles) < TROUBLES_MAX:
                    self.done.troubles.append((name, reason))
        return size

    def _offer(self, run: Run) -> None:
        settled = self._frontier.settled(run.log)
        stop = run.start + len(run.packed)
        unknown = [seq for seq in range(run.start, stop) if seq not in settled]
        if not unknown and self.again:
            return
        if unknown and self.patient and not self._is_vouched_for(run):
            self._waits = True
            return
        self.done.known += len(run.packed) - len(unknown)
        if not unknown:
            return
        self._asked.update((run.log, seq) for seq in unknown)
        self._asked_bytes += sum(map(len, run.packed))
        order = TakeRun(run.log, run.start, run.prev if run.start else None, run.packed)
        self._perform(self._engine.handle(RunCarried(order), time.monotonic()))
        if self._asked_bytes >= BATCH_BYTES:
            self._commit()

    def _is_vouched_for(self, run: Run) -> bool:
        """Or may be, by its own first entry."""
        if is_token(run.packed[0], run.log):
            return self._home.roster.vouches(run.packed[0][: len(run.log.feed)])
        return self._home.roster.vouches(run.log.feed) or (run.log.lane == LANE_URGENT and run.start == 0)

    def _commit(self) -> None:
        """Everything that was offered is durable, or refused."""
        self._perform(self._engine.flush())
        self.done.refused += len(self._asked)
        self._asked.clear()
        self._asked_bytes = 0

    def _refresh(self) -> None:
        """What others have written on this home meanwhile."""
        fresh = self._home.refresh()
        if fresh.identity_changed:
            self._engine.renew(self._home.identity)
        if fresh.states or fresh.version > self._engine.upto:
            self._perform(self._engine.handle(HomeChanged(fresh.states, fresh.version), time.monotonic()))

    def _perform(self, outputs: Sequence[Output]) -> None:
        orders = deque(outputs)
        while orders:
            order = orders.popleft()
            if isinstance(order, Commit):
                self._note(order.batch)
            if isinstance(order, Asked):
                done = answer(self._home, order, self._now_ms())
                orders.extend(self._engine.handle(done, time.monotonic()))
                orders.extend(self._engine.flush())
            elif isinstance(order, MessageArrived):
                self.done.messages += not isinstance(decode_content(order.payload.content), Receipts)
            elif isinstance(order, ProveForks):
                drafts = tuple(control_draft(fork_statement(fork), self._home.identity) for fork in order.forks)
                self._home.commit(Batch(drafts=drafts), self._now_ms())
            # What else it orders is about links, which there are none, or is done by `chores`.

    def _note(self, batch: Batch) -> None:
        places = {(entry.log, entry.seq) for entry in batch.entries}
        places |= {(token_log(token.log), token.seq) for token in batch.tokens}
        new = len(places & self._asked)
        self._asked -= places
        self.done.new += new
        self.came += new
        self._said += Counter(batch.counts)
        self._blamed += sum(times for reason, times in batch.counts.items() if reason not in BLAMELESS)

    def chores(self) -> None:
        """What follows from what came: receipts, and what waited for keys."""
        for chore in (receipts_due, upkeep.seal_waiting, upkeep.list_feeds):
            chore(self._home, self._now_ms())
        self._home.wake()
