"""Libraries that only drawing needs: asked for when they are used, and asked for in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ExtraMissing(Exception):
    """A library of the extra is not installed. The words say which one and how to get it."""


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Around the imports of one library. Raises ExtraMissing."""
    try:
        yield
    except ImportError as error:
        raise ExtraMissing(f"{purpose} needs {name}: pip install 'beepmesh[simulations]'") from error
