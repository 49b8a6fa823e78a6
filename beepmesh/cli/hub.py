"""`hub`: be a node that everybody can reach. Verbs below it (`hub WORD`) stand in modules of their own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import anyio

from beepmesh.cli.call import Call
from beepmesh.cli.running import network_in_words, transports_of, until_stopped
from beepmesh.cli.text import safe_line
from beepmesh.errors import Usage
from beepmesh.hub import certificate
from beepmesh.hub.journal import Journal
from beepmesh.hub.serving import Hub
from transports.tcp import host_port

DEFAULT_PORT: Final = 443


def serve(
    call: Call, *, listen: str, tls_cert: str | None, tls_key: str | None, links: Sequence[str], store: str | None
) -> None:
    """Be a hub until SIGTERM or Ctrl-C."""
    if (tls_cert is None) != (tls_key is None):
        raise Usage(
            "--tls-cert and --tls-key belong together. Give both, or neither for a certificate of the hub's own."
        )
    try:
        host, port = ("", int(listen)) if listen.isascii() and listen.isdecimal() else host_port(listen, DEFAULT_PORT)
        if port > 65_535:
            raise ValueError(f"{listen} is no port")
    except ValueError as error:
        raise Usage(f"--listen is HOST:PORT or PORT, and {error}.") from None
    others = transports_of(links)
    with call.open(store) as home:
        if tls_cert is not None and tls_key is not None:
            used = certificate.given(tls_cert, tls_key)
        else:
            used = certificate.kept(call.path)
        hub = Hub(home, used, (host, port), others, Journal(sys.stdout))
        shown = f"{host or 'HOST'}:{port}"
        call.screen.aside(
            f"This is {safe_line(home.identity.name)}'s hub. Nodes reach it with: beepmesh run hub:https://{shown}"
            + (f"#{used.pin}" if used.is_own else "")
        )
        with network_in_words([f"{shown}"]):
            anyio.run(_serve, hub)
    call.screen.aside("Stopped.")


async def _serve(hub: Hub) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_stopped, tasks.cancel_scope)
        await hub.serve()
