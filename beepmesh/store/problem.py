"""The one error of the store, and what it tells people. It stands beside contract.py, from which it is imported."""

from __future__ import annotations

from typing import Literal

from beepmesh.errors import HomeProblem

ProblemReason = Literal["full", "read-only", "damaged", "busy", "unreachable"]

_WORDS: dict[ProblemReason, str] = {
    "full": "the disk is full, so nothing was written. Free some space and try again; nothing is lost.",
    "read-only": "the home folder cannot be written. Reading works where it can; make the folder writable to send.",
    "damaged": "the store does not read as it should, or the disk fails. Copy the home folder to another disk, then"
    " restore it from a backup or join again.",
    "busy": "another beepmesh has been writing for more than five seconds. Wait for it or stop it, then try again.",
    "unreachable": "the database does not answer, or cannot be written. A running node tries again by itself; look"
    " whether the server runs, and whether a stand-by is to be promoted.",
}


class StoreProblem(HomeProblem):
    """The disk under the store. `reason` is the stable word; the text says what happened and what to do."""

    def __init__(self, reason: ProblemReason, where: str, detail: str = "", *, is_undone: bool = False) -> None:
        """`is_undone`: it came from outside, and nothing of the transaction happened: it may be done once more."""
        super().__init__(f"{where}: {_WORDS[reason]}" + (f" ({detail})" if detail else ""))
        self.reason: ProblemReason = reason
        self.is_undone = is_undone
