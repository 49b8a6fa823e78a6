"""Records over WebSocket over TLS, and a proxy's CONNECT before it: bytes in, records out. No socket, no clock.

Laws:
1. One record is one binary message. What is not one - text, a message beyond RECORD_BYTES_MAX, bytes that are no
   WebSocket - raises WireFault with a reason word and the whole records before it, and nothing else is raised.
2. Nothing is read without a bound: an answer's or a question's head is at most HEAD_BYTES_MAX.
3. An answer other than 101 is told by its status line and headers; nobody waits for a page's end.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.proxy import Proxy, prepare_connect_request
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.uri import WebSocketURI

from transports.link import RECORD_BYTES_MAX
from transports.tls import Tls, TlsFault

HEAD_BYTES_MAX: Final = 16 * 1024
RETRY_AFTER_S_MAX: Final = 3_600.0
"""Nobody can send a node away for longer."""
GOING_AWAY, TRY_LATER = 1001, 1013
"""Close codes (RFC 6455, section 7.4.1, and its registry) whose reason text may say when to come back."""

_HEAD_END: Final = b"\r\n\r\n"
_HTML_STATUSES: Final = frozenset({200, 203, 300, 301, 302, 303, 307, 308, 511})
_NAMED_STATUSES: Final = {401: "login-wanted", 407: "proxy-login", 403: "forbidden", 404: "no-hub"}


@dataclass(frozen=True, slots=True)
class Page:
    """What a question that is no WebSocket is answered with."""

    status: int
    kind: str
    body: bytes


Pages: TypeAlias = Callable[[str, str], Page]
"""From a path and the asking host to a page."""


class WireFault(Exception):
    """The connection is worth nothing more.

    reason: a stable word. records: whole ones that came before the fault. retry_after_s: when the other side wants us
    back, 0 where it did not say.
    """

    def __init__(self, reason: str, records: list[bytes] | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.records = records or []
        self.retry_after_s = retry_after_s


class _Spoken:
    """What both sides do in the same way, once the WebSocket is there."""

    _talk: _Talk

    @property
    def is_open(self) -> bool:
        return self._talk.is_open

    @property
    def closed(self) -> tuple[int, float] | None:
        """Code and seconds of the other side's close, once it has come."""
        return self._talk.closed

    def send(self, record: bytes) -> None:
        self._talk.protocol.send_binary(record)

    def ping(self) -> None:
        self._talk.ping()

    def close(self, code: int, retry_after_s: float) -> None:
        self._talk.close(code, retry_after_s)


class DialledWire(_Spoken):
    """Our side of a connection to a hub: CONNECT if there is a proxy, TLS, the upgrade, records."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, pin: bytes | None, proxy: Proxy | None) -> None:
        self._uri = WebSocketURI(True, host, port, "/", "")
        self._tls = Tls(context, host=host, pin=pin)
        self._talk = _Talk(ClientProtocol(self._uri, max_size=RECORD_BYTES_MAX))
        self._head = b""
        self._proxied = proxy is None
        self._out = b"" if proxy is None else prepare_connect_request(proxy, self._uri)
        self._asked = False
        if proxy is None:
            self._tls.start()

    def feed(self, data: bytes) -> list[bytes]:
        if not self._proxied:
            data = self._through_proxy(data)
            if not self._proxied:
                return []
        try:
            plain = self._tls.feed(data)
        except TlsFault as fault:
            raise WireFault(fault.reason) from None
        if self._tls.is_up and not self._asked:
            self._asked = True
            client = self._talk.protocol
            assert isinstance(client, ClientProtocol)
            client.send_request(client.connect())
        if not self.is_open and plain:
            plain = self._answered(plain)
        records = self._talk.feed(plain) if plain else []
        if self._tls.is_ended and self.closed is None:
            raise WireFault("cut-short", records)
        return records

    def take(self) -> bytes:
        out, self._out = self._out, b""
        if plain := self._talk.take():
            self._tls.write(plain)
        return out + self._tls.take() if self._proxied else out

    def _through_proxy(self, data: bytes) -> bytes:
        """What follows a proxy's consent. Until it has come `_proxied` stays False."""
        self._head += data
        answer, rest = _answer_in(self._head)
        if answer is None:
            return b""
        if not 200 <= answer.status_code < 300:
            # When to come back is the hub's to say. A proxy proves nothing, and its network may be left in a minute.
            raise WireFault(_refused(answer, "proxy-refused").reason)
        self._head, self._proxied = b"", True
        self._tls.start()
        return rest

    def _answered(self, plain: bytes) -> bytes:
        """All that came, once it holds a whole head that says 101."""
        self._head += plain
        answer, _ = _answer_in(self._head)
        if answer is None:
            return b""
        if answer.status_code != 101:
            raise _refused(answer, "hub-refused")
        whole, self._head = self._head, b""
        return whole


