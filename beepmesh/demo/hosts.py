"""Several hosts on one machine: each a Linux network namespace, joined by cables one can pull out.

The demo, the end-to-end tests and the benchmarks stand on the same hosts, so that what one of them shows, the others
have measured. The laws:

1. Two hosts reach each other only over a cable between them. Nothing is forwarded: in A - B - C, A cannot reach C.
2. Nothing stays behind: leaving the `with` block ends every process in every namespace and removes them, whatever
   happened inside. What a `kill -9` left behind is removed when the next NetworkHosts starts.
3. Names carry our process id, so several of these run beside each other.

    with NetworkHosts(["ayesha", "dawood"]) as hosts:
        hosts.connect("ayesha", "dawood")
        node = hosts.popen("ayesha", ["beepmesh", "run", "lan"])
        hosts.disconnect("ayesha", "dawood")

Where namespaces cannot be made (`can_make_hosts()` says why), LoopbackHosts starts the same processes side by side on
this machine, with no isolation between them: callers choose the ports and stop processes instead of pulling cables.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self, TypeAlias

from beepmesh.errors import BeepmeshError

COMMAND_TIMEOUT_S = 20  # `ip` answers in milliseconds; a kernel that is busy tearing namespaces down needs a second.
KILL_ROUNDS_MAX = 50  # A process that forks while it is being ended shows up in the next round.
MTU_BYTES = 1500
HOSTS_MAX = 64
INTERFACE_LETTERS_MAX = 15  # IFNAMSIZ without its closing zero.

Stream: TypeAlias = int | IO[str] | IO[bytes] | None


class HostsProblem(BeepmeshError):
    """The hosts cannot be made or changed as asked; the text holds what the system said."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one interface has carried since it was made, Ethernet headers included."""

    received_bytes: int
    received_packets: int
    sent_bytes: int
    sent_packets: int

    @property
    def total_bytes(self) -> int:
        return self.received_bytes + self.sent_bytes


@dataclass(slots=True)
class _Cable:
    number: int
    rate: str | None
    plugged_in: bool


