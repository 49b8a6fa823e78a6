"""One session, case by case."""

from __future__ import annotations

from sync.limits import (
    ACK_DELAY_S,
    ACK_RUNS_MAX,
    LINK_BYTES_FIRST,
    RUN_BYTES_MAX,
    STALL_S,
)
from sync.ranges import NOTHING
from sync.session import (
    AskDrained,
    Drained,
    Hangup,
    Level,
    Noticed,
    PeerSettled,
    ReadRun,
    TakeRun,
    TimeCame,
)
from sync.wire import Ack, Check, Gone, Hello, Run, Sketch, Sketched, State, States, Stop, Vector, Want
from tests.sync.pair import Node, World, entry, entry_id, first, holds, log, meet, records, sent_entries, seqs
from tests.sync.script import Scripted, hello, run

ONE, TWO, URGENT, STATUS = log(1), log(2), log(1, 0), log(2, 2)


def drain(script: Scripted) -> None:
    """All that the node has to push goes out: it reads, and the link is quick."""
    while script.end.work:
        script.work()


# What equal, new and unequal nodes do.


def test_equal_nodes_say_one_hello_each_and_are_level() -> None:
    held = {ONE: first(50), URGENT: first(3)}
    ends = meet(Node(held), Node(held)).ends
    assert [[type(record) for record in records(end)] for end in ends] == [[Hello], [Hello]]
    assert [end.levels for end in ends] == [1, 1]


def test_nodes_with_nothing_meet() -> None:
    assert [end.levels for end in meet(Node(), Node()).ends] == [1, 1]


def test_a_new_node_gets_everything_and_is_counted_as_such() -> None:
    a, b = Node({ONE: first(100), URGENT: first(3), STATUS: seqs((5, 9))}), Node()
    ends = meet(a, b).ends
    assert holds(b) == holds(a)
    assert [end.session.entries_sent for end in ends] == [103 + 4, 0]
    assert [end.session.entries_received for end in ends] == [0, 103 + 4]


def test_the_second_meeting_tells_only_what_changed() -> None:
    held = {log(number): first(9) for number in range(200)}
    a, b = Node(held), Node()
    for _ in range(2):
        meet(a, b).cut()
    a.write(ONE, seqs((9, 10)))
    end = meet(a, b).ends[0]
    assert [len(record.states) for record in records(end) if isinstance(record, States | Vector)] == [1]
    assert sent_entries(end) == [(ONE, 9)]


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


def test_the_bulk_lane_is_neither_told_nor_pushed() -> None:
    a, b = Node({log(1, 3): first(5), ONE: first(1)}), Node({ONE: first(1)})
    ends = meet(a, b).ends
    assert [len(end.sent) for end in ends] == [1, 1]
    assert log(1, 3) not in b.states


def test_a_lane_that_one_side_leaves_out_is_left_out_by_both() -> None:
    world = World()
    a, b = Node({URGENT: first(2), ONE: first(2)}), Node({log(3, 0): first(2), TWO: first(2)})
    world.connect(a, b, lanes=(0b0001, 0b1111))
    world.run()
    assert holds(b) == {URGENT: {0, 1}, log(3, 0): {0, 1}, TWO: {0, 1}}
    assert holds(a) == {URGENT: {0, 1}, log(3, 0): {0, 1}, ONE: {0, 1}}
    assert [end.levels for end in world.ends] == [1, 1]


def test_a_node_of_an_earlier_version_is_hung_up_on() -> None:
    script = Scripted(Node())
    first_of_version_1 = bytes.fromhex("8600010050") + bytes(16) + bytes.fromhex("071a00028000")
    assert script.say(first_of_version_1) == [Hangup("record-malformed")]
    for earlier in (1, 2):
        assert Scripted(Node()).say(bytes([0, earlier]) + bytes(20)) == [Hangup("version-unsupported")]


def test_a_later_version_is_spoken_with_and_its_new_records_are_passed_over() -> None:
    script = Scripted(Node({ONE: first(1)}))
    script.say(Hello(4, 15, 65_536, 0, b"", 7, 0, bytes(8), bytes(4)), bytes([13]) + b"news")
    script.say(Vector(False, ()), bytes([15]))
    drain(script)
    assert script.end.hangup is None
    assert len(script.runs) == 1


def test_the_peers_word_of_watched_feeds_is_reported() -> None:
    script = Scripted(Node({ONE: first(9)}), watched=[ONE.feed])
    script.greet({ONE: first(4), TWO: first(1)})
    learned = [output for output in script.end.outputs if isinstance(output, PeerSettled)]
    assert learned == [PeerSettled(ONE, first(4))]
    drain(script)
    assert PeerSettled(ONE, first(9)) in script.say(Ack(1, 1, 0))


# In which order.


