"""Letting people in and putting them out: a registrar's acts on his own device.

    invite -> code, by hand -> a joiner dials a door -> decide -> answer

Laws
1. An invitation lets in one device. That one may ask again until the invitation ends, since an answer can be lost on
   the air; it is given nothing that it was not given before.
2. Nothing is answered before it is durable here who was let in.
3. A refusal is a word for the joiner, counted here: those of `trust/enrol.py`, `invitation-unknown`, and
   `registrar-disk` where this device cannot write down whom it lets in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from beepmesh.addressing import Names, one_person
from beepmesh.author import control_draft
from beepmesh.channel import Door
from beepmesh.crypto.certificates import Cut, DeviceCertificate, issue_revocation
from beepmesh.crypto.names import covers
from beepmesh.crypto.primitives import equal
from beepmesh.errors import NotAllowed, Refused, TooLarge, Usage
from beepmesh.home import Home
from beepmesh.store.contract import Batch, Invitation, Issued, Statement, StoreProblem
from beepmesh.trust import invite as codes
from beepmesh.trust.enrol import Request, check_request, grant
from beepmesh.trust.facts import REVOCATION, revocation_data
from beepmesh.trust.joinfile import file_invitation, open_request_file, seal_answer_file
from beepmesh.trust.ticket import Offer, Ticket, new_ticket
from sync.logs import LogId

OPEN_MAX: Final = 256  # Each open invitation is one key that a stranger's first bytes are tried with.
USED_MAX: Final = 64  # Used ones that still answer the device they let in.
ENDED_S: Final = 2 * 86_400  # How long an ended invitation still gets a refusal in words, and not silence.
LIFETIME_S_MAX: Final = 90 * 86_400
_HOUR_S: Final = 3_600
_LANES: Final = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Invited:
    """A code to hand over, and when it ends."""

    code: str
    expires_s: int

    def __repr__(self) -> str:
        return f"Invited(expires_s={self.expires_s})"


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a joiner is not let in, in one stable word."""

    reason: str


@dataclass(frozen=True, slots=True)
class PutOut:
    """Somebody was revoked."""

    name: str
    devices: int
    feeds_cut: bool
    """Whether the message feeds of all devices are cut too. Only the registrar that let a device in knows its feed."""


