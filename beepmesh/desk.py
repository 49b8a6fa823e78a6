"""The desk: what a person does with the device in his hand, with no network and beside a running node.

    send, inbox, show, acknowledge, people      here, with addressing.py and posting.py
    receipts_due                                receipts.py
    rotate_prekeys, renew_certificates,
    seal_waiting, expire                        upkeep.py
    status                                      standing.py
    invite, revoke, and letting people in       admission.py, which is not re-exported

Laws
1. What `send` returned is durable: no crash and no power cut loses it.
2. What could not be accepted raises, says why, and left nothing behind.
3. Every act is one transaction of the store, except where its words say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from beepmesh.addressing import Names, one_person, recipients
from beepmesh.errors import UnknownName, Usage
from beepmesh.home import Home
from beepmesh.messages.content import ACKNOWLEDGED, ID_BYTES, KIND_TEXT, READ, STATE_NAMES, Text
from beepmesh.messages.lifetimes import lane_of, priority_class, priority_name, ttl_default, ttl_of_text
from beepmesh.posting import Posting, post
from beepmesh.receipts import mark, receipts_due
from beepmesh.standing import Status, status
from beepmesh.store.contract import Message, MessageQuery, StoreProblem
from beepmesh.upkeep import expire, renew_certificates, rotate_prekeys, seal_waiting

__all__ = [
    "Inbox",
    "KnownPerson",
    "Ledger",
    "Line",
    "Sent",
    "Shown",
    "Status",
    "Waiting",
    "acknowledge",
    "expire",
    "inbox",
    "people",
    "receipts_due",
    "renew_certificates",
    "rotate_prekeys",
    "seal_waiting",
    "send",
    "show",
    "status",
]

INTAKE_DIGITS: Final = 8
ID_PREFIX_MIN: Final = 4


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recipient to whom a message could not be sealed yet. `reason` is a stable word: "no-prekey"."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is safe here."""

    id: str
    state: str
    recipients: tuple[str, ...]
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as people see it. `text` holds any characters: who prints it escapes what acts on a terminal."""

    number: int
    """Grows with each that came or was written here: give the last one as `after` to go on from there."""
    id: str
    sender: str
    sender_person: str
    to: tuple[str, ...]
    """What the author typed ("everyone", "dept:flood"), or the names."""
    text: str
    kind: str
    """"text", or "unknown" for what a newer version wrote and this one cannot show."""
    priority: str
    sent_ms: int
    received_ms: int
    expires_ms: int
    state: str
    """For incoming ones: "new", "delivered", "read" or "acknowledged"; for own ones "" (see `show`)."""
    unread: bool
    """Nobody had read it here before this moment."""
    mine: bool
    """Written on this device."""
    intake: str
    """Headquarters' number of what came in: eight digits of its device, a dash and a count from 1 without gaps; or
    empty."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """Messages, oldest first. `note` says why they could not be marked as read, else empty."""

    messages: tuple[Shown, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of a message for one recipient; the words are those of `store.contract.LedgerLine`."""

    who: str
    person: str
    state: str
    at_ms: int | None
    reason: str
    carriers: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """One message and what became of it for each recipient."""

    message: Shown
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """Somebody in the roster. `name` means this person and nobody else here."""

    name: str
    person: str
    department: str
    roles: tuple[str, ...]
    devices: int
    reachable: bool
    """Whether a message can be sealed to one of the devices now; else it waits."""
    revoked: bool
    expired: bool
    me: bool


def send(
    home: Home, who: str, text: str, *, priority: str = "routine", expires: str | None = None, now_ms: int
) -> Sent:
    """Accept a message: durable when this returns.

    Raises Usage, UnknownName, TooLarge, or StoreProblem where the disk cannot take it.
    """
    if not text:
        raise Usage("The text is empty. Write what is to be said, or - to read it from the input.")
    rank = priority_class(priority)
    ttl = ttl_default(rank) if expires is None else ttl_of_text(expires)
    persons, named = recipients(home, who, now_ms)
    content = Text(
        message_id=home.entropy(ID_BYTES),
        to=tuple(person.person for person in persons) if named else (),
        spec="" if named else who.strip(),
        text=text,
        priority=rank,
    )
    ids = tuple(person.person for person in persons)
    (composed,) = post(home, [Posting(content, ids, lane_of(rank), ttl, rank)], now_ms)
    reached = {sealing.person for draft in composed.drafts for sealing in draft.sealed_to}
    names = Names(home)
    return Sent(
        id=content.message_id.hex(),
        state="queued",
        recipients=tuple(names.of(person) for person in ids),
        waiting=tuple(Waiting(names.of(person), "no-prekey") for person in ids if person not in reached),
    )


