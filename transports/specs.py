"""From a word to a transport: `lan`, `hub:URL` and the rest. Each kind is imported only when it is asked for."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transports.link import Transport

FORMS = {
    "lan": "lan, lan:PORT, lan:probe",
    "tcp": "tcp:HOST:PORT",
    "listen": "listen:HOST:PORT, listen:PORT",
    "hub": "hub:https://HOST, hub:HOST:PORT, hub:https://HOST:PORT#PIN",
    "memory": "memory:, memory:NAME",
}


class SpecError(ValueError):
    """A spec that names no link we know; the text says what was meant or what there is."""


def parse(spec: str, *, newcomer: bool = False) -> Transport:
    """The transport a spec names, not yet serving. `newcomer`: for a device that is not a member yet. Raises SpecError
    and nothing else."""
    kind, _, rest = spec.strip().partition(":")
    try:
        match kind:
            case "lan":
                return _lan(rest, newcomer)
            case "tcp":
                return _tcp(rest)
            case "listen":
                return _listen(rest)
            case "hub":
                from transports.hub import HubTransport

                return HubTransport(rest)
            case "memory":
                from transports.memory import SHARED

                return SHARED.transport(rest)
            case _:
                pass
    except ValueError as error:
        raise SpecError(f"{spec!r} does not name a link: {error}. It is written {FORMS[kind]}.") from error
    near = difflib.get_close_matches(kind.lower(), FORMS, n=1, cutoff=0.5)
    known = FORMS[near[0]] if near else "; ".join(FORMS.values())
    raise SpecError(
        f"No link is called {kind!r}. {'Did you mean' if near else 'There are'}: {known}{'?' if near else '.'}"
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65_535):
        raise ValueError(f"{text!r} is not a port (0..65535)")
    return int(text)


def _lan(rest: str, newcomer: bool) -> Transport:
    from transports.lan import LanTransport

    if rest == "probe":
        return LanTransport(probe=True, newcomer=newcomer)
    return LanTransport(_port(rest) if rest else None, newcomer=newcomer)


def _tcp(rest: str) -> Transport:
    from transports.tcp import DialTransport, host_port

    host, port = host_port(rest)
    if not port:
        raise ValueError("port 0 cannot be dialled")
    return DialTransport(host, port)


def _listen(rest: str) -> Transport:
    from transports.tcp import ListenTransport, host_port

    return ListenTransport(*host_port(rest)) if ":" in rest else ListenTransport("", _port(rest))
