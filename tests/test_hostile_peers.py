"""One hostile member of a node's peers floods, lies or stands still: the others are served as if it were not there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest

from beepmesh.messages.lifetimes import LANE_MESSAGES
from sync import wire
from sync.limits import HOLD_BACK_S, RANGES_MAX, STALL_S
from sync.logs import LogId
from sync.ranges import Ranges
from sync.sketch import Symbol, encode_symbols
from tests.engines import Mesh
from tests.speaker import Speaker, chain
from tests.test_intake import PLAIN

TEXT = "Bridge at Kund is out."
RECORDS = 300
ONE = Ranges(((0, 1),))
COMB = Ranges(tuple((2 * seq, 2 * seq + 1) for seq in range(1, RANGES_MAX)))
MET = (
    wire.Hello(wire.WIRE_VERSION, 15, 1 << 17, 0, b"", 9, 1, root=bytes(8), chain=bytes(4)),
    wire.Vector(more=False, states=()),
)
HIGH = wire.Hello(wire.WIRE_VERSION, 15, 1 << 17, 0, b"", 9, 1, root=b"\xff" * 8, chain=bytes(4))

Said: TypeAlias = Iterable[wire.Spoken]


def new_log(number: int) -> LogId:
    return LogId((1 << 127 | number).to_bytes(16), 1)


def states(count: int, settled: Ranges = ONE, first: int = 0) -> tuple[wire.State, ...]:
    return tuple(wire.State(new_log(first + number), settled) for number in range(count))


# What it says after the handshake.


def says_nothing() -> Said:
    return ()


def never_acknowledges() -> Said:
    return MET


def a_vector_without_end() -> Said:
    return (MET[0], *(wire.Vector(True, states(50, first=50 * number)) for number in range(RECORDS)))


def claims_much_and_gives_nothing() -> Said:
    return (MET[0], wire.Vector(False, states(2_000)))


def deflated_spans() -> Said:
    return (*MET, *[wire.States(states(20, COMB))] * 20)


def parts_without_end() -> Said:
    return (*MET, *[wire.States((), more=True, rest=True)] * RECORDS)


def a_sketch_of_nonsense() -> Said:
    chance = random.Random(1)
    made = [Symbol(chance.getrandbits(64), chance.getrandbits(32), 1) for _ in range(90)]
    return (MET[0], *[wire.Sketch(encode_symbols(made))] * RECORDS)


def asks_for_more_symbols() -> Said:
    return (HIGH, *[wire.Sketched(1, False, ())] * RECORDS)


def asks_for_everything() -> Said:
    return (HIGH, wire.Ask(), wire.Ask())


def wants() -> Said:
    return (*MET, *(wire.Want(new_log(number), COMB) for number in range(RECORDS)))


def stops() -> Said:
    return (*MET, *(wire.Stop((new_log(number),)) for number in range(RECORDS)))


def gones() -> Said:
    return (*MET, *(wire.Gone(new_log(number), COMB) for number in range(RECORDS)))


def acks() -> Said:
    return (*MET, *[wire.Ack(0, 1, 0)] * RECORDS)


def runs_of_nothing() -> Said:
    return (*MET, *(wire.Run(new_log(number), 0, None, (b"no entry",)) for number in range(RECORDS)))


ATTACKS = (
    says_nothing, never_acknowledges, a_vector_without_end, claims_much_and_gives_nothing, deflated_spans,
    parts_without_end, a_sketch_of_nonsense, asks_for_more_symbols, asks_for_everything, wants, stops, gones, acks,
    runs_of_nothing,
)  # fmt: skip


# What becomes of the others.


@dataclass
class Beset:
    """Ayesha and Bilal, who hear each other through headquarters, to which Mallory speaks by hand."""

    mesh: Mesh = field(default_factory=lambda: Mesh("Headquarters", "Ayesha", "Bilal", "Mallory"))

    def __post_init__(self) -> None:
        self.hq, self.ayesha, self.bilal, self.mallory = self.mesh.nodes
        for node in self.mesh.nodes[1:]:
            self.mesh.connect(self.hq, node)
        self.mesh.run()
        self.mesh.cables[-1].cut()
        self.mesh.run()
        self.mouth = Speaker(self.hq, self.mallory.home.identity)
        self.mesh.run()
        assert self.mouth.secured is not None

    def happens(self, *, hostile: bool) -> bool:
        """One thing does, on Mallory's cable or on another one; False if there is nothing under way."""
        for cable in self.mesh.cables:
            if (cable is self.mouth.cable) == hostile and (sides := cable.ready()):
                cable.deliver(sides[0])
                return True
        return False

    def steps(self, priority: str, attack: Said) -> tuple[int, int, float]:
        """How many things happen on the honest cables, how many commits headquarters makes of what came, and how many
        seconds pass, until Bilal has a message. After each of them one happens on Mallory's."""
        for record in attack:
            self.mouth.say(wire.encode(record))
        before = len(self.stored())
        message = bytes.fromhex(self.ayesha.send("Bilal", TEXT, priority=priority))
        count, since = 0, self.mesh.now
        while message not in self.bilal.arrived():
            if self.happens(hostile=False):
                count += 1
                self.happens(hostile=True)
            else:
                assert self.mesh.now < since + HOLD_BACK_S, "nothing is under way, and it has not arrived"
                self.mesh.pass_time()
        return count, len(self.stored()) - before, self.mesh.now - since

    def stored(self) -> list[int]:
        return [len(batch.entries) for batch in self.hq.commits() if batch.entries]