def test_logs_of_one_lane_take_turns() -> None:
    script = Scripted(Node({ONE: first(1_000), TWO: first(1)})).greet()
    drain(script)
    assert [said.packed[0] for said in script.runs].index(entry(TWO, 0)) == 8


def test_an_earlier_lane_is_pushed_first() -> None:
    a = Node({log(3, 2): first(30), log(2, 1): first(30), log(1, 0): first(30)})
    lanes = [of.lane for of, _ in sent_entries(meet(a, Node()).ends[0])]
    assert lanes == sorted(lanes)


def test_an_urgent_entry_goes_before_whatever_has_not_left() -> None:
    script = Scripted(Node({ONE: first(2_000)})).greet()
    script.end.do_work(script.now)
    before = len(script.runs)
    script.node.write(URGENT, first(1))
    while len(script.runs) == before:
        script.end.do_work(script.now)
    assert script.runs[before].packed == (entry(URGENT, 0),)


def test_the_link_is_given_a_little_until_it_says_that_it_left() -> None:
    script = Scripted(Node({ONE: first(400)}, size=100)).greet()
    while any(isinstance(order, ReadRun) for order in script.end.work):
        script.end.do_work(script.now)
    given = sum(len(packed) for said in script.runs for packed in said.packed)
    assert LINK_BYTES_FIRST <= given < LINK_BYTES_FIRST + RUN_BYTES_MAX
    assert script.count(AskDrained) == 1
    before = len(script.runs)
    script.end.work.clear()
    script.tell(Drained())
    assert len(script.runs) > before


def test_a_new_entry_is_pushed_at_once() -> None:
    a, b = Node({ONE: first(3)}), Node({ONE: first(3)})
    world = meet(a, b)
    a.write(ONE, seqs((3, 4)))
    world.run()
    assert sent_entries(world.ends[0]) == [(ONE, 3)]
    assert 3 in holds(b)[ONE]
    assert [end.levels for end in world.ends] == [2, 2]


def test_what_grew_before_the_peer_was_known_is_pushed() -> None:
    a, b = Node({ONE: first(3)}), Node({ONE: first(3)})
    world = World()
    world.connect(a, b)
    a.write(TWO, first(2))
    world.run()
    assert holds(b) == holds(a)


# Gone.


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
    drain(script)
    assert script.gone == [Gone(script.gone[0].log, first(3))]
    assert script.count(Level) == 1


def test_what_the_peer_calls_gone_is_not_waited_for() -> None:
    script = Scripted(Node()).greet({ONE: first(4)})
    script.say(Gone(ONE, first(3)))
    assert script.count(Level) == 0
    script.say(Gone(0, seqs((3, 4))))
    assert script.count(Level) == 1


# Acknowledging.


def test_an_ack_speaks_only_of_what_is_durable() -> None:
    script = Scripted(Node()).greet({ONE: first(2)})
    script.say(run(ONE, 0))
    assert script.acks == []
    script.work()
    script.world.now += ACK_DELAY_S
    script.tell(TimeCame())
    assert [(ack.runs_done, ack.refused) for ack in script.acks] == [(1, ())]


def test_the_last_ack_of_a_reconciliation_leaves_at_once() -> None:
    script = Scripted(Node()).greet({ONE: first(1)})
    script.say(run(ONE, 0))
    script.work()
    assert [(ack.runs_done, ack.advance) for ack in script.acks] == [(1, 1)]
    assert script.count(Level) == 1


def test_after_enough_runs_an_ack_leaves_at_once() -> None:
    script = Scripted(Node()).greet({ONE: first(500)})
    for number in range(ACK_RUNS_MAX):
        assert script.acks == []
        script.say(run(ONE if not number else 0, number))
        script.work()
    assert [ack.runs_done for ack in script.acks] == [ACK_RUNS_MAX]


def test_a_refused_run_is_acknowledged_as_such_and_not_waited_for() -> None:
    node = Node()
    node.refuses = lambda of, start: True
    script = Scripted(node).greet({ONE: first(2)})
    script.say(run(ONE, 0, 2))
    script.work()
    assert [(ack.runs_done, ack.refused) for ack in script.acks] == [(1, (0,))]
    assert script.count(Level) == 1


def test_the_states_of_what_changed_otherwise_come_before_the_ack() -> None:
    script = Scripted(Node()).greet({ONE: first(3)})
    script.node.write(ONE, first(2))
    script.world.now += ACK_DELAY_S
    script.tell(TimeCame())
    told, ack = script.heard[-2:]
    assert isinstance(told, States)
    assert [state.settled for state in told.states] == [first(2)]
    assert ack == Ack(0, 1, 0)


