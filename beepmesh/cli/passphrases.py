"""Where a passphrase comes from: typed at a terminal, or the first line of a file. Never from the command line.

Laws
1. Nobody is asked where nobody sits: without a terminal the error names the options that there are.
2. A new passphrase is typed twice; an old one is asked for at most TRIES times.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from beepmesh.errors import HomeProblem, Locked, Usage

FILE_VARIABLE: Final = "BEEPMESH_PASSPHRASE_FILE"
TRIES: Final = 3
_FILE_BYTES_MAX: Final = 4_096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PassphraseSource:
    """What was said about it: `file` by --passphrase-file or the environment ("-" is stdin), else a person is asked."""

    file: str | None

    @classmethod
    def given(cls, file: str | None) -> PassphraseSource:
        return cls(file or os.environ.get(FILE_VARIABLE) or None)

    @property
    def takes_stdin(self) -> bool:
        return self.file == "-"

    def chosen(self) -> str:
        """The passphrase for a new home. Raises Usage, HomeProblem."""
        if self.file is not None:
            return self._read(self.file)
        _require_terminal(
            "A passphrase is needed for the new home and nobody can be asked for it here. Give --passphrase-file FILE,"
            f" set {FILE_VARIABLE}, or, on a machine without a person, say --no-passphrase."
        )
        while True:
            first = _asked("Choose a passphrase for this device: ")
            if not first:
                print("It is empty. To have none, stop with Ctrl-C and add --no-passphrase.", file=sys.stderr)
            elif first == _asked("The same again: "):
                return first
            else:
                print("They differ. Once more.", file=sys.stderr)

    def unlocking(self, unlock: Callable[[str | None], T]) -> T:
        """What `unlock` gives for the right passphrase, with None tried first. Raises Locked, Usage and its errors."""
        if self.file is None:
            try:
                return unlock(None)
            except Locked:
                _require_terminal(
                    "This home has a passphrase and nobody can be asked for it here. Give --passphrase-file FILE or"
                    f" set {FILE_VARIABLE}."
                )
        else:
            return unlock(self._read(self.file))
        for _ in range(TRIES - 1):
            try:
                return unlock(_asked("Passphrase: "))
            except Locked as locked:
                print(locked, file=sys.stderr)
        return unlock(_asked("Passphrase: "))

    def _read(self, file: str) -> str:
        try:
            if file == "-":
                data = sys.stdin.buffer.readline(_FILE_BYTES_MAX + 1)
            else:
                with open(Path(file).expanduser(), "rb") as opened:
                    data = opened.readline(_FILE_BYTES_MAX + 1)
        except OSError as error:
            raise HomeProblem(f"The passphrase file {file} cannot be read ({error.strerror}).") from error
        try:
            line = data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Usage(f"The passphrase file {file} is not UTF-8 text.") from None
        if not line or len(data) > _FILE_BYTES_MAX:
            raise Usage(f"The first line of {file} must be the passphrase; it is empty or far too long.")
        return line


def _require_terminal(otherwise: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise Usage(otherwise)


def _asked(prompt: str) -> str:
    from getpass import getpass

    return getpass(prompt)
