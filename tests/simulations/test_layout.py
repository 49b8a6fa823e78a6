"""Nodes that meet lie near each other, the same way each time."""

from __future__ import annotations

import sys
from math import dist

import pytest

from simulations.extras import ExtraMissing
from simulations.layout import lay_out
from simulations.traces import Contact


def villages() -> list[Contact]:
    """Nodes 0 to 9 meet each other, so do 10 to 19, and 0 and 10 meet once."""
    inside = [(a, b) for first in (0, 10) for a in range(first, first + 10) for b in range(a + 1, first + 10)]
    return [Contact(60.0 * at, 60.0 * at + 600, a, b) for at, (a, b) in enumerate(inside)] + [
        Contact(9e3, 9e3 + 60, 0, 10)
    ]


def test_villages_lie_apart() -> None:
    at = lay_out(20, villages())
    inside = max(dist(at[first + a], at[first + b]) for first in (0, 10) for a in range(10) for b in range(10))
    assert inside < min(dist(at[a], at[b]) for a in range(10) for b in range(10, 20))


def test_places_are_the_same_each_time_and_on_the_map() -> None:
    at = lay_out(20, villages())
    assert at == lay_out(20, villages())
    assert all(0 <= value <= 1 for place in at for value in place)
    assert len(set(at)) == 20


@pytest.mark.parametrize("nodes", [1, 2, 30])
def test_who_meets_nobody_has_a_place(nodes: int) -> None:
    assert len(lay_out(nodes, [])) == nodes


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ExtraMissing, match="The layout of a map needs numpy"):
        lay_out(2, [])
