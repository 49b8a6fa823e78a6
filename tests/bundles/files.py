"""Bundle files without a folder: made of runs, and read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from beepmesh.bundles.chunks import CHUNK_BYTES, CHUNKS_MAX, HEADER_BYTES
from beepmesh.bundles.records import Run, encode_run
from beepmesh.bundles.sealing import Keys, Opening, Writing
from beepmesh.crypto.primitives import PrekeySecret
from beepmesh.errors import Refused
from sync.logs import LogId
from tests.trust.village import Entropy

SECRET: Final = sha256(b"a bundle secret").digest()
KEYS: Final = Keys((SECRET,), ())


def run(number: int, *sizes: int) -> Run:
    """One of its own kind, with entries of these sizes."""
    seed = number.to_bytes(4)
    packed = tuple(sha256(seed + bytes((at,))).digest()[:1] * size for at, size in enumerate(sizes))
    return Run(LogId(sha256(seed).digest()[:16], 1), 1 + number, sha256(b"prev" + seed).digest(), packed)


def written(
    runs: Sequence[Run], prekeys: Sequence[PrekeySecret] = (), *, seed: str = "file", secret: bytes = SECRET
) -> bytes:
    """The file of these runs, all of which fit."""
    writing = Writing(CHUNKS_MAX, len(prekeys))
    for each in runs:
        assert writing.add(encode_run(each), len(each.packed))
    return b"".join(writing.sealed(secret, [prekey.public_bytes for prekey in prekeys], Entropy(seed)))


def read(data: bytes, keys: Keys = KEYS) -> tuple[list[Run], Counter[str]]:
    """The runs that can be had from it, and what was wrong."""
    try:
        opening = Opening(data[:HEADER_BYTES], keys)
    except Refused as refused:
        return [], Counter((refused.reason,))
    runs: list[Run] = []
    try:
        for at in range(HEADER_BYTES, len(data) - CHUNK_BYTES + 1, CHUNK_BYTES):
            runs += opening.chunk(data[at : at + CHUNK_BYTES])
        opening.end()
    except Refused as refused:
        opening.counts[refused.reason] += 1
    return runs, opening.counts
