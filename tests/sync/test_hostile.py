"""A peer that breaks the protocol: one Hangup with its reason, nothing after it, nothing unbounded before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sync
from sync import limits, meeting, names, peer
from sync.feeds import FeedList
from sync.limits import (
    HASHES_MAX,
    LOGS_MAX,
    RANGES_MAX,
    RECORD_BYTES_MIN,
    SYMBOLS_FIRST,
    SYMBOLS_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_RUNS_MAX,
)
from sync.logs import LogId
from sync.names import tag
from sync.octets import VARINT_END
from sync.ranges import NOTHING, Ranges
from sync.session import Hangup, LogsGrew, Started, TakeRun, TimeCame, Wanted
from sync.sketch import Encoder, encode_symbols
from sync.wire import (
    Ack,
    Ask,
    Check,
    Gone,
    Listed,
    LogRef,
    Remembered,
    Run,
    Sketch,
    Sketched,
    State,
    States,
    Stop,
    Tagged,
    Vector,
    Want,
    encode,
)
from tests.sync.pair import Node, first, log, seqs
from tests.sync.script import HIGHEST, LOWEST, SALT, Said, Scripted, hello, run

ONE, TWO, URGENT, BULK = log(1), log(2), log(1, 0), log(1, 3)
REASONS = {
    reason
    for module in Path(sync.__file__).parent.glob("*.py")
    for reason in re.findall(r'RemoteProtocolError\(\s*"([a-z-]+)"', module.read_text())
}


def hangup(script: Scripted, *records: Said) -> str:
    assert script.end.hangup is None, script.end.hangup
    last = script.say(*records)[-1]
    assert isinstance(last, Hangup), last
    assert script.tell(LogsGrew(((ONE, NOTHING),))) == []
    assert script.tell(TimeCame()) == []
    return last.reason


def known(held: dict[LogId, Ranges] | None = None, *, lanes: int = 15) -> Scripted:
    return Scripted(Node(held or {}), lanes=lanes).greet({ONE: first(9)})


# The beginning.


@pytest.mark.parametrize("record", [Vector(False, ()), run(ONE, 0), Ack(1, 0, 0), Gone(ONE, first(1)), Ask(), b"\x0c"])
def test_anything_before_the_hello(record: Said) -> None:
    assert hangup(Scripted(Node()), record) == "hello-missing"


def test_a_second_hello() -> None:
    assert hangup(Scripted(Node()), hello(), hello()) == "hello-twice"


def test_another_list_of_the_organisations_feeds() -> None:
    feeds = FeedList()
    feeds.grow([log(1).feed, log(2).feed])
    assert hangup(Scripted(Node(feeds=feeds)), hello(known=2, check=b"\x00\x01")) == "list-differs"
    assert hangup(Scripted(Node(feeds=feeds)), hello(known=1, check=b"\x00\x01")) == "list-differs"
    check = feeds.check(2)
    assert check is not None
    script = Scripted(Node(feeds=feeds))
    script.say(hello(known=2, check=check))
    longer = Scripted(Node(feeds=feeds))
    longer.say(hello(known=3, check=b"\x00\x01"))  # What we do not know we cannot compare.
    assert script.end.hangup is longer.end.hangup is None


# Vectors and states.


def test_a_vector_from_a_peer_that_is_known() -> None:
    assert hangup(known(), Vector(False, ())) == "vector-unexpected"
    script = Scripted(Node({ONE: first(1)}))
    assert hangup(script, hello(script.said_hello.root), Vector(False, ())) == "vector-unexpected"


def test_an_endless_vector_of_nothing() -> None:
    assert hangup(Scripted(Node()), hello(), Vector(True, ())) == "vector-empty"


def test_a_vector_out_of_order() -> None:
    parts = [Vector(True, (State(of, first(1)),)) for of in (ONE, URGENT)]
    assert hangup(Scripted(Node()), hello(), *parts) == "vector-order"


def test_a_log_twice_in_one_announcement() -> None:
    twice = (State(ONE, first(1)), State(ONE, first(2)))
    assert hangup(Scripted(Node()), hello(), Vector(False, twice)) == "log-repeated"
    parts = [Vector(True, (state,)) for state in twice]
    assert hangup(Scripted(Node()), hello(), *parts) == "vector-order"
    assert hangup(known(), States(twice)) == "log-repeated"


def remembered() -> Scripted:
    """A node that remembers a peer which had settled the same; the peer's delta will be read."""
    node = Node({ONE: first(1)})
    script = Scripted(node)
    script.say(hello(script.said_hello.root))
    memory = script.session.memory()
    assert memory is not None
    return Scripted(node, memory=memory, number=2)


