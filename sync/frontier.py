"""Everything a node has settled, as all its sessions read it: states, when each changed last, and the two sums.

Law 1: only `change` changes a state, after the commit that made it durable, and a state only grows.
Law 2: every state with a change number up to `upto` is here. A number beyond it may be here while one below it, written
       by another process, is not; so `upto` is what a peer may be told, and grows only when nothing is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from sync.feeds import FeedList
from sync.logs import NO_CHAIN, SUM_MODULUS, LogId, LogState, chain, leaf, reconciled, root, step
from sync.ranges import NOTHING, Ranges

_UNKNOWN = LogState(NOTHING, b"")


class Frontier:
    """`states` is for reading only."""

    def __init__(
        self,
        epoch: int = 0,
        feeds: FeedList | None = None,
        states: Iterable[tuple[LogId, LogState, int]] = (),
        frozen: Iterable[LogId] = (),
    ) -> None:
        """States come with their change numbers, which must not fall."""
        self.epoch = epoch
        self.feeds = FeedList() if feeds is None else feeds
        self.states: dict[LogId, LogState] = {}
        self.upto = 0
        self.positions = 0
        self._chains = 0
        self._tipless = 0
        self._numbers: dict[LogId, int] = {}
        self._newest = 0
        self._frozen = set(frozen)
        for log, state, number in states:
            self.change({log: state}, number)
            self.upto = number

    def change(self, states: Mapping[LogId, LogState], number: int) -> list[tuple[LogId, Ranges]]:
        """These are durable now, by the commit with that number; what was settled of those that grew before it."""
        before: list[tuple[LogId, Ranges]] = []
        for log, state in states.items():
            old = self.states.get(log, _UNKNOWN)
            if state.settled.spans != old.settled.spans:
                before.append((log, old.settled))
                self.positions += step(log, old.settled, state.settled)
            self._chains += self._chain_leaf(log, state) - self._chain_leaf(log, old)
            self._tipless += self._lacks_tip(log, state) - self._lacks_tip(log, old)
            self.states[log] = state
            self._numbers.pop(log, None)  # The last one in the dictionary is the one that changed last.
            self._numbers[log] = number
        self.positions %= SUM_MODULUS
        self._chains %= SUM_MODULUS
        if number < self._newest:  # Another process wrote it, before what is here already.
            self._numbers = dict(sorted(self._numbers.items(), key=itemgetter(1)))
        self._newest = max(number, self._newest)
        return before

    def freeze(self, log: LogId) -> None:
        """A fork of this log is proved: its tip no longer counts, or two branches would differ for ever."""
        if log not in self._frozen:
            state = self.states.get(log, _UNKNOWN)
            self._chains -= self._chain_leaf(log, state)
            self._tipless -= self._lacks_tip(log, state)
            self._frozen.add(log)
            self._chains = (self._chains + self._chain_leaf(log, state)) % SUM_MODULUS

    def settled(self, log: LogId) -> Ranges:
        """What is settled of a log, nothing of an unknown one."""
        return self.states.get(log, _UNKNOWN).settled

    def tip(self, log: LogId) -> bytes:
        """32 B, or empty where it is not known or a fork is proved."""
        return b"" if log in self._frozen else self.states.get(log, _UNKNOWN).tip

    def number(self, log: LogId) -> int:
        """The change number of a known log."""
        return self._numbers[log]

    def since(self, number: int) -> Iterator[LogId]:
        """The logs that changed after that, the newest change first."""
        for log, changed in reversed(self._numbers.items()):
            if changed <= number:
                return
            yield log

    def root(self, salt: bytes) -> bytes:
        return root(self.positions, salt)

    def chain(self, salt: bytes) -> bytes:
        """NO_CHAIN while the tip of any log is not known: with that one missing no two nodes' chains would agree."""
        return NO_CHAIN if self._tipless else chain(self._chains, salt)

    def view_of(self, views: Mapping[LogId, Ranges]) -> int:
        """The sum of positions of a peer that has settled this, and of every other log just what we have."""
        total = self.positions
        for log, view in views.items():
            total += step(log, self.settled(log), view)
        return total % SUM_MODULUS

    def _lacks_tip(self, log: LogId, state: LogState) -> bool:
        return bool(state.settled) and not state.tip and log not in self._frozen and reconciled(log)

    def _chain_leaf(self, log: LogId, state: LogState) -> int:
        return leaf(log, state.settled, b"" if log in self._frozen else state.tip)
