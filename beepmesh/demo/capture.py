"""Writes down every byte that crosses this host's network, as a pcap file that other tools read too.

    python -m beepmesh.demo.capture FILE        prints "listening", ends at SIGTERM with {"packets", "dropped"}

Linux and root only. It reads all interfaces of its network namespace, those that come later as well, both directions.
Law: what the kernel had to drop is counted and said, so that nobody takes a search of half the traffic for a proof.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO, Final

ETH_P_ALL: Final = 3
PACKET_BYTES_MAX: Final = 256 * 1024  # Above what offloading ever hands over as one packet.
BUFFER_BYTES: Final = 32 * 1024 * 1024
LOOK_S: Final = 0.05
# libpcap's file format: microseconds, version 2.4, Ethernet.
_FILE_HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, PACKET_BYTES_MAX, 1)
_SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 263, 6, 33


def capture(path: Path) -> None:
    """Write packets to path until SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; whoever started us ends us.
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire, path.open("wb") as file:
        wire.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        wire.settimeout(LOOK_S)
        file.write(_FILE_HEADER)
        file.flush()
        print("listening", flush=True)
        packets = 0
        while not stopped.is_set():
            packets += _take(wire, file)
        while count := _take(wire, file):  # What was on its way when we were told to stop.
            packets += count
        dropped = struct.unpack("II", wire.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
    print(json.dumps({"packets": packets, "dropped": dropped}), flush=True)


def _take(wire: socket.socket, file: BinaryIO) -> int:
    """One packet from the wire to the file, or after LOOK_S of silence none."""
    try:
        packet = wire.recv(PACKET_BYTES_MAX)
    except TimeoutError:
        file.flush()
        return 0
    seconds, rest_ns = divmod(time.time_ns(), 1_000_000_000)
    file.write(struct.pack("<IIII", seconds, rest_ns // 1_000, len(packet), len(packet)) + packet)
    return 1


if __name__ == "__main__":
    capture(Path(sys.argv[1]))
