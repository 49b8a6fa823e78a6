"""Two people who know each other, each with a home that no other test uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beepmesh.home import Home
from tests.cli.typing_in import Person
from tests.homes import founded, joined, meet

AYESHA, BILAL = "Ayesha Khan", "Bilal Ahmed"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(autouse=True)
def _no_passphrase_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEEPMESH_PASSPHRASE_FILE", raising=False)


@pytest.fixture
def ayesha(tmp_path: Path) -> Person:
    """She founded the organisation."""
    founded(tmp_path / "ayesha", AYESHA, now_ms=now_ms()).close()
    return Person(tmp_path / "ayesha")


@pytest.fixture
def bilal(tmp_path: Path, ayesha: Person) -> Person:
    """She let him in, and they have met."""
    with Home.open(ayesha.home) as founder:
        joined(tmp_path / "bilal", founder, BILAL, department="flood/swat", now_ms=now_ms()).close()
    together(ayesha, Person(tmp_path / "bilal"))
    return Person(tmp_path / "bilal")


@pytest.fixture
def meeting(ayesha: Person, bilal: Person) -> Callable[[], None]:
    """They meet again, and give each other everything."""
    return lambda: together(ayesha, bilal)


def together(*people: Person) -> None:
    homes = [Home.open(person.home) for person in people]
    try:
        meet(*homes, now_ms=now_ms())
    finally:
        for home in homes:
            home.close()
