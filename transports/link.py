"""The contract of a link: whole records, in order, until it breaks; and of a transport, which hands links over.

Laws, the same for every kind of link (tests/contract/test_link_contract.py holds each one to them):
1. A record is 1..record_bytes_max bytes. It arrives whole, once and in order, or the link is broken.
2. A link that ends says so with LinkBroken on both sides, whatever the cause, and stays broken.
3. Records that arrived before the end are still handed out; records not yet sent may be lost. Nothing here is an
   acknowledgement: only the node above knows what is durable.
4. `send` waits while too much is unsent, and a send that was cancelled while waiting has sent nothing; `send_now` never
   waits, and where it declines it has sent nothing. `drained` waits until nothing is unsent: whoever must be able to
   change his mind sends little and asks, however slow the path is.
5. One receiver at a time; any number of senders.
6. A link says what it costs, never who is at the other end: only keys prove that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import anyio
from anyio.abc import ObjectStream, TaskStatus

RECORD_BYTES_MAX = 65_535
"""One Noise message (Noise revision 34, section 3); larger logical records are split above, by the secure channel."""


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """What a link is made of and what it costs.

    transport: the kind, such as "tcp", "lan" or "memory".
    address: the other end as text, HOST:PORT with IPv6 in brackets; of an accepted link the port is the dialler's
        passing one and dials nowhere.
    record_bytes_max: the largest record `send` takes, at most RECORD_BYTES_MAX.
    metered: bytes cost money or count against a budget.
    dialled: this side opened the link, so this side speaks first.
    estimate_bytes_per_s: a first guess at the speed, for whoever plans before having measured.
    """

    transport: str
    address: str
    record_bytes_max: int
    metered: bool
    dialled: bool
    estimate_bytes_per_s: int


class LinkBroken(anyio.EndOfStream, anyio.BrokenResourceError):
    """The link has ended. `reason` is one stable word:

    closed-here, closed-there, reset, cut-short (ended inside a record), malformed (broken framing), oversize,
    silent (no first record in time), timed-out (the path is dead), interface-gone, cut.

    It is both of anyio's stream endings, so that code written for anyio's streams understands a link's end too.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Oversize(ValueError):
    """A record that `send` does not take: empty, or longer than record_bytes_max. The link itself goes on."""


class Link(ObjectStream[bytes]):
    """Whole records in order until it breaks."""

    info: LinkInfo

    @abstractmethod
    async def receive(self) -> bytes:
        """The next record; raises LinkBroken when there will be none. Cancelling it loses no record."""

    @abstractmethod
    async def send(self, item: bytes) -> None:
        """Queue one record, waiting while too much is unsent. Raises Oversize; LinkBroken when the link has ended."""

    def send_now(self, item: bytes) -> bool:
        """Queue one record, if it need not wait; False where `send` has to be asked. Raises Oversize."""
        self._check_size(item)
        return False

    @abstractmethod
    async def drained(self) -> None:
        """Wait until what was sent has left this process, as far as it can tell; raises LinkBroken as `send` does."""

    @abstractmethod
    async def aclose(self) -> None:
        """End the link. What was sent is given a short time to leave; when cancelled it is dropped at once."""

    async def send_eof(self) -> None:
        """A link has no half-closed state: this ends it, as aclose does."""
        await self.aclose()

    @property
    @abstractmethod
    def broken(self) -> str:
        """The reason word of the link's end, or "" while it lives."""

    def established(self, peer: str = "") -> None:
        """The node calls this once the other end has proved itself to be one of ours.

        Until then the transport takes the end of the link for a failure and backs off. `peer` is any text that is
        equal for the same peer and kept in memory only: with it a transport that finds one peer on several paths knows
        that it is already linked, and a duplicate that the node closes after this call is no failure and is not dialled
        again while the other link lives.
        """

    def _check_size(self, record: bytes) -> None:
        size = len(record)
        if size == 0 or size > self.info.record_bytes_max:
            raise Oversize(f"a record of {size} bytes; this link takes 1..{self.info.record_bytes_max}")


Welcome: TypeAlias = Callable[[Link], Awaitable[None]]
"""What a transport does with each new link. It runs in its own task and the link is closed when it returns. LinkBroken
that leaves it is a link's ordinary end; anything else is our own fault and ends the transport."""

ORDINARY_ENDS = ("", "closed-here", "closed-there")
CANCELLED_CLOSE_S_MAX = 0.5
"""How long a link that ends because its transport was cancelled may take to send its last bytes."""


async def keep(link: Link, handler: Welcome, failures: Counter[str]) -> None:
    """Run `handler` on the link, close the link whatever happens, and count an end that is not an ordinary one."""
    try:
        await handler(link)
    except LinkBroken:
        pass  # The reason is read from the link below, where a handler that returned quietly is counted too.
    finally:
        if link.broken not in ORDINARY_ENDS:
            failures[link.broken] += 1
        with anyio.move_on_after(CANCELLED_CLOSE_S_MAX, shield=True):
            await link.aclose()


class Transport(Protocol):
    """A way to get links. Discovery, advertising, dialling and accepting all hide behind `serve`."""

    spec: str
    failures: Counter[str]
    """Reason words and how often, for status."""

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hand every link to `handler` until cancelled. Started when listening addresses are known."""

    def addresses(self) -> list[str]:
        """Where this transport listens now, as HOST:PORT: what another node may dial. Empty when it only dials."""
        ...

    def remember(self, addresses: Iterable[str]) -> None:
        """Last-known addresses (HOST:PORT or HOST) to try where discovery finds nothing. Others ignore it."""

    def known(self) -> list[str]:
        """Addresses that led to an established link, newest first: worth keeping for `remember` at the next start."""
        ...
