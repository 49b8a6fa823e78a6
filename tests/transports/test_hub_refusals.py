"""What can stand between a node and its hub, as real servers on the loopback: each has its word, none is the end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import anyio
import pytest

from tests.transports.arrivals import until
from tests.transports.certificates import certified
from transports.hub import HUB_BOUNDS, HubListener, HubRefused, HubTransport, dial_hub
from transports.link import Link, LinkBroken
from transports.listening import Bounds
from transports.tcp import host_port
from transports.tls import client_context, server_context
from transports.wss_link import Patience

Serving: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
EAGER = Patience(answer_s=0.05, pong_s=0.1, idle_s=60, slow_s=0.2)


@asynccontextmanager
async def serving(serve: Serving, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that does what it likes; gives its port."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def gone(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def answers(text: bytes, *, and_waits: bool = False) -> Serving:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(text)
        await writer.drain()
        if and_waits:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    return serve


async def refused(port: int, pin: bytes | None, *, host: str = "127.0.0.1", within_s: float = 10.0) -> HubRefused:
    with pytest.raises(HubRefused) as caught:
        await dial_hub(host, port, client_context(pin), pin, within_s=within_s)
    return caught.value


def against(answer: bytes, *, and_waits: bool = False) -> HubRefused:
    async def main() -> HubRefused:
        with certified() as (certificate, key, pin):
            async with serving(answers(answer, and_waits=and_waits), server_context(certificate, key)) as port:
                return await refused(port, pin)

    return anyio.run(main)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"200 OK", "captive-portal"),
        (b"302 Found", "captive-portal"),
        (b"511 Network Authentication Required", "captive-portal"),
        (b"401 Unauthorized", "login-wanted"),
        (b"407 Proxy Authentication Required", "proxy-login"),
        (b"404 Not Found", "no-hub"),
        (b"502 Bad Gateway", "hub-unavailable"),
        (b"503 Service Unavailable", "hub-unavailable"),
        (b"418 Teapot", "hub-refused"),
    ],
)
def test_an_answer_that_is_no_upgrade_has_its_word_before_its_page_ends(line: bytes, reason: str) -> None:
    page = b"HTTP/1.1 " + line + b"\r\nContent-Type: text/html\r\n\r\n<html>Please log in"
    assert against(page, and_waits=True).reason == reason


def test_a_hub_says_when_to_come_back_within_an_hour() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\n\r\n"
    assert against(answer % b"17").retry_after_s == 17
    assert against(answer % b"99999999").retry_after_s == 3600
    assert against(answer % b"Wed, 21 Oct 2026 07:28:00 GMT").retry_after_s == 0


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 101\r\n\r\n", b"HTTP/1.1 101 x\r\n bad\r\n\r\n"])
def test_an_answer_that_is_no_http_is_named(answer: bytes) -> None:
    assert against(answer).reason in ("no-http", "hub-refused")


def test_a_head_without_end_is_not_kept() -> None:
    assert against(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, and_waits=True).reason == "no-http"


def test_a_101_with_another_key_is_no_hub() -> None:
    answer = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"
    assert against(answer).reason == "hub-refused"


def test_another_key_is_a_wrong_pin_and_nothing_is_asked() -> None:
    async def main() -> None:
        asked: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.read(100))

        with certified() as (certificate, key, _), certified() as (_, _, other_pin):
            async with serving(serve, server_context(certificate, key)) as port:
                assert (await refused(port, other_pin)).reason == "pin-wrong"
        assert not any(asked)

    anyio.run(main)


def test_without_a_pin_an_unknown_authority_is_refused() -> None:
    async def main() -> None:
        with certified() as (certificate, key, _):
            async with serving(answers(b""), server_context(certificate, key)) as port:
                assert (await refused(port, None)).reason == "tls-unknown"

    anyio.run(main)


def test_a_date_keeps_those_away_who_have_no_pin_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with certified("localhost", timedelta(days=1)) as (certificate, key, pin):
            monkeypatch.setenv("SSL_CERT_FILE", certificate)
            async with serving(answers(b"HTTP/1.1 404 x\r\n\r\n"), server_context(certificate, key)) as port:
                assert (await refused(port, None, host="localhost")).reason == "tls-date"
                assert (await refused(port, pin)).reason == "no-hub", "TLS has let it through"

    anyio.run(main)


def test_another_name_in_a_trusted_certificate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with certified() as (certificate, key, _):
            monkeypatch.setenv("SSL_CERT_FILE", certificate)
            async with serving(answers(b""), server_context(certificate, key)) as port:
                assert (await refused(port, None)).reason == "tls-name"

    anyio.run(main)


def test_what_speaks_no_tls_is_named() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async def main() -> None:
        async with serving(serve) as port:
            assert (await refused(port, bytes(16))).reason == "tls-failed"

    anyio.run(main)


def test_a_server_that_says_nothing_is_left_in_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async def main() -> None:
        async with serving(serve) as port:
            assert (await refused(port, bytes(16), within_s=0.2)).reason == "no-answer"

    anyio.run(main)


def test_nobody_there_and_no_such_name() -> None:
    async def main() -> None:
        async with serving(answers(b"")) as port:
            pass
        assert (await refused(port, None)).reason == "refused"
        assert (await refused(443, None, host="no-such-name.invalid")).reason in ("unknown-name", "no-answer")

    anyio.run(main)


async def relay(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    carry: Serving,
) -> None:
    """Carry bytes both ways until one side has ended."""
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(carry, near[0], far[1])
            await carry(far[0], near[1])
            group.cancel_scope.cancel()
    finally:
        far[1].transport.abort()


# Through a proxy.


@asynccontextmanager
async def proxied(monkeypatch: pytest.MonkeyPatch, serve: Serving, user: str = "") -> AsyncIterator[None]:
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{user}127.0.0.1:{port}")
        yield


def test_a_proxy_that_wants_a_login_and_one_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        for answer, reason in (
            (b"407 Who are you", "proxy-login"),
            (b"403 No", "forbidden"),
            (b"502 x", "hub-unavailable"),
        ):
            async with proxied(monkeypatch, answers(b"HTTP/1.1 " + answer + b"\r\n\r\n")):
                assert (await refused(443, None, host="hub.example")).reason == reason

    anyio.run(main)


def test_a_proxy_cannot_send_a_node_away_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with proxied(monkeypatch, answers(b"HTTP/1.1 503 Later\r\nRetry-After: 3600\r\n\r\n")):
            said = await refused(443, None, host="hub.example")
            assert (said.reason, said.retry_after_s) == ("hub-unavailable", 0)

    anyio.run(main)


def test_a_proxy_of_another_kind_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")

    async def main() -> None:
        assert (await refused(443, None, host="hub.example")).reason == "odd-proxy"

    anyio.run(main)


def test_a_link_through_a_proxy_with_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def main() -> None:
        with certified() as (certificate, key, pin):
            listener = HubListener("127.0.0.1", 0, certificate, key)

            async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while data := await reader.read(4096):
                    writer.write(data)

            async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                asked.append(await head(reader))
                there, back = await asyncio.open_connection(*host_port(listener.addresses()[0]))
                writer.write(b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n")
                await relay((reader, writer), (there, back), pump)

            async def echo(link: Link) -> None:
                await link.send(await link.receive())
                await link.receive()

            async with anyio.create_task_group() as group, proxied(monkeypatch, connect, "amina:a%20b@"):
                await group.start(listener.serve, echo)
                link = await dial_hub("hub.example", 443, client_context(pin), pin)
                await link.send(b"x" * 60_000)
                assert await link.receive() == b"x" * 60_000
                await link.aclose()
                group.cancel_scope.cancel()

    anyio.run(main)
    assert asked[0].startswith(b"CONNECT hub.example:443 HTTP/1.1\r\n")
    assert b"Basic " + base64.b64encode(b"amina:a b") in asked[0]


# Once the link is up.


def test_a_path_that_swallows_bytes_ends_the_link() -> None:
    async def main() -> None:
        with certified() as (certificate, key, pin):
            listener = HubListener("127.0.0.1", 0, certificate, key)
            is_open = True

            async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while data := await reader.read(4096):
                    if is_open:
                        writer.write(data)

            async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                there, back = await asyncio.open_connection(*host_port(listener.addresses()[0]))
                await relay((reader, writer), (there, back), carry)

            async def stay(link: Link) -> None:
                async for record in link:
                    await link.send(record)

            async with anyio.create_task_group() as group, serving(swallow) as port:
                await group.start(listener.serve, stay)
                link = await dial_hub("127.0.0.1", port, client_context(pin), pin, patience=EAGER)
                await link.send(b"heard")
                assert await link.receive() == b"heard"
                is_open = False
                await link.send(b"never heard")
                with pytest.raises(LinkBroken, match="swallowed"):
                    await link.receive()
                group.cancel_scope.cancel()

    anyio.run(main)


def test_one_that_answers_no_record_but_lives_keeps_its_link() -> None:
    async def main() -> None:
        with certified() as (certificate, key, pin):
            listener = HubListener("127.0.0.1", 0, certificate, key)
            async with anyio.create_task_group() as group:
                await group.start(listener.serve, discard)
                patience = Patience(answer_s=0.02, pong_s=5, idle_s=0.05, slow_s=5)
                link = await dial_hub(*host_port(listener.addresses()[0]), client_context(pin), pin, patience=patience)
                await link.send(b"one")
                with anyio.move_on_after(0.5):
                    await link.receive()
                assert not link.broken
                group.cancel_scope.cancel()

    anyio.run(main)


@asynccontextmanager
async def hub(handler: Callable[[Link], Awaitable[None]], bounds: Bounds = HUB_BOUNDS) -> AsyncIterator[HubListener]:
    with certified() as (certificate, key, _):
        listener = HubListener("127.0.0.1", 0, certificate, key, patience=EAGER, bounds=bounds)
        async with anyio.create_task_group() as group:
            await group.start(listener.serve, handler)
            yield listener
            group.cancel_scope.cancel()


async def counted(listener: HubListener, reason: str) -> None:
    await until(lambda: listener.failures[reason] > 0)


async def discard(link: Link) -> None:
    async for _ in link:
        pass


async def by_hand(listener: HubListener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket opened with nothing but a TLS connection."""
    context = client_context(bytes(16))
    reader, writer = await asyncio.open_connection(*host_port(listener.addresses()[0]), ssl=context)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b" 101 " in await head(reader)
    return reader, writer


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x82\xff" + (65_536).to_bytes(8, "big") + bytes(4), "oversize"),
        (b"\x82\xff" + (2**62).to_bytes(8, "big") + bytes(4), "oversize"),
        (b"\x81\x81" + bytes(4) + b"x", "malformed"),  # Text.
        (b"\x82\x80" + bytes(4), "malformed"),  # An empty record.
        (b"\x82\x01x", "malformed"),  # Unmasked.
        (b"\xf2\x81" + bytes(4) + b"x", "malformed"),  # Reserved bits.
        (b"\x00\x81" + bytes(4) + b"x", "malformed"),  # Continues nothing.
        ((b"\x02" + b"\x81" + bytes(4) + b"x") + (b"\x00\x81" + bytes(4) + b"x") * 70, "malformed"),  # Crumbs.
    ],
)
def test_frames_that_are_no_record_end_the_link_and_nobody_elses(frame: bytes, reason: str) -> None:
    async def main() -> None:
        with anyio.fail_after(20):
            async with hub(discard) as listener:
                other_reader, other = await by_hand(listener)
                _, writer = await by_hand(listener)
                writer.write(frame)
                await counted(listener, reason)
                await gone(writer)
                other.write(b"\x89\x81" + bytes(4) + b"p")
                assert await other_reader.readexactly(3) == b"\x8a\x01p"
                await gone(other)

    anyio.run(main)


