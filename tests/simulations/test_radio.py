"""The air, with hosts that only listen: who is heard when, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from simulations.engine import Simulation
from simulations.outcome import Kind
from simulations.radio import Link, Medium, Radio
from simulations.traces import Contact

SLOW = Radio("slow", bytes_per_s=100.0, setup_s=2.0)
WIRE = Radio("wire", bytes_per_s=100.0, setup_s=0.0, exclusive=False)
HUNDRED: Mapping[Kind, int] = {"payload": 100}


class Ear:
    """A host that notes what it is told and by when, and answers as it is asked to."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.links: dict[int, Link] = {}
        self.heard: list[tuple[float, str, object]] = []
        self.answer: Callable[[Link, object], None] = lambda _link, _frame: None
        self.go_on: Callable[[Link], None] = lambda _link: None

    def note(self, what: str, which: object) -> None:
        self.heard.append((round(self.simulation.now, 6), what, which))

    def up(self, link: Link) -> None:
        self.links[link.peer] = link
        self.note("up", link.peer)

    def received(self, link: Link, frame: object) -> None:
        self.note("received", frame)
        self.answer(link, frame)

    def drained(self, link: Link) -> None:
        self.note("drained", link.peer)
        self.go_on(link)

    def down(self, link: Link) -> None:
        del self.links[link.peer]
        self.note("down", link.peer)

    def times(self, what: str) -> list[float]:
        return [at for at, said, _ in self.heard if said == what]


class Air:
    """Some ears and the contacts between them."""

    def __init__(self, nodes: int, contacts: list[tuple[float, float, int, int]], radio: Radio = SLOW) -> None:
        self.simulation = Simulation(1)
        self.ears = [Ear(self.simulation) for _ in range(nodes)]
        self.medium = Medium(self.simulation, self.ears, [Contact(*contact) for contact in contacts], radio)

    def send(self, when: float, a: int, b: int, *frames: object) -> None:
        def now() -> None:
            for frame in frames:
                self.ears[a].links[b].send(frame, HUNDRED)

        self.simulation.at(when, now)


def test_a_link_comes_up_after_its_set_up_and_ends_with_the_contact() -> None:
    air = Air(2, [(10.0, 20.0, 0, 1)])
    air.simulation.run(30.0)
    assert air.ears[0].heard == [(12.0, "up", 1), (20.0, "down", 1)]
    assert air.ears[1].heard == [(12.0, "up", 0), (20.0, "down", 0)]


def test_one_side_dials() -> None:
    air = Air(2, [(10.0, 20.0, 0, 1)])
    air.simulation.run(15.0)
    assert [air.ears[0].links[1].dialled, air.ears[1].links[0].dialled] == [True, False]


def test_a_contact_as_short_as_the_set_up_stays_silent_but_is_recorded() -> None:
    air = Air(2, [(10.0, 12.0, 0, 1)])
    air.simulation.run(30.0)
    assert (air.ears[0].heard, len(air.medium.records)) == ([], 1)


def test_frames_of_one_direction_arrive_in_order_and_take_their_airtime() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)])
    air.send(3.0, 0, 1, "first", "second")
    air.simulation.run(30.0)
    assert [entry for entry in air.ears[1].heard if entry[1] == "received"] == [
        (4.0, "received", "first"),
        (5.0, "received", "second"),
    ]


def test_loss_is_airtime_and_bytes_on_the_air() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)], Radio("lossy", bytes_per_s=100.0, setup_s=2.0, loss=0.5))
    air.send(3.0, 0, 1, "twice")
    air.simulation.run(30.0)
    assert (air.ears[1].times("received"), air.medium.records[0].bytes["payload"]) == ([5.0], 200)


def test_what_the_end_of_a_contact_cuts_never_arrives_but_what_had_left_is_counted() -> None:
    air = Air(2, [(0.0, 4.5, 0, 1)])
    air.send(3.0, 0, 1, "whole", "half", "none")
    air.simulation.run(30.0)
    assert (air.ears[1].times("received"), air.medium.records[0].bytes["payload"]) == ([4.0], 150)


