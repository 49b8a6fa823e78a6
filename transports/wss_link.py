"""One link over WebSocket and TLS: a TCP link whose stream is read and written by a wire (`wss_wire`).

Laws:
1. The link is handed over when the wire is open; before, it may only end.
2. An idle link of ours says nothing for IDLE_S, then asks (a ping of 8 bytes and TLS's 22) so that what stands between
   does not forget it. Only the dialling side asks.
3. What was written and is followed by nothing from the other side for ANSWER_S is asked after; an answer that does not
   come in PONG_S ends the link (`swallowed`): a proxy may take bytes for ever and the kernel will not know.
4. A reader that leaves what waits unread for SLOW_S, or asks on without reading, is dropped (`slow-reader`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from transports.link import LinkInfo
from transports.tcp_link import TcpLink
from transports.wss_wire import GOING_AWAY, TRY_LATER, AcceptedWire, DialledWire, WireFault

CONTROL_BYTES_MAX: Final = 4 * 1024
"""Answers to pings that may wait for a reader."""
KERNEL_KEEPALIVE_S: Final = 900
"""The kernel's own question is left for connections whose other end is gone without a word."""
NORMAL: Final = 1000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a link waits for what, in seconds. Answers take 0.6 s on the paths we know, and queue behind what is on
    its way: at 50 kbit/s a modem's buffer may hold ten seconds."""

    answer_s: float = 10.0
    pong_s: float = 20.0
    idle_s: float = 240.0
    slow_s: float = 120.0


PATIENCE: Final = Patience()
Wire: TypeAlias = DialledWire | AcceptedWire


class WssLink(TcpLink):
    """Made as the protocol of an asyncio connection, around a wire that has not begun."""

    def __init__(self, info: LinkInfo, wire: Callable[[str], Wire], patience: Patience = PATIENCE) -> None:
        """`wire` makes the wire from the other end's address, once there is a connection."""
        super().__init__(info)
        self.wss: Wire | None = None
        self.retry_after_s = 0.0
        """When the other side wants us back; 0 where it did not say."""
        self.is_going_away = False
        self._patience = patience
        self._make_wire = wire
        self._opened = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._written_at = self._pinged_at = self._unread_since = 0.0
        self._control_bytes = 0

    async def opened(self) -> bool:
        """Wait until records can pass, or the link has ended before that; whether they can."""
        await self._opened.wait()
        return not self._broken

    def ask(self) -> None:
        """Find out whether the other side is still there: when the network has changed under the link."""
        if self._opened.is_set() and not self._broken and not self._pinged_at:
            self._ping(self._loop.time())
            self._watch_again()

    def go_away(self, retry_after_s: float) -> None:
        """Have the closing say when to come back."""
        self.is_going_away, self.retry_after_s = True, retry_after_s

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._heard_at = self._loop.time()
        peer_name = transport.get_extra_info("peername")
        self.wss = self._make_wire(str(peer_name[0]) if peer_name else "")
        self._flush()

    def eof_received(self) -> bool:
        closed = self.wss is not None and (self.wss.closed is not None or _is_page(self.wss))
        self._end("closed-there" if closed else "cut-short")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since = self._loop.time()
        self._watch_again()

    # -- records in the stream

    def _keepalive_idle_s(self) -> int:
        return KERNEL_KEEPALIVE_S

    def _unpack(self, data: bytes) -> tuple[list[bytes], str]:
        if self.wss is None:
            return [], ""
        self._heard_at, self._pinged_at = self._loop.time(), 0.0
        fault = ""
        try:
            records = self.wss.feed(data)
        except WireFault as error:
            records, fault, self.retry_after_s = error.records, error.reason, error.retry_after_s
        answer = self._flush()
        if answer and not self._writable.is_set():
            self._control_bytes += answer
            if self._control_bytes > CONTROL_BYTES_MAX:
                fault = fault or "slow-reader"
        elif self._writable.is_set():
            self._control_bytes = 0
        if not fault and self.wss.closed is not None:
            _, self.retry_after_s = self.wss.closed
            self._end("closed-there")
            self._wire.close()
        elif not fault and _is_page(self.wss):
            self._end("closed-there")
            self._wire.close()
        elif self.wss.is_open and not self._opened.is_set():
            self._opened.set()
            self._watch_again()
        return records, fault

    def _pack(self, record: bytes) -> tuple[bytes, ...]:
        return (record,)

    def _write(self) -> None:
        if self._pieces and self.wss is not None and not self._broken and not self._wire.is_closing():
            for record in self._pieces:
                self.wss.send(record)
            self._flush()
            self._written_at = self._written_at if self._written_at > self._heard_at else self._loop.time()
            self._watch_again()
        self._pieces.clear()
        self._pieces_bytes = 0

    def _flush(self) -> int:
        assert self.wss is not None
        data = self.wss.take()
        if data and not self._wire.is_closing():
            self._wire.write(data)
        return len(data)

    def _end(self, reason: str) -> None:
        if reason == "closed-here" and not self._broken and self.wss is not None and self.wss.is_open:
            code = (TRY_LATER if self.retry_after_s else GOING_AWAY) if self.is_going_away else NORMAL
            self.wss.close(code, self.retry_after_s if self.is_going_away else 0)
            self._flush()
        super()._end(reason)
        self._opened.set()

    # -- whether the other side is there

    def _watch_again(self) -> None:
        """Look when the next thing can be late; one timer, and none where nothing is awaited."""
        due_at = self._due_at()
        if self._broken or due_at is None or (self._timer is not None and self._timer.when() <= due_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due_at, self._look)

    def _due_at(self) -> float | None:
        patience, dues = self._patience, []
        if self._pinged_at:
            dues.append(self._pinged_at + patience.pong_s)
        elif self._written_at > self._heard_at:
            dues.append(self._written_at + patience.answer_s)
        if self.info.dialled:
            dues.append(max(self._heard_at, self._written_at) + patience.idle_s)
        if not self._writable.is_set():
            dues.append(self._unread_since + patience.slow_s)
        return min(dues, default=None)

    def _look(self) -> None:
        self._timer = None
        if self._broken:
            return
        now, patience = self._loop.time(), self._patience
        is_writable = self._writable.is_set()
        if not is_writable and now - self._unread_since >= patience.slow_s:
            self.break_off("slow-reader")
            return
        if not is_writable:  # The question, or what it asks after, may still be here: nobody can have answered.
            self._pinged_at = now if self._pinged_at else 0.0
            self._written_at = now
        elif self._pinged_at:
            if now - self._pinged_at >= patience.pong_s:
                self.break_off("swallowed")
                return
        elif (self._written_at > self._heard_at and now - self._written_at >= patience.answer_s) or (
            self.info.dialled and now - max(self._heard_at, self._written_at) >= patience.idle_s
        ):
            self._ping(now)
        self._watch_again()

    def _ping(self, now: float) -> None:
        if self.wss is not None:
            self._pinged_at = now
            self.wss.ping()
            self._flush()


def _is_page(wire: Wire) -> bool:
    return isinstance(wire, AcceptedWire) and wire.is_page
