"""Crowds: towards whom mail should be carried, told so coarsely that no carrier learns for whom it is.

What cannot be given to everybody needs carriers who know where it leads. Its envelope names a crowd: the devices whose
places begin with the same bits, in as many bits as leave CROWD_MIN devices or more (k-anonymity; Sweeney 2002). A place
begins with the department, for those who work together are met together: with crowds of neighbours mail between
cut-off villages finds its way, with crowds from everywhere a third of it does not (beepmesh/README.md, Decisions). A
device keeps its place as long as its department: if crowds changed, whoever wrote to one person day by day would be
found out by what they have in common.

    place = 15 bits: the first 7 of H(department), the first 8 of H(device id)
            H(data) = SHA-256("beepmesh/crowd/2" | organisation id 16 | data)
    crowd = 2 B, big-endian: 1 << bits | the first bits of the place

0 means nobody in particular: what is for several devices. A crowd of fewer bits holds all those that begin with it.
Where there are few devices, all of them are one crowd: there is little to spare, and nobody's mail is told apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

CROWD_MIN: Final = 3
FEW: Final = 8  # So many devices are not divided.
NOBODY: Final = 0
EVERYBODY: Final = 1

_DEPARTMENT_BITS: Final = 7
_DEVICE_BITS: Final = 8
PLACE_BITS: Final = _DEPARTMENT_BITS + _DEVICE_BITS
_LABEL: Final = b"beepmesh/crowd/2"


class Crowds:
    """Those of one organisation, as far as its devices are known."""

    def __init__(self, org: bytes, departments: Mapping[bytes, str]) -> None:
        """`org` 16 B; `departments`: of each device (16 B)."""
        begins = {
            department: _bits(_DEPARTMENT_BITS, org, department.encode()) for department in set(departments.values())
        }
        self._places = {
            device: begins[department] << _DEVICE_BITS | _bits(_DEVICE_BITS, org, device)
            for device, department in departments.items()
        }
        self._in_order = sorted(self._places.values())
        self._of: dict[int, int] = {}

    def of(self, device: bytes) -> int:
        """What to write on mail for that device: the narrowest crowd of CROWD_MIN devices or more that it is in."""
        place = self._places.get(device)
        if place is None or len(self._places) <= FEW:
            return EVERYBODY
        crowd = self._of.get(place)
        if crowd is None:
            crowd = self._of[place] = self._narrowest(place)
        return crowd

    def has(self, crowd: int, device: bytes) -> bool:
        """Whether the device, known or not, is in the crowd; nobody is in a number that is none."""
        place = self._places.get(device)
        return crowd == EVERYBODY or (is_crowd(crowd) and place is not None and holds(crowd, 1 << PLACE_BITS | place))

    def _narrowest(self, place: int) -> int:
        """Those who share most bits with a place stand beside it in the order of places."""
        at = bisect_left(self._in_order, place)
        near = self._in_order[max(at - CROWD_MIN, 0) : at + CROWD_MIN]
        differing = sorted((other ^ place).bit_length() for other in near)  # Low bits; all above are alike.
        return (1 << PLACE_BITS | place) >> differing[CROWD_MIN - 1]


def is_crowd(number: int) -> bool:
    return 0 < number < 1 << (PLACE_BITS + 1)


def holds(wide: int, narrow: int) -> bool:
    """Whether one crowd is the other one, or a part of it."""
    more = narrow.bit_length() - wide.bit_length()
    return more >= 0 and narrow >> more == wide


def _bits(count: int, org: bytes, data: bytes) -> int:
    return sha256(_LABEL + org + data).digest()[0] >> (8 - count)
