"""Crowds: towards whom large mail should be carried, told so coarsely that no carrier learns for whom it is.

Large mail cannot be given to everybody, so its carriers must know where it leads. Its envelope names a crowd: all
devices whose ids, hashed, begin with the same bits. Its author takes as many bits as leave at least CROWD_MIN devices
in the recipient's crowd (k-anonymity; Sweeney 2002). A device is in the same crowd for ever: if crowds changed, whoever
wrote to one person day by day would be found out by what the crowds have in common.

    crowd = 2 B, big-endian: 1 << bits | the first bits of SHA-256("beepmesh/crowd/1" | organisation id 16 | device id 16)

0 means nobody in particular: what is for several devices.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from hashlib import sha256
from typing import Final

CROWD_MIN: Final = 3
BITS_MAX: Final = 15
NOBODY: Final = 0

_LABEL: Final = b"beepmesh/crowd/1"


def crowd_of(device: bytes, bits: int, org: bytes) -> int:
    """The crowd of so many bits that the device is in."""
    assert 0 <= bits <= BITS_MAX
    return 1 << bits | _place(device, org) >> (BITS_MAX - bits)


def crowd_for(device: bytes, devices: Collection[bytes], org: bytes) -> int:
    """What to write on mail for that device, one of `devices`: the smallest crowd of CROWD_MIN of them, or of all."""
    here = _place(device, org)
    differing = sorted((_place(other, org) ^ here).bit_length() for other in devices)  # Low bits, all above are alike.
    return crowd_of(device, BITS_MAX - differing[CROWD_MIN - 1] if len(differing) >= CROWD_MIN else 0, org)


def is_in(device: bytes, crowd: int, org: bytes) -> bool:
    """Whether the device is in the crowd; nobody is in a number that is none."""
    bits = crowd.bit_length() - 1
    return 0 <= bits <= BITS_MAX and crowd_of(device, bits, org) == crowd


@lru_cache(maxsize=16_384)
def _place(device: bytes, org: bytes) -> int:
    return int.from_bytes(sha256(_LABEL + org + device).digest()[:2]) >> 1
