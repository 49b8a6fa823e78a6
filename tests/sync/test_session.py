"""One session, case by case."""

from __future__ import annotations

import pytest

from sync import cbor, peer, session
from sync.limits import (
    ACK_DELAY_S,
    ACK_RUNS_MAX,
    RANGES_MAX,
    RECORD_BYTES_MIN,
    RUN_BYTES_MAX,
    RUN_ENTRIES_MAX,
    STATES_BYTES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_RUNS_MAX,
)
from sync.ranges import NOTHING, Ranges
from sync.session import Level, LogsGrew, PeerSettled, ReadRun, RunDone, RunRead, Send, TakeRun, TimeCame, WakeAt
from sync.wire import Ack, Gone, Hello, Run, Vector
from tests.sync.pair import Node, World, entry, entry_id, first, holds, log, meet, records, sent_entries, seqs
from tests.sync.script import Scripted, run, sends, state

ONE, TWO, URGENT = log(1), log(2), log(1, 0)


def test_equal_nodes_say_one_hello_each_and_are_level() -> None:
    a, b = Node({ONE: first(50), URGENT: first(3)}), Node({ONE: first(50), URGENT: first(3)})
    ends = meet(a, b).ends
    assert [[type(record) for record in records(end)] for end in ends] == [[Hello], [Hello]]
    assert [end.levels for end in ends] == [1, 1]


def test_equal_roots_tell_what_the_peer_has_settled() -> None:
    a, b = Node({ONE: first(5), URGENT: seqs((0, 1), (2, 4))}), Node({ONE: first(5), URGENT: seqs((0, 1), (2, 4))})
    learned = [output for output in meet(a, b).ends[0].outputs if isinstance(output, PeerSettled)]
    assert {output.log: output.settled for output in learned} == a.settled()


def test_nodes_with_nothing_meet() -> None:
    assert [end.levels for end in meet(Node(), Node()).ends] == [1, 1]


def test_a_new_node_gets_everything() -> None:
    a, b = Node({ONE: first(100), URGENT: first(3), log(2, 2): seqs((5, 9))}), Node()
    ends = meet(a, b).ends
    assert holds(b) == holds(a)
    assert [end.session.entries_sent for end in ends] == [103 + 4, 0]
    assert [end.session.entries_received for end in ends] == [0, 103 + 4]


def test_the_bulk_lane_is_never_pushed_nor_spoken_of() -> None:
    a, b = Node({log(1, 3): first(5), ONE: first(1)}), Node({ONE: first(1)})
    ends = meet(a, b).ends
    assert [len(end.sent) for end in ends] == [1, 1]
    assert log(1, 3) not in b.states


def test_a_lane_that_one_side_leaves_out_is_left_out_by_both() -> None:
    world = World()
    a, b = Node({URGENT: first(2), ONE: first(2)}), Node({log(3): first(2)})
    world.connect(a, b, lanes=(0b0001, 0b0111))
    world.run()
    assert holds(b) == {URGENT: {0, 1}, log(3): {0, 1}}
    assert ONE not in b.states
    assert log(3) not in a.states
    assert [end.levels for end in world.ends] == [1, 1]


def test_the_peers_word_is_reported_as_peer_settled() -> None:
    script = Scripted(Node({ONE: first(9)})).greet(state(ONE, first(4)), state(TWO, seqs((3, 5))))
    learned = [output for output in script.end.outputs if isinstance(output, PeerSettled)]
    assert learned == [PeerSettled(ONE, first(4)), PeerSettled(TWO, seqs((3, 5)))]
    script.work()
    assert script.say(Ack(1, (state(0, first(9)),)))[0] == PeerSettled(ONE, first(9))


def test_a_run_takes_as_many_entries_as_allowed() -> None:
    script = Scripted(Node({ONE: first(RUN_ENTRIES_MAX + 1)})).greet()
    script.work()
    assert [len(run.packed) for run in script.runs] == [RUN_ENTRIES_MAX, 1]


