"""A line of honest nodes, an author they know, and a relay that spoils signatures in passing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from beepmesh.messages.entry import Entry
from sync.logs import LogId
from tests.engines import EngineNode, MemoryHome, Mesh
from tests.speaker import Speaker, chain


def spoil(entries: Sequence[Entry], seqs: Collection[int]) -> list[Entry]:
    """The same, with false signatures at those places."""
    return [entry._replace(signature=bytes(64)) if entry.seq in seqs else entry for entry in entries]


def bodies(sizes: Iterable[int]) -> list[tuple[bytes, bytes]]:
    return [(b"", b"\x01" + bytes(size)) for size in sizes]


@dataclass
class Valley:
    """A line of honest nodes, the first of which holds an author's log; and a spoiler who may speak to each of them.

    The honest ones know the author's certificates, and nobody is linked yet.
    """

    sizes: Sequence[int] = (40,) * 16
    names: tuple[str, ...] = ("Headquarters", "Bilal", "Dawood")

    def __post_init__(self) -> None:
        self.mesh = Mesh(*self.names)
        self.nodes = self.mesh.nodes
        self.author = self.mesh.node("Ayesha")
        self.key = self.author.home.identity.feed_key
        self.spoiler = self.mesh.identity("Mallory")
        self.lines = chain(self.key, 1, bodies(self.sizes))
        self.log = self.lines[0].log
        for node in self.nodes:
            self.vouch(node)

    def vouch(self, node: EngineNode) -> None:
        logs = (LogId(self.author.device, 0), LogId(self.author.home.identity.feed, 0))
        speaker = Speaker(node, self.spoiler)
        speaker.greet()
        for log in logs:
            speaker.push(log, 0, self.author.held(log))
        self.cut(speaker)

    def cut(self, *speakers: Speaker) -> None:
        for speaker in speakers:
            speaker.cable.cut()
        self.mesh.run()

    def fill(self, node: EngineNode, entries: Sequence[Entry]) -> None:
        """As they were written, in good order."""
        speaker = Speaker(node, self.author.home.identity)
        speaker.greet()
        for entry in entries:
            speaker.push(self.log, entry.seq, [entry], prev=entry.prev if entry.seq else None, run=False)
        self.mesh.run()
        self.cut(speaker)

    def whisper(self, node: EngineNode, *runs: Sequence[Entry]) -> Speaker:
        """What the spoiler says to a node, each run with its predecessor named."""
        speaker = Speaker(node, self.spoiler)
        speaker.greet()
        for run in runs:
            speaker.push(self.log, run[0].seq, run, prev=run[0].prev if run[0].seq else None)
        self.cut(speaker)
        return speaker

    def meet(self, one: EngineNode, other: EngineNode) -> None:
        cable = self.mesh.connect(one, other)
        self.mesh.run(seconds=5)
        assert not any(cable.ending)
        cable.cut()
        self.mesh.run()

    def newcomer(self, name: str) -> EngineNode:
        node = self.mesh.node(name)
        self.mesh.nodes.append(node)
        return node

    def ids(self, node: EngineNode) -> list[bytes]:
        return [entry.id for entry in node.held(self.log)]

    @property
    def all_ids(self) -> list[bytes]:
        return [entry.id for entry in self.lines]


def restarted(node: EngineNode) -> EngineNode:
    """The same home and store, and nothing kept in memory."""
    again = EngineNode(node.mesh, MemoryHome(node.home.identity, node.home.store))
    node.mesh.nodes[node.mesh.nodes.index(node)] = again
    return again
