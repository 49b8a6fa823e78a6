"""One organisation, enrolled before the trace begins: everybody knows everybody, and what all know is held once.

Its members went through the product's own enrolment. Their certificates, prekeys and the complete list of feeds are
taught to one roster, which each node forks; they stand in nobody's log, as if that had been settled long ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from beepmesh.crypto.certificates import DAY_S
from beepmesh.crypto.primitives import Entropy
from beepmesh.home import first_statements
from beepmesh.trust.enrol import JoinKeys, check_answer, check_request, grant, request
from beepmesh.trust.facts import FEED_PAGE, PREKEY_BUNDLE, Fact, feed_page_data, prekey_bundle_data
from beepmesh.trust.identity import Identity, found
from beepmesh.trust.invite import Invitation
from beepmesh.trust.listing import due
from beepmesh.trust.roster import Roster
from beepmesh.trust.ticket import Offer, new_ticket
from simulations.engine import Simulation

EPOCH_S: Final = 1_772_323_200  # 2026-03-01 00:00 UTC: what clocks that are right say when a trace begins.
ENROLLED_S: Final = 2 * DAY_S  # Before that: message feeds are listed when their first day is over.
NAME: Final = "Relief"


@dataclass(frozen=True, slots=True)
class Organisation:
    """Node 0 is its founder and headquarters, keeps the list and may revoke."""

    identities: tuple[Identity, ...]
    roster: Roster
    """Fork it: what a node learns is its own."""
    writers: Mapping[bytes, bytes]
    """Which device writes each message feed, as whoever has written to each other knows."""


def enrolled(simulation: Simulation, departments: Sequence[str]) -> Organisation:
    """A device for each of these departments, one a person, with prekeys made when the trace begins.

    The first is the founder's. He belongs to the whole organisation, whatever department stands in his place.
    """
    entropy = simulation.random("organisation").randbytes
    joined_s = EPOCH_S - ENROLLED_S
    founder = found(NAME, person_name(0), joined_s, entropy)
    others = enumerate(departments[1:], 1)
    members = [
        founder,
        *(_admitted(founder, person_name(number), department, joined_s, entropy) for number, department in others),
    ]
    roster = Roster(founder.root_public)
    identities = tuple(_introduced(identity, roster, entropy) for identity in members)
    pages = due(roster.feed_list, roster.devices(), roster.message_feeds(), EPOCH_S // DAY_S)
    for seq, page in enumerate(pages, len(_STATED)):
        roster.learn(Fact(founder.device, seq, FEED_PAGE, feed_page_data(*page.encode())))
    # Worked out once, here: what forks work out for themselves, each does again.
    roster.people()
    roster.crowds()
    assert roster.trusted_s
    return Organisation(
        identities, roster, MappingProxyType({identity.feed: identity.device for identity in identities})
    )


def person_name(number: int) -> str:
    return f"person {number}"


_STATED: Final = ("device certificate", "prekeys")  # What stands in a control log before anything else.


def _admitted(founder: Identity, name: str, department: str, now_s: int, entropy: Entropy) -> Identity:
    offer = Offer(("field",), department)
    ticket = new_ticket(founder, offer, now_s=now_s, expires_s=now_s + DAY_S, entropy=entropy)
    keys = JoinKeys.generate(entropy)
    asked = check_request(request(keys, name, ticket.id), ticket.id)
    granted = grant(founder, ticket, asked, now_s=now_s, trusted_s=now_s, entropy=entropy)
    return check_answer(granted.answer, Invitation(founder.org, ticket.secret, ticket.expires_s), keys)


def _introduced(identity: Identity, roster: Roster, entropy: Entropy) -> Identity:
    """With its first prekey, and known to the roster."""
    ring, bundle = identity.prekeys.rotate(EPOCH_S, identity.device_key, entropy)
    device, feed = first_statements(identity)
    roster.learn(Fact(identity.device, 0, device.kind, device.data))
    roster.learn(Fact(identity.device, 1, PREKEY_BUNDLE, prekey_bundle_data(bundle.encode())))
    roster.learn(Fact(identity.feed, 0, feed.kind, feed.data))
    return identity.with_prekeys(ring)
