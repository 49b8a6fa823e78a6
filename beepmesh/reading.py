"""Opening what is sealed to this device, and only that.

A hint in the entry's header says "perhaps for you" to whoever shares the pair's hint key, and nothing to anybody else:
3 us for each device that may have written it and each eight entries of a log, against 110 us for trying an envelope.

Laws
1. Nothing is used up by a failed try. An insider who copies hints or wraps into an entry of his own is refused by the
   binding inside the envelope, and the real message still opens.
2. What was sealed to this device alone, and could be read, is told by its token: to everybody, and not who read it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from beepmesh.crypto.payload import unpack
from beepmesh.crypto.seal import HINT_BYTES, HINTS_A_BLOCK, hint_key, hints_of_block, open_slot
from beepmesh.errors import Refused
from beepmesh.messages.content import (
    CONTENT_BYTES_MAX,
    DELIVERED,
    Content,
    Receipts,
    content_id,
    decode_content,
    encode_content,
)
from beepmesh.messages.entry import Entry
from beepmesh.messages.inbox import Payload
from beepmesh.messages.lifetimes import LANE_MESSAGES, ROUTINE
from beepmesh.messages.token import Token, token_of
from beepmesh.trust.identity import Identity
from beepmesh.trust.roster import Roster

BLOCKS_MAX: Final = 16  # Of eight entries each, by a thousand possible writers: 16 MB at the worst.

NOBODY: Final[Mapping[bytes, bytes]] = MappingProxyType({})

_Block: TypeAlias = tuple[bytes, int, int, tuple[bytes, ...]]


class Letter(NamedTuple):
    """What became of an entry that was for this device."""

    payload: Payload
    token: Token | None = None
    """What tells its author, and everybody who carries it, that it was delivered. None where others read it too."""
    note: Payload | None = None
    """Where there is a token: that we have said so. No receipt is written then. A receipt needs none itself."""


class Reader:
    """Keeps what it learned: the hint key of each pair, and which device writes under which feed."""

    def __init__(self, identity: Identity, roster: Roster, writers: Mapping[bytes, bytes] = NOBODY) -> None:
        """`writers`: the devices known to write these feeds, for whoever has it from before."""
        self._identity = identity
        self._device = identity.device
        self._feed = identity.feed
        self._roster = roster
        self._hint_keys: dict[bytes, bytes] = {}
        self._writers: dict[bytes, bytes] = {}
        self._known_writers = writers
        self._blocks: OrderedDict[_Block, list[dict[bytes, bytes]]] = OrderedDict()

    def renew(self, identity: Identity) -> None:
        """Prekeys have been rotated."""
        self._identity = identity

    def candidates(self, feed: bytes) -> Sequence[bytes]:
        """The devices that may write under this feed: the one known to, or all."""
        writer = self._writers.get(feed) or self._known_writers.get(feed)
        return self._roster.devices() if writer is None else (writer,)

    def find(self, entry: Entry, senders: Sequence[bytes]) -> tuple[int, bytes] | None:
        """The slot that one of the senders made for this device, and that sender."""
        hints = entry.hints
        if not hints or entry.feed == self._feed:
            return None
        block, place = divmod(entry.seq, HINTS_A_BLOCK)
        ours = self._hints_of(entry.feed, entry.lane, block, tuple(senders))[place]
        for at in range(0, len(hints), HINT_BYTES):
            sender = ours.get(hints[at : at + HINT_BYTES])
            if sender is not None:
                return at // HINT_BYTES, sender
        return None

    def _hints_of(self, feed: bytes, lane: int, block: int, senders: tuple[bytes, ...]) -> list[dict[bytes, bytes]]:
        """For each seq of a block: by hint, which of the senders would have made it for this device."""
        key = (feed, lane, block, senders)
        known = self._blocks.get(key)
        if known is None:
            known = [{} for _ in range(HINTS_A_BLOCK)]
            for sender in senders:
                shared = self._hint_keys.get(sender) or self._learn_key(sender)
                if shared is not None and sender != self._device:
                    for place, made in enumerate(hints_of_block(shared, self._device, feed, lane, block)):
                        known[place][made] = sender
            self._blocks[key] = known
            if len(self._blocks) > BLOCKS_MAX:
                self._blocks.popitem(last=False)
        return known

    def open(self, entry: Entry, now_ms: int, senders: Sequence[bytes] | None = None) -> Letter | None:
        """What is in it, if this entry is for this device; None if it is not. Raises Refused for a broken envelope."""
        found = self.find(entry, self.candidates(entry.feed) if senders is None else senders)
        feed = self._roster.feed(entry.feed)
        if found is None or entry.body is None or feed is None:
            return None
        slot, guessed = found
        me = self._identity
        opened = open_slot(
            entry.body,
            slot,
            org=me.org,
            feed_public=feed.public,
            feed=entry.feed,
            lane=entry.lane,
            seq=entry.seq,
            device=self._device,
            device_public=me.device_key.public,
            ring=me.prekeys,
            device_public_of=self._public_of,
        )
        if opened.sender != guessed:
            raise Refused("envelope-binding", "the hint names another sender")
        sender = self._roster.device(opened.sender)
        assert sender is not None  # open_slot has looked it up.
        self._writers[entry.feed] = opened.sender
        packed = unpack(opened.payload, CONTENT_BYTES_MAX)
        content = decode_content(packed)
        payload = Payload(
            message_id=content_id(content),
            feed=entry.feed,
            lane=entry.lane,
            seq=entry.seq,
            sender=opened.sender,
            sender_person=sender.person,
            received_ms=now_ms,
            time_ms=entry.time_ms,
            content=packed,
            mine=False,
            ttl=entry.ttl,
            priority=entry.priority,
        )
        if len(entry.hints) > HINT_BYTES:
            return Letter(payload)
        return Letter(payload, token_of(entry, opened.token), self._note(payload, content))

    def _note(self, payload: Payload, content: Content) -> Payload | None:
        if isinstance(content, Receipts):
            return None
        said = Receipts(((payload.message_id, DELIVERED),))
        return Payload(
            message_id=content_id(said),
            feed=None,
            lane=LANE_MESSAGES,
            seq=0,
            sender=self._device,
            sender_person=self._identity.person,
            received_ms=payload.received_ms,
            time_ms=0,  # Long expired, so that nobody waits for it to be sealed.
            content=encode_content(said),
            mine=True,
            ttl=0,
            priority=ROUTINE,
        )

    def _learn_key(self, sender: bytes) -> bytes | None:
        device = self._roster.device(sender)
        if device is None:
            return None
        key = hint_key(self._identity.link_key, device.link_public)
        self._hint_keys[sender] = key
        return key

    def _public_of(self, device: bytes) -> bytes | None:
        known = self._roster.device(device)
        return None if known is None else known.public
