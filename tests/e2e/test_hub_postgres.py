"""Three hubs of one device on one PostgreSQL with a stand-by: what was accepted outlives one hub and the database."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, cast

import pytest

from beepmesh.demo.device import Answer, Device, until, word
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.home import Home
from beepmesh.store.contract import Message, MessageQuery
from beepmesh.testing import make_homes
from tests.e2e.places import await_everybody
from tests.store.clusters import Cluster, room

WRITERS: Final = ("Bilal Shah", "Chand Bibi")
BEFORE: Final = 25  # Messages before anything is killed, and after each kill.
CARRY_ON_S: Final = 15.0  # Five on a machine that has its cores for itself.


class Writer:
    """Somebody who sends to headquarters without a pause, beside a node that dials every hub."""

    def __init__(self, device: Device, specs: list[str]) -> None:
        self.device = device
        device.start(*specs)
        await_everybody([device])
        self._said = device.home.parent.parent / f"{device.host}.accepted"
        argv = [sys.executable, str(Path(__file__).with_name("sending.py")), str(device.home), "hq", device.host]
        with self._said.open("w") as said:
            self._sender = subprocess.Popen(argv, stdout=said, cwd=Path(__file__).parents[2])

    def accepted(self) -> list[str]:
        return [line.split()[1] for line in self._said.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def stop(self) -> None:
        self._sender.kill()
        self._sender.wait()


@contextmanager
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """A primary with an empty database `beepmesh`, and the stand-by for which its commits wait."""
    with room() as folder, ExitStack() as stack:
        primary = Cluster.made(folder / "primary")
        stack.callback(primary.stop)
        primary.start()
        primary.ask("CREATE DATABASE beepmesh")
        standby = primary.standby(folder / "standby", "second")
        stack.callback(standby.stop)
        standby.start()
        primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'second'")
        primary.ask("SELECT pg_reload_conf()")
        until("the stand-by follows", lambda: primary.ask("SELECT sync_state FROM pg_stat_replication") == "sync")
        yield primary, standby


def came(home: Path) -> list[Message]:
    with Home.open(home) as opened:
        return opened.store.messages(MessageQuery(limit=1_000_000))


def count(database: Cluster) -> int:
    return int(database.ask("SELECT count(*) FROM messages WHERE mine = 0", "beepmesh"))


@pytest.mark.timeout(300)
def test_nothing_accepted_is_lost_or_doubled_when_a_hub_and_then_the_database_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    homes = make_homes(tmp_path / "homes", "Ayesha Khan", *WRITERS)
    names = ("hub0", "hub1", "hub2", "a", "b")
    with pair() as (primary, standby), LoopbackHosts(list(names)) as hosts, ExitStack() as stack:
        url = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/beepmesh"
        hubs = [Device(hosts, "hub0", "Ayesha Khan", tmp_path / "hub0", home=homes[0])]
        ready = [hubs[0].start_hub("--listen", "127.0.0.1:0", "--store", url)]
        stack.callback(_end, hubs)
        for host in ("hub1", "hub2"):
            copy = tmp_path / "homes" / host
            shutil.copytree(homes[0], copy, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
            hubs.append(Device(hosts, host, "Ayesha Khan", tmp_path / host, home=copy))
            ready.append(hubs[-1].start_hub("--listen", "127.0.0.1:0"))
        specs = [_spec(one) for one in ready]
        devices = [
            Device(hosts, host, name, tmp_path / host, home=home)
            for host, name, home in zip("ab", WRITERS, homes[1:], strict=True)
        ]
        stack.callback(_end, devices)
        writers = [Writer(device, specs[at:] + specs[:at]) for at, device in enumerate(devices)]
        for writer in writers:
            stack.callback(writer.stop)

        until("messages come", lambda: count(primary) >= BEFORE, 60)
        killed = next(number for number, hub in enumerate(hubs) if hub.events("peer-joined"))
        hubs[killed].kill()
        hub_s = _carried_on(primary)
        primary.kill()
        killed_s = time.monotonic()
        standby.ask("SELECT pg_promote()")
        _carried_on(standby)
        database_s = time.monotonic() - killed_s
        hubs[killed].start_hub("--listen", specs[killed].removeprefix("hub:https://").partition("#")[0])
        for number, hub in enumerate(hubs):
            if number != killed:
                hub.kill()
        _carried_on(standby)  # The hub that was killed first is the only one left.
        for writer in writers:
            writer.stop()
        accepted = [text for writer in writers for text in writer.accepted()]
        until("all have come", lambda: set(accepted) <= {message.row.text for message in came(homes[0])}, 90)

        found = came(homes[0])
        texts = [message.row.text for message in found]
        assert set(accepted) <= set(texts)
        assert len(set(texts)) == len(texts) <= len(accepted) + len(writers)  # One may have been sent and not yet said.
        assert sorted(message.intake for message in found) == list(range(1, len(found) + 1))
        with capsys.disabled():
            print(
                f"\n{len(found)} messages; {hub_s:.1f} s after a hub, {database_s:.1f} s after the database was killed"
            )
        assert max(hub_s, database_s) < CARRY_ON_S


def test_members_of_different_hubs_of_one_device_are_near_each_other(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    homes = make_homes(tmp_path / "homes", "Relay", *WRITERS)
    with LoopbackHosts(["hub0", "hub1", "a", "b"]) as hosts, ExitStack() as stack:
        hubs = [Device(hosts, "hub0", "Relay", tmp_path / "hub0", home=homes[0])]
        stack.callback(_end, hubs)
        ready = [hubs[0].start_hub("--listen", "127.0.0.1:0", "--store", database_url)]
        copy = tmp_path / "homes" / "hub1"
        shutil.copytree(homes[0], copy, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
        hubs.append(Device(hosts, "hub1", "Relay", tmp_path / "hub1", home=copy))
        ready.append(hubs[1].start_hub("--listen", "127.0.0.1:0"))
        a, b = devices = [
            Device(hosts, host, name, tmp_path / host, home=home)
            for host, name, home in zip("ab", WRITERS, homes[1:], strict=True)
        ]
        stack.callback(_end, devices)
        for device, one in zip(devices, ready, strict=True):
            device.start(_spec(one))
        await_everybody(devices)
        begun_s = time.monotonic()
        sent = a.send(WRITERS[1], "The road is open.")
        b.await_event("message")
        taken_s = time.monotonic() - begun_s
        until("the writer knows", lambda: a.states(sent) == {WRITERS[1]: "delivered"})
        with capsys.disabled():
            print(f"\nfrom one hub's member to another's, the command that sends included: {taken_s:.1f} s")


def _spec(ready: Answer) -> str:
    return f"hub:https://{cast('list[str]', ready['addresses'])[0]}#{word(ready, 'pin')}"


def _carried_on(database: Cluster) -> float:
    """How long until more messages of each writer have come than there are."""
    begun_s = time.monotonic()
    before = _by_writer(database)
    until("each writer's messages come again", lambda: _has_grown(before, _by_writer(database), 1), 60)
    taken_s = time.monotonic() - begun_s
    until("they go on coming", lambda: _has_grown(before, _by_writer(database), BEFORE), 60)
    return taken_s


def _by_writer(database: Cluster) -> dict[str, int]:
    found = database.ask("SELECT person, count(*) FROM messages WHERE mine = 0 GROUP BY person", "beepmesh")
    return {person: int(number) for person, _, number in (line.partition("|") for line in found.splitlines())}


def _has_grown(before: dict[str, int], now: dict[str, int], by: int) -> bool:
    return len(now) == len(WRITERS) and all(number >= before.get(person, 0) + by for person, number in now.items())


def _end(devices: list[Device]) -> None:
    for device in devices:
        if device.is_on:
            device.kill()
