"""How things stand on this device: what waits, what was refused and why, what will end, what is wrong.

Reads only. Everything in it comes from this home; who is near at this moment only a running node knows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from beepmesh.addressing import Names
from beepmesh.config import Setting
from beepmesh.home import Home
from beepmesh.messages.content import KIND_TEXT
from beepmesh.metering import HOUR_MS, METER_NAME, Meter
from beepmesh.store.contract import Count, MessageQuery, Peer, Size

LOOKED_AT_MAX: Final = 500  # Own messages whose ledgers are read: more than a team writes in two weeks.
LANE_NAMES: Final = {1: "messages", 2: "large mail", 3: "bulk"}
SOON_S: Final = 14 * 86_400


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A device that this one was linked to."""

    name: str
    device: str
    last_seen_ms: int
    transport: str
    address: str


@dataclass(frozen=True, slots=True)
class Status:
    """The answer to `beepmesh status`. Times are Unix milliseconds, or seconds where the name ends in _s."""

    org: str
    name: str
    person: str
    device: str
    roles: tuple[str, ...]
    department: str
    people: int
    node: int | None
    """The process of the node that runs on this home, 0 if unknown; None if none runs."""
    unread: int
    underway: dict[str, int]
    """Of our living messages, how many recipients are in which state: "queued", "carried", "delivered", ..."""
    waiting_for_prekeys: int
    """Of those queued, how many recipients a message could not be sealed to yet."""
    certificate_ends_s: int
    prekey_ends_s: int
    """When others stop sealing to our newest prekey; 0 if there is none."""
    local_s: int
    believed_s: int
    counts: dict[str, Count]
    """What was refused or dropped, by reason."""
    frozen_logs: int
    neighbours: tuple[Neighbour, ...]
    size: Size
    writable: bool
    settings: tuple[Setting, ...]
    troubles: tuple[str, ...]
    """What is wrong and what to do, a sentence or two each."""


def status(home: Home, *, now_ms: int) -> Status:
    """Raises StoreProblem."""
    identity, store = home.identity, home.store
    names = Names(home)
    certificate = identity.certificate()
    states, unsealed = _underway(home, now_ms)
    believed_s = home.believed_s(now_ms)
    bundle = home.roster.bundle(identity.device, believed_s)
    return Status(
        org=identity.org_name,
        name=identity.name,
        person=identity.person.hex(),
        device=identity.device.hex(),
        roles=certificate.roles,
        department=certificate.department,
        people=len(home.roster.people()),
        node=home.node_process(),
        unread=len(store.messages(MessageQuery(unread=True))),
        underway=dict(sorted(states.items())),
        waiting_for_prekeys=unsealed,
        certificate_ends_s=certificate.expires,
        prekey_ends_s=0 if bundle is None else bundle.end_s,
        local_s=now_ms // 1_000,
        believed_s=believed_s,
        counts=store.counts(),
        frozen_logs=len(store.frozen()),
        neighbours=tuple(_neighbour(home, names, peer) for peer in store.peers()),
        size=store.size(),
        writable=store.writable,
        settings=tuple(home.config.effective()),
        troubles=tuple(_troubles(home, now_ms)),
    )


def _underway(home: Home, now_ms: int) -> tuple[Counter[str], int]:
    now = home.believed_ms(now_ms)
    own = home.identity.person
    states: Counter[str] = Counter()
    unsealed = 0
    for message in home.store.messages(MessageQuery(direction="out", limit=LOOKED_AT_MAX)):
        if message.row.kind != KIND_TEXT or message.row.expires_ms <= now:
            continue
        for line in home.store.ledger(message.row.message_id, now):
            if line.person != own or own in message.row.to:
                states[line.state] += 1
                unsealed += line.reason == "no-prekey"
    return states, unsealed


def _troubles(home: Home, now_ms: int) -> list[str]:
    found: list[str] = []
    identity, local_s, believed_s = home.identity, now_ms // 1_000, home.believed_s(now_ms)
    if believed_s > local_s:
        found.append(
            f"This device's clock says {_day(local_s)}; headquarters has signed things on {_day(believed_s)}. Set it."
        )
    elif believed_s < local_s:
        found.append(
            f"This device's clock says {_day(local_s)}, and the last sign of headquarters is of {_day(believed_s)}."
            " Set the clock if it is wrong; if it is right, sync with somebody who has met headquarters."
        )
    if home.roster.revoked(identity.device) is not None:
        found.append("This device was revoked: others do not take what it writes. Ask a registrar.")
    certificate = identity.certificate()
    if not certificate.usable_at(believed_s):
        found.append(
            "This device's certificate has ended: others do not take what it writes. Join again in a new home."
        )
    elif certificate.expires < believed_s + SOON_S:
        found.append(
            f"This device's certificate ends on {_day(certificate.expires)}. Ask a registrar for an invitation."
        )
    meter = Meter(home.config.links_metered_kilobytes * 1_000, home.store.get(METER_NAME) or b"", now_ms)
    if waiting := [name for lane, name in LANE_NAMES.items() if not meter.allows(lane)]:
        found.append(
            f"Of the day's {meter.limit_bytes // 1_000} kB for metered links {meter.spent_bytes // 1_000} are used:"
            f" {', '.join(waiting)} from here wait{'s' if len(waiting) == 1 else ''} for the next day, which begins in"
            f" {-(-meter.left_ms // HOUR_MS)} h, or for another link; urgent mail goes on. The limit is"
            " links.metered_kilobytes_per_day in config.toml."
        )
    if not home.store.writable:
        found.append("This home can only be read: nothing can be sent or received. Make its folder writable.")
    if any(log.feed in (identity.device, identity.feed) for log in home.store.frozen()):
        found.append("This device has said two things at once: was its home copied? Join again in a new one.")
    if home.facts_refused:
        found.append(f"{home.facts_refused} statements about people in this home are not understood. Update beepmesh.")
    return found


def _neighbour(home: Home, names: Names, peer: Peer) -> Neighbour:
    known = home.roster.device(peer.device)
    name = f"unknown#{peer.device[:4].hex()}" if known is None else names.of(known.person)
    return Neighbour(name, peer.device.hex(), peer.last_seen_ms, peer.transport, peer.address)


def _day(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return f"second {seconds}"
