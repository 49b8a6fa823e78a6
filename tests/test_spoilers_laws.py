"""Whatever a spoiler does: with one honest path everything arrives, and whoever has it can hand on all of it alone."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from beepmesh.messages.token import pack_token, token_log
from sync.logs import LogState
from sync.ranges import NOTHING, Ranges
from tests.engines import EngineNode
from tests.speaker import Speaker, chain
from tests.store.writing import envelope, token
from tests.valley import Valley, restarted, spoil


@dataclass(frozen=True)
class Whisper:
    """Runs to one node in one round: of each the start, the length, and bits for false signatures and lost bodies."""

    node: int
    runs: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Meet:
    """A node and the next one in the line."""

    node: int


@dataclass(frozen=True)
class Deliver:
    """A node hears that these entries were delivered."""

    node: int
    seqs: frozenset[int]


LINES = 26
SIZES = st.lists(st.sampled_from((20, 500, 2_300, 17_000)), min_size=LINES, max_size=LINES)
FALSE = st.sampled_from((0, 127, 255)) | st.integers(0, 255)
RUNS = st.tuples(st.integers(0, LINES - 1), st.integers(1, 8), FALSE, st.sampled_from((0, 0, 0, 1, 16, 130)))
ACT = st.builds(Whisper, st.integers(0, 2), st.lists(RUNS, min_size=1, max_size=6).map(tuple)) | st.builds(
    Meet, st.integers(0, 1)
)
ACTS = st.lists(ACT, max_size=12)


def burst(valley: Valley, act: Whisper) -> None:
    node = valley.nodes[act.node]
    speaker = Speaker(node, valley.spoiler)
    speaker.greet()
    node.withholds = True
    node.engine.count("probe")
    for start, count, false, bare in act.runs:
        run = valley.lines[start : start + count]
        said = [
            (entry.erased() if bare >> at & 1 else entry)
            for at, entry in enumerate(spoil(run, {start + at for at in range(8) if false >> at & 1}))
        ]
        speaker.push(valley.log, start, said, prev=run[0].prev if start else None, run=False)
    valley.mesh.run()
    node.withholds = False
    if node.waiting is not None:
        node.release()
    valley.cut(speaker)


@settings(max_examples=25)
@given(SIZES, ACTS)
@example([20] * LINES, [Whisper(1, ((0, 8, 127, 0),)), Whisper(2, ((4, 8, 127, 0), (12, 8, 127, 0))), Meet(1)])
@example([20] * LINES, [Whisper(1, ((0, 8, 127, 0),)), Whisper(2, ((4, 8, 0, 0),)), Meet(1)])
@example([20] * LINES, [Whisper(1, ((0, 8, 127, 0),)), Whisper(2, ((0, 8, 127, 16),)), Meet(1)])
@example([20] * LINES, [Whisper(1, ((18, 8, 127, 0), (10, 8, 255, 0), (3, 7, 127, 0)))])
@example([20] * LINES, [Whisper(2, ((8, 8, 0, 0), (0, 8, 255, 0)))])
@example([2_300] * LINES, [Whisper(1, ((0, 7, 63, 0), (7, 7, 63, 0))), Whisper(2, ((5, 4, 6, 0),)), Meet(1)])
def test_with_one_honest_path_everything_arrives_and_each_can_hand_on_all_of_it(
    sizes: list[int], acts: list[Whisper | Meet]
) -> None:
    valley = Valley(sizes)
    for act in acts:
        match act:
            case Whisper():
                burst(valley, act)
            case Meet(node):
                valley.meet(valley.nodes[node], valley.nodes[node + 1])
    valley.fill(valley.nodes[0], valley.lines)
    for node in (0, 1, 0, 1):
        valley.meet(valley.nodes[node], valley.nodes[node + 1])
    for number, each in enumerate(list(valley.nodes)):
        assert valley.ids(each) == valley.all_ids
        zara = valley.newcomer(f"Zara {number}")
        valley.vouch(zara)
        valley.meet(restarted(each), zara)
        assert valley.ids(zara) == valley.all_ids


DELIVERIES = st.builds(Deliver, st.integers(0, 2), st.frozensets(st.integers(0, LINES - 1), min_size=1, max_size=6))


def delivered(valley: Valley, act: Deliver) -> None:
    speaker = Speaker(valley.nodes[act.node], valley.spoiler)
    speaker.greet()
    for seq in sorted(act.seqs):
        speaker.push(token_log(valley.log), seq, [pack_token(token(valley.lines[seq]))])
    valley.cut(speaker)


def sealed_valley(sizes: list[int]) -> Valley:
    valley = Valley(sizes)
    valley.lines = chain(valley.key, 1, [(b"hint", envelope(bytes(size))) for size in sizes])
    return valley


@settings(max_examples=12)
@given(SIZES, st.lists(ACT | DELIVERIES, max_size=14))
@example([20] * LINES, [Whisper(2, ((0, 8, 127, 0),)), Deliver(2, frozenset({7}))])
@example(
    [20] * LINES, [Whisper(1, ((0, 8, 127, 0),)), Deliver(1, frozenset({3, 7})), Meet(1), Deliver(2, frozenset({5}))]
)
@example([20] * LINES, [Deliver(1, frozenset({4})), Whisper(1, ((5, 3, 3, 0), (0, 4, 15, 0))), Meet(1)])
@example([2_300] * LINES, [Whisper(1, ((0, 7, 63, 0),)), Deliver(1, frozenset({1, 6})), Meet(1), Meet(0)])
def test_what_was_not_delivered_arrives_though_what_vouched_for_it_was(
    sizes: list[int], acts: list[Whisper | Meet | Deliver]
) -> None:
    valley = sealed_valley(sizes)
    gone: set[int] = set()
    for act in acts:
        match act:
            case Whisper():
                burst(valley, act)
            case Deliver():
                delivered(valley, act)
                gone |= act.seqs
            case Meet(node):
                valley.meet(valley.nodes[node], valley.nodes[node + 1])
    valley.fill(valley.nodes[0], valley.lines)
    for node in (0, 1, 0, 1):
        valley.meet(valley.nodes[node], valley.nodes[node + 1])
    left = [entry.id for entry in valley.lines if entry.seq not in gone]

    def check(node: EngineNode) -> None:
        assert valley.ids(node) == left
        states = node.home.store.states()
        assert states[valley.log] == LogState(Ranges.of((0, LINES)), valley.lines[-1].id)
        told = states.get(token_log(valley.log), LogState(NOTHING, b"")).settled
        assert told == Ranges.of(*((seq, seq + 1) for seq in gone))

    for number, each in enumerate(list(valley.nodes)):
        check(each)
        zara = valley.newcomer(f"Zara {number}")
        valley.vouch(zara)
        valley.meet(each if number == 1 else restarted(each), zara)  # From memory, and from the disk.
        check(zara)
