"""What one side of a link withholds from the other in a random history: something else each time it is weighed."""

from __future__ import annotations

from random import Random

from sync.logs import LogId
from sync.ranges import NOTHING, Ranges
from tests.sync.pair import first, seqs

ALL = first(2**32)


class Weighing:
    """Nothing unless `active`, and never anything of lane 0."""

    def __init__(self, random: Random, *, active: bool) -> None:
        self.active = active
        self.due = False
        """Some answer was none, or is another by now: the session is to be told."""
        self._random = random
        self._answers: dict[LogId, Ranges | None] = {}

    def __call__(self, log: LogId, start: int, stop: int) -> Ranges | None:
        withheld = self._of(log, undecided=True)
        if withheld is None:
            self.due = True
            return None
        return withheld.intersect(seqs((start, stop)))

    def withheld(self, log: LogId) -> Ranges:
        """As the session was told last, or would be."""
        return self._of(log, undecided=False) or NOTHING

    def change(self) -> None:
        """Another answer about some logs from now on; the session does not know it yet."""
        for log in [log for log in self._answers if self._random.random() < 0.5]:
            del self._answers[log]
        self.due = self.active

    def decide(self) -> None:
        """There are answers; tell the session."""
        for log, withheld in list(self._answers.items()):
            if withheld is None:
                self._answers[log] = self._draw()
        self.due = False

    def allow(self) -> None:
        """From now on nothing is withheld."""
        self.due, self.active = self.active, False

    def _of(self, log: LogId, *, undecided: bool) -> Ranges | None:
        if not self.active or not log.lane:
            return NOTHING
        if log not in self._answers:
            self._answers[log] = None if undecided and self._random.random() < 0.2 else self._draw()
        return self._answers[log]

    def _draw(self) -> Ranges:
        at = self._random.randrange(8)
        return self._random.choice((NOTHING, NOTHING, ALL, first(at), seqs((at, 2**32)), seqs((at, at + 3), (30, 40))))
