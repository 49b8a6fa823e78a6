"""Large mail among whole nodes: who is given it, and what is asked for that."""

from __future__ import annotations

import random
import string
from itertools import combinations, pairwise

from beepmesh.carrying import GIFT_MEETINGS, GIFTS
from beepmesh.crypto.seal import crowd_of_body
from beepmesh.messages.entry import Entry
from beepmesh.messages.lifetimes import LANE_LATER, LANE_MESSAGES, LANE_URGENT
from beepmesh.rationing import Rationing
from sync.logs import LogId
from sync.ranges import Ranges
from tests.engines import EngineNode, Mesh

NAMES = [f"Person {number:02}" for number in range(16)]
LARGE = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=20_000))


class Valley:
    """Everybody has met everybody once, so that all know each other; the first writes something large to the second."""

    def __init__(self, text: str = LARGE) -> None:
        self.mesh = Mesh(*NAMES)
        self.author, self.reader, *self.others = self.mesh.nodes
        for one, other in combinations(self.mesh.nodes, 2):
            self.meet(one, other)
        self.author.send(self.reader.name, text)
        self.log = LogId(self.author.home.identity.feed, LANE_LATER if text == LARGE else LANE_MESSAGES)
        crowd = int.from_bytes(crowd_of_body(self.held(self.author)[0].body or b""))
        crowds = self.author.home.roster.crowds()
        self.crowd = [node for node in self.others if crowds.has(crowd, node.device)]
        self.strangers = [node for node in self.others if node not in self.crowd]

    def meet(self, one: EngineNode, other: EngineNode, hours: float = 0.0) -> int:
        """How many bytes it took."""
        self.mesh.now += hours * 3_600
        cable = self.mesh.connect(one, other)
        self.mesh.run()
        cable.cut()
        self.mesh.run()
        return cable.bytes_sent

    def entrust(self, carrier: EngineNode) -> None:
        """It has often met somebody of the reader's crowd, and is given the mail by its author."""
        for _ in range(3):
            self.meet(carrier, self.crowd[0], hours=1)
        self.meet(self.author, carrier, hours=1)

    def held(self, node: EngineNode) -> list[Entry]:
        return node.held(self.log)


def test_urgent_mail_goes_to_everybody_and_asks_nothing() -> None:
    valley = Valley()
    valley.author.send(valley.reader.name, "The ford is deep.", priority="urgent")
    log = LogId(valley.author.home.identity.feed, LANE_URGENT)
    valley.meet(valley.author, valley.strangers[0])
    for giver, taker in pairwise(valley.strangers):
        valley.meet(giver, taker)
    assert len(valley.strangers[-1].held(log)) == len(valley.author.held(log))


def test_small_mail_spreads_with_the_meetings_that_pass() -> None:
    valley = Valley("The ford is deep.")
    carrier, *others = valley.strangers
    valley.entrust(carrier)
    for _ in range(2):
        for other in others:
            valley.meet(carrier, other)
    assert 0 < sum(bool(valley.held(other)) for other in others) <= 2 * len(others) // GIFT_MEETINGS + 1


def test_large_mail_reaches_its_reader_through_a_stranger() -> None:
    valley = Valley()
    valley.meet(valley.author, valley.strangers[0])
    assert valley.held(valley.strangers[0])
    valley.meet(valley.strangers[0], valley.reader)
    assert valley.reader.texts() == [LARGE]


def test_its_crowd_is_given_it_by_whoever_has_it() -> None:
    valley = Valley()
    carrier = valley.strangers[0]
    valley.meet(valley.author, carrier)
    for node in valley.crowd:
        valley.meet(carrier, node)
    assert valley.crowd
    assert all(valley.held(node) for node in valley.crowd)


def test_an_author_gives_it_to_the_first_few_strangers_only() -> None:
    valley = Valley()
    for _ in range(4):
        valley.meet(valley.author, valley.crowd[0], hours=1)  # Now it leads there better than anybody.
    for node in valley.strangers:
        valley.meet(valley.author, node)
    assert [node for node in valley.strangers if valley.held(node)] == valley.strangers[:GIFTS]


def test_a_carrier_gives_it_to_who_meets_the_reader_more_often_and_to_nobody_who_does_not() -> None:
    valley = Valley()
    carrier, seldom, often = valley.strangers[:3]
    for _ in range(6):
        valley.meet(often, valley.reader, hours=1)
    valley.entrust(carrier)
    valley.meet(carrier, seldom, hours=1)
    valley.meet(carrier, often, hours=1)
    assert not valley.held(seldom)
    assert valley.held(often)


