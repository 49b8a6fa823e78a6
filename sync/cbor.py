"""Strict CBOR: one value has one encoding, and nothing else decodes (RFC 8949 section 4.2.1).

cbor2 reads more than it writes: cycles through shared references, non-minimal integers and trailing
bytes all pass its strictest settings (measured with 6.2). So: decode, encode again, compare bytes.
Whatever is not the deterministic encoding of what it decodes to is refused. Tags are refused before their contents are
read: 400 bytes of nested shared references would otherwise be 10^14 values when encoded again.

Values are int (64 bits), bytes, str, bool, None, list and dict. No floats and no tags: nothing here needs
them, and both have several encodings of one meaning.

It stands in `sync/` because arrows go from `beepmesh` to `sync`: both need it, and one may not look up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn

import cbor2

DEPTH_MAX = 16  # Our deepest structure nests six deep; a bomb of nested arrays stops here.


class CborError(ValueError):
    """These bytes are not one deterministic CBOR value within the bounds."""


def encode(value: object) -> bytes:
    """The deterministic encoding. Raises CborError for a value of a type or size outside the list above."""
    return cbor2.dumps(_deterministic(value, 0))


def decode(data: bytes, *, bytes_max: int) -> object:
    """The one value in data. Raises CborError, and nothing else, for anything but its deterministic encoding."""
    if len(data) > bytes_max:
        raise CborError(f"{len(data)} bytes of CBOR where {bytes_max} are allowed")
    try:
        value: object = cbor2.loads(
            data,
            semantic_decoders=_NO_TAGS,
            max_depth=DEPTH_MAX + 1,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except Exception as error:  # cbor2 raises many kinds (RecursionError, MemoryError): each means "refused".
        raise CborError(f"not CBOR: {type(error).__name__}") from None
    if encode(value) != data:
        raise CborError("not the deterministic encoding")
    return value


def _deterministic(value: object, depth: int) -> object:
    kind = type(value)
    if kind is bytes or kind is str or kind is bool or value is None:
        return value
    if isinstance(value, int):
        if not -(2**64) <= value < 2**64:
            raise CborError("an integer beyond 64 bits")
        return value
    if depth >= DEPTH_MAX:
        raise CborError(f"nested deeper than {DEPTH_MAX}")
    if isinstance(value, list):
        return [_deterministic(item, depth + 1) for item in value]
    if isinstance(value, dict):
        # cbor2's canonical=True sorts by length first (RFC 7049); RFC 8949 sorts the encoded keys bytewise.
        keyed = sorted((encode(key), key) for key in value)
        return {key: _deterministic(value[key], depth + 1) for _, key in keyed}
    raise CborError(f"no CBOR here for {kind.__name__}")


class _NoTags(Mapping[int, "cbor2.SemanticDecoderCallback"]):
    """The decoders of tags, as cbor2 asks for them: whichever it asks for, the input is refused."""

    def __getitem__(self, tag: int) -> NoReturn:
        raise CborError(f"tag {tag}")

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NO_TAGS = _NoTags()
