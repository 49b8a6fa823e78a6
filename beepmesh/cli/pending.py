"""The keys of a device that has asked to be let in and has no answer yet: `joining.cbor` in its future home.

They are kept from the first try on, also over the air: an answer can be lost after the registrar has written it down,
and only the device that asked may ask again. The file is a keystore like the home's own, with the same passphrase.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beepmesh.crypto.keystore import Keystore
from beepmesh.errors import HomeProblem, Locked, Refused
from beepmesh.trust.enrol import JoinKeys

FILE_NAME: Final = "joining.cbor"


@dataclass(frozen=True, slots=True, repr=False)
class PendingJoin:
    """The keys of a join that was begun in that home."""

    path: Path
    keys: JoinKeys

    @staticmethod
    def exists(home: Path) -> bool:
        return (home / FILE_NAME).exists()

    @classmethod
    def begin(cls, home: Path, passphrase: str | None) -> PendingJoin:
        """Those of an earlier try, or new ones, durable. Raises HomeProblem, Usage."""
        path = home / FILE_NAME
        if path.exists():
            try:
                return cls.open(home, passphrase)
            except Locked:
                raise HomeProblem(
                    f"A join was begun in {home} with another passphrase. Give that one, or remove {path} and"
                    " begin anew."
                ) from None
        keys = JoinKeys.generate(os.urandom)
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeProblem(
                f"The home {home} cannot be made ({error.strerror}). Make its place writable, or name another with"
                " --home."
            ) from error
        Keystore.create(path, keys.encode(), passphrase=passphrase)
        return cls(path, keys)

    @classmethod
    def open(cls, home: Path, passphrase: str | None) -> PendingJoin:
        """Those of an earlier try. Raises HomeProblem where there are none, and Locked."""
        path = home / FILE_NAME
        if not path.exists():
            raise HomeProblem(
                f"No request was written from {home}. Write one first with `beepmesh join CODE --as PERSON --request"
                " FILE`, in the same home."
            )
        try:
            return cls(path, JoinKeys.decode(Keystore.open(path, passphrase).secrets))
        except Refused:
            raise HomeProblem(f"{path} holds no keys. Remove it and begin anew.") from None

    def end(self) -> None:
        """The device is in: its keys are in the home's own keystore now."""
        Keystore.destroy(self.path)
