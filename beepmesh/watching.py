"""What somebody who measures is told of a node's links. Nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from beepmesh.events import LinkId
from sync.session import TakeRun


class Watcher(Protocol):
    """Called inside the engine: it must not call back."""

    def sealed(self, link: LinkId, records: Sequence[bytes], frames: Sequence[bytes]) -> None:
        """These frames, which leave next, carry these session records, both in their order."""
        ...

    def pushed(self, link: LinkId, run: TakeRun) -> None:
        """The peer has pushed this run; it is not judged yet."""
        ...
