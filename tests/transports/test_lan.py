"""Neighbours on local networks: found, dialled once, found again.

In one process over the loopback, and on hosts made of network namespaces where cables are pulled out.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from beepmesh.demo.hosts import NetworkHosts, can_make_hosts
from tests.transports.arrivals import Arrivals, until
from transports import dialling, lan, mdns
from transports.interfaces import Place
from transports.lan import LanTransport
from transports.tcp import ListenTransport, host_port

LOOPBACK = (Place("lo", 1, "127.0.0.1", 8),)
VISITOR = Path(__file__).with_name("lan_visitor.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _alone_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that run at the same time may have nodes on the loopback, too."""
    monkeypatch.setattr(mdns, "SERVICE", f"_bm{os.getpid()}._tcp.local.")


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(30):
            await story()

    anyio.run(main)


def on_loopback(port: int | None = 0, seed: int = 1) -> LanTransport:
    return LanTransport(port, chance=random.Random(seed), look=lambda: LOOPBACK)


def test_two_nodes_find_each_other_and_keep_one_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "YIELD_S", 0.3)

    async def story() -> None:
        here, there = Arrivals("there"), Arrivals("here")
        one, other = on_loopback(), on_loopback()
        async with anyio.create_task_group() as group:
            await group.start(one.serve, here)
            await group.start(other.serve, there)
            a, b = await here.next(), await there.next()
            assert a.info.dialled is not b.info.dialled
            assert a.info.transport == "lan"
            dialler = one if a.info.dialled else other
            assert dialler._plan.own_name == max(one._plan.own_name, other._plan.own_name)
            # The other side's turn comes and passes: it sees the link and leaves it at that.
            with anyio.move_on_after(1.0):
                await here.next()
            assert (here.count, there.count) == (1, 1)
            assert one.known() == other.addresses()
            assert other.known() == one.addresses()
            assert not one.failures
            group.cancel_scope.cancel()

    run(story)


def test_a_node_never_links_to_itself() -> None:
    async def story() -> None:
        alone = Arrivals()
        transport = on_loopback()
        async with anyio.create_task_group() as group:
            await group.start(transport.serve, alone)
            transport.remember([*transport.addresses(), "nonsense:port"])
            with anyio.move_on_after(1.0):
                await alone.next()
            assert alone.count == 0
            assert transport.failures["odd-address"] == 1
            group.cancel_scope.cancel()

    run(story)


def test_a_remembered_address_is_dialled_where_multicast_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoBeacon:
        def __init__(self, *_: object) -> None:
            raise OSError("multicast is filtered here")

    monkeypatch.setattr(lan, "_load_beacon", lambda: NoBeacon)

    async def story() -> None:
        here, there = Arrivals("there"), Arrivals()
        listener = ListenTransport("127.0.0.1", 0)
        transport = on_loopback()
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, there)
            transport.remember(listener.addresses())
            await group.start(transport.serve, here)
            link = await here.next()
            assert link.info.address == listener.addresses()[0]
            assert transport.failures["no-multicast"] == 1
            assert transport.known() == listener.addresses()
            group.cancel_scope.cancel()

    run(story)


def test_the_default_port_is_used_if_it_is_free_and_another_if_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        taken = ListenTransport("", 0)
        async with anyio.create_task_group() as group:
            await group.start(taken.serve, Arrivals())
            port = host_port(taken.addresses()[0])[1]
            monkeypatch.setattr(lan, "DEFAULT_PORT", port)
            transport = on_loopback(None)
            await group.start(transport.serve, Arrivals())
            assert host_port(transport.addresses()[0])[1] not in (0, port)
            with pytest.raises(OSError, match="in use"):
                await on_loopback(port).serve(Arrivals())
            group.cancel_scope.cancel()
        async with anyio.create_task_group() as group:
            free = on_loopback(None)
            await group.start(free.serve, Arrivals())
            assert free.addresses() == [f"127.0.0.1:{lan.DEFAULT_PORT}"]
            group.cancel_scope.cancel()

    run(story)


def test_a_probe_finds_a_listener_that_announces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "PROBE_FIRST_S", 0.0)
    monkeypatch.setattr(lan, "PROBE_STEP_S", 0.01)

    async def story() -> None:
        here, there = Arrivals("there"), Arrivals()
        listener = ListenTransport("127.0.0.3", 0)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, there)
            monkeypatch.setattr(lan, "DEFAULT_PORT", host_port(listener.addresses()[0])[1])
            transport = LanTransport(probe=True, chance=random.Random(3), look=lambda: LOOPBACK)
            await group.start(transport.serve, here)
            assert (await here.next()).info.address == listener.addresses()[0]
            assert transport.known() == listener.addresses()
            group.cancel_scope.cancel()

    run(story)


def test_an_interface_that_goes_ends_its_links_and_one_that_comes_makes_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lan, "LOOK_S", 0.05)

    async def story() -> None:
        here, there = Arrivals("there"), Arrivals("here")
        own: tuple[Place, ...] = LOOPBACK
        one = LanTransport(0, chance=random.Random(4), look=lambda: own)
        async with anyio.create_task_group() as group:
            await group.start(one.serve, here)
            await group.start(on_loopback().serve, there)
            link = await here.next()
            own = ()
            await here.until(lambda: not here.living)
            assert link.broken == "interface-gone"
            await until(lambda: one.addresses() == [])
            own = LOOPBACK
            assert not (await here.next()).broken
            group.cancel_scope.cancel()

    run(story)


