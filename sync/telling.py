"""How our states are told: in which records, under which names, and about how many bytes that takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sync.frontier import Frontier
from sync.limits import DELTA_BYTES_MAX, DELTA_PART, LANES, RANGES_MAX, STATES_BYTES_MAX, ZIP_BYTES_MIN
from sync.logs import LogId, reconciled
from sync.names import Names
from sync.peer import Peer
from sync.ranges import Ranges
from sync.refs import FEED_BYTES, TAG_BYTES
from sync.wire import State, States, Vector


def told_in(lanes: int, log: LogId) -> bool:
    """Whether a log is told of where these lanes are."""
    return reconciled(log) and bool(lanes >> log.lane & 1)


_STATE_BYTES_MAX: Final = 1 + FEED_BYTES + 5  # Without spans.
_SPAN_BYTES_MAX: Final = 2 * 6


class Telling:
    """Reads the frontier, the names and what the peer knows; changes nothing of them."""

    def __init__(self, frontier: Frontier, names: Names, peer: Peer) -> None:
        self.in_part: dict[LogId, Ranges] = {}
        """What was told of logs with more spans than fit."""
        self._frontier = frontier
        self._names = names
        self._peer = peer

    def states(self, logs: Sequence[LogId], *, rest: bool) -> Iterator[States]:
        """States of these logs, which are in order."""
        parts = list(self._parts(logs, tagged=True)) or [()]
        for number, part in enumerate(parts, 1):
            yield States(tuple(self._state(log, tagged=True) for log in part), number < len(parts), rest)

    def everything(self, lanes: int) -> Iterator[Vector]:
        """Each part stays inside one lane, and lane 0 comes first, so that it can be pushed while the rest is told."""
        parts: list[Sequence[LogId]] = []
        told = [log for log, state in self._frontier.states.items() if state.settled and told_in(lanes, log)]
        for lane in range(LANES):
            parts += self._parts(self._names.in_order(log for log in told if log.lane == lane), tagged=False)
        for number, part in enumerate(parts or [()], 1):
            yield Vector(number < len(parts), tuple(self._state(log, tagged=False) for log in part))

    def everything_bytes(self, lanes: int) -> int:
        """About what that takes, deflated."""
        size = 0
        for log, state in self._frontier.states.items():  # All of them, so without a call for each where one will do.
            if told_in(lanes, log):
                size += 1 if self._names.is_listed(log) else 3 + FEED_BYTES
                size += self._spans_bytes(log) if len(state.settled.spans) > 1 else 0
        return size

    def is_short_unasked(self, logs: Sequence[LogId], lanes: int) -> bool:
        """Whether a delta of these is worth sending before anybody asked."""
        if self._bytes_at_most(logs) <= DELTA_BYTES_MAX:
            return True
        size = self._bytes(logs)
        return size <= DELTA_BYTES_MAX or size <= self.everything_bytes(lanes) // DELTA_PART

    def is_short(self, logs: Iterable[LogId], lanes: int) -> bool:
        """Whether to tell of these takes less than to tell everything."""
        return self._bytes(logs) <= self.everything_bytes(lanes) + ZIP_BYTES_MIN

    def _parts(self, logs: Sequence[LogId], *, tagged: bool) -> Iterator[Sequence[LogId]]:
        if self._bytes_at_most(logs) <= STATES_BYTES_MAX:
            yield from [logs] if logs else []
            return
        part: list[LogId] = []
        size = 0
        for log in logs:
            more = self._state_bytes(log, tagged=tagged)
            if part and size + more > STATES_BYTES_MAX:
                yield part
                part, size = [], 0
            part.append(log)
            size += more
        if part:
            yield part

    def _state(self, log: LogId, *, tagged: bool) -> State:
        settled = self._frontier.settled(log)
        if len(settled.spans) > RANGES_MAX:
            settled = self.in_part[log] = Ranges(settled.spans[:RANGES_MAX])
        is_tagged = tagged and not self._names.is_listed(log) and self._peer.knows_feed(log.feed)
        return State(self._names.told(log, tagged=is_tagged), settled)

    def _bytes_at_most(self, logs: Iterable[LogId]) -> int:
        """Not less than `_bytes`, for the question whether a few are many: that is asked at every turn."""
        settled = self._frontier.settled
        return sum(_STATE_BYTES_MAX + _SPAN_BYTES_MAX * len(settled(log).spans) for log in logs)

    def _bytes(self, logs: Iterable[LogId]) -> int:
        return sum(self._state_bytes(log, tagged=True) for log in logs)

    def _state_bytes(self, log: LogId, *, tagged: bool) -> int:
        """About what a state takes, and hardly less."""
        is_listed = self._names.is_listed(log)
        is_tagged = not is_listed and tagged and self._peer.knows_feed(log.feed)
        name = 2 if is_listed else 1 + TAG_BYTES if is_tagged else 1 + FEED_BYTES
        value = (self._frontier.settled(log).next.bit_length() + 7) // 7
        return name + value + self._spans_bytes(log)

    def _spans_bytes(self, log: LogId) -> int:
        settled = self._frontier.settled(log)
        numbers = 2 * min(len(settled.spans) - 1, RANGES_MAX)
        # They come to no more than top together, and so to most bytes if they are all alike.
        return numbers * (7 + (settled.top // numbers).bit_length()) // 7 if numbers > 0 else 0
