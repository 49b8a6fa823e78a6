"""Runs from other nodes: what is taken, what is refused and why. Decides only; the engine commits.

Laws
1. A run is taken whole or refused whole, with one named reason. Only what stands beyond the cut of a revoked feed is
   left off: whoever took it before the revocation came hands it on in good faith, together with what is right.
2. Nothing is taken from a feed that no certificate of this organisation vouches for. A feed's certificate is the
   body of its lane 0, seq 0, so a stranger's first entry is judged by what it carries.
3. What is taken but not yet durable counts as held for the next run (`_ahead`), and as nothing if the commit fails.
4. A fact that is false does not make its entry false: the entry is kept for others, the fact is counted and dropped.
5. What the roster has learned from a run that was not kept is learned, and written, again when it comes again.
6. An entry that still lives is taken with its body or not at all: what is settled is never asked for again, so whoever
   left the body off, out of malice or by a clock that ran ahead, would take the message from its reader.
7. A proof of a fork waits for the certificate of its feed, within a bound: the two travel in different logs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from beepmesh.author import BODY_CONTROL, BODY_ENVELOPE, BODY_FEED_CERTIFICATE, decode_control, feed_certificate_fact
from beepmesh.errors import Refused
from beepmesh.forks import feed_of, fork_in
from beepmesh.messages.entry import NO_PREV, Entry, unpack_run, verify_run
from beepmesh.messages.lifetimes import expires_ms
from beepmesh.store.contract import Fork
from beepmesh.trust.clock import AHEAD_S_MAX
from beepmesh.trust.facts import FORK_PROOF, Fact
from beepmesh.trust.roster import FeedInfo, Roster
from sync.logs import LogId, LogState
from sync.ranges import Ranges

CERTIFICATE_GRACE_S: Final = 30 * 86_400  # An expired device may still relay and be read for 30 days (crypto.md 5.9).
EARLY_PROOFS_MAX: Final = 256  # Of feeds that nobody has vouched for yet; 0.5 kB each.


@dataclass(slots=True)
class Taken:
    """What one run brought: new entries, those that contradict held ones, facts for the roster, and trouble."""

    entries: list[Entry] = field(default_factory=list)
    overlapping: list[Entry] = field(default_factory=list)
    """Entries at places that are held already: the store tells repeats from forks."""
    facts: list[Fact] = field(default_factory=list)
    forks: list[Fork] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Intake:
    """Reads the node's durable log states and roster; teaches the roster what control entries say."""

    def __init__(
        self, states: Mapping[LogId, LogState], frozen: set[LogId], roster: Roster, control_keys: Sequence[bytes]
    ) -> None:
        self._states = states
        self._frozen = frozen
        self._roster = roster
        self._control_keys = control_keys
        self._ahead: dict[LogId, LogState] = {}
        self._early: dict[bytes, list[Fact]] = {}

    def take(self, log: LogId, start: int, prev: bytes | None, packed: Sequence[bytes], believed_s: int) -> Taken:
        """Judge one run. Raises Refused with the reason for which the whole run is left out."""
        if log in self._frozen:
            raise Refused("log-frozen")
        state = self._ahead.get(log) or self._states.get(log) or LogState(Ranges(), b"")
        link = self._predecessor(state, start, prev)
        entries = unpack_run(packed, feed=log.feed, lane=log.lane, start=start, prev=link)
        taken = Taken()
        known = self._roster.feed(log.feed)
        feed = known or self._introduce(log, entries, taken)
        self._permit_lane(feed, log)
        entries = self._within_cut(feed, log, entries, taken)
        verify_run(feed.public, entries)
        entries = self._with_bodies(entries, taken, believed_s)
        settled = state.settled
        for entry in entries:
            settled = settled.add(entry.seq, entry.seq + 1)
            (taken.overlapping if entry.seq in state.settled else taken.entries).append(entry)
        for entry in taken.entries:
            if known is not None or entry.seq:  # Otherwise it is the certificate that introduced this feed just now.
                self._control(entry, taken)
        self._permit_date(log, entries, believed_s)
        self._judge_early(log.feed, taken)
        tip = entries[-1].id if entries[-1].seq >= state.settled.top else state.tip
        self._ahead[log] = LogState(settled, tip)
        return taken

    def committed(self) -> None:
        """What was ahead is durable, or gone: in both cases the shared states say so now."""
        self._ahead.clear()

    def freeze(self, log: LogId) -> None:
        """Two entries of one place are known: nothing more is taken from this log."""
        self._frozen.add(log)
        self._early.pop(log.feed, None)

    def _predecessor(self, state: LogState, start: int, prev: bytes | None) -> bytes:
        if start == 0:
            return NO_PREV
        if prev is not None:
            if start == state.settled.top and state.tip and state.tip != prev:
                # The author signed two different entries for seq start - 1; the other half is asked for by the tip
                # in our vector, so here it is enough not to build on it.
                raise Refused("broken-link", f"seq {start}")
            return prev
        if start != state.settled.top or not state.tip:
            raise Refused("no-predecessor", f"seq {start}")
        return state.tip

    def _introduce(self, log: LogId, entries: Sequence[Entry], taken: Taken) -> FeedInfo:
        """A feed nobody has vouched for yet: its first entry must hold its certificate."""
        first = entries[0] if entries else None
        if first is None or log.lane != 0 or first.seq != 0 or not first.body:
            raise Refused("unknown-feed")
        fact = self._fact(first)
        if fact is None:
            raise Refused("unknown-feed")
        self._roster.learn(fact)
        feed = self._roster.feed(log.feed)
        if feed is None:
            raise Refused("unknown-feed")
        taken.facts.append(fact)
        return feed

    def _permit_lane(self, feed: FeedInfo, log: LogId) -> None:
        if feed.kind == "control" and log.lane != 0:
            raise Refused("wrong-lane", f"lane {log.lane} of a control feed")
        if log.lane == 3:
            raise Refused("wrong-lane", "bulk comes only when asked for")

    def _within_cut(self, feed: FeedInfo, log: LogId, entries: list[Entry], taken: Taken) -> list[Entry]:
        cut = feed.last_good(log.lane)
        if cut is None or entries[-1].seq <= cut:
            return entries
        good = [entry for entry in entries if entry.seq <= cut]
        if not good:
            raise Refused("feed-revoked", f"seq {entries[0].seq} after {cut}")
        taken.counts["feed-revoked"] += 1
        return good

    def _with_bodies(self, entries: list[Entry], taken: Taken, believed_s: int) -> list[Entry]:
        """Without those whose body should still be there (law 6)."""
        good = [entry for entry in entries if entry.body is not None or not _lives(entry, believed_s)]
        if not good:
            raise Refused("body-missing", f"seq {entries[0].seq}")
        if len(good) < len(entries):
            taken.counts["body-missing"] += 1
        return good

    def _permit_date(self, log: LogId, entries: Sequence[Entry], believed_s: int) -> None:
        """By the newest certificate, which may stand in this very run."""
        feed = self._roster.feed(log.feed)
        written_s = min(entries[-1].time_ms // 1000, believed_s)
        if feed is None or written_s > feed.expires + CERTIFICATE_GRACE_S:
            raise Refused("certificate-expired")

    def _control(self, entry: Entry, taken: Taken) -> None:
        if entry.hints or not entry.body or entry.body[0] == BODY_ENVELOPE:
            return
        try:
            fact = self._fact(entry)
            if fact is None:
                taken.counts["body-kind-unknown"] += 1
                return
            if fact.kind == FORK_PROOF:
                if self._waits(fact):
                    return
                taken.forks.append(fork_in(fact, self._roster))
            self._roster.learn(fact)
        except Refused as refused:
            taken.counts[refused.reason] += 1
            return
        taken.facts.append(fact)

    def _waits(self, proof: Fact) -> bool:
        """Whether nobody has vouched for the feed of a proof yet: then it is judged when somebody has."""
        feed = feed_of(proof)
        if self._roster.feed(feed) is not None:
            return False
        early = self._early.setdefault(feed, [])
        if proof not in early:
            if sum(map(len, self._early.values())) >= EARLY_PROOFS_MAX:
                raise Refused("fork-proof", "too many of unknown feeds")
            early.append(proof)
        return True

    def _judge_early(self, feed: bytes, taken: Taken) -> None:
        """They are kept until a commit froze the log (`freeze`), for this one may fail."""
        for proof in self._early.get(feed, ()):
            try:
                taken.forks.append(fork_in(proof, self._roster))
                taken.facts.append(proof)
            except Refused as refused:
                taken.counts[refused.reason] += 1
        if not taken.forks:
            self._early.pop(feed, None)

    def _fact(self, entry: Entry) -> Fact | None:
        assert entry.body
        if entry.body[0] == BODY_CONTROL:
            return decode_control(entry, self._control_keys)
        return feed_certificate_fact(entry) if entry.body[0] == BODY_FEED_CERTIFICATE else None


def _lives(entry: Entry, believed_s: int) -> bool:
    """By its author's clock; what that dates beyond all belief would live for ever, and nobody could ever settle it."""
    return entry.time_ms <= (believed_s + AHEAD_S_MAX) * 1_000 and believed_s * 1_000 < expires_ms(
        entry.time_ms, entry.ttl
    )