DELTA = hello(HIGHEST, upto=1, memory=Remembered(0, 1, 0), delta=True)


def test_a_log_twice_in_a_delta() -> None:
    assert hangup(remembered(), DELTA, States((State(ONE, first(1)), State(ONE, first(2))))) == "log-repeated"


@pytest.mark.parametrize("kind", ["vector", "rest", "delta"])
def test_parts_that_wait_for_their_last_are_bounded_together(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "SPANS_MAX", 100)
    script = remembered() if kind == "delta" else Scripted(Node())
    script.say(DELTA if kind == "delta" else hello())
    for number in range(9):
        assert script.end.hangup is None
        state = State(log(10 + number), Ranges(tuple((2 * n, 2 * n + 1) for n in range(11))))
        script.say(Vector(True, (state,)) if kind == "vector" else States((state,), True, kind == "rest"))
    assert script.end.hangup == "ranges-too-many"


def test_states_with_too_many_spans() -> None:
    many = Ranges(tuple((2 * number, 2 * number + 1) for number in range(RANGES_MAX + 2)))
    assert hangup(Scripted(Node()), hello(), Vector(False, (State(ONE, many),))) == "ranges-too-many"


@pytest.mark.parametrize(
    "said",
    [
        [States((State(ONE, seqs((20, 21), (30, 31), (40, 41), (50, 51))),))],
        [run(ONE, 10 * number, prev=bytes(32)) for number in range(2, 6)],
        [Gone(ONE, seqs((1, 2), (3, 4))), Gone(0, seqs((5, 6), (7, 8)))],
        [Want(ONE, seqs((0, 1), (2, 3), (4, 5), (6, 7)))],
    ],
)
def test_more_spans_than_we_remember(said: list[Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "SPANS_MAX", 3)
    assert hangup(known({ONE: first(9)}), *said) == "ranges-too-many"


NAMING: list[Callable[[LogId], Said]] = [
    lambda of: Stop((of,)),
    lambda of: Want(of, NOTHING),
    lambda of: Gone(of, first(1)),
]


@pytest.mark.parametrize("naming", NAMING)
def test_more_logs_than_we_remember(naming: Callable[[LogId], Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "SPANS_MAX", 4)
    script = known()
    script.say(*(naming(log(number)) for number in range(2, 4)))
    assert hangup(script, *(naming(log(number)) for number in range(4, 9))) in ("logs-too-many", "ranges-too-many")


def test_what_is_remembered_of_a_peer_stays_within_its_bound_whatever_it_says() -> None:
    """A member may speak for as long as it likes: what grows are views and their spans, and both are counted."""
    script = known({ONE: seqs((0, 100))})
    for number in range(300):
        spans = Ranges(tuple((start, start + 1) for start in range(number % 3, 100, 3)))
        script.say(Want(ONE, spans), Stop((ONE, TWO)), Gone(ONE, spans), Ack(0, 1, 0), States((State(ONE, spans),)))
        script.world.now += 1.0
    assert script.end.hangup is None
    view = script.session._peer.log(ONE)
    kept = (view.holds, view.wanted, view.excused, view.missing, view.given, view.told)
    assert max(len(each.spans) for each in kept) <= 100
    assert len(view.todo) <= 200
    assert len(script.end.work) <= 4


# Names.


def test_a_number_of_no_log() -> None:
    assert hangup(known(), run(0, 0)) == "log-unknown"


def test_a_number_beyond_the_list() -> None:
    assert hangup(known(), States((State(Listed(0, 1), first(1)),))) == "log-unknown"


def test_a_tag_of_no_feed_here() -> None:
    assert hangup(known(), Run(Tagged(bytes(5), 1), 0, None, (b"e",))) == "log-unknown"


def test_a_tag_of_two_feeds_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "tag", lambda feed, salt: bytes(5))
    assert hangup(known({ONE: first(1), TWO: first(1)}), Stop((Tagged(bytes(5), 1),))) == "tag-ambiguous"


def test_a_log_under_its_other_names_is_the_same_log_and_gets_no_second_number() -> None:
    """Only so can both sides go on counting alike."""
    feeds = FeedList()
    feeds.grow([log(7).feed])
    check = feeds.check(1)
    assert check is not None
    script = Scripted(Node({log(7): first(1)}, feeds=feeds))
    script.say(hello(known=1, check=check), Vector(False, ()))
    aliases: list[LogRef] = [Listed(0, 1), log(7), Tagged(tag(log(7).feed, SALT), 1), 0]
    script.say(Stop(tuple(aliases)), run(TWO, 0), run(1, 1))
    taken = [output.log for output in script.end.outputs if isinstance(output, TakeRun)]
    assert taken == [TWO, TWO]


def test_mentions_end_at_their_bound_and_logs_are_named_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "LOGS_MAX", 2)
    script = Scripted(Node({log(number): first(1) for number in range(5)})).greet()
    script.work()
    script.say(*(Ack(1, 0, 0) for _ in range(len(script.runs))))
    script.work()
    assert len(script.runs) == 5
    script.say(run(log(11), 0), run(log(12), 0), run(log(13), 0))
    assert hangup(script, run(2, 1)) == "log-unknown"


