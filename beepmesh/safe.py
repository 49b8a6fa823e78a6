"""Where the identity of a home lies, and who may change it when: a file that processes share, or one process's memory.

Law: what `save` was given is what every later `read` gives, in this process and in others, after any crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Final, Protocol

from beepmesh import locks
from beepmesh.crypto.keystore import Keystore
from beepmesh.errors import HomeProblem
from beepmesh.trust.identity import Identity

KEYSTORE_NAME: Final = "keystore.cbor"


class Safe(Protocol):
    """See above."""

    def read(self) -> Identity:
        """The newest; the same object until somebody changes it. Raises Locked where the passphrase was changed."""
        ...

    def changing(self) -> AbstractContextManager[None]:
        """Keep everybody else from changing it. Raises HomeProblem."""
        ...

    def save(self, identity: Identity) -> None:
        """Durably. Only inside `changing`. Raises HomeProblem, and then the old one stands."""
        ...


class KeystoreSafe:
    """In the keystore of a home's folder."""

    def __init__(self, home: Path, keystore: Keystore, passphrase: str | None) -> None:
        self._home = home
        self._keystore = keystore
        self._passphrase = passphrase
        self._stamp = _stamp(keystore.path)
        self._identity = Identity.decode(keystore.secrets)

    def read(self) -> Identity:
        stamp = _stamp(self._keystore.path)
        if stamp != self._stamp:
            self._keystore = Keystore.open(self._keystore.path, self._passphrase)
            self._stamp = stamp
            self._identity = Identity.decode(self._keystore.secrets)
        return self._identity

    @contextmanager
    def changing(self) -> Iterator[None]:
        with ExitStack() as stack:
            with told(self._home):
                stack.enter_context(locks.waiting(self._home / "keystore.lock"))
            yield

    def save(self, identity: Identity) -> None:
        self._keystore.save(identity.encode())
        self._stamp = _stamp(self._keystore.path)
        self._identity = identity


class MemorySafe:
    """In memory: of a home that ends with its process."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def read(self) -> Identity:
        return self._identity

    def changing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def save(self, identity: Identity) -> None:
        self._identity = identity


@contextmanager
def told(home: Path) -> Iterator[None]:
    """Turns the system's errors about a home's files into words."""
    try:
        yield
    except OSError as error:
        raise HomeProblem(
            f"The home {home} cannot be used ({error.strerror}). Make it writable, or name another with --home."
        ) from error


def _stamp(keystore: Path) -> tuple[int, int, int]:
    """Changes whenever the file is replaced."""
    with told(keystore.parent):
        found = keystore.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
