"""Where the workloads run: hosts on this machine, worker processes on them, and what passes between.

    with Ground("a", "b") as ground:
        ground.cable("a", "b")
        keeper = ground.worker("a", home)                # opened, and linked to nobody yet
        keeper.tell("serve", links=["listen:0.0.0.0:4400"])
        keeper.wait("ready")
        with ground.metering(keeper) as meter: ...       # then meter.wire_bytes, meter.cpu_s(keeper), ...

Only what the nodes say is on the cables: IPv6 is off, and both ends know each other's hardware address for ever, so
there is neither ARP nor neighbour discovery. Segmentation offload is off (demo/hosts.py), so every segment is counted
with its own headers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from beepmesh.demo.hosts import NetworkHosts
from benchmarks import processes

PORT: Final = 4400
MTU: Final = 1_500
JUMBO_MTU: Final = 9_000
WAIT_S: Final = 60.0
QUIET_S: Final = 0.5  # Nothing on the cables for so long: the talk is over. Acknowledgements wait 0.2 s at most.
_LOOK_S: Final = 0.1
_ROOT: Final = Path(__file__).parents[1]


class BenchmarkProblem(Exception):
    """A workload did not come to its end; the text says where it stood."""


class Said:
    """One line of a worker."""

    def __init__(self, fields: dict[str, object]) -> None:
        self._fields = fields

    @property
    def at(self) -> float:
        """When it happened, by CLOCK_MONOTONIC."""
        return self.number("at")

    def number(self, name: str) -> float:
        found = self._fields[name]
        assert isinstance(found, int | float)
        return found

    def text(self, name: str) -> str:
        found = self._fields[name]
        assert isinstance(found, str)
        return found

    def texts(self, name: str) -> list[str]:
        found = self._fields[name]
        assert isinstance(found, list)
        return [str(one) for one in found]

    def sizes(self, name: str) -> list[int]:
        return [int(one) for one in self.texts(name)]


class Worker:
    """A worker process as its driver sees it."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._said: defaultdict[str, deque[Said]] = defaultdict(deque)
        self._news = threading.Condition()
        self._ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, order: str, /, **more: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": order, **more}) + "\n")
        self._process.stdin.flush()

    def ask(self, order: str, answer: str, /, **more: object) -> Said:
        """Tell, and wait for what answers it."""
        self.tell(order, **more)
        return self.wait(answer)

    def wait(self, said: str, within_s: float = WAIT_S) -> Said:
        """The next line of that kind. Raises BenchmarkProblem when it does not come."""
        with self._news:
            self._news.wait_for(lambda: self._said[said] or self._ended, within_s)
            if not self._said[said]:
                state = "has ended" if self._ended else f"has not within {within_s:.0f} s"
                raise BenchmarkProblem(f"The node {self.name} should have said {said!r}, but {state}.")
            return self._said[said].popleft()

    def wait_arrived(self, message: str) -> Said:
        """The arrival of that message, or of a receipt for it. Earlier arrivals are forgotten."""
        while message not in (arrived := self.wait("arrived")).texts("ids"):
            pass
        return arrived

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            self.tell("stop")
            self._process.wait(WAIT_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            fields: dict[str, object] = json.loads(line)
            with self._news:
                self._said[str(fields["said"])].append(Said(fields))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


class Ground:
    """See the module's text. Leaving it ends every process and removes the hosts."""

    def __init__(self, *names: str) -> None:
        self._hosts = NetworkHosts(names)
        self._cables: list[tuple[str, str]] = []
        self._ends: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        self._hosts.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hosts.__exit__(kind, error, trace)

    def cable(self, a: str, b: str, mtu: int = MTU) -> None:
        self._hosts.connect(a, b)
        self._cables.append((a, b))
        hardware: dict[str, str] = {}
        for host, neighbour in ((a, b), (b, a)):
            interface = self._hosts.interface(host, neighbour)
            # Turning IPv6 off in the namespace also takes the addresses that the interface has given itself.
            self._on(host, "sh", "-c", "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done")
            self._on(host, "ip", "link", "set", "dev", interface, "mtu", str(mtu))
            shown = json.loads(self._on(host, "ip", "-j", "link", "show", "dev", interface))
            hardware[host] = str(shown[0]["address"])
        for host, neighbour in ((a, b), (b, a)):
            interface, address = self._hosts.interface(host, neighbour), self._hosts.address(neighbour, host)
            known = ["lladdr", hardware[neighbour], "nud", "permanent"]
            self._on(host, "ip", "neigh", "replace", address, "dev", interface, *known)
        self._ends.append((a, self._hosts.interface(a, b)))

    def dial(self, host: str, neighbour: str, port: int = PORT) -> str:
        """The spec by which host reaches the neighbour."""
        return f"tcp:{self._hosts.address(neighbour, host)}:{port}"

    def worker(self, host: str, home: Path, links: Sequence[str] = (), *, count: bool = False) -> Worker:
        """A node that has opened its home; with links it serves at once, and `opened` is for the caller to wait for."""
        argv = [sys.executable, "-m", "benchmarks.worker", *(["--count"] if count else []), str(home), *links]
        pipe = subprocess.PIPE
        worker = Worker(host, self._hosts.popen(host, argv, cwd=_ROOT, stdin=pipe, stdout=pipe))
        if not links:
            worker.wait("opened")
        return worker

    def pair(self, a: Path, b: Path, *, count: bool = False, mtu: int = MTU) -> tuple[Worker, Worker]:
        """Two nodes on hosts a and b: a listens, b has not dialled yet. `link` lets it."""
        self.cable("a", "b", mtu)
        one, other = self.worker("a", a), self.worker("b", b, count=count)
        one.ask("serve", "ready", links=[f"listen:0.0.0.0:{PORT}"])
        return one, other

    def link(self, other: Worker) -> None:
        """Let the second of a pair dial."""
        other.tell("serve", links=[self.dial("b", "a")])

    def wire(self) -> tuple[int, int]:
        """Bytes and packets on all cables so far, both ways, with Ethernet headers."""
        seen = [self._hosts.bytes_on(host, interface) for host, interface in self._ends]
        size = sum(traffic.total_bytes for traffic in seen)
        return size, sum(traffic.received_packets + traffic.sent_packets for traffic in seen)

    def until_quiet(self, within_s: float = WAIT_S) -> float:
        """Wait until the cables have carried nothing for QUIET_S; when the last byte was seen (CLOCK_MONOTONIC)."""
        before, since = self.wire(), time.monotonic()
        deadline = since + within_s
        while time.monotonic() - since < QUIET_S:
            time.sleep(_LOOK_S)
            if (seen := self.wire()) != before:
                before, since = seen, time.monotonic()
            if time.monotonic() > deadline:
                raise BenchmarkProblem(f"The cables were still busy after {within_s:.0f} s.")
        return since

    def metering(self, *workers: Worker) -> Meter:
        return Meter(self, workers)

    def _on(self, host: str, *argv: str) -> str:
        done = self._hosts.run(host, argv)
        if done.returncode:
            raise BenchmarkProblem(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout


class Meter:
    """What passed and what was used inside a `with`."""

    def __init__(self, ground: Ground, workers: Sequence[Worker]) -> None:
        self._ground = ground
        self._workers = workers

    def __enter__(self) -> Self:
        for worker in self._workers:
            processes.forget_peak(worker.pid)
        self._cpu = {worker.pid: processes.cpu_s(worker.pid) for worker in self._workers}
        self._busy = processes.machine_busy_s()
        self._wire = self._ground.wire()
        self.since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        self.seconds = time.monotonic() - self.since
        size, packets = self._ground.wire()
        self.wire_bytes, self.packets = size - self._wire[0], packets - self._wire[1]
        self._used = {pid: processes.cpu_s(pid) - before for pid, before in self._cpu.items()}
        self._peak = {worker.pid: processes.peak_mb(worker.pid) for worker in self._workers}
        busy = processes.machine_busy_s() - self._busy - sum(self._used.values())
        self.other_load = max(0.0, round(busy / self.seconds / processes.CPUS, 2))

    def cpu_s(self, worker: Worker) -> float:
        return self._used[worker.pid]

    def peak_mb(self, worker: Worker) -> float:
        return self._peak[worker.pid]