@pytest.mark.parametrize("lane", [2, 3])
def test_a_lane_that_was_not_agreed_on(lane: int) -> None:
    for record in (
        run(log(5, lane), 0),
        Gone(log(5, lane), first(1)),
        Stop((log(5, lane),)),
        Want(log(5, lane), NOTHING),
    ):
        assert hangup(known(lanes=0b0011), record) == "lane-unwanted"
    if lane == 2:
        assert hangup(known(lanes=0b0011), States((State(log(5, lane), first(1)),))) == "lane-unwanted"


def test_bulk_that_nobody_wanted() -> None:
    assert hangup(known(), run(BULK, 0)) == "lane-unwanted"
    script = known()
    script.tell(Wanted(BULK, first(2)))
    script.say(run(BULK, 1))
    assert hangup(script, run(0, 2)) == "lane-unwanted"


# Runs and acks.


def test_a_run_more_than_the_window() -> None:
    script = known()
    for number in range(WINDOW_RUNS_MAX):
        script.say(run(0 if number else ONE, number))
    assert hangup(script, run(0, WINDOW_RUNS_MAX)) == "window-exceeded"


def test_a_byte_more_than_the_window() -> None:
    script = known()
    for number in range(8):
        script.say(Run(0 if number else ONE, number, None, (bytes(WINDOW_BYTES_MAX // 8),)))
    assert hangup(script, Run(0, 8, None, (b"e",))) == "window-exceeded"


def test_runs_before_the_peer_is_known_are_bounded_too() -> None:
    script = Scripted(Node())
    script.say(hello(HIGHEST))
    for number in range(WINDOW_RUNS_MAX):
        script.say(run(0 if number else ONE, number))
        script.work()
    assert hangup(script, run(0, WINDOW_RUNS_MAX)) == "window-exceeded"


def test_an_ack_of_more_runs_than_were_sent() -> None:
    script = known({TWO: first(1)})
    script.work()
    assert len(script.runs) == 1
    assert hangup(script, Ack(2, 0, 0)) == "ack-beyond"


def test_an_ack_that_has_heard_more_than_we_told() -> None:
    script = known({TWO: first(1)})
    script.say(Ack(0, 0, 1))
    assert hangup(script, Ack(0, 0, 1)) == "ack-beyond"


def test_a_change_number_beyond_what_fits_on_the_wire() -> None:
    script = known()
    script.say(Ack(0, VARINT_END - 1, 0))
    assert hangup(script, Ack(0, 1, 0)) == "ack-beyond"
    memory = script.session.memory()
    assert memory is not None
    again = Scripted(script.node, memory=memory, number=2)
    assert again.said_hello.memory is not None
    assert again.said_hello.memory.heard == VARINT_END - 1


def test_an_ack_of_nothing() -> None:
    assert hangup(known(), b"\x03\x00\x00") == "ack-empty"


# Asking and sketching.


def test_an_ask_twice() -> None:
    assert hangup(known(), Ask(), Ask()) == "ask-twice"


def symbols(count: int) -> list[bytes]:
    encoder = Encoder(range(10_000))
    return [encode_symbols([symbol]) for symbol in encoder.symbols(count)]


def test_an_endless_sketch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hearer gives up, says so, and hangs up on who goes on beyond the bound."""
    many = symbols(SYMBOLS_MAX)
    script = Scripted(Node({ONE: first(1)}))
    script.say(hello(), Sketch(b"".join(many[:SYMBOLS_FIRST])))
    assert script.heard[-1] == Sketched(0, True, ())
    for at in range(SYMBOLS_FIRST, SYMBOLS_MAX, 1_000):
        script.say(Sketch(b"".join(many[at : at + 1_000])))
    assert script.end.hangup is None
    assert hangup(script, Sketch(many[0])) == "sketch-malformed"


@pytest.mark.parametrize("data", [b"", bytes(12), bytes(13)[:5]])
def test_symbols_that_are_none(data: bytes) -> None:
    assert hangup(Scripted(Node({ONE: first(1)})), hello(), Sketch(data)) == "sketch-malformed"


def test_symbols_after_all_is_known() -> None:
    script = Scripted(Node())
    one = Sketch(encode_symbols(Encoder([]).symbols(1)))
    script.say(hello(), one)
    assert script.heard[-2:] == [Sketched(0, False, ()), States((), rest=True)]
    assert hangup(script, one) == "sketch-unexpected"


def test_an_answer_that_nobody_waits_for() -> None:
    assert hangup(known(), Sketched(0, True, ())) == "sketch-unexpected"
    assert hangup(known(), Sketched(5, False, ())) == "sketch-unexpected"


def sketching(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    monkeypatch.setattr(meeting, "VECTOR_BYTES_MAX", 0)
    script = Scripted(Node({ONE: first(1)}))
    script.say(hello(HIGHEST))
    assert isinstance(script.heard[-1], Sketch)
    return script


def test_more_symbols_wanted_than_a_sketch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    script = sketching(monkeypatch)
    script.say(Sketched(SYMBOLS_MAX - SYMBOLS_FIRST, False, ()))
    assert hangup(script, Sketched(1, False, ())) == "sketch-endless"


def test_an_answer_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    script = sketching(monkeypatch)
    assert hangup(script, Sketched(0, False, ()), Sketched(0, False, ())) == "sketch-unexpected"


def test_hashes_of_items_that_we_do_not_have_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    script = sketching(monkeypatch)
    script.say(Sketched(0, False, tuple(number.to_bytes(4) for number in range(HASHES_MAX))), States((), rest=True))
    assert script.end.hangup is None
    assert script.session.memory() is not None


def test_checks_without_end_cost_one_sketch_and_one_check() -> None:
    script = Scripted(Node({ONE: first(1)}))
    script.say(hello(script.said_hello.root, chain=script.said_hello.chain))
    root = script.said_hello.root
    for chain in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x01"):
        for _ in range(9):
            script.say(Check(root[:2], chain))
    assert sum(isinstance(record, Sketch) for record in script.heard) == 1
    assert sum(isinstance(record, Check) for record in script.heard) == 1


# Anything at all.


def test_a_record_of_a_later_version_from_a_peer_of_ours() -> None:
    assert hangup(known(), b"\x0dnews") == "record-unknown"


def test_a_record_longer_than_ours_may_be() -> None:
    script = Scripted(Node(), record_bytes_max=RECORD_BYTES_MIN)
    assert hangup(script, bytes(RECORD_BYTES_MIN + 1)) == "record-oversized"


def test_the_numbers_fit_together() -> None:
    assert limits.STATES_BYTES_MAX < limits.RECORD_BYTES_MIN
    assert 6 * RANGES_MAX + 64 < limits.RECORD_BYTES_MIN
    assert 18 * limits.STOP_LOGS_MAX < limits.RECORD_BYTES_MIN
    assert 17 * limits.SYMBOLS_MORE_MAX < limits.RECORD_BYTES_MIN
    assert limits.ACK_RUNS_MAX < WINDOW_RUNS_MAX
    assert limits.ACK_BYTES_MAX < WINDOW_BYTES_MAX
    assert LOGS_MAX <= limits.SPANS_MAX
    assert limits.RUN_ENTRIES_MAX <= 8, "three bits count them"


numbers = st.integers(0, 12)
refs = st.one_of(
    st.integers(0, 3), st.builds(log, st.integers(1, 3), st.integers(0, 3)),
    st.builds(lambda n, lane: Tagged(tag(log(n).feed, SALT), lane), st.integers(1, 3), st.integers(0, 3)),
    st.builds(Listed, st.integers(0, 2), st.integers(0, 2)),
)  # fmt: skip
spans = st.lists(st.tuples(numbers, numbers), max_size=3).map(lambda pairs: Ranges.of(*pairs))
blocks = st.lists(st.builds(State, refs.filter(lambda ref: not isinstance(ref, int)), spans), max_size=3).map(
    lambda states: tuple({state.log: state for state in states if state.log.lane < 3}.values())
)
near = st.one_of(
    st.builds(Run, refs, st.integers(1, 12), st.sampled_from([None, bytes(32)]), st.just((b"e", b"f"))),
    st.builds(run, st.builds(log, st.integers(1, 3), st.integers(0, 2)), numbers),
    st.builds(lambda done, advance: Ack(done, advance, 1), st.integers(0, 2), st.integers(0, 3)),
    st.builds(Gone, refs, spans.filter(bool)),
    st.builds(Want, refs, spans),
    st.builds(Stop, st.lists(refs, max_size=3).map(tuple)),
    st.builds(States, blocks, st.booleans(), st.booleans()),
    st.builds(Vector, st.booleans(), blocks),
    st.just(Ask()),
    st.builds(Sketched, st.sampled_from([0, 5]), st.just(False), st.just(())),
    st.builds(lambda count: Sketch(encode_symbols(Encoder(range(9)).symbols(count))), st.integers(0, 30)),
    st.builds(Check, st.just(bytes(2)), st.just(bytes(4))),
).map(encode)
hellos = st.builds(
    hello, st.sampled_from([LOWEST, HIGHEST]), lanes=st.integers(0, 15), epoch=st.sampled_from([1, 7]),
    upto=st.integers(5, 9), chain=st.binary(min_size=4, max_size=4), hold=st.booleans(),
    memory=st.one_of(st.none(), st.builds(Remembered, st.integers(0, 5), st.sampled_from([1, 2]), numbers)),
).map(encode)  # fmt: skip


def survive(script: Scripted, said: list[bytes]) -> None:
    for data in said:
        script.say(data)
        script.work()
        script.world.now += 11.0
        script.tell(TimeCame())
    reason = script.end.hangup
    assert reason is None or (script.end.outputs[-1] == Hangup(reason) and reason in REASONS)
    if script.session.memory() is not None:  # What is kept of it makes no trouble when it comes again.
        Scripted(script.node, memory=script.session.memory(), number=2)


@settings(max_examples=400, deadline=None)
@given(hellos, st.lists(st.one_of(st.binary(max_size=40), near, near, near), max_size=14))
def test_whatever_a_peer_sends_the_worst_is_a_hangup(greeting: bytes, said: list[bytes]) -> None:
    survive(Scripted(Node({ONE: first(9), TWO: seqs((2, 4)), URGENT: first(2), BULK: first(3)})), [greeting, *said])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), near, near, near), max_size=14), st.booleans())
def test_whatever_a_peer_that_is_remembered_sends_the_worst_is_a_hangup(said: list[bytes], delta: bool) -> None:
    script = remembered()
    greeting = hello(HIGHEST, upto=1, memory=Remembered(0, 1, 0), delta=delta)
    survive(script, [encode(greeting), *said])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
def test_whatever_comes_first_the_worst_is_a_hangup(said: list[bytes]) -> None:
    script = Scripted(Node({ONE: first(2)}), started=False)
    script.tell(Started())
    survive(script, said)