def test_a_run_ends_where_it_would_be_too_long() -> None:
    script = Scripted(Node({ONE: first(5)}, size=RUN_BYTES_MAX // 3)).greet()
    script.work()
    assert [len(run.packed) for run in script.runs] == [2, 2, 1]


def test_a_large_entry_goes_alone() -> None:
    script = Scripted(Node({ONE: first(2)}, size=RUN_BYTES_MAX * 2)).greet(record_bytes_max=RUN_BYTES_MAX * 4)
    script.work()
    assert [len(run.packed) for run in script.runs] == [1, 1]


def test_an_entry_that_fits_into_no_record_of_the_peers_is_gone_for_it_and_the_rest_is_sent() -> None:
    node = Node({ONE: first(5)})
    node.entries[ONE][2] += bytes(RECORD_BYTES_MIN)
    script = Scripted(node).greet()
    script.work()
    assert [(run.start, len(run.packed)) for run in script.runs] == [(0, 2), (3, 2)]
    assert script.runs[1].prev == entry_id(entry(ONE, 2))
    assert script.gone == [Gone(0, seqs((2, 3)))]


def test_no_more_runs_than_the_window_are_under_way() -> None:
    script = Scripted(Node({ONE: first(RUN_ENTRIES_MAX * (WINDOW_RUNS_MAX + 20))})).greet()
    script.work()
    assert len(script.runs) == WINDOW_RUNS_MAX
    script.say(Ack(1, (state(ONE, first(8)),)))
    script.work()
    assert len(script.runs) == WINDOW_RUNS_MAX + 1


def test_no_more_bytes_than_the_window_are_under_way() -> None:
    script = Scripted(Node({ONE: first(80)}, size=14_000)).greet()
    script.work()
    under_way = sum(len(packed) for run in script.runs for packed in run.packed)
    assert WINDOW_BYTES_MAX - 20_000 < under_way <= WINDOW_BYTES_MAX


def test_a_single_run_is_always_under_way_however_large() -> None:
    size = WINDOW_BYTES_MAX + 1
    script = Scripted(Node({ONE: first(2)}, size=size)).greet(record_bytes_max=2 * size)
    script.work()
    assert len(script.runs) == 1
    script.say(Ack(1, (state(ONE, first(1)),)))
    script.work()
    assert len(script.runs) == 2


def test_prev_is_left_out_where_the_peer_knows_it() -> None:
    script = Scripted(Node({ONE: first(30)})).greet(state(ONE, first(10), entry_id(entry(ONE, 9))))
    script.work()
    assert [(run.start, run.prev) for run in script.runs] == [(10, None), (18, None), (26, None)]


def test_prev_is_said_where_the_peer_cannot_know_it() -> None:
    a = Node({ONE: seqs((0, 20), (30, 33))})
    script = Scripted(a).greet(state(ONE, seqs((3, 5)), entry_id(entry(ONE, 4))))
    script.work()
    said = {run.start: run.prev for run in script.runs}
    assert said == {0: None, 5: None, 13: None, 30: entry_id(entry(ONE, 29))}


def test_prev_is_said_to_a_peer_that_has_settled_its_top_without_holding_it() -> None:
    script = Scripted(Node({ONE: first(6)})).greet(state(ONE, first(5), b""))
    script.work()
    assert script.runs == [Run(0, 5, entry_id(entry(ONE, 4)), (entry(ONE, 5),))]


def test_every_run_below_the_peers_top_says_its_prev() -> None:
    a, b = Node({ONE: first(100)}), Node({ONE: seqs((60, 100))})
    ends = meet(a, b).ends
    assert b.refused == []
    assert holds(b) == holds(a)
    assert all(run.prev for run in records(ends[0]) if isinstance(run, Run) and run.start)


def test_what_was_given_up_is_said_to_be_gone_and_not_waited_for() -> None:
    a, b = Node({ONE: first(20)}), Node({ONE: first(2)})
    a.give_up(ONE, seqs((5, 7), (19, 20)))
    ends = meet(a, b).ends
    assert b.settled()[ONE] == seqs((0, 5), (7, 19))
    assert [end.levels for end in ends] == [1, 1]
    assert [record.seqs for record in records(ends[0]) if isinstance(record, Gone)] == [seqs((5, 7), (19, 20))]


def test_what_the_store_cannot_read_is_gone_for_this_session() -> None:
    node = Node({ONE: first(3)})
    node.entries[ONE].clear()
    script = Scripted(node).greet()
    script.work()
    assert script.gone == [Gone(0, first(3))]
    assert script.count(Level) == 1


def test_what_the_peer_calls_gone_is_not_waited_for() -> None:
    script = Scripted(Node()).greet(state(ONE, first(4)))
    assert script.count(Level) == 0
    script.say(Gone(0, seqs((0, 3))))
    assert script.count(Level) == 0
    script.say(Gone(0, seqs((3, 4))))
    assert script.count(Level) == 1


def test_a_refused_run_is_acknowledged_and_not_waited_for() -> None:
    node = Node()
    node.refuses = lambda log, start: True
    script = Scripted(node).greet(state(ONE, first(2)))
    script.say(run(0, 0, 2))
    script.work()
    assert script.acks == [Ack(1, ())]
    assert script.count(Level) == 1


def test_a_run_refused_for_want_of_its_predecessor_comes_again_with_prev() -> None:
    script = Scripted(Node({ONE: first(12)})).greet(state(ONE, first(4), entry_id(entry(ONE, 3))))
    script.work()
    assert [(run.start, run.prev) for run in script.runs] == [(4, None)]
    # Meanwhile the peer got 4 and 5 from elsewhere, so it could not link our run.
    script.say(Ack(1, (state(0, first(6)),)))
    script.work()
    assert [(run.start, run.prev) for run in script.runs[1:]] == [(6, entry_id(entry(ONE, 5)))]
    script.say(Ack(1, ()))
    script.work()
    assert len(script.runs) == 2, "a run that said its prev is refused for good"


def test_runs_done_out_of_order_are_acknowledged_in_order() -> None:
    script = Scripted(Node()).greet(state(ONE, first(2)), state(TWO, first(3)))
    script.say(run(0, 0, 2), run(1, 0, 3))
    assert script.end.tell(RunDone(TWO, 0, 3, False), script.now) == [WakeAt(script.now + ACK_DELAY_S)]
    script.now += ACK_DELAY_S
    assert sends(script.end.tell(TimeCame(), script.now)) == []
    script.node.write(ONE, first(2))
    script.end.tell(LogsGrew((ONE,)), script.now)
    script.end.tell(RunDone(ONE, 0, 2, True), script.now)
    assert script.acks == [Ack(2, (state(ONE, first(2), entry_id(entry(ONE, 1))),))]


def test_the_last_ack_of_the_first_reconciliation_leaves_at_once() -> None:
    script = Scripted(Node()).greet(state(ONE, first(2)))
    script.say(run(0, 0, 2))
    script.work()
    assert script.acks == [Ack(1, (state(ONE, first(2), entry_id(entry(ONE, 1))),))]
    assert script.end.outputs[-1] == Level()


def test_a_later_ack_waits_for_company() -> None:
    script = Scripted(Node()).greet()
    script.say(run(ONE, 0, 2))
    script.work()
    assert script.acks == []
    assert script.end.wake == pytest.approx(script.now + ACK_DELAY_S)
    script.now += ACK_DELAY_S / 2
    assert script.end.tell(TimeCame(), script.now) == [WakeAt(100.0 + ACK_DELAY_S)]
    script.now = 100.0 + ACK_DELAY_S
    script.end.tell(TimeCame(), script.now)
    assert [ack.runs_done for ack in script.acks] == [1]
    assert script.count(Level) == 2


def test_an_ack_travels_with_any_other_record() -> None:
    script = Scripted(Node()).greet()
    script.say(run(ONE, 0, 2))
    script.work()
    script.node.write(TWO, first(1))
    script.end.tell(LogsGrew((TWO,)), script.now)
    script.work()
    assert [type(record) for record in script.heard[2:]] == [Run, Ack]


def test_after_enough_runs_an_ack_leaves_at_once() -> None:
    script = Scripted(Node()).greet(state(ONE, first(500)))
    for number in range(ACK_RUNS_MAX):
        assert script.acks == []
        script.say(run(0, number))
        script.work()
    assert [ack.runs_done for ack in script.acks] == [ACK_RUNS_MAX]


def test_an_ack_speaks_only_of_what_is_durable() -> None:
    script = Scripted(Node()).greet(state(ONE, first(1)))
    outputs = script.say(run(0, 0))
    assert outputs == [TakeRun(ONE, 0, None, (entry(ONE, 0),))]
    assert script.end.tell(TimeCame(), script.now + 60) == []


def test_what_the_peer_pushed_is_not_pushed_back() -> None:
    script = Scripted(Node()).greet()
    script.say(run(ONE, 0, 3))
    script.work()
    assert script.count(ReadRun) == 0


def test_what_the_peer_pushed_while_it_was_being_read_is_not_sent_back() -> None:
    node = Node({ONE: first(3)})
    script = Scripted(node).greet()
    script.say(run(ONE, 0, 3))
    script.work()
    assert script.runs == []


def test_the_peer_hears_of_what_came_from_elsewhere_and_does_not_push_it() -> None:
    script = Scripted(Node()).greet(state(ONE, first(3)))
    script.node.write(ONE, first(2))
    script.end.tell(LogsGrew((ONE,)), script.now)
    script.end.tell(TimeCame(), script.now + ACK_DELAY_S)
    assert script.acks == [Ack(0, (state(ONE, first(2), entry_id(entry(ONE, 1))),))]


def test_a_new_entry_is_pushed_at_once() -> None:
    a, b = Node({ONE: first(3)}), Node({ONE: first(3)})
    world = meet(a, b)
    a.write(ONE, seqs((3, 4)))
    a.grow(ONE, now=world.now)
    world.run()
    assert sent_entries(world.ends[0]) == [(ONE, 3)]
    assert 3 in holds(b)[ONE]
    assert [end.levels for end in world.ends] == [2, 2]


def test_what_grew_before_the_peer_was_known_is_pushed() -> None:
    a, b = Node({ONE: first(3)}), Node({ONE: first(3)})
    world = World()
    world.connect(a, b)
    a.write(TWO, first(2))
    a.grow(TWO, now=world.now)
    world.run()
    assert holds(b) == holds(a)


def test_logs_of_one_lane_take_turns() -> None:
    script = Scripted(Node({ONE: first(1_000), TWO: first(1)})).greet()
    script.work()
    assert [run.log for run in script.runs[:10]].index(1) == 8


def test_a_fork_at_equal_tops_is_shown_by_both_sides() -> None:
    a, b = Node(), Node()
    a.branches[ONE], b.branches[ONE] = (3, "a"), (3, "b")
    a.write(ONE, first(5))
    b.write(ONE, first(5))
    ends = meet(a, b).ends
    for end, branch in zip(ends, "ab", strict=True):
        assert [record for record in records(end) if isinstance(record, Run)] == [
            Run(0, 4, entry_id(entry(ONE, 3, branch)), (entry(ONE, 4, branch),))
        ]
    assert a.forks == b.forks == [(ONE, 4), (ONE, 3)]
    assert [end.levels for end in ends] == [1, 1]


def test_a_fork_at_the_lower_top_is_shown_to_the_node_that_has_less() -> None:
    a, b = Node(), Node()
    a.branches[ONE], b.branches[ONE] = (3, "a"), (3, "b")
    a.write(ONE, first(20))
    b.write(ONE, first(5))
    ends = meet(a, b).ends
    assert Run(0, 4, entry_id(entry(ONE, 3)), (entry(ONE, 4),)) in records(ends[0])
    assert (ONE, 4) in b.forks
    assert [(end.levels, end.hangup) for end in ends] == [(1, None), (1, None)]


def test_no_fork_is_seen_where_there_is_none() -> None:
    script = Scripted(Node({ONE: first(9)})).greet(state(ONE, first(5), entry_id(entry(ONE, 4))))
    script.work()
    assert [run.start for run in script.runs] == [5]


def test_a_vector_of_many_logs_comes_in_parts_each_within_its_bound() -> None:
    a = Node({log(number, lane): first(3) for number in range(700) for lane in (1, 0)})
    b = Node({URGENT: first(9)})
    ends = meet(a, b).ends
    parts = [record for record in records(ends[0]) if isinstance(record, Vector)]
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert len(parts) > 1
    assert max(map(len, ends[0].sent)) <= STATES_BYTES_MAX
    assert min(len(data) for data in ends[0].sent[1 : len(parts)]) > STATES_BYTES_MAX - 64
    assert holds(b) == holds(a)


def test_the_urgent_lane_is_pushed_before_the_rest_of_the_vector_came() -> None:
    script = Scripted(Node({URGENT: first(1), ONE: first(1)}))
    script.say(Hello(1, 0, b"another root 16B", 7, RECORD_BYTES_MIN), Vector(True, (state(TWO, first(1)),)))
    script.work()
    assert [run.start for run in script.runs] == [0]
    script.say(Vector(False, (state(log(3), first(1)),)))
    script.work()
    assert len(script.runs) == 2


def test_a_log_with_more_holes_than_fit_tells_its_lowest_ones() -> None:
    many = Ranges(tuple((2 * number, 2 * number + 1) for number in range(RANGES_MAX + 5)))
    script = Scripted(Node({ONE: many})).greet()
    told = script.heard[1]
    assert isinstance(told, Vector)
    assert told.states[0].settled.spans == many.spans[:RANGES_MAX]
    assert told.states[0].tip == b""


def test_nodes_with_more_holes_than_fit_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "RANGES_MAX", 8)
    monkeypatch.setattr(peer, "RANGES_MAX", 8)
    a = Node({ONE: Ranges(tuple((2 * number, 2 * number + 1) for number in range(60)))})
    b = Node({ONE: Ranges(tuple((2 * number + 1, 2 * number + 2) for number in range(60)))})
    ends = meet(a, b).ends
    assert a.settled() == b.settled() == {ONE: first(120)}
    assert [(end.levels, end.hangup) for end in ends] == [(1, None), (1, None)]


def test_a_later_version_is_spoken_with_and_its_new_records_are_passed_over() -> None:
    script = Scripted(Node({ONE: first(1)}))
    script.say(cbor.encode([0, 2, 1, b"another root 16B", 7, 65_536, "news"]), cbor.encode([9, b"sketch"]))
    script.say(Vector(False, ()), cbor.encode([11]))
    script.work()
    assert script.end.hangup is None
    assert len(script.runs) == 1


def test_a_second_meeting_after_a_cut_repeats_nothing_that_was_settled() -> None:
    a, b = Node({ONE: first(1_000)}), Node()
    world = World()
    world.connect(a, b)
    for _ in range(200):
        world.step()
    settled = b.settled()[ONE].count
    assert 0 < settled < 1_000
    world.cut()
    world.connect(a, b)
    world.run()
    assert world.ends[0].session.entries_sent == 1_000 - settled


def test_a_partial_answer_of_the_store_is_asked_on() -> None:
    script = Scripted(Node({ONE: first(6)})).greet()
    order = script.end.work.popleft()
    assert isinstance(order, ReadRun)
    outputs = script.end.tell(RunRead(ONE, 0, None, (entry(ONE, 0), entry(ONE, 1)), NOTHING), script.now)
    assert [type(output) for output in outputs] == [Send, ReadRun]
    script.work()
    assert [(run.start, len(run.packed)) for run in script.runs] == [(0, 2), (2, 4)]
