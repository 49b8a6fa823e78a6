"""Crowds: towards whom large mail should be carried, told so coarsely that no carrier learns for whom it is.

Large mail cannot be given to everybody, so its carriers must know where it leads. Its envelope names a crowd: all
devices whose ids, hashed, begin with the same bits. Its author takes as many bits as leave at least CROWD_MIN devices
in the recipient's crowd (k-anonymity; Sweeney 2002). A device is in the same crowds for ever: if they changed, whoever
wrote to one person day by day would be found out by what the crowds have in common.

    crowd = 2 B, big-endian: 1 << bits | the first bits of SHA-256("beepmesh/crowd/1" | org id 16 | device id 16)

0 means nobody in particular: what is for several devices. A crowd of fewer bits holds all those that begin with it.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from hashlib import sha256
from math import log2
from typing import Final

CROWD_MIN: Final = 3
BITS_MAX: Final = 15
NOBODY: Final = 0

_LABEL: Final = b"beepmesh/crowd/1"


def crowd_of(device: bytes, bits: int, org: bytes) -> int:
    """The crowd of so many bits that the device is in."""
    assert 0 <= bits <= BITS_MAX
    return 1 << bits | _place(device, org) >> (BITS_MAX - bits)


def bits_for(devices: int) -> int:
    """The bits of crowds that hold about CROWD_MIN of so many devices on average."""
    return min(max(round(log2(max(devices, 1) / CROWD_MIN)), 0), BITS_MAX)


def crowd_for(device: bytes, devices: Collection[bytes], org: bytes) -> int:
    """What to write on mail for that device, one of `devices`: a crowd of at least CROWD_MIN of them, or of all."""
    here = _place(device, org)
    differing = sorted((_place(other, org) ^ here).bit_length() for other in devices)  # Low bits, all above are alike.
    least = BITS_MAX - differing[CROWD_MIN - 1] if len(differing) >= CROWD_MIN else 0
    return crowd_of(device, min(least, bits_for(len(devices))), org)


def is_in(device: bytes, crowd: int, org: bytes) -> bool:
    """Whether the device is in the crowd; nobody is in a number that is none."""
    return is_crowd(crowd) and crowd_of(device, crowd.bit_length() - 1, org) == crowd


def is_crowd(number: int) -> bool:
    return 0 < number < 1 << (BITS_MAX + 1)


def holds(wide: int, narrow: int) -> bool:
    """Whether one crowd is the other one, or a part of it."""
    more = narrow.bit_length() - wide.bit_length()
    return more >= 0 and narrow >> more == wide


@lru_cache(maxsize=16_384)
def _place(device: bytes, org: bytes) -> int:
    return int.from_bytes(sha256(_LABEL + org + device).digest()[:2]) >> 1
