"""The one secret file of a device: `keystore.cbor`, opened by a passphrase or by nothing.

    file   = CBOR [1, [slot, ...], sealed]                     at most FILE_BYTES_MAX
    slot   = [0, master 32]                                    plain
           | [1, memory bytes, passes, salt 16, wrapped 48]    passphrase
    wrapped = ChaCha20-Poly1305(argon2id(passphrase, salt), nonce 0, master, ad = CBOR [label, memory, passes, salt])
    sealed = XChaCha20-Poly1305(HKDF(master, "beepmesh/keystore/1"), random nonce, the caller's bytes)

Each salt makes its own key, which seals one thing once: that is why its nonce may be zero.

Laws
1. At no moment is there no valid file: a new one is written beside it, made durable, and renamed over it.
2. The file is readable by its owner alone (0600); secrets are in no `repr` and in no error.
3. What a file asks of argon2id is bounded before it is tried, since whoever can put a file here would choose it.
4. `destroy` overwrites the slots first. Without them the rest is noise, also in copies of the rest that a disk keeps.

A plain slot protects against nothing but a look at the sealed part alone: who copies the whole file has the secrets.
A passphrase is NFKC-normalised UTF-8, so that two keyboards that show the same letters make the same bytes.

One writer at a time: the caller holds the home's lock. Every call blocks on the disk or for argon2id (64 MiB, 3 passes:
0.14 s of CPU where it was measured), so an event loop calls it from a worker thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from beepmesh.crypto.primitives import (
    ARGON2ID_MEMORY_BYTES_MIN,
    KEY_BYTES,
    SALT_BYTES,
    TAG_BYTES,
    CryptoFailure,
    Entropy,
    aead_open,
    aead_seal,
    argon2id,
    hkdf_sha256,
    kdf,
    sealed_column_open,
    sealed_column_seal,
)
from beepmesh.errors import HomeProblem, Locked, Usage
from sync.cbor import CborError, decode, encode

VERSION = 1
FILE_BYTES_MAX = 1_048_576  # A device's keys are some kilobytes; this is where a wrong file is told from a right one.
SLOT_COUNT_MAX = 4  # Each is one argon2id run for whoever opens with a wrong passphrase.
MEMORY_BYTES = 67_108_864
PASSES = 3
MEMORY_BYTES_MAX = 1_073_741_824
WORK_BYTES_MAX = (
    4_294_967_296  # memory times passes of all slots together: about 15 s of CPU, the most a bad file costs
)
PASSPHRASE_BYTES_MAX = 1_024

_SEALED_LABEL = b"beepmesh/keystore/1"
_SLOT_LABEL = b"beepmesh/keystore-slot/1"
_SUBKEY_LABEL = b"beepmesh/keystore-subkey/1|"
_SLOT_NONCE = bytes(12)
_WRAPPED_BYTES = KEY_BYTES + TAG_BYTES
_FIRST_BLOCK_BYTES = 4_096  # holds every slot: four of 90 bytes at most


@dataclass(frozen=True, slots=True)
class _PlainSlot:
    master: bytes = field(repr=False)

    def open(self, _passphrase: bytes | None) -> bytes | None:
        return self.master

    def items(self) -> list[object]:
        return [0, self.master]


@dataclass(frozen=True, slots=True)
class _PassphraseSlot:
    memory_bytes: int
    passes: int
    salt: bytes
    wrapped: bytes = field(repr=False)

    def open(self, passphrase: bytes | None) -> bytes | None:
        """The master key, or None where this is not the passphrase."""
        if passphrase is None:
            return None
        key = _stretched(passphrase, self.salt, self.memory_bytes, self.passes)
        try:
            return aead_open(key, _SLOT_NONCE, self.wrapped, _slot_context(self.memory_bytes, self.passes, self.salt))
        except CryptoFailure:
            return None

    def items(self) -> list[object]:
        return [1, self.memory_bytes, self.passes, self.salt, self.wrapped]


_Slot = _PlainSlot | _PassphraseSlot


class Keystore:
    """An open keystore. Made by `create` or `open`."""

    def __init__(self, path: Path, master: bytes, slots: list[_Slot], secrets: bytes, entropy: Entropy) -> None:
        self.path = path
        self._master = master
        self._slots = slots
        self._secrets = secrets
        self._entropy = entropy

    @classmethod
    def create(
        cls,
        path: Path,
        secrets: bytes,
        *,
        passphrase: str | None,
        entropy: Entropy = os.urandom,
        memory_bytes: int = MEMORY_BYTES,
        passes: int = PASSES,
    ) -> Keystore:
        """A new file with a new master key. Raises HomeProblem where one stands already, Usage for a bad passphrase."""
        if os.path.lexists(path):
            raise HomeProblem(f"There is a keystore at {path} already. Choose another home, or wipe this one first.")
        master = entropy(KEY_BYTES)
        slot = _new_slot(master, passphrase, memory_bytes, passes, entropy)
        keystore = cls(path, master, [slot], secrets, entropy)
        keystore._write()
        return keystore

    @classmethod
    def open(cls, path: Path, passphrase: str | None, *, entropy: Entropy = os.urandom) -> Keystore:
        """The keystore at path. Raises Locked for a missing or wrong passphrase, HomeProblem for no whole file."""
        slots, sealed = _parsed(path)
        stretched = _passphrase_bytes(passphrase) if passphrase else None
        master = next((found for slot in slots if (found := slot.open(stretched)) is not None), None)
        if master is None and stretched is None:
            raise Locked("This home is locked. Give its passphrase.")
        if master is None:
            raise Locked("That is not the passphrase of this home. Check the keyboard layout and try again.")
        try:
            secrets = sealed_column_open(_sealed_key(master), sealed, _SEALED_LABEL)
        except CryptoFailure:
            raise _damaged(path) from None
        return cls(path, master, slots, secrets, entropy)

    @staticmethod
    def needs_passphrase(path: Path) -> bool:
        """Whether open needs one. Raises HomeProblem for a missing or damaged file."""
        return all(isinstance(slot, _PassphraseSlot) for slot in _parsed(path)[0])

    @staticmethod
    def destroy(path: Path) -> None:
        """Make the secrets unreadable, first the slots, and remove the file. Where none is, nothing is to do."""
        try:
            for file in (path, _beside(path)):
                if os.path.lexists(file):
                    _overwrite(file)
                    file.unlink()
            make_names_durable(path.parent)
        except OSError as error:
            raise HomeProblem(
                f"The keystore {path} could not be destroyed ({_why(error)}). Destroy the disk."
            ) from error

    @property
    def secrets(self) -> bytes:
        return self._secrets

    def save(self, secrets: bytes) -> None:
        """Replace the secrets, durably. Raises HomeProblem where the disk refuses.

        Then the old ones stand, here and on the disk; on the disk not if all but the very last step went well.
        """
        before, self._secrets = self._secrets, secrets
        try:
            self._write()
        except HomeProblem:
            self._secrets = before
            raise

    def subkey(self, label: bytes) -> bytes:
        """32 bytes for one purpose, the same as long as this keystore lives, whatever its passphrase."""
        return kdf(self._master, _SUBKEY_LABEL + label)

    def add_passphrase(self, passphrase: str, *, memory_bytes: int = MEMORY_BYTES, passes: int = PASSES) -> None:
        """One more passphrase that opens it. A plain slot goes: beside it a passphrase would protect nothing."""
        locked: list[_Slot] = [slot for slot in self._slots if isinstance(slot, _PassphraseSlot)]
        if len(locked) >= SLOT_COUNT_MAX:
            raise Usage(f"A home has at most {SLOT_COUNT_MAX} passphrases. Change one instead.")
        self._replace_slots([*locked, _new_slot(self._master, passphrase, memory_bytes, passes, self._entropy)])

    def change_passphrase(
        self, passphrase: str | None, *, memory_bytes: int = MEMORY_BYTES, passes: int = PASSES
    ) -> None:
        """From now on this passphrase opens it and no other does; None: anybody who has the file."""
        self._replace_slots([_new_slot(self._master, passphrase, memory_bytes, passes, self._entropy)])

    def __repr__(self) -> str:
        return f"Keystore({str(self.path)!r}, {len(self._slots)} slots)"

    def _replace_slots(self, slots: list[_Slot]) -> None:
        before, self._slots = self._slots, slots
        try:
            self._write()
        except HomeProblem:
            self._slots = before
            raise

    def _write(self) -> None:
        sealed = sealed_column_seal(_sealed_key(self._master), self._secrets, _SEALED_LABEL, self._entropy)
        data = encode([VERSION, [slot.items() for slot in self._slots], sealed])
        assert len(data) <= FILE_BYTES_MAX
        _replace(self.path, data)


def _new_slot(master: bytes, passphrase: str | None, memory_bytes: int, passes: int, entropy: Entropy) -> _Slot:
    if passphrase is None:
        return _PlainSlot(master)
    if not passphrase:
        raise Usage("A passphrase has at least one letter. To have none, say so.")
    assert _affordable(memory_bytes, passes)
    salt = entropy(SALT_BYTES)
    key = _stretched(_passphrase_bytes(passphrase), salt, memory_bytes, passes)
    wrapped = aead_seal(key, _SLOT_NONCE, master, _slot_context(memory_bytes, passes, salt))
    return _PassphraseSlot(memory_bytes, passes, salt, wrapped)


def _passphrase_bytes(passphrase: str) -> bytes:
    # surrogatepass: a terminal that is not UTF-8 hands over lone surrogates, and the same ones every time.
    data = unicodedata.normalize("NFKC", passphrase).encode("utf-8", "surrogatepass")
    if len(data) > PASSPHRASE_BYTES_MAX:
        raise Usage(f"A passphrase has at most {PASSPHRASE_BYTES_MAX} bytes.")
    return data


def _stretched(passphrase: bytes, salt: bytes, memory_bytes: int, passes: int) -> bytes:
    try:
        return argon2id(passphrase, salt, memory_bytes=memory_bytes, passes=passes)
    except MemoryError:
        raise HomeProblem(
            f"Opening this home needs {memory_bytes >> 20} MiB of free memory. Close something and try again."
        ) from None


def _slot_context(memory_bytes: int, passes: int, salt: bytes) -> bytes:
    return encode([_SLOT_LABEL, memory_bytes, passes, salt])


def _sealed_key(master: bytes) -> bytes:
    return hkdf_sha256(master, b"", _SEALED_LABEL, KEY_BYTES)


def _parsed(path: Path) -> tuple[list[_Slot], bytes]:
    """The slots and the sealed part of the file. Raises HomeProblem."""
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise HomeProblem(
            f"There is no keystore at {path}. Make an organisation or join one, or name its home."
        ) from None
    except OSError as error:
        raise HomeProblem(f"The keystore {path} cannot be read ({_why(error)}).") from error
    try:
        match decode(data, bytes_max=FILE_BYTES_MAX):
            case [1, [_, *_] as items, bytes(sealed)] if len(items) <= SLOT_COUNT_MAX:
                slots = [_slot(item) for item in items]
            case [int(version), *_] if version > VERSION:
                raise HomeProblem(f"The keystore {path} was written by a newer beepmesh. Update this one.")
            case _:
                raise CborError("not a keystore")
    except CborError:
        raise _damaged(path) from None
    if sum(slot.memory_bytes * slot.passes for slot in slots if isinstance(slot, _PassphraseSlot)) > WORK_BYTES_MAX:
        raise _damaged(path)
    return slots, sealed


def _slot(item: object) -> _Slot:
    """Raises CborError."""
    match item:
        case [0, bytes(master)] if len(master) == KEY_BYTES:
            return _PlainSlot(master)
        case [1, int(memory_bytes), int(passes), bytes(salt), bytes(wrapped)] if (
            len(salt) == SALT_BYTES and len(wrapped) == _WRAPPED_BYTES and _affordable(memory_bytes, passes)
        ):
            return _PassphraseSlot(memory_bytes, passes, salt, wrapped)
        case _:
            raise CborError("not a slot")


def _affordable(memory_bytes: int, passes: int) -> bool:
    return (
        ARGON2ID_MEMORY_BYTES_MIN <= memory_bytes <= MEMORY_BYTES_MAX
        and passes >= 1
        and memory_bytes * passes <= WORK_BYTES_MAX
    )


def _damaged(path: Path) -> HomeProblem:
    return HomeProblem(f"The keystore {path} is damaged. Put back a copy of it, or wipe this home and join again.")


def _why(error: OSError) -> str:
    return "the disk is full" if error.errno == errno.ENOSPC else error.strerror or type(error).__name__


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _replace(path: Path, data: bytes) -> None:
    """Put data at path, durably; before, there is the old file, and if this raises HomeProblem, still."""
    beside = _beside(path)
    try:
        # What a crash left there may be half a file or somebody's link; ours is made new.
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        make_names_durable(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise HomeProblem(
            f"The keystore {path} could not be written ({_why(error)}). Make room or mend the disk, and try again."
        ) from error


def _overwrite(file: Path) -> None:
    """Zeros over the slots, durably, then over the rest: one power cut between must not leave a slot."""
    size = min(file.stat().st_size, FILE_BYTES_MAX)
    with open(file, "r+b") as opened:
        for length in (min(size, _FIRST_BLOCK_BYTES), max(0, size - _FIRST_BLOCK_BYTES)):
            opened.write(bytes(length))
            opened.flush()
            os.fsync(opened.fileno())


def make_names_durable(folder: Path) -> None:
    """A rename or a removal is durable once its folder is. Windows has no such call and no such need."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
