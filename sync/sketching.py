"""Finding which logs two nodes have different states of, by a sketch of all of them.

An item stands for one log with its state and, where known, its tip: the first 8 B of
SHA-256("beepmesh/item/2" | salt | form | tip), see logs.form; without tips where one side's chain is NO_CHAIN.
Only the sender of the sketch learns by hash what the other side lacks; everything else is told as states.
"""

from __future__ import annotations

from hashlib import sha256

from sync.frontier import Frontier
from sync.limits import HASHES_MAX, SYMBOL_BYTES, SYMBOLS_FIRST, SYMBOLS_MAX
from sync.logs import LogId, form, reconciled
from sync.octets import RemoteProtocolError
from sync.peer import Peer
from sync.ranges import NOTHING, Ranges
from sync.refs import HASH_BYTES
from sync.sketch import Decoder, Encoder, SketchError, Symbol, decode_symbols, encode_symbols
from sync.wire import Sketch, Sketched

_STATE_BYTES = 2  # What a log costs in a VECTOR, at most on the whole.


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
        self._theirs: set[LogId] | None = None
        self._equal: dict[LogId, Ranges] = {}

    def agree(self, lanes: int, *, with_tips: bool) -> None:
        """What both HELLOs came to: a bit set of the lanes spoken of, and whether both know every tip."""
        self._lanes, self._with_tips = lanes, with_tips

    @property
    def hearing(self) -> bool:
        """Whether symbols of the peer's have come."""
        return self._decoder is not None

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
            self._theirs = {log for item, log in self._items.items() if _hash(item) in hashes}
        return None

    def explained(self, told: dict[LogId, Ranges], peer: Peer) -> tuple[dict[LogId, Ranges], set[LogId]]:
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

    def hear(self, data: bytes, *, no_other_way: bool) -> Sketched:
        """What to answer; `no_other_way`: a VECTOR would not show what is looked for. Raises RemoteProtocolError."""
        if self._encoder is not None or (self._decoder is not None and self._decoder.done):
            raise RemoteProtocolError("sketch-unexpected")
        try:
            symbols = decode_symbols(data)
            if self._decoder is None:
                self._take_items()
                self._decoder = Decoder(self._items)
                self._budget = SYMBOLS_MAX if no_other_way else self._worth(symbols)
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
        more = min(self._symbols, self._budget - self._symbols)
        return Sketched(0, True, ()) if more <= 0 else Sketched(more, False, ())

    def _worth(self, symbols: list[Symbol]) -> int:
        """How many symbols are worth their bytes: symbol 0 counts the logs that a VECTOR would tell."""
        theirs = abs(symbols[0].size) if symbols else 0
        if abs(theirs - len(self._items)) > theirs // 8 + SYMBOLS_FIRST:
            return 0
        return min(theirs * _STATE_BYTES // SYMBOL_BYTES, SYMBOLS_MAX)

    # Both.

    def _take_items(self) -> None:
        self._items.clear()
        for log, state in self._frontier.states.items():
            if state.settled and reconciled(log) and self._lanes >> log.lane & 1:
                tip = self._frontier.tip(log) if self._with_tips else b""
                data = b"beepmesh/item/2" + self._salt + form(log, state.settled) + tip
                self._items[int.from_bytes(sha256(data).digest()[:8])] = log
                self._equal[log] = state.settled


def _hash(item: int) -> bytes:
    return item.to_bytes(8)[:HASH_BYTES]
