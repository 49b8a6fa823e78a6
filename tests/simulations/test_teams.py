"""Teams: people who were often together when the organisation was made, and nobody in a team too small for a crowd."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh.crypto.names import department_problem
from simulations.teams import TEAM_MIN, departments, teams
from simulations.traces import Contact, Trace, merged

END = 1_000.0


def trace(nodes: int, *together: tuple[float, float, int, int], end: float = END) -> Trace:
    """Its last contact makes it that long, and is too late for any team."""
    return Trace("drawn", nodes, tuple(merged([*together, (end, end, 0, 1)])))


@st.composite
def traces(draw: st.DrawFn, nodes_min: int = 2) -> Trace:
    """Few people who meet often: ties, full teams and people who are left over are frequent."""
    nodes = draw(st.integers(nodes_min, 14))
    node = st.integers(0, nodes - 1)
    times = st.one_of(st.integers(0, 40).map(float), st.floats(0, 40, allow_subnormal=False))
    met = draw(st.lists(st.tuples(times, times, node, node), max_size=40))
    return trace(nodes, *met, end=100.0)


def test_who_was_together_longest_is_in_one_team() -> None:
    met = trace(6, (0, 90, 0, 4), (0, 80, 4, 2), (0, 70, 1, 5), (0, 60, 5, 3), (0, 10, 0, 1))
    assert teams(met, size_max=3) == (0, 1, 0, 1, 0, 1)


def test_the_times_of_a_pair_are_added_up() -> None:
    often = [(20.0 * n, 20.0 * n + 10, 0, 3) for n in range(5)]
    assert teams(trace(6, (0, 45, 0, 1), (0, 44, 0, 2), (0, 9, 4, 5), *often), size_max=3) == (0, 0, 1, 0, 1, 1)


def test_of_equal_times_the_lower_pair_comes_first_whichever_met_first() -> None:
    pairs = (0, 90, 0, 1), (0, 90, 4, 5)
    assert teams(trace(6, *pairs, (20, 30, 0, 3), (10, 20, 1, 2)), size_max=3) == (0, 0, 1, 0, 1, 1)
    assert teams(trace(6, *pairs, (20, 30, 0, 2), (10, 20, 1, 3)), size_max=3) == (0, 0, 0, 1, 1, 1)


def test_times_that_are_equal_but_for_the_order_in_which_they_are_added_are_equal() -> None:
    times = ((0, 0.1), (0.1, 0.2), (5, 5.2))
    first, second, third = (stop - start for start, stop in times)
    assert first + second + third > third + second + first
    pairs = [Contact(0, 90, 0, 1), Contact(0, 90, 4, 5), Contact(END, END, 0, 1)]
    forth = [Contact(start, stop, 1, 2) for start, stop in times]
    back = [Contact(start, stop, 0, 3) for start, stop in reversed(times)]
    assert teams(Trace("drawn", 6, (*pairs, *forth, *back)), size_max=3) == (0, 0, 1, 0, 1, 1)


def test_a_contact_counts_until_the_first_part_ends() -> None:
    """1 is with 0 for 60 s of the first 200, and for hours after them; 2 is with 0 for 70."""
    met = trace(6, (140, 900, 0, 1), (0, 70, 0, 2), (0, 69, 2, 5), (0, 50, 3, 4))
    assert teams(met, size_max=3) == (0, 1, 0, 1, 1, 0)
    assert teams(met, size_max=3, part=1.0) == (0, 0, 0, 1, 1, 1)


def test_who_met_too_few_is_put_together_with_others_like_him() -> None:
    met = trace(9, (0, 50, 1, 2), (0, 40, 2, 3))
    assert teams(met) == (0, 1, 1, 1, 0, 0, 2, 2, 2)


def test_one_who_is_left_over_joins_the_smallest_team() -> None:
    met = trace(8, (0, 50, 0, 1), (0, 50, 1, 2), (0, 50, 2, 3), (0, 50, 4, 5), (0, 50, 5, 6))
    assert teams(met, size_max=4) == (0, 0, 0, 0, 1, 1, 1, 1)


@pytest.mark.parametrize(("nodes", "expected"), [(1, (0,)), (2, (0, 0)), (3, (0, 0, 0)), (6, (0, 0, 0, 1, 1, 1))])
def test_nobody_has_met_anybody(nodes: int, expected: tuple[int, ...]) -> None:
    assert teams(Trace("silent", nodes, ())) == expected


def test_the_names_of_departments_may_stand_in_certificates() -> None:
    named = departments(trace(9))
    assert named == ("Team 0",) * 3 + ("Team 1",) * 3 + ("Team 2",) * 3
    assert {department_problem(name) for name in (*named, "Team 99999")} == {None}


@given(traces(), st.integers(1, 8))
def test_everybody_has_a_team_and_its_number_is_in_the_order_of_lowest_members(met: Trace, size_max: int) -> None:
    found = teams(met, size_max)
    assert len(found) == met.nodes
    assert list(dict.fromkeys(found)) == list(range(max(found) + 1))


@given(traces(nodes_min=TEAM_MIN), st.integers(1, 8), st.floats(0, 1))
def test_a_team_has_three_at_least_and_one_at_most_is_larger_than_asked(met: Trace, size_max: int, part: float) -> None:
    sizes = Counter(teams(met, size_max, part)).values()
    put_together_max = TEAM_MIN + 1  # Two of two.
    larger = [size for size in sizes if size > max(size_max, put_together_max)]
    assert min(sizes) >= TEAM_MIN
    assert len(larger) <= 1
    assert max(sizes) <= max(size_max, put_together_max) + TEAM_MIN - 1


@given(traces(), st.sampled_from([0.1, 0.2, 0.37]))
def test_nothing_after_the_first_part_changes_a_team(met: Trace, part: float) -> None:
    end = met.duration
    until = end * part
    known = [contact._replace(stop=min(contact.stop, until)) for contact in met.contacts if contact.start < until]
    later = [Contact(until, end, a, b) for a in range(met.nodes) for b in range(a + 1, met.nodes)]
    assert teams(Trace("other", met.nodes, (*known, *later)), part=part) == teams(met, part=part)


@given(traces(), st.integers(0, 1 << 30))
def test_the_order_of_contacts_changes_no_team(met: Trace, seed: int) -> None:
    shuffled = Random(seed).sample(met.contacts, len(met.contacts))
    assert teams(Trace("shuffled", met.nodes, tuple(shuffled))) == teams(met)
