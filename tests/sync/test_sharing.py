"""Several links at once: who gives what, and what becomes of it when one of them does not."""

from __future__ import annotations

import pytest

from sync.limits import STALL_S, TAKE_OVER_LOGS_MAX
from sync.logs import LogId
from sync.ranges import NOTHING
from sync.session import TimeCame, WakeAt
from sync.sources import Sources
from sync.wire import Gone, Hello, State, States, Stop, Vector, Want
from tests.sync.pair import Node, World, first, holds, log, records, sent_entries, seqs
from tests.sync.script import Scripted, hello, run

ONE, TWO, URGENT = log(1), log(2), log(1, 0)


def two_links(claims: dict[LogId, int]) -> tuple[Node, Scripted, Scripted]:
    """A node and two peers that both say they have these; the first was heard first."""
    node = Node()
    settled = {of: first(count) for of, count in claims.items()}
    peer, other = Scripted(node, number=1), Scripted(node, number=2)
    peer.greet(settled)
    other.greet(settled)
    return node, peer, other


def stops(script: Scripted) -> list[int]:
    return [len(record.logs) for record in script.heard if isinstance(record, Stop)]


def wants(script: Scripted) -> int:
    return sum(isinstance(record, Want) and not record.seqs for record in script.heard)


def later(script: Scripted, seconds: float) -> None:
    script.world.now += seconds
    script.tell(TimeCame())


def test_the_second_to_have_a_log_is_stopped_and_asked_for_nothing_once_the_first_gave_all() -> None:
    node, peer, other = two_links({ONE: 2})
    assert (stops(peer), stops(other)) == ([], [1])
    peer.say(run(ONE, 0, 2))
    peer.work()
    assert wants(other) == 0
    assert holds(node) == {ONE: {0, 1}}


def test_what_the_first_calls_gone_is_wanted_from_the_second() -> None:
    _, peer, other = two_links({ONE: 2})
    peer.say(Gone(ONE, first(2)))
    assert wants(other) == 1


def test_what_was_stopped_on_its_way_and_refused_for_want_of_prev_is_wanted_when_the_source_has_it_not() -> None:
    node = Node({ONE: first(2)})
    peer, other = Scripted(node, number=1), Scripted(node, number=2)
    for script in (peer, other):
        script.greet({ONE: seqs((0, 2), (5, 6))})
    assert stops(other) == [1]
    other.say(run(ONE, 5))  # It takes us to have the entry below, as another one had said.
    other.work()
    assert node.refused == [(ONE, 5)]
    peer.say(Gone(ONE, seqs((5, 6))))
    assert wants(other) == 1
    other.say(run(0, 5, prev=bytes(32)))
    other.work()
    assert holds(node) == {ONE: {0, 1, 5}}


def test_what_the_first_leaves_behind_is_wanted_from_the_second_which_hears_how_far_we_are() -> None:
    node, peer, other = two_links({ONE: 4})
    peer.say(run(ONE, 0, 2))
    peer.work()
    node.ends.remove(peer.end)
    node.sources.leave(1)
    node.share()
    assert wants(other) == 1
    assert [state.settled for record in other.told for state in record.states][-1] == first(2)


def test_who_claims_much_and_gives_nothing_is_waited_for_no_longer() -> None:
    _, peer, other = two_links({ONE: 2})
    later(peer, STALL_S - 1)
    assert (wants(other), peer.end.noticed) == (0, [])
    later(peer, 1)
    assert (wants(other), peer.end.noticed) == (1, ["promise-broken"])


def test_who_claims_all_and_gives_a_little_of_something_else_holds_up_nobody() -> None:
    """It pushes an entry of its own from time to time, so it never stands still."""
    _, peer, other = two_links({ONE: 2, TWO: 2})
    for number in range(3):
        later(peer, STALL_S / 2)
        peer.say(run(log(9), number))
        peer.work()
        other.world.now = peer.now
        other.tell(TimeCame())
    assert peer.end.noticed == []
    assert wants(other) == 2


def test_a_log_that_its_source_is_giving_is_not_taken_over() -> None:
    _, peer, other = two_links({ONE: 9, TWO: 2})
    for number in range(4):
        later(peer, STALL_S / 2)
        peer.say(run(ONE, number))
        peer.work()
        other.world.now = peer.now
        other.tell(TimeCame())
    assert wants(other) == 1  # Of TWO.


