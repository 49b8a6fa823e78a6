"""A weak uplink between two hosts: so many bits a second each way, a packet in twenty lost, there only in windows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from beepmesh.demo.device import until
from beepmesh.demo.hosts import NetworkHosts, Traffic

LOSS_PERCENT = 5


@dataclass(frozen=True, slots=True)
class Passed:
    """What crossed the uplink, Ethernet headers, lost packets and what was sent again included."""

    up_bytes: int
    up_packets: int
    down_bytes: int
    sent_again: int
    """TCP segments that the near host sent again."""


class Uplink:
    """Made unplugged. What is lost has crossed the cable and is dropped where it arrives: nobody is told."""

    def __init__(self, hosts: NetworkHosts, near: str, far: str, rate: str) -> None:
        self._hosts, self._near, self._far = hosts, near, far
        hosts.connect(near, far, rate=rate)
        hosts.disconnect(near, far)
        for host, neighbour in ((near, far), (far, near)):
            lossy = (
                "add table inet weak\n"
                "add chain inet weak arriving { type filter hook input priority 0; }\n"
                f'add rule inet weak arriving iifname "{hosts.interface(host, neighbour)}"'
                f" numgen random mod 100 < {LOSS_PERCENT} counter drop\n"
            )
            done = hosts.run(host, ["nft", "-f", "-"], text=lossy)
            assert done.returncode == 0, done.stderr

    def window(self, seconds: float) -> None:
        """It is there for so long."""
        self._hosts.reconnect(self._near, self._far)
        passes(seconds)
        self._hosts.disconnect(self._near, self._far)

    def passed(self) -> Passed:
        counted: Traffic = self._hosts.bytes_on(self._near, self._hosts.interface(self._near, self._far))
        lines = self._hosts.run(self._near, ["grep", "^Tcp:", "/proc/net/snmp"]).stdout.splitlines()
        tcp = dict(zip(*(line.split()[1:] for line in lines), strict=True))
        return Passed(counted.sent_bytes, counted.sent_packets, counted.received_bytes, int(tcp["RetransSegs"]))

    def lost_packets(self) -> int:
        """How many were dropped on arrival, both ways together."""
        said = "".join(self._hosts.run(host, ["nft", "list", "ruleset"]).stdout for host in (self._near, self._far))
        words = said.split()
        return sum(int(after) for word, after in pairwise(words) if word == "packets")


def passes(seconds: float) -> None:
    end = time.monotonic() + seconds
    until("time passes", lambda: time.monotonic() > end, seconds + 20)