def invite(
    home: Home,
    role: str = "field",
    department: str = "",
    expires_s: int = 24 * _HOUR_S,
    hints: Sequence[str] = (),
    *,
    device_of: str = "",
    now_ms: int,
) -> Invited:
    """A new invitation that ends `expires_s` seconds from now. `device_of`: a further device of that person.

    Raises NotAllowed, Usage, UnknownName, TooLarge, StoreProblem.
    """
    if not 0 < expires_s <= LIFETIME_S_MAX:
        raise Usage(f"An invitation lasts a minute at least and {LIFETIME_S_MAX // 86_400} days at most.")
    now_s = home.believed_s(now_ms)
    if len(_standing(home, now_s)[0]) >= OPEN_MAX:
        raise TooLarge(f"There are {OPEN_MAX} open invitations. Wait until some are used or have ended.")
    person = one_person(home, device_of).person if device_of else None
    # The code counts in whole hours: what it says and what we hold to must be the same.
    ends_s = -(-(now_s + expires_s) // _HOUR_S) * _HOUR_S
    offer = Offer((role,), department, person)
    ticket = new_ticket(home.identity, offer, now_s=now_s, expires_s=ends_s, entropy=os.urandom)
    code = codes.encode_code(codes.Invitation(home.identity.org, ticket.secret, ends_s, tuple(hints)))
    home.store.put_invitation(Invitation(ticket.id, ticket.encode(), ends_s * 1_000))
    home.wake()
    return Invited(code, ends_s)


def doors(home: Home, now_ms: int) -> tuple[Door, ...]:
    """The secrets that open a link to this node: the organisation's, the newest first, then those of invitations."""
    members = [Door(psk, None) for psk in home.identity.link_psks]
    # Those that ended lately still open: only so can their bearers be told why they are not let in.
    unused, used = _standing(home, home.believed_s(now_ms) - ENDED_S)
    tickets = [Ticket.decode(item.data) for item in (*unused, *used)]
    return (*members, *(Door(codes.psk(ticket.secret), ticket.id) for ticket in tickets))


def decide(
    home: Home, invitation: bytes, request: bytes, *, context: bytes, link_public: bytes | None = None, now_ms: int
) -> bytes | Denied:
    """The answer to a joiner who knows the secret of that invitation (id 8 B), or why there is none.

    `link_public`: the Noise key it has proved on this link, which the request must name; a file proves none.
    """
    try:
        asked = check_request(request, context)
        if link_public is not None and not equal(asked.link_public, link_public):
            raise Refused("request-link-key")
        return _granted(home, invitation, asked, now_ms)
    except Refused as refused:
        reason = refused.reason
    except StoreProblem:
        return Denied("registrar-disk")
    try:
        home.commit(Batch(counts={reason: 1}), now_ms)
    except StoreProblem:
        return Denied("registrar-disk")
    return Denied(reason)


def decide_file(home: Home, data: bytes, *, now_ms: int) -> bytes | Denied:
    """The answer file to a request file that was carried here."""
    try:
        invitation = file_invitation(data)
        ticket = _ticket(home, invitation)
        request = open_request_file(ticket.secret, data)
    except Refused as refused:
        return Denied(refused.reason)
    decided = decide(home, invitation, request, context=invitation, now_ms=now_ms)
    return decided if isinstance(decided, Denied) else seal_answer_file(ticket.secret, decided, os.urandom)


def revoke(home: Home, who: str, *, reason: str = "revoked", now_ms: int) -> PutOut:
    """End all devices of a person. Raises UnknownName, NotAllowed, Usage, StoreProblem."""
    registrar = home.identity.registrar_key
    certificate = home.identity.registrar()
    if registrar is None or certificate is None:
        raise NotAllowed("This device may not revoke anybody. Ask headquarters, or a registrar or lead.")
    if not certificate.valid_at(home.believed_s(now_ms)):
        raise NotAllowed("This device's right to let others in and out has ended. Ask headquarters to renew it.")
    person = one_person(home, who)
    if person.person == home.identity.person:
        raise Usage("That is you. To give up this device, destroy its home; another registrar can revoke you.")
    names = Names(home)
    devices = home.roster.devices_of(person.person)
    if not devices:
        raise Usage(f"{names.of(person.person)} is revoked already.")
    if not all(_reaches(home, device) for device in devices):
        raise NotAllowed(f"{names.of(person.person)} is beyond what this device may revoke. Ask headquarters.")
    feeds = {issued.device: issued.feed for issued in home.store.issued()}
    drafts = []
    for device in devices:
        statement = issue_revocation(
            registrar,
            device=device.device,
            serial=device.serial,
            time=home.believed_s(now_ms),
            reason=reason,
            cuts=_cuts(home, device.device, feeds.get(device.device)),
        )
        data = revocation_data(statement, certificate.data)
        drafts.append(control_draft(Statement(REVOCATION, data), home.identity))
    home.commit(Batch(drafts=tuple(drafts)), now_ms)
    return PutOut(names.of(person.person), len(devices), all(device.device in feeds for device in devices))


def _granted(home: Home, invitation: bytes, asked: Request, now_ms: int) -> bytes:
    """Raises Refused, StoreProblem."""
    ticket = _ticket(home, invitation)
    granted = grant(
        home.identity,
        ticket,
        asked,
        now_s=home.believed_s(now_ms),
        trusted_s=home.trusted_s,
        entropy=os.urandom,
    )
    if not ticket.used_by:
        # Of all processes that stand here at once, one goes on.
        if not home.store.burn(invitation, home.dated_ms(now_ms)):
            raise Refused("invitation-used")
        home.store.put(_used_by(invitation), granted.device)
    if all(issued.device != granted.device for issued in home.store.issued()):
        home.store.put_issued(Issued(granted.device, granted.feed, granted.serial, home.dated_ms(now_ms)))
    return granted.answer


def _ticket(home: Home, invitation: bytes) -> Ticket:
    """Raises Refused("invitation-unknown" or "invitation-used")."""
    held = next((item for item in home.store.invitations() if item.id == invitation), None)
    if held is None:
        raise Refused("invitation-unknown")
    used_by = home.store.get(_used_by(invitation)) or b""
    if held.burnt_ms is not None and not used_by:
        raise Refused("invitation-used")  # Power went before it was written by whom.
    return replace(Ticket.decode(held.data), used_by=used_by)


def _standing(home: Home, now_s: int) -> tuple[list[Invitation], list[Invitation]]:
    """The invitations that have not ended: the unused, and those of the used that were used last."""
    if home.identity.registrar_certificate is None:
        return [], []
    alive = [item for item in home.store.invitations() if item.expires_ms > now_s * 1_000]
    used = sorted((item for item in alive if item.burnt_ms is not None), key=lambda item: item.burnt_ms or 0)
    return [item for item in alive if item.burnt_ms is None], used[-USED_MAX:]


def _used_by(invitation: bytes) -> str:
    return f"admitted/{invitation.hex()}"


def _cuts(home: Home, device: bytes, feed: bytes | None) -> tuple[Cut, ...]:
    """What we hold of its logs counts; nothing later does."""
    states = home.store.states()
    logs = [LogId(device, 0)] if feed is None else [LogId(device, 0), *(LogId(feed, lane) for lane in _LANES)]
    return tuple((log.feed, log.lane, states[log].settled.top - 1 if log in states else -1) for log in logs)


def _reaches(home: Home, device: DeviceCertificate) -> bool:
    """Whether others will believe our revocation: law 3 of the roster."""
    mine = home.identity.registrar()
    if mine is None:
        return False
    if "" in mine.departments and not {"hq", "registrar"}.isdisjoint(mine.roles):
        return True
    return set(device.roles) <= set(mine.roles) and covers(mine.departments, device.department)
