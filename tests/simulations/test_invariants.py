"""Each invariant can fail: a run is spoiled on purpose, and stops there with what is untrue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from beepmesh.store.contract import Place, ReadResult
from simulations.__main__ import main
from simulations.engine import Simulation
from simulations.invariants import Broken, Watch
from simulations.node import SimNode
from simulations.outcome import Delivery, Outcome
from simulations.plan import Plan, Source
from simulations.populations import populate
from simulations.radio import Medium
from simulations.scenario import find
from simulations.staging import Stage, stage
from simulations.traces import Contact, Trace
from simulations.watched import Noted, WatchedNode
from simulations.workload import Message
from simulations.world import World
from sync.logs import LogId, LogState
from sync.ranges import NOTHING, Ranges

TRACE = Trace("line", 4, (Contact(0, 40, 0, 1), Contact(50, 400, 1, 2), Contact(300, 400, 2, 3)))
MESSAGES = (
    Message(0, 1.0, 0, 3, 400, 1000, 1),
    Message(1, 2.0, 1, 0, 400, 1000, 1),
    Message(2, 60.0, 2, 1, 400, 1000, 1),
)


@dataclass
class Run:
    """One that is under way, for whoever spoils it."""

    simulation: Simulation
    world: World
    outcome: Outcome
    noted: Noted
    watch: Watch
    medium: Medium

    def node(self, number: int) -> WatchedNode:
        node = self.world.nodes[number]
        assert isinstance(node, WatchedNode)
        return node

    def log(self, number: int) -> LogId:
        """A log of which a node holds something that another one wrote."""
        own = (self.node(number).identity.feed, self.node(number).identity.device)
        return next(log for log in sorted(self.node(number).frontier.states) if log.feed not in own and log.lane)


def _staged(store_mb: float = 0.0) -> Stage:
    plan = Plan("line", Source(file="line.ct"), Source(file="line.csv"), store_mb=store_mb)
    staged = stage(find("smoke-village").plan)
    return replace(staged, plan=plan, trace=TRACE, messages=MESSAGES)


def _played(spoil: Callable[[Run], None] | None, *, at: float = 200.0, store_mb: float = 0.0) -> Run:
    setting = _staged(store_mb)
    simulation, noted = Simulation(1), Noted()
    outcome = Outcome("beepmesh", "line", 1, TRACE.nodes, TRACE.duration)
    world = populate(simulation, setting, outcome, noted)
    assert isinstance(world, World)
    medium = Medium(simulation, world.hosts, TRACE.contacts, setting.radio)
    for message in MESSAGES:
        simulation.at(message.t, lambda message=message: world.submit(message))  # type: ignore[misc]
    run = Run(simulation, world, outcome, noted, Watch(simulation, setting, world, outcome, noted), medium)
    if spoil is not None:
        simulation.at(at, lambda: spoil(run))
    simulation.run(TRACE.duration)
    run.watch.stores()
    return run


def test_an_honest_run_breaks_nothing() -> None:
    run = _played(None)
    assert sorted((delivery.id, delivery.node) for delivery in run.outcome.deliveries) == [(0, 3), (1, 0), (2, 1)]


def _opened_by_a_stranger(run: Run) -> None:
    run.outcome.deliveries.append(Delivery(0, 2, run.simulation.now, 1))


def _opened_twice(run: Run) -> None:
    run.outcome.deliveries.append(Delivery(1, 0, run.simulation.now, 1))


def _opened_too_early(run: Run) -> None:
    run.outcome.deliveries.append(Delivery(0, 3, run.simulation.now, 1))


def _unsettles(run: Run) -> None:
    node = run.node(1)
    node.frontier.change({run.log(1): LogState(NOTHING, b"")}, node.frontier.upto + 1)
    node.frontier.upto += 1
    run.noted.touched(1)


def _counts_changes_backwards(run: Run) -> None:
    run.node(1).frontier.upto -= 1
    run.noted.touched(1)


def _loses_what_it_held(run: Run) -> None:
    node = run.node(1)
    run.watch.stores()
    store = node.store
    assert store is not None
    read = store.read

    def lost(log: LogId, start: int, stop: int, /, *, bytes_max: int, with_prev: bool) -> ReadResult:
        result = read(log, start, stop, bytes_max=bytes_max, with_prev=with_prev)
        return replace(result, gone=Ranges(((start, stop),))) if log.lane else result

    store.read = lost  # type: ignore[assignment, method-assign]
    run.watch.stores()


def _says_level_too_early(run: Run) -> None:
    one, other = run.node(1), run.node(2)
    here = next(link for link in one.links.values() if link.peer == 2)
    there = next(link for link in other.links.values() if link.peer == 1)
    log = run.log(1)
    state = other.frontier.states.pop(log)
    other.frontier.positions += 1
    assert state.settled
    run.noted.level(1, here, one.frontier.upto)
    run.noted.level(2, there, other.frontier.upto)


def _fills_its_memory(run: Run) -> None:
    engine = run.node(1).engine
    assert engine is not None
    engine._giving._marks += [Place(bytes(16), 1, seq) for seq in range(2_000)]
    run.noted.touched(1)


def _keeps_a_session_without_a_link(run: Run) -> None:
    run.node(1).links.clear()
    run.noted.touched(1)


def _gives_to_one_who_is_out(run: Run) -> None:
    device = run.node(2).identity.device
    run.watch._known[1].revoked[device] = 0.0
    link = next(link for link in run.node(2).links.values() if link.peer == 1)
    run.noted.gained(1, 2, link)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_opened_by_a_stranger, "message 0 was opened at node 2, for whom it is not"),
        (_opened_twice, "message 1 was delivered to node 0 a second time"),
        (_opened_too_early, "message 0 was at node 3 before anything could be there"),
        (_unsettles, "node 1 had settled"),
        (_counts_changes_backwards, "node 1 went back from change"),
        (_loses_what_it_held, "and holds them no more: 0 were counted"),
        (_says_level_too_early, "say they are level, and node 2 lacks"),
        (_fills_its_memory, "signatures to note, and 1024 is the most"),
        (_keeps_a_session_without_a_link, "node 1 has 1 sessions, and 0 is the most"),
        (_gives_to_one_who_is_out, "node 2 is out, and node 1, who knew it, gave it something"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_what_is_spoiled_is_seen_at_once(spoil: Callable[[Run], None], words: str) -> None:
    with pytest.raises(Broken) as broken:
        _played(spoil)
    assert words in str(broken.value)
    assert broken.value.when == 200.0


def test_who_carries_more_than_he_may_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimNode, "carried_bytes", lambda _self: 2_000_000)
    with pytest.raises(Broken, match="node 0 carries 2000000 bytes for others, and 1000000 is its limit"):
        _played(None, store_mb=1.0)


def test_what_breaks_is_said_with_the_one_command_that_shows_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived = World.arrived

    def twice(self: World, node: int, payload: object) -> None:
        arrived(self, node, payload)  # type: ignore[arg-type]
        self._delivered.clear()
        self._deliver(Delivery(0, 0, self.simulation.now, 1))
        self._deliver(Delivery(0, 0, self.simulation.now, 1))

    monkeypatch.setattr(World, "arrived", twice)
    assert main(["run", "smoke-village", "--seed", "7", "--check"]) == 1
    said = capsys.readouterr().err
    assert "smoke-village, seed 7, broke an invariant at" in said
    command = said.partition("To see it again: python -m ")[2].split()
    assert command[:5] == ["simulations", "replay", "smoke-village", "--seed", "7"]
    assert main(command[1:]) == 1
    assert "broke an invariant" in capsys.readouterr().err
