"""Places for nodes of which only the meetings are known: those who meet much come to lie near each other.

Nodes push each other away and contacts pull them together, until they rest (T. Fruchterman, E. Reingold, "Graph drawing
by force-directed placement", 1991). What is far away pushes as one: the field is divided into squares, and each square
acts from its centre of mass, so that ten thousand nodes take seconds. Nothing is drawn by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import isqrt

from simulations.extras import extra
from simulations.traces import Contact

ROUNDS_MAX, ROUNDS_MIN = 150, 30
SQUARES_A_SIDE_MAX = 24
GOLDEN_ANGLE = 2.399963229728653
LINKS_PER_NODE = 8
"""More of a node's strongest ties say nothing new and make one ball of everything."""


def lay_out(nodes: int, contacts: Iterable[Contact]) -> list[tuple[float, float]]:
    """A place for each node, within 0 to 1 both ways. Raises ExtraMissing."""
    with extra("numpy", "The layout of a map"):
        import numpy as np
    ties = _ties(nodes, contacts)
    a = np.array([tie[0] for tie in ties], dtype=np.intp)
    b = np.array([tie[1] for tie in ties], dtype=np.intp)
    pull = np.array([tie[2] for tie in ties])[:, None]
    number = np.arange(nodes)
    spiral = np.sqrt((number + 0.5) / nodes)[:, None] / 2
    at = 0.5 + spiral * np.stack([np.cos(number * GOLDEN_ANGLE), np.sin(number * GOLDEN_ANGLE)], axis=1)
    side = min(SQUARES_A_SIDE_MAX, max(4, isqrt(nodes) * 2))
    reach = 0.6 / nodes**0.5
    rounds = max(ROUNDS_MIN, min(ROUNDS_MAX, 150_000 // nodes))
    for round_ in range(rounds):
        low, span = at.min(axis=0), np.maximum(np.ptp(at, axis=0), 1e-9)
        square = np.minimum((at - low) / span * side, side - 1).astype(np.intp)
        square_of = square[:, 0] * side + square[:, 1]
        mass = np.bincount(square_of, minlength=side * side)
        full = mass.nonzero()[0]
        centres = np.stack([np.bincount(square_of, at[:, k], side * side)[full] / mass[full] for k in (0, 1)], axis=1)
        away = at[:, None, :] - centres[None, :, :]
        # Two in one square are pushed from its middle; one alone in it is not pushed by itself.
        near = (away**2).sum(axis=2) + (0.1 * reach) ** 2
        force = (away * (mass[full] / near)[:, :, None]).sum(axis=1) * reach**2
        along = (at[b] - at[a]) * pull * np.linalg.norm(at[b] - at[a], axis=1, keepdims=True) / reach
        np.add.at(force, a, along)
        np.add.at(force, b, -along)
        force += (0.5 - at) * 0.3
        length = np.linalg.norm(force, axis=1, keepdims=True) + 1e-12
        at += force / length * np.minimum(length, 0.1 * (1 - round_ / rounds) ** 2 + 0.001)
    low, high = np.quantile(at, 0.01, axis=0), np.quantile(at, 0.99, axis=0)
    at = np.clip((at - low) / np.maximum(high - low, 1e-9), -0.02, 1.02)
    return [(round(float(x), 4), round(float(y), 4)) for x, y in (at + 0.02) / 1.04]


def _ties(nodes: int, contacts: Iterable[Contact]) -> list[tuple[int, int, float]]:
    """Pairs with the strength of their tie, up to 1: the part of their time together among all time with others."""
    together: Counter[tuple[int, int]] = Counter()
    for start, stop, a, b in contacts:
        together[a, b] += int(stop - start) + 1
    whole: Counter[int] = Counter()
    best: list[list[tuple[int, int, int]]] = [[] for _ in range(nodes)]
    for (a, b), seconds in sorted(together.items()):
        whole[a] += seconds
        whole[b] += seconds
        best[a].append((-seconds, a, b))
        best[b].append((-seconds, a, b))
    kept = {(a, b) for ties in best for _, a, b in sorted(ties)[:LINKS_PER_NODE]}
    return [(a, b, (together[a, b] / min(whole[a], whole[b])) ** 0.5) for a, b in sorted(kept)]