def test_what_was_withheld_costs_little_and_may_be_given_at_a_later_meeting() -> None:
    valley = Valley()
    carrier, other = valley.strangers[:2]
    valley.entrust(carrier)
    assert valley.meet(carrier, other, hours=1) < 1_500
    assert not valley.held(other)
    for _ in range(6):
        valley.meet(other, valley.reader, hours=1)
    valley.meet(carrier, other, hours=1)
    assert valley.held(other)


def test_on_a_link_that_stands_what_was_withheld_is_weighed_again() -> None:
    valley = Valley()
    carrier, other = valley.strangers[:2]
    valley.entrust(carrier)
    valley.mesh.connect(carrier, other)
    valley.mesh.run()
    assert valley.held(other) == []
    for _ in range(6):
        valley.meet(other, valley.reader)
        valley.mesh.run(seconds=3_600)
    assert valley.reader.texts() == [LARGE]


def test_who_never_tells_a_view_is_given_nothing_that_names_a_crowd_and_whatever_goes_to_all() -> None:
    valley = Valley("The ford is deep.")
    carrier, silent = valley.strangers[:2]
    carrier.send("everyone", "Meet at the school.")
    valley.author.send(valley.reader.name, "Help!", priority="sos")
    valley.entrust(carrier)
    silent.engine._rationing.receive = lambda *_: (b"", False)  # type: ignore[method-assign]
    valley.meet(carrier, silent)
    assert valley.held(carrier)
    assert not valley.held(silent)
    assert silent.texts() == ["Meet at the school."]
    assert len(silent.held(LogId(valley.author.home.identity.feed, LANE_URGENT))) > 1


def test_two_who_ask_each_other_at_once_need_no_other_answer() -> None:
    valley = Valley()
    one, other = valley.strangers[:2]
    one.send(valley.reader.name, LARGE)
    other.send(valley.reader.name, LARGE)
    told: list[tuple[str, int]] = []
    for node in (one, other):
        rationing = node.engine._rationing

        def noting(
            link: int, record: bytes, now: float, node: EngineNode = node, rationing: Rationing = rationing
        ) -> tuple[bytes, bool]:
            told.append((node.name, record[0]))
            return Rationing.receive(rationing, link, record, now)

        rationing.receive = noting  # type: ignore[method-assign]
    valley.meet(one, other)
    assert sorted(told) == sorted([(one.name, 0), (other.name, 0)]), "each has asked, and nobody has answered"
    assert [len(other.held(LogId(node.home.identity.feed, LANE_LATER))) for node in (one, other)] == [1, 1]
    assert one.counts.keys() | other.counts.keys() == set()
    valley.reader.send(valley.author.name, LARGE)
    valley.meet(valley.author, valley.reader)
    assert (valley.reader.texts(), valley.author.texts()) == ([LARGE], [LARGE])
    assert valley.author.counts.keys() | valley.reader.counts.keys() == set()


def test_who_asks_without_end_is_answered_and_has_nothing_weighed_for_it() -> None:
    valley = Valley()
    carrier, other = valley.strangers[:2]
    valley.entrust(carrier)
    cable = valley.mesh.connect(other, carrier)
    valley.mesh.run()
    weighed: list[LogId] = []
    withheld = carrier.engine._rationing.withheld

    def counted(link: int, log: LogId, start: int, stop: int, now: float) -> Ranges | None:
        weighed.append(log)
        return withheld(link, log, start, stop, now)

    carrier.engine._rationing.withheld = counted  # type: ignore[method-assign]
    other.engine._rationing.receive = lambda *_: (b"", False)  # type: ignore[method-assign]
    link = next(iter(other.engine._links.proved))
    before = cable.frames_sent
    for _ in range(100):
        cable.send(link, other.engine._links.seal_owner(link, b"\x00"))
    valley.mesh.run()
    assert 200 <= cable.frames_sent - before <= 202, "asked, answered, and once said what is withheld"
    assert weighed.count(valley.log) <= 1


def test_a_view_that_is_none_ends_the_link_and_is_counted() -> None:
    valley = Valley()
    cable = valley.mesh.connect(valley.author, valley.others[0])
    valley.mesh.run()
    link = next(iter(valley.author.engine._links.proved))
    frames = valley.author.engine._links.seal_owner(link, b"\x00\x01\x02")
    cable.send(link, frames)
    valley.mesh.run()
    assert valley.others[0].counts["view-malformed"] == 1
