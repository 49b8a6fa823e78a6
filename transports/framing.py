"""Records over a byte stream: each is preceded by its length, in one byte whenever it is short.

Laws:
1. Every length has exactly one spelling, and zero and anything above 65,535 have none:
       first byte 0..223     length = 1 + first byte                                       1..224
       first byte 224..254   length = 225 + 256 * (first byte - 224) + next byte           225..8,160
       first byte 255        length = 8,161 + the next two bytes, big-endian               8,161..65,535
   A text's link records are mostly below 224 bytes, and 2 bytes are enough for a run of eight entries.
2. The deframer holds at most one unfinished record; what it refuses raises FramingError and nothing else.
"""

from __future__ import annotations

_ONE_MAX = 224
_TWO_MAX = _ONE_MAX + 31 * 256
_LONG = 255
RECORD_BYTES_MAX = 65_535


class FramingError(Exception):
    """The stream is not records of ours, or not records this link takes.

    reason: "malformed" (a length without a meaning) or "oversize" (longer than this link takes).
    records: the whole records that came before the fault in the same read; they are good.
    """

    def __init__(self, reason: str, records: list[bytes]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.records = records


def length_prefix(length: int) -> bytes:
    """The 1-3 bytes that announce a record of `length` bytes."""
    assert 1 <= length <= RECORD_BYTES_MAX
    if length <= _ONE_MAX:
        return bytes((length - 1,))
    if length <= _TWO_MAX:
        high, low = divmod(length - _ONE_MAX - 1, 256)
        return bytes((_ONE_MAX + high, low))
    return b"\xff" + (length - _TWO_MAX - 1).to_bytes(2, "big")


def frame(record: bytes) -> bytes:
    """The record as it goes on the stream."""
    return length_prefix(len(record)) + record


class Deframer:
    """Turns reads of any size back into records."""

    __slots__ = ("_held", "_record_bytes_max", "_wanted")

    def __init__(self, record_bytes_max: int = RECORD_BYTES_MAX) -> None:
        assert 1 <= record_bytes_max <= RECORD_BYTES_MAX
        self._record_bytes_max = record_bytes_max
        self._held = bytearray()
        self._wanted = 0  # Do not look again before this many bytes are held: keeps a record in many reads linear.

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished record."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, in order. Raises FramingError; the stream is then worth nothing more."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return []
            data = bytes(self._held)
            self._held.clear()
        records: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            start, length = self._length(data, at, end, records)
            stop = start + length
            if length == 0 or stop > end:
                self._held += memoryview(data)[at:]
                self._wanted = stop - at
                break
            records.append(data[start:stop])
            at = stop
        return records

    def _length(self, data: bytes, at: int, end: int, records: list[bytes]) -> tuple[int, int]:
        """Where the record's bytes start and how many they are; 0 when the prefix itself is not whole yet."""
        first = data[at]
        if first < _ONE_MAX:
            start, length = at + 1, first + 1
        elif first < _LONG:
            start = at + 2
            if start > end:
                return start, 0
            length = _ONE_MAX + 1 + (first - _ONE_MAX) * 256 + data[at + 1]
        else:
            start = at + 3
            if start > end:
                return start, 0
            length = _TWO_MAX + 1 + (data[at + 1] << 8 | data[at + 2])
            if length > RECORD_BYTES_MAX:
                raise FramingError("malformed", records)
        if length > self._record_bytes_max:
            raise FramingError("oversize", records)
        return start, length
