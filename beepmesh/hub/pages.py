"""What a hub answers to questions that are no link: whether it is well, and figures for Prometheus.

Laws:
1. Nobody is named: no person, device, address, organisation. Figures are sums.
2. `/healthz` answers everybody with one word. `/metrics` answers the loopback and private networks only: how many
   links a hub has and when it is busy is nobody else's matter. A proxy on the same machine that forwards from outside
   must keep that path to itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from transports.wss_wire import Page

TEXT: Final = "text/plain; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_KINDS: Final = {"gauge", "counter"}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a hub knows of itself at one moment."""

    started_s: float = 0.0
    cpu_s: float = 0.0
    resident_bytes: int = 0
    links: int = 0
    peers: int = 0
    entries: int = 0
    stored_bytes: int = 0
    entries_sent: int = 0
    entries_received: int = 0
    """Entries that came over links since the start, repeats included."""
    disk_trouble: bool = False
    refusals: Mapping[str, int] = field(default_factory=dict)
    """What this home has refused since it was made, by reason word."""
    link_failures: Mapping[str, int] = field(default_factory=dict)
    """Links that did not come to be or ended badly since the start, by reason word."""


def page(path: str, host: str, figures: Figures) -> Page:
    """The answer to a question for `path` from `host`."""
    if path == "/healthz":
        if figures.disk_trouble:
            return Page(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, b"the disk takes nothing\n")
        return Page(HTTPStatus.OK, TEXT, b"ok\n")
    if path == "/metrics" and _is_near(host):
        return Page(HTTPStatus.OK, PROMETHEUS, metrics(figures).encode())
    return Page(HTTPStatus.NOT_FOUND, TEXT, b"nothing here\n")


def metrics(figures: Figures) -> str:
    """Prometheus' text format, version 0.0.4."""
    lines: list[str] = []

    def put(name: str, kind: str, what: str, value: float, labels: Mapping[str, float] | None = None) -> None:
        assert kind in _KINDS
        lines.extend((f"# HELP {name} {what}", f"# TYPE {name} {kind}"))
        if labels is None:
            lines.append(f"{name} {value:.15g}")
        else:
            lines.extend(f'{name}{{reason="{label}"}} {labels[label]}' for label in sorted(labels))

    put("beepmesh_links", "gauge", "Links that are open.", figures.links)
    put("beepmesh_peers", "gauge", "Members linked now.", figures.peers)
    put("beepmesh_entries", "gauge", "Entries in the store.", figures.entries)
    put("beepmesh_store_bytes", "gauge", "What the store takes of the disk.", figures.stored_bytes)
    put("beepmesh_entries_sent_total", "counter", "Entries given over links since the start.", figures.entries_sent)
    put("beepmesh_entries_received_total", "counter", "Entries that came, with repeats.", figures.entries_received)
    put("beepmesh_disk_trouble", "gauge", "1 while the disk takes nothing.", int(figures.disk_trouble))
    put("beepmesh_refusals_total", "counter", "Refused since the home was made.", 0, figures.refusals)
    put("beepmesh_link_failures_total", "counter", "Links that failed since the start.", 0, figures.link_failures)
    put("process_cpu_seconds_total", "counter", "CPU time of this process.", figures.cpu_s)
    put("process_resident_memory_bytes", "gauge", "Memory of this process.", figures.resident_bytes)
    put("process_start_time_seconds", "gauge", "When it was started.", int(figures.started_s))
    return "\n".join(lines) + "\n"


def _is_near(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_private