def test_one_that_asks_and_never_reads_is_dropped() -> None:
    async def main() -> None:
        async def talk(link: Link) -> None:
            while True:
                await link.send(bytes(60_000))

        with anyio.fail_after(20):
            async with hub(talk) as listener:
                _, writer = await by_hand(listener)
                await counted(listener, "slow-reader")
                await gone(writer)

    anyio.run(main)


def test_a_slow_loris_is_dropped_and_others_are_served() -> None:
    async def main() -> None:
        with anyio.fail_after(20):
            async with hub(discard, Bounds(first_record_s=0.4, half_open_per_host_max=8)) as listener:
                where = host_port(listener.addresses()[0])
                drips = [await asyncio.open_connection(*where) for _ in range(3)]
                tls = [await asyncio.open_connection(*where, ssl=client_context(bytes(16))) for _ in range(2)]
                for _, writer in drips:
                    writer.write(b"\x16\x03")
                for _, writer in tls:
                    writer.write(b"GET / HT")
                reader, writer = await by_hand(listener)
                writer.write(b"\x82\x81" + bytes(4) + b"r\x89\x81" + bytes(4) + b"p")
                assert await reader.readexactly(3) == b"\x8a\x01p"
                await until(lambda: listener.failures["silent"] >= 5)
                await gone(*(one for _, one in (*drips, *tls, (reader, writer))))

    anyio.run(main)


