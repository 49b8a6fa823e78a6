"""Records and bytes: each way without loss, alike in both implementations, and a named refusal for everything else."""

from __future__ import annotations

import zlib
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.limits import (
    HASHES_MAX,
    LOGS_MAX,
    PLAIN_BYTES_MAX,
    RANGES_MAX,
    RECORD_BYTES_MIN,
    RUN_BYTES_MAX,
    RUN_ENTRIES_MAX,
    SEQ_END,
    SYMBOLS_MAX,
    ZIP_BYTES_MIN,
)
from sync.octets import VARINT_END, varint
from sync.ranges import NOTHING, Ranges
from sync.wire import (
    RUN_OVERHEAD_BYTES,
    Ack,
    Ask,
    Check,
    Gone,
    Hello,
    Listed,
    LogId,
    LogRef,
    Remembered,
    RemoteProtocolError,
    Run,
    Sketch,
    Sketched,
    Spoken,
    State,
    States,
    Stop,
    Tagged,
    Unknown,
    Vector,
    Want,
    Withheld,
    decode,
    encode,
)
from tests.sync import naive, vectors
from tests.sync.pair import first, log, seqs

BYTES_MAX = 1 << 20
REASONS = {"record-malformed", "run-bounds", "ranges-too-many", "version-unsupported", "ack-empty"}

number = st.one_of(st.integers(0, 200), st.integers(0, VARINT_END - 1))
seq = st.one_of(st.integers(0, 300), st.integers(0, SEQ_END))
listed = st.one_of(st.integers(0, 300), st.integers(0, LOGS_MAX - 1))
lane, pushed = st.integers(0, 3), st.integers(0, 2)
unlisted = st.one_of(
    st.builds(Tagged, st.binary(min_size=5, max_size=5), pushed),
    st.builds(LogId, st.binary(min_size=16, max_size=16), pushed),
)
refs: st.SearchStrategy[LogRef] = st.one_of(
    st.integers(0, LOGS_MAX - 1),
    st.builds(Listed, listed, lane),
    st.builds(Tagged, st.binary(min_size=5, max_size=5), lane),
    st.builds(LogId, st.binary(min_size=16, max_size=16), lane),
)
seq_sets = st.lists(st.tuples(seq, seq), max_size=6).map(lambda pairs: Ranges.of(*pairs))
some = seq_sets.filter(bool)
settled = st.one_of(st.builds(first, seq), seq_sets)


@st.composite
def blocks(draw: st.DrawFn, *, dense: bool) -> tuple[State, ...]:
    """Listed logs in order, then the others; everything has something settled where it is dense."""
    values = some if dense else settled
    rows = draw(st.dictionaries(st.tuples(pushed, st.integers(0, 400) if dense else listed), values, max_size=8))
    states = [State(Listed(number, lane), rows[lane, number]) for lane, number in sorted(rows)]
    return (*states, *draw(st.lists(st.builds(State, unlisted, settled), max_size=4)))


size = st.integers(14, 29).map(lambda bits: 1 << bits)
hellos = st.builds(
    lambda known, upto, since, memory, delta, **rest: Hello(
        3, known=known, check=b"\xd0\xd1" if known else b"", upto=upto, **rest,
        memory=Remembered(min(since, upto), *memory) if memory else None, delta=bool(memory) and delta,
    ),
    known=st.integers(0, LOGS_MAX), upto=number, since=number, delta=st.booleans(),
    memory=st.one_of(st.none(), st.tuples(st.integers(0, 0xFFFF), number)),
    lanes=st.integers(0, 15), record_bytes_max=size, epoch=st.integers(0, 2**32 - 1),
    root=st.binary(min_size=8, max_size=8), chain=st.binary(min_size=4, max_size=4), hold=st.booleans(),
)  # fmt: skip


@st.composite
def acks(draw: st.DrawFn) -> Ack:
    done = draw(number)
    refused = sorted(draw(st.sets(st.integers(0, done - 1), max_size=5))) if done else []
    advance, heard = draw(number), draw(number)
    return Ack(done, advance if done or heard else advance + 1, heard, tuple(refused))


packs = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=RUN_ENTRIES_MAX).map(tuple)
hashes = st.lists(st.binary(min_size=4, max_size=4), max_size=5).map(tuple)
records: st.SearchStrategy[Spoken] = st.one_of(
    hellos,
    st.builds(States, blocks(dense=False), st.booleans(), st.booleans()),
    st.builds(Vector, st.booleans(), blocks(dense=True)),
    st.builds(Run, refs, st.integers(1, SEQ_END - RUN_ENTRIES_MAX),
              st.one_of(st.none(), st.binary(min_size=32, max_size=32)), packs),
    acks(),
    st.builds(Gone, refs, some),
    st.builds(Want, refs, seq_sets),
    st.builds(Stop, st.lists(refs, max_size=5).map(tuple)),
    st.just(Ask()),
    st.just(Withheld()),
    st.builds(Sketch, st.binary(max_size=40)),
    st.one_of(st.builds(Sketched, st.integers(1, SYMBOLS_MAX), st.just(False), st.just(())),
              st.builds(Sketched, st.just(0), st.just(False), hashes), st.just(Sketched(0, True, ()))),
    st.builds(Check, st.binary(min_size=2, max_size=2), st.binary(min_size=4, max_size=4)),
)  # fmt: skip


