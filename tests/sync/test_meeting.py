"""How two nodes get to know each other: what they remember, what of it is wrong, and what is told instead."""

from __future__ import annotations

from sync.frontier import Frontier
from tests.sync.pair import Node, World, first, holds, log, meet, seqs

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
