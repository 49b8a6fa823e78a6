"""A node as an embedder holds it: people, messages and receipts; everything else is `shell.py`'s.

    async with Node.open("~/.beepmesh") as node:              # identity, store and links as configured
        sent = await node.send(node.person("Bilal"), Text("Bridge at Kund is out."), urgent=True)
        async for message in node.inbox(unread=True):          # waits for more; survives restarts
            print(f"{message.sender}: {message.text}")
            await message.acknowledge()

Law: `send` returns when the message is durable here, never "when delivered". Delivery is a later fact, told by
receipts that the recipient's device has signed.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from beepmesh import desk
from beepmesh.events import LevelReached, PeerJoined, PeerLeft, Told
from beepmesh.home import Home
from beepmesh.port import Traffic
from beepmesh.shell import Shell
from transports.link import Transport
from transports.specs import parse

QUIET_S: Final = 0.4  # A round is over when nothing more was said for so long: receipts follow messages by 10 ms.
_PAGE: Final = 100
_FINAL: Final = frozenset({"acknowledged", "expired"})


@dataclass(frozen=True, slots=True)
class Text:
    """Words to send, up to 64 KiB of UTF-8."""

    text: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the organisation. `name` means this person and nobody else on this device."""

    id: str
    name: str
    department: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message for one recipient: queued, carried, delivered, read, acknowledged or expired."""

    person: str
    state: str
    at_ms: int | None
    carriers: int


@dataclass(frozen=True, slots=True)
class Round:
    """One link's part in `sync_round`. `level`: neither side lacked anything the other could give."""

    device: bytes
    traffic: Traffic
    level: bool


class SentMessage:
    """A message that is safe on this device."""

    def __init__(self, node: Node, sent: desk.Sent) -> None:
        self._node = node
        self.id = sent.id
        self.recipients = sent.recipients
        self.waiting = sent.waiting

    async def ledger(self) -> list[Receipt]:
        """Where it is now, for each recipient."""
        node = self._node
        shown = await node.act(desk.show, node.home, self.id, now_ms=_now_ms())
        return [Receipt(line.who, line.state, line.at_ms, line.carriers) for line in shown.lines]

    async def receipts(self) -> AsyncIterator[Receipt]:
        """Each change for each recipient, until everybody has acknowledged or it has expired. Needs a running node."""
        told: dict[str, Receipt] = {}
        with self._node.changes() as changed:
            while True:
                for receipt in await self.ledger():
                    if told.get(receipt.person) != receipt:
                        told[receipt.person] = receipt
                        yield receipt
                if all(receipt.state in _FINAL for receipt in told.values()):
                    return
                await changed()


class Message:
    """A message that came."""

    def __init__(self, node: Node, shown: desk.Shown) -> None:
        self._node = node
        self.id = shown.id
        self.sender = shown.sender
        self.to = shown.to
        self.text = shown.text
        self.priority = shown.priority
        self.sent_ms = shown.sent_ms
        self.received_ms = shown.received_ms

    async def acknowledge(self) -> None:
        """Tell the sender that it was understood."""
        await self._node.act(desk.acknowledge, self._node.home, self.id, now_ms=_now_ms())

    def __repr__(self) -> str:
        return f"Message({self.id[:8]}, from {self.sender!r})"


class Node(Shell):
    """See the module's text. Made by `open`."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: str | os.PathLike[str], passphrase: str | None = None, *, links: Sequence[str] | None = None
    ) -> AsyncIterator[Node]:
        """The node of that home, running on these link specs; None: those of its settings; none: no links at all.

        Raises HomeProblem, Locked, or SpecError for a spec that means nothing.
        """
        home = await to_thread.run_sync(lambda: Home.open(Path(path).expanduser(), passphrase))
        try:
            specs = home.config.links_use if links is None else links
            transports = [parse(spec) for spec in specs]
            node = cls(home)
            async with anyio.create_task_group() as tasks:
                if transports:
                    await node.start(tasks, transports)
                try:
                    yield node
                finally:
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            # The task group is ours: what the block raised, or what ended the node, comes out as itself.
            raise _alone(group) from None
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(home.close)

    async def start(self, tasks: anyio.abc.TaskGroup, transports: Sequence[Transport]) -> None:
        """Run `serve` in that task group; returns when the node listens."""
        ready = anyio.Event()

        async def is_ready() -> None:
            ready.set()

        async def serve() -> None:
            await self.serve(transports, ready=is_ready)

        tasks.start_soon(serve)
        await ready.wait()

    def people(self) -> list[Person]:
        """Everybody known here who has not been revoked, by name."""
        known = desk.people(self.home, now_ms=_now_ms())
        return [Person(one.person, one.name, one.department, one.roles) for one in known if not one.revoked]

    def person(self, name: str) -> Person:
        """Somebody by name. Raises UnknownName, naming near ones."""
        (found,) = self.home.roster.resolve(name, self.home.believed_s(_now_ms()))[:1]
        return next(person for person in self.people() if person.id == found.person.hex())

    async def send(
        self, to: Person | str, content: Text, *, urgent: bool = False, expires: str | None = None
    ) -> SentMessage:
        """Accept a message for a person, or for whoever a word like `everyone` or `dept:flood` means.

        Raises UnknownName, TooLarge, Usage, or HomeProblem when the disk cannot take it.
        """
        who = to.name if isinstance(to, Person) else to
        priority = "urgent" if urgent else "routine"
        sent = await self.act(
            desk.send, self.home, who, content.text, priority=priority, expires=expires, now_ms=_now_ms()
        )
        return SentMessage(self, sent)

    async def inbox(self, *, unread: bool = False) -> AsyncIterator[Message]:
        """Messages that came, oldest first, then each new one when it comes; marked as read when handed over."""
        after = 0
        with self.changes() as changed:
            while True:
                box = await self.act(desk.inbox, self.home, unread=unread, after=after, limit=_PAGE, now_ms=_now_ms())
                for shown in box.messages:
                    after = max(after, shown.number)
                    yield Message(self, shown)
                if len(box.messages) < _PAGE:
                    await changed()

    async def sync_round(self, *, within_s: float) -> list[Round]:
        """Wait until every peer met is level and nothing more is said, or the time is over; what passed with whom.

        The node must be running.
        """
        rounds: dict[int, Round] = {}

        def note(link: int, device: bytes, *, level: bool) -> None:
            before = rounds.get(link)
            traffic = self.traffic(link)
            if before is not None and traffic.sent_bytes + traffic.received_bytes == 0:
                traffic = before.traffic  # The link has ended, and with it its count.
            rounds[link] = Round(device, traffic, level)

        def listen(told: Told) -> None:
            match told:
                case PeerJoined(link, device) | PeerLeft(link, device):
                    note(link, device, level=False)
                case LevelReached(link) if link in rounds:
                    note(link, rounds[link].device, level=True)
                case _:
                    pass

        with self.changes(listen) as changed, anyio.move_on_after(within_s):
            for device, up in self.peers.items():
                note(up.link, device, level=False)
            while True:
                with anyio.move_on_after(QUIET_S) as quiet:
                    await changed()
                if quiet.cancelled_caught and any(one.level for one in rounds.values()):
                    break
        for link, one in rounds.items():
            note(link, one.device, level=one.level)
        return list(rounds.values())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error in a group of groups; the group itself where there are several."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner
