"""What an invitation promises, as its registrar keeps it, and whether this registrar may promise it.

Laws
1. A registrar gives what its certificate lists and nothing else.
2. hq, registrar and lead are given only where the root key is: they need a registrar's certificate of their own.
3. A ticket lets in one device. `used_by` remembers which, since that one may ask again: an answer can be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.names import ROLES, covers, department_problem
from beepmesh.crypto.primitives import Entropy
from beepmesh.errors import NotAllowed, Refused, Usage
from beepmesh.trust.fields import decode_fields, encode_fields
from beepmesh.trust.identity import Identity
from beepmesh.trust.invite import SECRET_BYTES, invitation_id

TICKET_BYTES_MAX: Final = 1_024
REGISTRAR_ROLES: Final = frozenset({"hq", "registrar", "lead"})


@dataclass(frozen=True, slots=True)
class Offer:
    """What an invitation gives to whoever uses it."""

    roles: tuple[str, ...]
    department: str
    person: bytes | None = None  # 16 B: a further device of this person; None for somebody new


@dataclass(frozen=True, slots=True, repr=False)
class Ticket:
    """An invitation as its registrar keeps it."""

    secret: bytes  # 16 B
    expires_s: int
    offer: Offer
    used_by: bytes = b""  # the device it let in, 16 B

    def __repr__(self) -> str:
        return f"Ticket({self.id.hex()}, {self.offer}, expires_s={self.expires_s}, used_by={self.used_by.hex()!r})"

    @property
    def id(self) -> bytes:
        return invitation_id(self.secret)

    def encode(self) -> bytes:
        """Secret."""
        offer = self.offer
        roles: list[object] = list(offer.roles)
        return encode_fields([self.secret, self.expires_s, roles, offer.department, offer.person, self.used_by])

    @classmethod
    def decode(cls, data: bytes) -> Ticket:
        """What encode gave. Raises Refused("ticket-malformed")."""
        match decode_fields(data, TICKET_BYTES_MAX, "ticket-malformed"):
            case [
                bytes(secret),
                int(expires_s),
                list(roles),
                str(department),
                bytes() | None as person,
                bytes(used_by),
            ] if len(secret) == SECRET_BYTES:
                offer = Offer(tuple(str(role) for role in roles), department, person)
                return cls(secret, expires_s, offer, used_by)
            case _:
                raise Refused("ticket-malformed")


def new_ticket(identity: Identity, offer: Offer, *, now_s: int, expires_s: int, entropy: Entropy) -> Ticket:
    """An invitation of this registrar. Raises NotAllowed or Usage where it could not keep the promise."""
    problem = department_problem(offer.department)
    if problem is not None:
        raise Usage(f"{offer.department!r} cannot be a department: its path {problem}.")
    unknown = [role for role in offer.roles if role not in ROLES]
    if unknown or not 0 < len(set(offer.roles)) == len(offer.roles):
        raise Usage(f"{', '.join(offer.roles) or 'Nothing'} cannot be the role. It is one of {', '.join(ROLES)}.")
    if expires_s <= now_s:
        raise Usage("That invitation would have expired already. Give it some time, as in --expires 24h.")
    require_allowed(identity, offer, now_s)
    # The code carries whole hours: joiner and registrar mean the same moment.
    return Ticket(entropy(SECRET_BYTES), -(-expires_s // 3_600) * 3_600, offer)


def require_allowed(identity: Identity, offer: Offer, now_s: int) -> None:
    """Raises NotAllowed unless this device may give what the offer says."""
    registrar = identity.registrar()
    if registrar is None:
        raise NotAllowed("This device may not let others in. Ask headquarters, or a registrar or lead.")
    if not registrar.valid_at(now_s):
        raise NotAllowed("This device's right to let others in has ended. Ask headquarters to renew it.")
    if identity.root_seed is None and not REGISTRAR_ROLES.isdisjoint(offer.roles):
        raise NotAllowed("Only the device that made the organisation lets in hq, registrars and leads. Ask its owner.")
    if not set(offer.roles) <= set(registrar.roles):
        raise NotAllowed(f"This device may give {', '.join(registrar.roles)} only.")
    if not covers(registrar.departments, offer.department):
        known = ", ".join(registrar.departments)
        raise NotAllowed(f"This device lets people into {known} only. Name that department, or one below it.")
