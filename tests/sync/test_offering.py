"""In a crowd what is large is offered before it is pushed; who is offered something wants it, or has it already."""

from __future__ import annotations

import pytest

from sync.limits import HOLD_BACK_S, OFFER_BYTES_MIN, OFFER_S
from sync.logs import LogId
from sync.ranges import Ranges
from sync.session import Level, TimeCame
from sync.wire import State, States, Stop, Want, Withheld
from tests.sync.pair import Node, first, holds, log, seqs
from tests.sync.script import NOTHING, Scripted, run
from tests.sync.test_withholding import but

ONE, TWO, URGENT = log(1), log(2), log(1, 0)
LARGE = OFFER_BYTES_MIN + 1


def crowd(held: dict[LogId, Ranges], *, size: int = LARGE, links: int = 3) -> tuple[Node, Scripted]:
    """A node in a crowd, and the peer that was met last and has nothing."""
    node = Node(held, size=size)
    for number in range(1, links):
        Scripted(node, number=number).greet(held)
    peer = Scripted(node, number=links).greet()
    peer.work()
    return node, peer


def offers(peer: Scripted) -> list[State]:
    """What it was told more than once in the same words."""
    told = [state for record in peer.told for state in record.states]
    return [state for index, state in enumerate(told) if state in told[:index]]


def told(settled: Ranges, of: LogId = ONE) -> States:
    return States((State(of, settled),), False, False)


def passes(peer: Scripted, seconds: float) -> None:
    """The time comes, the link has nothing left to say, the node does what follows."""
    peer.world.now += seconds
    peer.tell(TimeCame())
    peer.work()


def wants(peer: Scripted) -> int:
    return sum(isinstance(record, Want) for record in peer.heard)


# Who has it.


def test_what_is_large_is_told_and_pushed_when_it_is_wanted() -> None:
    _, peer = crowd({ONE: first(2)})
    assert peer.runs == []
    assert [state.settled for record in peer.told for state in record.states] == [first(2), first(2)]
    peer.say(Want(ONE, NOTHING))
    peer.work()
    assert [(each.start, len(each.packed)) for each in peer.runs] == [(0, 1), (1, 1)]


def test_what_is_small_or_urgent_is_pushed_unasked() -> None:
    _, peer = crowd({ONE: first(2)}, size=0)
    assert len(peer.runs) == 1
    _, peer = crowd({URGENT: first(1)})
    assert len(peer.runs) == 1


def test_with_few_links_nothing_is_offered() -> None:
    _, peer = crowd({ONE: first(1)}, links=2)
    assert len(peer.runs) == 1


def test_what_is_offered_goes_without_an_answer_when_the_time_is_over() -> None:
    _, peer = crowd({ONE: first(1)})
    passes(peer, OFFER_S - 1)
    assert peer.runs == []
    passes(peer, 1)
    assert len(peer.runs) == 1


def test_what_the_peer_has_got_elsewhere_or_stopped_meanwhile_is_not_pushed() -> None:
    for answer, answer_is_all in ((told(first(2)), True), (Stop((ONE,)), False)):
        _, peer = crowd({ONE: first(2)})
        peer.say(answer)
        assert not answer_is_all or peer.count(Level)
        passes(peer, OFFER_S)
        assert peer.runs == []


def test_an_offer_holds_up_no_other_log() -> None:
    node = Node({ONE: first(2), TWO: first(2)}, large=ONE)
    node.entries[ONE] = {seq: packed + bytes(LARGE) for seq, packed in node.entries[ONE].items()}
    for number in (1, 2):
        Scripted(node, number=number)
    peer = Scripted(node, number=3).greet()
    peer.work()
    assert [each.packed[0] for each in peer.runs] == [node.entries[TWO][0]]


def test_what_came_after_an_offer_was_taken_is_offered_again() -> None:
    node, peer = crowd({ONE: first(1)})
    peer.say(Want(ONE, NOTHING))
    peer.work()
    assert len(peer.runs) == 1
    node.ends.append(peer.end)
    node.write(ONE, seqs((1, 2)))
    peer.work()
    passes(peer, HOLD_BACK_S)
    assert [state.settled for state in offers(peer)] == [first(1), first(2)]
    assert len(peer.runs) == 1
    peer.say(Want(0, NOTHING))
    peer.work()
    assert [each.start for each in peer.runs] == [0, 1]


def test_while_something_is_held_back_nothing_is_said_to_be_all() -> None:
    """Who is told WITHHELD waits for nothing more from here, and would ask another one."""
    node = Node({ONE: first(1), TWO: first(1)}, size=LARGE)
    node.withholds = but({TWO: first(1)})
    for number in (1, 2):
        Scripted(node, number=number)
    peer = Scripted(node, number=3).greet()
    peer.work()
    assert not any(isinstance(record, Withheld) for record in peer.heard)
    peer.say(Want(ONE, NOTHING))
    peer.work()
    assert sum(isinstance(record, Withheld) for record in peer.heard) == 1


# Who is offered it.


@pytest.mark.parametrize("links", [1, 3, 5])
def test_what_is_told_again_is_wanted_from_its_source_only(links: int) -> None:
    node = Node()
    source, *others = [Scripted(node, number=number).greet() for number in range(1, links + 1)]
    for peer in (source, *others):
        peer.say(told(first(1)))
    before = wants(source)
    source.say(told(first(1)))
    assert wants(source) == before + 1
    for peer in others:
        peer.say(told(first(1)))
        assert wants(peer) == 0
    source.say(run(0, 0))
    source.work()
    assert holds(node) == {ONE: {0}}


def test_what_we_have_is_not_wanted_though_it_is_told_again() -> None:
    node = Node({ONE: first(1)})
    peer = Scripted(node).greet({ONE: first(1)})
    peer.say(told(first(1)), told(first(1)))
    assert wants(peer) == 0
    assert peer.end.hangup is None
