"""Ranges against the sets they stand for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.ranges import Ranges

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)
bound = st.integers(0, 40)


def plain(seqs: Ranges) -> set[int]:
    return {seq for start, stop in seqs.spans for seq in range(start, stop)}


def of(numbers: set[int]) -> Ranges:
    return Ranges.of(*((number, number + 1) for number in numbers))


@settings(max_examples=200, deadline=None)
@given(spans, spans)
def test_set_operations_are_those_of_sets_and_keep_the_one_form(
    a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    left, right = Ranges.of(*a), Ranges.of(*b)
    assert plain(left) == {seq for start, stop in a for seq in range(start, stop)}
    assert left.union(right) == of(plain(left) | plain(right))
    assert left.minus(right) == of(plain(left) - plain(right))
    assert left.intersect(right) == of(plain(left) & plain(right))
    assert left == of(plain(left))


@settings(max_examples=200, deadline=None)
@given(spans, bound, bound)
def test_questions_about_a_span_are_answered_as_sets_answer(a: list[tuple[int, int]], start: int, stop: int) -> None:
    seqs, asked = Ranges.of(*a), set(range(start, stop))
    assert seqs.add(start, stop) == of(plain(seqs) | asked)
    assert Ranges(seqs.gaps(start, stop)) == of(asked - plain(seqs))
    assert seqs.meets(start, stop) == bool(asked & plain(seqs))
    assert seqs.covers(start, stop) == (asked <= plain(seqs))
    assert (start in seqs) == (start in plain(seqs))


many = st.sets(st.integers(0, 60), min_size=20, max_size=50)


@settings(max_examples=200, deadline=None)
@given(many, st.sets(st.integers(0, 60), max_size=3), many)
def test_taking_away_a_nearly_equal_or_a_quite_other_set_is_the_same_operation(
    a: set[int], changed: set[int], b: set[int]
) -> None:
    assert of(a).minus(of(a ^ changed)) == of(a - (a ^ changed))
    assert of(a ^ changed).minus(of(a)) == of((a ^ changed) - a)
    assert of(a).minus(of(b)) == of(a - b)


@settings(max_examples=100, deadline=None)
@given(spans)
def test_count_next_and_top_describe_the_set(a: list[tuple[int, int]]) -> None:
    seqs, numbers = Ranges.of(*a), plain(Ranges.of(*a))
    assert seqs.count == len(numbers)
    assert seqs.next == next(seq for seq in range(42) if seq not in numbers)
    assert seqs.top == max(numbers, default=-1) + 1
    assert bool(seqs) == bool(numbers)


def test_touching_spans_become_one() -> None:
    assert Ranges.of((5, 9), (0, 5)).spans == ((0, 9),)
    assert Ranges(((0, 2), (4, 6))).add(2, 4).spans == ((0, 6),)


def test_nothing_has_no_spans() -> None:
    assert Ranges.of((3, 3)) == Ranges() == Ranges.of()
