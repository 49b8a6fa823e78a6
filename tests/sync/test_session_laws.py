"""What holds for any two nodes, any order of events and any cut."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.logs import LogId
from sync.ranges import Ranges
from tests.sync.pair import Choose, Node, World, first, has_after, holds, log, meet, sent_entries

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=4).map(
    lambda pairs: Ranges.of(*pairs)
)
logs = st.builds(log, st.integers(1, 3), st.integers(0, 2))


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """Logs with holes, some of which are given up."""
    node = Node(draw(st.dictionaries(logs, spans, max_size=5)), large=log(3))
    for of, seqs in draw(st.dictionaries(logs, spans, max_size=2)).items():
        node.give_up(of, seqs)
    return node


choices = st.integers(0, 2**32 - 1).map(lambda seed: Random(seed).randrange)  # Any order of events, cheaply drawn.


def clean(world: World) -> None:
    for end in world.ends:
        assert end.hangup is None
        assert end.node.refused == []


@settings(max_examples=200, deadline=None)
@given(nodes(), nodes(), choices)
def test_after_one_session_both_hold_the_union_and_both_are_level(a: Node, b: Node, choose: Choose) -> None:
    expected = has_after(a, b), has_after(b, a)
    world = meet(a, b, choose)
    assert (holds(a), holds(b)) == expected
    assert [end.levels >= 1 for end in world.ends] == [True, True]
    clean(world)


@settings(max_examples=150, deadline=None)
@given(nodes(), nodes(), choices)
def test_no_entry_is_sent_twice_nor_to_a_node_that_has_settled_it(a: Node, b: Node, choose: Choose) -> None:
    before = {id(a): a.settled(), id(b): b.settled()}
    world = meet(a, b, choose)
    for end in world.ends:
        sent = sent_entries(end)
        assert len(sent) == len(set(sent))
        assert end.peer is not None
        theirs = before[id(end.peer.node)]
        assert not [(of, seq) for of, seq in sent if of in theirs and seq in theirs[of]]


@settings(max_examples=150, deadline=None)
@given(nodes(), nodes(), choices, st.integers(0, 60))
def test_after_a_cut_anywhere_only_what_was_not_settled_is_repeated(
    a: Node, b: Node, choose: Choose, steps: int
) -> None:
    expected = has_after(a, b), has_after(b, a)
    world = World(choose)
    world.connect(a, b)
    for _ in range(steps):
        world.step()
    world.cut()
    at_cut = {id(a): a.settled(), id(b): b.settled()}
    world.connect(a, b)
    world.run()
    assert (holds(a), holds(b)) == expected
    clean(world)
    for end in world.ends:
        assert end.peer is not None
        settled = at_cut[id(end.peer.node)]
        assert not [(of, seq) for of, seq in sent_entries(end) if of in settled and seq in settled[of]]


@settings(max_examples=100, deadline=None)
@given(nodes(), nodes(), choices)
def test_the_second_session_of_equal_nodes_is_one_hello_each(a: Node, b: Node, choose: Choose) -> None:
    meet(a, b, choose)
    settled = a.settled() == b.settled()
    a.ends.clear()
    b.ends.clear()
    again = meet(a, b, choose)
    tips = {of: state.tip for of, state in a.states.items()} == {of: state.tip for of, state in b.states.items()}
    if settled and tips:
        assert [len(end.sent) for end in again.ends] == [1, 1]
    assert [end.session.entries_sent for end in again.ends] == [0, 0]
    assert [end.levels for end in again.ends] == [1, 1]


@settings(max_examples=100, deadline=None)
@given(nodes(), nodes(), choices)
def test_a_later_lane_waits_for_the_earlier_one(a: Node, b: Node, choose: Choose) -> None:
    for end in meet(a, b, choose).ends:
        lanes = [of.lane for of, _ in sent_entries(end)]
        assert lanes == sorted(lanes)


@settings(max_examples=100, deadline=None)
@given(nodes(), nodes(), choices, st.integers(0, 60))
def test_a_new_urgent_entry_goes_before_the_next_run(a: Node, b: Node, choose: Choose, steps: int) -> None:
    world = World(choose)
    world.connect(a, b)
    for _ in range(steps):
        world.step()
    end = world.ends[0]
    urgent = log(9, 0)
    before = len(sent_entries(end))
    a.write(urgent, first(1))
    a.grow(urgent, now=world.now)
    world.run()
    after = sent_entries(end)[before:]
    later = [of.lane for of, _ in after[: after.index((urgent, 0))]]
    assert set(later) <= {0}


@settings(max_examples=100, deadline=None)
@given(st.lists(nodes(), min_size=3, max_size=3), choices, st.lists(st.integers(0, 2), max_size=6))
def test_three_nodes_in_line_converge_while_they_write(line: list[Node], choose: Choose, writers: list[int]) -> None:
    world = World(choose)
    world.connect(line[0], line[1])
    world.connect(line[1], line[2])
    everything: dict[LogId, set[int]] = {}
    for number, writer in enumerate(writers):
        for _ in range(7):
            world.step()
        own = log(20 + writer, number % 3)
        node = line[writer]
        top = node.states[own].settled.top if own in node.states else 0
        node.write(own, Ranges(((top, top + 3),)))
        node.grow(own, now=world.now)
    world.run()
    given_up = {of for node in line for of in node.gone}
    for node in line:
        for of, entries in node.entries.items():
            everything.setdefault(of, set()).update(entries)
    for end in world.ends:
        assert end.hangup is None
        assert end.levels >= 1
    for node in line:
        assert {of: s for of, s in holds(node).items() if of not in given_up} == {
            of: s for of, s in everything.items() if s and of not in given_up
        }


@settings(max_examples=60, deadline=None)
@given(st.lists(nodes(), min_size=3, max_size=3), choices)
def test_three_nodes_in_a_ring_converge_though_runs_cross(ring: list[Node], choose: Choose) -> None:
    everything: dict[LogId, set[int]] = {}
    given_up = {of for node in ring for of in node.gone}
    for node in ring:
        for of, entries in node.entries.items():
            everything.setdefault(of, set()).update(entries)
    world = World(choose)
    for number in range(3):
        world.connect(ring[number], ring[(number + 1) % 3])
    world.run()
    for node in ring:
        assert {of: s for of, s in holds(node).items() if of not in given_up} == {
            of: s for of, s in everything.items() if s and of not in given_up
        }
    assert all(end.hangup is None and end.levels >= 1 for end in world.ends)