def test_runs_that_were_settled_are_not_told_again_as_states() -> None:
    a, b = Node({ONE: first(100), TWO: first(50)}), Node()
    ends = meet(a, b).ends
    told = [state for record in records(ends[1]) if isinstance(record, States) for state in record.states]
    assert [state.settled for state in told] == [NOTHING, NOTHING]  # The answer to the VECTOR, before any run.
    assert sum(record.advance for record in records(ends[1]) if isinstance(record, Ack)) == b.frontier.upto


def test_both_know_afterwards_how_far_they_have_heard_of_each_other() -> None:
    a, b = Node({ONE: first(100)}), Node({TWO: first(100)})
    meet(a, b)
    mine, theirs = a.memories[id(b)], b.memories[id(a)]
    assert (mine.heard, theirs.heard) == (b.frontier.upto, a.frontier.upto)
    assert mine.told <= theirs.heard
    assert theirs.told <= mine.heard


def test_what_the_peer_pushed_is_not_pushed_back() -> None:
    script = Scripted(Node()).greet()
    script.say(run(ONE, 0, 3))
    script.work()
    assert script.count(ReadRun) == 0


def test_what_the_peer_pushes_while_it_is_being_read_is_not_sent_back() -> None:
    script = Scripted(Node({ONE: first(3)})).greet()
    script.say(run(ONE, 0, 3))
    drain(script)
    assert script.runs == []


def test_level_comes_each_time_it_becomes_true_and_the_check_once() -> None:
    a, b = Node({ONE: first(3)}), Node()
    world = meet(a, b)
    a.write(ONE, seqs((3, 4)))
    world.run()
    assert [end.levels for end in world.ends] == [2, 2]
    assert [sum(isinstance(record, Check) for record in records(end)) for end in world.ends] == [1, 1]


# Forks.


def test_a_fork_is_shown_by_both_sides_with_the_entry_before() -> None:
    a, b = Node(), Node()
    for node, branch in ((a, "a"), (b, "b")):
        node.branches[ONE] = (3, branch)
        node.write(ONE, first(5))
    ends = meet(a, b).ends
    for end, branch in zip(ends, "ab", strict=True):
        pushed = [record for record in records(end) if isinstance(record, Run)]
        assert [(said.start, said.prev, said.packed) for said in pushed] == [
            (4, entry_id(entry(ONE, 3, branch)), (entry(ONE, 4, branch),))
        ]
    assert set(a.forks) == set(b.forks) == {(ONE, 3), (ONE, 4)}


def test_a_fork_whose_run_a_stop_held_up_is_shown_after_the_want() -> None:
    script = Scripted(Node({ONE: first(5)}))
    script.say(hello(script.said_hello.root, chain=b"\xff\xff\xff\xff"))
    assert isinstance(script.heard[-1], Sketch)
    script.say(Sketched(0, False, ()), States((State(ONE, first(5)),), rest=True), Stop((ONE,)))
    drain(script)
    assert script.runs == []
    script.say(Want(0, NOTHING))
    drain(script)
    assert [(said.start, said.prev) for said in script.runs] == [(4, entry_id(entry(ONE, 3)))]


# A peer that keeps us waiting.


def test_a_peer_that_announced_and_gives_nothing_is_no_longer_waited_for() -> None:
    script = Scripted(Node()).greet({ONE: first(4)})
    script.world.now += STALL_S
    assert Noticed("promise-broken") in script.tell(TimeCame())
    assert script.count(Level) == 1


def test_what_it_gives_late_is_taken_all_the_same() -> None:
    script = Scripted(Node()).greet({ONE: first(4)})
    script.world.now += STALL_S
    script.tell(TimeCame())
    script.say(run(ONE, 0, 4))
    assert script.count(TakeRun) == 1
    script.work()
    assert holds(script.node) == {ONE: {0, 1, 2, 3}}


# Stopped and asked to go on.


def test_a_stopped_log_is_not_pushed_until_it_is_wanted() -> None:
    script = Scripted(Node({ONE: first(1)})).greet()
    script.say(Stop((ONE,)))
    drain(script)
    assert script.runs == []
    script.say(Want(0, NOTHING))
    drain(script)
    assert [said.start for said in script.runs] == [0]


def test_the_urgent_lane_is_not_stopped() -> None:
    script = Scripted(Node({URGENT: first(1)})).greet()
    script.say(Stop((URGENT,)))
    drain(script)
    assert len(script.runs) == 1


def test_a_run_that_waits_for_the_link_is_withdrawn_when_its_log_is_stopped() -> None:
    script = Scripted(Node({ONE: first(900), TWO: first(1)}, size=100)).greet()
    while any(isinstance(order, ReadRun) for order in script.end.work):
        script.end.do_work(script.now)
    before = len(script.runs)
    script.say(Stop((ONE,)))
    drain(script)
    assert {said.packed[0].split()[0] for said in script.runs[before:]} <= {TWO.feed}
