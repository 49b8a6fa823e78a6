"""gathering.py: what is gathered is written, whatever it is."""

from __future__ import annotations

from dataclasses import fields

import pytest

from beepmesh.gathering import Pending


def test_nothing_gathered_is_empty() -> None:
    assert Pending().empty


@pytest.mark.parametrize("name", [each.name for each in fields(Pending)])
def test_whatever_is_gathered_is_seen(name: str) -> None:
    pending = Pending()
    held: object = getattr(pending, name)
    if isinstance(held, dict):
        held["anything"] = 1
    elif isinstance(held, set):
        held.add("anything")
    else:
        assert isinstance(held, list)
        held.append("anything")
    assert not pending.empty
