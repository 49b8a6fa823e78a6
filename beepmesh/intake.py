"""Runs from other nodes: what is taken, what is refused and why. Decides only; the engine commits.

Laws
1. A run is taken whole or refused whole, with one named reason. Left off is only what stands beyond the cut of a
   revoked feed (whoever took it before the revocation came hands it on in good faith), what lacks its body (law 6), and
   what could not be handed on from here (proving.py). Nothing is taken, and no message opened, before signatures vouch
   for it. They are checked between `judge` and `take`, for many runs together; on lane 0 at once, for its facts count.
2. Nothing is taken from a feed that no certificate of this organisation vouches for. A feed's certificate is the
   body of its lane 0, seq 0, so a stranger's first entry is judged by what it carries.
3. What is taken but not yet durable counts as held for the next run (`_ahead`), and as nothing if the commit fails.
   What is judged and not yet proved (`_hoped`) counts for judging only: if it falls, so does what was linked to it.
4. A fact that is false does not make its entry false: the entry is kept for others, the fact is counted and dropped.
5. What the roster has learned from a run that was not kept is learned, and written, again when it comes again.
6. An entry that still lives is taken with its body or not at all: what is settled is never asked for again, so whoever
   left the body off, out of malice or by a clock that ran ahead, would take the message from its reader.
7. A proof of a fork waits for the certificate of its feed, within a bound: the two travel in different logs.
8. What contradicts our newest entry is handed to the store, which makes a proof of it, and to nobody else.
9. A delivery token is taken from whoever brings it, as far as its entry might be; a run with a false one is refused.
   Tokens are not linked, so nothing of prev, holes and forks concerns them, and their logs are never frozen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from beepmesh.author import BODY_CONTROL, BODY_ENVELOPE, BODY_FEED_CERTIFICATE, decode_control, feed_certificate_fact
from beepmesh.errors import Refused
from beepmesh.forks import feed_of, fork_in
from beepmesh.messages.entry import NO_PREV, SEQ_MAX, Entry, unpack_run
from beepmesh.messages.lifetimes import LANE_URGENT, expires_ms
from beepmesh.messages.token import Token, unpack_token, verify_token
from beepmesh.proving import Offer, Proof
from beepmesh.store.contract import Fork
from beepmesh.trust.clock import AHEAD_S_MAX
from beepmesh.trust.facts import FORK_PROOF, Fact
from beepmesh.trust.roster import FeedInfo, Roster
from sync.logs import LogId, LogState
from sync.ranges import Ranges

CERTIFICATE_GRACE_S: Final = 30 * 86_400  # An expired device may still relay and be read for 30 days (crypto.md 5.9).
EARLY_PROOFS_MAX: Final = 256  # Of feeds that nobody has vouched for yet; 0.5 kB each.
_NOTHING: Final = LogState(Ranges(), b"")
# Runs refused on one link before it is closed: a peer that checks would have refused them.
REFUSALS_MAX: Final = 64
# Except for these: a peer may have taken such entries before it could know - that the author was put out, or whoever
# vouched for him - or have erased their bodies by a clock that ran ahead; where two push the same log at once, each
# builds on what the other one had not sent yet; and signatures may have been spoiled before they came to him.
BLAMELESS: Final = frozenset(
    {"log-frozen", "feed-revoked", "unknown-feed", "certificate-expired", "body-missing", "no-predecessor"}
    | {"signature-spoiled", "fork-unproved"}
)

_Said = TypeVar("_Said", Entry, Token)


@dataclass(slots=True)
class Taken:
    """What one run brought: new entries, those at places that are held, facts for the roster, and trouble."""

    entries: list[Entry] = field(default_factory=list)
    overlapping: list[Entry] = field(default_factory=list)
    """Entries beside, or at, places that are held already: the store tells repeats from forks."""
    proved: frozenset[bytes] = frozenset()
    """Ids of new entries whose own signature is good."""
    mended: list[Entry] = field(default_factory=list)
    """Of the overlapping ones those whose own signature is good: the held ones may be spoiled."""
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
        self._hoped: dict[LogId, LogState] = {}
        self._early: dict[bytes, list[Fact]] = {}

    def judge(self, log: LogId, start: int, prev: bytes | None, packed: Sequence[bytes], believed_s: int) -> Offer:
        """Everything about one run but its signatures. Raises Refused with the reason for which it is left out."""
        if log in self._frozen:
            raise Refused("log-frozen")
        state = self._hoped.get(log) or self._state(log)
        link = self._predecessor(state, start, prev)
        entries = unpack_run(packed, feed=log.feed, lane=log.lane, start=start, prev=link)
        feed = self._roster.feed(log.feed) or self._introduce(log, entries)
        self._permit_lane(feed, log)
        counts: Counter[str] = Counter()
        kept = self._with_bodies(self._within_cut(feed, log, entries, counts), counts, believed_s)
        first, newest, settled = entries[0], entries[-1], state.settled
        each = (
            log.lane == LANE_URGENT
            or len(kept) < len(entries)
            or (start > 0 and start - 1 not in settled)
            or _contradicts(state, first)
        )
        held = self._states.get(log, _NOTHING).settled
        overlapping: tuple[Entry, ...] = ()
        if settled.meets(start, newest.seq):
            overlapping = tuple(entry for entry in entries[:-1] if entry.seq in settled)
        self._hoped[log] = LogState(
            settled.add(start, newest.seq + 1), newest.id if newest.seq >= settled.top else state.tip
        )
        return Offer(
            log, start, prev is not None, feed.public, tuple(entries), tuple(kept), counts, each,
            checked=tuple(kept) if each else overlapping, edge=newest.seq + 1 in held, size=sum(map(len, packed)),
        )  # fmt: skip

    def take(self, offer: Offer, proof: Proof, believed_s: int) -> Taken:
        """One run, judged before, when its signatures have been checked. Raises Refused as `judge` does."""
        log = offer.log
        self._hoped.pop(log, None)
        state = self._state(log)
        self._follow(state, offer)
        taken = Taken(counts=offer.counts)
        entries = self._proved(offer, proof, taken)
        if _contradicts(state, offer.entries[0]):
            return self._contradiction(offer, proof, taken)
        settled = state.settled
        for entry in entries:
            (taken.overlapping if entry.seq in settled else taken.entries).append(entry)
        taken.proved = proof.good.intersection(entry.id for entry in taken.entries)
        # Only what is durable: of two copies in one batch the store would keep one and be told of the other.
        durable = self._states.get(log, _NOTHING).settled
        taken.mended = [entry for entry in taken.overlapping if entry.id in proof.good and entry.seq in durable]
        for entry in taken.entries:
            self._control(entry, taken)
        self._permit_date(log, entries[-1], believed_s)
        self._judge_early(log.feed, taken)
        tip = entries[-1].id if entries[-1].seq >= state.settled.top else state.tip
        self._ahead[log] = LogState(_with(settled, entries), tip)
        return taken

    def take_tokens(
        self, log: LogId, start: int, packed: Sequence[bytes], believed_s: int, counts: Counter[str]
    ) -> list[Token]:
        """What is new of a run of a token log; all of it is true. Raises Refused, and then none of it is taken."""
        if start + len(packed) - 1 > SEQ_MAX:
            raise Refused("token-malformed", "a sequence number out of range")
        tokens = [unpack_token(data, log, seq) for seq, data in enumerate(packed, start)]
        spoken_of = tokens[0].log
        feed = self._roster.feed(spoken_of.feed)
        if feed is None:
            raise Refused("unknown-feed")
        self._permit_lane(feed, spoken_of)
        tokens = self._within_cut(feed, spoken_of, tokens, counts)
        self._permit_date(spoken_of, tokens[-1], believed_s)
        known = self._states.get(log, _NOTHING).settled
        new = [token for token in tokens if token.seq not in known]
        if not all(verify_token(feed.public, token) for token in new):
            raise Refused("token-false", f"of {spoken_of}")
        return new

    def repeats(self, log: LogId, start: int, stop: int) -> bool:
        """Whether all of a run that names no predecessor is durable already: it came over another link meanwhile."""
        settled = self._states.get(log, _NOTHING).settled
        return 0 < start < settled.top and settled.covers(start, stop)

    def committed(self) -> None:
        """What was ahead is durable, or gone: in both cases the shared states say so now."""
        self._ahead.clear()

    def freeze(self, log: LogId) -> None:
        """Two entries of one place are known: nothing more is taken from this log."""
        self._frozen.add(log)
        self._early.pop(log.feed, None)

    def _state(self, log: LogId) -> LogState:
        return self._ahead.get(log) or self._states.get(log, _NOTHING)

    def _predecessor(self, state: LogState, start: int, prev: bytes | None) -> bytes:
        if start == 0:
            return NO_PREV
        if prev is not None:
            return prev
        if start != state.settled.top or not state.tip:
            raise Refused("no-predecessor", f"seq {start}")
        return state.tip

    def _follow(self, state: LogState, offer: Offer) -> None:
        """What was judged may have been linked to something that fell."""
        first = offer.entries[0]
        if not first.seq:
            return
        inferred = first.seq == state.settled.top and state.tip == first.prev
        if not (inferred or offer.prev_said) or not (offer.each or first.seq - 1 in state.settled):
            raise Refused("no-predecessor", f"seq {first.seq}")

    def _proved(self, offer: Offer, proof: Proof, taken: Taken) -> Sequence[Entry]:
        """What is taken of it, by the laws of proving.py."""
        entries: Sequence[Entry] = offer.kept if proof.vouched else ()
        if offer.each:
            entries = [entry for entry in offer.kept if entry.id in proof.good]
        if not entries:
            if offer.edge:  # Whoever fills a hole in good faith relies on what is above it, and we may have lost that.
                raise Refused("signature-spoiled", f"seq {offer.start}")
            raise Refused("bad-signature", f"seq {offer.start}")
        if len(entries) < len(offer.kept):
            taken.counts["bad-signature"] += 1
        return entries

    def _contradiction(self, offer: Offer, proof: Proof, taken: Taken) -> Taken:
        """The author has signed two different entries for the place below: the lowest of the run shows it (law 8)."""
        first = offer.entries[0]
        if offer.log in self._ahead:
            raise Refused("broken-link", f"seq {first.seq}")  # Not even durable: there is nothing to show yet.
        if first.id not in proof.good:
            raise Refused("fork-unproved", f"seq {first.seq}")
        taken.overlapping.append(first)
        return taken

    def _introduce(self, log: LogId, entries: Sequence[Entry]) -> FeedInfo:
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
        return feed

    def _permit_lane(self, feed: FeedInfo, log: LogId) -> None:
        if feed.kind == "control" and log.lane != 0:
            raise Refused("wrong-lane", f"lane {log.lane} of a control feed")
        if log.lane == 3:
            raise Refused("wrong-lane", "bulk comes only when asked for")

    def _within_cut(self, feed: FeedInfo, log: LogId, entries: list[_Said], counts: Counter[str]) -> list[_Said]:
        cut = feed.last_good(log.lane)
        if cut is None or entries[-1].seq <= cut:
            return entries
        good = [entry for entry in entries if entry.seq <= cut]
        if not good:
            raise Refused("feed-revoked", f"seq {entries[0].seq} after {cut}")
        counts["feed-revoked"] += 1
        return good

    def _with_bodies(self, entries: list[Entry], counts: Counter[str], believed_s: int) -> list[Entry]:
        """Without those whose body should still be there (law 6)."""
        good = [entry for entry in entries if entry.body is not None or not _lives(entry, believed_s)]
        if not good:
            raise Refused("body-missing", f"seq {entries[0].seq}")
        if len(good) < len(entries):
            counts["body-missing"] += 1
        return good

    def _permit_date(self, log: LogId, newest: Entry | Token, believed_s: int) -> None:
        """By the newest certificate, which may stand in this very run."""
        feed = self._roster.feed(log.feed)
        written_s = min(newest.time_ms // 1000, believed_s)
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


def _contradicts(state: LogState, first: Entry) -> bool:
    """Whether a run that begins so names another predecessor than our newest entry."""
    return 0 < first.seq == state.settled.top and bool(state.tip) and state.tip != first.prev


def _with(settled: Ranges, entries: Sequence[Entry]) -> Ranges:
    first, last = entries[0].seq, entries[-1].seq
    if last - first + 1 == len(entries):
        return settled.add(first, last + 1)
    return settled.union(Ranges.of(*((entry.seq, entry.seq + 1) for entry in entries)))


def _lives(entry: Entry, believed_s: int) -> bool:
    """By its author's clock; what that dates beyond all belief would live for ever, and nobody could ever settle it."""
    return entry.time_ms <= (believed_s + AHEAD_S_MAX) * 1_000 and believed_s * 1_000 < expires_ms(
        entry.time_ms, entry.ttl
    )
