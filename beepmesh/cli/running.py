"""Being a node: `run` until stopped, `sync` for one round.

Law: what `run` prints may land in a log that anybody reads, so it never holds the text of a message.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, assert_never

import anyio

from beepmesh.addressing import Names
from beepmesh.cli.bundles import is_bundle, sync_folder
from beepmesh.cli.call import Call
from beepmesh.cli.reasons import met_on_the_way
from beepmesh.cli.text import count_of, listed, safe_line, size
from beepmesh.errors import Unreachable, Usage
from beepmesh.events import JoinDecided, LevelReached, MessageArrived, MessageDelivered, PeerJoined, PeerLeft, Told
from beepmesh.home import Home
from beepmesh.messages.content import DELIVERED, STATE_NAMES, Receipts, Text, Unknown, decode_content
from beepmesh.messages.inbox import Payload
from beepmesh.messages.lifetimes import priority_name
from beepmesh.node import Node, Round
from transports.link import Transport
from transports.specs import SpecError, parse

LOOK_S: Final = 2.0  # How soon a full disk is said, after the node has noticed it.
SHORT_ID: Final = 8


def run(call: Call, *, specs: Sequence[str]) -> None:
    """Be a node until Ctrl-C or SIGTERM."""
    if any(map(is_bundle, specs)):
        raise Usage("A folder with bundles is no link. Give and take with it by `beepmesh sync bundle:DIR`.")
    with call.open() as home:
        transports = transports_of(specs or home.config.links_use)
        with network_in_words([one.spec for one in transports]):
            anyio.run(_run, call, home, transports)
    call.screen.line("Stopped.")


def sync(call: Call, *, specs: Sequence[str], timeout: int) -> None:
    """One round with whoever is near, and with the folders that are named."""
    with call.open() as home:
        folders = [spec for spec in dict.fromkeys(specs) if is_bundle(spec)]
        specs = [spec for spec in specs or home.config.links_use if not is_bundle(spec)]
        transports = transports_of(specs)
        for folder in folders:
            sync_folder(call, home, folder)
        if folders and not specs:
            return
        before = time.monotonic()
        with (
            call.screen.waiting(f"Looking for others on {listed(specs)}"),
            network_in_words([one.spec for one in transports]),
        ):
            rounds = anyio.run(_sync, home, transports, float(timeout))
        seconds = time.monotonic() - before
        tell = _names(home)
        done = [one for one in rounds if one.level]
        if not done:
            raise Unreachable(_nobody(rounds, specs, timeout) + met_on_the_way(transports))
        for one in done:
            _tell_round(call, one, tell(one.device), seconds)


async def _run(call: Call, home: Home, transports: Sequence[Transport]) -> None:
    node = Node(home)
    teller = _Teller(call, home)
    node.listen(teller.told)

    async def ready() -> None:
        addresses = node.addresses()
        if call.screen.is_json:
            device = home.identity.device.hex()
            call.screen.result({"event": "ready", "addresses": addresses, "device": device, "pid": os.getpid()})
        where = f"listens on {listed(addresses)}" if addresses else "dials, and listens nowhere"
        call.screen.line(f"This device is {safe_line(home.identity.name)}'s; it {where}. Ctrl-C ends it.")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_stopped, tasks.cancel_scope)
        tasks.start_soon(_watch_trouble, node, teller)
        await node.serve(transports, ready=ready)


async def until_stopped(scope: anyio.CancelScope) -> None:
    """End everything at the first signal to stop. Where there are no signals, Ctrl-C arrives as KeyboardInterrupt."""
    if sys.platform == "win32":
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _watch_trouble(node: Node, teller: _Teller) -> None:
    known = ""
    while True:
        if node.disk_trouble != known:
            known = node.disk_trouble
            teller.trouble(known)
        await anyio.sleep(LOOK_S)


async def _sync(home: Home, transports: Sequence[Transport], within_s: float) -> list[Round]:
    node = Node(home)
    rounds: list[Round] = []
    async with anyio.create_task_group() as tasks:
        await node.start(tasks, transports)
        rounds += await node.sync_round(within_s=within_s)
        tasks.cancel_scope.cancel()
    return rounds


class _Teller:
    """Says what happens, as it happens: a JSON object or a line each."""

    def __init__(self, call: Call, home: Home) -> None:
        self._screen = call.screen
        self._home = home

    def told(self, told: Told) -> None:
        name = _names(self._home)
        match told:
            case PeerJoined(_, device, transport, address):
                self._say(
                    f"{self._called(device, name)} is near, over {transport} ({safe_line(address)})",
                    "peer-joined",
                    {"peer": name(device), "device": device.hex(), "transport": transport, "address": address},
                )
            case PeerLeft(_, device, reason):
                self._say(
                    f"{self._called(device, name)} has gone",
                    "peer-left",
                    {"peer": name(device), "device": device.hex(), "reason": reason},
                )
            case MessageArrived(payload):
                self._arrived(payload, name(payload.sender))
            case MessageDelivered(message_id, person):
                self._receipt(message_id, Names(self._home).of(person), STATE_NAMES[DELIVERED])
            case JoinDecided(digits, reason):
                said = f"Somebody was not let in: {reason}" if reason else "Somebody with an invitation was let in"
                self._say(
                    f"{said}; check digits {digits[:3]} {digits[3:]}, the same on the new device's screen",
                    "join",
                    {"check_digits": digits, "reason": reason},
                )
            case LevelReached():
                pass  # It is said after each message: nothing that a person waits for.
            case _:
                assert_never(told)

    def _called(self, device: bytes, name: Callable[[bytes], str]) -> str:
        if self._home.roster.device(device) is None:
            return f"A member who is new here [{device.hex()[:SHORT_ID]}]"
        return safe_line(name(device))

    def trouble(self, text: str) -> None:
        self._say(safe_line(text) or "The disk takes what is written again", "trouble", {"text": text})

    def _arrived(self, payload: Payload, sender: str) -> None:
        content = decode_content(payload.content)
        match content:
            case Text(message_id=message_id, priority=priority):
                rank = priority_name(priority)
                self._say(
                    f"A message from {safe_line(sender)} has come [{message_id.hex()[:SHORT_ID]}]"
                    + ("" if rank == "routine" else f", {rank.upper()}"),
                    "message",
                    {"id": message_id.hex(), "from": sender, "priority": rank},
                )
            case Receipts(items=items):
                for message_id, state in items:
                    self._receipt(message_id, sender, STATE_NAMES.get(state, "acknowledged"))
            case Unknown(kind=kind):
                text = f"Something from {safe_line(sender)} has come that only a newer beepmesh understands"
                self._say(text, "unknown", {"from": sender, "kind": kind})
            case _:
                assert_never(content)

    def _receipt(self, message_id: bytes, sender: str, word: str) -> None:
        self._say(
            f"{safe_line(sender)}: message [{message_id.hex()[:SHORT_ID]}] {word}",
            "receipt",
            {"id": message_id.hex(), "from": sender, "state": word},
        )

    def _say(self, text: str, event: str, fields: dict[str, object]) -> None:
        if self._screen.is_json:
            self._screen.result({"event": event} | fields)
        self._screen.line(f"{time.strftime('%H:%M:%S')}  {text}")


def _names(home: Home) -> Callable[[bytes], str]:
    """What the owner of a device is called here. Made anew each time: the roster grows while a node runs."""
    names = Names(home)

    def of(device: bytes) -> str:
        known = home.roster.device(device)
        return f"unknown#{device[:4].hex()}" if known is None else names.of(known.person)

    return of


def transports_of(specs: Sequence[str]) -> list[Transport]:
    """Raises Usage for a spec that means nothing."""
    try:
        return [parse(spec) for spec in dict.fromkeys(specs)]
    except SpecError as error:
        raise Usage(str(error)) from None


@contextmanager
def network_in_words(specs: Sequence[str]) -> Iterator[None]:
    """Turns the system's refusal to listen into a sentence; other groups of errors stay what they are."""
    try:
        yield
    except* OSError as refused:
        cause: BaseException = refused
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise Unreachable(
            f"This device cannot listen on {listed(specs)} ({cause}). Another program may have that port; name"
            " another one."
        ) from None


