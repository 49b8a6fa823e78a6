"""Finding which logs two nodes have different states of, by a sketch of all of them.

An item stands for one log with its state and, where known, its tip: the first 8 B of
SHA-256("beepmesh/item/2" | salt | form | tip), see logs.form; without tips where one side's chain is NO_CHAIN. Only the
sender of the sketch learns by hash what the other side lacks; everything else is told as states.
"""

from __future__ import annotations

from hashlib import sha256

from sync.frontier import Frontier
from sync.limits import (
    HASHES_MAX,
    SYMBOL_BYTES,
    SYMBOLS_FIRST,
    SYMBOLS_MAX,
    SYMBOLS_MORE_MAX,
    SYMBOLS_PER_ITEM,
)
from sync.logs import LogId, form, reconciled
from sync.octets import RemoteProtocolError
from sync.ranges import NOTHING, Ranges
from sync.refs import HASH_BYTES, ITEM_BYTES
from sync.sketch import Decoder, Encoder, SketchError, decode_symbols, encode_symbols
from sync.wire import Sketch, Sketched


class Sketching:
    """Both roles; a session plays one of them at most."""

    def __init__(self, frontier: Frontier, salt: bytes) -> None:
        self.mine: list[LogId] = []
        """The hearer's: our logs of which the sender has another state, or none."""
        self._frontier = frontier
        self._salt = salt
        self._lanes = 0
        self._with_tips = False
        self._items: dict[int, LogId] = {}
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None
        self._symbols = 0
        self._theirs: list[LogId] | None = None
        self._equal: dict[LogId, Ranges] = {}

    def agree(self, lanes: int, *, with_tips: bool) -> None:
        """What both HELLOs came to: a bit set of the lanes spoken of, and whether both know every tip."""
        self._lanes, self._with_tips = lanes, with_tips

    @property
    def hearing(self) -> bool:
        """Whether symbols of the peer's have come."""
        return self._decoder is not None

    @property
    def used(self) -> bool:
        """Whether a sketch has been begun, by either side: there is one in a session."""
        return self._symbols > 0

    # The sender.

    def begin(self) -> Sketch:
        """The first symbols."""
        self._take_items()
        self._encoder = Encoder(self._items)
        return self._more(SYMBOLS_FIRST)

    def heard(self, answer: Sketched) -> Sketch | None:
        """What to send next, None when it is over. Raises RemoteProtocolError."""
        if self._encoder is None or self._theirs is not None:
            raise RemoteProtocolError("sketch-unexpected")
        if answer.more:
            if self._symbols + answer.more > SYMBOLS_MAX:
                raise RemoteProtocolError("sketch-endless")
            return self._more(answer.more)
        self._encoder = None
        if not answer.given_up:
            hashes = set(answer.hashes)
            self._theirs = [log for item, log in self._items.items() if _hash(item) in hashes]
        return None

    def explained(self, told: dict[LogId, Ranges]) -> tuple[dict[LogId, Ranges], set[LogId]]:
        """What the other side told, with the logs of which it has nothing; and of which of them the tips differ."""
        if self._theirs is None and not self.mine:
            return told, set()
        forked = {log for log, settled in told.items() if settled and settled == self._equal.get(log)}
        for log in self._theirs or ():
            told.setdefault(log, NOTHING)
        return told, forked

    def answered(self) -> bool:
        """Whether what was told just now was the answer to our sketch, so that ours of the same logs is due. Once."""
        if self._theirs is None:
            return False
        self._theirs = None
        return True

    def _more(self, count: int) -> Sketch:
        assert self._encoder is not None
        self._symbols += count
        return Sketch(encode_symbols(self._encoder.symbols(count)))

    # The hearer.

    def hear(self, data: bytes, bytes_max: int) -> Sketched:
        """What to answer. `bytes_max`: what the symbols may cost together. Raises RemoteProtocolError."""
        if self._encoder is not None or (self._decoder is not None and self._decoder.done):
            raise RemoteProtocolError("sketch-unexpected")
        try:
            symbols = decode_symbols(data)
            if self._decoder is None:
                self._take_items()
                self._decoder = Decoder(self._items)
            self._decoder.feed(symbols)
        except SketchError as error:
            raise RemoteProtocolError("sketch-malformed", str(error)) from None
        self._symbols += len(symbols)
        if not symbols:
            raise RemoteProtocolError("sketch-malformed", "no symbols")
        if self._decoder.done:
            self.mine = [self._items[item] for item in sorted(self._decoder.mine)]
            hashes = tuple(_hash(item) for item in sorted(self._decoder.theirs))
            return Sketched(0, len(hashes) > HASHES_MAX, hashes if len(hashes) <= HASHES_MAX else ())
        decoder, symbols_max = self._decoder, min(bytes_max // SYMBOL_BYTES, SYMBOLS_MAX)
        enough = int(SYMBOLS_PER_ITEM * (len(decoder.mine) + len(decoder.theirs) + decoder.left))
        if enough > symbols_max or self._symbols >= symbols_max:
            return Sketched(0, True, ())
        more = max(enough - self._symbols, self._symbols // 4, 1)
        return Sketched(min(more, symbols_max - self._symbols, SYMBOLS_MORE_MAX), False, ())

    # Both.

    def _take_items(self) -> None:
        self._items.clear()
        for log, state in self._frontier.states.items():
            if state.settled and reconciled(log) and self._lanes >> log.lane & 1:
                tip = self._frontier.tip(log) if self._with_tips else b""
                self._items[item(self._salt, log, state.settled, tip)] = log
                self._equal[log] = state.settled


def item(salt: bytes, log: LogId, settled: Ranges, tip: bytes) -> int:
    """What stands for a log with its state in the sketches of one link."""
    return int.from_bytes(sha256(b"beepmesh/item/2" + salt + form(log, settled) + tip).digest()[:ITEM_BYTES])


def _hash(item: int) -> bytes:
    return item.to_bytes(8)[:HASH_BYTES]
