"""Whom a person means, and what people are called here: from what was typed to persons, and back."""

from __future__ import annotations

from collections import Counter
from typing import Final

from beepmesh.errors import TooLarge, UnknownName, Usage
from beepmesh.home import Home
from beepmesh.trust.names import name_key, shown
from beepmesh.trust.people import Person

RECIPIENTS_MAX: Final = 1_024  # 43 entries of 31 kB of wraps: an organisation of the size that was simulated.


class Names:
    """What people are called on this device: by name, and by name and id where several have it."""

    def __init__(self, home: Home) -> None:
        self.device = home.identity.device
        """This one, 16 B."""
        self._people = {person.person: person for person in home.roster.people()}
        times = Counter(name_key(person.name) for person in self._people.values())
        self._shared = {key for key, count in times.items() if count > 1}

    def of(self, person: bytes) -> str:
        """Also for somebody whom the roster does not know."""
        known = self._people.get(person)
        if known is None:
            return f"unknown#{person[:4].hex()}"
        return known.label if name_key(known.name) in self._shared else known.name


def recipients(home: Home, who: str, now_ms: int) -> tuple[list[Person], bool]:
    """Whom `who` means but ourselves, and whether it named one person. Raises UnknownName, Usage, TooLarge."""
    found = home.roster.resolve(who, home.believed_s(now_ms))
    own = home.identity.person
    named = not _is_wide(who)
    if named and found[0].person == own:
        if all(device == home.identity.device for device in found[0].devices):
            raise Usage("That is you, and you have no other device that could read it. Name somebody else.")
        return found, True
    others = [person for person in found if person.person != own]
    if not others:
        raise Usage(
            f"{shown(who.strip())} is nobody but you as far as this device knows. `beepmesh who` lists everybody."
        )
    if len(others) > RECIPIENTS_MAX:
        raise TooLarge(
            f"{shown(who.strip())} is {len(others)} people, and one message goes to {RECIPIENTS_MAX} at most."
        )
    return others, named


def _is_wide(who: str) -> bool:
    """Whether it is a word for several people, as `trust.people.resolve` reads it."""
    key = name_key(who)
    return key in ("everyone", "hq") or key.startswith("dept:")


def one_person(home: Home, who: str) -> Person:
    """A person to filter by: also one who was revoked, for the old messages are still here. Raises UnknownName."""
    wanted = name_key(who)
    every = home.roster.people()
    for candidates in (
        [person for person in every if name_key(person.label) == wanted],
        [person for person in every if name_key(person.name) == wanted],
    ):
        if len(candidates) == 1:
            return candidates[0]
    found = home.roster.resolve(who, 0)
    if len(found) > 1:
        raise UnknownName(f"{shown(who.strip())} is several people. Name one of them.")
    return found[0]
