"""The folder on a stick: which files in it are bundles, reading them, and adding one that is whole or not there.

    bundle-<32 hex digits>.beepmesh        a bundle       .bundle-<32 hex digits>.part        one that was not finished

Laws
1. Nothing here is believed. Only names of that form are looked at, so no name leads out of the folder; only regular
   files are opened, never a link, a pipe or a device; FILES_MAX of them, and of each no more than a bundle may have.
2. A bundle appears whole: it is written under another name, made durable, and renamed. Nobody changes it afterwards.
3. The name of a file tells nobody but its writer who wrote it: 8 random bytes, and 8 that its writer alone can make of
   them. So a device finds and removes what it left unfinished, and touches nobody else's.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from beepmesh.crypto.keystore import make_names_durable
from beepmesh.crypto.primitives import Entropy, kdf
from beepmesh.errors import BeepmeshError, Refused

FILES_MAX: Final = 16_384  # 256 GB of full files.
NAMES_MAX: Final = 262_144  # Looked at in one folder, whatever they are.
MARGIN_BYTES: Final = 131_072  # Left free beside a hundredth of the medium: for the folder's own growth.
_NAME: Final = re.compile(r"bundle-([0-9a-f]{32})\.beepmesh", re.ASCII)
_PART: Final = re.compile(r"\.bundle-([0-9a-f]{32})\.part", re.ASCII)
_LABEL: Final = b"beepmesh/bundle-name/1"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class MediumProblem(BeepmeshError):
    """The folder for bundles cannot be used. `reason`: "medium-full", "medium-missing" or "medium-failed"."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Medium:
    """One folder. Every method may raise MediumProblem."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        """`secret`: the device's own, by which it knows its files."""
        self.folder = folder
        self._secret = secret

    def names(self) -> list[str]:
        """The bundles here, in the order of their names. Of more than FILES_MAX the others are not to be read."""
        return self._matching(_NAME)

    @contextmanager
    def opened(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """(the file, its size). Raises Refused: "bundle-no-file" for anything but a regular file, "bundle-unreadable"
        where the medium fails."""
        assert _NAME.fullmatch(name)
        path = self.folder / name
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):  # Before it is opened, for to open a device may do something.
                raise Refused("bundle-no-file")
            descriptor = os.open(path, flags)
        except OSError as error:
            raise Refused(
                "bundle-no-file" if error.errno in (errno.ELOOP, errno.ENXIO) else "bundle-unreadable"
            ) from None
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            os.close(descriptor)
            raise Refused("bundle-no-file")
        with open(descriptor, "rb") as file:
            try:
                yield file, about.st_size
            except OSError:
                raise Refused("bundle-unreadable") from None

    def room(self) -> int:
        """Bytes that may be written here, with a margin left."""
        try:
            usage = shutil.disk_usage(self.folder)
        except OSError as error:
            raise self._failed(error) from None
        return max(0, usage.free - usage.total // 100 - MARGIN_BYTES)

    def add(self, pieces: Iterable[bytes], entropy: Entropy) -> int:
        """A new bundle of these bytes, durable when this returns; how many bytes. Where it raises there is none."""
        drawn = entropy(8)
        digits = (drawn + self._mark(drawn)).hex()
        part, whole = self.folder / f".bundle-{digits}.part", self.folder / f"bundle-{digits}.beepmesh"
        size = 0
        try:
            with open(part, "xb") as file:
                for piece in pieces:
                    size += len(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.rename(part, whole)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise self._failed(error) from None
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        with suppress(OSError):  # Some file systems cannot; the file itself is safe.
            make_names_durable(self.folder)
        return size

    def clear_unfinished(self) -> int:
        """Remove what this device left when it was killed; how many files."""
        removed = 0
        for name in self._matching(_PART):
            digits = bytes.fromhex(name[len(".bundle-") : -len(".part")])
            if digits[8:] == self._mark(digits[:8]):
                with suppress(OSError):
                    (self.folder / name).unlink()
                    removed += 1
        return removed

    def make(self) -> None:
        """The folder, where it is not there yet; what is above it must be: a stick that is not in is not made up."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise self._failed(error) from None

    def _mark(self, drawn: bytes) -> bytes:
        return kdf(self._secret, _LABEL + drawn)[:8]

    def _matching(self, pattern: re.Pattern[str]) -> list[str]:
        try:
            with os.scandir(self.folder) as found:
                return sorted(entry.name for entry in islice(found, NAMES_MAX) if pattern.fullmatch(entry.name))
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> MediumProblem:
        if error.errno in _FULL:
            return MediumProblem("medium-full", f"{self.folder} is full.")
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return MediumProblem(
                "medium-missing", f"There is no folder {self.folder}. Is the stick in, and is this where it is?"
            )
        why = error.strerror or type(error).__name__
        return MediumProblem(
            "medium-failed", f"{self.folder} cannot be used ({why}). Try another stick, or another port."
        )
