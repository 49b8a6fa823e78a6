"""Receipts: what we tell the senders of messages, sealed like everything else and batched.

Laws
1. A receipt goes to the person who wrote the message and to nobody else but our own other devices.
2. What we wrote is what we know: a message counts as read here when our read receipt is durable.
3. A message of our own that another device of ours sent to others, and that came here as a copy, is marked here only.
4. Receipts do not wait for our own other devices: a copy that could not be sealed at once is not made later.
5. Of a message that came for this device alone its token says that it was delivered (reading.py), and no receipt does.
   That it was said is noted in the same commit, so nothing is due for it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from beepmesh.home import Home
from beepmesh.messages.content import ACKNOWLEDGED, DELIVERED, RECEIPTS_MAX, Receipts
from beepmesh.messages.lifetimes import LANE_MESSAGES, ROUTINE, TTL_DEFAULT, lane_of
from beepmesh.posting import Posting, post
from beepmesh.store.contract import Message

MARKED_MAX: Final = 1_000  # Messages marked in one transaction: some 20 kB of receipts.
ROUNDS_MAX: Final = 20  # The rest waits for the next call, so that nobody waits for this one.


def receipts_due(home: Home, now_ms: int) -> int:
    """Write "delivered" for everything that came since the last time; returns for how many messages."""
    total = 0
    for _ in range(ROUNDS_MAX):
        due = home.store.unreceipted(MARKED_MAX)
        mark(home, due, DELIVERED, now_ms)
        total += len(due)
        if len(due) < MARKED_MAX:
            break
    return total


def mark(home: Home, messages: Sequence[Message], state: int, now_ms: int) -> None:
    """Durably say of these incoming messages how far they got with us. Raises StoreProblem.

    Acknowledgements of urgent messages are as urgent as these; everything else rides with ordinary messages.
    """
    groups: dict[tuple[bytes, bool, int], list[bytes]] = {}
    for message in messages:
        row = message.row
        priority = row.priority if state == ACKNOWLEDGED else ROUTINE
        groups.setdefault((row.sender_person, _travels(home, message), priority), []).append(row.message_id)
    postings = [
        Posting(
            Receipts(tuple((message_id, state) for message_id in part)),
            (person,),
            lane_of(priority) if state == ACKNOWLEDGED else LANE_MESSAGES,
            TTL_DEFAULT,
            priority,
            travels,
        )
        for (person, travels, priority), ids in groups.items()
        for part in _parts(dict.fromkeys(ids))
    ]
    if postings:
        post(home, postings, now_ms)


def _travels(home: Home, message: Message) -> bool:
    own = home.identity.person
    return message.row.sender_person != own or own in message.row.to


def _parts(ids: Iterable[bytes]) -> list[list[bytes]]:
    every = list(ids)
    return [every[at : at + RECEIPTS_MAX] for at in range(0, len(every), RECEIPTS_MAX)]