def inbox(
    home: Home,
    *,
    unread: bool = False,
    who: str | None = None,
    since_ms: int = 0,
    after: int = 0,
    limit: int = 1_000,
    mark_read: bool = True,
    now_ms: int,
) -> Inbox:
    """Incoming messages, oldest first; of more than `limit` the newest. Marks them as read, for their senders to know.

    Raises UnknownName for a `who` that is nobody. Where the disk cannot be written the messages are shown all the same.
    """
    person = None if who is None else one_person(home, who).person
    query = MessageQuery(unread=unread, person=person, since_ms=since_ms, after=after, limit=limit)
    found = home.store.messages(query)
    note = ""
    fresh = [message for message in found if message.state < READ]
    if mark_read and fresh:
        try:
            mark(home, fresh, READ, now_ms)
        except StoreProblem as problem:
            note = f"Nothing was marked as read: {problem}"
    names = Names(home)
    marked = mark_read and not note
    return Inbox(tuple(_shown(message, names, marked=marked) for message in found), note)


def show(home: Home, id_prefix: str, *, now_ms: int) -> Ledger:
    """A message and what became of it, by the beginning of its id. Raises UnknownName, Usage."""
    message = _by_id(home, id_prefix)
    names = Names(home)
    shown = _shown(message, names, marked=False)
    row = message.row
    if not row.mine:
        own = home.identity.person
        if row.sender_person == own and own not in row.to:
            return Ledger(shown, ())  # A copy of what another device of ours sent: that one keeps the ledger.
        return Ledger(shown, (Line(names.of(own), own.hex(), shown.state, None, "", 0),))
    lines = home.store.ledger(row.message_id, home.believed_ms(now_ms))
    own = home.identity.person
    # We stand in our own outbox where a device of ours still waits for its copy: that is no recipient.
    meant = [line for line in lines if line.person != own or own in row.to]
    return Ledger(
        shown,
        tuple(
            Line(names.of(line.person), line.person.hex(), line.state, line.at_ms, line.reason, line.carriers)
            for line in meant
        ),
    )


def acknowledge(home: Home, id_prefix: str, *, now_ms: int) -> Shown:
    """Tell the sender that this was understood; twice says it once. Raises UnknownName, Usage, StoreProblem."""
    message = _by_id(home, id_prefix, incoming=True)
    if message.state < ACKNOWLEDGED:
        mark(home, [message], ACKNOWLEDGED, now_ms)
    return replace(_shown(message, Names(home), marked=True), state=STATE_NAMES[ACKNOWLEDGED])


def people(home: Home, *, now_ms: int) -> list[KnownPerson]:
    """Everybody known here, by name; the revoked and expired too, marked."""
    believed_s = home.believed_s(now_ms)
    names = Names(home)
    return [
        KnownPerson(
            name=names.of(person.person),
            person=person.person.hex(),
            department=person.department,
            roles=person.roles,
            devices=len(person.devices),
            reachable=any(home.roster.bundle(device, believed_s) is not None for device in person.devices),
            revoked=person.revoked,
            expired=not person.revoked and not person.usable_at(believed_s),
            me=person.person == home.identity.person,
        )
        for person in home.roster.people()
    ]


def _by_id(home: Home, prefix: str, *, incoming: bool = False) -> Message:
    """The one message whose id begins so. Raises UnknownName, Usage."""
    wanted = prefix.strip().lower()
    if len(wanted) < ID_PREFIX_MIN or any(letter not in "0123456789abcdef" for letter in wanted):
        raise Usage(f"An id is 32 digits and letters a to f; its first {ID_PREFIX_MIN} or more will do.")
    found = home.store.find(wanted)
    if incoming and found and all(message.row.mine for message in found):
        raise Usage("You wrote that message. Only those who received it can acknowledge it.")
    found = [message for message in found if not (incoming and message.row.mine)]
    if not found:
        raise UnknownName(f"No message here has an id that begins with {wanted[:32]}. `beepmesh inbox` lists them.")
    ids = {message.row.message_id for message in found}
    if len(ids) > 1:
        raise Usage(f"{len(ids)} or more messages have ids that begin with {wanted}. Write more of it.")
    return found[0]


def _shown(message: Message, names: Names, *, marked: bool) -> Shown:
    row = message.row
    state = max(message.state, READ) if marked else message.state
    return Shown(
        number=message.number,
        id=row.message_id.hex(),
        sender=names.of(row.sender_person),
        sender_person=row.sender_person.hex(),
        to=(row.spec,) if row.spec else tuple(names.of(person) for person in row.to),
        text=row.text,
        kind="text" if row.kind == KIND_TEXT else "unknown",
        priority=priority_name(row.priority),
        sent_ms=row.time_ms,
        received_ms=row.received_ms,
        expires_ms=row.expires_ms,
        state="" if row.mine else STATE_NAMES.get(state, "new"),
        unread=not row.mine and message.state < READ,
        mine=row.mine,
        intake=f"{names.device.hex()[:INTAKE_DIGITS]}-{message.intake}" if message.intake else "",
    )
