"""The bound is exact: it equals a search that tries everything, on traces small enough for that."""

from __future__ import annotations

from math import inf

from hypothesis import example, given
from hypothesis import strategies as st

from simulations.bound import Foremost, flood, in_time
from simulations.traces import Contact, Trace
from simulations.workload import EVERYBODY, Message
from tests.simulations.drawn import traces, walked, workloads


def earliest(layers: dict[int, dict[int, float]], node: int) -> float | None:
    return min((reached[node] for reached in layers.values() if node in reached), default=None)


@given(trace=traces, messages=workloads())
@example(trace=Trace("moment", 2, (Contact(0, 0, 0, 1),)), messages=(Message(0, 0.0, 0, EVERYBODY, 1, 0.0, 1),)).via(
    "a contact of one moment, and a message written at it"
)
def test_the_flood_is_where_a_search_that_tries_everything_is(trace: Trace, messages: tuple[Message, ...]) -> None:
    expected = {}
    for message in messages:
        layers = walked(trace, message._replace(ttl=1e9), inf, 0.0)
        for node in range(trace.nodes) if message.dst == EVERYBODY else [message.dst]:
            if node != message.src and (time := earliest(layers, node)) is not None:
                expected[message.id, node] = time
    found = flood(trace, messages)
    assert found == expected
    assert list(found.values()) == sorted(found.values())


@given(
    trace=traces, messages=workloads(everybody=False), speed=st.sampled_from([0.5, 1.0, 4.0]), setup=st.integers(0, 3)
)
def test_a_foremost_journey_is_the_best_that_a_search_finds(
    trace: Trace, messages: tuple[Message, ...], speed: float, setup: int
) -> None:
    foremost = Foremost(trace, speed, setup)
    for message in messages:
        layers = walked(trace, message, speed, setup)
        reached = foremost.arrivals(message)
        for node in range(trace.nodes):
            if node != message.src:
                assert (reached[node].t if node in reached else None) == earliest(layers, node)
        found = foremost.arrival(message)
        assert found == reached.get(message.dst)
        assert found is None or layers[found.hops][message.dst] == found.t
        fewest = min((hops for hops, nodes in layers.items() if message.dst in nodes), default=None)
        assert foremost.fewest_hops(message) == fewest


@given(trace=traces, messages=workloads(everybody=False))
def test_no_single_journey_beats_the_flood(trace: Trace, messages: tuple[Message, ...]) -> None:
    floods = in_time(flood(trace, messages), messages)
    foremost = Foremost(trace, 2.0, 1.0)
    for message in messages:
        if (found := foremost.arrival(message)) is not None:
            assert floods[message.id, message.dst] <= found.t


def message(*, id: int = 0, t: float = 0.0, size: int = 10, ttl: float = 100.0) -> Message:
    return Message(id, t, 0, 2, size, ttl, 1)


LINE = Trace("line", 3, (Contact(10, 20, 0, 1), Contact(30, 40, 1, 2)))


def test_a_message_written_as_a_contact_ends_still_passes_and_one_a_moment_later_does_not() -> None:
    assert flood(LINE, [message(t=20.0)]) == {(0, 2): 30}
    assert flood(LINE, [message(t=20.5)]) == {}


def test_in_time_leaves_out_what_comes_after_the_lifetime() -> None:
    messages = [message(ttl=30.0), message(id=1, ttl=29.9)]
    assert in_time(flood(LINE, messages), messages) == {(0, 2): 30}


def test_a_pair_of_its_own_bandwidth_is_faster() -> None:
    assert Foremost(LINE, 1.0, 2.0).arrival(message(size=8)) == (40, 2)
    assert Foremost(LINE, 1.0, 2.0).arrival(message(size=9)) is None
    assert Foremost(LINE, 1.0, 2.0, {(0, 1): 10.0, (1, 2): 100.0}).arrival(message(size=50)) == (32.5, 2)


def test_hops_have_a_most() -> None:
    assert Foremost(LINE, 1.0, 0.0).fewest_hops(message(), hops_max=2) == 2
    assert Foremost(LINE, 1.0, 0.0).fewest_hops(message(), hops_max=1) is None
