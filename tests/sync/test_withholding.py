"""What a node withholds from a peer for now: it is not sent, nobody waits for it, and it comes when it may."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.limits import STALL_S
from sync.logs import LogId
from sync.push import Withholds
from sync.ranges import NOTHING, Ranges
from sync.session import Hangup, Level, PeerTook, ReadRun, RecordReceived, Wanted, Weighed
from sync.wire import Ack, Ask, Gone, Record, Run, State, States, Stop, Want, Withheld, encode
from tests.sync.pair import Choose, Node, World, first, has_after, holds, log, meet, records, sent_entries, seqs
from tests.sync.script import HIGHEST, Scripted, hello, run
from tests.sync.test_session_laws import choices, nodes

ONE, TWO, URGENT, BULK = log(1), log(2), log(1, 0), log(1, 3)


def but(withheld: dict[LogId, Ranges | None]) -> Withholds:
    """These, clipped to what is asked about; None: not known yet."""

    def withholds(log: LogId, start: int, stop: int) -> Ranges | None:
        seqs_ = withheld.get(log, NOTHING)
        return None if seqs_ is None else seqs_.intersect(Ranges(((start, stop),)))

    return withholds


def withholding(held: dict[LogId, Ranges], withheld: dict[LogId, Ranges | None]) -> Node:
    node = Node(held)
    node.withholds = but(withheld)
    return node


def said(script: Scripted) -> int:
    return sum(isinstance(record, Withheld) for record in script.heard)


def read(script: Scripted) -> list[tuple[LogId, int, int]]:
    return [(each.log, each.start, each.stop) for each in script.end.outputs if isinstance(each, ReadRun)]


# Who withholds.


def test_what_is_withheld_is_neither_read_nor_sent_and_that_is_said_once_after_all_else() -> None:
    script = Scripted(withholding({ONE: first(3), TWO: first(2), log(3, 2): first(1)}, {ONE: first(3)}))
    script.greet()
    script.work()
    assert read(script) == [(TWO, 0, 2), (log(3, 2), 0, 1)]
    assert [len(each.packed) for each in script.runs] == [2, 1]
    kinds: list[type[Record]] = [type(record) for record in script.heard]
    assert kinds[-1] is Withheld
    script.say(Ack(2, 1, 0))
    script.work()
    assert said(script) == 1
    assert isinstance(script.end.outputs[-1], Level)


def test_with_nothing_withheld_nothing_is_said() -> None:
    script = Scripted(Node({ONE: first(3)})).greet()
    script.work()
    assert said(script) == 0


def test_of_what_is_withheld_in_part_the_rest_is_sent_with_prev_where_it_cannot_be_inferred() -> None:
    script = Scripted(withholding({ONE: first(9)}, {ONE: seqs((0, 2), (4, 6))})).greet()
    script.work()
    assert [(each.start, len(each.packed), each.prev is not None) for each in script.runs] == [
        (2, 2, True),
        (6, 3, True),
    ]
    assert said(script) == 1


def test_what_is_not_decided_waits_and_holds_up_no_other_log() -> None:
    node = withholding({ONE: first(3), TWO: first(2), log(3, 2): first(1)}, {ONE: None})
    script = Scripted(node).greet()
    script.work()
    assert read(script) == [(TWO, 0, 2), (log(3, 2), 0, 1)]
    script.say(Ack(2, 1, 0))
    assert script.count(Level) == 0, "it may still have to be pushed"
    node.withholds = but({ONE: seqs((0, 1))})
    script.tell(Weighed())
    script.work()
    assert read(script)[2:] == [(ONE, 1, 3)]
    assert said(script) == 1


def test_what_may_be_pushed_by_now_is_pushed_and_each_entry_once() -> None:
    node = withholding({ONE: first(6)}, {ONE: first(6)})
    script = Scripted(node).greet()
    for withheld in (seqs((1, 6)), seqs((2, 4)), NOTHING, NOTHING):
        node.withholds = but({ONE: withheld})
        script.tell(Weighed())
        script.work()
    pushed = [seq for each in script.runs for seq in range(each.start, each.start + len(each.packed))]
    assert sorted(pushed) == list(range(6))


def test_what_is_withheld_again_after_it_was_allowed_is_said_again() -> None:
    node = withholding({ONE: first(2)}, {ONE: first(2)})
    script = Scripted(node).greet()
    script.work()
    before = said(script)
    script.tell(Weighed())
    assert said(script) == before + 1
    assert script.runs == []


def test_a_want_with_spans_is_answered_whatever_is_withheld_or_not_known_yet() -> None:
    for answer in (first(5), None):
        script = Scripted(withholding({ONE: first(5), BULK: first(3)}, {ONE: answer, BULK: answer})).greet()
        script.say(Want(ONE, seqs((1, 3))), Want(BULK, seqs((0, 2))))
        script.work()
        assert [(each.start, len(each.packed)) for each in script.runs] == [(1, 2), (0, 2)]


def test_what_came_by_a_want_is_not_sent_again_when_nothing_is_withheld_any_more() -> None:
    node = withholding({ONE: first(5)}, {ONE: first(5)})
    script = Scripted(node).greet()
    script.say(Want(ONE, seqs((1, 3))))
    script.work()
    node.withholds = but({})
    script.tell(Weighed())  # Before it was acknowledged.
    script.work()
    pushed = [seq for each in script.runs for seq in range(each.start, each.start + len(each.packed))]
    assert sorted(pushed) == [0, 1, 2, 3, 4]


def test_what_is_stopped_is_asked_about_when_it_is_wanted_again_and_then_withheld_in_so_many_words() -> None:
    script = Scripted(withholding({ONE: first(2)}, {ONE: first(2)})).greet()
    script.work()
    before = said(script)
    script.say(Stop((ONE,)))  # It left before it heard that the log is withheld.
    script.say(Want(0, NOTHING))
    script.work()
    assert said(script) == before + 1


def test_what_is_told_of_a_withheld_log_is_withheld_in_so_many_words() -> None:
    """Or whoever hears of it would wait for it."""
    a, b = withholding({TWO: first(1)}, {ONE: first(5)}), Node()
    world = World()
    world.connect(a, b)
    world.run()
    a.write(ONE, first(3))  # Not pushed, so it is told with the next ACK.
    b.write(log(4), first(1))
    world.run()
    assert world.ends[1].noticed == []
    assert holds(b) == {TWO: {0}, log(4): {0}}
    assert world.ends[1].session.memory() is not None
    assert [end.session._level for end in world.ends] == [True, True]


def test_whoever_does_not_know_us_is_told_again_after_it_was_told_everything() -> None:
    script = Scripted(withholding({ONE: first(2)}, {ONE: first(2)})).greet()
    script.work()
    before = said(script)
    script.say(Ask())
    script.work()
    assert said(script) == before + 1


def test_the_peer_took_what_it_acknowledged_but_not_what_it_refused_nor_what_is_urgent() -> None:
    script = Scripted(Node({URGENT: first(1), ONE: first(2), TWO: first(1), log(3, 2): first(2)})).greet()
    script.work()
    assert len(script.runs) == 4
    took = [each for each in script.say(Ack(4, 1, 0, (2,))) if isinstance(each, PeerTook)]
    assert took == [PeerTook(ONE, 0, 2), PeerTook(log(3, 2), 0, 2)]


# Whom something is withheld from.


def test_whoever_is_told_so_is_level_at_once_and_gets_it_when_it_may_have_it() -> None:
    a, b = withholding({ONE: first(4), TWO: first(2)}, {ONE: seqs((1, 4))}), Node({log(3): first(1)})
    world = World()
    world.connect(a, b)
    world.run()
    assert holds(b) == {ONE: {0}, TWO: {0, 1}, log(3): {0}}
    assert [(end.levels, end.hangup, end.noticed) for end in world.ends] == [(1, None, [])] * 2
    assert world.now < 100 + STALL_S
    a.weigh()
    world.run()
    assert holds(b) == holds(a)
    assert [end.levels for end in world.ends] == [2, 2]
    pushed = sent_entries(world.ends[0])
    assert len(pushed) == len(set(pushed))


def test_what_was_withheld_comes_at_the_next_meeting() -> None:
    a, b = withholding({ONE: first(4), TWO: first(2)}, {ONE: first(4), TWO: None}), Node()
    for _ in range(2):
        meet(a, b).cut()
    assert holds(b) == {}
    a.withholds = but({})
    assert sent_entries(meet(a, b).ends[0]) == [(ONE, 0), (ONE, 1), (ONE, 2), (ONE, 3), (TWO, 0), (TWO, 1)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_one_withholds_comes_from_another_that_has_it(order: tuple[int, int]) -> None:
    held = {ONE: first(9), TWO: first(3)}
    givers = withholding(held, {ONE: seqs((4, 9))}), Node(held)
    c = Node()
    world = World()
    for index in order:
        world.connect(givers[index], c)
    while holds(c) != {ONE: set(range(9)), TWO: {0, 1, 2}}:
        assert world.step()
    assert world.now < 100 + STALL_S
    world.run()
    assert [(end.hangup, end.noticed) for end in world.ends] == [(None, [])] * 4
    pushed = [pair for end in (world.ends[0], world.ends[2]) for pair in sent_entries(end)]
    assert len(pushed) == len(set(pushed))


def two_links(held: Ranges) -> tuple[Node, Scripted, Scripted]:
    """A node, and two peers of which the first is its source."""
    node = Node()
    peer, other = Scripted(node, number=1), Scripted(node, number=2)
    for script in (peer, other):
        script.greet({ONE: held})
    return node, peer, other


def wants(script: Scripted) -> int:
    return sum(isinstance(record, Want) and not record.seqs for record in script.heard)


def test_what_the_source_withholds_is_wanted_from_whom_was_stopped() -> None:
    _, peer, other = two_links(first(3))
    peer.say(run(ONE, 0))
    peer.work()
    assert wants(other) == 0
    peer.say(Withheld())
    assert wants(other) == 1


def test_what_was_stopped_is_not_meant_and_awaited_all_the_same() -> None:
    _, peer, other = two_links(first(3))
    other.say(Withheld())
    peer.say(Gone(ONE, first(3)))
    assert wants(other) == 1


def test_what_was_withheld_and_is_stopped_later_is_wanted_when_its_source_has_it_not() -> None:
    node, peer, other = two_links(first(3))
    peer.say(Withheld())
    assert wants(other) == 1
    peer.say(run(ONE, 0))  # It may give it by now, and is stopped, for the other one does.
    peer.work()
    assert any(isinstance(record, Stop) for record in peer.heard)
    other.say(Gone(ONE, seqs((1, 3))))
    assert wants(peer) == 1
    peer.say(run(0, 1, 2))
    peer.work()
    assert holds(node) == {ONE: {0, 1, 2}}


def test_what_was_refused_while_it_was_stopped_is_not_awaited_from_who_withholds_it() -> None:
    node = Node({ONE: first(2)})
    peer, other = Scripted(node, number=1), Scripted(node, number=2)
    for script in (peer, other):
        script.greet({ONE: seqs((0, 2), (5, 6))})
    other.say(run(ONE, 5))
    other.work()
    assert node.refused == [(ONE, 5)]
    peer.say(Gone(ONE, seqs((5, 6))))
    assert list(other.session._peer.awaited) == [ONE]
    other.say(Withheld())
    assert list(other.session._peer.awaited) == []


def test_what_was_to_be_pushed_when_it_was_stopped_is_told() -> None:
    """Or nobody would ask for it when the source has it not."""
    script = Scripted(Node({ONE: first(3)})).greet({ONE: first(3)})
    script.node.write(ONE, seqs((3, 5)))
    script.say(Stop((ONE,)))
    script.work()
    script.world.now += 1
    script.tell(Weighed())
    assert script.runs == []
    assert [state.settled for record in script.told for state in record.states][-1] == first(5)


def test_what_is_urgent_is_awaited_whatever_the_peer_withholds() -> None:
    script = Scripted(Node()).greet({URGENT: first(1), ONE: first(1)})
    script.say(Withheld())
    assert script.count(Level) == 0
    script.say(run(URGENT, 0))
    script.work()
    assert script.count(Level) == 1


def test_what_is_announced_after_it_is_awaited() -> None:
    script = Scripted(Node()).greet({ONE: first(1)})
    script.say(Withheld())
    assert script.count(Level) == 1
    script.say(States((State(ONE, first(2)),)))
    assert script.end.wake is not None
    script.say(run(ONE, 1, prev=bytes(32)))
    script.work()
    assert holds(script.node) == {ONE: {1}}


def test_it_may_be_said_before_anything_else_and_as_often_as_anybody_likes() -> None:
    script = Scripted(Node())
    script.say(hello(HIGHEST))
    for _ in range(99):
        assert not [output for output in script.say(Withheld()) if isinstance(output, Hangup)]
    script.say(States((State(ONE, first(1)),), rest=True), Withheld(), run(0, 0))
    script.work()
    assert holds(script.node) == {ONE: {0}}
    assert Scripted(Node()).say(Withheld()) == [Hangup("hello-missing")]


@settings(max_examples=100, deadline=None)
@given(nodes(), nodes(), choices, st.lists(st.integers(0, 40), max_size=4))
def test_an_untrue_word_of_it_at_any_moment_loses_nothing(a: Node, b: Node, choose: Choose, moments: list[int]) -> None:
    expected = has_after(a, b), has_after(b, a)
    world = World(choose)
    world.connect(a, b)
    for number, moment in enumerate(sorted(moments)):
        while world.steps < moment and world.step():
            pass
        end = world.ends[number % 2]
        if end.session._meeting.hello is not None:
            end.tell(RecordReceived(encode(Withheld())), world.now)
    world.run()
    assert (holds(a), holds(b)) == expected
    assert [(end.hangup, end.levels > 0) for end in world.ends] == [(None, True)] * 2


def test_bulk_that_is_wanted_comes_through_a_session_in_which_all_is_withheld() -> None:
    everything = first(2**32)
    a, b = withholding({ONE: first(2), BULK: first(2)}, {ONE: everything, BULK: everything}), Node()
    world = meet(a, b)
    world.ends[1].tell(Wanted(BULK, first(2)), world.now)
    world.run()
    assert holds(b) == {BULK: {0, 1}}
    assert sum(isinstance(record, Run) for record in records(world.ends[0])) == 1
