"""Which name stands for which log on the wire, for each direction of one session.

Law 1: a mention gets the next number of its direction, and from then on that number is the log's name there. Both ends
       count alike: in the order of records, inside STATES in the order of its block. A VECTOR mentions nothing, nor
       does the delta of a HELLO, which leaves before its sender knows whether it will be read.
Law 2: a feed of the organisation's list is named by its number only where both ends know that much of the same list.
Law 3: a tag is used only for a feed that the peer has settled something of, so it always finds it; in a delta, for one
       that it had as we remember, and if it does not find that one our memory is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from sync.frontier import Frontier
from sync.limits import LOGS_MAX
from sync.logs import LogId
from sync.octets import RemoteProtocolError
from sync.refs import TAG_BYTES, Listed, LogRef, StateRef, Tagged

_AMBIGUOUS: Final = b""


def tag(feed: bytes, salt: bytes) -> bytes:
    """5 B that stand for a feed on one link. Whoever chooses his feed cannot know the salt of a link to come."""
    return sha256(b"beepmesh/tag/2" + salt + feed).digest()[:TAG_BYTES]


class Names:
    """Both tables; each holds LOGS_MAX mentions at most, and later logs are named anew each time."""

    def __init__(self, frontier: Frontier, salt: bytes) -> None:
        self.feeds = frontier.feeds
        """The organisation's list, as it was called when the session began; it may grow, and be replaced."""
        self.known = len(self.feeds)
        self.shared = 0
        """Feeds of it that both know."""
        self._frontier = frontier
        self._salt = salt
        self._ours: dict[LogId, int] = {}
        self._theirs: dict[LogId, int] = {}
        self._their_logs: list[LogId] = []
        self._tagged: dict[bytes, bytes] = {}
        self._tagged_logs = -1

    # What we say.

    def in_order(self, logs: Iterable[LogId]) -> list[LogId]:
        """As a block of states has them: listed feeds by (lane, number), then the others by (lane, feed)."""
        return sorted(logs, key=self._place)

    def is_listed(self, log: LogId) -> bool:
        """Whether it goes by its number in the list."""
        number = self.feeds.number(log.feed)
        return number is not None and number < self.shared

    def told(self, log: LogId, *, tagged: bool) -> StateRef:
        """The name of a log inside a block of states."""
        number = self.feeds.number(log.feed)
        if number is not None and number < self.shared:
            return Listed(number, log.lane)
        return Tagged(tag(log.feed, self._salt), log.lane) if tagged else log

    def mention(self, log: LogId, *, tagged: bool = False) -> LogRef:
        """The name of a log in any other record. Records must leave in the order in which their logs were mentioned."""
        number = self._ours.get(log)
        if number is not None:
            return number
        self.mentioned((log,))
        return self.told(log, tagged=tagged)

    def mentioned(self, logs: Iterable[LogId]) -> None:
        """We have told these, in this order."""
        for log in logs:
            if len(self._ours) < LOGS_MAX:
                self._ours.setdefault(log, len(self._ours))

    # What the peer says.

    def resolve(self, ref: LogRef) -> LogId:
        """The log the peer means. Raises RemoteProtocolError: log-unknown, tag-ambiguous."""
        if isinstance(ref, int):
            if ref >= len(self._their_logs):
                raise RemoteProtocolError("log-unknown", f"mention {ref} of {len(self._their_logs)}")
            return self._their_logs[ref]
        log = self.named(ref)
        self.heard((log,))
        return log

    def named(self, ref: StateRef) -> LogId:
        """The same for a block of states; it mentions nothing. Raises RemoteProtocolError as `resolve`."""
        match ref:
            case Listed(number, lane):
                if number >= self.known:
                    raise RemoteProtocolError("log-unknown", f"feed {number} of {self.known}")
                return LogId(self.feeds.feed(number), lane)
            case Tagged(name, lane):
                return LogId(self._feed_tagged(name), lane)
            case _:
                return ref

    def heard(self, logs: Iterable[LogId]) -> None:
        """The peer has told these, in this order."""
        for log in logs:
            if log not in self._theirs and len(self._their_logs) < LOGS_MAX:
                self._theirs[log] = len(self._their_logs)
                self._their_logs.append(log)

    def _place(self, log: LogId) -> tuple[bool, int, int, bytes]:
        number = self.feeds.number(log.feed)
        if number is None or number >= self.shared:
            return True, log.lane, 0, log.feed
        return False, log.lane, number, log.feed

    def _feed_tagged(self, name: bytes) -> bytes:
        feed = self._tagged.get(name)
        if feed is None and self._tagged_logs != len(self._frontier.states):
            self._read_tags()
            feed = self._tagged.get(name)
        if feed is None:
            raise RemoteProtocolError("log-unknown", "a tag")
        if feed == _AMBIGUOUS:
            raise RemoteProtocolError("tag-ambiguous")
        return feed

    def _read_tags(self) -> None:
        self._tagged_logs = len(self._frontier.states)
        self._tagged.clear()
        for feed in {log.feed for log in self._frontier.states}:
            name = tag(feed, self._salt)
            self._tagged[name] = _AMBIGUOUS if name in self._tagged else feed
