"""Colours and tables on a terminal that can draw; plain lines everywhere else."""

from __future__ import annotations

import re

import pytest

from beepmesh.cli.screen import Screen
from tests.cli.typing_in import Person, Pipe

ESCAPE = "\x1b["


@pytest.fixture(autouse=True)
def _a_terminal_that_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


def drawn(*, is_terminal: bool = True) -> str:
    out = Pipe(is_terminal=is_terminal)
    Screen(out, Pipe(is_terminal=is_terminal), is_json=False).table(
        ("name", "state"), [("[red]Bilal[/red] :warning:", "one"), ("عائشہ", "two")]
    )
    return out.getvalue()


def test_a_table_is_drawn_on_a_terminal() -> None:
    assert ESCAPE in drawn()
    assert "─" in drawn()


def test_a_table_is_plain_columns_in_a_pipe() -> None:
    assert drawn(is_terminal=False).splitlines()[0].split() == ["name", "state"]
    assert ESCAPE not in drawn(is_terminal=False)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours_where_none_are_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", drawn())


def test_a_name_is_never_markup() -> None:
    assert "[red]Bilal[/red] :warning:" in drawn()


def test_verbs_draw_at_a_terminal_and_not_in_a_pipe(ayesha: Person, bilal: Person) -> None:
    assert ESCAPE in ayesha.types("who", at_terminal=True).out
    for words in (("who",), ("status",), ("peers",), ("inbox",), ("doctor",)):
        assert ESCAPE not in ayesha.types(*words).out


@pytest.mark.parametrize("is_terminal", [True, False])
def test_waiting_turns_a_wheel_at_a_terminal_and_prints_lines_in_a_pipe(is_terminal: bool) -> None:
    out, err = Pipe(is_terminal=is_terminal), Pipe(is_terminal=is_terminal)
    with Screen(out, err, is_json=False).waiting("Joining") as progress:
        progress.step("Asking [bold]192.0.2.7")
        progress.step("A registrar answers\x1b[2J")
    assert out.getvalue() == ""
    assert "Asking [bold]192.0.2.7" in err.getvalue()
    assert "\x1b[2J" not in err.getvalue()
    if not is_terminal:
        assert err.getvalue().splitlines() == ["Asking [bold]192.0.2.7", "A registrar answers\\x1b[2J"]


def test_with_json_nothing_but_results_is_printed() -> None:
    out, err = Pipe(is_terminal=True), Pipe(is_terminal=True)
    screen = Screen(out, err, is_json=True)
    screen.line("words")
    screen.aside("remark")
    screen.table(("a",), [("b",)])
    screen.result({"a": "پل\x9b"})
    assert (out.getvalue(), err.getvalue()) == ('{"a":"پل\\u009b"}\n', "")
