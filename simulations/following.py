"""What happens to messages on their way, told while it happens to whoever follows them: a map, or a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final, Protocol

from simulations.letters import Letter
from simulations.outcome import Delivery
from simulations.trail import Trail
from simulations.workload import EVERYBODY, Message

_WHOLE: Final = 1 - 1e-9


class Follower(Protocol):
    def written(self, t: float, message: Message) -> None: ...

    def came(self, t: float, letter: Letter, giver: int, taker: int) -> None:
        """A node has some of a message, or all of it, for the first time."""
        ...

    def delivered(self, delivery: Delivery) -> None: ...


class Trailing:
    """Follows all messages for a map."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._parts: defaultdict[tuple[int, int], float] = defaultdict(float)

    def written(self, t: float, message: Message) -> None:
        """Where it begins, the map knows."""

    def came(self, t: float, letter: Letter, giver: int, taker: int) -> None:
        key = (letter.message.id, taker)
        self._parts[key] += letter.share
        if self._parts[key] >= _WHOLE:
            del self._parts[key]
            self._trail.hop(t, giver, taker, letter.message.id)

    def delivered(self, delivery: Delivery) -> None:
        """The hop before said it."""


class Story:
    """Follows one message and tells it, a line for each thing that happens to it."""

    def __init__(self, message_id: int, tell: Callable[[str], None]) -> None:
        self._id = message_id
        self._tell = tell

    def written(self, t: float, message: Message) -> None:
        if message.id == self._id:
            whom = "everybody" if message.dst == EVERYBODY else f"node {message.dst}"
            self._tell(
                f"{t:12.3f} s  node {message.src} writes message {message.id} to {whom}: {message.size} bytes,"
                f" worth something for {message.ttl:g} s"
            )

    def came(self, t: float, letter: Letter, giver: int, taker: int) -> None:
        if letter.message.id == self._id:
            much = "it" if letter.share >= _WHOLE else f"{letter.share:.0%} of it"
            steps = letter.steps[taker] - 1
            self._tell(f"{t:12.3f} s  node {taker} has {much} from node {giver}, {steps} steps from its author")

    def delivered(self, delivery: Delivery) -> None:
        if delivery.id == self._id:
            self._tell(f"{delivery.t:12.3f} s  node {delivery.node} opens it")
