"""The light nodes: each rule of giving on contacts that show it, and what the air and a small disk take from all."""

from __future__ import annotations

from functools import partial

import pytest

from simulations.baselines import Baseline, bits
from simulations.engine import Simulation
from simulations.outcome import Outcome
from simulations.radio import Medium, Radio
from simulations.routers import ROUTERS, Delegation, Direct, Prophet, Router, SprayAndWait
from simulations.traces import Contact
from simulations.workload import EVERYBODY, Message

RADIO = Radio("ble", bytes_per_s=1_000.0, setup_s=2.0)
CHAIN = [(100.0, 200.0, 0, 1), (300.0, 400.0, 1, 2), (500.0, 600.0, 2, 3)]


def message(number: int, src: int, dst: int, *, size: int = 1_000, ttl: float = 1e6, t: float = 0.0) -> Message:
    return Message(number, t, src, dst, size, ttl, 1)


def run(
    router: Router,
    nodes: int,
    contacts: list[tuple[float, float, int, int]],
    messages: list[Message],
    store_bytes_max: float = float("inf"),
) -> Outcome:
    simulation = Simulation(1)
    outcome = Outcome("", "", 1, nodes, contacts[-1][1])
    population = Baseline(simulation, nodes, router, outcome, store_bytes_max)
    medium = Medium(simulation, population.hosts, [Contact(*contact) for contact in contacts], RADIO)
    outcome.contacts = medium.records
    for each in messages:
        simulation.at(each.t, partial(population.submit, each))
    simulation.run(contacts[-1][1] + 1.0)
    return outcome


def arrivals(outcome: Outcome) -> list[tuple[int, int, float, int]]:
    return [(one.id, one.node, round(one.t, 6), one.hops) for one in outcome.deliveries]


def test_an_epidemic_takes_the_foremost_journey() -> None:
    outcome = run(ROUTERS["epidemic"](), 4, CHAIN, [message(7, 0, 3)])
    assert arrivals(outcome) == [(7, 3, 503.0, 3)]
    assert (outcome.transmissions, outcome.bytes["payload"]) == (3.0, 3_000)


def test_direct_delivery_waits_for_the_recipient() -> None:
    contacts = [*CHAIN, (700.0, 800.0, 0, 3)]
    assert arrivals(run(Direct(), 4, contacts, [message(7, 0, 3)])) == [(7, 3, 703.0, 1)]


def test_what_is_for_everybody_arrives_at_each_once() -> None:
    outcome = run(ROUTERS["epidemic+ack"](), 4, [*CHAIN, (700.0, 800.0, 0, 3)], [message(7, 0, EVERYBODY)])
    assert [(node, hops) for _, node, _, hops in arrivals(outcome)] == [(1, 1), (2, 2), (3, 3)]
    assert outcome.transmissions == 3.0


def test_a_transfer_that_a_parting_cuts_is_lost() -> None:
    outcome = run(ROUTERS["epidemic"](), 2, [(0.0, 4.0, 0, 1), (10.0, 14.0, 0, 1)], [message(7, 0, 1, size=3_000)])
    assert (arrivals(outcome), outcome.bytes["payload"]) == ([], 4_000)


def test_parts_that_arrived_need_not_come_again() -> None:
    class InParts(Router):
        part_bytes_max = 1_000

    outcome = run(InParts(), 2, [(0.0, 4.5, 0, 1), (10.0, 14.5, 0, 1)], [message(7, 0, 1, size=3_000)])
    assert arrivals(outcome) == [(7, 1, 13.0, 1)]
    assert outcome.transmissions == pytest.approx(1.0)


def test_what_has_expired_is_passed_on_no_more() -> None:
    assert arrivals(run(ROUTERS["epidemic"](), 4, CHAIN, [message(7, 0, 3, ttl=450.0)])) == []


@pytest.mark.parametrize(("name", "transmissions"), [("epidemic", 3.0), ("epidemic+ack", 2.0)])
def test_an_acknowledgement_ends_the_copies(name: str, transmissions: float) -> None:
    contacts = [(100.0, 200.0, 0, 1), (300.0, 400.0, 0, 2), (500.0, 600.0, 1, 2), (700.0, 800.0, 1, 3)]
    assert run(ROUTERS[name](), 4, contacts, [message(7, 0, 2)]).transmissions == transmissions


