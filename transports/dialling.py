"""Whom to dial on a local network, and when: decided here without a clock or a socket, performed by `lan`.

Laws:
1. Of two nodes that see each other, the one with the larger name dials at once; the other only after YIELD_S without a
   link, because discovery sometimes works in one direction only. A newcomer, whom nobody can usefully dial, always
   dials at once.
2. A candidate is left alone while a link to it lives: one we dialled, one with the peer we met there, or one from its
   host that belongs to no other candidate. The last is a guess where several nodes share a host; a wrong guess costs
   one duplicate link, which tells the peer and so ends the guessing.
3. Each failure doubles the wait: up to AWAY_S_MAX for one that does not answer (people walk out of range and return),
   up to STRANGER_S_MAX for one whose links end without being established, up to REMEMBERED_S_MAX for remembered
   addresses.
4. Everything a stranger can make grow is bounded: candidates, their addresses, dials at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

YIELD_S = 3.0
RETRY_S = 0.5
AWAY_S_MAX = 30.0
STRANGER_S_MAX = 300.0
REMEMBERED_S, REMEMBERED_S_MAX = 30.0, 300.0
REMEMBERED_FIRST_S = 2.0
"""Discovery gets this long before remembered addresses are tried."""
LIVED_S = 10.0
"""An established link that lived so long was a good one, and the waiting starts afresh."""
CANDIDATES_MAX = 256
TARGETS_MAX = 8
REMEMBERED_MAX = 64
DIALS_MAX = 8


def host_of(target: str) -> str:
    """The host of HOST:PORT without brackets and without a scope, for comparing."""
    return target.rpartition(":")[0].strip("[]").partition("%")[0]


@dataclass(frozen=True, slots=True)
class Dial:
    """An order to the shell: try `targets` (HOST:PORT) in order until one accepts. `retried`: an earlier try failed, so
    the targets may have changed."""

    key: str
    targets: tuple[str, ...]
    retried: bool


@dataclass(slots=True)
class _Candidate:
    key: str
    targets: tuple[str, ...]
    dial_at: float
    wait_s: float
    discovered: bool
    failed: bool = False
    peer: str = ""

    @property
    def hosts(self) -> set[str]:
        return set(map(host_of, self.targets))


@dataclass(slots=True)
class _Link:
    key: str
    """The candidate we dialled, or "" for an accepted link."""
    target: str
    since: float
    peer: str | None = None
    """None before it was established; "" when the node did not say who."""


class DialPlan:
    """The decisions of one node on one network. `chance` gives 0.5..1.5 and spreads every wait."""

    def __init__(self, own_name: str, chance: Callable[[], float], *, newcomer: bool = False) -> None:
        self.own_name = own_name
        self._newcomer = newcomer
        self._chance = chance
        self._candidates: dict[str, _Candidate] = {}
        self._links: dict[int, _Link] = {}
        self._dialling: set[str] = set()
        """Dials under way; they and links outlive a candidate that is gone, and count when it is seen again."""
        self._known: dict[str, None] = {}

    # -- what the network tells

    def seen(self, name: str, targets: Iterable[str], now: float) -> bool:
        """A service and where it listens; False when there are too many to keep it. Changed targets start it afresh."""
        bounded = tuple(targets)[:TARGETS_MAX]
        known = self._candidates.get(name)
        if known is None:
            if len(self._candidates) >= CANDIDATES_MAX:
                return False
            first_at = now + self._turn_s(name)
            self._candidates[name] = _Candidate(name, bounded, first_at, RETRY_S, discovered=True)
        elif known.targets != bounded:
            known.targets, known.wait_s, known.failed = bounded, RETRY_S, False
            known.dial_at = min(known.dial_at, now + self._turn_s(name))
        return True

    def forget_discovered(self) -> None:
        """The network itself has changed: what is still there will be seen again. Living links stay."""
        self._candidates = {key: one for key, one in self._candidates.items() if not one.discovered}

    def gone(self, name: str) -> None:
        """The service said goodbye or expired. Its living links stay."""
        self._candidates.pop(name, None)

    def remember(self, addresses: Iterable[str], now: float) -> None:
        """Last-known addresses, HOST:PORT; those beyond REMEMBERED_MAX are left out."""
        room = REMEMBERED_MAX - sum(not one.discovered for one in self._candidates.values())
        for address in addresses:
            if address not in self._candidates and room > 0:
                room -= 1
                first_at = now + REMEMBERED_FIRST_S * self._chance()
                self._candidates[address] = _Candidate(address, (address,), first_at, REMEMBERED_S, discovered=False)

    # -- what became of links; `link` is any number that is unique among living ones

    def link_up(self, link: int, key: str, target: str, now: float) -> None:
        """A link to the candidate `key` dialled at `target`, or with key "" one accepted from `target`."""
        self._links[link] = _Link(key, target, now)
        self._dialling.discard(key)

    def established(self, link: int, peer: str) -> None:
        """The other end has proved itself."""
        living = self._links.get(link)
        if living is None:
            return
        living.peer = peer
        candidate = self._candidates.get(living.key)
        if candidate is not None:
            candidate.peer = peer
        self._note_known(living)

    def link_down(self, link: int, now: float) -> None:
        """The link has ended."""
        ended = self._links[link]
        self._note_known(ended)
        del self._links[link]
        candidate = self._candidates.get(ended.key)
        if candidate is not None:
            self._step_back(candidate, ended, now)
        host = host_of(ended.target)
        for other in self._candidates.values():
            if other is not candidate and (other.peer == ended.peer or host in other.hosts):
                other.dial_at = max(other.dial_at, now + self._turn_s(other.key) + RETRY_S * self._chance())

    def dial_failed(self, key: str, now: float) -> None:
        """No target of the candidate accepted."""
        self._dialling.discard(key)
        candidate = self._candidates.get(key)
        if candidate is not None:
            self._wait(candidate, AWAY_S_MAX if candidate.discovered else REMEMBERED_S_MAX, now)

    # -- what to do

    def due(self, now: float) -> list[Dial]:
        """The dials to start now; each ends with `dial_failed`, or with `link_up` and in the end `link_down`."""
        dials: list[Dial] = []
        for candidate in self._unlinked()[: self._room()]:
            if candidate.dial_at <= now:
                self._dialling.add(candidate.key)
                dials.append(Dial(candidate.key, candidate.targets, candidate.failed))
        return dials

    def wake_at(self) -> float | None:
        """When `due` has something next if nothing happens before; None for never."""
        unlinked = self._unlinked()
        return unlinked[0].dial_at if unlinked and self._room() else None

    def known(self) -> list[str]:
        """Targets that led to established links, newest first."""
        for link in self._links.values():
            self._note_known(link)
        return list(reversed(self._known))

    def linked_hosts(self) -> set[str]:
        """The hosts of living links."""
        return {host_of(link.target) for link in self._links.values()}

    # -- helpers

    def _turn_s(self, name: str) -> float:
        return 0.0 if self._newcomer or self.own_name > name else YIELD_S

    def _room(self) -> int:
        """How many dials may be started."""
        return max(0, DIALS_MAX - len(self._dialling))

    def _unlinked(self) -> list[_Candidate]:
        """The candidates without a link (law 2) and without a dial under way, the next to be dialled first."""
        candidates = self._candidates.values()
        busy = self._dialling | {link.key for link in self._links.values()}
        discovered = {target for one in candidates if one.discovered for target in one.targets}
        met = {link.peer for link in self._links.values() if link.peer}
        claimed = {one.peer for one in candidates if one.peer}
        unclaimed = Counter(
            host_of(link.target)
            for link in self._links.values()
            if link.peer not in claimed and link.key not in self._candidates
        )
        rivals = Counter(
            host for one in candidates if one.discovered and not one.peer and one.key not in busy for host in one.hosts
        )

        def linked(one: _Candidate) -> bool:
            if one.key in busy or (not one.discovered and one.key in discovered):
                return True  # In the second case discovery knows the address too, and decides about it.
            if one.peer:
                return one.peer in met
            return any(unclaimed[host] >= max(rivals[host], 1) for host in one.hosts)

        return sorted((one for one in candidates if not linked(one)), key=lambda one: (one.dial_at, one.key))

    def _note_known(self, link: _Link) -> None:
        """Asked more than once: an accepted link is often older than the discovery of who made it."""
        if link.peer is None:
            return
        for target in [link.target] if link.key else self._targets_of(link):
            self._known.pop(target, None)
            self._known[target] = None
        while len(self._known) > REMEMBERED_MAX:
            del self._known[next(iter(self._known))]

    def _targets_of(self, link: _Link) -> list[str]:
        """Where an accepted link's peer listens, if one candidate alone can be meant."""
        host = host_of(link.target)
        meant = [
            one
            for one in self._candidates.values()
            if one.discovered and ((one.peer and one.peer == link.peer) or (not one.peer and host in one.hosts))
        ]
        return list(meant[0].targets[:1]) if len(meant) == 1 else []

    def _step_back(self, candidate: _Candidate, ended: _Link, now: float) -> None:
        """After a link that we dialled."""
        if ended.peer is not None and now - ended.since >= LIVED_S:
            candidate.failed = False
            candidate.wait_s = RETRY_S if candidate.discovered else REMEMBERED_S
            candidate.dial_at = now + RETRY_S * self._chance()
        elif candidate.discovered:
            self._wait(candidate, STRANGER_S_MAX if ended.peer is None else AWAY_S_MAX, now)
        else:
            self._wait(candidate, REMEMBERED_S_MAX, now)

    def _wait(self, candidate: _Candidate, most_s: float, now: float) -> None:
        candidate.failed = True
        candidate.dial_at = now + candidate.wait_s * self._chance()
        candidate.wait_s = min(candidate.wait_s * 2, most_s)
