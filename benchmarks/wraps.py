"""How much of the traffic is the init wraps: the post-quantum sealing of one message to one device, 1.3 kB each.

They are the price of stage 0 of the sealing, where every message opens a session anew. So that the rest can be
compared with other programs and with later stages, some workloads also say what would be left without them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from beepmesh.crypto.seal import HINT_BYTES, SLOT_BYTES
from benchmarks.counted import FRAME_OVERHEAD_BYTES, HANDSHAKE_FRAMES

WRAP_BYTES: Final = SLOT_BYTES + HINT_BYTES
IP_TCP_BYTES: Final = 52  # IPv4 20, TCP 20 and timestamps 12.
SEGMENT_HEADERS_BYTES: Final = 66  # Ethernet 14, IPv4 20, TCP 20 and timestamps 12.


def wraps_on_wire(frames: Iterable[int], mtu: int) -> tuple[int, int]:
    """(wraps, their bytes) among frames of one entry each: the wraps and the headers of the segments they add.

    A frame below the size of a wrap has none. Acknowledgements that the added segments cause are not taken off.
    """
    segment = mtu - IP_TCP_BYTES
    wraps = size = 0
    for frame in map(abs, frames):
        if frame > WRAP_BYTES:
            wraps += 1
            added = -(-frame // segment) - -(-(frame - WRAP_BYTES) // segment)
            size += WRAP_BYTES + added * SEGMENT_HEADERS_BYTES
    return wraps, size


def record_bytes(frames: Iterable[int]) -> int:
    """Of all frames since the link began: the session's records, without the handshake and the channel's own bytes."""
    return sum(abs(frame) - FRAME_OVERHEAD_BYTES for frame in list(frames)[HANDSHAKE_FRAMES:])
