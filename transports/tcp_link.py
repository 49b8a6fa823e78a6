"""One link over one TCP connection: records coalesced on the way out, bounded in both directions.

Laws:
1. Records queued in one turn of the event loop leave in one write. asyncio's own callbacks are used because a small
   write costs a twentieth of what it costs through anyio's sockets (288,000 against 15,000 per CPU second, measured).
2. What one turn queued waits here for the kernel, WRITE_NOW_BYTES and one record at most, and `send` waits until it has
   all of that; at most UNREAD_BYTES_MAX and one read wait for the reader, then the kernel's window closes and the other
   side waits.
3. An idle link sends no byte of its own; the kernel's keepalive finds a dead path.
4. Closing sends everything, then the end of stream, and reads on until the other side's: a socket closed with unread
   bytes makes the kernel reset the connection, which would take our last records from the other side.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import cast

import anyio

from transports.framing import Deframer, FramingError, length_prefix
from transports.link import RECORD_BYTES_MAX, Link, LinkBroken, LinkInfo

UNREAD_BYTES_MAX = 256 * 1024
WRITE_NOW_BYTES = 64 * 1024
"""A turn that has queued this much writes at once: more gains nothing and only delays."""
CLOSE_S_MAX = 2.0
"""How long a closing link waits for the other side to have everything."""
KEEPALIVE_DIALLED_S, KEEPALIVE_ACCEPTED_S = 90, 240
"""A probe costs some 285 bytes with its answer and the ARP it causes: every 60 s from both sides, ten idle neighbours
took 95 B/s (measured). The side that dialled asks first because it will dial again; the other only frees its memory."""
KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 15, 3
UNANSWERED_S_MAX = 30
"""TCP_USER_TIMEOUT (RFC 5482): unacknowledged bytes, or a window that stays shut, for so long end the link."""
KERNEL_UNSENT_BYTES = 4 * 1024
"""TCP_NOTSENT_LOWAT: three segments, 2 s at 16 kbit/s; whoever asks `drained` can overtake all the rest. A path that
takes all we give costs nothing more for it, one at its limit a turn of the loop for each 2 KiB instead of 32."""

TCP_INFO = LinkInfo("tcp", "", RECORD_BYTES_MAX, metered=False, dialled=True, estimate_bytes_per_s=1_000_000)

_TIMED_OUT = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)


def address_text(socket_address: tuple[object, ...]) -> str:
    """HOST:PORT of a socket address; IPv6 in brackets, IPv4 mapped into IPv6 as IPv4, a scope kept."""
    host, port = str(socket_address[0]).removeprefix("::ffff:"), socket_address[1]
    scope = socket_address[3] if len(socket_address) == 4 else 0
    if isinstance(scope, int) and scope and "%" not in host:
        try:
            host = f"{host}%{socket.if_indextoname(scope)}"
        except OSError:
            host = f"{host}%{scope}"  # The interface has just gone.
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def set_options(sock: socket.socket, keepalive_idle_s: int) -> None:
    """No delay for small records, and a kernel that notices a dead path; what a platform lacks is left out."""
    options: list[tuple[int, str, int]] = [
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", keepalive_idle_s),
        (socket.IPPROTO_TCP, "TCP_KEEPALIVE", keepalive_idle_s),  # The same on macOS.
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", KEEPALIVE_COUNT),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", UNANSWERED_S_MAX * 1000),
        (socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", KERNEL_UNSENT_BYTES),
    ]
    for level, name, value in options:
        if hasattr(socket, name):
            try:
                sock.setsockopt(level, getattr(socket, name), value)
            except OSError:
                continue  # A kernel may refuse what its headers name; the link works without.


class TcpLink(Link, asyncio.Protocol):
    """A link over a connected TCP socket, made as the protocol of an asyncio connection.

    An `info` without an address gets the socket's.
    """

    def __init__(self, info: LinkInfo) -> None:
        self.info = info
        self.peer: str | None = None
        """What the node said in `established`, None before it did."""
        self.on_established: Callable[[TcpLink], None] | None = None
        self.on_first_record: Callable[[], None] | None = None
        """Called once and then forgotten."""
        self._deframer = Deframer(info.record_bytes_max)
        self._records: deque[bytes] = deque()
        self._unread_bytes = 0
        self._reading_paused = False
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._arrived = asyncio.Event()
        self._gone = asyncio.Event()
        self._broken = ""

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._wire.set_write_buffer_limits(high=0)  # Writable means that the kernel has taken everything.
        set_options(self._wire.get_extra_info("socket"), self._keepalive_idle_s())
        if not self.info.address:
            # A connection that was reset in this very moment has no peer name any more.
            peer_name = self._wire.get_extra_info("peername")
            self.info = replace(self.info, address=address_text(peer_name) if peer_name else "gone")

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        records, fault = self._unpack(data)
        if records:
            if self.on_first_record:
                self.on_first_record()
                self.on_first_record = None
            self._records.extend(records)
            self._unread_bytes += sum(map(len, records))
            self._arrived.set()
            if self._unread_bytes > UNREAD_BYTES_MAX and not self._reading_paused:
                self._reading_paused = True
                self._wire.pause_reading()
        if fault:
            self.break_off(fault)

    def _keepalive_idle_s(self) -> int:
        return KEEPALIVE_DIALLED_S if self.info.dialled else KEEPALIVE_ACCEPTED_S

    def eof_received(self) -> bool:
        # The other side has closed; records it sent are still ours to read, and there is no half-open state to keep.
        self._end("cut-short" if self._deframer.held_bytes else "closed-there")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError):
            self._end("timed-out" if exc.errno in _TIMED_OUT else "reset")
        self._end("closed-there")
        self._gone.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- what the node calls

    @property
    def broken(self) -> str:
        return self._broken

    @property
    def local_host(self) -> str:
        """Our own address on this link, without a scope."""
        name = self._wire.get_extra_info("sockname")
        return str(name[0]).partition("%")[0] if name else ""

    def established(self, peer: str = "") -> None:
        self.peer = peer
        if self.on_established:
            self.on_established(self)

    async def receive(self) -> bytes:
        while not self._records:
            if self._broken:
                raise LinkBroken(self._broken)
            self._arrived.clear()
            await self._arrived.wait()
        record = self._records.popleft()
        self._unread_bytes -= len(record)
        if self._reading_paused and self._unread_bytes < UNREAD_BYTES_MAX // 2 and not self._broken:
            self._reading_paused = False
            self._wire.resume_reading()
        return record

    async def send(self, item: bytes) -> None:
        self._check_size(item)
        await self._until_writable()
        self._queue(item)

    def send_now(self, item: bytes) -> bool:
        self._check_size(item)
        if self._broken or not self._writable.is_set():
            return False
        self._queue(item)
        return True

    async def drained(self) -> None:
        self._write()
        await self._until_writable()

    async def aclose(self) -> None:
        self._write()
        self._end("closed-here")
        self._records.clear()
        if not self._wire.is_closing():
            # The other end may have reset the connection a moment ago; the loop has not told us yet, the kernel does.
            with suppress(OSError):
                self._wire.write_eof()
            self._wire.resume_reading()
        try:
            with anyio.move_on_after(CLOSE_S_MAX):
                await self._gone.wait()
        finally:
            self._abort()

    # -- how records lie in the stream; what is built upon this link overrides it

    def _unpack(self, data: bytes) -> tuple[list[bytes], str]:
        """The records that `data` completes, and why the stream is worth nothing more, or ""."""
        try:
            return self._deframer.feed(data), ""
        except FramingError as error:
            return error.records, error.reason

    def _pack(self, record: bytes) -> tuple[bytes, ...]:
        return length_prefix(len(record)), record

    def break_off(self, reason: str) -> None:
        """End the link at once; what is unsent is lost, what has arrived can still be read."""
        self._end(reason)
        self._abort()

    def _abort(self) -> None:
        # asyncio's transport raises AttributeError if it is aborted after a close that had to wait for its buffer.
        if not self._gone.is_set():
            self._wire.abort()

    def _queue(self, record: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._write)
        self._pieces += self._pack(record)
        self._pieces_bytes += len(record)
        if self._pieces_bytes >= WRITE_NOW_BYTES:
            self._write()

    async def _until_writable(self) -> None:
        while not self._writable.is_set() and not self._broken:
            await self._writable.wait()
        if self._broken:
            raise LinkBroken(self._broken)

    def _write(self) -> None:
        # Records may be queued here when the connection ends in the same turn: they are lost, as law 3 of links says.
        if self._pieces and not self._wire.is_closing():
            self._wire.write(b"".join(self._pieces))
        self._pieces.clear()
        self._pieces_bytes = 0

    def _end(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._arrived.set()
        self._writable.set()
