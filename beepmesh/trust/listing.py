"""The organisation's list of feeds: who keeps it, which of its pages count, and which feeds are due for the next one.

Whoever knows the list may name a log on the wire by its feed's place in it, in 1 to 3 bytes and not 17. A page is a
statement (kind 5, `facts.py`) that adds feeds at the end of the list.

Laws
1. The keeper is the founder's device: the root gave its registrar certificate the role hq, and by law 4 of the roster
   the serial of that certificate is the first half of the device's id. Of several, the one whose first certificate
   begins earliest, then the lowest serial. The keeper's log begins with that certificate, so it is known before any
   page is, and nothing that comes later moves the keeper but another word of the root.
2. Pages count from the keeper's control feed alone, in the order of their seqs, each from where the list ends just
   then. So the list follows from which pages are known, never from when they came; and whoever knows fewer entries of
   the keeper's log knows a beginning of the same list.
3. The list only grows. Feeds that were revoked or have expired keep their numbers.
4. Nothing but the length of names depends on the list. A keeper that is lost or revoked, or that has not been heard
   of, adds nothing more: feeds outside the list are named in full. Nobody takes the keeper's place, since two nodes
   could not know alike that he is gone.
5. A keeper that signs two lists has to write two entries at one place: the proof of that fork freezes his log. Nodes
   that have heard one page each see it by `FeedList.check`, and name in full what they do not share. Pages at other
   places that contradict those before them are skipped by everybody.
6. Sessions also name the logs of tokens by it (`Listing.names`): their feeds follow from the listed ones, so nobody
   writes them down. Beyond 16,384 feeds, when their numbers would run out, these and later feeds are named in full.
7. The list says no more about who writes a message feed than its certificate does: see `due`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.certificates import DAY_S, FeedCertificate, RegistrarCertificate
from beepmesh.errors import Refused
from beepmesh.messages.token import TOKEN_LANES, token_log
from beepmesh.trust.facts import FEED_PAGE_FEEDS_MAX
from sync.feeds import FeedList
from sync.limits import LOGS_MAX
from sync.logs import LogId

EARLY_PAGES_MAX: Final = 256  # Pages held that do not count, or not yet: 0.5 MB, and more than one meeting leaves out.
MESSAGE_FEEDS_MIN: Final = 4  # Message feeds are listed so many at once, or wait.

_START_BYTES: Final = 4
_FEED_BYTES: Final = 16


@dataclass(frozen=True, slots=True, order=True)
class Page:
    """Feeds (16 B each) and the number of the first one."""

    start: int
    feeds: tuple[bytes, ...]

    def encode(self) -> tuple[bytes, bytes]:
        """(start, feeds), as `facts.feed_page_data` takes them."""
        return self.start.to_bytes(_START_BYTES), b"".join(self.feeds)


def page_of(start: bytes, feeds: bytes) -> Page:
    """What a feed page says. Raises Refused("feed-page")."""
    count, rest = divmod(len(feeds), _FEED_BYTES)
    if len(start) != _START_BYTES or rest or not 1 <= count <= FEED_PAGE_FEEDS_MAX:
        raise Refused("feed-page", f"{len(start)} and {len(feeds)} B")
    page = Page(int.from_bytes(start), _cut(feeds))
    if page.start + count > LOGS_MAX:
        raise Refused("feed-page", f"beyond {LOGS_MAX} feeds")
    return page


class Listing:
    """The fold over registrar certificates and pages."""

    def __init__(self) -> None:
        self.feed_list = FeedList()
        """Grows in place; only contradicting words of the keeper, or another keeper, ever put a new one here."""
        self.names = FeedList()
        """The same for sessions: behind the feeds of each page those under which their tokens are reconciled."""
        self._begins: dict[bytes, int] = {}  # by serial of a registrar certificate with the role hq, the earliest
        self._keeper: bytes | None = None
        self._held: dict[bytes, dict[int, Page]] = {}  # by serial of who wrote them, and seq
        self._last = -1  # the keeper's last page held
        self._counted: list[Page] = []

    def keeps(self, serial: bytes) -> bool:
        """Whether this is the keeper, by the first half of its device's id."""
        return serial == self._keeper

    def may_keep(self, serial: bytes) -> bool:
        """Whether the root gave it the role for which it could be the keeper."""
        return serial in self._begins

    def learn_registrar(self, certificate: RegistrarCertificate) -> None:
        if "hq" not in certificate.roles:
            return
        known = self._begins.get(certificate.serial, certificate.not_before)
        self._begins[certificate.serial] = min(known, certificate.not_before)
        keeper = min(self._begins, key=lambda serial: (self._begins[serial], serial))
        if keeper != self._keeper:
            self._keeper = keeper
            self._fold()

    def learn_page(self, serial: bytes, seq: int, page: Page) -> bool:
        """Whether the list has grown. Raises Refused("feed-page") where too many pages wait for others."""
        held = self._held.get(serial, {})
        if seq in held and held[seq] <= page:  # One place has one page, the same one whichever came first.
            return False
        fits = serial == self._keeper and page.start == len(self.feed_list)
        early = sum(map(len, self._held.values())) - len(self._counted)
        if early >= EARLY_PAGES_MAX and not fits:
            raise Refused("feed-page", "too many early")
        self._held.setdefault(serial, {})[seq] = page
        known = len(self.feed_list)
        if serial == self._keeper:
            if seq <= self._last:
                self._fold()
            elif fits:
                self._count(page)
            self._last = max(seq, self._last)
        return len(self.feed_list) > known

    def _fold(self) -> None:
        counting: list[Page] = []
        length = 0
        held = self._held.get(self._keeper or b"", {})
        for _, page in sorted(held.items()):
            if page.start == length:
                counting.append(page)
                length += len(page.feeds)
        if counting[: len(self._counted)] != self._counted:
            self.feed_list, self.names, self._counted = FeedList(), FeedList(), []
        for page in counting[len(self._counted) :]:
            self._count(page)
        self._last = max(held, default=-1)

    def _count(self, page: Page) -> None:
        self.feed_list.grow(page.feeds)
        logs = [LogId(feed, lane) for feed in page.feeds for lane in TOKEN_LANES]
        named = [*page.feeds, *(token_log(log).feed for log in logs)]
        if len(self.names) + len(named) <= LOGS_MAX:
            self.names.grow(named)
        self._counted.append(page)


