"""The organisation's append-only list of feeds: a short number for each, the same at every node that knows it.

Law: a list only ever grows at its end, so two nodes agree on all that both know. `check` shows where they would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

CHECK_BYTES: Final = 2


class FeedList:
    """Feeds (16 B each) by number, grown a page at a time."""

    def __init__(self) -> None:
        self._feeds: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        self._checks: dict[int, bytes] = {0: bytes(32)}

    def __len__(self) -> int:
        return len(self._feeds)

    def grow(self, page: Sequence[bytes]) -> None:
        """Add a page. A feed that is listed already keeps its first number and takes up a second one."""
        before = self._checks[len(self._feeds)]
        for feed in page:
            assert len(feed) == 16
            self._numbers.setdefault(feed, len(self._feeds))
            self._feeds.append(feed)
        self._checks[len(self._feeds)] = sha256(before + b"".join(page)).digest()

    def number(self, feed: bytes) -> int | None:
        """Its number, None for a feed that is not listed."""
        return self._numbers.get(feed)

    def feed(self, number: int) -> bytes:
        return self._feeds[number]

    def check(self, known: int) -> bytes | None:
        """What a node that knows so many feeds should say of them; None where no page ends there."""
        digest = self._checks.get(known)
        return None if digest is None else digest[:CHECK_BYTES]