def test_a_head_that_never_ends_is_refused() -> None:
    async def main() -> None:
        with anyio.fail_after(20):
            async with hub(discard) as listener:
                where = host_port(listener.addresses()[0])
                _, writer = await asyncio.open_connection(*where, ssl=client_context(bytes(16)))
                writer.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000)
                await counted(listener, "malformed")
                await gone(writer)

    anyio.run(main)


def test_a_hub_that_stops_says_when_to_come_back() -> None:
    async def main() -> None:
        with certified() as (certificate, key, pin):
            listener = HubListener("127.0.0.1", 0, certificate, key)
            async with anyio.create_task_group() as group:
                await group.start(listener.serve, discard)
                link = await dial_hub(*host_port(listener.addresses()[0]), client_context(pin), pin)
                await link.send(b"here")
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True), pytest.raises(LinkBroken, match="closed-there"):
                    await link.receive()
                assert link.retry_after_s == 5

    anyio.run(main)


def test_trouble_is_counted_and_followed_by_another_attempt() -> None:
    async def main() -> None:
        with certified() as (certificate, key, pin):
            page = b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n"
            async with serving(answers(page), server_context(certificate, key)) as port:
                transport = HubTransport(f"https://127.0.0.1:{port}#{pin.hex()}")
                async with anyio.create_task_group() as group:
                    await group.start(transport.serve, discard)
                    await until(lambda: transport.failures["captive-portal"] >= 2, 30)
                    group.cancel_scope.cancel()

    anyio.run(main)
