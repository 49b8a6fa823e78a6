"""Links inside one process: for tests, and for embedders' meshes in memory.

Law: these links keep the same contract as those of radios and sockets, bounded buffers included; a mesh that works only
because memory is unbounded or instant in order does not pass here.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from transports.link import RECORD_BYTES_MAX, Link, LinkBroken, LinkInfo, Welcome, keep

BUFFER_BYTES_MAX = 64 * 1024
RELINK_S = 0.05
"""First wait before two connected nodes whose link ended meet again; it doubles up to RELINK_S_MAX."""
RELINK_S_MAX = 2.0

MEMORY_INFO = LinkInfo("memory", "memory", RECORD_BYTES_MAX, metered=False, dialled=True, estimate_bytes_per_s=10**8)


class MemoryLink(Link):
    """One end of a pair made by `memory_link_pair`."""

    def __init__(self, info: LinkInfo) -> None:
        self.info = info
        self.peer = ""
        """What the node said in `established`."""
        self._other: MemoryLink = self
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._broken = ""
        self._changed = anyio.Event()

    @property
    def broken(self) -> str:
        return self._broken

    def established(self, peer: str = "") -> None:
        self.peer = peer

    async def receive(self) -> bytes:
        while not self._queue:
            if self._broken:
                raise LinkBroken(self._broken)
            await self._changed.wait()
        record = self._queue.popleft()
        was_full = self._queued_bytes >= BUFFER_BYTES_MAX
        self._queued_bytes -= len(record)
        if was_full or not self._queue:
            self._other._wake()
        return record

    async def send(self, item: bytes) -> None:
        self._check_size(item)
        while not self._broken and self._other._queued_bytes >= BUFFER_BYTES_MAX:
            await self._changed.wait()
        if self._broken:
            raise LinkBroken(self._broken)
        self._other._queue.append(bytes(item))
        self._other._queued_bytes += len(item)
        self._other._wake()

    async def drained(self) -> None:
        while not self._broken and self._other._queue:
            await self._changed.wait()
        if self._broken:
            raise LinkBroken(self._broken)

    async def aclose(self) -> None:
        self._drop_queue()
        self._end("closed-here")
        self._other._end("closed-there")
        await checkpoint()

    def cut(self) -> None:
        """Break both ends at once, as when a cable is pulled: what was under way is lost."""
        for end in (self, self._other):
            end._drop_queue()
            end._end("cut")

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0

    def _end(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def memory_link_pair(info: LinkInfo = MEMORY_INFO) -> tuple[MemoryLink, MemoryLink]:
    """Two ends of one link; the first is the dialling one."""
    near, far = MemoryLink(replace(info, dialled=True)), MemoryLink(replace(info, dialled=False))
    near._other, far._other = far, near
    return near, far


class MemoryNetwork:
    """Who can hear whom. `connect` and `disconnect` at any time; connected nodes that serve get a link, and get another
    when it ends while they are still connected."""

    def __init__(self, *, everyone: bool = False) -> None:
        self._everyone = everyone
        self._heard: dict[frozenset[str], None] = {}
        self._serving: dict[str, MemoryTransport] = {}
        self._links: dict[frozenset[str], MemoryLink] = {}
        self._names = itertools.count(1)

    def transport(self, name: str = "") -> MemoryTransport:
        """A node's place in this network; without a name it gets the next number."""
        return MemoryTransport(self, name or str(next(self._names)))

    def connect(self, one: str, other: str) -> None:
        """From now on the two hear each other."""
        assert one != other
        self._heard[frozenset((one, other))] = None
        self._meet(one, other)

    def disconnect(self, one: str, other: str) -> None:
        """From now on they do not; a link between them is cut."""
        pair = frozenset((one, other))
        self._heard.pop(pair, None)
        if link := self._links.pop(pair, None):
            link.cut()

    def link_between(self, one: str, other: str) -> MemoryLink | None:
        """The living link of the two, for tests that cut it."""
        link = self._links.get(frozenset((one, other)))
        return link if link and not link.broken else None

    def _hears(self, one: str, other: str) -> bool:
        return one != other and (self._everyone or frozenset((one, other)) in self._heard)

    def _joined(self, transport: MemoryTransport) -> None:
        assert transport.name not in self._serving, f"two nodes named {transport.name} serve in one network"
        self._serving[transport.name] = transport
        for name in list(self._serving):
            self._meet(transport.name, name)

    def _left(self, transport: MemoryTransport) -> None:
        del self._serving[transport.name]

    def _meet(self, one: str, other: str) -> None:
        """Give the two a link if they hear each other, both serve and they have none."""
        if one not in self._serving or other not in self._serving or not self._hears(one, other):
            return
        if self.link_between(one, other) is None:
            near, far = memory_link_pair()
            near.info, far.info = replace(near.info, address=other), replace(far.info, address=one)
            self._links[frozenset((one, other))] = near
            self._serving[one]._take(near)
            self._serving[other]._take(far)


class MemoryTransport:
    """A node's links in a MemoryNetwork."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.spec = f"memory:{name}"
        self.name = name
        self.failures: Counter[str] = Counter()
        self._network = network
        self._group: TaskGroup | None = None
        self._handler: Welcome | None = None
        self._waits: dict[str, float] = {}

    async def serve(self, handler: Welcome, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        self._handler = handler
        async with anyio.create_task_group() as group:
            self._group = group
            self._network._joined(self)
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                self._network._left(self)
                self._group = None

    def addresses(self) -> list[str]:
        return [self.name] if self._group else []

    def remember(self, addresses: Iterable[str]) -> None:
        """Who hears whom is the network's word alone."""

    def known(self) -> list[str]:
        return []

    def _take(self, link: MemoryLink) -> None:
        assert self._group is not None
        self._group.start_soon(self._keep, link)

    async def _keep(self, link: MemoryLink) -> None:
        assert self._handler is not None
        await keep(link, self._handler, self.failures)
        # One side alone brings them together again, and later each time unless the last link was good.
        if link.info.dialled:
            other = link.info.address
            wait_s = RELINK_S if link.peer else min(self._waits.get(other, RELINK_S / 2) * 2, RELINK_S_MAX)
            self._waits[other] = wait_s
            await anyio.sleep(wait_s)
            self._network._meet(self.name, other)


SHARED = MemoryNetwork(everyone=True)
"""The network of the spec `memory:`: every node of this process hears every other."""
