"""Sets of seqs as spans: what is settled, what is missing, what is gone.

Laws: spans are half-open, sorted, disjoint and never touch, so one set has one form and equal sets compare equal.
A Ranges never changes. Only `of` accepts spans in any order; the plain constructor trusts its caller.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of seqs (integers >= 0)."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, *spans: Span) -> Ranges:
        """The set of everything in these half-open spans: any order, overlapping, touching or empty."""
        return cls(_joined(sorted(spans)))

    def add(self, start: int, stop: int) -> Ranges:
        """This set and [start, stop)."""
        assert start >= 0
        if stop <= start:
            return self
        spans = self.spans
        if not spans or start > spans[-1][1]:
            return Ranges((*spans, (start, stop)))
        first, last = spans[-1]
        if start >= first:
            return self if stop <= last else Ranges((*spans[:-1], (first, stop)))
        low, high = _touching(spans, start, stop)
        if low < high:
            start, stop = min(start, spans[low][0]), max(stop, spans[high - 1][1])
        return Ranges((*spans[:low], (start, stop), *spans[high:]))

    def union(self, other: Ranges) -> Ranges:
        if not other.spans or self.spans == other.spans:
            return self
        if not self.spans:
            return other
        if len(other.spans) == 1:
            return self.add(*other.spans[0])
        return Ranges(_joined(sorted(self.spans + other.spans)))

    def minus(self, other: Ranges) -> Ranges:
        if not self.spans or not other.spans:
            return self
        if self.spans == other.spans:
            return NOTHING
        if len(self.spans) == 1:
            return Ranges(other.gaps(*self.spans[0]))
        if len(other.spans) <= _FEW:
            less = self
            for start, stop in other.spans:
                less = less._without(start, stop)
            return less
        # Of two sets that are nearly one, as old and new states are, most spans cancel each other at once.
        first, last = _common(self.spans, other.spans)
        left: list[Span] = []
        taken, at = other.spans[first : len(other.spans) - last], 0
        for start, stop in self.spans[first : len(self.spans) - last]:
            while at < len(taken) and taken[at][1] <= start:
                at += 1
            here = at
            while here < len(taken) and taken[here][0] < stop:
                if start < taken[here][0]:
                    left.append((start, taken[here][0]))
                start = taken[here][1]
                here += 1
            if start < stop:
                left.append((start, stop))
        return Ranges(tuple(left))

    def _without(self, start: int, stop: int) -> Ranges:
        spans = self.spans
        low, high = _overlapping(spans, start, stop)
        if low == high:
            return self
        below, above = (spans[low][0], start), (stop, spans[high - 1][1])
        kept = [span for span in (below, above) if span[0] < span[1]]
        return Ranges((*spans[:low], *kept, *spans[high:]))

    def intersect(self, other: Ranges) -> Ranges:
        return self.minus(self.minus(other))

    def gaps(self, start: int, stop: int) -> tuple[Span, ...]:
        """The parts of [start, stop) that are not in this set, in order."""
        spans = self.spans
        if len(spans) == 1 and spans[0][0] <= start < spans[0][1]:  # The usual case: a log without holes.
            return () if stop <= spans[0][1] else ((spans[0][1], stop),)
        low, high = _overlapping(spans, start, stop)
        left: list[Span] = []
        for first, last in spans[low:high]:
            if start < first:
                left.append((start, first))
            start = last
        if start < stop:
            left.append((start, stop))
        return tuple(left)

    def meets(self, start: int, stop: int) -> bool:
        """Whether any seq of [start, stop) is in this set."""
        low, high = _overlapping(self.spans, start, stop)
        return low < high

    def covers(self, start: int, stop: int) -> bool:
        """Whether every seq of [start, stop) is in this set."""
        return not self.gaps(start, stop)

    def __contains__(self, seq: int) -> bool:
        return self.meets(seq, seq + 1)

    def __bool__(self) -> bool:
        return bool(self.spans)

    @property
    def count(self) -> int:
        """How many seqs are in this set."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def next(self) -> int:
        """The first seq that is not in this set."""
        return self.spans[0][1] if self.spans and self.spans[0][0] == 0 else 0

    @property
    def top(self) -> int:
        """One beyond the last seq in this set; 0 when it is empty."""
        return self.spans[-1][1] if self.spans else 0


NOTHING = Ranges()
_FEW = 4  # Spans up to which taking away one by one, each found by bisection, beats walking along both sets.


def _joined(spans: list[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for start, stop in spans:
        assert start >= 0
        if stop <= start:
            continue
        if joined and start <= joined[-1][1]:
            if stop > joined[-1][1]:
                joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)


def _overlapping(spans: tuple[Span, ...], start: int, stop: int) -> tuple[int, int]:
    """Indexes [low, high) of the spans that share a seq with [start, stop)."""
    if stop <= start:
        return 0, 0
    low = bisect_right(spans, (start,))
    if low and spans[low - 1][1] > start:
        low -= 1
    return low, bisect_left(spans, (stop,), low)


def _touching(spans: tuple[Span, ...], start: int, stop: int) -> tuple[int, int]:
    """Indexes [low, high) of the spans that share a seq with [start, stop) or end or begin at its ends."""
    low = bisect_left(spans, (start,))
    if low and spans[low - 1][1] >= start:
        low -= 1
    return low, bisect_left(spans, (stop + 1,), low)


def _common(a: tuple[Span, ...], b: tuple[Span, ...]) -> tuple[int, int]:
    """How many spans both begin with, and how many of the others both end with. Compares slices: 10 ns a span."""
    shorter = min(len(a), len(b))
    first = _agreeing(shorter, lambda low, high: a[low:high] == b[low:high])
    last = _agreeing(
        shorter - first, lambda low, high: a[len(a) - high : len(a) - low] == b[len(b) - high : len(b) - low]
    )
    return first, last


def _agreeing(end: int, agree: Callable[[int, int], bool]) -> int:
    """The largest n <= end for which agree(0, n); agree(low, high) speaks of every part alike."""
    low = 0
    while low < end:
        middle = (low + end + 1) // 2
        if agree(low, middle):
            low = middle
        else:
            end = middle - 1
    return low
