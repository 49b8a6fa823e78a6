"""The second tier: real nodes whose cables follow a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from beepmesh.demo.device import NotSeen
from beepmesh.home import Home
from simulations.bound import flood
from simulations.engine import Simulation
from simulations.organisation import Organisation, enrolled, person_name
from simulations.outcome import Delivery
from simulations.radio import Radio
from simulations.real.__main__ import main
from simulations.real.agree import agreement
from simulations.real.homes import PLACE, acquainted, folder_of_homes
from simulations.real.mules import DURATION_S, NODES, SEED, mules, workload
from simulations.real.play import NODES_MAX, play
from simulations.real.simulated import simulate
from simulations.teams import departments
from simulations.traces import Contact, Trace
from simulations.workload import EVERYBODY, Message
from simulations.world import PART_BYTES_MAX

# At a speed of 10: 0 and 1 meet while 2 and 3 do, then 1 and 2, then 2 and 3 again.
LINE = Trace("line", 4, (Contact(0, 45, 0, 1), Contact(5, 45, 2, 3), Contact(60, 105, 1, 2), Contact(115, 160, 2, 3)))


def message(number: int, t: float, src: int, dst: int) -> Message:
    return Message(number, t, src, dst, size=200, ttl=3_600, prio=1)


MESSAGES = (
    message(0, 2, 0, 3),  # 1 carries it, then 2.
    message(1, 3, 0, 2),
    message(2, 4, 2, 0),  # Gets as far as 1, who does not meet 0 again.
    message(3, 50, 3, EVERYBODY),  # 2 is the last to meet 3, and meets nobody else after that.
    message(4, 112, 1, 3),  # After 1 was last seen.
    message(5, 20, 1, 0),
)


@pytest.mark.needs_hosts
def test_real_nodes_deliver_what_their_contacts_allow_and_nothing_else() -> None:
    played = play(LINE, MESSAGES, speed=10, bytes_per_s=20_000)
    arrived = {(one.id, one.node): one.t for one in played.deliveries}
    bound = flood(LINE, MESSAGES)
    assert sorted(arrived) == sorted(bound) == [(0, 3), (1, 2), (3, 2), (5, 0)]
    assert len(played.deliveries) == len(arrived), "once each"
    assert all(arrived[key] > bound[key] for key in bound)
    assert [meeting.contact for meeting in played.meetings if meeting.setup_s is None] == []


def test_the_simulator_delivers_the_same() -> None:
    simulated = simulate(LINE, MESSAGES, Radio("cable", 20_000, setup_s=4, exclusive=False), speed=10)
    assert sorted((one.id, one.node) for one in simulated.deliveries) == sorted(flood(LINE, MESSAGES))


def test_on_the_trace_of_mules_no_set_up_of_two_seconds_decides_what_is_delivered() -> None:
    trace, messages = mules(SEED), workload(SEED)
    quick, slow = (
        {
            (one.id, one.node)
            for one in simulate(trace, messages, Radio("cable", 20_000, setup_s, exclusive=False), speed=30).deliveries
        }
        for setup_s in (3, 60)
    )
    assert quick == slow
    bound = flood(trace, messages).keys()
    assert slow <= bound
    assert len(slow) >= 0.98 * len(bound), "texts are rationed, and one may miss its reader"


@pytest.mark.needs_hosts
def test_nothing_of_it_stays_behind_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.real.play.PRIORITIES", ("routine", "no such rank"))  # Which ends its author.
    with pytest.raises(NotSeen, match="the node n0 ended"):
        play(Trace("pair", 2, (Contact(0, 10, 0, 1),)), [message(0, 0, 0, 1)], speed=10, bytes_per_s=20_000)
    assert list(PLACE.glob(f"bm-real-{os.getpid()}-*")) == []
    assert list(Path("/run/netns").glob(f"bm-{os.getpid()}-*")) == []


def test_homes_of_a_player_that_was_killed_are_removed_by_the_next_one() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = PLACE / f"bm-real-{gone.pid}-left"
    left.mkdir()
    with folder_of_homes() as mine:
        assert not left.exists()
        assert mine.exists()
    assert not mine.exists()


def test_homes_are_in_the_departments_that_the_simulator_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Organisation] = []

    def noted(simulation: Simulation, wanted: Sequence[str]) -> Organisation:
        made.append(enrolled(simulation, wanted))
        return made[0]

    monkeypatch.setattr("simulations.world.enrolled", noted)
    silent = replace(mules(SEED), contacts=mules(SEED).contacts[:12])
    simulate(silent, [], Radio("cable", 20_000, setup_s=4, exclusive=False), speed=10)
    simulated = {person_name(n): one.department for n, one in enumerate(made[0].identities)}
    paths = acquainted(tmp_path, list(simulated), departments(silent))
    for path in paths[0], paths[-1]:
        with Home.open(path) as home:
            assert {person.name: person.department for person in home.roster.people()} == simulated
    assert len(set(simulated.values())) > 2


def test_more_nodes_than_a_machine_can_bear_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        play(Trace("crowd", NODES_MAX + 1, ()), [], speed=1, bytes_per_s=1)


def test_a_message_that_would_travel_in_parts_is_refused() -> None:
    large = message(0, 0, 0, 1)._replace(size=PART_BYTES_MAX + 1)
    with pytest.raises(ValueError, match="in parts"):
        play(LINE, [large], speed=1, bytes_per_s=1)


@pytest.mark.parametrize("words", [["--trace", "x.ct"], ["--workload", "x.csv"], ["--speed", "0"], ["--bw", "-1"]])
def test_what_is_wrongly_asked_is_said_in_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.count(".\n") == 1


def test_the_trace_of_mules_is_the_same_each_time_and_its_camps_meet_through_walkers_only() -> None:
    trace = mules(SEED)
    assert trace == mules(SEED) != mules(SEED + 1)
    assert workload(SEED) == workload(SEED)
    assert {x for contact in trace.contacts for x in (contact.a, contact.b)} == set(range(NODES))
    assert all(contact.b >= 9 or contact.a // 3 == contact.b // 3 for contact in trace.contacts)
    assert all(contact.stop - contact.start > 180 and contact.stop <= DURATION_S for contact in trace.contacts)


def test_runs_agree_when_they_deliver_the_same_within_a_tenth_of_the_median_delay() -> None:
    messages = [message(0, 100, 0, 1), message(1, 100, 0, 2), message(2, 100, 0, 3)]
    simulated = [Delivery(number, number + 1, 200 + number, 1) for number in range(3)]
    near = [Delivery(one.id, one.node, one.t + 10, 0) for one in simulated]
    far = [Delivery(one.id, one.node, one.t + 11, 0) for one in simulated]
    assert agreement(messages, near, simulated).holds
    assert not agreement(messages, far, simulated).holds
    fewer = agreement(messages, near[:2], simulated)
    assert not fewer.holds
    assert "  message 2 to node 3: delivered by the simulator only" in list(fewer.lines())
    assert not agreement(messages, near, simulated[1:]).holds


def test_a_message_that_came_twice_counts_when_it_first_came() -> None:
    found = agreement([message(0, 0, 0, 1)], [Delivery(0, 1, 9, 0), Delivery(0, 1, 5, 0)], [Delivery(0, 1, 5, 1)])
    assert found.real == {(0, 1): 5}
