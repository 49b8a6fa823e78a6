"""One file of a bundle, written and read as bytes: records in, chunks out, and back.

    B   = KDF(link secret, "beepmesh/bundle/1")                        of the organisation; every member has it
    K1  = HKDF(B, salt, "beepmesh/bundle-file/1")                      32 B, of the chunks that any member may open
    K2  = HKDF(B | inner secret 32, salt, "beepmesh/bundle-inner/1")   of the chunks behind a head
    wrap = HPKE(a device's prekey, "beepmesh/bundle-wrap/1" | header 64, inner secret)

Where some devices are named, the first chunks hold a head, filled up with zeros, under K1; all others are under K2.
A head has a power of two of wraps, four at least; those that nobody is meant by are sealed to keys that nobody has.
Which wrap is whose is not said: a device tries each with each prekey it has, 0.1 ms a try.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from beepmesh.bundles.chunks import CHUNKS_MAX, DATA_BYTES, SALT_BYTES, Chunks, header_of, padded_chunks, salt_of
from beepmesh.bundles.records import (
    HEAD_OVERHEAD_BYTES,
    WRAP_BYTES,
    WRAPS_MAX,
    Reading,
    Run,
    audience_in,
    decode_run,
    encode_head,
    head_bytes,
    wraps_of,
)
from beepmesh.crypto.primitives import (
    KEY_BYTES,
    CryptoFailure,
    Entropy,
    PrekeySecret,
    hkdf_sha256,
    hpke_open,
    hpke_seal,
)
from beepmesh.errors import Refused

_OUTER: Final = b"beepmesh/bundle-file/1"
_INNER: Final = b"beepmesh/bundle-inner/1"
_WRAP: Final = b"beepmesh/bundle-wrap/1"
SECRET_BYTES: Final = 32
WRAPS_MIN: Final = 4
_SOMEBODY: Final = b"?"  # For named devices; which ones is said in a record that has not come yet.


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What opens bundles here."""

    bundle_secrets: tuple[bytes, ...]
    """The organisation's, newest first."""
    prekeys: tuple[PrekeySecret, ...]
    """This device's."""


def outer_key(bundle_secret: bytes, salt: bytes) -> bytes:
    """K1."""
    return hkdf_sha256(bundle_secret, salt, _OUTER, KEY_BYTES)


def inner_key(bundle_secret: bytes, inner: bytes, salt: bytes) -> bytes:
    """K2."""
    return hkdf_sha256(bundle_secret + inner, salt, _INNER, KEY_BYTES)


def wraps_for(named: int) -> int:
    """How many wraps a head has where so many devices are named."""
    return max(WRAPS_MIN, 1 << (named - 1).bit_length())


