"""What may stand as a name, a department or a role in a certificate.

A name is read aloud by tired people and drawn by terminals, so nothing invisible may hide in it: no control or format
characters (category Cc, Cf), no line separators, no blank edges. ZWNJ and ZWJ inside stay: Urdu, Persian and emoji are
spelled with them. One name has one spelling (NFC), so that equal bytes and equal looks mostly mean the same.

Which code points exist is Python's Unicode table and grows with it; unassigned ones are allowed, so an older node
never refuses a name that a newer one took for that reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

NAME_CHARACTERS_MAX = 64
NAME_BYTES_MAX = 128  # 64 letters of Urdu; about 30 emoji.
DEPARTMENT_BYTES_MAX = 128
DEPARTMENT_DEPTH_MAX = 8

ROLES = ("hq", "registrar", "lead", "field", "relay")

_ROLE = re.compile(r"[a-z][a-z0-9-]{0,15}")
_JOINERS = "\u200c\u200d"
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def name_problem(name: str) -> str | None:
    """What is wrong with a name, in words that complete "a name ..."; None if nothing is."""
    if not name or len(name) > NAME_CHARACTERS_MAX:
        return f"has 1 to {NAME_CHARACTERS_MAX} characters"
    if not is_plain(name):
        return "has no control, direction or line break characters"
    if len(name.encode()) > NAME_BYTES_MAX:
        return f"has at most {NAME_BYTES_MAX} bytes"
    if not unicodedata.is_normalized("NFC", name):
        return "is written in Unicode normal form NFC"
    if name.strip() != name or name.strip(_JOINERS) != name:
        return "neither starts nor ends with something blank"
    if all(unicodedata.category(character)[0] in "MZC" for character in name):
        return "shows at least one letter, digit or sign"
    return None


def department_problem(department: str) -> str | None:
    """What is wrong with a path such as "flood/swat", as name_problem says it. "" is the whole organisation."""
    if not department:
        return None
    if len(department) > DEPARTMENT_BYTES_MAX:
        return f"has at most {DEPARTMENT_BYTES_MAX} bytes"
    parts = department.split("/")
    if len(parts) > DEPARTMENT_DEPTH_MAX:
        return f"has at most {DEPARTMENT_DEPTH_MAX} levels"
    for part in parts:
        problem = name_problem(part)
        if problem is not None:
            return f"has levels divided by single slashes, each of which {problem}"
    if len(department.encode()) > DEPARTMENT_BYTES_MAX:
        return f"has at most {DEPARTMENT_BYTES_MAX} bytes"
    return None


def is_plain(text: str) -> bool:
    """Whether everything in it is one visible line; the two joiners count as visible."""
    return all(character in _JOINERS or unicodedata.category(character) not in _HIDDEN for character in text)


def is_role(role: str) -> bool:
    """Whether it is a word for a role. Words not in ROLES are later versions'; they give no right here."""
    return _ROLE.fullmatch(role) is not None


def role_order(role: str) -> tuple[int, str]:
    """What roles are sorted by: the known ones as they stand in ROLES, then others by name."""
    return ROLES.index(role) if role in ROLES else len(ROLES), role


def covers(departments: Iterable[str], department: str) -> bool:
    """Whether department is one of departments or below one: "flood" covers "flood/swat", never "floodplain"."""
    return any(not scope or department == scope or department.startswith(f"{scope}/") for scope in departments)
