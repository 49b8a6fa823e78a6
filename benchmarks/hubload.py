"""`python -m benchmarks hub [--links N] [--messages M]`: one hub process and N members linked to it over real TLS.

Each member is a whole node with a home of its own: it proves what comes and writes it down, in processes beside the
hub's. Prints one JSON line: what the hub took in memory and CPU for N idle links, and how many entries it delivered for
each second of its CPU while M urgent messages went to everybody.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from beepmesh.home import Home
from beepmesh.node import Node
from beepmesh.testing import make_homes
from transports.specs import parse

PROCESSES: Final = 2
ABSENT: Final = "Absent"
"""To whom everything is written: he introduces himself and goes, so that all carry it and nobody lets go of it."""
SETTLE_S, WITHIN_S = 3.0, 900.0
TICKS: Final = os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks hub", description=__doc__)
    parser.add_argument("--links", type=int, default=200)
    parser.add_argument("--messages", type=int, default=20)
    parser.add_argument("--members", help=argparse.SUPPRESS)  # Ourselves again: the members of one process.
    asked = parser.parse_args(list(arguments))
    if asked.members:
        folders, spec = json.loads(asked.members)
        anyio.run(_members, folders, spec)
        return 0
    with tempfile.TemporaryDirectory(prefix="bm-", dir="/var/tmp") as folder:
        print(json.dumps(_measure(Path(folder), asked.links, asked.messages)))
    return 0


def _measure(folder: Path, links: int, messages: int) -> dict[str, object]:
    hub_home, absent, *homes = make_homes(folder, "Hub", ABSENT, *(f"Member {number:04}" for number in range(links)))
    command = [sys.executable, "-m", "beepmesh", "--home", str(hub_home)]
    hub = subprocess.Popen([*command, "hub", "--listen", "127.0.0.1:0", "--json"], stdout=subprocess.PIPE, text=True)
    members: list[subprocess.Popen[str]] = []
    try:
        assert hub.stdout is not None
        ready = json.loads(hub.stdout.readline())
        started = _cpu_s(hub.pid)
        begun = time.monotonic()
        spec = f"hub:https://{ready['addresses'][0]}#{ready['pin']}"
        sync = [sys.executable, "-m", "beepmesh", "--home", str(absent), "sync", spec]
        subprocess.run(sync, check=True, capture_output=True)
        for number in range(PROCESSES):
            ours = [str(home) for home in homes[number::PROCESSES]]
            members.append(_members_process(json.dumps([ours, spec])))
        for line in (json.loads(_line(member)) for member in members):
            assert line["event"] == "linked"
        linked_s, linked_cpu_s = time.monotonic() - begun, _cpu_s(hub.pid) - started
        time.sleep(SETTLE_S)
        idle_bytes, before = _resident_bytes(hub.pid), _cpu_s(hub.pid)
        for member in members:
            _tell(member, str(messages))
        sent_at = time.monotonic()
        for number in range(messages):
            text = f"The ford is deep, {number}."
            subprocess.run([*command, "send", ABSENT, text, "--priority", "urgent"], check=True, capture_output=True)
        for line in (json.loads(_line(member)) for member in members):
            assert line["event"] == "delivered"
        cpu_s = _cpu_s(hub.pid) - before
        return {
            "links": links,
            "linking_s": round(linked_s, 1),
            "hub_cpu_ms_a_link": round(1_000 * linked_cpu_s / links, 1),
            "hub_mb_idle": round(idle_bytes / 1e6, 1),
            "hub_mb_after": round(_resident_bytes(hub.pid) / 1e6, 1),
            "deliveries": messages * links,
            "seconds": round(time.monotonic() - sent_at, 1),
            "hub_cpu_s": round(cpu_s, 2),
            "deliveries_a_hub_cpu_s": round(messages * links / cpu_s),
        }
    finally:
        for process in (*members, hub):
            process.kill()
            process.communicate()


def _members_process(what: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "hub", "--members", what], stdin=pipe, stdout=pipe, text=True
    )


async def _members(folders: list[str], spec: str) -> None:
    """Members of one process: say when all are linked, then when each holds what was announced."""
    nodes = [Node(await to_thread.run_sync(Home.open, Path(folder))) for folder in folders]
    async with anyio.create_task_group() as tasks:
        for node in nodes:
            await node.start(tasks, [parse(spec)])
        with anyio.fail_after(WITHIN_S):
            while not all(node.peers for node in nodes):  # noqa: ASYNC110 - asked of many, seldom
                await anyio.sleep(0.2)
            print(json.dumps({"event": "linked"}), flush=True)
            wanted = int(await to_thread.run_sync(sys.stdin.readline))
            entries = [await _entries(node) for node in nodes]
            for node, held in zip(nodes, entries, strict=True):
                while await _entries(node) - held < wanted:  # noqa: ASYNC110
                    await anyio.sleep(0.2)
        print(json.dumps({"event": "delivered"}), flush=True)
        tasks.cancel_scope.cancel()


async def _entries(node: Node) -> int:
    """How many it holds, asked by the node's own worker: a store serves one thread at a time."""
    return await node.act(lambda: node.home.store.size().entries)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
