"""Searches bytes for words that must not be there: in folders, file names included, and in captured traffic.

Laws
1. A word is looked for as text (UTF-8, UTF-16 of both orders; as written, in small and in capital letters), as
   hexadecimal digits and as base64 at each of its three alignments.
2. Captured traffic is searched packet by packet, and TCP again as the streams that it carries: a word does not hide
   in the gap between two packets.
3. Whoever relies on finding nothing first shows that something would be found: see `find`'s callers.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SPELLING_BYTES_MIN: Final = 5  # Five bytes stand by chance in a megabyte of ciphertext once in a million times.
ENCODED_BYTES_MIN: Final = 7  # base64 at an alignment loses letters at both ends.
_FILE_HEADER_BYTES, _PACKET_HEADER_BYTES = 24, 16
_ETHERNET_BYTES: Final = 14
_SYN: Final = 2


@dataclass(frozen=True, slots=True)
class Found:
    """A word, how it was written, and where."""

    word: str
    spelling: str
    where: str

    def __str__(self) -> str:
        return f"{self.word!r} as {self.spelling} in {self.where}"


def spellings(word: str) -> dict[bytes, str]:
    """Every way to write a word that is looked for, with its name. A word too short to be telling raises ValueError."""
    found: dict[bytes, str] = {}
    for form in dict.fromkeys((word, word.lower(), word.upper())):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            data = form.encode(encoding)
            if len(data) < SPELLING_BYTES_MIN:
                raise ValueError(f"{word!r} is too short to be looked for")
            found.setdefault(data, encoding)
        plain = form.encode()
        found.setdefault(plain.hex().encode(), "hexadecimal")
        found.setdefault(plain.hex().upper().encode(), "hexadecimal")
        for shift in range(3):
            # Of the letters that hold the word's bytes, those that hold nothing else.
            letters = base64.b64encode(bytes(shift) + plain)
            inner = letters[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6]
            if len(inner) >= ENCODED_BYTES_MIN:
                found.setdefault(inner, "base64")
    return found


def find(data: bytes, words: Iterable[str], where: str) -> list[Found]:
    """The words that stand in data."""
    return [
        Found(word, name, where) for word in words for spelling, name in spellings(word).items() if spelling in data
    ]


def find_in_folder(folder: Path, words: Iterable[str]) -> tuple[list[Found], int]:
    """The words in the files below folder and in their names; and how many bytes were searched."""
    every = list(words)
    found: list[Found] = []
    total = 0
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found += find(name.encode(), every, f"the name {name}")
        if path.is_file():
            data = path.read_bytes()
            total += len(data)
            found += find(data, every, str(path))
    return found, total


def find_in_capture(path: Path, words: Iterable[str]) -> tuple[list[Found], int]:
    """The words in a pcap file's packets and TCP streams; and how many bytes were captured."""
    every = list(words)
    captured = list(packets(path))
    found = find(b"".join(captured), every, f"the packets of {path.name}")
    for name, stream in streams(captured).items():
        found += find(stream, every, f"the stream {name} of {path.name}")
    return found, sum(map(len, captured))


def packets(path: Path) -> Iterator[bytes]:
    """The packets of a pcap file, as `capture` writes it. An unfinished last one is left out."""
    data = path.read_bytes()
    at = _FILE_HEADER_BYTES
    while at + _PACKET_HEADER_BYTES <= len(data):
        length = int.from_bytes(data[at + 8 : at + 12], "little")
        at += _PACKET_HEADER_BYTES
        if at + length > len(data):
            return
        yield data[at : at + length]
        at += length


def streams(captured: Iterable[bytes]) -> dict[str, bytes]:
    """What each TCP connection said in each direction, in order; a repeated part is taken once."""
    parts: dict[str, dict[int, bytes]] = {}
    firsts: dict[str, int] = {}
    times: dict[str, int] = {}
    for packet in captured:
        segment = _segment(packet)
        if segment is None:
            continue
        ends, flags, sequence, payload = segment
        if flags & _SYN:  # The same ports again are another connection.
            times[ends] = times.get(ends, 0) + 1
            sequence += 1
        name = f"{ends}#{times.get(ends, 0)}"
        firsts.setdefault(name, sequence)
        if payload:
            parts.setdefault(name, {}).setdefault((sequence - firsts[name]) % 2**32, payload)
    return {name: _joined(pieces) for name, pieces in parts.items()}


def _joined(pieces: dict[int, bytes]) -> bytes:
    stream = bytearray()
    end = 0
    for at, piece in sorted(pieces.items()):
        stream += piece[max(0, end - at) :]
        end = max(end, at + len(piece))
    return bytes(stream)


def _segment(packet: bytes) -> tuple[str, int, int, bytes] | None:
    """(ends, flags, sequence number, payload) of an Ethernet frame that carries TCP, else None."""
    kind = packet[12:14]
    header = packet[_ETHERNET_BYTES:]
    if kind == b"\x08\x00" and len(header) >= 20 and header[9] == 6:
        source, target = header[12:16], header[16:20]
        tcp = header[(header[0] & 15) * 4 : int.from_bytes(header[2:4])]
    elif kind == b"\x86\xdd" and len(header) >= 40 and header[6] == 6:
        source, target = header[8:24], header[24:40]
        tcp = header[40 : 40 + int.from_bytes(header[4:6])]
    else:
        return None
    if len(tcp) < 20:
        return None
    source_port, target_port, sequence, _, offset, flags = struct.unpack_from("!HHIIBB", tcp)
    ends = f"{source.hex()}:{source_port}>{target.hex()}:{target_port}"
    return ends, flags, sequence, tcp[(offset >> 4) * 4 :]