def test_both_directions_of_an_exclusive_link_take_turns() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)])
    air.send(3.0, 0, 1, "a", "a", "a")
    air.send(3.0, 1, 0, "b", "b", "b")
    air.simulation.run(30.0)
    assert air.ears[1].times("received") == [4.0, 6.0, 8.0]
    assert air.ears[0].times("received") == [5.0, 7.0, 9.0]


def test_both_directions_of_a_wire_go_at_once() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)], WIRE)
    air.send(3.0, 0, 1, "a", "a")
    air.send(3.0, 1, 0, "b", "b")
    air.simulation.run(30.0)
    assert air.ears[0].times("received") == air.ears[1].times("received") == [4.0, 5.0]


def test_an_exclusive_node_takes_part_in_one_transfer_at_a_time() -> None:
    air = Air(3, [(0.0, 20.0, 0, 1), (0.0, 20.0, 0, 2)])
    air.send(3.0, 0, 1, "one")
    air.send(3.0, 2, 0, "two")
    air.simulation.run(30.0)
    assert (air.ears[1].times("received"), air.ears[0].times("received")) == ([4.0], [5.0])


def test_two_pairs_apart_use_the_air_at_once() -> None:
    air = Air(4, [(0.0, 20.0, 0, 1), (0.0, 20.0, 2, 3)])
    air.send(3.0, 0, 1, "one")
    air.send(3.0, 2, 3, "two")
    air.simulation.run(30.0)
    assert air.ears[1].times("received") == air.ears[3].times("received") == [4.0]


def test_nobody_in_a_crowd_is_starved() -> None:
    """Each of six always has something for each other: every direction gets about its share."""
    pairs = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    air = Air(6, [(0.0, 1_000.0, a, b) for a, b in pairs])
    for a, b in pairs:
        air.send(3.0, a, b, *[(a, b)] * 1_000)
        air.send(3.0, b, a, *[(b, a)] * 1_000)
    air.simulation.run(1_000.0)
    shares = [
        sum(1 for _, what, frame in air.ears[b].heard if what == "received" and frame == (a, b))
        for pair in pairs
        for a, b in (pair, pair[::-1])
    ]
    assert min(shares) > 0.5 * max(shares)
    assert sum(shares) > 2 * 990, "of three pairs that could talk at once, two did at least"


def test_an_answer_waits_behind_those_that_have_waited_longer() -> None:
    air = Air(3, [(0.0, 40.0, 0, 1), (0.0, 40.0, 0, 2)])
    air.ears[1].answer = lambda link, _frame: link.send("answer", HUNDRED)
    air.send(3.0, 0, 1, "question")
    air.send(3.5, 0, 2, "patient")
    air.simulation.run(40.0)
    assert (air.ears[2].times("received"), air.ears[0].times("received")) == ([5.0], [6.0])


def test_drained_is_told_when_all_so_far_has_left() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)])
    air.send(3.0, 0, 1, "a", "b")
    air.simulation.at(3.5, lambda: air.ears[0].links[1].tell_drained())
    air.send(3.6, 0, 1, "later")
    air.simulation.run(30.0)
    assert air.ears[0].times("drained") == [5.0]


def test_drained_of_nothing_is_told_at_once_and_what_follows_leaves() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)])

    def ask_and_send() -> None:
        air.ears[0].links[1].tell_drained()
        air.ears[0].links[1].send("then", HUNDRED)

    air.simulation.at(3.0, ask_and_send)
    air.simulation.run(30.0)
    assert (air.ears[0].times("drained"), air.ears[1].times("received")) == ([3.0], [4.0])


