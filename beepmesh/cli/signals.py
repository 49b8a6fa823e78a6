"""A signal that ends what waits for ever, as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def raising_interrupt(number: signal.Signals) -> Iterator[None]:
    """Inside the block the signal raises KeyboardInterrupt; elsewhere than in the main thread it stays as it was."""
    try:
        before = signal.signal(number, _interrupt)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(number, before)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
