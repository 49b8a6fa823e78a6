"""A home whose store is a PostgreSQL database: how it moves in, and what is different from then on.

    store.url        where the store is, for every command on this home; the file of before is kept as store.moved.db
    keystore.cbor    opens the store as before; what changes of the identity later is in the database, sealed

Copies of such a home, on any machines, are one device: their nodes may run at once. Each has its own lock, wake socket
and port; what must not be done twice at once they leave to one of them (`chores`), and an identity is replaced only by
whoever knows the newest.

Law: a home moves in whole. Until `store.url` is written the file is the store, and afterwards nobody opens it again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beepmesh import locks
from beepmesh.crypto.keystore import make_names_durable
from beepmesh.errors import HomeProblem
from beepmesh.safe import told
from beepmesh.store.contract import StoreProblem
from beepmesh.store.sqlite import FILE_NAME as STORE_NAME
from beepmesh.store.sqlite import open_store
from beepmesh.trust.identity import Identity
from sync.ranges import Ranges

if TYPE_CHECKING:
    from beepmesh.store.hub_store import SharedStore

URL_NAME: Final = "store.url"
MOVED_NAME: Final = "store.moved.db"
_IDENTITY_NAME: Final = "identity"
_URL_BYTES_MAX: Final = 4_096


class StoreSafe:
    """The identity of a home whose copies run at once: in the store they share, sealed as everything there."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self._encoded = b""
        self._identity = self.read()

    def read(self) -> Identity:
        encoded = self._store.get(_IDENTITY_NAME)
        if encoded is None:
            raise StoreProblem("damaged", self._store.address.shown, "the device's identity is missing")
        if encoded != self._encoded:
            self._encoded, self._identity = encoded, Identity.decode(encoded)
        return self._identity

    @contextmanager
    def changing(self) -> Iterator[None]:
        yield  # Nobody is kept out: who comes too late is told by `save`.

    def save(self, identity: Identity) -> None:
        """Raises StoreProblem("busy") where another process has changed it since it was read here."""
        encoded = identity.encode()
        if not self._store.replace(_IDENTITY_NAME, self._encoded, encoded):
            raise StoreProblem("busy", self._store.address.shown, "the identity was changed meanwhile")
        self._encoded, self._identity = encoded, identity


def is_shared(path: Path) -> bool:
    return (path / URL_NAME).exists()


def open_shared(path: Path, identity: Identity, column_key: bytes, url: str | None) -> SharedStore:
    """The store at `url`, into which the home moves now if it has not yet; None: where it has moved before.

    Raises HomeProblem, Usage.
    """
    try:
        from beepmesh.store.hub_store import open_shared_store
    except ModuleNotFoundError as error:
        raise HomeProblem(
            f"A store on PostgreSQL needs asyncpg ({error}). Install it: pipx inject beepmesh asyncpg, or"
            " pip install 'beepmesh[postgres]'."
        ) from None
    store = open_shared_store(_kept_url(path) if url is None else url, column_key, identity.device)
    try:
        if url is not None:
            _move_in(path, store, identity, column_key, url)
        return store
    except BaseException:
        store.close()
        raise


def _move_in(path: Path, store: SharedStore, identity: Identity, column_key: bytes, url: str) -> None:
    if not (path / STORE_NAME).exists():
        if store.owner() is None:
            raise HomeProblem(
                f"{store.address.shown} is empty, and this home has moved out of its file {STORE_NAME} before. Name"
                " the database that has its store."
            )
        _keep_url(path, url)
        return
    try:
        with told(path), locks.at_once(path / "node.lock"):
            with closing(open_store(path, column_key)) as file:
                if store.owner() is None:
                    store.move_in(file, identity.device, {_IDENTITY_NAME: identity.encode()})
                held = store.states()
                for log, state in file.states().items():
                    if state.settled.minus(held[log].settled if log in held else Ranges()):
                        raise HomeProblem(
                            f"This copy of the home holds what {store.address.shown} does not: it was used by itself"
                            " after the home had moved there. Make it anew from one that has moved."
                        )
            _keep_url(path, url)
            os.replace(path / STORE_NAME, path / MOVED_NAME)
            make_names_durable(path)
    except locks.Held:
        raise HomeProblem(f"A node runs on {path}. Stop it, so that its store can be moved.") from None


def _kept_url(path: Path) -> str:
    with told(path), (path / URL_NAME).open("rb") as file:
        return file.read(_URL_BYTES_MAX).decode().strip()


def _keep_url(path: Path, url: str) -> None:
    """It may hold a password: for its owner alone."""
    if is_shared(path) and _kept_url(path) == url:
        return
    making = path / f"{URL_NAME}.new"
    with told(path):
        making.unlink(missing_ok=True)
        descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(url + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(making, path / URL_NAME)
        make_names_durable(path)
