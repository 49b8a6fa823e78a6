"""A story in plain sentences whose claims are checked before they are printed.

Law: a sentence that says what is so goes through `claim`. It is printed as checked after its check has passed; a check
that fails ends the story, and what was expected and what was found is printed instead.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, TextIO

from beepmesh.demo.device import NotSeen
from beepmesh.errors import BeepmeshError

WIDTH: Final = 96


class Unproved(BeepmeshError):
    """A claim of the story does not hold."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, whether it holds, and what was seen (or why it does not)."""

    claim: str
    holds: bool
    seen: str
    seconds: float


class Story:
    """Tells and checks. With `is_json` nothing is told before the end, and then one object."""

    def __init__(self, out: TextIO = sys.stdout, *, is_json: bool = False) -> None:
        self.claims: list[Claim] = []
        self._out = out
        self._is_json = is_json
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 1)

    def chapter(self, title: str) -> None:
        self._print(f"\n{title}")

    def tell(self, sentence: str) -> None:
        """What somebody does. What is so afterwards is a claim."""
        self._fill(sentence, "  ", "  ")

    def show(self, text: str) -> None:
        """What a command printed, as it is."""
        self._print("\n".join(f"      | {line}".rstrip() for line in text.rstrip("\n").split("\n")))

    def claim(self, sentence: str, check: Callable[[], str]) -> str:
        """Print the sentence if the check passes; it returns what it saw. Raises Unproved if it does not."""
        try:
            seen = check()
        except (Unproved, NotSeen) as problem:
            self.claims.append(Claim(sentence, holds=False, seen=str(problem), seconds=self.seconds))
            self._print(f"\n  NOT SO: {sentence}")
            self._fill(str(problem), "          ", "          ")
            raise Unproved(f"{sentence} Not so: {problem}") from None
        self.claims.append(Claim(sentence, holds=True, seen=seen, seconds=self.seconds))
        self._fill(sentence, "  [checked] ", "            ")
        if seen:
            self._fill(f"({seen})", "            ", "            ")
        return seen

    def end(self, trouble: str = "", **more: object) -> int:
        """The last words, and the exit code: 0 if everything that was claimed holds."""
        holds = not trouble and all(claim.holds for claim in self.claims) and bool(self.claims)
        if self._is_json:
            claims = [asdict(claim) for claim in self.claims]
            told = {"ok": holds, "trouble": trouble, "seconds": self.seconds, "claims": claims} | more
            print(json.dumps(told, ensure_ascii=False), file=self._out, flush=True)
        elif holds:
            self._print(f"\nAll {len(self.claims)} claims were checked, in {self.seconds:.0f} seconds.")
        else:
            self._print(f"\nThe demo stopped: {trouble or 'nothing was claimed'}")
        return 0 if holds else 1

    def _fill(self, text: str, first: str, rest: str) -> None:
        self._print(textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False))

    def _print(self, text: str) -> None:
        if not self._is_json:
            print(text, file=self._out, flush=True)


def same(found: object, expected: object, what: str) -> None:
    """Raises Unproved, saying both, unless they are equal."""
    if found != expected:
        raise Unproved(f"{what}: expected {expected}, found {found}")
