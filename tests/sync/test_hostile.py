"""A peer that breaks the protocol: one Hangup with its reason, nothing after it, nothing unbounded before it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import cbor, limits, names, peer
from sync.limits import RANGES_MAX, RECORD_BYTES_MIN, WINDOW_BYTES_MAX, WINDOW_RUNS_MAX
from sync.logs import LogId
from sync.ranges import Ranges
from sync.session import Hangup, LogsGrew, RecordReceived, Session, Started, TimeCame
from sync.wire import Ack, Gone, Hello, Run, Vector, encode
from tests.sync.pair import End, Node, first, log, seqs
from tests.sync.script import OTHER_ROOT, Scripted, name, run, state

ONE, TWO, URGENT = log(1), log(2), log(1, 0)
HELLO = Hello(1, 0, OTHER_ROOT, 7, RECORD_BYTES_MIN)


def hangup(script: Scripted, *records: Hello | Vector | Run | Ack | Gone | bytes) -> str:
    before = script.end.hangup
    assert before is None, before
    last = script.say(*records)[-1]
    assert isinstance(last, Hangup)
    assert script.end.tell(LogsGrew((ONE,)), script.now) == []
    assert script.end.tell(TimeCame(), script.now) == []
    return last.reason


def known(*held: int) -> Scripted:
    return Scripted(Node({log(number): first(3) for number in held})).greet(state(ONE, first(9)))


@pytest.mark.parametrize("record", [Vector(False, ()), run(ONE, 0), Ack(1, ()), Gone(name(ONE), first(1))])
def test_anything_before_the_hello(record: Vector | Run | Ack | Gone) -> None:
    assert hangup(Scripted(Node()), record) == "hello-missing"


def test_a_second_hello() -> None:
    assert hangup(Scripted(Node()), HELLO, HELLO) == "hello-twice"


@pytest.mark.parametrize("record", [run(ONE, 0), Ack(0, (state(ONE, first(1)),)), Gone(name(ONE), first(1))])
def test_anything_before_the_vector_is_whole(record: Run | Ack | Gone) -> None:
    assert hangup(Scripted(Node({TWO: first(1)})), HELLO, record) == "vector-missing"
    part = Vector(True, (state(log(4), first(1)),))
    assert hangup(Scripted(Node({TWO: first(1)})), HELLO, part, record) == "vector-missing"


def test_a_vector_after_the_last_part() -> None:
    assert hangup(known(), Vector(False, ())) == "vector-unexpected"


def test_a_vector_though_the_roots_are_equal() -> None:
    script = Scripted(Node({ONE: first(1)}))
    assert hangup(script, Hello(1, 0, script.root, 7, RECORD_BYTES_MIN), Vector(False, ())) == "vector-unexpected"


def test_an_endless_vector_of_nothing() -> None:
    assert hangup(Scripted(Node({TWO: first(1)})), HELLO, Vector(True, ())) == "vector-empty"


@pytest.mark.parametrize("pair", [(TWO, ONE), (ONE, URGENT)])
def test_a_vector_out_of_order(pair: tuple[LogId, LogId]) -> None:
    states = tuple(state(of, first(1)) for of in pair)
    assert hangup(Scripted(Node({TWO: first(1)})), HELLO, Vector(False, states)) == "vector-order"


def test_a_log_twice_in_one_vector() -> None:
    doubled = (state(ONE, first(1)), state(0, first(2)))
    assert hangup(Scripted(Node({TWO: first(1)})), HELLO, Vector(False, doubled)) == "vector-order"


def test_a_log_named_in_full_twice() -> None:
    assert hangup(known(), run(ONE, 0)) == "log-repeated"


def test_a_number_of_no_log() -> None:
    assert hangup(known(), run(1, 0)) == "log-unknown"


def test_more_logs_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "LOGS_MAX", 2)
    script = known()
    script.say(run(TWO, 0))
    assert hangup(script, run(log(3), 0)) == "logs-too-many"


def test_our_own_logs_beyond_the_bound_are_left_unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "LOGS_MAX", 2)
    script = Scripted(Node({log(number): first(1) for number in range(5)})).greet()
    script.work()
    assert len(script.runs) == 2
    assert script.end.hangup is None


@pytest.mark.parametrize("lane", [2, 3])
def test_a_lane_that_was_not_agreed_on(lane: int) -> None:
    script = Scripted(Node(), lanes=0b1011).greet()
    assert hangup(script, run(log(5, lane), 0)) == "lane-unwanted"


def test_more_spans_than_we_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "SPANS_MAX", 3)
    script = Scripted(Node()).greet(state(ONE, seqs((1, 2), (3, 4))))
    script.say(run(0, 10, prev=bytes(32)))
    assert hangup(script, run(0, 20, prev=bytes(32))) == "ranges-too-many"


def test_what_is_gone_and_refused_counts_towards_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "SPANS_MAX", 3)
    script = Scripted(Node()).greet(state(ONE, first(9)))
    script.say(Gone(0, seqs((1, 2), (3, 4))))
    assert hangup(script, Gone(0, seqs((5, 6)))) == "ranges-too-many"


def test_a_run_more_than_the_window() -> None:
    script = known()
    for number in range(WINDOW_RUNS_MAX):
        script.say(run(0, number))
    assert hangup(script, run(0, WINDOW_RUNS_MAX)) == "window-exceeded"


def test_a_byte_more_than_the_window() -> None:
    script = known()
    size = WINDOW_BYTES_MAX // 4
    packed = [bytes(size)] * 3 + [bytes(size), b"e"]
    *fitting, last = (Run(0, seq, None, (data,)) for seq, data in enumerate(packed))
    script.say(*fitting)
    assert hangup(script, last) == "window-exceeded"


def test_an_ack_of_more_runs_than_were_sent() -> None:
    script = known(2)
    script.work()
    assert len(script.runs) == 1
    assert hangup(script, Ack(2, ())) == "ack-beyond"


def test_an_ack_of_nothing() -> None:
    assert hangup(known(), Ack(0, ())) == "ack-empty"


def test_a_record_of_a_later_form_from_a_peer_of_our_version() -> None:
    assert hangup(known(), cbor.encode([9, b"sketch"])) == "record-unknown"


def test_a_record_longer_than_ours_may_be() -> None:
    script = Scripted(Node(), record_bytes_max=RECORD_BYTES_MIN)
    assert hangup(script, bytes(RECORD_BYTES_MIN + 1)) == "record-oversized"


def test_a_state_with_too_many_ranges() -> None:
    many = Ranges(tuple((2 * number, 2 * number + 1) for number in range(RANGES_MAX + 2)))
    assert hangup(Scripted(Node({TWO: first(1)})), HELLO, Vector(False, (state(ONE, many),))) == "ranges-too-many"


def test_rubbish() -> None:
    assert hangup(known(), b"\xff\xff") == "record-malformed"


def test_the_numbers_fit_together() -> None:
    assert limits.STATES_BYTES_MAX <= limits.RECORD_BYTES_MIN
    assert 10 * limits.RANGES_MAX + 64 < limits.STATES_BYTES_MAX
    assert limits.ACK_RUNS_MAX < limits.WINDOW_RUNS_MAX


wild = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.recursive(
            st.one_of(
                st.integers(0, 12),
                st.sampled_from([2**32 - 1, 2**32, None, True, False, b"", bytes(8), bytes(32), b"e"]),
                st.builds(name, st.builds(log, st.integers(1, 3), st.integers(0, 3))),
            ),
            lambda inner: st.lists(inner, max_size=4),
            max_leaves=10,
        ),
        max_size=5,
    ).map(cbor.encode),
)  # fmt: skip

numbers = st.integers(0, 12)
logrefs = st.one_of(st.integers(0, 3), st.builds(name, st.builds(log, st.integers(1, 3), st.integers(0, 2))))
spans = st.lists(st.tuples(numbers, numbers), max_size=3).map(lambda pairs: Ranges.of(*pairs))
near = st.one_of(
    st.builds(Run, logrefs, st.integers(1, 12), st.sampled_from([None, bytes(32)]), st.just((b"e", b"f"))),
    st.builds(Ack, st.integers(0, 2), st.lists(st.builds(state, st.integers(0, 3), spans), max_size=2).map(tuple)),
    st.builds(Gone, logrefs, spans.filter(bool)),
    st.builds(Vector, st.booleans(), st.just(())),
).map(encode)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(wild, near, near), max_size=12))
def test_whatever_a_peer_sends_the_worst_is_a_hangup(said: list[bytes]) -> None:
    node = Node({ONE: first(9), TWO: seqs((2, 4)), URGENT: first(2)})
    script = Scripted(node).greet(state(ONE, first(12)), state(TWO, first(1), bytes(8)))
    for data in said:
        script.say(data)
        script.work()
    assert script.end.hangup is None or script.end.outputs[-1] == Hangup(script.end.hangup)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
def test_whatever_comes_first_the_worst_is_a_hangup(said: list[bytes]) -> None:
    node = Node({ONE: first(2)})
    end = End(node, Session(node.states, record_bytes_max=RECORD_BYTES_MIN))
    end.tell(Started(), 0.0)
    for data in said:
        end.tell(RecordReceived(data), 0.0)
    assert end.hangup is not None
