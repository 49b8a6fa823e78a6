"""A search that finds nothing proves something only if it would have found it."""

from __future__ import annotations

import base64
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from beepmesh.demo.hosts import NetworkHosts
from beepmesh.demo.plaintext import find, find_in_capture, find_in_folder, spellings, streams

WORD = "Ayesha"


def tcp_packet(sequence: int, payload: bytes, flags: int = 0x10) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", 4000, 5000, sequence % 2**32, 0, 5 << 4, flags, 0, 0, 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, b"\x0a\0\0\1", b"\x0a\0\0\2") + tcp
    return bytes(12) + b"\x08\x00" + ip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("form", [WORD, WORD.upper(), WORD.lower()])
def test_a_word_is_found_in_each_encoding_and_case(form: str, encoding: str) -> None:
    assert [found.word for found in find(b"\x01\x02" + form.encode(encoding) + b"\x03", [WORD], "here")] == [WORD]


@pytest.mark.parametrize("before", range(4))
def test_a_word_is_found_in_base64_at_every_alignment(before: int) -> None:
    letters = base64.b64encode(b"\xff" * before + b"Ayesha Khan" + b"\xfe\xfd")
    assert {found.spelling for found in find(letters, ["Ayesha Khan"], "here")} == {"base64"}


def test_a_word_is_found_in_hexadecimal() -> None:
    assert {found.spelling for found in find(b"\x00" + WORD.encode().hex().encode(), [WORD], "here")} == {"hexadecimal"}


def test_a_word_too_short_to_tell_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        spellings("Ali")


def test_a_word_in_a_file_and_one_in_a_file_name_are_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "store.db").write_bytes(b"x" * 5000 + WORD.encode("utf-16-le"))
    (tmp_path / "bilal.txt").write_bytes(b"nothing")
    found, total = find_in_folder(tmp_path, [WORD, "Bilal"])
    assert {one.word for one in found} == {WORD, "Bilal"}
    assert total == 5000 + 12 + 7


@pytest.mark.parametrize("first", [1000, 2**32 - 2])
def test_a_word_cut_in_two_by_packets_that_came_in_the_wrong_order_is_found(first: int) -> None:
    captured = [
        tcp_packet(first - 1, b"", flags=2),
        tcp_packet(first + 3, b"sha is here"),
        tcp_packet(first, b"Aye"),
        tcp_packet(first, b"Aye"),
        tcp_packet(first + 1, b"yes"),
    ]
    assert list(streams(captured).values()) == [b"Ayesha is here"]


@pytest.mark.needs_hosts
def test_what_crosses_a_cable_in_clear_is_captured_and_found(tmp_path: Path) -> None:
    path = tmp_path / "wire.pcap"
    with NetworkHosts(["a", "b"]) as hosts:
        hosts.connect("a", "b")
        argv = [sys.executable, "-m", "beepmesh.demo.capture", str(path)]
        capture = hosts.popen("b", argv, stdout=subprocess.PIPE)
        assert capture.stdout is not None
        assert capture.stdout.readline() == "listening\n"
        say = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), (sys.argv[2], 9))"
        hosts.run("a", [sys.executable, "-c", say, "Ayesha is here", hosts.address("b", "a")])
        capture.send_signal(signal.SIGTERM)
        assert '"dropped": 0' in capture.stdout.read()
        assert capture.wait(10) == 0
    found, total = find_in_capture(path, [WORD, "Bilal"])
    assert {one.word for one in found} == {WORD}
    assert total > 14 + 20 + 8 + 14


def test_packets_that_are_no_tcp_or_say_nothing_make_no_stream() -> None:
    assert streams([b"", bytes(13), bytes(60), tcp_packet(1, b"")]) == {}
