"""Names as people type them: brought into the one spelling of certificates, compared, and guessed at.

What may be a name is law in `beepmesh/crypto/names.py`. The joiners ZWJ and ZWNJ may stand in one, Urdu and emoji need
them, but they do not tell two names apart here: nobody can see them, and few keyboards have them.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Final

from beepmesh.crypto.names import NAME_BYTES_MAX, name_problem
from beepmesh.errors import Usage

NEAR_MAX: Final = 3
_TYPED_MAX: Final = 4 * NAME_BYTES_MAX  # Spaces and decomposed letters come on top of a name.
_JOINERS: Final = "\u200c\u200d"


def clean_name(text: str) -> str:
    """The name as certificates write it: NFC, trimmed, one space between words. Raises Usage."""
    name = " ".join(unicodedata.normalize("NFC", text[:_TYPED_MAX]).split()).strip(_JOINERS)
    problem = name_problem(name)
    if problem is not None:
        raise Usage(f"{shown(text)} cannot be a name: a name {problem}.")
    return name


def name_key(name: str) -> str:
    """What all spellings of one name have in common."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return "".join(letter for letter in folded if letter not in _JOINERS).strip()


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """The names a person may have meant, best first: those that begin a word alike, then those spelled alike."""
    wanted = name_key(name)
    by_key = {name_key(known): known for known in sorted(names)}
    begun = [key for key in by_key if wanted and any(word.startswith(wanted) for word in key.split())]
    alike = difflib.get_close_matches(wanted, list(by_key), NEAR_MAX, 0.6)
    return [by_key[key] for key in dict.fromkeys(begun + alike)][:NEAR_MAX]


def shown(text: str) -> str:
    """Text of unknown origin inside one of our sentences: short, in quotes, and nothing in it acts on a terminal."""
    return repr(text if len(text) <= 48 else text[:47] + "…")
