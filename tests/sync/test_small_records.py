"""Nothing that is said is longer than the least that a peer must take, whatever there is to say."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from sync.limits import RANGES_MAX, RECORD_BYTES_MIN, SEQ_END, STOP_LOGS_MAX, SYMBOLS_MORE_MAX
from sync.logs import LogId, LogState
from sync.ranges import Ranges
from sync.wire import Sketched, States, Stop, Vector
from tests.sync.pair import Node, World, first, holds, log, records, seqs


def feeds(count: int) -> list[bytes]:
    return [sha256(number.to_bytes(4)).digest()[:16] for number in range(count)]


def fits(world: World) -> bool:
    longest = max(len(data) for end in world.ends for data in end.sent)
    assert [end.hangup for end in world.ends] == [None] * len(world.ends)
    return RECORD_BYTES_MIN // 4 < longest <= RECORD_BYTES_MIN


def test_a_vector_of_names_that_do_not_deflate_fits() -> None:
    a = Node({LogId(feed, 1): first(1) for feed in feeds(1_300)})
    b = Node({LogId(feed[::-1], 1): first(1) for feed in feeds(1_100)})
    world = World()
    world.connect(a, b, record_bytes_max=RECORD_BYTES_MIN)
    world.run()
    assert sum(isinstance(record, Vector) for end in world.ends for record in records(end)) > 2
    assert fits(world)
    assert holds(a) == holds(b)


def test_states_of_which_each_hole_takes_as_many_bytes_as_it_can_fit() -> None:
    rng = Random(22)
    a = Node()
    for number in range(9):
        ends = sorted(rng.sample(range(SEQ_END), 2 * RANGES_MAX))
        a.grow(
            a.frontier.change({log(number): LogState(Ranges(tuple(zip(ends[::2], ends[1::2], strict=True))), b"")}, 1)
        )
    a.frontier.upto = 1
    world = World()
    world.connect(a, Node(), record_bytes_max=RECORD_BYTES_MIN)
    for _ in range(12):
        world.step()
    told = [record for record in records(world.ends[0]) if isinstance(record, Vector | States)]
    assert sum(len(record.states) for record in told) == 9
    assert fits(world)


def test_stops_of_logs_named_in_full_fit() -> None:
    held = {LogId(feed, 1): first(1) for feed in feeds(3 * STOP_LOGS_MAX)}
    a, b, c = Node(held), Node(held), Node()
    world = World()
    world.connect(a, c, record_bytes_max=RECORD_BYTES_MIN)
    world.connect(b, c, record_bytes_max=RECORD_BYTES_MIN)
    world.run()
    stops = [record for end in world.ends for record in records(end) if isinstance(record, Stop)]
    assert sum(len(stop.logs) for stop in stops) > 2 * STOP_LOGS_MAX
    assert max(len(stop.logs) for stop in stops) == STOP_LOGS_MAX
    assert fits(world)
    assert holds(c) == holds(a)


def test_a_long_sketch_is_asked_for_in_pieces_that_fit() -> None:
    held = {LogId(feed, 1): first(1) for feed in feeds(4_000)}
    a, b = Node(held), Node(held)
    for number, of in enumerate(list(held)[:700]):
        (a if number % 2 else b).write(of, seqs((1, 2)))
    world = World()
    world.connect(a, b, record_bytes_max=RECORD_BYTES_MIN)
    world.run()
    asked = [record.more for end in world.ends for record in records(end) if isinstance(record, Sketched)]
    assert max(asked) == SYMBOLS_MORE_MAX
    assert fits(world)
    assert holds(a) == holds(b)
