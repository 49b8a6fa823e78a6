"""What is passed on without a look at the disk, and what is not."""

from __future__ import annotations

from beepmesh.events import ReadEntries
from beepmesh.recent import Recent
from beepmesh.store.contract import ReadResult
from sync.ranges import NOTHING
from tests.store.writing import Author, envelope, token

RUN = Author("ana").run(4, envelope())


def asked(start: int, stop: int) -> ReadEntries:
    return ReadEntries(1, RUN[0].log, start, stop, 1 << 20, with_prev=True, run_bytes_max=1 << 16)


def kept() -> Recent:
    recent = Recent()
    recent.keep(RUN, frozenset({RUN[1].id, RUN[3].id}))
    return recent


def test_what_was_kept_is_read_as_the_store_would_read_it() -> None:
    assert kept().read(asked(1, 4)) == ReadResult(RUN[0].id, RUN[1:], NOTHING, frozenset({RUN[1].id, RUN[3].id}))
    assert kept().read(asked(1, 5)) is None


def test_what_is_vouched_for_by_something_above_is_left_to_the_store() -> None:
    recent = kept()
    assert recent.read(asked(0, 3)) is None
    recent.mend((RUN[2],))
    assert recent.read(asked(0, 3)) == ReadResult(None, RUN[:3], NOTHING, frozenset({RUN[1].id, RUN[2].id}))


def test_what_was_delivered_is_kept_no_longer() -> None:
    recent = kept()
    recent.forget((token(RUN[1]),))
    assert recent.read(asked(0, 2)) is None
    assert recent.read(asked(2, 4)) is not None