def reason(data: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data, bytes_max=BYTES_MAX)
    return caught.value.reason


def is_zipped(data: bytes) -> bool:
    return data[0] & 15 in (1, 10) and bool(data[0] & 128)


@settings(max_examples=400, deadline=None)
@given(records)
def test_every_record_is_read_and_written_alike_by_both_implementations(record: Spoken) -> None:
    data = encode(record)
    assert decode(data, bytes_max=BYTES_MAX) == record
    told = vectors.as_json(record)
    assert naive.read(data) == told
    assert decode(naive.write(told), bytes_max=BYTES_MAX) == record
    if not is_zipped(data):
        assert naive.write(told) == data
    elif isinstance(record, States | Vector):
        assert len(data) <= len(naive.write(told))
        assert decode(naive.write(told, deflate=True), bytes_max=BYTES_MAX) == record


def agree(data: bytes) -> None:
    """Both read the same from these bytes, or both refuse them."""
    refused = vectors.reason(data)
    if refused:
        assert refused in REASONS
        with pytest.raises(naive.NotARecord):
            naive.read(data)
        return
    told = vectors.as_json(decode(data, bytes_max=BYTES_MAX))
    assert naive.read(data) == told
    if told["type"] not in ("unknown", "sketch") and not is_zipped(data) and told.get("version", 3) == 3:
        assert naive.write(told) == data or told["type"] in ("states", "vector")


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.builds(lambda head, tail: bytes([head]) + tail, st.integers(0, 255), st.binary(max_size=30)),
    )
)
def test_any_bytes_are_read_or_refused_alike(data: bytes) -> None:
    agree(data)


