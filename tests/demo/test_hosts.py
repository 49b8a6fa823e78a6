"""The hosts stand for the field: what these tests hold is what the demo and the benchmarks may believe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from beepmesh.demo.hosts import HostsProblem, LoopbackHosts, NetworkHosts, Traffic, can_make_hosts, remove_stale_hosts

needs_hosts = pytest.mark.needs_hosts

# Serves one connection: prints its port, then sends `size` bytes of zeros, in one go.
SERVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], 0))
print(listener.getsockname()[1], flush=True)
accepted, _ = listener.accept()
accepted.sendall(bytes(int(sys.argv[2])))
accepted.close()
"""
FETCH = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as stream:
    count = 0
    while data := stream.recv(65536):
        count += len(data)
print(count)
"""
# Joins an mDNS group on one interface, on a port of its own, prints "joined", then what it hears.
HEAR = """
import socket, struct, sys
family, group, device = int(sys.argv[1]), sys.argv[2], socket.if_nametoindex(sys.argv[3])
listener = socket.socket(family, socket.SOCK_DGRAM)
listener.bind(("", 5454))
if family == socket.AF_INET:
    membership = socket.inet_aton(group) + struct.pack("=4si", bytes(4), device)
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
else:
    membership = socket.inet_pton(family, group) + struct.pack("=I", device)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
