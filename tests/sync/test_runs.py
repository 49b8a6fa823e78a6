"""What a session pushes: which entries make a run, how many are under way, and which say what came before them."""

from __future__ import annotations

from dataclasses import replace

from sync.limits import (
    RECORD_BYTES_MIN,
    RUN_BYTES_MAX,
    RUN_ENTRIES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_RUNS_MAX,
)
from sync.logs import LogId
from sync.ranges import NOTHING
from sync.session import (
    Level,
    ReadRun,
    RunRead,
    Send,
)
from sync.wire import Ack, Run, State, States
from tests.sync.pair import Node, entry, entry_id, first, holds, log, meet, records, seqs
from tests.sync.script import Scripted

ONE, TWO, URGENT, STATUS = log(1), log(2), log(1, 0), log(2, 2)


def drain(script: Scripted) -> None:
    """All that the node has to push goes out: it reads, and the link is quick."""
    while script.end.work:
        script.work()


def test_a_run_takes_as_many_entries_as_allowed() -> None:
    script = Scripted(Node({ONE: first(RUN_ENTRIES_MAX + 1)})).greet()
    drain(script)
    assert [len(said.packed) for said in script.runs] == [RUN_ENTRIES_MAX, 1]


def test_a_run_ends_where_it_would_be_too_long_for_a_slow_link() -> None:
    script = Scripted(Node({ONE: first(5)}, size=500)).greet()
    drain(script)
    assert [len(said.packed) for said in script.runs] == [1, 1, 1, 1, 1]


def test_a_large_entry_goes_alone() -> None:
    script = Scripted(Node({ONE: first(2)}, size=RUN_BYTES_MAX * 2)).greet(record_bytes_max=RUN_BYTES_MAX * 4)
    drain(script)
    assert [len(said.packed) for said in script.runs] == [1, 1]


def test_an_entry_that_fits_into_no_record_of_the_peers_is_gone_for_it_and_the_rest_is_sent() -> None:
    node = Node({ONE: first(5)})
    node.entries[ONE][2] += bytes(RECORD_BYTES_MIN)
    script = Scripted(node).greet()
    drain(script)
    assert [(said.start, len(said.packed)) for said in script.runs] == [(0, 2), (3, 2)]
    assert script.runs[1].prev == entry_id(entry(ONE, 2))
    assert [gone.seqs for gone in script.gone] == [seqs((2, 3))]


def test_no_more_runs_than_the_window_are_under_way() -> None:
    script = Scripted(Node({ONE: first(RUN_ENTRIES_MAX * (WINDOW_RUNS_MAX + 20))})).greet()
    drain(script)
    assert len(script.runs) == WINDOW_RUNS_MAX
    script.say(Ack(1, 0, 0))
    drain(script)
    assert len(script.runs) == WINDOW_RUNS_MAX + 1


def test_no_more_bytes_than_the_window_are_under_way() -> None:
    script = Scripted(Node({ONE: first(80)}, size=14_000)).greet()
    drain(script)
    under_way = sum(len(packed) for said in script.runs for packed in said.packed)
    assert WINDOW_BYTES_MAX - 20_000 < under_way <= WINDOW_BYTES_MAX


def test_a_single_run_is_always_under_way_however_large() -> None:
    size = WINDOW_BYTES_MAX + 1
    script = Scripted(Node({ONE: first(2)}, size=size)).greet(record_bytes_max=1 << 20)
    drain(script)
    assert len(script.runs) == 1
    script.say(Ack(1, 0, 0))
    drain(script)
    assert len(script.runs) == 2


def test_a_partial_answer_of_the_store_is_asked_on() -> None:
    script = Scripted(Node({ONE: first(6)})).greet()
    order = script.end.work.popleft()
    assert isinstance(order, ReadRun)
    outputs = script.tell(RunRead(ONE, 0, None, (entry(ONE, 0), entry(ONE, 1)), NOTHING))
    assert [type(output) for output in outputs] == [Send, ReadRun]
    drain(script)
    assert [(said.start, len(said.packed)) for said in script.runs] == [(0, 2), (2, 4)]


def test_the_store_may_say_where_runs_end() -> None:
    script = Scripted(Node({ONE: first(6)})).greet()
    script.end.work.clear()
    script.tell(RunRead(ONE, 0, None, tuple(entry(ONE, seq) for seq in range(6)), NOTHING, ends=(1, 4, 6)))
    assert [len(said.packed) for said in script.runs] == [1, 3, 2]


