"""Who works with whom: an organisation's teams, which become the departments of its people's certificates.

An organisation makes its teams before it knows what comes. So they are made of how long people were together in the
first part of a trace, and nothing later is looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import fsum
from typing import Final

from simulations.traces import Trace

TEAM_MIN: Final = 3
"""Nobody plans with fewer people. It is also the least that a crowd has, towards which mail is carried."""


def departments(trace: Trace) -> tuple[str, ...]:
    """By node, the path of its department: the name of its team."""
    return tuple(f"Team {number}" for number in teams(trace))


def teams(trace: Trace, size_max: int = 6, part: float = 0.2) -> tuple[int, ...]:
    """By node, the number of its team; teams are numbered from 0 in the order of their lowest members.

    Those who were together longest in the first `part` of the trace's time (0 to 1) join first, as long as a team has
    at most `size_max` people. Those who then are fewer than three are put together with each other. One or two who are
    left over join the smallest team, which alone may become larger than `size_max`, or than four where that is more.
    """
    joined = _joined(trace.nodes, _nearest(trace, trace.duration * part), size_max)
    number = [0] * trace.nodes
    for team, members in enumerate(sorted(_filled(joined), key=min)):
        for node in members:
            number[node] = team
    return tuple(number)


def _nearest(trace: Trace, until: float) -> list[tuple[int, int]]:
    """The pairs that met before that time, the longest together first."""
    times: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for start, stop, a, b in trace.contacts:
        if start < until:
            times[a, b].append(min(stop, until) - start)
    # An exact sum: what is equal stays equal, whatever the order of the contacts.
    together_s = {pair: fsum(each) for pair, each in times.items()}
    return sorted(together_s, key=lambda pair: (-together_s[pair], pair))


def _joined(nodes: int, pairs: Iterable[tuple[int, int]], size_max: int) -> list[list[int]]:
    """Teams in the order of their lowest members; whoever is in no pair is alone in one."""
    team_of = [[node] for node in range(nodes)]
    for a, b in pairs:
        team, other = team_of[a], team_of[b]
        if team is not other and len(team) + len(other) <= size_max:
            team += other
            for node in other:
                team_of[node] = team
    return [team for node, team in enumerate(team_of) if node == min(team)]


def _filled(joined: Iterable[list[int]]) -> list[list[int]]:
    """The same people in teams of at least TEAM_MIN, if there are so many at all."""
    filled: list[list[int]] = []
    waiting: list[int] = []
    for team in joined:
        if len(team) >= TEAM_MIN:
            filled.append(team)
        else:
            waiting = waiting + team
            if len(waiting) >= TEAM_MIN:
                filled.append(waiting)
                waiting = []
    if waiting and filled:
        smallest = min(filled, key=lambda team: (len(team), min(team)))
        smallest += waiting
    elif waiting:
        filled.append(waiting)
    return filled
