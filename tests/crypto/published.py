"""Vectors that others published, read from `tests/vectors/crypto` (origins and licences: the README above that folder).

A `Case` is one JSON object whose fields are asked for by the type they must have; the wrong type is a broken file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "vectors" / "crypto"


@dataclass(frozen=True, slots=True)
class Case:
    fields: dict[str, object]

    def has(self, name: str) -> bool:
        return name in self.fields

    def text(self, name: str) -> str:
        value = self.fields[name]
        assert isinstance(value, str)
        return value

    def octets(self, name: str) -> bytes:
        return bytes.fromhex(self.text(name))

    def number(self, name: str) -> int:
        value = self.fields[name]
        assert isinstance(value, int)
        return value

    def texts(self, name: str) -> list[str]:
        value = self.fields.get(name, [])
        assert isinstance(value, list)
        return [item for item in value if isinstance(item, str)]

    def case(self, name: str) -> Case:
        value = self.fields[name]
        assert isinstance(value, dict)
        return Case(value)

    def cases(self, name: str) -> list[Case]:
        return _cases(self.fields[name])


def read(name: str) -> object:
    value: object = json.loads((FOLDER / name).read_text("utf-8"))
    return value


def record(name: str) -> Case:
    """A file that is one JSON object."""
    value = read(name)
    assert isinstance(value, dict)
    return Case(value)


def listed(name: str) -> list[Case]:
    """A file that is one JSON array of objects."""
    return _cases(read(name))


def wycheproof(name: str) -> Iterator[tuple[Case, Case]]:
    """Each test of a Wycheproof file with its group. Asserts that there are as many as the file says."""
    file = record(name)
    pairs = [(group, case) for group in file.cases("testGroups") for case in group.cases("tests")]
    assert len(pairs) == file.number("numberOfTests")
    yield from pairs


def _cases(value: object) -> list[Case]:
    assert isinstance(value, list)
    return [Case(item) for item in value if isinstance(item, dict)]