listener.settimeout(10)
print("joined", flush=True)
print(listener.recv(100).decode())
"""
SAY = """
import socket, sys
family, group, device = int(sys.argv[1]), sys.argv[2], socket.if_nametoindex(sys.argv[3])
sender = socket.socket(family, socket.SOCK_DGRAM)
sender.sendto(b"who is there", (group, 5454) if family == socket.AF_INET else (group, 5454, 0, device))
"""


def python(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", text, *arguments]


def transfer(hosts: NetworkHosts, source: str, target: str, size: int) -> str:
    address = hosts.address(source, target)
    server = hosts.popen(source, python(SERVE, address, str(size)), stdout=subprocess.PIPE)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    fetched = hosts.run(target, python(FETCH, address, port))
    return fetched.stdout.strip() or fetched.stderr.splitlines()[-1]


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split(" ")[0] for line in listed.splitlines()}


@pytest.fixture
def line() -> Iterator[NetworkHosts]:
    """Three hosts in a line: a - b - c."""
    with NetworkHosts(["a", "b", "c"]) as hosts:
        hosts.connect("a", "b")
        hosts.connect("b", "c")
        yield hosts


@needs_hosts
def test_neighbours_reach_each_other(line: NetworkHosts) -> None:
    assert transfer(line, "a", "b", 1000) == "1000"
    assert transfer(line, "c", "b", 1000) == "1000"


@needs_hosts
def test_the_ends_of_a_line_have_no_path(line: NetworkHosts) -> None:
    # Even with a route through b, b forwards nothing.
    line.run("a", ["ip", "route", "add", "default", "via", line.address("b", "a")])
    line.run("c", ["ip", "route", "add", "default", "via", line.address("b", "c")])
    server = line.popen("c", python(SERVE, line.address("c", "b"), "1"), stdout=subprocess.PIPE)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    refused = line.run("a", python(FETCH.replace("timeout=5", "timeout=1"), line.address("c", "b"), port))
    assert refused.returncode != 0
    assert "TimeoutError" in refused.stderr or "unreachable" in refused.stderr
    assert line.bytes_on("c", "to-b").received_packets < 10


@needs_hosts
@pytest.mark.parametrize(("family", "group"), [(2, "224.0.0.251"), (10, "ff02::fb")])
@pytest.mark.parametrize("neighbour", ["a", "c"])
def test_multicast_reaches_every_neighbour(line: NetworkHosts, family: int, group: str, neighbour: str) -> None:
    listener = line.popen(neighbour, python(HEAR, str(family), group, "to-b"), stdout=subprocess.PIPE)
    assert listener.stdout is not None
    assert listener.stdout.readline() == "joined\n"
    # Without an interface chosen by hand, IPv4 leaves by the first multicast route: the first cable.
    if family == 2 and neighbour == "c":
        line.disconnect("a", "b")
    line.run("b", python(SAY, str(family), group, f"to-{neighbour}"))
    assert listener.stdout.readline() == "who is there\n"


@needs_hosts
def test_a_cable_pulled_out_carries_nothing_until_it_is_plugged_in_again(line: NetworkHosts) -> None:
    line.disconnect("a", "b")
    before = line.bytes_on("b", "to-a")
    assert line.run("b", python(FETCH, line.address("a", "b"), "9")).returncode != 0
    assert line.bytes_on("b", "to-a") == before
    line.reconnect("a", "b")
    assert transfer(line, "a", "b", 1000) == "1000"


@needs_hosts
def test_counters_see_packets_as_a_radio_would(line: NetworkHosts) -> None:
    before = line.bytes_on("a", line.interface("a", "b"))
    assert transfer(line, "a", "b", 1_000_000) == "1000000"
    after = line.bytes_on("a", line.interface("a", "b"))
    sent = Traffic(0, 0, after.sent_bytes - before.sent_bytes, after.sent_packets - before.sent_packets)
    # 1,448 bytes of TCP payload fit into 1,500; offloaded segments would need twenty times fewer headers.
    assert sent.sent_packets >= 1_000_000 / 1448
    assert 1_040_000 < sent.sent_bytes < 1_100_000


@needs_hosts
def test_a_rate_holds() -> None:
    with NetworkHosts(["a", "b"]) as hosts:
        hosts.connect("a", "b", rate="1mbit")
        timed = "import time; start = time.monotonic()\n" + FETCH + "print(time.monotonic() - start)"
        server = hosts.popen("a", python(SERVE, hosts.address("a", "b"), "50000"), stdout=subprocess.PIPE)
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        count, seconds = hosts.run("b", python(timed, hosts.address("a", "b"), port)).stdout.split()
        assert count == "50000"
        assert float(seconds) > 0.3  # 50,000 B at 1 Mbit/s are 0.4 s, the bucket's 6,000 B less.


@needs_hosts
def test_nothing_stays_behind_after_an_exception() -> None:
    before = namespaces()

    def fail_inside() -> None:
        with NetworkHosts(["a", "b"]) as hosts:
            hosts.connect("a", "b")
            # A shell with a child of its own, which must end too.
            started.append(hosts.popen("a", ["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE))
            assert started[0].stdout is not None
            children.append(int(started[0].stdout.readline()))
            raise ZeroDivisionError

    started: list[subprocess.Popen[str]] = []
    children: list[int] = []
    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert namespaces() <= before
    assert started[0].returncode == -9
    status = Path(f"/proc/{children[0]}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


@needs_hosts
def test_what_a_killed_process_left_behind_is_removed_at_the_next_start() -> None:
    text = (
        "import os, signal\nfrom beepmesh.demo.hosts import NetworkHosts\n"
        "hosts = NetworkHosts(['left']).__enter__()\nprint(hosts.namespace('left'), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    left = subprocess.run(python(text), capture_output=True, text=True, cwd=root, check=False).stdout.strip()
    assert left.endswith("-left")
    remove_stale_hosts()  # Another test's start may have removed it already: gone is what counts.
    assert left not in namespaces()


@needs_hosts
def test_the_hosts_of_a_living_process_are_left_alone(line: NetworkHosts) -> None:
    remove_stale_hosts()
    assert line.namespace("a") in namespaces()


@needs_hosts
def test_a_signal_reaches_the_program_itself(line: NetworkHosts) -> None:
    process = line.popen(
        "a", python("import os; print(os.getpid(), flush=True); input()"), stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid


@needs_hosts
@pytest.mark.parametrize(("a", "b"), [("a", "a"), ("a", "nobody"), ("a", "b")])
def test_an_impossible_cable_is_refused_in_words(line: NetworkHosts, a: str, b: str) -> None:
    with pytest.raises(HostsProblem, match=r"cable"):
        line.connect(a, b)


@pytest.mark.parametrize("name", ["", "Ayesha", "a-b", "x" * 13, "../x"])
def test_a_name_that_cannot_be_an_interface_is_refused(name: str) -> None:
    with pytest.raises(HostsProblem, match="cannot name a host"):
        LoopbackHosts([name])


def test_loopback_hosts_start_programs_and_end_them() -> None:
    with LoopbackHosts(["a", "b"]) as hosts:
        hosts.connect("a", "b")
        assert hosts.address("a", "b") == "127.0.0.1"
        assert hosts.run("a", python("print(input())"), text="hello").stdout == "hello\n"
        process = hosts.popen("b", ["sleep", "600"])
        assert process.poll() is None
    assert process.returncode == -9


def test_this_machine_gets_an_answer_in_words_or_hosts() -> None:
    reason = can_make_hosts()
    assert reason is None or len(reason) > 10


@pytest.mark.parametrize(
    ("uid", "programs", "reason"),
    [
        (1000, "/usr/sbin", "only root can make network namespaces"),
        (0, "/nowhere", "the program ip is missing (Debian: apt-get install iproute2)"),
    ],
)
def test_why_hosts_cannot_be_made_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, uid: int, programs: str, reason: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setenv("PATH", programs)
    assert can_make_hosts.__wrapped__() == reason


@needs_hosts
def test_a_refusing_system_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ip"
    program.write_text('#!/bin/sh\n[ "$2" = list ] && exit 0\necho Operation not permitted >&2; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    reason = can_make_hosts.__wrapped__()
    assert reason is not None
    assert reason.startswith("the system refuses: ip netns add")
    assert reason.endswith("Operation not permitted")