def test_the_announcement_says_nothing_about_the_machine_and_changes_with_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced: list[tuple[str, str, int]] = []
    closed: list[int] = []

    class Witness:
        def __init__(self, *_: object) -> None:
            pass

        async def open(self, instance: str, host: str, port: int) -> None:
            announced.append((instance, host, port))

        async def close(self) -> None:
            closed.append(1)

    monkeypatch.setattr(lan, "_load_beacon", lambda: Witness)
    monkeypatch.setattr(lan, "LOOK_S", 0.01)
    monkeypatch.setattr(lan, "NAME_S", 0.02)

    async def story() -> None:
        transport = on_loopback()
        async with anyio.create_task_group() as group:
            await group.start(transport.serve, Arrivals())
            await until(lambda: len(announced) >= 3)
            group.cancel_scope.cancel()
        names = [name for one in announced for name in one[:2]]
        assert len(set(names)) == len(names)
        assert all(lan._INSTANCE.fullmatch(name) for name in names)
        assert len(closed) == len(announced)

    run(story)


def test_names_that_are_not_ours_are_counted_and_not_resolved() -> None:
    transport = on_loopback()
    transport._note("Office printer")
    transport._note(transport._plan.own_name)
    assert transport.failures["odd-name"] == 1
    assert transport._heard == {}
    for number in range(lan.HEARD_MAX + 3):
        transport._note(f"{number:016x}")
    assert transport.failures["too-many-names"] == 3


class Visitors:
    """lan_visitor.py running on hosts; what each has printed so far is read as it is asked for."""

    def __init__(self, hosts: NetworkHosts, names: list[str], *specs: str) -> None:
        self.hosts = hosts
        self._running = {
            name: hosts.popen(
                name,
                [sys.executable, "-W", "error", VISITOR, name, *specs],
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
            for name in names
        }

    def next(self, name: str, event: str) -> dict[str, str]:
        """The next line of that kind from the host; pytest's own timeout ends a wait in vain."""
        output = self._running[name].stdout
        assert output is not None
        for line in output:
            said: dict[str, str] = json.loads(line)
            if said["event"] == event:
                return said
        raise AssertionError(f"{name} ended before it said {event}")


@pytest.fixture
def hosts() -> Iterator[NetworkHosts]:
    why_not = can_make_hosts()
    if why_not:
        pytest.skip(f"needs root and network namespaces: {why_not}")
    with NetworkHosts(["ayesha", "bilal", "dawood"]) as made:
        yield made


@pytest.mark.needs_hosts
@pytest.mark.timeout(60)
def test_hosts_in_a_line_link_to_their_neighbours_only_and_again_after_the_cable_was_out(hosts: NetworkHosts) -> None:
    hosts.connect("ayesha", "bilal")
    hosts.connect("bilal", "dawood")
    visitors = Visitors(hosts, ["ayesha", "bilal", "dawood"], "lan")
    assert visitors.next("ayesha", "linked")["peer"] == "bilal"
    assert visitors.next("dawood", "linked")["peer"] == "bilal"
    assert {visitors.next("bilal", "linked")["peer"] for _ in range(2)} == {"ayesha", "dawood"}
    hosts.disconnect("ayesha", "bilal")
    assert visitors.next("ayesha", "ended")["reason"] == "interface-gone"
    assert visitors.next("bilal", "ended")["peer"] == "ayesha"
    hosts.reconnect("ayesha", "bilal")
    assert visitors.next("ayesha", "linked")["peer"] == "bilal"
    assert visitors.next("bilal", "linked")["peer"] == "ayesha"


@pytest.mark.needs_hosts
@pytest.mark.timeout(60)
def test_hosts_with_only_link_local_ipv6_find_each_other_when_the_address_comes_late(hosts: NetworkHosts) -> None:
    hosts.connect("ayesha", "bilal")
    for host, neighbour in (("ayesha", "bilal"), ("bilal", "ayesha")):
        device = hosts.interface(host, neighbour)
        assert hosts.run(host, ["ip", "address", "flush", "dev", device]).returncode == 0
    visitors = Visitors(hosts, ["ayesha", "bilal"], "lan")
    visitors.next("ayesha", "ready")
    visitors.next("bilal", "ready")
    for host, neighbour, address in (("ayesha", "bilal", "fe80::a"), ("bilal", "ayesha", "fe80::b")):
        device = hosts.interface(host, neighbour)
        assert hosts.run(host, ["ip", "address", "add", f"{address}/64", "dev", device]).returncode == 0
    linked = visitors.next("ayesha", "linked")
    assert linked["peer"] == "bilal"
    assert linked["address"].startswith("[fe80::b%to-bilal]:")


@pytest.mark.needs_hosts
@pytest.mark.timeout(60)
def test_one_that_is_heard_but_hears_nothing_is_dialled_by_the_other(hosts: NetworkHosts) -> None:
    """`bilal` only listens where `ayesha` remembers it, as after a network that has begun to filter multicast."""
    hosts.connect("ayesha", "bilal")
    address = f"{hosts.address('bilal', 'ayesha')}:7337"
    visitors = Visitors(hosts, ["bilal"], "listen:7337")
    visitors.next("bilal", "ready")
    remembering = Visitors(hosts, ["ayesha"], "lan", address)
    assert remembering.next("ayesha", "linked")["address"] == address
    assert visitors.next("bilal", "linked")["peer"] == "ayesha"
