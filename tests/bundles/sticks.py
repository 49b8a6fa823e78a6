"""Homes and a stick between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from beepmesh import desk
from beepmesh.bundles.exporting import Exported, export
from beepmesh.bundles.importing import Imported, import_all
from beepmesh.home import Home
from sync.logs import LogId
from sync.ranges import Ranges
from tests.homes import NOW_MS, founded, joined


def silent(_: str) -> None:
    pass


def give(home: Home, stick: Path, *to: str, size: int | None = None) -> Exported:
    return export(home, stick, to=to, size=size, now_ms=NOW_MS, progress=silent)


def take(home: Home, stick: Path) -> Imported:
    return import_all(home, stick, now_ms=lambda: NOW_MS, progress=silent)


def settled(home: Home) -> dict[LogId, Ranges]:
    return {log: state.settled for log, state in home.store.states().items()}


def words(home: Home) -> list[str]:
    """The texts that have come, in order of the alphabet."""
    return sorted(shown.text for shown in desk.inbox(home, mark_read=False, now_ms=NOW_MS).messages)


@contextmanager
def people(folder: Path, *names: str) -> Iterator[list[Home]]:
    """The first one founded the organisation and let the others in; nobody has met anybody."""
    with ExitStack() as stack:
        first = stack.enter_context(founded(folder / names[0], names[0]))
        others = (stack.enter_context(joined(folder / name, first, name)) for name in names[1:])
        yield [first, *others]


@contextmanager
def acquainted(folder: Path, *names: str) -> Iterator[list[Home]]:
    """The same, and everybody has heard of everybody."""
    with people(folder, *names) as homes:
        stick = folder / "acquaintance"
        for home in homes:
            give(home, stick)
        for home in homes:
            take(home, stick)
        yield homes