class AcceptedWire(_Spoken):
    """The hub's side: TLS, then a WebSocket or a page."""

    def __init__(self, context: ssl.SSLContext, host: str, pages: Pages | None) -> None:
        self._tls = Tls(context, host=None)
        self._talk = _Talk(ServerProtocol(max_size=RECORD_BYTES_MAX))
        self._host, self._pages = host, pages
        self._head_bytes = 0
        self.is_page = False
        """A page was asked for and answered: there will be no records."""

    def feed(self, data: bytes) -> list[bytes]:
        try:
            plain = self._tls.feed(data)
        except TlsFault as fault:
            raise WireFault(fault.reason) from None
        if self.is_page:
            return []
        if not self.is_open:
            self._head_bytes += len(plain)
            if self._head_bytes > HEAD_BYTES_MAX + RECORD_BYTES_MAX:
                raise WireFault("malformed")
        records = self._talk.feed(plain, self._decide) if plain else []
        if not self.is_open and self._head_bytes > HEAD_BYTES_MAX:
            raise WireFault("malformed")
        if self._tls.is_ended and self.closed is None and not self.is_page:
            raise WireFault("cut-short", records)
        return records

    def take(self) -> bytes:
        if plain := self._talk.take():
            self._tls.write(plain)
        return self._tls.take()

    def _decide(self, request: Request) -> None:
        server = self._talk.protocol
        assert isinstance(server, ServerProtocol)
        if "Upgrade" in request.headers or self._pages is None:
            answer = server.accept(request)
            if answer.status_code == 101:
                for name in ("Date", "Server"):  # Nobody needs them, and they cost 70 bytes of a small window.
                    if name in answer.headers:
                        del answer.headers[name]
            else:
                self.is_page = True
        else:
            self.is_page = True
            page = self._pages(request.path.partition("?")[0], self._host)
            fields = {"Content-Type": page.kind, "Content-Length": str(len(page.body)), "Connection": "close"}
            answer = Response(page.status, "", Headers(fields), page.body)
        server.send_response(answer)


class _Talk:
    """The WebSocket in the middle, as records."""

    def __init__(self, protocol: ClientProtocol | ServerProtocol) -> None:
        self.protocol = protocol
        self.is_open = False
        self.closed: tuple[int, float] | None = None
        self._parts: list[bytes] = []
        self._decided = False

    def feed(self, plain: bytes, decide: Callable[[Request], None] | None = None) -> list[bytes]:
        protocol = self.protocol
        if protocol.eof_sent or self.closed:
            return []
        protocol.receive_data(plain)
        records: list[bytes] = []
        events = protocol.events_received()
        while events:
            for event in events:
                if isinstance(event, Frame):
                    self._frame(event, records)
                elif isinstance(event, Request) and decide is not None:
                    if protocol.eof_sent:  # Somebody closed in the same breath; there is nothing to answer.
                        raise WireFault("malformed", records)
                    self._decided = True
                    decide(event)
            events = protocol.events_received()
        self.is_open = self.is_open or protocol.state.name == "OPEN"
        if protocol.parser_exc is not None and self.closed is None:
            raise WireFault("oversize" if isinstance(protocol.parser_exc, PayloadTooBig) else "malformed", records)
        if protocol.handshake_exc is not None and not self._decided:
            raise WireFault("malformed" if decide else "hub-refused", records)
        return records

    def take(self) -> bytes:
        return b"".join(self.protocol.data_to_send())

    def ping(self) -> None:
        if self.protocol.state.name == "OPEN":
            self.protocol.send_ping(b"")

    def close(self, code: int, retry_after_s: float) -> None:
        if self.protocol.state.name == "OPEN":
            self.protocol.send_close(code, f"retry-after {retry_after_s:.0f}" if retry_after_s else "")

    def _frame(self, frame: Frame, records: list[bytes]) -> None:
        match frame.opcode:
            case Opcode.BINARY | Opcode.CONT:
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    record = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
                    self._parts = []
                    if not record:
                        raise WireFault("malformed", records)
                    records.append(record)
                elif len(self._parts) > 64:
                    raise WireFault("malformed", records)
            case Opcode.CLOSE:
                close = self.protocol.close_rcvd
                self.closed = (close.code, _seconds(close.reason.removeprefix("retry-after "))) if close else (1005, 0)
            case Opcode.TEXT:
                raise WireFault("malformed", records)
            case _:
                pass  # Pings are answered by the library; that something came is all a pong says.


def _answer_in(head: bytes) -> tuple[Response | None, bytes]:
    """The answer whose head is whole in `head`, and what follows it. Raises WireFault where it is none of HTTP."""
    end = head.find(_HEAD_END)
    if end < 0:
        if len(head) > HEAD_BYTES_MAX or not b"HTTP/".startswith(head[:5]):
            raise WireFault("no-http")
        return None, b""
    reader = StreamReader()
    reader.feed_data(head[: end + len(_HEAD_END)])
    parsing = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof, proxy=True)
    try:
        next(parsing)
    except StopIteration as done:
        answer: Response = done.value
        return answer, head[end + len(_HEAD_END) :]
    except Exception:  # The library raises eight kinds for what is no HTTP; all mean the same here.
        raise WireFault("no-http") from None
    raise WireFault("no-http")


def _refused(answer: Response, otherwise: str) -> WireFault:
    """Why an answer is no consent. A page where an upgrade was asked for is a captive portal's."""
    status = answer.status_code
    reason = _NAMED_STATUSES.get(status, otherwise)
    if status in _HTML_STATUSES:
        reason = "captive-portal"
    elif status >= 500:
        reason = "hub-unavailable"
    return WireFault(reason, retry_after_s=_seconds(answer.headers.get("Retry-After", "")))


def _seconds(text: str) -> float:
    """A number of seconds that somebody wrote, within bounds; a date counts as nothing, for clocks may be wrong."""
    text = text.strip()
    return min(float(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdecimal() and len(text) < 9 else 0.0
