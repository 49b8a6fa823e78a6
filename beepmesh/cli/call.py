"""What every verb is called with: the screen, the home's folder, and how to open it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beepmesh.cli.parsing import Asked
from beepmesh.cli.passphrases import PassphraseSource
from beepmesh.cli.screen import Screen
from beepmesh.errors import Usage

if TYPE_CHECKING:
    from beepmesh.home import Home

HOME_VARIABLE: Final = "BEEPMESH_HOME"
HOME_DEFAULT: Final = "~/.beepmesh"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one verb."""

    screen: Screen
    path: Path
    passphrase: PassphraseSource

    @classmethod
    def of(cls, asked: Asked, screen: Screen) -> Call:
        if asked.home == "":
            raise Usage("--home needs a folder.")
        named = asked.home or os.environ.get(HOME_VARIABLE) or HOME_DEFAULT
        try:
            path = Path(named).expanduser()
        except RuntimeError:
            raise Usage(f"{named} names a user's folder that this machine does not know. Write it out.") from None
        return cls(screen, path.absolute(), PassphraseSource.given(asked.passphrase_file))

    def open(self, store_url: str | None = None) -> Home:
        """The home, with its passphrase asked for where it has one; its store is moved to `store_url` if it is not yet.

        Raises HomeProblem, Locked, Usage.
        """
        from beepmesh.home import Home

        return self.passphrase.unlocking(lambda passphrase: Home.open(self.path, passphrase, store_url=store_url))

    @staticmethod
    def now_ms() -> int:
        return time.time_ns() // 1_000_000
