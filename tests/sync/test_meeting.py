"""How two nodes get to know each other: what they remember, what of it is wrong, and what is told instead."""

from __future__ import annotations

import pytest

from sync import meeting, telling
from sync.frontier import Frontier
from sync.limits import RANGES_MAX
from sync.ranges import Ranges
from sync.sketch import Encoder, encode_symbols
from sync.sketching import item
from sync.wire import Ask, Check, Hello, Sketch, State, States, Vector
from tests.sync.pair import Node, World, entry, first, holds, log, meet, records, seqs
from tests.sync.script import HIGHEST, SALT, Scripted, hello

ONE, TWO, URGENT = log(1), log(2), log(1, 0)


def restored(node: Node, then: Node) -> None:
    """The disk of a node becomes what it was in an earlier copy."""
    node.entries = {of: dict(entries) for of, entries in then.entries.items()}
    node.frontier, node.memories, node.pasts = then.frontier, dict(then.memories), dict(then.pasts)


def copied(node: Node) -> Node:
    copy = Node(epoch=node.frontier.epoch)
    copy.entries = {of: dict(entries) for of, entries in node.entries.items()}
    frontier = node.frontier
    states = sorted((frontier.number(of), of, state) for of, state in frontier.states.items())
    copy.frontier = Frontier(frontier.epoch, frontier.feeds, ((of, state, number) for number, of, state in states))
    copy.frontier.upto = frontier.upto
    copy.memories, copy.pasts = dict(node.memories), dict(node.pasts)
    return copy


def test_a_delta_that_names_what_a_restored_disk_lost_is_not_believed_and_everything_is_told() -> None:
    a, b = Node({ONE: first(2)}), Node({TWO: first(2)})
    meet(a, b).cut()
    before = copied(b)
    b.write(log(5), first(2))
    meet(a, b).cut()
    restored(b, before)
    for number in range(6):  # So many that its change number has passed the one that the peer remembers.
        b.write(log(50 + number), first(1))
    a.write(log(5), seqs((2, 3)))
    ends = meet(a, b).ends
    assert [(end.hangup, end.noticed) for end in ends] == [(None, ["memory-wrong"])] * 2
    assert holds(a) == holds(b)


def test_a_delta_may_speak_of_lanes_that_the_peer_takes_no_part_in() -> None:
    a, b = Node({URGENT: first(1), ONE: first(1)}), Node({URGENT: first(1)})
    for _ in range(2):
        world = World()
        world.connect(a, b, lanes=(15, 1))
        world.run()
        assert [(end.hangup, end.levels) for end in world.ends] == [(None, 1)] * 2
        world.cut()
        a.write(ONE, seqs((1, 2)))
    assert ONE not in b.states


def test_when_only_bulk_has_changed_the_other_is_still_told_that_it_knows_us() -> None:
    """A change number has grown without anything to tell: neither may take it for what the other has heard."""
    a, b = Node({ONE: first(2)}), Node({ONE: first(2)})
    for _ in range(2):
        meet(a, b).cut()
    a.write(log(1, 3), first(4))
    b.write(TWO, first(1))
    ends = meet(a, b).ends
    assert [(end.noticed, end.levels) for end in ends] == [([], 1)] * 2
    assert TWO in holds(a)


def test_a_feed_of_which_only_what_is_not_told_is_settled_here_is_unknown_to_the_peer() -> None:
    """Neither bulk nor a lane that the peer leaves out is told, so the peer need not know the feed by its tag."""
    for lanes, lane in (((15, 15), 3), ((15, 1), 1)):
        a, b = Node({log(1, lane): first(1), TWO: first(1)}), Node({TWO: first(1)})
        world = World()
        world.connect(a, b, lanes=lanes)
        world.run()
        a.write(URGENT, first(1))
        world.run()
        assert [end.hangup for end in world.ends] == [None, None]
        assert holds(b)[URGENT] == {0}


def forked(count: int, seen: int = 3) -> tuple[Node, Node]:
    """Two nodes that have heard different stories of so many authors, up to the same seq."""
    a, b = Node(), Node()
    for number in range(count):
        for node, branch in ((a, "a"), (b, "b")):
            node.branches[log(number)] = (1, branch)
            node.write(log(number), first(seen))
    return a, b


