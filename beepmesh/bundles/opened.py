"""What opens bundles on this device, and the pieces of a file that it opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from beepmesh.bundles.chunks import CHUNK_BYTES, FILE_BYTES_MAX, HEADER_BYTES
from beepmesh.bundles.sealing import Keys
from beepmesh.crypto.primitives import kdf
from beepmesh.trust.identity import Identity

_SECRET: Final = b"beepmesh/bundle-writer/1"


def keys_of(identity: Identity) -> Keys:
    """The organisation's secrets and this device's prekeys."""
    return Keys(identity.bundle_secrets, tuple(held.secret for held in reversed(identity.prekeys.held)))


def secret_of(identity: Identity) -> bytes:
    """32 B by which this device knows the names of its own files."""
    return kdf(identity.device_seed, _SECRET)


def pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The header and the whole chunks of an open file of that size, at most FILE_BYTES_MAX of it."""
    yield file.read(HEADER_BYTES)
    for _ in range((min(size, FILE_BYTES_MAX) - HEADER_BYTES) // CHUNK_BYTES):
        chunk = file.read(CHUNK_BYTES)
        if len(chunk) < CHUNK_BYTES:
            return
        yield chunk
