"""A hub's log: what has happened, as one JSON object a line, fit to be kept by others.

Law: no text, no name, no address and no secret is in it; a device is the first eight letters of its id.
"""

from __future__ import annotations

import json
import time
from typing import Final, TextIO, assert_never

from beepmesh.events import JoinDecided, LevelReached, MessageArrived, MessageDelivered, PeerJoined, PeerLeft, Told

SHORT_ID: Final = 8


class Journal:
    """Writes to a stream, a line at once; a reader that has gone ends nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_read = True

    def say(self, event: str, **fields: object) -> None:
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        line = json.dumps({"time": at, "event": event} | fields, separators=(",", ":"))
        if self._is_read:
            try:
                print(line, file=self._stream, flush=True)
            except OSError:
                self._is_read = False

    def told(self, told: Told) -> None:
        match told:
            case PeerJoined(link, device):
                self.say("peer-joined", link=link, device=device.hex()[:SHORT_ID])
            case PeerLeft(link, device, reason):
                self.say("peer-left", link=link, device=device.hex()[:SHORT_ID], reason=reason)
            case MessageArrived(payload):
                self.say("message", id=payload.message_id.hex()[:SHORT_ID])
            case JoinDecided(_, reason):
                self.say("join", reason=reason)
            case MessageDelivered() | LevelReached():
                pass  # One for each message that passes: figures tell how many there are.
            case _:
                assert_never(told)
