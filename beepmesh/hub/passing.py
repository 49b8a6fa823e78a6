"""What passes on a hub's links: entries in all, and bytes by device until somebody writes them down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from beepmesh.events import LinkUp, PeerLeft, Told
from beepmesh.port import Traffic


class Passing:
    """`peers`: the devices linked now. `traffic`: what passed on a link of theirs, or of one that has just left."""

    def __init__(self, peers: Callable[[], Mapping[bytes, LinkUp]], traffic: Callable[[int], Traffic]) -> None:
        self._peers = peers
        self._traffic = traffic
        self._ended_sent = self._ended_received = 0
        self._untaken: Counter[bytes] = Counter()
        self._seen: dict[int, int] = {}
        """By link, the bytes of it that are among the untaken, or were taken."""

    def told(self, told: Told) -> None:
        """A link has ended: what passed on it is known once more only."""
        if isinstance(told, PeerLeft):
            passed = self._traffic(told.link)
            self._ended_sent += passed.sent_entries
            self._ended_received += passed.received_entries
            self._untaken[told.device] += passed.sent_bytes - self._seen.pop(told.link, 0)

    def entries(self) -> tuple[int, int]:
        """Sent and received since the hub began, repeats included."""
        passing = [self._traffic(up.link) for up in self._peers().values()]
        sent = sum(one.sent_entries for one in passing)
        received = sum(one.received_entries for one in passing)
        return self._ended_sent + sent, self._ended_received + received

    def take(self) -> dict[bytes, int]:
        """By device, the bytes that were sent to it since this was asked last."""
        for device, up in self._peers().items():
            sent = self._traffic(up.link).sent_bytes
            self._untaken[device] += sent - self._seen.get(up.link, 0)
            self._seen[up.link] = sent
        taken, self._untaken = dict(+self._untaken), Counter()
        return taken