@pytest.mark.parametrize("radio", [SLOW, WIRE])
def test_what_is_sent_when_drained_leaves_one_after_the_other_before_it_is_drained_again(radio: Radio) -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)], radio)
    rounds = iter([("a", "b"), ("c",)])

    def go_on(link: Link) -> None:
        for frame in (more := next(rounds, ())):
            link.send(frame, HUNDRED)
        if more:
            link.tell_drained()

    air.ears[0].go_on = go_on
    air.simulation.at(3.0, lambda: air.ears[0].links[1].tell_drained())
    air.simulation.run(30.0)
    assert air.ears[1].times("received") == [4.0, 5.0, 6.0]
    assert air.ears[0].times("drained") == [3.0, 5.0, 6.0]


def test_closing_ends_the_link_once_all_has_left_and_for_the_rest_of_the_contact() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)])
    air.send(3.0, 0, 1, "last words")
    air.simulation.at(3.5, lambda: air.ears[0].links[1].close())
    air.send(3.6, 0, 1, "after closing")
    air.simulation.run(30.0)
    assert air.ears[1].heard == [(2.0, "up", 0), (4.0, "received", "last words"), (4.0, "down", 0)]
    assert air.ears[0].times("down") == [4.0]


def test_a_node_that_goes_off_cuts_its_links_and_gets_them_back_after_a_set_up() -> None:
    air = Air(2, [(0.0, 20.0, 0, 1)])
    air.simulation.at(5.0, lambda: air.medium.off(1))
    air.simulation.at(8.0, lambda: air.medium.on(1))
    air.simulation.run(30.0)
    assert (air.ears[0].times("up"), air.ears[0].times("down")) == ([2.0, 10.0], [5.0, 20.0])
    assert len(air.medium.records) == 1


def test_a_node_that_is_off_when_a_contact_begins_hears_of_it_when_it_is_on() -> None:
    air = Air(2, [(1.0, 20.0, 0, 1)])
    air.medium.off(0)
    air.simulation.at(8.0, lambda: air.medium.on(0))
    air.simulation.run(30.0)
    assert air.ears[1].times("up") == [10.0]


def test_the_air_goes_on_for_others_when_a_transfer_is_cut() -> None:
    air = Air(3, [(0.0, 3.5, 0, 1), (0.0, 20.0, 0, 2)])
    air.send(3.0, 0, 1, "cut")
    air.send(3.2, 2, 0, "next")
    air.simulation.run(30.0)
    assert (air.ears[1].times("received"), air.ears[0].times("received")) == ([], [4.5])


@pytest.mark.parametrize("what", ["send", "drained", "close"])
def test_an_end_that_is_gone_takes_orders_and_does_nothing(what: str) -> None:
    air = Air(2, [(0.0, 5.0, 0, 1)])
    kept: list[Link] = []
    air.simulation.at(3.0, lambda: kept.append(air.ears[0].links[1]))
    orders: dict[str, Callable[[], None]] = {
        "send": lambda: kept[0].send("late", HUNDRED),
        "drained": lambda: kept[0].tell_drained(),
        "close": lambda: kept[0].close(),
    }
    air.simulation.at(6.0, orders[what])
    air.simulation.run(30.0)
    assert air.ears[0].heard[-1] == (5.0, "down", 1)


def test_radios_of_two_names_do_not_disturb_each_other() -> None:
    simulation = Simulation(1)
    ears = [Ear(simulation) for _ in range(3)]
    contacts = [Contact(0.0, 20.0, 0, 1), Contact(0.0, 20.0, 0, 2)]
    other = Radio("other", bytes_per_s=100.0, setup_s=2.0)
    Medium(simulation, ears, contacts, lambda _a, b: SLOW if b == 1 else other)
    simulation.at(3.0, lambda: ears[0].links[1].send("one", HUNDRED))
    simulation.at(3.0, lambda: ears[0].links[2].send("two", HUNDRED))
    simulation.run(30.0)
    assert ears[1].times("received") == ears[2].times("received") == [4.0]
