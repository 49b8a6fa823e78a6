"""What is asked for by WANT: bulk, another branch, and what nobody has."""

from __future__ import annotations

import pytest

from sync import peer
from sync.ranges import Ranges
from sync.session import Hangup, ReadRun, Wanted
from sync.wire import Gone, Run, Want
from tests.sync.pair import Node, World, entry, entry_id, first, holds, log, meet, records, seqs
from tests.sync.script import Scripted, run

ONE, BULK = log(1), log(1, 3)


def test_bulk_comes_when_it_is_wanted_and_only_then() -> None:
    a, b = Node({BULK: first(20), ONE: first(1)}), Node({ONE: first(1)})
    world = meet(a, b)
    assert BULK not in holds(b)
    world.ends[1].tell(Wanted(BULK, seqs((2, 14), (19, 20))), world.now)
    world.run()
    assert holds(b)[BULK] == {*range(2, 14), 19}


def test_what_is_wanted_before_the_hello_is_asked_for_after_it() -> None:
    a, b = Node({ONE: first(2), BULK: first(2)}), Node({ONE: first(2)})
    for _ in range(2):
        meet(a, b).cut()
    b.write(log(2), first(1))
    a.write(ONE, seqs((2, 3)))
    world = World()
    world.connect(a, b)
    world.ends[1].tell(Wanted(BULK, first(2)), world.now)
    world.run()
    assert holds(a) == {**holds(b), BULK: {0, 1}}
    assert holds(b)[BULK] == {0, 1}


def test_what_is_wanted_in_a_lane_that_the_peer_takes_no_part_in_is_not_asked_for() -> None:
    script = Scripted(Node()).greet(lanes=0b0111)
    script.tell(Wanted(BULK, first(1)))
    assert not [record for record in script.heard if isinstance(record, Want)]
    assert script.end.noticed == ["lane-not-shared"]


def test_a_want_brings_what_the_peer_has_settled_already_so_that_it_sees_our_branch() -> None:
    a, b = Node({ONE: first(5)}), Node({ONE: first(5)})
    world = meet(a, b)
    world.ends[0].tell(Wanted(ONE, seqs((3, 4))), world.now)
    world.run()
    (pushed,) = (record for record in records(world.ends[1]) if isinstance(record, Run))
    assert pushed == Run(pushed.log, 3, entry_id(entry(ONE, 2)), (entry(ONE, 3),))


def test_a_want_of_what_is_not_settled_here_is_answered_at_once_and_once() -> None:
    script = Scripted(Node({BULK: first(3)})).greet()
    script.say(Want(BULK, seqs((1, 2**32))))
    assert script.gone == [Gone(BULK, seqs((3, 2**32)))]
    script.work()
    assert [(said.start, len(said.packed)) for said in script.runs] == [(1, 2)]
    assert len(script.gone) == 1


def test_a_want_of_what_is_given_up_here_is_answered_with_gone() -> None:
    node = Node({BULK: first(3)})
    node.give_up(BULK, seqs((0, 2)))
    script = Scripted(node).greet()
    script.say(Want(BULK, first(3)))
    script.work()
    assert script.gone == [Gone(BULK, first(2))]
    assert [said.start for said in script.runs] == [2]


def test_the_same_wanted_again_and_again_is_owed_once() -> None:
    script = Scripted(Node({BULK: first(3)})).greet()
    for _ in range(9):
        script.say(Want(BULK, first(3)))
    script.work()
    assert [said.start for said in script.runs] == [0]
    assert script.count(ReadRun) <= 2


def test_more_spans_wanted_than_we_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "SPANS_MAX", 3)
    script = Scripted(Node({BULK: first(20)})).greet()
    last = script.say(Want(BULK, Ranges(tuple((2 * number, 2 * number + 1) for number in range(4)))))[-1]
    assert last == Hangup("ranges-too-many")


def test_a_run_of_a_wanted_log_needs_no_announcement() -> None:
    script = Scripted(Node()).greet()
    script.tell(Wanted(BULK, first(1)))
    script.say(run(BULK, 0))
    script.work()
    assert holds(script.node) == {BULK: {0}}
