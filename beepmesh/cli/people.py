"""People and the devices met: `who`, `revoke`, `peers`."""

from __future__ import annotations

import sys

from beepmesh import admission, desk
from beepmesh.addressing import one_person
from beepmesh.cli.call import Call
from beepmesh.cli.text import count_of, iso_time, local_time, safe_line, span
from beepmesh.errors import BeepmeshError, Usage
from beepmesh.standing import Neighbour, status

SHORT_ID = 8


def who(call: Call) -> None:
    """Everybody in the roster."""
    with call.open() as home:
        people = desk.people(home, now_ms=call.now_ms())
    if call.screen.is_json:
        call.screen.result(
            {
                "people": [
                    {
                        "name": person.name,
                        "person": person.person,
                        "department": person.department,
                        "roles": list(person.roles),
                        "devices": person.devices,
                        "reachable": person.reachable,
                        "revoked": person.revoked,
                        "expired": person.expired,
                        "me": person.me,
                    }
                    for person in people
                ]
            }
        )
        return
    rows = [
        (safe_line(person.name), safe_line(person.department) or "-", ", ".join(person.roles) or "-", _remark(person))
        for person in people
    ]
    call.screen.table(("name", "department", "roles", ""), rows)
    if len(people) < 2:
        call.screen.aside("Nobody else is known here yet: word of others comes when devices meet (`beepmesh run`).")


def revoke(call: Call, *, who: str, yes: bool) -> None:
    """Put somebody out, after asking."""
    with call.open() as home:
        person = one_person(home, who)
        if not yes:
            _confirm(call, safe_line(person.name), len(person.devices))
        done = admission.revoke(home, who, now_ms=call.now_ms())
        running = home.node_process() is not None
    if call.screen.is_json:
        call.screen.result({"who": done.name, "devices": done.devices, "feeds_cut": done.feeds_cut})
    call.screen.line(f"{safe_line(done.name)} is revoked, with {count_of(done.devices, 'device')}.")
    if not done.feeds_cut:
        call.screen.line(
            "Another device let some of them in and alone knows their message feeds. Revoke there too, so that what"
            " they write from now on is refused everywhere."
        )
    if not running:
        call.screen.line("No node runs on this home: `beepmesh run`, or `beepmesh sync`, spreads the word.")


def peers(call: Call) -> None:
    """The devices met, latest first."""
    with call.open() as home:
        standing = status(home, now_ms=call.now_ms())
    met, node = standing.neighbours, standing.node
    if call.screen.is_json:
        call.screen.result({"node": node, "peers": peers_json(met)})
        return
    if met:
        call.screen.table(("device of", "last met", "over", "address"), peers_rows(met, call.now_ms()))
    else:
        call.screen.line("No device has been met yet. `beepmesh run` looks for others; so does `beepmesh sync`.")


def peers_json(met: tuple[Neighbour, ...]) -> list[dict[str, object]]:
    """The devices met, for programs."""
    return [
        {
            "name": peer.name,
            "device": peer.device,
            "last_seen": iso_time(peer.last_seen_ms),
            "transport": peer.transport,
            "address": peer.address,
        }
        for peer in met
    ]


def peers_rows(met: tuple[Neighbour, ...], now_ms: int) -> list[tuple[str, str, str, str]]:
    """The devices met, for people."""
    return [
        (
            f"{safe_line(peer.name)} [{peer.device[:SHORT_ID]}]",
            f"{local_time(peer.last_seen_ms, now_ms)} ({_ago(peer.last_seen_ms, now_ms)})",
            safe_line(peer.transport),
            safe_line(peer.address),
        )
        for peer in met
    ]


def _ago(then_ms: int, now_ms: int) -> str:
    if then_ms > now_ms:
        return "by another clock"
    return f"{span((now_ms - then_ms) / 1_000)} ago"


def _remark(person: desk.KnownPerson) -> str:
    if person.me:
        return "you"
    if person.revoked:
        return "revoked"
    if person.expired:
        return "certificate ended"
    return "" if person.reachable else "keys not here yet; messages wait"


def _confirm(call: Call, name: str, devices: int) -> None:
    """Raises Usage where nobody can be asked, BeepmeshError for a no."""
    if call.screen.is_json or not sys.stdin.isatty():
        raise Usage("Revoking has no way back, and nobody can be asked here. Add --yes if it is meant.")
    print(
        f"Shut out {name} with {count_of(devices, 'device')} for good? Type yes: ", end="", file=sys.stderr, flush=True
    )
    if sys.stdin.readline().strip().lower() != "yes":
        raise BeepmeshError("Nobody was revoked.")
