"""What holds for any two nodes, any order of events and any cut; and what once did not, in the smallest case known."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import telling
from sync.limits import STALL_S
from sync.logs import LogId, view_digest
from sync.memory import Memory
from sync.ranges import Ranges
from sync.session import RecordReceived, TimeCame, Wanted
from sync.wire import State, States, Stop, encode
from tests.sync.members import Member
from tests.sync.pair import Choose, End, Node, World, first, has_after, holds, log, meet, records, sent_entries
from tests.sync.weighing import Weighing

ONE, TWO, BULK = log(1), log(2), log(1, 3)

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=4).map(
    lambda pairs: Ranges.of(*pairs)
)
logs = st.builds(log, st.integers(1, 3), st.integers(0, 2))


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """Logs with holes, some of which are given up; the newest entry is held, so that it can be built upon."""
    node = Node(draw(st.dictionaries(logs, spans, max_size=5)), large=log(3))
    for of, seqs in draw(st.dictionaries(logs, spans, max_size=2)).items():
        node.give_up(of, seqs)
        top = node.frontier.settled(of).top
        node.write(of, Ranges(((top, top + 1),)))
    return node


choices = st.integers(0, 2**32 - 1).map(lambda seed: Random(seed).randrange)  # Any order of events, cheaply drawn.


def clean(world: World) -> None:
    assert [(end.hangup, end.noticed) for end in world.ends] == [(None, [])] * len(world.ends)


@settings(max_examples=100, deadline=None)
@given(nodes(), nodes(), choices)
def test_after_one_session_both_hold_the_union_and_both_are_level(a: Node, b: Node, choose: Choose) -> None:
    expected = has_after(a, b), has_after(b, a)
    world = meet(a, b, choose)
    assert (holds(a), holds(b)) == expected
    assert [end.levels >= 1 for end in world.ends] == [True, True]
    clean(world)


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=100, deadline=None)
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
    pushed = end.session.entries_sent
    a.write(urgent, first(1))
    world.run()
    after = sent_entries(end)[pushed:]
    assert {of.lane for of, _ in after[: after.index((urgent, 0))]} <= {0}


@settings(max_examples=150, deadline=None)
@given(nodes(), nodes(), choices, st.integers(0, 2**32 - 1), st.lists(st.integers(0, 60), max_size=3))
def test_whatever_is_withheld_for_a_while_the_rest_comes_and_in_the_end_all(
    a: Node, b: Node, choose: Choose, seed: int, moments: list[int]
) -> None:
    expected = has_after(a, b), has_after(b, a)
    weighings = [Weighing(Random(seed + number), active=True) for number in range(2)]
    a.withholds, b.withholds = weighings
    world = World(choose)
    world.connect(a, b)
    while True:
        if any(moment <= world.steps for moment in moments):
            moments = [moment for moment in moments if moment > world.steps]
            for weighing in weighings:
                weighing.change()
        due = any(weighing.due for weighing in weighings)
        if due and not any(end.inbox or end.work for end in world.ends):  # Decided before any time passes.
            for node, weighing in zip((a, b), weighings, strict=True):
                weighing.decide()
                node.weigh(weighing)
        elif not world.step():
            break
    for mine, theirs, weighing in ((a, b, weighings[1]), (b, a, weighings[0])):
        for of, entries in has_after(mine, theirs).items():
            lacking = entries - holds(mine).get(of, set())
            assert all(seq in weighing.withheld(of) for seq in lacking)
    assert [end.session._level for end in world.ends] == [True, True]
    a.weigh()
    b.weigh()
    world.run()
    assert (holds(a), holds(b)) == expected
    assert [end.session._level for end in world.ends] == [True, True]
    for end in world.ends:
        assert len(sent_entries(end)) == len(set(sent_entries(end)))
    clean(world)


@settings(max_examples=60, deadline=None)
@given(st.lists(nodes(), min_size=3, max_size=3), choices, st.booleans(), st.lists(st.integers(0, 2), max_size=6))
def test_three_nodes_converge_while_they_write(
    three: list[Node], choose: Choose, ring: bool, writers: list[int]
) -> None:
    world = World(choose)
    for number in range(3 if ring else 2):
        world.connect(three[number], three[(number + 1) % 3])
    for number, writer in enumerate(writers):
        for _ in range(7):
            world.step()
        own = log(20 + writer, number % 3)
        top = three[writer].frontier.settled(own).top
        three[writer].write(own, Ranges(((top, top + 3),)))
    world.run()
    given_up = {of for node in three for of in node.gone}
    everything: dict[LogId, set[int]] = {}
    for node in three:
        for of, entries in node.entries.items():
            everything.setdefault(of, set()).update(entries)
    for node in three:
        assert {of: s for of, s in holds(node).items() if of not in given_up} == {
            of: s for of, s in everything.items() if s and of not in given_up
        }
    assert all(end.levels for end in world.ends)
    clean(world)


def quiet(a: Node, b: Node) -> None:
    """A meeting at which there is nothing to say."""
    world = meet(a, b)
    assert [len(end.sent) for end in world.ends] == [1, 1]
    assert sum(len(data) for end in world.ends for data in end.sent) <= 70
    assert all(end.levels for end in world.ends)


def visit(a: Node, b: Node) -> list[End]:
    """A whole session, and its end."""
    world = meet(a, b)
    ends = list(world.ends)
    world.cut()
    return ends


# Once wrong.


def test_what_is_not_told_is_not_taken_for_known() -> None:
    a, b = Node({BULK: first(2)}), Node({TWO: first(1)})
    meet(a, b)
    world = World()
    world.connect(a, b)
    a.write(ONE, first(1))  # Its feed may not be called by a tag: all that was there of it is bulk.
    world.run()
    assert holds(b) == {TWO: {0}, ONE: {0}}
    clean(world)


def test_bulk_comes_when_it_is_wanted() -> None:
    a, b = Node({BULK: first(3)}), Node()
    world = World()
    world.connect(a, b)
    world.run()
    assert holds(b) == {}
    world.ends[1].tell(Wanted(BULK, Ranges(((1, 3),))), world.now)
    world.run()
    assert sent_entries(world.ends[0]) == [(BULK, 1), (BULK, 2)]
    assert world.now < 100 + STALL_S, "it is not waited for what has come"
    clean(world)


@pytest.mark.parametrize("masks", [(15, 3), (3, 15), (13, 7)])
def test_lanes_that_only_one_takes_part_in_are_not_spoken_of(masks: tuple[int, int]) -> None:
    a, b = (Node({log(each, lane): first(3) for lane in range(3)}) for each in (1, 2))
    meet(a, b)
    a.write(log(3, 2), first(1))
    b.write(log(4, 1), first(1))
    world = World()
    world.connect(a, b, lanes=masks)
    a.write(log(5, 2), first(1))
    world.run()
    assert [(end.levels > 0, end.hangup) for end in world.ends] == [(True, None), (True, None)]
    quiet_lanes = {lane for lane in range(3) if not masks[0] & masks[1] >> lane & 1}
    assert {of.lane for end in world.ends for of, _ in sent_entries(end)}.isdisjoint(quiet_lanes)


def test_forks_are_looked_for_in_agreed_lanes_only() -> None:
    for lanes in ((15, 3), (3, 13), (15, 15)):
        a, b = Node({log(3, 2): first(2)}), Node({log(3, 2): first(2)})
        a.branches[ONE], b.branches[log(6, 2)] = (1, "b"), (1, "b")
        for node in (a, b):
            node.write(ONE, first(3))
            node.write(log(6, 2), first(3))
        world = World()
        world.connect(a, b, lanes=lanes)
        world.run()
        assert [end.hangup for end in world.ends] == [None, None]
        assert (ONE, 2) in a.forks if lanes[0] & lanes[1] & 2 else a.forks == []


def test_a_tip_that_is_not_known_is_no_fork() -> None:
    a, b = Node({ONE: first(3)}), Node({ONE: first(2)})
    b.give_up(ONE, Ranges(((2, 3),)))
    for _ in range(2):
        world = meet(a, b)
        assert [len(end.sent) for end in world.ends] == [1, 1]
    a.write(TWO, first(1))
    assert sent_entries(meet(a, b).ends[0]) == [(TWO, 0)]


def test_nodes_found_equal_know_each_other() -> None:
    a, b = Node({ONE: first(3), TWO: first(1)}), Node({TWO: first(1), ONE: first(3)})
    meet(a, b)
    quiet(a, b)
    a.write(ONE, Ranges(((3, 4),)))
    world = meet(a, b)
    told = [record for record in records(world.ends[0]) if isinstance(record, States)]
    assert [len(record.states) for record in told] == [1]


@pytest.mark.parametrize("count", [1, 80])
def test_however_many_logs_are_forked_each_is_found(count: int) -> None:
    forked = [log(number) for number in range(100, 100 + count)]
    a, b = Node({ONE: first(3)}), Node({ONE: first(3)})
    for of in forked:
        b.branches[of] = 0, "b"
        a.write(of, first(2))
        b.write(of, first(2))
    world = meet(a, b)
    assert [end.hangup for end in world.ends] == [None, None]
    assert {of for of, _ in a.forks} == {of for of, _ in b.forks} == set(forked)


def test_a_log_that_was_stopped_goes_on_when_nothing_more_is_awaited() -> None:
    stopped = 0
    for seed in range(40):
        a, b, c = Node({ONE: first(9)}), Node({ONE: first(9)}), Node()
        world = World(Random(seed).randrange)
        world.connect(a, c)
        world.connect(b, c)
        world.run()
        (a, b)[seed % 2].write(ONE, Ranges(((9, 12),)))
        world.run()
        assert holds(c) == {ONE: set(range(12))}
        clean(world)
        stopped += any(isinstance(record, Stop) for end in world.ends for record in records(end))
    assert stopped


def test_who_waited_long_for_nothing_waits_as_long_for_something() -> None:
    a, b = Node({ONE: first(1)}), Node()
    world = World()
    world.connect(a, b)
    world.run()
    end, now = world.ends[1], world.now + 2 * STALL_S
    end.tell(RecordReceived(encode(States((State(TWO, first(3)),)))), now)
    end.tell(TimeCame(), now + STALL_S - 1)
    assert end.noticed == []
    end.tell(TimeCame(), now + STALL_S)
    assert end.noticed == ["promise-broken"]


def test_what_another_process_wrote_last_is_told_with_the_rest() -> None:
    a, b = Member(0), Member(1)
    a.write(ONE, first(1))
    visit(a, b)
    a.write_elsewhere(TWO, first(1))
    a.write(ONE, Ranges(((1, 2),)))
    world = World()
    world.connect(a, b)
    world.run()
    clean(world)


def test_a_page_that_comes_between_two_hellos_is_not_spoken_of() -> None:
    pages = [[log(number).feed] for number in (1, 2)]
    a, b = Member(0, pages=pages), Member(1, pages=pages)
    for node in (a, b, b):
        node.learn_page()
    a.write(TWO, first(1))
    world = World()
    world.connect(a, b)
    a.learn_page()
    world.run()
    assert holds(b) == {TWO: {0}}
    clean(world)


def test_a_name_that_an_older_disk_does_not_know_leads_to_being_told_everything() -> None:
    a, b = (Member(number, pages=[[ONE.feed]]) for number in (0, 1))
    a.learn_page()
    b.write(TWO, first(1))
    visit(a, b)
    before = b.disk.copy()
    b.learn_page()
    visit(a, b)
    b.live(before)
    a.write(ONE, first(2))
    ends = visit(a, b)
    assert [end.hangup for end in ends] == [None, None]
    assert [end.noticed for end in ends] == [[], ["memory-wrong"]]
    assert holds(b) == holds(a) == {ONE: {0, 1}, TWO: {0}}


def test_what_a_wrong_memory_took_for_known_is_pushed_all_the_same() -> None:
    a, b = Node({ONE: first(3)}), Node({ONE: first(2)})
    for mine, theirs, heard, told in ((a, b, 0, 1), (b, a, 1, 0)):  # As if b's disk had been put back.
        digest = view_digest(mine.frontier.positions)
        mine.memories[id(theirs)] = Memory(1, heard, told, base=mine.frontier.upto, known=0, digest=digest, views={})
        mine.pasts[mine.frontier.upto] = mine.settled()
    ends = visit(a, b)
    assert "memory-wrong" in ends[0].noticed
    assert sent_entries(ends[0]) == [(ONE, 2)]


def test_a_log_with_more_holes_than_fit_comes_whole_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "RANGES_MAX", 3)
    a = Node({ONE: Ranges(tuple((2 * number, 2 * number + 1) for number in range(12)))})
    b = Node({ONE: Ranges(tuple((2 * number + 1, 2 * number + 2) for number in range(12)))})
    world = World()
    world.connect(a, b)
    a.write(ONE, Ranges(((24, 26),)))
    b.write(ONE, Ranges(((26, 28),)))
    world.run()
    assert a.settled() == b.settled() == {ONE: first(28)}
    assert [(end.levels > 0, end.hangup) for end in world.ends] == [(True, None), (True, None)]