def test_forks_are_found_where_all_positions_are_equal() -> None:
    a, b = forked(5)
    ends = meet(a, b).ends
    for node in (a, b):
        assert {of for of, _ in node.forks} == {log(number) for number in range(5)}
    assert [(end.hangup, end.session.entries_sent) for end in ends] == [(None, 5)] * 2


def test_so_many_forks_that_one_sketch_is_not_enough_are_found() -> None:
    a, b = forked(60)
    assert [end.hangup for end in meet(a, b).ends] == [None, None]
    assert len({of for of, _ in a.forks}) == 60


def test_more_forks_than_are_worth_a_sketch_are_left_for_the_next_entry_to_show() -> None:
    a, b = forked(800, seen=2)
    ends = meet(a, b).ends
    assert [(end.hangup, end.levels) for end in ends] == [(None, 1)] * 2
    assert a.forks == []


def test_what_the_peer_settled_of_our_own_run_since_its_sketch_is_no_other_story() -> None:
    script = Scripted(Node({ONE: first(1)}))
    script.say(hello(script.said_hello.root, chain=script.said_hello.chain))
    node = script.node
    theirs = item(SALT, ONE, first(1), node.frontier.tip(ONE))  # The sketch left before our run came.
    node.write(TWO, first(1))
    script.work()
    script.say(Sketch(encode_symbols(Encoder([theirs]).symbols(9))), States((State(TWO, first(1)),), rest=True))
    script.work()
    assert [said.packed for said in script.runs] == [(entry(TWO, 0),)]


def test_a_log_with_more_holes_than_fit_is_not_taken_to_be_known_beyond_what_was_told() -> None:
    many = Ranges(tuple((2 * number, 2 * number + 1) for number in range(RANGES_MAX + 6)))
    for salt in (b"0", b"1", b"2", b"3"):  # Whichever of the two speaks.
        a, b = Node({ONE: many}), Node({ONE: Ranges(many.spans[:RANGES_MAX])})
        world = World()
        world.connect(a, b, salt=salt)
        world.run()
        assert holds(a) == holds(b)


def test_the_first_meeting_of_equals_is_remembered_as_what_the_other_knows() -> None:
    a, b = Node({ONE: first(2)}), Node({ONE: first(2)})
    meet(a, b).cut()
    assert (a.memories[id(b)].told, b.memories[id(a)].told) == (1, 1)


def test_one_that_spoke_before_it_was_asked_does_not_tell_all_twice() -> None:
    script = Scripted(Node({ONE: first(1)}))
    script.say(hello(HIGHEST), Ask(), States((), rest=True))
    assert [type(record) for record in script.heard] == [Hello, Vector, Check]


def test_a_sketch_between_nodes_that_share_few_lanes_tells_of_those_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "VECTOR_BYTES_MAX", 0)
    monkeypatch.setattr(telling.Telling, "everything_bytes", lambda self, lanes: 10_000)
    for salt in (b"0", b"1", b"2", b"3"):  # Whichever of the two speaks.
        a, b = Node({URGENT: first(2), ONE: first(3)}), Node({URGENT: first(1), TWO: first(1)})
        world = World()
        world.connect(a, b, lanes=(1, 15), salt=salt)
        world.run()
        assert any(isinstance(record, Sketch) for end in world.ends for record in records(end))
        assert [(end.hangup, end.levels > 0) for end in world.ends] == [(None, True)] * 2
        assert holds(b) == {URGENT: {0, 1}, TWO: {0}}


@pytest.mark.parametrize(("changed", "told"), [(3, True), (90, False)])
def test_a_delta_is_told_unasked_if_it_is_a_small_part_of_everything(
    changed: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "DELTA_BYTES_MAX", 0)
    held = {log(number): first(1) for number in range(100)}
    a, b = Node(held), Node(held, epoch=2)
    meet(a, b)
    for number in range(changed):
        a.write(log(number), seqs((1, 2)))
    world = meet(a, b)
    said = records(world.ends[0])[0]
    assert isinstance(said, Hello)
    assert said.delta == told
    assert holds(a) == holds(b)
