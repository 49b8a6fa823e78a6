"""Locks between processes on one machine: a file that one of them holds, and that is free when it dies.

The file stays; who holds it is known to the system alone. So a crash leaves nothing to clean up.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE_S: Final = 0.1  # `holder` takes the lock for a moment when it looks: not to be mistaken for a running node.
_PAUSE_S: Final = 0.02
_NUMBER_BYTES_MAX: Final = 20
_LOCKED_AT: Final = 1_024  # Windows locks bytes, for reading too: not those that hold the number.


class Held(Exception):
    """Another process holds the lock. `holder` is its number, 0 if it left none."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"held by process {holder}")
        self.holder = holder


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold the lock, waiting for whoever has it. Raises OSError where the file cannot be made."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def at_once(path: Path) -> Iterator[None]:
    """Hold the lock and leave our process number in the file. Raises Held, or OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise Held(_number(descriptor))
            time.sleep(_PAUSE_S)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The number of the process that holds the lock, 0 if it left none; None if nobody does, or we cannot tell."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _taken(descriptor) else _number(descriptor)
    finally:
        os.close(descriptor)


def _number(descriptor: int) -> int:
    os.lseek(descriptor, 0, os.SEEK_SET)
    digits = os.read(descriptor, _NUMBER_BYTES_MAX)
    return int(digits) if digits.isdigit() else 0


def _taken(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_AT, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _wait(descriptor: int) -> None:
    if sys.platform == "win32":
        while not _taken(descriptor):
            time.sleep(_PAUSE_S)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
