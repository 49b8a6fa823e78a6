"""Play a trace with real nodes: a process in a network of its own for each, a cable for each pair that ever meets.

Laws
1. What the nodes run is the product: `Node` with its store on the disk, and the `lan` transport, which finds whoever is
   at the other end of a cable. Nobody is told who is near, or dialled for.
2. All times in the result are seconds of the trace: seconds of CLOCK_MONOTONIC since its beginning, times the speed.
3. Nothing stays behind: no process, no namespace, no home. What a `kill -9` left is removed when the next play starts.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final, TypeAlias

from beepmesh.demo.device import NotSeen, until
from beepmesh.demo.hosts import NetworkHosts
from simulations.outcome import Delivery
from simulations.real.homes import acquainted, folder_of_homes
from simulations.teams import departments
from simulations.traces import Contact, Trace
from simulations.workload import EVERYBODY, Message
from simulations.world import LETTERS, PART_BYTES_MAX, PRIORITIES

NODES_MAX: Final = 20
READY_S: Final = 300.0  # Twenty interpreters start on two cores that others keep busy.
LEAD_S: Final = 1.0
GRACE_S: Final = 20.0
PARTING_S: Final = 300.0
"""Of the trace: no pair meets again so soon, and a parting that is noticed later counts as not noticed."""
_ROOT: Final = Path(__file__).parents[2]

_Told: TypeAlias = tuple[float, int, int]
"""When which node told of which peer."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A contact as it went, in seconds of the trace."""

    contact: Contact
    setup_s: float | None
    """From when the cable was due until both nodes had proved themselves to each other; None where they never did."""
    parted_s: float | None
    """From when it was due to be pulled out until both nodes knew; None where the link had ended before."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it."""

    deliveries: list[Delivery]
    meetings: list[Meeting]
    late_s: list[float]
    """By how much each cable was switched, and each message accepted, behind its time, in seconds of the trace."""


def play(trace: Trace, workload: Sequence[Message], *, speed: float, bytes_per_s: float) -> Played:
    """Takes the trace's duration divided by speed. Raises ValueError for what is too large for it, NotSeen when a node
    does not start or does not last, HostsProblem where no networks can be made."""
    if trace.nodes > NODES_MAX:
        raise ValueError(f"{trace.nodes} nodes are too many for one machine; {NODES_MAX} is the most")
    if any(message.size > PART_BYTES_MAX for message in workload):
        raise ValueError(f"a message of more than {PART_BYTES_MAX} bytes travels in parts, which is not tried here")
    names = [f"n{node}" for node in range(trace.nodes)]
    with folder_of_homes() as folder, NetworkHosts(names) as hosts:
        stage = _Stage(trace, workload, speed, hosts, folder)
        stage.build(rate=f"{round(bytes_per_s * speed * 8)}bit")
        stage.start()
        stage.perform()
        return stage.outcome()


