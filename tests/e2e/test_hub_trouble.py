"""All that can stand between nodes and a hub, at once, as real servers and clients: what is well is not held up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import pytest
from anyio import to_thread

from beepmesh.demo.device import Device, until
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.testing import make_homes
from tests.e2e.test_hub import HubOnLoopback, texts
from tests.transports.certificates import certified
from tests.transports.test_hub_refusals import Serving, answers, by_hand, gone, head, serving
from transports.tcp import host_port
from transports.tls import client_context, server_context

HQ, A, B = "Amina", "Ayesha", "Bilal"
OVERSIZE: Final = b"\x82\xff" + (2**40).to_bytes(8, "big") + bytes(4)
DRIPS, GIANTS, ENDLESS = 60, 20, 20
NAMED_S: Final = 90.0
"""A node looks every 10 s at what its transports refused; a busy machine may take a few attempts of each."""


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A head that comes a letter at a time and never ends."""
    await head(reader)
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.2)


async def giant(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Opens a WebSocket, and answers the first words on it with the beginning of a frame of a terabyte."""
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", await head(reader))
    assert found
    accept = base64.b64encode(hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    await reader.read(1)
    writer.write(b"\x82\x7f" + (2**40).to_bytes(8, "big"))
    await reader.read()


async def plain_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A login page that speaks no TLS."""
    await reader.read(100)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n<html>Please log in")
    await writer.drain()
    await reader.read()  # Hung up on at once, the page might be lost in a reset.


BAD_HUBS: Final[dict[str, tuple[Serving, bool]]] = {
    "captive-portal": (answers(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n"), True),
    "tls-failed": (plain_page, False),
    "hub-unavailable": (answers(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), True),
    "no-answer": (drip, True),
    "framing-oversized": (giant, True),
}


@asynccontextmanager
async def bad_hubs() -> AsyncIterator[dict[str, str]]:
    """The spec of each."""
    async with AsyncExitStack() as stack:
        certificate, key, pin = stack.enter_context(certified())
        specs = {}
        for reason, (serve, is_tls) in BAD_HUBS.items():
            context = server_context(certificate, key) if is_tls else None
            port = await stack.enter_async_context(serving(serve, context))
            specs[reason] = f"hub:https://127.0.0.1:{port}#{pin.hex()}"
        yield specs


def counts(device: Device) -> set[str]:
    counted = device.ask("status")["counts"]
    assert isinstance(counted, dict)
    return set(counted)


@pytest.mark.timeout(240)
def test_a_node_names_each_trouble_and_none_holds_up_the_hub_that_is_well(tmp_path: Path) -> None:
    def play(bad: dict[str, str]) -> None:
        with LoopbackHosts(["hub", "a"]) as hosts:
            homes = make_homes(tmp_path / "homes", HQ, A)
            hq, a = (
                Device(hosts, host, name, tmp_path / host, home=home)
                for host, name, home in zip(("hub", "a"), (HQ, A), homes, strict=True)
            )
            hub = HubOnLoopback(hq)
            intercepted = hub.spec.partition("#")[0] + "#" + "0a" * 16
            a.start(*bad.values(), intercepted, hub.spec)
            until("both know each other", lambda: a.knows(HQ) and hq.knows(A), 60)
            a.send(HQ, "The road is open.")
            until("it is at the hub", lambda: texts(hq) == ["The road is open."], 30)
            wanted = {"pin-wrong", *bad} - {"no-answer"}
            until(f"{wanted} are named", lambda: wanted <= counts(a), NAMED_S, every_s=0.5)
            a.send(HQ, "And the ford, too.")
            until("it is still served", lambda: len(texts(hq)) == 2, 30)
            assert a.stop() == 0, a.complaint()
            assert hq.stop() == 0, hq.complaint()

    async def main() -> None:
        async with bad_hubs() as bad:
            await to_thread.run_sync(play, bad)

    anyio.run(main)


async def besiege(address: str, besieged: anyio.Event, over: anyio.Event) -> None:
    """Hold what a hub lets anybody hold: connections that never finish their first words, frames without end."""
    where = host_port(address)
    held = [await asyncio.open_connection(*where) for _ in range(DRIPS)]
    for _, writer in held:
        writer.write(b"\x16\x03")
    for _ in range(GIANTS):
        held.append(await by_hand(address))
        held[-1][1].write(OVERSIZE)
    for _ in range(ENDLESS):
        held.append(await asyncio.open_connection(*where, ssl=client_context(bytes(16))))
        held[-1][1].write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000)
    besieged.set()
    await over.wait()
    await gone(*(writer for _, writer in held))


@pytest.mark.timeout(240)
def test_a_hub_under_siege_serves_its_members_and_names_what_it_refused(tmp_path: Path) -> None:
    with LoopbackHosts(["hub", "a", "b"]) as hosts:
        homes = make_homes(tmp_path / "homes", HQ, A, B)
        hq, a, b = (
            Device(hosts, host, name, tmp_path / host, home=home)
            for host, name, home in zip(("hub", "a", "b"), (HQ, A, B), homes, strict=True)
        )
        hub = HubOnLoopback(hq)
        a.start(hub.spec)

        def play() -> None:
            assert hub.page("/healthz") == (200, "ok\n")
            b.start(hub.spec)  # A newcomer finds room, too.
            until("all know each other", lambda: a.knows(HQ, B) and b.knows(A), 60)
            a.send(B, "The road is open.")
            until("it is at the other member", lambda: texts(b) == ["The road is open."], 30)
            figures = hub.page("/metrics")[1]
            assert f'beepmesh_link_failures_total{{reason="oversize"}} {GIANTS}\n' in figures
            assert f'beepmesh_link_failures_total{{reason="malformed"}} {ENDLESS}\n' in figures

        async def main() -> None:
            besieged, over = anyio.Event(), anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(besiege, hub.address, besieged, over))
                await besieged.wait()
                try:
                    await to_thread.run_sync(play)
                finally:
                    over.set()

        anyio.run(main)
        for device in (a, b, hq):
            assert device.stop() == 0, device.complaint()
