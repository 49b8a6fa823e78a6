"""A person at the keyboard: words go in through `main`, and what was printed comes out."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from beepmesh.cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def objects(self) -> list[dict[str, object]]:
        assert self.code == 0, self.err
        values = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(value, dict) for value in values)
        return cast("list[dict[str, object]]", values)

    def one(self) -> dict[str, object]:
        (value,) = self.objects()
        return value

    def failure(self) -> tuple[int, str]:
        """The exit code and the reason word of a command that failed with --json."""
        assert self.out == ""
        value = json.loads(self.err)
        assert set(value) == {"error", "reason"}
        return self.code, value["reason"]


class Pipe(io.StringIO):
    """stdout or stderr that is a pipe, or a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


class Keyboard:
    """stdin of bytes."""

    def __init__(self, data: bytes, *, is_terminal: bool) -> None:
        self.buffer = io.BytesIO(data)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def readline(self) -> str:
        return self.buffer.readline().decode()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a home."""

    home: Path

    def types(self, *words: str, stdin: bytes = b"", at_terminal: bool = False) -> Done:
        """`beepmesh --home HOME WORDS`, to its end."""
        out, err = Pipe(is_terminal=at_terminal), Pipe(is_terminal=at_terminal)
        with _streams(Keyboard(stdin, is_terminal=at_terminal), out, err):
            code = main(["--home", str(self.home), *words])
        return Done(code, out.getvalue(), err.getvalue())

    def asks(self, *words: str, stdin: bytes = b"") -> dict[str, object]:
        """The one JSON object that a command printed."""
        return self.types(*words, "--json", stdin=stdin).one()


@contextmanager
def _streams(stdin: Keyboard, stdout: Pipe, stderr: Pipe) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", stderr)
        yield
