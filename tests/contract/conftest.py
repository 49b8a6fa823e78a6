"""Every store under one name: a test that asks for `store` runs once for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from beepmesh.store.contract import Store
from beepmesh.store.memory import MemoryStore
from beepmesh.store.sqlite import open_store


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "sqlite":
        made = open_store(tmp_path, bytes(32))
    else:
        from beepmesh.store.hub_store import open_shared_store

        made = open_shared_store(request.getfixturevalue("database_url"), bytes(32), bytes(16))
    yield made
    made.close()
