"""Who is off meets nobody; a window that opens is a contact."""

from __future__ import annotations

from simulations.traces import Contact, Trace
from simulations.windows import Absence, regular, with_windows, without

TRACE = Trace("three", 3, (Contact(0, 100, 0, 1), Contact(10, 20, 1, 2), Contact(50, 90, 0, 2)))


def test_an_absence_cuts_what_spans_it_in_two_and_leaves_other_nodes_alone() -> None:
    cut = without(TRACE, [Absence(40, 60, 0)])
    assert cut.contacts == (Contact(0, 40, 0, 1), Contact(10, 20, 1, 2), Contact(60, 100, 0, 1), Contact(60, 90, 0, 2))


def test_absences_of_both_nodes_and_overlapping_ones_are_all_taken_away() -> None:
    cut = without(TRACE, [Absence(0, 30, 0), Absence(20, 50, 1), Absence(45, 47, 0), Absence(80, float("inf"), 2)])
    assert cut.contacts == (Contact(10, 20, 1, 2), Contact(50, 100, 0, 1), Contact(50, 80, 0, 2))


def test_without_absences_the_trace_is_the_same() -> None:
    assert without(TRACE, []) is TRACE


def test_a_window_joins_the_contact_that_it_overlaps() -> None:
    joined = with_windows(TRACE, [Contact(15, 30, 1, 2), Contact(95, 95, 1, 2)])
    assert joined.contacts == (Contact(0, 100, 0, 1), Contact(10, 30, 1, 2), Contact(50, 90, 0, 2))


def test_regular_windows_end_with_the_trace() -> None:
    opened = regular(5, 2, every_s=100, for_s=30, first_s=10, until_s=220)
    assert opened == [Contact(10, 40, 2, 5), Contact(110, 140, 2, 5), Contact(210, 220, 2, 5)]
    assert regular(5, 2, every_s=100, for_s=30, first_s=300, until_s=220) == []
