"""What is pushed to peers: entries cut into runs that they can prove (proving.py), and tokens.

A read for a session is answered from what was committed a moment ago (recent.py), or from the store.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from beepmesh.events import BatchCommitted, LinkId, ReadEntries
from beepmesh.messages.entry import pack
from beepmesh.messages.token import pack_token
from beepmesh.proving import cut
from beepmesh.recent import Recent
from beepmesh.store.contract import Place, ReadResult
from beepmesh.trust.roster import Roster
from sync.events import ReadRun, RunRead
from sync.frontier import Frontier

MARKS_MAX: Final = 1_024  # Signatures checked for a push and not yet noted; what is forgotten is checked again.


class Given(NamedTuple):
    """What a session is answered, and how many entries are left out because nobody could prove them."""

    read: RunRead
    spoiled: int


class Giving:
    """One node's."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._recent = Recent()
        self._marks: list[Place] = []
        self._given: tuple[ReadResult | None, tuple[int, int], Given] | None = None
        """The last answer, from what, and cut for what: it is mostly the next link's, too."""

    def order(self, link: LinkId, run: ReadRun) -> tuple[ReadEntries, ReadResult | None]:
        """What to ask the store, and the answer if it is known here."""
        order = ReadEntries(link, run.log, run.start, run.stop, run.bytes_max, run.with_prev, run.run_bytes_max)
        return order, self._recent.read(order)

    def runs(self, order: ReadEntries, read: ReadResult) -> Given:
        """Cut into runs that the peer can prove."""
        if read.tokens:
            tokens = tuple(pack_token(token) for token in read.tokens)
            return Given(RunRead(order.log, order.start, b"", tokens, read.gone), 0)
        how = order.stop, order.run_bytes_max
        if self._given is not None and self._given[0] is read and self._given[1] == how:
            return self._given[2]
        feed = self._roster.feed(order.log.feed)
        packed = tuple(pack(entry) for entry in read.entries)
        whole = order.start + len(packed) == order.stop
        sizes = [len(data) for data in packed]
        public = None if feed is None else feed.public
        runs = cut(public, read, sizes, run_bytes_max=order.run_bytes_max, whole=whole)
        self._recent.mend(runs.proved)
        self._marks += (Place(entry.feed, entry.lane, entry.seq) for entry in runs.proved)
        del self._marks[:-MARKS_MAX]
        gone = read.gone
        if runs.spoiled:
            gone = gone.add(order.start, order.start + runs.spoiled)
        packed = packed[: runs.ends[-1] if runs.ends else 0]
        given = Given(RunRead(order.log, order.start, read.prev, packed, gone, runs.ends), runs.spoiled)
        self._given = read, how, given
        return given

    def take_marks(self) -> tuple[Place, ...]:
        """Held entries whose signature has been checked since: for the next commit."""
        marks, self._marks = tuple(self._marks), []
        return marks

    def remember(self, done: BatchCommitted, frontier: Frontier) -> None:
        """What is new, before the frontier says so: where anything was held or a log forked, the store knows best."""
        self._given = None
        forked = {fork.first.log for fork in done.result.forks}
        fresh = [
            entry
            for entry in done.batch.entries
            if entry.log not in forked and entry.seq not in frontier.settled(entry.log)
        ]
        self._recent.keep(fresh, done.batch.proved)
        self._recent.forget(done.batch.tokens)
        self._recent.mend(done.batch.mended)