class _Stage:
    """Hosts, cables and processes, and the clock they are driven by."""

    def __init__(
        self, trace: Trace, workload: Sequence[Message], speed: float, hosts: NetworkHosts, folder: Path
    ) -> None:
        self._trace = trace
        self._workload = workload
        self._speed = speed
        self._names = hosts.names
        self._hosts = hosts
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        self._began = 0.0
        self._late: list[float] = []

    def build(self, rate: str) -> None:
        """Every cable there will ever be, pulled out."""
        for a, b in sorted({(contact.a, contact.b) for contact in self._trace.contacts}):
            self._hosts.connect(self._names[a], self._names[b], rate=rate)
            self._hosts.disconnect(self._names[a], self._names[b])

    def start(self) -> None:
        homes = acquainted(self._folder, self._names, departments(self._trace))
        for name, home in zip(self._names, homes, strict=True):
            with self._said_by(name).open("w") as said:
                argv = [sys.executable, "-m", "simulations.real.process", str(home), "lan"]
                process = self._hosts.popen(name, argv, cwd=_ROOT, stdin=subprocess.PIPE, stdout=said)
            self._processes.append(process)
        for name, process in zip(self._names, self._processes, strict=True):
            until(f"{name} is ready", partial(self._is_ready, name, process), READY_S)

    def perform(self) -> None:
        """Everything at its time; then all nodes are asked to end."""
        orders: list[tuple[float, Callable[[], None]]] = []
        for contact in self._trace.contacts:
            orders.append((contact.start, partial(self._switch, self._hosts.reconnect, contact, contact.start)))
            orders.append((contact.stop, partial(self._switch, self._hosts.disconnect, contact, contact.stop)))
        orders += [(message.t, partial(self._send, message)) for message in self._workload]
        self._began = time.monotonic() + LEAD_S
        for t, order in sorted(orders, key=lambda one: one[0]):
            time.sleep(max(0.0, self._began + t / self._speed - time.monotonic()))
            order()
        for process in self._processes:
            _input_of(process).close()
        for name, process in zip(self._names, self._processes, strict=True):
            if process.wait(GRACE_S):
                raise NotSeen(f"the node {name} ended with {process.returncode}, and not when it was asked to")

    def outcome(self) -> Played:
        sent_at = {message.id: message.t for message in self._workload}
        deliveries: list[Delivery] = []
        joined: list[_Told] = []
        left: list[_Told] = []
        for node, name in enumerate(self._names):
            for line in self._said_by(name).read_text().splitlines():
                said = json.loads(line)
                t = self._trace_s(said["at"])
                if said["said"] == "arrived":
                    deliveries.append(Delivery(said["id"], node, t, 0))
                elif said["said"] == "sent":
                    self._late.append(t - sent_at[said["id"]])
                elif said["said"] in ("joined", "left") and said["peer"]:
                    told = joined if said["said"] == "joined" else left
                    told.append((t, node, self._names.index(said["peer"])))
        meetings = [
            Meeting(one, _both(joined, one, one.start, one.stop), _both(left, one, one.stop, one.stop + PARTING_S))
            for one in self._trace.contacts
        ]
        return Played(sorted(deliveries, key=lambda one: (one.t, one.id, one.node)), meetings, self._late)

    def _switch(self, change: Callable[[str, str], None], contact: Contact, due: float) -> None:
        change(self._names[contact.a], self._names[contact.b])
        self._late.append(self._trace_s(time.monotonic()) - due)

    def _trace_s(self, monotonic_s: float) -> float:
        return (monotonic_s - self._began) * self._speed

    def _send(self, message: Message) -> None:
        order = {
            "id": message.id,
            "to": "everyone" if message.dst == EVERYBODY else self._names[message.dst],
            "text": _text(message),
            "priority": PRIORITIES[message.prio],
        }
        stream = _input_of(self._processes[message.src])
        try:
            stream.write(json.dumps(order) + "\n")
            stream.flush()
        except BrokenPipeError:
            raise NotSeen(f"the node {self._names[message.src]} ended in the middle of the trace") from None

    def _said_by(self, name: str) -> Path:
        return self._folder / f"{name}.jsonl"

    def _is_ready(self, name: str, process: subprocess.Popen[str]) -> bool:
        if process.poll() is not None:
            raise NotSeen(f"the node {name} ended with {process.returncode} before it was ready")
        return '"ready"' in self._said_by(name).read_text()


def _both(told: Sequence[_Told], contact: Contact, since: float, until: float) -> float | None:
    """How long after `since`, and before `until`, the second of a contact's two ends told of the other."""
    firsts: list[float] = []
    for ends in ((contact.a, contact.b), (contact.b, contact.a)):
        times = [t for t, *who in told if tuple(who) == ends and since <= t <= until]
        if not times:
            return None
        firsts.append(min(times))
    return max(firsts) - since


def _text(message: Message) -> str:
    """The message's number, and letters that take the bytes asked for, as in the simulator's world."""
    letters = random.Random(message.id).choices(LETTERS, k=max(1, message.size * 4 // 3))
    return f"{message.id} {''.join(letters)}"


def _input_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None
    return process.stdin
