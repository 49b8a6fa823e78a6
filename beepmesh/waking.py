"""Where a running node hears that a command wrote something on its home: a datagram socket in the home's folder.

It only saves waiting. Where it cannot be made (no such sockets, a path too long for one) the node looks by itself, once
in a while. `Home.wake` is who calls.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def wake_socket(path: Path) -> Iterator[socket.socket | None]:
    """The socket, which does not block; None where the system or the path's length forbids it."""
    try:
        wake = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except (OSError, AttributeError):
        yield None
        return
    with wake:
        wake.setblocking(False)
        try:
            path.unlink(missing_ok=True)
            wake.bind(str(path))
        except OSError:
            yield None
            return
        try:
            yield wake
        finally:
            path.unlink(missing_ok=True)


def drain(wake: socket.socket) -> None:
    """Forget all calls that have come: one look answers them all."""
    with suppress(BlockingIOError):
        while wake.recv(16):
            pass
