"""`python -m benchmarks hub [--links N]`: one `beepmesh hub` and N members linked to it over real TLS (`linked.py`).

One member writes to somebody absent, and all others carry it: how many entries the hub delivers for each second of its
CPU. With `--ingest` everybody writes to the hub's own person instead, whose inbox is followed meanwhile: how many
messages it proves, opens, numbers and has on the disk in a second. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from beepmesh import desk
from benchmarks.linked import DIALS_AT_A_TIME, Member, Organisation, members, organisation, settle

HUB, ABSENT = 0, 1
"""Places in the organisation. To the absent one everything is written that all are to carry and nobody to let go of."""
SETTLE_S: Final = 3.0
WITHIN_S: Final = 1_800.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
TEXT: Final = "The ford at the mill is too deep for carts since noon; send the next ones by the upper bridge, {}."


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks hub", description=__doc__)
    parser.add_argument("--links", type=int, default=200)
    parser.add_argument("--messages", type=int, default=40, help="so many go to everybody")
    parser.add_argument("--window", type=int, default=4, help="so many of them are under way at a time")
    parser.add_argument("--ingest", type=int, default=0, help="so many go to the hub instead")
    parser.add_argument("--priority", default="urgent", choices=("urgent", "routine"))
    asked = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory(prefix="bm-", dir="/var/tmp") as folder:
        home = Path(folder) / "hub"
        made = organisation(asked.links + 2)
        print(json.dumps(anyio.run(_Load(home, made, asked).measure)))
    return 0


@dataclass(frozen=True, slots=True)
class _Hub:
    """The process, and one that follows its inbox."""

    process: subprocess.Popen[str]
    followed: subprocess.Popen[str]
    spec: str

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)

    def close(self) -> None:
        for process in (self.followed, self.process):
            process.kill()
            process.communicate()


def _start(home: Path) -> _Hub:
    command = [sys.executable, "-m", "beepmesh", "--home", str(home)]
    hub = subprocess.Popen([*command, "hub", "--listen", "127.0.0.1:0", "--json"], stdout=subprocess.PIPE, text=True)
    assert hub.stdout is not None
    ready = json.loads(hub.stdout.readline())
    followed = subprocess.Popen([*command, "inbox", "--follow", "--json"], stdout=subprocess.PIPE, text=True)
    return _Hub(hub, followed, f"hub:https://{ready['addresses'][0]}#{ready['pin']}")


class _Load:
    def __init__(self, home: Path, made: Organisation, asked: argparse.Namespace) -> None:
        self._home, self._made, self._asked = home, made, asked
        self._held: Counter[Member] = Counter()
        self._members: list[Member] = []

    async def measure(self) -> dict[str, object]:
        facts = await to_thread.run_sync(settle, self._home, self._made)
        identities, root = self._made.identities[ABSENT + 1 :], self._made.identities[HUB].root_public
        self._members = list(members(identities, root, facts, self._heard))
        hub = await to_thread.run_sync(_start, self._home)
        figures: dict[str, object] = {"links": len(self._members)}
        try:
            async with anyio.create_task_group() as tasks:
                with anyio.fail_after(WITHIN_S):
                    figures |= await self._link(hub, tasks)
                    print(f"{len(self._members)} linked to process {hub.process.pid}", file=sys.stderr)
                    figures |= await (self._ingest(hub) if self._asked.ingest else self._deliver(hub))
                tasks.cancel_scope.cancel()
            return figures
        finally:
            hub.close()

    def _heard(self, member: Member, entries: int) -> None:
        self._held[member] += entries

    async def _link(self, hub: _Hub, tasks: anyio.abc.TaskGroup) -> dict[str, object]:
        alone_mb, before, begun = hub.resident_mb, hub.cpu_s, time.monotonic()
        turn = anyio.Semaphore(DIALS_AT_A_TIME)
        for member in self._members:
            tasks.start_soon(member.serve, hub.spec, turn)
        while not all(member.is_linked for member in self._members):  # noqa: ASYNC110 - asked of many, seldom
            await anyio.sleep(0.2)
        linking_s = time.monotonic() - begun
        await anyio.sleep(SETTLE_S)
        return {
            "linking_s": round(linking_s, 1),
            "hub_cpu_ms_a_link": round(1_000 * (hub.cpu_s - before) / len(self._members), 2),
            "hub_mb_alone": alone_mb,
            "hub_mb_linked": hub.resident_mb,
        }

    async def _deliver(self, hub: _Hub) -> dict[str, object]:
        author, *others = self._members
        self._held.clear()
        before, own_before, begun = hub.cpu_s, time.process_time(), time.monotonic()
        written = 0
        while (held := min(self._held[member] for member in others)) < self._asked.messages:
            while written < min(self._asked.messages, held + self._asked.window):
                _write(author, "Member 0001", written, self._asked.priority)
                written += 1
            author.notice()
            await anyio.sleep(0.005)
        cpu_s, deliveries = hub.cpu_s - before, self._asked.messages * len(others)
        return {
            "deliveries": deliveries,
            "delivering_s": round(time.monotonic() - begun, 2),
            "hub_cpu_s": round(cpu_s, 2),
            "load_cpu_s": round(time.process_time() - own_before, 2),
            "deliveries_a_hub_cpu_s": round(deliveries / cpu_s),
            "hub_mb_after": hub.resident_mb,
        }

    async def _ingest(self, hub: _Hub) -> dict[str, object]:
        for number in range(self._asked.ingest):
            _write(self._members[number % len(self._members)], "Hub", number, "routine")
        before, begun = hub.cpu_s, time.monotonic()
        for member in self._members:
            member.notice()
        await to_thread.run_sync(_lines, hub.followed, self._asked.ingest)
        seconds = time.monotonic() - begun
        return {
            "ingested": self._asked.ingest,
            "ingested_a_s": round(self._asked.ingest / seconds),
            "ingested_a_hub_cpu_s": round(self._asked.ingest / (hub.cpu_s - before)),
        }


def _write(member: Member, who: str, number: int, priority: str) -> None:
    desk.send(member.home, who, TEXT.format(number), priority=priority, now_ms=time.time_ns() // 1_000_000)


def _lines(process: subprocess.Popen[str], count: int) -> None:
    assert process.stdout is not None
    for _ in range(count):
        assert process.stdout.readline(), "the inbox is followed no more"