class Hosts(Protocol):
    """What NetworkHosts and LoopbackHosts have in common. `isolated` says whether pulling a cable means anything."""

    @property
    def isolated(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def connect(self, a: str, b: str, *, rate: str | None = None) -> None: ...
    def disconnect(self, a: str, b: str) -> None: ...
    def reconnect(self, a: str, b: str) -> None: ...
    def address(self, host: str, neighbour: str) -> str: ...
    def popen(
        self,
        host: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> subprocess.Popen[str]: ...
    def run(
        self,
        host: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        text: str = "",
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]: ...


@functools.cache
def can_make_hosts() -> str | None:
    """Why network namespaces cannot be made here, in words for a person, or None. Tries it once, for real."""
    if not hasattr(os, "geteuid"):
        return "network namespaces exist on Linux only"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    missing = [program for program in ("ip", "tc") if shutil.which(program) is None]
    if missing:
        return f"the program {missing[0]} is missing (Debian: apt-get install iproute2)"
    try:
        with NetworkHosts(["x", "y"]) as hosts:
            hosts.connect("x", "y")
    except HostsProblem as problem:
        return f"the system refuses: {problem}"
    return None


class _Processes:
    """Every process we started, so that none outlives the hosts."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(dict.fromkeys(names))
        if len(self.names) > HOSTS_MAX:
            raise HostsProblem(f"{len(self.names)} hosts asked for; {HOSTS_MAX} is the most")
        for name in self.names:
            if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
                raise HostsProblem(f"{name!r} cannot name a host: use up to 12 small letters and digits")
        self._started: list[subprocess.Popen[str]] = []

    def _prefix(self, host: str) -> list[str]:
        if host not in self.names:
            raise HostsProblem(f"there is no host {host!r}; there are {', '.join(self.names)}")
        return []

    def popen(
        self,
        host: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> subprocess.Popen[str]:
        """Start a program on host. Its pid is the program's own, so signals reach it and not a wrapper."""
        process = subprocess.Popen(
            [*self._prefix(host), *map(str, argv)],
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
        )
        self._started.append(process)
        return process

    def run(
        self,
        host: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        text: str = "",
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on host to its end, `text` on its standard input, its output captured."""
        return subprocess.run(
            [*self._prefix(host), *map(str, argv)],
            env=env,
            cwd=cwd,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )

    def _end_processes(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
        for process in self._started:
            process.wait(COMMAND_TIMEOUT_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):  # Unsent input of a process that is gone.
                        stream.close()
        self._started.clear()


class NetworkHosts(_Processes):
    """Hosts as network namespaces named `bm-PID-CHANCE-NAME`. In host a, the cable to b is the interface `to-b`."""

    isolated = True

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(names)
        self._mark = f"bm-{os.getpid()}-{secrets.token_hex(2)}"
        self._made: list[str] = []
        self._cables: dict[frozenset[str], _Cable] = {}

    def __enter__(self) -> Self:
        remove_stale_hosts()
        try:
            for name in self.names:
                self._make(name)
        except BaseException:
            self._remove_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove_all()

    def namespace(self, host: str) -> str:
        return f"{self._mark}-{host}"

    def interface(self, host: str, neighbour: str) -> str:
        """The name, in host, of the cable to neighbour."""
        self._cable(host, neighbour)
        return _interface(neighbour)

    def address(self, host: str, neighbour: str) -> str:
        """The IPv4 address that host has on its cable to neighbour."""
        number = self._cable(host, neighbour).number
        return f"10.{77 + number // 256}.{number % 256}.{1 if host < neighbour else 2}"

    def connect(self, a: str, b: str, *, rate: str | None = None) -> None:
        """A new cable, plugged in. `rate`, in tc's words ("250kbit"), limits each way; half a second may queue."""
        if a == b or not {a, b} <= set(self.names):
            raise HostsProblem(f"no cable can join {a!r} and {b!r}; there are {', '.join(self.names)}")
        ends = frozenset((a, b))
        if ends in self._cables:
            raise HostsProblem(f"{a} and {b} have a cable already; reconnect() plugs it in again")
        make = ["link", "add", _interface(b), "mtu", str(MTU_BYTES), "type", "veth"]
        _ip("-n", self.namespace(a), *make, "peer", _interface(a), "mtu", str(MTU_BYTES), "netns", self.namespace(b))
        self._cables[ends] = _Cable(len(self._cables), rate, plugged_in=False)
        for host, neighbour in ((a, b), (b, a)):
            space, device = self.namespace(host), _interface(neighbour)
            # With segmentation offload the kernel counts 64 KiB as one packet with one header: not what a radio sends.
            _ip("-n", space, "link", "set", device, "gso_max_segs", "1", "gso_max_size", str(MTU_BYTES))
            _ip("-n", space, "addr", "add", f"{self.address(host, neighbour)}/24", "dev", device)
            if rate is not None:
                shape = ["rate", rate, "burst", str(4 * MTU_BYTES), "latency", "500ms"]
                _system(["tc", "-n", space, "qdisc", "add", "dev", device, "root", "tbf", *shape])
        self.reconnect(a, b)

    def disconnect(self, a: str, b: str) -> None:
        """Pull the cable out: both interfaces go down; open connections hang and are told nothing, as in the field."""
        cable = self._cable(a, b)
        for host, neighbour in ((a, b), (b, a)):
            _ip("-n", self.namespace(host), "link", "set", _interface(neighbour), "down")
        cable.plugged_in = False

    def reconnect(self, a: str, b: str) -> None:
        """Plug the cable in again, with the same IPv4 addresses. Does nothing where it is plugged in."""
        cable = self._cable(a, b)
        if cable.plugged_in:
            return
        for host, neighbour in ((a, b), (b, a)):
            _ip("-n", self.namespace(host), "link", "set", _interface(neighbour), "up")
        for host, neighbour in ((a, b), (b, a)):
            # One multicast route an interface; the metric lets several stand side by side in one namespace.
            where = ["dev", _interface(neighbour), "metric", str(100 + cable.number)]
            _ip("-n", self.namespace(host), "route", "replace", "224.0.0.0/4", *where)
        cable.plugged_in = True

    def bytes_on(self, host: str, interface: str) -> Traffic:
        """The interface's counters. Read before and after; unplugging does not reset them."""
        text = _ip("-s", "-j", "-n", self.namespace(host), "link", "show", "dev", interface)
        counters = json.loads(text)[0]["stats64"]
        received, sent = counters["rx"], counters["tx"]
        return Traffic(
            received_bytes=int(received["bytes"]),
            received_packets=int(received["packets"]),
            sent_bytes=int(sent["bytes"]),
            sent_packets=int(sent["packets"]),
        )

    def _cable(self, a: str, b: str) -> _Cable:
        cable = self._cables.get(frozenset((a, b)))
        if cable is None:
            raise HostsProblem(f"there is no cable between {a!r} and {b!r}")
        return cable

    def _prefix(self, host: str) -> list[str]:
        super()._prefix(host)
        ip = shutil.which("ip") or "ip"  # By its full path: the caller's env may have another PATH.
        return [ip, "netns", "exec", self.namespace(host)]  # ip becomes the program (exec), it does not wait for it.

    def _make(self, host: str) -> None:
        space = self.namespace(host)
        _ip("netns", "add", space)
        self._made.append(space)
        _ip("-n", space, "link", "set", "lo", "up")
        # A new namespace inherits the machine's forwarding; law 1 needs it off. Duplicate address detection would
        # keep IPv6 silent for the first second of each cable.
        settings = (
            "for file in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 0 > /proc/sys/net/$file || exit 1; done"
        )
        silence = "for file in all default; do echo 0 > /proc/sys/net/ipv6/conf/$file/accept_dad; done; true"
        _system(["ip", "netns", "exec", space, "sh", "-c", f"{settings}; {silence}"])

    def _remove_all(self) -> None:
        try:
            self._end_processes()
        finally:
            while self._made:
                _remove(self._made.pop())
            self._cables.clear()


class LoopbackHosts(_Processes):
    """The same processes beside each other on this machine. Cables are words only: everybody reaches everybody."""

    isolated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_processes()

    def connect(self, a: str, b: str, *, rate: str | None = None) -> None:
        self._check(a, b)
        if rate is not None:
            raise HostsProblem("a rate needs network namespaces; the loopback has none")

    def disconnect(self, a: str, b: str) -> None:
        self._check(a, b)

    def reconnect(self, a: str, b: str) -> None:
        self._check(a, b)

    def address(self, host: str, neighbour: str) -> str:
        self._check(host, neighbour)
        return "127.0.0.1"

    def _check(self, *hosts: str) -> None:
        for host in hosts:
            self._prefix(host)


def remove_stale_hosts() -> list[str]:
    """Remove the namespaces of processes that are gone, and return their names."""
    stale = []
    for line in _ip("netns", "list").splitlines():
        space = line.split(" ")[0]
        match = re.fullmatch(r"bm-(\d+)-[0-9a-f]{4}-[a-z0-9]+", space)
        if match and not Path(f"/proc/{match[1]}").exists():
            _remove(space)
            stale.append(space)
    return stale


def _interface(neighbour: str) -> str:
    name = f"to-{neighbour}"
    assert len(name) <= INTERFACE_LETTERS_MAX
    return name


def _remove(space: str) -> None:
    """End what runs in the namespace (children of our processes too), then the namespace and its cables."""
    with contextlib.suppress(HostsProblem):  # Somebody else may be removing the same stale one: gone is gone.
        for _ in range(KILL_ROUNDS_MAX):
            pids = _ip("netns", "pids", space).split()
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        _ip("netns", "delete", space)


def _ip(*arguments: str) -> str:
    return _system(["ip", *arguments])


def _system(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostsProblem(f"{' '.join(argv)}: {error}") from error
    if done.returncode != 0:
        raise HostsProblem(f"{' '.join(argv)}: {done.stderr.strip() or 'failed'}")
    return done.stdout
