"""What goes into an envelope: a content made small, then padded so that its size says little.

    payload = flag 1 | length 3 (big-endian) | coded content | zeros
    flag      0 the content itself; 1 a zstd frame without its magic number (RFC 8878), made with dictionary 1.
              Whichever is smaller. The frame declares its content size; no dictionary id, no checksum.

Padding is Padme (Nikitin et al., PETS 2019) over header and content: at most 12 % more, and only about log log as many
sizes as lengths. Nothing is smaller than FLOOR_BYTES, so "yes" and "on my way" look alike.

Compression before sealing leaks the size of what compresses together. One payload is one author's content and never
mixes in what somebody else chose, and the padding takes most of the rest.

Laws
1. unpack raises Refused, `payload-malformed` or `payload-bomb`, and nothing else.
2. unpack never allocates more than bytes_max for a content, whatever a frame declares or its window asks for.
3. Dictionary 1 never changes: its SHA-256 is pinned here. Another one takes another flag.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib import resources
from typing import Final

import zstandard

from beepmesh.crypto.primitives import sha256
from beepmesh.errors import Refused

HEADER_BYTES: Final = 4
FLOOR_BYTES: Final = 64
CONTENT_BYTES_MAX: Final = 2**24 - 1 - HEADER_BYTES  # What the length can say; an entry's body is far smaller.
DICTIONARY_SHA256: Final = "7102a0f7e7a429738d6aec4fec5d439dc7bedea10640cf8c1b1b657e502f612b"

_RAW = 0
_FIELD = 1
# 20 us for a short text, 2.3 ms for 64 KiB; level 3 takes 2 us and gains 7 % of the text less.
_LEVEL = 19
_TYPICAL_BYTES = 512


def padded_bytes(length: int) -> int:
    """Padme: the size that `length` bytes are padded to, not less than FLOOR_BYTES."""
    length = max(length, FLOOR_BYTES)
    exponent = length.bit_length() - 1
    zero_bits = exponent - exponent.bit_length()
    unit = 1 << zero_bits
    return -(-length // unit) * unit


def pack(content: bytes) -> bytes:
    assert len(content) <= CONTENT_BYTES_MAX
    flag, coded = _RAW, content
    squeezed = _codec().compress(content)
    if len(squeezed) < len(content):
        flag, coded = _FIELD, squeezed
    used = HEADER_BYTES + len(coded)
    return bytes([flag]) + len(coded).to_bytes(3, "big") + coded + bytes(padded_bytes(used) - used)


def unpack(data: bytes, bytes_max: int) -> bytes:
    """The content, at most bytes_max long. The padding must be zeros; how many is the author's choice."""
    if len(data) < HEADER_BYTES:
        raise Refused("payload-malformed", "truncated")
    end = HEADER_BYTES + int.from_bytes(data[1:HEADER_BYTES], "big")
    if end > len(data) or data.count(0, end) != len(data) - end:
        raise Refused("payload-malformed", "length")
    coded = data[HEADER_BYTES:end]
    match data[0]:
        case 0:
            if len(coded) > bytes_max:
                raise Refused("payload-bomb")
            return coded
        case 1:
            return _codec().expand(coded, bytes_max)
        case _:
            raise Refused("payload-malformed", "flag")


class _Codec:
    """zstd with dictionary 1. Its contexts serve one thread at a time."""

    def __init__(self) -> None:
        dictionary = _dictionary()
        parameters = zstandard.ZstdCompressionParameters.from_level(
            _LEVEL,
            source_size=_TYPICAL_BYTES,
            dict_size=len(dictionary),
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
            write_content_size=1,
            write_checksum=0,
            write_dict_id=0,
        )
        dictionary.precompute_compress(compression_params=parameters)
        self._compressor = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
        self._decompressor = zstandard.ZstdDecompressor(dict_data=dictionary, format=zstandard.FORMAT_ZSTD1_MAGICLESS)

    def compress(self, content: bytes) -> bytes:
        return self._compressor.compress(content)

    def expand(self, frame: bytes, bytes_max: int) -> bytes:
        try:
            declared = zstandard.get_frame_parameters(frame, format=zstandard.FORMAT_ZSTD1_MAGICLESS).content_size
            # The library allocates what the frame declares, whatever limit it is given, and needs no window beside
            # that. Unknown is 2**64 - 1. For 0 it would not even look at the frame, and 0 is never worth a frame.
            if declared > bytes_max:
                raise Refused("payload-bomb")
            if declared == 0:
                raise Refused("payload-malformed", "zstd")
            return self._decompressor.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError:
            raise Refused("payload-malformed", "zstd") from None


_of_this_thread = threading.local()


def _codec() -> _Codec:
    codec = getattr(_of_this_thread, "codec", None)
    if not isinstance(codec, _Codec):
        codec = _of_this_thread.codec = _Codec()
    return codec


@cache
def _dictionary_bytes() -> bytes:
    data = resources.files("beepmesh.crypto").joinpath("dictionaries/field-1.zdict").read_bytes()
    assert sha256(data).hex() == DICTIONARY_SHA256, "field-1.zdict is damaged: install beepmesh again"
    return data


def _dictionary() -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(_dictionary_bytes())
