"""Records and bytes: each way without loss, and nothing but a named refusal for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import cbor
from sync.limits import LOGS_MAX, RANGES_MAX, RECORD_BYTES_MIN, RUN_BYTES_MAX, RUN_ENTRIES_MAX, SEQ_END
from sync.ranges import NOTHING, Ranges
from sync.wire import (
    Ack,
    Gone,
    Hello,
    LogRef,
    Record,
    RemoteProtocolError,
    Run,
    State,
    Unknown,
    Vector,
    decode,
    encode,
    state_bytes,
)
from tests.sync.pair import first

BYTES_MAX = 1 << 20

refs = st.one_of(
    st.integers(0, LOGS_MAX - 1),
    st.builds(lambda feed, lane: feed + bytes([lane]), st.binary(min_size=16, max_size=16), st.integers(0, 3)),
)
seq_sets = st.lists(st.tuples(st.integers(0, SEQ_END), st.integers(0, SEQ_END)), max_size=6).map(
    lambda pairs: Ranges.of(*pairs)
)
some = seq_sets.filter(bool)
tips = st.one_of(st.just(b""), st.binary(min_size=8, max_size=8))
states = st.one_of(st.builds(State, refs, some, tips), st.builds(State, refs, st.just(NOTHING), st.just(b"")))
parts = st.lists(states, max_size=4).map(tuple)
prevs = st.one_of(st.none(), st.binary(min_size=32, max_size=32))
packs = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=RUN_ENTRIES_MAX).map(tuple)
records = st.one_of(
    st.builds(Hello, st.just(1), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16), st.integers(0, 255),
              st.integers(RECORD_BYTES_MIN, 2**32 - 1)),
    st.builds(Vector, st.booleans(), parts),
    st.builds(Run, refs, st.integers(1, SEQ_END - RUN_ENTRIES_MAX), prevs, packs),
    st.builds(Ack, st.integers(0, 2**32 - 1), parts),
    st.builds(Gone, refs, some),
)  # fmt: skip


def reason(value: object) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(value if isinstance(value, bytes) else cbor.encode(value), bytes_max=BYTES_MAX)
    return caught.value.reason


@settings(max_examples=200, deadline=None)
@given(records)
def test_every_record_survives_the_wire(record: Hello | Vector | Run | Ack | Gone) -> None:
    assert decode(encode(record), bytes_max=BYTES_MAX) == record


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_a_refusal(data: bytes) -> None:
    _decoded_or_refused(data)


shapes = st.recursive(
    st.one_of(
        st.integers(-2, 30),
        st.sampled_from([SEQ_END, 2**63, None, True, False, "", b"", bytes(17), bytes(8), bytes(32)]),
    ),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 11), st.lists(shapes, max_size=6))
def test_any_array_is_a_record_or_a_refusal(kind: int, rest: list[object]) -> None:
    _decoded_or_refused(cbor.encode([kind, *rest]))


def _decoded_or_refused(data: bytes) -> None:
    try:
        record: Record = decode(data, bytes_max=BYTES_MAX)
    except RemoteProtocolError:
        return
    if not isinstance(record, Unknown) and not (isinstance(record, Hello) and record.version > 1):
        assert encode(record) == data


@settings(max_examples=200, deadline=None)
@given(states)
def test_the_size_of_a_state_is_foretold(state: State) -> None:
    empty = len(encode(Vector(False, ())))
    assert len(encode(Vector(False, (state,)))) - empty == state_bytes(state)


@pytest.mark.parametrize("log", [0, 23, 24, 255, 256, LOGS_MAX - 1])
def test_the_size_of_a_log_number_is_foretold(log: LogRef) -> None:
    assert state_bytes(State(log, first(5), b"")) == len(encode(Vector(False, (State(log, first(5), b""),)))) - 4


def test_a_record_beyond_its_bound_is_not_even_parsed() -> None:
    with pytest.raises(RemoteProtocolError, match="record-oversized"):
        decode(bytes(101), bytes_max=100)


@pytest.mark.parametrize("value", [b"", b"\xff", b"\x80", 7, "RUN", None, [], ["x"], [-1], [True], [2**32]])
def test_what_is_no_array_with_a_type_is_malformed(value: object) -> None:
    assert reason(value) == "record-malformed"


def test_a_type_of_a_later_form_is_unknown_and_not_malformed() -> None:
    assert decode(cbor.encode([9, b"sketch"]), bytes_max=BYTES_MAX) == Unknown(9)


def accepted(value: object) -> None:
    data = cbor.encode(value)
    record = decode(data, bytes_max=BYTES_MAX)
    assert not isinstance(record, Unknown)
    assert encode(record) == data


ROOT = bytes(16)


@pytest.mark.parametrize(
    "rest",
    [
        [0, 0, ROOT, 7, 65536],
        [2**16, 0, ROOT, 7, 65536, 0],
        [1, 2**32, ROOT, 7, 65536],
        [1, 0, bytes(15), 7, 65536],
        [1, 0, ROOT, 256, 65536],
        [1, 0, ROOT, 7, RECORD_BYTES_MIN - 1],
        [1, 0, ROOT, 7, 2**32],
        [1, 0, ROOT, 7],
        [1, 0, ROOT, 7, 65536, 0],
        [2, 0, ROOT, 7],
    ],
)
def test_a_hello_one_step_outside_is_malformed(rest: list[object]) -> None:
    assert reason([0, *rest]) == "record-malformed"


def test_a_later_hello_may_say_more() -> None:
    hello = decode(cbor.encode([0, 2, 5, ROOT, 7, 65536, b"more", [1]]), bytes_max=BYTES_MAX)
    assert hello == Hello(2, 5, ROOT, 7, 65536)


LOG = bytes(17)


def test_a_run_of_as_many_entries_as_allowed_decodes_and_one_more_does_not() -> None:
    accepted([2, LOG, 0, None, [b"e"] * RUN_ENTRIES_MAX])
    assert reason([2, LOG, 0, None, [b"e"] * (RUN_ENTRIES_MAX + 1)]) == "run-bounds"
    assert reason([2, LOG, 0, None, []]) == "run-bounds"
    assert reason([2, LOG, 0, None, [b"e", b""]]) == "run-bounds"


def test_several_entries_share_the_byte_bound_and_a_single_one_does_not() -> None:
    accepted([2, LOG, 0, None, [bytes(RUN_BYTES_MAX - 1), b"e"]])
    assert reason([2, LOG, 0, None, [bytes(RUN_BYTES_MAX), b"e"]]) == "run-bounds"
    accepted([2, LOG, 0, None, [bytes(RUN_BYTES_MAX + 1)]])


def test_a_run_ends_with_the_last_seq() -> None:
    accepted([2, LOG, SEQ_END - 2, None, [b"e", b"e"]])
    assert reason([2, LOG, SEQ_END - 1, None, [b"e", b"e"]]) == "run-bounds"
    assert reason([2, LOG, SEQ_END, None, [b"e"]]) == "record-malformed"


@pytest.mark.parametrize(
    "rest",
    [
        [bytes(16), 1, None, [b"e"]],
        [bytes(16) + b"\x04", 1, None, [b"e"]],
        [LOGS_MAX, 1, None, [b"e"]],
        [LOG, 1, bytes(31), [b"e"]],
        [LOG, 0, bytes(32), [b"e"]],
        [LOG, -1, None, [b"e"]],
        [LOG, 1, None, [7]],
        [LOG, 1, None],
    ],
)
def test_a_run_with_a_wrong_part_is_malformed(rest: list[object]) -> None:
    assert reason([2, *rest]) == "record-malformed"


@pytest.mark.parametrize(
    "state",
    [
        [LOG, SEQ_END + 1, [], b""],
        [LOG, 1, [0, 1], b""],
        [LOG, 0, [0, 1], b""],
        [LOG, 1, [1, 0], b""],
        [LOG, 1, [1], b""],
        [LOG, 1, [1, SEQ_END], b""],
        [LOG, 1, [1, 1, 0, 1], b""],
        [LOG, 1, [], bytes(7)],
        [LOG, 0, [], bytes(8)],
        [LOG, 1, None, b""],
        [LOG, 1, b"", b""],
        [LOG, 1, []],
    ],
)
def test_a_state_with_a_wrong_part_is_malformed(state: list[object]) -> None:
    assert reason([1, False, [state]]) == "record-malformed"
    assert reason([3, 1, [state]]) == "record-malformed"


def test_a_state_of_as_many_ranges_as_allowed_decodes_and_one_more_does_not() -> None:
    accepted([1, False, [[LOG, 1, [1] * (2 * RANGES_MAX), b""]]])
    assert reason([1, False, [[LOG, 1, [1] * (2 * RANGES_MAX + 2), b""]]]) == "ranges-too-many"
    assert reason([4, LOG, [1] * (2 * RANGES_MAX + 2)]) == "ranges-too-many"


def test_gone_may_begin_at_seq_0_and_is_never_empty() -> None:
    assert decode(cbor.encode([4, LOG, [0, 1]]), bytes_max=BYTES_MAX) == Gone(LOG, first(1))
    assert reason([4, LOG, []]) == "record-malformed"
    assert reason([4, LOG, [0, 1, 0, 1]]) == "record-malformed"
