"""Every store under one name: a test that asks for `store` runs once for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from beepmesh.store.contract import Store
from beepmesh.store.memory import MemoryStore
from beepmesh.store.sqlite import open_store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else open_store(tmp_path, bytes(32))
    yield made
    made.close()
