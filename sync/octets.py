"""The two things records are made of: numbers as varints, and bytes.

A varint is unsigned LEB128 (DWARF 5, section 7.6) of minimal length and at most five bytes, so one number has one form.
"""

from __future__ import annotations

from typing import Final

VARINT_END: Final = 2**35
_BYTES_MAX: Final = 5


class RemoteProtocolError(Exception):
    """The other node broke the protocol: hang up, keep what was good. `reason` is one stable word for counting."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


def varint(number: int) -> bytes:
    """Its bytes, lowest seven bits first."""
    assert 0 <= number < VARINT_END
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def varints(numbers: list[int]) -> bytes:
    """Several, one behind the other."""
    if numbers and max(numbers) <= 0x7F:
        return bytes(numbers)
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


class Octets:
    """Reads bytes from the front. Every method raises RemoteProtocolError("record-malformed")."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def varint(self, end: int = VARINT_END) -> int:
        """A number below end."""
        data, at = self._data, self._at
        value = shift = 0
        for byte in data[at : at + _BYTES_MAX]:
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or value >= end:
                    break
                self._at = at
                return value
            shift += 7
        raise malformed("number")

    def varints(self, count: int, end: int = VARINT_END) -> list[int]:
        """So many numbers below end, one behind the other."""
        data, at = self._data, self._at
        ahead = data[at : at + count]
        if len(ahead) == count and ahead.isascii() and (end > 0x7F or max(ahead, default=0) < end):
            self._at += count  # Most numbers are one byte, and mostly all of them are.
            return list(ahead)
        numbers: list[int] = []
        for _ in range(count):
            byte = data[at] if at < len(data) else 0x80
            if byte < 0x80 and byte < end:
                numbers.append(byte)
                at += 1
            else:
                self._at = at
                numbers.append(self.varint(end))
                at = self._at
        self._at = at
        return numbers

    def take(self, count: int) -> bytes:
        """So many bytes."""
        start = self._at
        self._at += count
        if self._at > len(self._data):
            raise malformed("truncated")
        return self._data[start : self._at]

    def rest(self) -> bytes:
        """Everything that is left."""
        start, self._at = self._at, len(self._data)
        return self._data[start:]

    @property
    def left(self) -> int:
        """How many bytes are."""
        return len(self._data) - self._at

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise malformed("more than belongs there")


def malformed(what: str) -> RemoteProtocolError:
    return RemoteProtocolError("record-malformed", what)
