"""Names of people: which ones may be, when two are the same, and how one is shown in an error.

A name is chosen by a person and written in any script, so it is treated as hostile: no control characters, no marks
that turn the direction of the text around it. The joiners ZWJ and ZWNJ stay, Urdu and emoji need them, but they do not
tell two names apart: nobody can type them reliably and nobody can see them.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Final

from beepmesh.errors import Usage

NAME_CHARACTERS_MAX: Final = 64
NAME_BYTES_MAX: Final = 128
NEAR_MAX: Final = 3
_JOINERS: Final = "\u200c\u200d"
_FORBIDDEN: Final = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")


def clean_name(text: str) -> str:
    """The name as certificates write it: NFC, trimmed, runs of spaces made one. Raises Usage."""
    name = " ".join(unicodedata.normalize("NFC", text[: 4 * NAME_BYTES_MAX]).split())
    if any(unicodedata.category(letter) in _FORBIDDEN and letter not in _JOINERS for letter in name):
        raise Usage(f"The name {shown(name)} holds a character that cannot be seen. Type it again, plainly.")
    if not name_key(name):
        raise Usage("A name needs at least one letter.")
    if len(name) > NAME_CHARACTERS_MAX or len(name.encode()) > NAME_BYTES_MAX:
        raise Usage(
            f"A name has {NAME_CHARACTERS_MAX} characters and {NAME_BYTES_MAX} bytes at most; "
            f"this has {len(name)} and {len(name.encode())}. Shorten it."
        )
    return name


def name_key(name: str) -> str:
    """What two spellings of one name have in common."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return "".join(letter for letter in plain if letter not in _JOINERS).strip()


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """The names most like this one, best first."""
    by_key = {name_key(known): known for known in sorted(names)}
    return [by_key[key] for key in difflib.get_close_matches(name_key(name), list(by_key), NEAR_MAX, 0.6)]


def shown(text: str) -> str:
    """Text of unknown origin inside one of our sentences: short, in quotes, nothing in it acts on the terminal."""
    return repr(text if len(text) <= 48 else text[:47] + "…")
