"""What a node's frames hold, by kind, as its engine seals them: the sizes that links are told."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from beepmesh.channel import FRAME_OVERHEAD_BYTES, LENGTH_BYTES
from beepmesh.events import LinkId
from simulations.letters import Letters, is_run
from simulations.outcome import Kind
from sync.session import TakeRun


class Tally:
    """One node's `Watcher`. Frames that carry no session record are of the handshake."""

    def __init__(self, letters: Letters, pushed: Callable[[LinkId, TakeRun], None]) -> None:
        self._letters = letters
        self._pushed = pushed
        self._sizes: dict[bytes, Mapping[Kind, int]] = {}

    def sealed(self, link: LinkId, records: Sequence[bytes], frames: Sequence[bytes]) -> None:
        if not any(is_run(record) for record in records):
            self._sizes.update((frame, {"reconciliation": len(frame)}) for frame in frames)
            return
        waiting = deque(records)
        parts: deque[tuple[Kind, int]] = deque()
        """Of the record that is cut into several frames, what is left."""
        for frame in frames:
            room = len(frame) - FRAME_OVERHEAD_BYTES
            size: Counter[Kind] = Counter()
            if not parts and len(waiting[0]) < room:
                while room:
                    record = waiting.popleft()
                    room -= LENGTH_BYTES + len(record)
                    for kind, count in self._letters.kinds(record):
                        size[kind] += count
            else:
                parts = parts or deque(self._letters.kinds(waiting.popleft()))
                _move(parts, size, room)
            size["reconciliation"] += len(frame) - size.total()
            self._sizes[frame] = size
        assert not waiting
        assert not parts

    def pushed(self, link: LinkId, run: TakeRun) -> None:
        self._pushed(link, run)

    def size(self, frame: bytes) -> Mapping[Kind, int]:
        """Asked once for each frame, when it leaves."""
        return self._sizes.pop(frame, None) or {_HANDSHAKE: len(frame)}


_HANDSHAKE: Final[Kind] = "handshake"


def _move(parts: deque[tuple[Kind, int]], size: Counter[Kind], room: int) -> None:
    """As much as there is room for."""
    while room and parts:
        kind, count = parts.popleft()
        taken = min(count, room)
        size[kind] += taken
        room -= taken
        if taken < count:
            parts.appendleft((kind, count - taken))
