"""Where a command prints: one JSON object a line for programs, tables and plain lines for people.

Laws
1. With --json, stdout carries JSON and nothing else, and a command that fails leaves it as it was: the error is one
   JSON line on stderr.
2. What people see has been through `text`: nobody else's words act on their terminal. Tables are drawn (and rich is
   loaded) only on a terminal that can draw.
3. A line is flushed when it is printed: whoever reads along with `--follow` or `run` sees it at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from beepmesh.cli.text import columns, safe_json, safe_line

if TYPE_CHECKING:
    from rich.console import Console


class Screen:
    """stdout and stderr of one command. `is_json` is what the person or program asked for."""

    def __init__(self, out: TextIO, err: TextIO, *, is_json: bool) -> None:
        self.is_json = is_json
        self.draws = not is_json and out.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
        self._out = out
        self._err = err
        for stream in (out, err):
            # A terminal of another encoding shows \u06cc for a letter it has not, rather than failing.
            if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
                reconfigure(errors="backslashreplace")

    def result(self, value: Mapping[str, object]) -> None:
        """One JSON object on a line of its own. Only where `is_json`."""
        assert self.is_json
        self._put(_json(value))

    def line(self, text: str = "") -> None:
        """One line for people; nothing with --json. What others wrote must be safe already."""
        if not self.is_json:
            self._put(text)

    def exactly(self, text: str) -> None:
        """Several lines for people or for a shell, as they are."""
        self._put(text.rstrip("\n"))

    def aside(self, text: str) -> None:
        """A remark that is no result: for people, on stderr, so that a pipe carries the results alone."""
        if not self.is_json:
            print(text, file=self._err, flush=True)

    def failure(self, text: str, reason: str) -> None:
        """Why the command could not do what it was asked."""
        if self.is_json:
            text = _json({"error": text, "reason": reason})
        else:
            text = f"beepmesh: {safe_line(text)}"
        print(text, file=self._err, flush=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under heads: drawn on a terminal, set in columns elsewhere; nothing with --json."""
        if self.is_json:
            return
        if not self.draws:
            self._put("\n".join(columns([heads, *rows])))
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console().print(table)

    @contextmanager
    def waiting(self, text: str) -> Iterator[Progress]:
        """Say what is being waited for: a moving line on a terminal, one line a step elsewhere."""
        if not self.draws:
            yield Progress(self)
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.status import Status

        console = Console(file=self._err, highlight=False)
        with Status(escape(text), console=console) as status:
            yield _Moving(self, status)

    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=self._out, highlight=False, emoji=False, markup=False)

    def _put(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def _json(value: Mapping[str, object]) -> str:
    from json import dumps

    return safe_json(dumps(value, ensure_ascii=False, separators=(",", ":")))


class Progress:
    """The steps of something long, each on a line of its own on stderr."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def step(self, text: str) -> None:
        self._screen.aside(safe_line(text))


if TYPE_CHECKING:
    from rich.status import Status


class _Moving(Progress):
    """The newest step beside a turning wheel; each step before it stays above."""

    def __init__(self, screen: Screen, status: Status) -> None:
        super().__init__(screen)
        self._status = status
        self._last = ""

    def step(self, text: str) -> None:
        from rich.markup import escape

        if self._last:
            self._status.console.print(escape(self._last))
        self._last = safe_line(text)
        self._status.update(escape(self._last))