# The entry before.


def test_prev_is_left_out_where_the_peer_knows_it_and_said_where_it_cannot() -> None:
    script = Scripted(Node({ONE: first(30), TWO: seqs((0, 20), (30, 33))})).greet({ONE: first(10), TWO: seqs((3, 5))})
    drain(script)
    said = {(name, each.start): each.prev for each in script.runs for name in [each.packed[0].split()[0]]}
    known = {start: prev for (feed, start), prev in said.items() if feed == ONE.feed}
    assert known == {10: None, 18: None, 26: None}
    unknown = {start: prev for (feed, start), prev in said.items() if feed == TWO.feed}
    assert unknown == {0: None, 5: None, 13: None, 30: entry_id(entry(TWO, 29))}


def test_every_run_below_the_peers_top_says_its_prev() -> None:
    a, b = Node({ONE: first(100)}), Node({ONE: seqs((60, 100))})
    ends = meet(a, b).ends
    assert b.refused == []
    assert holds(b) == holds(a)
    assert all(said.prev for said in records(ends[0]) if isinstance(said, Run) and said.start)


def test_a_run_refused_for_want_of_its_predecessor_comes_again_with_prev_and_so_do_later_ones() -> None:
    script = Scripted(Node({ONE: first(12)})).greet({ONE: first(4)})
    drain(script)
    assert [(said.start, said.prev) for said in script.runs] == [(4, None)]
    # Meanwhile the peer got 4 and 5 from elsewhere, so it could not link our run.
    script.say(States((State(ONE, first(6)),)), Ack(1, 0, 0, (0,)))
    drain(script)
    assert [(said.start, said.prev) for said in script.runs[1:]] == [(6, entry_id(entry(ONE, 5)))]
    script.say(Ack(1, 0, 0))
    script.node.write(ONE, seqs((12, 13)))
    drain(script)
    assert (script.runs[-1].start, script.runs[-1].prev) == (12, entry_id(entry(ONE, 11)))


def test_a_run_refused_though_it_said_its_prev_is_refused_for_good() -> None:
    script = Scripted(Node({ONE: seqs((3, 6))})).greet()
    drain(script)
    script.say(Ack(1, 0, 0, (0,)))
    drain(script)
    assert len(script.runs) == 1
    assert script.count(Level) == 1


def test_runs_that_wait_are_withdrawn_when_the_peer_has_got_them_from_elsewhere() -> None:
    script = Scripted(Node({ONE: first(3)})).greet({TWO: NOTHING})
    script.say(States((State(ONE, first(3)),)))
    drain(script)
    assert script.runs == []


def test_of_a_lane_those_logs_come_last_that_may() -> None:
    """Though they were there first, and an alert is written while they are being pushed."""
    crowd = [log(number, 0) for number in range(2, 9)]
    node = Node({ONE: first(1), **dict.fromkeys(crowd, first(40))}, size=100)
    script = Scripted(node, later=lambda of: of in crowd).greet()
    script.end.do_work(script.now)
    before = len(script.runs)
    assert before > 0
    node.write(URGENT, first(2))
    drain(script)
    lanes = [entry_log(record) for record in script.runs]
    assert lanes.index(URGENT) == before
    assert set(lanes[before + 1 :]) >= {*crowd[1:], ONE}
    assert lanes[-1] == ONE


def entry_log(record: Run) -> LogId:
    feed, lane, _, _ = record.packed[0].rstrip(b"\x00").rsplit(b" ", 3)
    return LogId(feed, int(lane))


def test_where_nothing_links_the_entries_of_a_log_no_prev_is_said() -> None:
    node = Node({ONE: seqs((3, 4), (7, 9))})
    script = Scripted(node).greet()
    while script.end.work:
        order = script.end.work.popleft()
        assert isinstance(order, ReadRun)
        assert order.with_prev
        script.tell(replace(node.read(order), prev=b""))
    assert [(said.start, said.prev, len(said.packed)) for said in script.runs] == [(3, None, 1), (7, None, 2)]
    script.say(Ack(2, 0, 0, (1,)))
    drain(script)
    assert len(script.runs) == 2, "there is nothing more to say of them"
