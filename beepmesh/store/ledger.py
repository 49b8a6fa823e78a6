"""What became of an own message, told from what the store holds. Pure: both stores tell it with these words.

A receipt is the person's own word and outranks everything, and so does a delivery token of one of its devices; an
expiry outranks what only we know.
"""

from __future__ import annotations

from collections.abc import Iterable

from beepmesh.messages.content import ACKNOWLEDGED, DELIVERED, READ
from beepmesh.messages.inbox import ReceiptRow
from beepmesh.store.contract import LedgerLine, LedgerState

_STATES: dict[int, LedgerState] = {DELIVERED: "delivered", READ: "read", ACKNOWLEDGED: "acknowledged"}


def ledger_line(
    person: bytes,
    receipts: Iterable[ReceiptRow],
    *,
    expired: bool,
    sealed: bool,
    carriers: int,
    delivered_ms: int | None,
) -> LedgerLine:
    """The line of one recipient. `receipts` are that person's for this message, of any states and in any order.

    `delivered_ms`: when the first token of a device of that person came here.
    """
    # A state that a newer version knows says at least that much: nothing is behind acknowledged but more of it.
    reached = [(min(row.state, ACKNOWLEDGED), -row.at_ms) for row in receipts if row.state >= DELIVERED]
    if delivered_ms is not None:
        reached.append((DELIVERED, -delivered_ms))
    if reached:
        state, at_ms = max(reached)
        return LedgerLine(person, _STATES[state], -at_ms, "", carriers)
    if expired:
        return LedgerLine(person, "expired", None, "", carriers)
    if carriers:
        return LedgerLine(person, "carried", None, "", carriers)
    return LedgerLine(person, "queued", None, "nobody-met" if sealed else "no-prekey", 0)