def head_chunks(named: int) -> int:
    """How many chunks that head takes; none where nobody is named."""
    return -(-(HEAD_OVERHEAD_BYTES + wraps_for(named) * WRAP_BYTES) // DATA_BYTES) if named else 0


class Writing:
    """One file in the making. Runs are added while they fit; `sealed` gives its bytes."""

    def __init__(self, chunks_max: int, named: int = 0) -> None:
        """`chunks_max`: of the whole file, at most CHUNKS_MAX; one of `padded_chunks` and more than the head takes.
        `named`: how many devices it is for, 0 for all."""
        assert head_chunks(named) < chunks_max <= CHUNKS_MAX
        assert named <= WRAPS_MAX
        self._head_chunks = head_chunks(named)
        self._room = (chunks_max - self._head_chunks) * DATA_BYTES
        self._stream = bytearray()
        self._begins: list[int] = []
        self._named = named
        self.entries = 0

    def add(self, record: bytes, entries: int) -> bool:
        """An encoded run with so many entries; False, and nothing changed, where there is no room for it."""
        if len(self._stream) + len(record) > self._room:
            return False
        self._begins.append(len(self._stream))
        self._stream += record
        self.entries += entries
        return True

    def sealed(self, bundle_secret: bytes, prekeys: Sequence[bytes], entropy: Entropy) -> Iterator[bytes]:
        """The header and the chunks. `prekeys`: the public halves of whom it is for, as many as were named."""
        assert len(prekeys) == self._named
        salt = entropy(SALT_BYTES)
        header = header_of(salt)
        yield header
        chunks = Chunks(outer_key(bundle_secret, salt), header)
        if prekeys:
            inner = entropy(SECRET_BYTES)
            head = _head(header, inner, prekeys, entropy)
            for number in range(self._head_chunks):
                data = head[number * DATA_BYTES : (number + 1) * DATA_BYTES]
                yield chunks.seal(number, data, first=DATA_BYTES if number else 0, last=False)
            chunks = Chunks(inner_key(bundle_secret, inner, salt), header)
        used = max(1, -(-len(self._stream) // DATA_BYTES))
        count = padded_chunks(self._head_chunks + used) - self._head_chunks
        begins = [*self._begins, len(self._stream)]
        for number in range(count):
            start = number * DATA_BYTES
            at = bisect_left(begins, start)
            first = min(DATA_BYTES, begins[at] - start) if at < len(begins) else 0
            yield chunks.seal(
                self._head_chunks + number,
                bytes(self._stream[start : start + DATA_BYTES]),
                first=first,
                last=number == count - 1,
            )


def _head(header: bytes, inner: bytes, prekeys: Sequence[bytes], entropy: Entropy) -> bytes:
    nobody = wraps_for(len(prekeys)) - len(prekeys)
    publics = [*prekeys, *(PrekeySecret.generate(entropy).public_bytes for _ in range(nobody))]
    # In the order of the ciphertexts, which are in no order of their own: the place of a wrap tells nothing.
    return encode_head(sorted(hpke_seal(public, _WRAP + header, inner) for public in publics))


class Opening:
    """One file being read, chunk by chunk. `counts` says what was wrong with it, in stable words."""

    def __init__(self, header: bytes, keys: Keys) -> None:
        """Raises Refused("bundle-foreign" or "bundle-version")."""
        self._salt = salt_of(header)
        self._header = header
        self._keys = keys
        self._outer = {secret: Chunks(outer_key(secret, self._salt), header) for secret in keys.bundle_secrets}
        self._inner: Chunks | None = None
        self._head: bytearray | None = None
        self._head_bytes = 0
        self._number = 0
        self._reading = Reading()
        self.counts: Counter[str] = Counter()
        self.opened = 0
        """How many chunks could be opened."""
        self.whole = False
        """The last chunk was seen."""
        self.audience = b""
        """32 B that stand for whom it is for; empty for every member."""

    def chunk(self, sealed: bytes) -> list[Run]:
        """What the next chunk completes. One that does not open is counted, and left out.

        Raises Refused, after which nothing more can be had from this file: "not-for-us" where it is for devices that
        are named and this is none of them, "bundle-damaged" or "bundle-malformed" for its head.
        """
        number, self._number = self._number, self._number + 1
        found = None if self.whole else self._open(number, sealed)
        if found is None:
            self.counts["bundle-damaged"] += 1
            self._reading.lose()
            return []
        self.opened += 1
        secret, first, data = found
        if number == 0 or self._head is not None:
            self._head_bytes = self._head_bytes or head_bytes(data)
            if self._head_bytes:
                self._take_head(secret, data)
                return []
        return self._runs(data, first)

    def end(self, *, cut: bool = False) -> None:
        """The file has no more chunks, or (`cut`) more than it may have: counts what was missed."""
        if not self.opened:
            self.counts.clear()  # Nothing says that this was ever meant for us.
            self.counts["bundle-unopened"] += 1
        elif not self.whole:
            self.counts["bundle-torn"] += 1
        if cut:
            self.counts["bundle-oversized"] += 1

    def _open(self, number: int, sealed: bytes) -> tuple[bytes, int, bytes] | None:
        candidates = {b"": self._inner} if self._inner is not None else self._outer
        for secret, chunks in candidates.items():
            for last in (False, True):
                with suppress(CryptoFailure):
                    first, data = chunks.open(number, sealed, last=last)
                    if secret:
                        self._outer = {secret: chunks}
                    self.whole = last
                    return secret, first, data
        return None

    def _take_head(self, secret: bytes, data: bytes) -> None:
        head = self._head if self._head is not None else bytearray()
        self._head = head
        head += data
        if len(head) != self._number * DATA_BYTES:
            raise Refused("bundle-damaged", "its head")
        if len(head) < self._head_bytes:
            return
        self._head = None
        for wrap in wraps_of(bytes(head[: self._head_bytes])):
            for prekey in self._keys.prekeys:
                with suppress(CryptoFailure):
                    inner = hpke_open(prekey, _WRAP + self._header, wrap)
                    self._inner = Chunks(inner_key(secret, inner, self._salt), self._header)
                    self.audience = _SOMEBODY
                    return
        raise Refused("not-for-us")

    def _runs(self, data: bytes, first: int) -> list[Run]:
        runs: list[Run] = []
        try:
            for record in self._reading.feed(data, first):
                if audience := audience_in(record):
                    self.audience = audience
                else:
                    runs.append(decode_run(record))
        except Refused as refused:
            self.counts[refused.reason] += 1
        return runs