@settings(max_examples=500, deadline=None)
@given(records, st.data())
def test_a_record_with_a_wrong_byte_is_read_or_refused_alike(record: Spoken, data: st.DataObject) -> None:
    whole = bytearray(encode(record))
    at = data.draw(st.integers(0, min(len(whole), 60) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    agree(bytes(whole))
    agree(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


def test_a_record_beyond_its_bound_is_not_even_parsed() -> None:
    with pytest.raises(RemoteProtocolError, match="record-oversized"):
        decode(bytes(101), bytes_max=100)


@pytest.mark.parametrize("kind", [13, 14, 15])
def test_a_type_of_a_later_version_is_unknown_and_not_malformed(kind: int) -> None:
    assert decode(bytes([kind | 0xF0]) + b"news", bytes_max=BYTES_MAX) == Unknown(kind)


def test_a_later_hello_may_say_more_and_an_earlier_one_is_not_understood() -> None:
    later = bytes([0x80, 4]) + encode(vectors.HELLO)[2:] + b"more"
    assert decode(later, bytes_max=BYTES_MAX) == Hello(
        4, vectors.HELLO.lanes, 131_072, 0, b"", 0x01020304, 9, vectors.ROOT, vectors.CHAIN
    )
    for earlier in (1, 2):
        assert reason(bytes([0, earlier]) + encode(vectors.HELLO)[2:]) == "version-unsupported"


def test_a_run_of_as_many_bytes_and_entries_as_allowed_is_taken_and_one_more_is_not() -> None:
    whole = Run(0, 0, None, (b"e",) * RUN_ENTRIES_MAX)
    assert decode(encode(whole), bytes_max=BYTES_MAX) == whole
    assert (RUN_ENTRIES_MAX - 1) & ~7 == 0, "three bits count them"
    fits = Run(0, 0, None, (bytes(RUN_BYTES_MAX - 1), b"e"))
    assert decode(encode(fits), bytes_max=BYTES_MAX) == fits
    assert reason(encode(Run(0, 0, None, (bytes(RUN_BYTES_MAX - 1), b"ee")))) == "run-bounds"
    alone = Run(0, 0, None, (bytes(RUN_BYTES_MAX + 1),))
    assert decode(encode(alone), bytes_max=BYTES_MAX) == alone


def test_a_run_ends_with_the_last_seq() -> None:
    last = Run(0, SEQ_END - 2, None, (b"e", b"e"))
    assert decode(encode(last), bytes_max=BYTES_MAX) == last
    assert reason(encode(Run(0, SEQ_END - 1, None, (b"e", b"e")))) == "run-bounds"
    assert reason(bytes((2, 2)) + varint(SEQ_END) + b"e") == "record-malformed"


def test_what_a_run_takes_beside_its_entries_is_bounded() -> None:
    most = Run(LogId(bytes(16), 3), SEQ_END - 8, bytes(32), (bytes(RUN_BYTES_MAX // 8),) * 8)
    assert len(encode(most)) - sum(map(len, most.packed)) <= RUN_OVERHEAD_BYTES


@pytest.mark.parametrize(
    "record",
    [
        States((State(Listed(0, 0), Ranges(tuple((2 * n + 1, 2 * n + 2) for n in range(RANGES_MAX + 1)))),)),
        Gone(0, Ranges(tuple((2 * n, 2 * n + 1) for n in range(RANGES_MAX + 1)))),
        Want(0, Ranges(tuple((2 * n, 2 * n + 1) for n in range(RANGES_MAX + 1)))),
    ],
)
def test_more_spans_than_allowed_are_refused(record: Spoken) -> None:
    assert reason(encode(record)) == "ranges-too-many"


def test_as_many_spans_as_allowed_are_taken() -> None:
    many = Ranges(tuple((2 * n + 1, 2 * n + 2) for n in range(RANGES_MAX)))
    for record in (States((State(Listed(0, 0), many),)), Gone(0, many), Want(0, many)):
        assert decode(encode(record), bytes_max=BYTES_MAX) == record


def test_the_last_mention_and_the_last_feed_have_names_and_the_next_has_not() -> None:
    for ref in (4 * LOGS_MAX - 1, Listed(LOGS_MAX - 1, 3)):
        assert decode(encode(Want(ref, NOTHING)), bytes_max=BYTES_MAX) == Want(ref, NOTHING)
    assert reason(b"\x05" + varint(3 + 8 * LOGS_MAX)) == "record-malformed"
    assert reason(b"\x01\x01\x01" + varint(LOGS_MAX) + b"\x02") == "record-malformed"


def test_as_many_hashes_as_allowed_are_taken_and_one_more_is_not() -> None:
    assert len(decode_hashes(HASHES_MAX)) == HASHES_MAX
    assert reason(b"\x19" + bytes(4 * HASHES_MAX + 4)) == "record-malformed"


def decode_hashes(count: int) -> tuple[bytes, ...]:
    record = decode(b"\x19" + bytes(4 * count), bytes_max=BYTES_MAX)
    assert isinstance(record, Sketched)
    return record.hashes


def test_what_deflates_to_too_much_is_refused_before_it_is_inflated() -> None:
    def deflated(count: int) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(b"\x01\x00" + varint(count) + bytes(count)) + packer.flush()

    bomb = b"\x8a" + deflated(1 << 26)
    assert reason(bomb) == "record-malformed"
    # Of a dense block, 65,536 zeros are 65,536 logs of which nothing is settled.
    assert decode(b"\x8a" + deflated(LOGS_MAX), bytes_max=BYTES_MAX) == Vector(False, ())
    assert LOGS_MAX + RECORD_BYTES_MIN < PLAIN_BYTES_MAX


def test_a_deflated_part_of_as_many_bytes_as_allowed_is_inflated_and_one_more_is_not() -> None:
    def stored(count: int) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return b"\x8a" + packer.compress(bytes([16]) + bytes(count - 1)) + packer.flush()

    for count in (PLAIN_BYTES_MAX, PLAIN_BYTES_MAX + 1):
        with pytest.raises(RemoteProtocolError, match="sections" if count == PLAIN_BYTES_MAX else "deflated"):
            decode(stored(count), bytes_max=BYTES_MAX)


def test_short_states_are_not_deflated_and_long_ones_are() -> None:
    short = States(tuple(State(Listed(n, 1), first(3)) for n in range(20)))
    long = States(tuple(State(Listed(n, 1), first(3)) for n in range(ZIP_BYTES_MIN)))
    assert not is_zipped(encode(short))
    assert is_zipped(encode(long))
    assert len(encode(long)) < 40


def test_states_that_do_not_deflate_are_left_as_they_are() -> None:
    feeds = (LogId(sha256(bytes([n])).digest()[:16], 1) for n in range(9))
    record = States(tuple(State(feed, first(1)) for feed in feeds))
    assert not is_zipped(encode(record))
    assert decode(encode(record), bytes_max=BYTES_MAX) == record


def test_a_vector_may_skip_numbers_and_leaves_them_out() -> None:
    told = (State(Listed(3, 1), first(2)), State(Listed(9, 1), seqs((4, 5))))
    data = encode(Vector(False, told))
    assert decode(data, bytes_max=BYTES_MAX) == Vector(False, told)
    assert len(data) == 2 + 2 + 7 + 3


@pytest.mark.parametrize("name", ["first contact", "sketched", "new on both sides, then live"])
def test_a_session_reads_back_into_the_records_that_were_written(name: str) -> None:
    for _, data in vectors.sessions()[name]["said"]:
        agree(bytes.fromhex(data))


def test_a_log_is_named_in_as_few_bytes_as_its_kind_allows() -> None:
    sizes = {ref: len(encode(Want(ref, NOTHING))) - 1 for ref in (62, 63, Listed(15, 2), Listed(2_000, 1), log(1))}
    assert list(sizes.values()) == [1, 2, 1, 2, 18]