def test_who_stands_by_looks_at_what_is_overdue_from_time_to_time_and_not_at_once_again() -> None:
    _, peer, other = two_links({ONE: 9})
    for number in range(9):
        peer.world.now = other.world.now = peer.now + STALL_S / 4
        peer.say(run(ONE if not number else 0, number))
        peer.work()
        outputs = other.tell(TimeCame())
        assert [output.when for output in outputs if isinstance(output, WakeAt) and output.when <= other.now] == []


def test_a_peer_that_stands_by_takes_over_some_logs_at_a_time() -> None:
    _, _, other = two_links({log(number): 1 for number in range(TAKE_OVER_LOGS_MAX + 9)})
    later(other, STALL_S)
    assert wants(other) == TAKE_OVER_LOGS_MAX


def test_the_urgent_lane_is_not_shared_out() -> None:
    _, _, other = two_links({URGENT: 2})
    assert stops(other) == []


def test_a_log_that_is_stopped_is_named_after_one_that_is_wanted_before_it_leaves() -> None:
    """Mentions are counted by the receiver in the order of records: its runs would come to stand for other logs."""
    node = Node()
    peer, other = Scripted(node, number=1).greet(), Scripted(node, number=2).greet()
    peer.say(States((State(ONE, first(1)),), False, False))
    other.say(States((State(ONE, first(1)), State(TWO, first(1))), False, False))
    assert [type(record) for record in other.heard[-2:]] == [Want, Stop]
    assert [other.session._names.mention(of, tagged=False) for of in (TWO, ONE)] == [0, 1]


def test_over_two_links_every_entry_comes_once() -> None:
    held = {log(number): first(40) for number in range(6)}
    a, b, c = Node(held), Node(held), Node()
    world = World()
    world.connect(a, c)
    world.connect(b, c)
    world.run()
    pushed = [pair for end in (world.ends[0], world.ends[2]) for pair in sent_entries(end) if pair[0].lane]
    assert len(pushed) == len(set(pushed)) == 6 * 40
    assert [(end.hangup, end.levels > 0) for end in world.ends] == [(None, True)] * 4
    greeting = records(world.ends[3])[0]
    assert isinstance(greeting, Hello)
    assert not greeting.hold


def test_a_node_that_is_receiving_holds_the_next_one_until_it_has_said_what_to_stop() -> None:
    node, peer, _ = two_links({ONE: 2})
    third = Scripted(node, number=3)
    assert third.said_hello.hold
    third.greet({ONE: first(2)})
    assert stops(third) == [1]
    fourth = Scripted(node, number=4).greet()
    assert stops(fourth) == [0]
    assert stops(peer) == []


def test_a_held_node_pushes_what_is_urgent_and_the_rest_after_the_first_stop() -> None:
    script = Scripted(Node({ONE: first(1), TWO: first(1), URGENT: first(1)}))

    script.say(hello(hold=True))

    script.say(Vector(False, ()))
    script.work()
    assert len(script.runs) == 1
    script.say(Stop((TWO,)))
    script.work()
    assert len(script.runs) == 2
    script.say(Want(0, NOTHING))
    script.work()
    assert len(script.runs) == 3


# The table of sources alone.


def test_sources_hand_over_in_the_order_in_which_they_were_stopped() -> None:
    sources = Sources()
    assert [sources.claim(ONE, session, 0.0) for session in (1, 2, 3)] == [True, False, False]
    assert sources.busy(2)
    assert not sources.busy(1)
    sources.leave(1)
    assert sources.take_due() == {2: [ONE]}
    sources.release(ONE, 2)
    assert sources.take_due() == {3: [ONE]}
    sources.release(ONE, 3)
    assert sources.take_due() == {}
    assert not sources.busy(9)


def test_a_stopped_session_that_leaves_is_not_asked() -> None:
    sources = Sources()
    for session in (1, 2):
        sources.claim(ONE, session, 0.0)
    sources.leave(2)
    sources.leave(1)
    assert sources.take_due() == {}


@pytest.mark.parametrize(("gave", "taken"), [(10.0, True), (10.5, False)])
def test_a_log_is_taken_over_from_a_source_that_gave_nothing_since(gave: float, taken: bool) -> None:
    sources = Sources()
    sources.claim(ONE, 1, 0.0)
    sources.claim(ONE, 2, 0.0)
    sources.gave(ONE, 1, gave)
    assert sources.take_over(ONE, 2, 10.0) == taken
    sources.release(ONE, 1)
    assert sources.take_due() == ({} if taken else {2: [ONE]})
