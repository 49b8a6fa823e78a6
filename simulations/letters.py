"""Which entry carries what, and who had it from whom: the simulation's own notes, which no node ever sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from beepmesh.messages.entry import Entry, is_erased
from beepmesh.store.contract import Draft
from simulations.outcome import Kind
from simulations.workload import Message
from sync.logs import LogId
from sync.wire import RUN, Run, decode

HOPS_MAX: Final = 254  # What a byte can say; a journey of that many steps has no meaning any more.
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Text:
    """One of the texts in which a message travels, known by its message id."""

    message: Message
    number: int
    count: int


@dataclass(slots=True)
class Letter:
    """One entry that carries a text, or those of its wraps that found room."""

    message: Message
    share: float
    """Of its message: all entries of one come to 1."""
    steps: bytearray
    """By node: how many steps it took to come there, plus 1; 0 where it has not."""


class Letters:
    """Everything of one run. Entries that nobody posted here are receipts."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._texts: dict[bytes, Text] = {}
        self._by_place: dict[tuple[LogId, int], Letter] = {}
        self._kinds: dict[bytes, Kind] = {}
        self.on_first: Callable[[Letter, int, int], None] = lambda _letter, _giver, _taker: None
        """Told of each first way: letter, giver, taker."""

    def posted(self, message_id: bytes, text: Text) -> None:
        """Before its entries are `written`."""
        self._texts[message_id] = text

    def written(self, author: int, entries: Sequence[tuple[Draft, Entry]]) -> None:
        """What a node wrote in one transaction."""
        texts = [draft.sealed_to[0].message_id for draft, _ in entries if draft.sealed_to]
        times = Counter(texts)
        for draft, entry in entries:
            if draft.statement is not None:
                self._kinds[entry.signature] = "reconciliation"
            elif draft.sealed_to and (text := self._texts.get(message_id := draft.sealed_to[0].message_id)):
                letter = Letter(text.message, 1 / text.count / times[message_id], bytearray(self._nodes))
                letter.steps[author] = 1
                self._by_place[entry.log, entry.seq] = letter
                self._kinds[entry.signature] = "payload"

    def text(self, message_id: bytes) -> Text | None:
        """What the workload meant by it; None for what no workload asked for."""
        return self._texts.get(message_id)

    def letter(self, log: LogId, seq: int) -> Letter | None:
        """What stands there; None if it carries no text."""
        return self._by_place.get((log, seq))

    def came(self, letter: Letter, giver: int, taker: int) -> None:
        """Only its first way to a node counts."""
        if not letter.steps[taker]:
            letter.steps[taker] = min(letter.steps[giver], HOPS_MAX) + 1
            self.on_first(letter, giver, taker)

    def kinds(self, record: bytes) -> list[tuple[Kind, int]]:
        """The bytes of a session record by kind, in their order."""
        if not is_run(record):
            return [("reconciliation", len(record))]
        run = decode(record, bytes_max=len(record))
        assert isinstance(run, Run)
        sizes: list[tuple[Kind, int]] = [(self._kind(packed), len(packed)) for packed in run.packed]
        head = len(record) - sum(size for _, size in sizes)
        return [(sizes[0][0], head), *sizes]

    def _kind(self, packed: bytes) -> Kind:
        kind = self._kinds.get(_signature(packed), "receipts")
        return "reconciliation" if kind == "payload" and is_erased(packed) else kind


def is_run(record: bytes) -> bool:
    """Whether a session record carries entries; every other one is of the reconciliation."""
    return record[0] & 15 == RUN


def _signature(packed: bytes) -> bytes:
    """Where messages/entry.py puts it: behind classes, time and hints."""
    at = 7 + 4 if packed[0] & 4 else 8 + 4 * packed[7]
    return packed[at : at + _SIGNATURE_BYTES]
