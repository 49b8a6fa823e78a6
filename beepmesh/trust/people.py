"""Who is meant: people as the roster knows them, and what may be typed as WHO.

    everyone            all people
    hq                  people with the role hq
    dept:flood          people of that department and of those below it
    Amina Khan          the one person of that name; case, Unicode form and joiners do not matter
    Amina Khan#1a2b3c4d the one whose id begins so, where several have the name

A person may be called "hq" or "everyone": the word wins, and the person is reached with the id behind the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.names import covers
from beepmesh.errors import UnknownName
from beepmesh.trust.names import name_key, near_names, shown

LISTED_MAX: Final = 8
_DEPARTMENT: Final = "dept:"
_WITH_ID: Final = re.compile(r"(.*)#([0-9a-f]{8,32})", re.ASCII | re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Person:
    """A person by the newest certificate of the devices that still count."""

    person: bytes  # 16 B
    name: str
    department: str
    roles: tuple[str, ...]  # those of all devices that count
    devices: tuple[bytes, ...]  # ids of those not revoked, the newest certificate first
    usable_until_s: int  # when the last of them ends, its grace included; 0 where none is left

    @property
    def revoked(self) -> bool:
        return not self.devices

    @property
    def label(self) -> str:
        """The name that means this person and nobody else."""
        return f"{self.name}#{self.person[:4].hex()}"

    def usable_at(self, now_s: int) -> bool:
        return now_s < self.usable_until_s


def resolve(people: Sequence[Person], who: str, now_s: int) -> list[Person]:
    """The people meant, at least one. Raises UnknownName, whose text names near or competing ones."""
    there = [person for person in people if person.usable_at(now_s)]
    with_id = _WITH_ID.fullmatch(who.strip())
    if with_id is not None:
        named = [person for person in _called(there, with_id[1]) if person.person.hex().startswith(with_id[2].lower())]
        if len(named) == 1:
            return named
    wanted = name_key(who)
    if wanted == "everyone":
        return _some(there, "Nobody is known here yet. Sync with somebody first.")
    if wanted == "hq":
        hq = [person for person in there if "hq" in person.roles]
        return _some(hq, "No headquarters is known here yet. Sync with somebody first.")
    if wanted.startswith(_DEPARTMENT):
        return _of_department(there, wanted.removeprefix(_DEPARTMENT).strip().strip("/"))
    named = _called(there, who)
    if len(named) == 1:
        return named
    raise UnknownName(_ambiguous(named) if named else _unknown(people, there, who))


def _called(people: Iterable[Person], name: str) -> list[Person]:
    wanted = name_key(name)
    return [person for person in people if name_key(person.name) == wanted]


def _some(people: list[Person], otherwise: str) -> list[Person]:
    if not people:
        raise UnknownName(otherwise)
    return people


def _of_department(people: list[Person], path: str) -> list[Person]:
    found = [person for person in people if path and covers((path,), name_key(person.department))]
    if found:
        return found
    known = {person.department for person in people if person.department}
    listed = near_names(path, known) or sorted(known)[:LISTED_MAX]
    hint = f" Known ones: {', '.join(map(shown, listed))}." if listed else " No department is known here."
    raise UnknownName(f"Nobody is known in the department {shown(path)}.{hint}")


def _ambiguous(named: list[Person]) -> str:
    listed = [f"{shown(person.label)} ({person.department or 'no department'})" for person in named[:LISTED_MAX]]
    more = f" and {len(named) - LISTED_MAX} more" if len(named) > LISTED_MAX else ""
    return f"{len(named)} people have that name: {', '.join(listed)}{more}. Write the one you mean, with its #."


def _unknown(people: Sequence[Person], there: list[Person], who: str) -> str:
    gone = _called(people, who)
    if gone:
        why = "was revoked" if all(person.revoked for person in gone) else "has an expired certificate"
        return f"{shown(gone[0].name)} {why} and gets no new messages. Ask a registrar."
    near = near_names(who, [person.name for person in there])
    hint = f" Near: {', '.join(map(shown, near))}." if near else ""
    return f"Nobody called {shown(who)} is known on this device.{hint} `beepmesh who` lists everybody."