@pytest.mark.parametrize("priority", ["urgent", "routine"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_message_between_others_takes_no_more_steps_and_no_time(attack: Callable[[], Said], priority: str) -> None:
    unbeset = Beset().steps(priority, ())
    assert Beset().steps(priority, attack()) == unbeset
    assert priority == "routine" or not unbeset[2]


@pytest.mark.parametrize("attack", ATTACKS)
def test_after_all_that_the_node_still_serves(attack: Callable[[], Said]) -> None:
    beset = Beset()
    for record in attack():
        beset.mouth.say(wire.encode(record))
    beset.mesh.run(seconds=2 * STALL_S)
    beset.ayesha.send("Bilal", TEXT)
    beset.mesh.run()
    assert beset.bilal.texts() == [TEXT]


# Who claims every log and gives nothing of it.


@dataclass
class Claimed(Beset):
    """Before Ayesha comes with her messages, Mallory has told headquarters that it has them all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for cable in self.mesh.cables:
            if self.ayesha in cable.ends:
                cable.cut()
        self.mesh.run()
        self.ayesha.send("Bilal", "It rains.")
        self.ayesha.send("Bilal", "It floods.", priority="urgent")
        claimed = [self.settled(log) for log in sorted(self.ayesha.home.store.states(), key=lambda log: log[::-1])]
        for record in (MET[0], wire.Vector(more=False, states=tuple(claimed))):
            self.mouth.say(wire.encode(record))
        self.mesh.run(seconds=0)
        self.since = self.mesh.now
        self.mesh.connect(self.ayesha, self.hq)
        self.mesh.run(seconds=0)

    def settled(self, log: LogId) -> wire.State:
        return wire.State(log, self.ayesha.home.store.states()[log].settled)

    def drip(self, seconds: float) -> None:
        """Mallory pushes an entry of its own every so many seconds, so that it never stands still."""
        lines = chain(self.mallory.home.identity.feed_key, LANE_MESSAGES, [PLAIN] * int(STALL_S / seconds))
        for line in lines:
            self.mesh.run(seconds=seconds)
            self.mouth.push(line.log, line.seq, [line], run=False)
            self.mesh.run(seconds=0)


def test_what_is_urgent_does_not_wait_for_who_claims_it() -> None:
    claimed = Claimed()
    assert claimed.mesh.now == claimed.since
    assert claimed.bilal.texts() == ["It floods."]


def test_the_rest_waits_for_who_claims_it_no_longer_than_it_may_stand_still() -> None:
    claimed = Claimed()
    claimed.mesh.run(seconds=STALL_S + HOLD_BACK_S)
    assert sorted(claimed.bilal.texts()) == ["It floods.", "It rains."]
    assert "promise-broken" in claimed.hq.counts


def test_nor_where_it_gives_a_little_of_something_else_meanwhile() -> None:
    claimed = Claimed()
    claimed.drip(STALL_S / 3)
    claimed.mesh.run(seconds=HOLD_BACK_S)
    assert sorted(claimed.bilal.texts()) == ["It floods.", "It rains."]
    assert "promise-broken" not in claimed.hq.counts
