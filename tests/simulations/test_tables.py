"""Strict tables: what is not understood is refused, with its place and the nearest word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import pytest

from beepmesh.errors import Usage
from simulations.tables import Between, OneOf, read


@dataclass(frozen=True)
class Boat:
    speed: Annotated[float, Between(0.1, 20)]
    name: Annotated[str, OneOf(("Indus", "Swat"))] = "Swat"


@dataclass(frozen=True)
class Fleet:
    boats: tuple[Boat, ...]
    crews: Annotated[int, Between(0)] = 0
    moored: bool = False
    limit: Annotated[float, Between(1)] | None = None


def test_a_table_becomes_its_dataclass_whole_numbers_where_numbers_are_meant() -> None:
    table = {"boats": [{"speed": 2, "name": "Indus"}, {"speed": 0.5}], "crews": 3, "moored": True, "limit": 4}
    assert read(Fleet, table, "fleet") == Fleet((Boat(2.0, "Indus"), Boat(0.5)), 3, True, 4.0)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"boat": []}, "fleet has no 'boat'. Did you mean boats?"),
        ({}, "fleet lacks boats."),
        ({"boats": {}}, "fleet: boats is a list."),
        ({"boats": "x"}, "fleet: boats is a list."),
        ({"boats": [1]}, "fleet: boats[0] is a table of its own."),
        ({"boats": [{"sped": 1}]}, "fleet: boats[0] has no 'sped'. Did you mean speed?"),
        ({"boats": [{"speed": 21}]}, "fleet: boats[0]: speed is 21: it must be from 0.1 to 20."),
        ({"boats": [{"speed": float("nan")}]}, "fleet: boats[0]: speed is nan: it must be from 0.1 to 20."),
        ({"boats": [{"speed": 1, "name": "Indos"}]}, "fleet: boats[0]: name is 'Indos'. Did you mean Indus?"),
        ({"boats": [], "crews": -1}, "fleet: crews is -1: it must be at least 0."),
        ({"boats": [], "crews": 1.5}, "fleet: crews is a whole number, not '1.5'."),
        ({"boats": [], "crews": True}, "fleet: crews is a whole number, not 'True'."),
        ({"boats": [], "moored": 1}, "fleet: moored is true or false, not '1'."),
        ({"boats": [], "limit": 0.5}, "fleet: limit is 0.5: it must be at least 1."),
    ],
)
def test_what_is_not_understood_is_refused_where_it_stands(table: Mapping[str, object], words: str) -> None:
    with pytest.raises(Usage) as refused:
        read(Fleet, table, "fleet")
    assert str(refused.value) == words
