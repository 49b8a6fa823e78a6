"""The outside of a bundle: a salt, and chunks of one size, each sealed. Whoever has no key sees a size, nothing else.

    file  = magic 8 "beepmesh" | version 1 (1) | salt 32 | zeros 23 | chunk*                 64 bytes, then 65,536 each
    chunk = AEAD(key, nonce, first 4 | data 65,516, ad = the 64 bytes)
    nonce = zeros 3 | number of the chunk 8 | 1 in the last chunk, else 0

Laws
1. A key is used for one file: the salt goes into it. So a chunk opens at its own place of its own file only.
2. The last chunk says that it is the last: a file that was cut is known to be cut, and all before the cut is good.
3. The number of chunks is rounded as Padme rounds sizes: at most an eighth more, and few different ones.
4. `first` says where in the data the first record begins (its size where none does): what follows a damaged chunk is
   read all the same.
"""

from __future__ import annotations

from typing import Final

from beepmesh.crypto.primitives import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Aead, CryptoFailure
from beepmesh.errors import Refused

MAGIC: Final = b"beepmesh"
VERSION: Final = 1
SALT_BYTES: Final = 32
HEADER_BYTES: Final = 64
CHUNK_BYTES: Final = 65_536
FIRST_BYTES: Final = 4
DATA_BYTES: Final = CHUNK_BYTES - TAG_BYTES - FIRST_BYTES
CHUNKS_MAX: Final = 256
"""A file has 16 MiB at most: what an interruption, or a bad sector in the head, can cost."""
FILE_BYTES_MAX: Final = HEADER_BYTES + CHUNKS_MAX * CHUNK_BYTES


def header_of(salt: bytes) -> bytes:
    """The first bytes of a file."""
    assert len(salt) == SALT_BYTES
    return (MAGIC + bytes((VERSION,)) + salt).ljust(HEADER_BYTES, b"\0")


def salt_of(header: bytes) -> bytes:
    """Raises Refused: "bundle-foreign" for a file that is no bundle, "bundle-version" for one of a later form."""
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise Refused("bundle-foreign")
    if header[len(MAGIC)] != VERSION:
        raise Refused("bundle-version")
    salt = header[len(MAGIC) + 1 :][:SALT_BYTES]
    if header != header_of(salt):
        raise Refused("bundle-foreign")
    return salt


def padded_chunks(count: int) -> int:
    """So many chunks a file has whose stream takes `count`: Padme, in chunks."""
    if count < 2:
        return 1
    exponent = count.bit_length() - 1
    step = 1 << max(0, exponent - exponent.bit_length())
    return -(-count // step) * step


def chunks_within(count: int) -> int:
    """The largest number of chunks that is one of `padded_chunks` and no more than `count`; 0 for none."""
    while count > 0 and padded_chunks(count) != count:
        count -= 1
    return count


class Chunks:
    """Seals or opens the chunks of one file under one key."""

    def __init__(self, key: bytes, header: bytes) -> None:
        assert len(key) == KEY_BYTES
        assert len(header) == HEADER_BYTES
        self._aead = Aead(key)
        self._header = header

    def seal(self, number: int, data: bytes, *, first: int, last: bool) -> bytes:
        """One chunk; data that is shorter is filled up with zeros."""
        assert len(data) <= DATA_BYTES
        assert 0 <= first <= DATA_BYTES
        plain = first.to_bytes(FIRST_BYTES) + data.ljust(DATA_BYTES, b"\0")
        return self._aead.seal(_nonce(number, last), plain, self._header)

    def open(self, number: int, chunk: bytes, *, last: bool) -> tuple[int, bytes]:
        """(first, data). Raises CryptoFailure."""
        if len(chunk) != CHUNK_BYTES:
            raise CryptoFailure
        plain = self._aead.open(_nonce(number, last), chunk, self._header)
        first = int.from_bytes(plain[:FIRST_BYTES])
        if first > DATA_BYTES:
            raise CryptoFailure
        return first, plain[FIRST_BYTES:]


def _nonce(number: int, last: bool) -> bytes:
    return bytes(NONCE_BYTES - 9) + number.to_bytes(8) + bytes((last,))
