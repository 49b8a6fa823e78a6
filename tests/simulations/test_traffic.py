"""Traffic is what its settings say, fits its trace, and changes only where a setting changes it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from beepmesh.errors import Usage
from simulations.traces import Contact, Trace
from simulations.traffic import TRAFFIC, Field, Groups, Texts
from simulations.workload import EVERYBODY, Message, load, save

DAY = Trace("day", 20, (Contact(0, 86_400, 0, 1),))


def drawn(kind: Field | Groups | Texts, seed: int = 1, trace: Trace = DAY) -> list[Message]:
    return kind.draw(trace, random.Random(seed))


@pytest.mark.parametrize("name", list(TRAFFIC))
def test_a_file_of_it_is_read_as_it_was_drawn(tmp_path: Path, name: str) -> None:
    messages = TRAFFIC[name]().draw(DAY, random.Random(1))
    save(messages, tmp_path / "w.csv")
    assert load(tmp_path / "w.csv", DAY.nodes) == tuple(messages)
    assert messages == TRAFFIC[name]().draw(DAY, random.Random(1)) != TRAFFIC[name]().draw(DAY, random.Random(2))


@pytest.mark.parametrize("kind", [Texts(), Groups(), Field(group_share=0.3)], ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize("nodes", [2, 3])
def test_two_nodes_are_enough_for_any_of_it(kind: Field | Groups | Texts, nodes: int) -> None:
    messages = drawn(kind, trace=Trace("few", nodes, DAY.contacts))
    assert {m.src for m in messages} == {m.dst for m in messages} == set(range(nodes))
    assert all(m.src != m.dst for m in messages)


def test_shares_are_kept_and_sizes_are_those_of_their_kind() -> None:
    messages = drawn(Field(messages=4_000, ttl_h=6))
    up = sum(m.dst == 0 for m in messages) / 4_000
    down = sum(m.src == 0 for m in messages) / 4_000
    assert 0.47 < up < 0.53
    assert 0.12 < down < 0.18
    by_prio = Counter(m.prio for m in messages)
    assert 0.03 < by_prio[0] / 4_000 < 0.07
    assert 0.08 < by_prio[2] / 4_000 < 0.12
    sizes = {prio: [m.size for m in messages if m.prio == prio] for prio in by_prio}
    assert set(sizes[0]) == {150}
    assert (min(sizes[1]) >= 200, max(sizes[1]) <= 800) == (True, True)
    assert (min(sizes[2]) >= 20_000, max(sizes[2]) <= 60_000) == (True, True)
    assert max(m.t for m in messages) <= 18 * 3_600 < max(m.t for m in messages) + 600
    assert {m.ttl for m in messages} == {6 * 3_600}


def test_another_headquarters_is_the_one_that_is_written_to() -> None:
    messages = drawn(Field(hq=7, to_hq_share=1.0))
    assert {m.dst for m in messages} == {7}
    assert 7 not in {m.src for m in messages}


def test_a_message_to_a_group_is_a_line_for_each_other_member() -> None:
    messages = drawn(Groups(messages=200, groups=3, members=5))
    assert len(messages) == 200 * 4
    written: dict[float, list[Message]] = {}
    for message in messages:
        written.setdefault(message.t, []).append(message)
    groups = {frozenset([lines[0].src, *(m.dst for m in lines)]) for lines in written.values()}
    assert len(groups) == 3
    assert {len(group) for group in groups} == {5}


def test_to_everybody_is_one_line() -> None:
    messages = drawn(Texts(messages=50, to_everybody=True))
    assert [(m.id, m.dst) for m in messages] == [(number, EVERYBODY) for number in range(50)]


def test_other_sizes_leave_who_writes_to_whom_when_as_it_was() -> None:
    field = Field(group_share=0.1)
    other = replace(field, sos_share=0.5, attachment_bytes_max=90_000)
    keys = [[(m.t, m.src, m.dst) for m in drawn(kind)] for kind in (field, other)]
    assert keys[0] == keys[1]
    assert [m.size for m in drawn(field)] != [m.size for m in drawn(other)]


def test_times_are_within_the_hours_asked_for() -> None:
    messages = drawn(Texts(first_h=2, last_h=3))
    assert all(2 * 3_600 <= m.t <= 3 * 3_600 for m in messages)
    assert [m.t for m in messages] == sorted(m.t for m in messages)


@pytest.mark.parametrize(("kind", "nodes"), [(Texts(), 1), (Groups(), 1), (Field(), 1), (Field(hq=7), 7)])
def test_too_small_a_trace_is_refused_in_words(kind: Field | Groups | Texts, nodes: int) -> None:
    with pytest.raises(Usage, match=f"{nodes + 1} nodes or more, and it has {nodes}"):
        drawn(kind, trace=Trace("few", nodes, ()))