def _nobody(rounds: Sequence[Round], specs: Sequence[str], timeout: int) -> str:
    if rounds:
        return (
            f"Somebody was met, but the exchange was not finished in {count_of(timeout, 'second')}. What came is kept;"
            " do it again, or give it longer with --timeout."
        )
    return (
        f"Nobody answered on {listed(specs)} within {count_of(timeout, 'second')}. Is `beepmesh run` going on another"
        " device of your organisation, on the same network? `beepmesh doctor` looks at this one."
    )


def _tell_round(call: Call, one: Round, name: str, seconds: float) -> None:
    traffic = one.traffic
    if call.screen.is_json:
        call.screen.result(
            {
                "peer": name,
                "device": one.device.hex(),
                "sent": {"entries": traffic.sent_entries, "bytes": traffic.sent_bytes},
                "received": {"entries": traffic.received_entries, "bytes": traffic.received_bytes},
                "seconds": round(seconds, 3),
            }
        )
    call.screen.line(
        f"Level with {safe_line(name)}: {_amount(traffic.sent_entries, traffic.sent_bytes)} sent,"
        f" {_amount(traffic.received_entries, traffic.received_bytes)} received, in {seconds:.1f} s."
    )


def _amount(entries: int, count: int) -> str:
    return f"{entries} {'entry' if entries == 1 else 'entries'} ({size(count)})"