def test_acknowledgements_pass_over_links_that_stand() -> None:
    contacts = [(100.0, 900.0, 1, 2), (300.0, 400.0, 0, 2), (500.0, 600.0, 1, 3)]
    outcome = run(ROUTERS["epidemic+ack"](), 4, contacts, [message(7, 0, 2), message(8, 0, 2)])
    assert outcome.transmissions == 2.0


def test_spray_and_wait_halves_its_copies_and_then_waits() -> None:
    class Four(SprayAndWait):
        copies = 4.0

    contacts = [(100.0 * n, 100.0 * n + 50.0, 0, n) for n in range(1, 5)] + [(900.0, 950.0, 1, 5), (990.0, 999.0, 2, 6)]
    # 0 keeps 2 and gives 2 to node 1, which gives 1 to node 5; 0 gives 1 to node 2 and then waits for node 7.
    assert run(Four(), 8, contacts, [message(7, 0, 7)]).transmissions == 3.0


@pytest.mark.parametrize("router", [Prophet, Delegation])
def test_utility_gives_to_whoever_has_met_the_recipient_and_to_nobody_else(router: type[Router]) -> None:
    contacts = [(0.0, 50.0, 1, 3), (100.0, 200.0, 0, 2), (300.0, 400.0, 0, 1), (500.0, 600.0, 1, 3)]
    outcome = run(router(), 4, contacts, [message(7, 0, 3, t=60.0)])
    assert arrivals(outcome) == [(7, 3, 503.0, 2)]
    assert outcome.transmissions == 2.0


def test_chances_are_heard_of_from_others() -> None:
    contacts = [(0.0, 50.0, 1, 3), (100.0, 150.0, 1, 2), (300.0, 400.0, 0, 2), (500.0, 600.0, 2, 3)]
    assert arrivals(run(Prophet(), 4, contacts, [message(7, 0, 3, t=200.0)])) == [(7, 3, 503.0, 2)]


def test_delegation_gives_to_those_only_who_are_better_than_all_before() -> None:
    meetings = [(0.0, 50.0, 1, 3), (100.0, 150.0, 2, 3), (2_000.0, 2_050.0, 2, 3)]
    contacts = [*meetings, (3_000.0, 3_100.0, 0, 2), (3_200.0, 3_300.0, 0, 1)]
    given = [
        run(router, 4, contacts, [message(7, 0, 3, t=2_500.0)]).transmissions for router in (Delegation(), Prophet())
    ]
    assert given == [1.0, 2.0]


def test_a_full_store_gives_up_what_came_first() -> None:
    messages = [message(7, 0, 2, t=0.0), message(8, 0, 2, t=150.0)]
    contacts = [(100.0, 140.0, 0, 1), (200.0, 240.0, 0, 1), (300.0, 400.0, 1, 2)]
    outcome = run(ROUTERS["epidemic"](), 3, contacts, messages, store_bytes_max=1_500)
    assert [number for number, *_ in arrivals(outcome)] == [8]
    assert outcome.counts["evicted"] == 1


def test_what_a_node_wrote_itself_takes_no_room() -> None:
    assert len(arrivals(run(ROUTERS["epidemic"](), 4, CHAIN, [message(7, 0, 1)], store_bytes_max=10))) == 1


@pytest.mark.parametrize("name", list(ROUTERS))
def test_one_seed_is_one_history(name: str) -> None:
    pairs = [(a, b) for a in range(5) for b in range(a + 1, 5)]
    contacts = [(50.0 * n, 50.0 * n + 30.0, a, b) for n, (a, b) in enumerate(pairs * 3)]
    messages = [message(n, n % 5, (n + 2) % 5, size=2_000, t=10.0 * n) for n in range(20)]
    first, second = (run(ROUTERS[name](), 5, contacts, messages, 4_000.0) for _ in range(2))
    assert first == second
    assert first.deliveries


def test_bits_are_the_places_of_ones() -> None:
    assert list(bits(0b101001)) == [0, 3, 5]
