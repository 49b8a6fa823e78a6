"""The sessions of a node, one for each proved link, and what it keeps of each peer when a session ends.

Laws
1. A session begins when it is known what was kept of its peer; what the peer says before that waits for it.
2. What is kept is written with a commit that happens anyway, at most every KEEP_S, and when the link ends. Nothing
   depends on it but how much is said at the next meeting.
3. A peer that broke the protocol is not remembered by what it said last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from beepmesh.channel import RECORD_BYTES_MAX
from beepmesh.events import LinkId
from sync.frontier import Frontier
from sync.logs import LogId
from sync.memory import Memory
from sync.ranges import Ranges
from sync.session import Input, Output, Session, Started
from sync.sources import Sources

KEEP_S: Final = 60.0  # What a crash may cost: telling a minute's changes twice.
TRAFFIC_MAX: Final = 256  # Links whose count is kept, ended ones too until somebody asks.


@dataclass(slots=True)
class EntryTraffic:
    """Entries that passed on one link, repeats included."""

    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Talk:
    """One link's session, when it wants to be woken, how often it was refused something, what passed."""

    device: bytes
    salt: bytes
    traffic: EntryTraffic
    apart: bool = False
    """Whether the peer hears none of the others that we hear."""
    session: Session | None = None
    early: list[Input] = field(default_factory=list)
    wake: float | None = None
    refusals: int = 0
    kept_at: float = 0.0
    changed: bool = False
    """Whether both have agreed on something since it was kept."""

    def handle(self, event: Input, now: float) -> list[Output]:
        """What the session makes of it. What comes before it begins waits for it."""
        if self.session is None:
            self.early.append(event)
            return []
        return self.session.handle(event, now)


class Talks:
    """All of them."""

    def __init__(
        self,
        frontier: Frontier,
        watched: Collection[bytes],
        later: Callable[[LogId], bool],
        withholds: Callable[[LinkId, LogId, int, int], Ranges | None],
    ) -> None:
        self._frontier = frontier
        self._later = later
        self._withholds = withholds
        self._watched = tuple(watched)
        self._sources = Sources()
        self._talks: dict[LinkId, Talk] = {}
        self._unlisted: set[bytes] = set()
        self._traffic: dict[LinkId, EntryTraffic] = {}
        self._due_waits = False

    def __getitem__(self, link: LinkId) -> Talk:
        return self._talks[link]

    def get(self, link: LinkId) -> Talk | None:
        return self._talks.get(link)

    def __contains__(self, link: LinkId) -> bool:
        return link in self._talks

    def __iter__(self) -> Iterator[LinkId]:
        return iter(list(self._talks))

    def open(self, link: LinkId, device: bytes, salt: bytes, *, apart: bool) -> None:
        """A member is at the other end; `recalled` comes next."""
        while len(self._traffic) >= TRAFFIC_MAX:
            del self._traffic[next(iter(self._traffic))]
        self._talks[link] = Talk(device, salt, self._traffic.setdefault(link, EntryTraffic()), apart)

    def recalled(self, link: LinkId, memory: Memory | None, now: float) -> list[Input]:
        """What was kept of the peer: its session's first inputs. None if the link has ended meanwhile."""
        talk = self._talks.get(link)
        if talk is None or talk.session is not None:
            return []
        talk.session = Session(
            self._frontier,
            record_bytes_max=RECORD_BYTES_MAX,
            salt=talk.salt,
            memory=memory,
            sources=self._sources,
            number=link,
            watched=self._watched,
            listed=talk.device not in self._unlisted,
            later=self._later,
            withholds=partial(self._withholds, link),
            apart=talk.apart,
        )
        talk.kept_at = now
        early, talk.early = talk.early, []
        return [Started(), *early]

    @property
    def has_due(self) -> bool:
        """Whether `due` says anything. Asked after every event of a session."""
        return self._sources.has_due and not self._due_waits

    def due(self) -> dict[LinkId, list[LogId]]:
        """The logs that a session is the source of now, because another one has ended."""
        return {} if self._due_waits else self._sources.take_due()

    def before_due(self) -> Iterator[LinkId]:
        """All links; nothing is due while they are gone through. They hear that logs grew, and a session that looked at
        one of these before it hears that would take it that its peer has the new entries (sync/peer.py, law 2)."""
        self._due_waits = True
        try:
            yield from self
        finally:
            self._due_waits = False

    def close(self, link: LinkId, *, keep: bool = True) -> tuple[bytes, Memory] | None:
        """The link has ended; what to keep of its peer."""
        talk = self._talks.pop(link, None)
        self._sources.leave(link)
        memory = talk.session.memory() if talk is not None and talk.session is not None and keep else None
        return (talk.device, memory) if talk is not None and memory is not None else None

    def broke(self, link: LinkId, reason: str) -> None:
        """The peer broke the protocol; with one that knows another list the next session names every log in full."""
        talk = self._talks.get(link)
        if talk is not None and reason == "list-differs":
            self._unlisted.add(talk.device)
        self.close(link, keep=False)

    def close_all(self) -> None:
        """Without keeping anything: what the sessions believe is not what the disk holds."""
        for link in self:
            self.close(link, keep=False)

    def memories(self, now: float) -> dict[bytes, Memory]:
        """What to keep of the peers by the way."""
        kept: dict[bytes, Memory] = {}
        for talk in self._talks.values():
            if talk.changed and talk.session is not None and now >= talk.kept_at + KEEP_S:
                talk.kept_at, talk.changed = now, False
                memory = talk.session.memory()
                if memory is not None:
                    kept[talk.device] = memory
        return kept

    def take_traffic(self, link: LinkId) -> EntryTraffic:
        """What passed on that link; for one that has ended, only once."""
        if link in self._talks:
            return self._traffic.get(link, EntryTraffic())
        return self._traffic.pop(link, EntryTraffic())
