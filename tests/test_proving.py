"""Where what was read is cut into runs, and which signatures that costs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh import proving
from beepmesh.crypto.primitives import SigningKey
from beepmesh.messages.entry import Entry, pack, verify_entry
from beepmesh.proving import Cut, cut
from beepmesh.store.contract import ReadResult
from sync.limits import RUN_BYTES_MAX, RUN_ENTRIES_MAX
from sync.ranges import Ranges
from tests.speaker import chain

KEY = SigningKey(bytes(range(32)))
SMALL = chain(KEY, 1, [(b"", b"\1small")] * 24)


def spoiled(entries: Sequence[Entry], seqs: Collection[int]) -> list[Entry]:
    return [entry._replace(signature=bytes(64)) if entry.seq in seqs else entry for entry in entries]


def cut_of(
    entries: Sequence[Entry], *, proved: Collection[int] = (), run_bytes_max: int = RUN_BYTES_MAX, whole: bool = False
) -> Cut:
    known = frozenset(entry.id for entry in entries if entry.seq in proved)
    sizes = [len(pack(entry)) for entry in entries]
    read = ReadResult(None, tuple(entries), Ranges(), known)
    return cut(KEY.public, read, sizes, run_bytes_max=run_bytes_max, whole=whole)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The places whose signatures were checked."""
    seqs: list[int] = []

    def verify(public: bytes, entry: Entry) -> bool:
        seqs.append(entry.seq)
        return verify_entry(public, entry)

    monkeypatch.setattr(proving, "verify_entry", verify)
    return seqs


def test_a_run_costs_the_signature_of_its_end_once(checked: list[int]) -> None:
    first = cut_of(SMALL)
    assert first == Cut((8, 16, 24), (SMALL[7], SMALL[15], SMALL[23]), 0)
    assert checked == [7, 15, 23]
    assert cut_of(SMALL, proved=checked) == Cut((8, 16, 24), (), 0)
    assert checked == [7, 15, 23]


def test_smaller_runs_are_cut_where_they_are_asked_for() -> None:
    size = len(pack(SMALL[0]))
    assert cut_of(SMALL[:8], run_bytes_max=3 * size).ends == (3, 6, 8)
    assert cut_of(SMALL[:8], run_bytes_max=3 * size - 1).ends == (2, 4, 6, 8)
    assert cut_of(SMALL[:3], run_bytes_max=1).ends == (1, 2, 3)


def test_a_spoiled_end_moves_down_or_else_up() -> None:
    assert cut_of(spoiled(SMALL, [6, 7])).ends == (6, 14, 22, 24)
    size = len(pack(SMALL[0]))
    assert cut_of(spoiled(SMALL, range(5))[:9], run_bytes_max=2 * size).ends == (6, 8, 9)


def test_what_stands_above_the_last_good_end_is_left_for_the_next_read() -> None:
    assert cut_of(spoiled(SMALL[:12], range(8, 12))) == Cut((8,), (SMALL[7],), 0)
    assert cut_of(spoiled(SMALL[:12], range(8, 12)), whole=True).ends == (8,)


def test_only_what_may_end_at_the_edge_of_a_hole_has_a_spoiled_end() -> None:
    false = spoiled(SMALL, range(24))
    assert cut_of(false[:7], whole=True) == Cut((7,), (), 0)
    assert cut_of(false[:7], whole=False) == Cut((), (), 7)
    assert cut_of(false[:8], whole=True) == Cut((), (), 8)
    large = spoiled(chain(KEY, 1, [(b"", b"\1" + bytes(6_000))] * 3), range(3))
    assert cut_of(large, whole=True) == Cut((), (), 3)
    assert cut_of(large[:2], whole=True) == Cut((2,), (), 0)


def test_what_nobody_would_take_is_gone_up_to_where_a_run_may_begin_again() -> None:
    assert cut_of(spoiled(SMALL, range(12))) == Cut((), (SMALL[12],), 5)


def test_nothing_is_checked_of_a_feed_whose_key_is_not_known_any_more() -> None:
    read = ReadResult(None, tuple(spoiled(SMALL, range(24))), Ranges())
    assert cut(None, read, [1] * 24, run_bytes_max=RUN_BYTES_MAX, whole=False) == Cut((8, 16, 24), (), 0)
    assert cut(None, ReadResult(None, (), Ranges()), [], run_bytes_max=1, whole=False) == Cut((), (), 0)


BODIES = (40, 700, 2_300, 9_000, 20_000)
SIZED = {size: chain(KEY, 1, [(b"", b"\1" + bytes(size))]) for size in BODIES}


@given(
    st.lists(st.tuples(st.sampled_from(BODIES), st.booleans(), st.booleans()), max_size=20),
    st.sampled_from((1, 1_000, RUN_BYTES_MAX)),
    st.booleans(),
)
def test_every_run_keeps_the_bounds_and_ends_well(
    drawn: list[tuple[int, bool, bool]], run_bytes_max: int, whole: bool
) -> None:
    entries = [SIZED[size][0]._replace(seq=seq, id=bytes([seq]) * 32) for seq, (size, _, _) in enumerate(drawn)]
    good = {entry.id for entry, (_, fine, _) in zip(entries, drawn, strict=True) if fine}
    known = frozenset(entry.id for entry, (_, fine, seen) in zip(entries, drawn, strict=True) if fine and seen)
    sizes = [len(pack(entry)) for entry in entries]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proving, "verify_entry", lambda _, entry: entry.id in good)
        runs = cut(KEY.public, ReadResult(None, tuple(entries), Ranges(), known), sizes, run_bytes_max=run_bytes_max,
            whole=whole)  # fmt: skip
    assert {entry.id for entry in runs.proved} <= good - known
    begin = 0
    for end in runs.ends:
        assert begin < end <= begin + RUN_ENTRIES_MAX
        assert end == begin + 1 or sum(sizes[begin:end]) <= RUN_BYTES_MAX
        assert entries[end - 1].id in good or (whole and end == len(entries) < RUN_ENTRIES_MAX)
        begin = end
    assert not (runs.ends and runs.spoiled)
    if entries:
        assert runs.ends or runs.spoiled
    # Whoever asks again from there gets on.
    assert runs.spoiled <= len(entries)