def due(
    feed_list: FeedList, control: Iterable[bytes], message: Iterable[FeedCertificate] | None, today: int
) -> tuple[Page, ...]:
    """The pages that the keeper owes: these feeds where they are not listed. today: days since 1970.

    `message` is None where message feeds were listed today already. Control feeds are due at once: who is in the
    organisation is no secret among members. A message feed must not be tied to the control feed that came with it, and
    its certificate keeps only the day. So it waits until that day is over, and is then listed with all others that
    wait, at least four, once a day: the list tells the day, too, and hides a late one among those of the day on which
    the keeper heard of it. Sorted by id, no page has an order of its own.
    """
    waiting = [
        certificate.feed
        for certificate in message or ()
        if certificate.not_before // DAY_S < today and feed_list.number(certificate.feed) is None
    ]
    fresh = {feed for feed in control if feed_list.number(feed) is None}
    if len(waiting) >= MESSAGE_FEEDS_MIN:
        fresh.update(waiting)
    known = len(feed_list)
    feeds = sorted(fresh)[: LOGS_MAX - known]
    return tuple(
        Page(known + at, tuple(feeds[at : at + FEED_PAGE_FEEDS_MAX]))
        for at in range(0, len(feeds), FEED_PAGE_FEEDS_MAX)
    )


def _cut(feeds: bytes) -> tuple[bytes, ...]:
    return tuple(feeds[at : at + _FEED_BYTES] for at in range(0, len(feeds), _FEED_BYTES))
