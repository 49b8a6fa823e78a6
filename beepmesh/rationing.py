"""Which mail is pushed on which link. What decides is carrying.py; here stand the questions and answers.

A session asks before it pushes anything of a rationed lane (`withheld`). What that takes and is not known yet is asked
for: the crowds of what is held, of the store; the peer's view, of the peer. Then the session is told to ask again.

Records between owners (introduction.py), after the proof: `00 | view` this is mine, tell me yours; `01 | view` mine.
Whoever has asked and is asked before he is answered has both: what crosses his question answers it, and he need not.

Laws
1. What a peer tells makes a difference to mail that names a crowd only; one that never answers is given none of it, nor
   what stands above it in its log.
2. What is withheld is weighed again when the peer tells a view. It is asked for one every VIEW_AGE_S, and on a link
   that stands this counts as another meeting: so withheld mail earns gifts where nobody comes or goes, too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from beepmesh.carrying import Carrying, View, pack_view, read_view
from beepmesh.crypto.seal import crowd_of_body
from beepmesh.errors import Refused
from beepmesh.events import LinkId
from beepmesh.messages.entry import Entry
from beepmesh.messages.lifetimes import LANE_LATER, LANE_MESSAGES
from beepmesh.metering import Meter
from beepmesh.trust.crowds import NOBODY, Crowds
from sync.logs import LogId
from sync.ranges import NOTHING, Ranges, Span

VIEW_AGE_S: Final = 600.0  # How long a view is believed on one link.
ASKED_AGAIN_S: Final = 1.0  # Sooner after the last one a view is answered, and nothing is weighed again for it.
HISTORY_S: Final = 600.0  # How much of the history of meetings a crash may cost.
TAGS_MAX: Final = 65_536  # Entries whose crowd is kept in memory, some 6 MB; of others the store is asked.
RATIONED_LANES: Final = frozenset({LANE_MESSAGES, LANE_LATER})
_ASK, _ANSWER = 0, 1

Tags = Mapping[int, int]
"""By seq of one log, the crowd of each envelope that is held."""


class Questions(NamedTuple):
    """What has to be known before it is weighed again what a session may push."""

    record: bytes
    """For the peer; or empty."""
    spans: tuple[tuple[LogId, Span], ...]
    """Of which logs the store should say the crowds."""


@dataclass(slots=True)
class _Peer:
    device: bytes
    met_at: float
    view: View | None = None
    told_at: float = 0.0
    asked: bool = False
    """We asked for its view, and wait."""
    asks: bool = False
    """We have to."""
    unread: dict[LogId, Span] = field(default_factory=dict)
    withholds: bool = False


class Rationing:
    """All links of a node. `own`: the feed that this device writes. `crowds`: as they are known by now."""

    def __init__(self, carrying: Carrying, own: bytes, crowds: Callable[[], Crowds]) -> None:
        self._carrying = carrying
        self._own = own
        self._crowds = crowds
        self._peers: dict[LinkId, _Peer] = {}
        self._tags = _Tags()
        self.asking: dict[LinkId, None] = {}
        """The links for which there are `questions`."""
        self._kept_at = 0.0
        self.metered: dict[LinkId, Meter] = {}
        """The budgets of links that have one. The shell keeps it; what is withheld for them waits for a new link."""

    def open(self, link: LinkId, device: bytes, now: float) -> None:
        """A member is at the other end."""
        self._peers[link] = _Peer(device, now)
        self._carrying.met(self._crowds().of(device), now)

    def close(self, link: LinkId) -> None:
        self._peers.pop(link, None)

    def withheld(self, link: LinkId, log: LogId, start: int, stop: int, now: float) -> Ranges | None:
        """What of this span may not be pushed there for now; None: not known yet, see `questions`."""
        meter = self.metered.get(link)
        if meter is not None and not meter.allows(log.lane):
            return Ranges.of((start, stop))
        peer = self._peers.get(link)
        if log.lane not in RATIONED_LANES or peer is None:
            return NOTHING
        tags = self._tags.of(log, start, stop)
        if tags is None:
            peer.unread[log] = start, stop
            self.asking[link] = None
            return None
        view = peer.view if now < peer.told_at + VIEW_AGE_S else None
        own, large = log.feed == self._own, log.lane == LANE_LATER
        withheld: list[Span] = []
        for seq, crowd in self._outside(peer, tags, start, stop):
            gives = self._carrying.gives((log, seq), crowd, peer.device, view, own=own, large=large)
            if gives is None:
                if not peer.asked:
                    peer.asks = True
                    self.asking[link] = None
                return None
            if not gives:
                withheld.append((seq, seq + 1))
        peer.withholds = peer.withholds or bool(withheld)
        return Ranges.of(*withheld) if withheld else NOTHING

    def questions(self) -> Iterator[tuple[LinkId, Questions]]:
        """What is to be asked since it was last looked at."""
        asking, self.asking = self.asking, {}
        for link in asking:
            if (peer := self._peers.get(link)) is not None:
                spans, peer.unread = tuple(peer.unread.items()), {}
                yield link, Questions(self._ask(peer) if peer.asks else b"", spans)

    def tagged(self, spans: Iterable[tuple[LogId, Span]], tags: Iterable[Tags]) -> None:
        """The store has answered."""
        for (log, (start, stop)), found in zip(spans, tags, strict=True):
            self._tags.learn(log, start, stop, found)

    def came(self, entries: Iterable[Entry]) -> None:
        """These have been written; what is known of them need not be asked."""
        for entry in entries:
            if entry.lane in RATIONED_LANES and entry.body is not None:
                crowd = int.from_bytes(crowd_of_body(entry.body))
                self._tags.learn(entry.log, entry.seq, entry.seq + 1, {entry.seq: crowd})

    def taken(self, link: LinkId, log: LogId, start: int, stop: int) -> None:
        """The peer has settled these of what was pushed to it."""
        peer = self._peers.get(link)
        if peer is None or peer.view is None or log.lane not in RATIONED_LANES:
            return
        for seq, crowd in self._outside(peer, self._tags.of(log, start, stop) or {}, start, stop):
            self._carrying.gave((log, seq), crowd, peer.device, peer.view)

    def receive(self, link: LinkId, record: bytes, now: float) -> tuple[bytes, bool]:
        """Our answer, or nothing; and whether it is to be weighed anew what the peer is given. Raises
        Refused("view-malformed")."""
        peer = self._peers.get(link)
        if peer is None:
            return b"", False
        if record[0] == _ANSWER and not peer.asked:
            raise Refused("view-malformed", "nobody asked")
        view, answer = read_view(record[1:]), b""
        if record[0] == _ASK and not peer.asked:
            answer = bytes((_ANSWER,)) + pack_view(self._carrying.view)
            if peer.view is not None and now < peer.told_at + ASKED_AGAIN_S:
                return answer, False
        peer.view, peer.told_at, peer.asked = view, now, False
        peer.withholds = False
        crowd = self._crowds().of(peer.device)
        if now >= peer.met_at + VIEW_AGE_S:
            peer.met_at = now
            self._carrying.met(crowd, now)
        self._carrying.heard(crowd, peer.view)
        return answer, True

    def overdue(self, now: float) -> dict[LinkId, bytes]:
        """By link, the question to ask a peer once more, since it is long ago that it was weighed what to give it."""
        late = [link for link in self._peers if self._due(link) <= now]
        return {link: self._ask(self._peers[link]) for link in late}

    @property
    def next_due(self) -> float:
        """When `overdue` should be looked at."""
        return min(map(self._due, self._peers), default=float("inf"))

    def history_due(self, now: float) -> bytes:
        """What is to be kept of our meetings, now and then; else nothing."""
        if now < self._kept_at + HISTORY_S:
            return b""
        self._kept_at = now
        return self._carrying.encode(now)

    def _outside(self, peer: _Peer, tags: Tags, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Of this span what names a crowd that the peer is not of, by seq."""
        crowds = self._crowds()
        for seq in range(start, stop):
            crowd = tags.get(seq, NOBODY)
            if crowd != NOBODY and not crowds.has(crowd, peer.device):
                yield seq, crowd

    def _due(self, link: LinkId) -> float:
        peer = self._peers[link]
        return peer.told_at + VIEW_AGE_S if peer.withholds and not peer.asked else float("inf")

    def _ask(self, peer: _Peer) -> bytes:
        peer.asks, peer.asked = False, True
        return bytes((_ASK,)) + pack_view(self._carrying.view)


class _Tags:
    """The crowds of entries, by log; the log that was of use longest ago is forgotten first."""

    def __init__(self) -> None:
        self._logs: OrderedDict[LogId, tuple[Ranges, dict[int, int]]] = OrderedDict()
        self._count = 0

    def of(self, log: LogId, start: int, stop: int) -> Tags | None:
        """Of the whole log; None where this span is not known."""
        found = self._logs.get(log)
        if found is None or not found[0].covers(start, stop):
            return None
        self._logs.move_to_end(log)
        return found[1]

    def learn(self, log: LogId, start: int, stop: int, tags: Tags) -> None:
        known, held = self._logs.pop(log, (NOTHING, {}))
        self._count -= len(held)
        held.update((seq, crowd) for seq, crowd in tags.items() if crowd != NOBODY)
        self._count += len(held)
        self._logs[log] = known.add(start, stop), held
        while self._count > TAGS_MAX and len(self._logs) > 1:
            _, (_, forgotten) = self._logs.popitem(last=False)
            self._count -= len(forgotten)


def is_view(record: bytes) -> bool:
    """Whether a record between owners is for `Rationing.receive`."""
    return record[:1] in (bytes((_ASK,)), bytes((_ANSWER,)))
