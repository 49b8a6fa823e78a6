"""TLS without a socket: bytes of the wire in, plain bytes out, and the reverse.

asyncio's own TLS keeps 256 KiB for each connection and says that bytes have left when they lie in its buffer; a hub
with thousands of links cannot pay the one, and a link that must be able to change its mind cannot use the other.
"""

from __future__ import annotations

import ssl
from typing import Final

from transports.pins import matches

READ_BYTES: Final = 64 * 1024
PROTOCOLS: Final = ["http/1.1"]
_DATE_CODES: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NAME_CODES: Final = frozenset({62, 63, 64})  # X509_V_ERR_HOSTNAME_MISMATCH and its neighbours


class TlsFault(Exception):
    """TLS has failed. `reason` is pin-wrong, tls-date, tls-name, tls-unknown or tls-failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def client_context(pin: bytes | None) -> ssl.SSLContext:
    """For dialling. With a pin nothing but the pin is looked at: neither a name nor a date, for our clock may be wrong
    and a hub may have no name."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(PROTOCOLS)
    if pin is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def server_context(certificate_file: str, key_file: str) -> ssl.SSLContext:
    """For accepting. Raises OSError (ssl.SSLError among them) where the files do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(PROTOCOLS)
    context.load_cert_chain(certificate_file, key_file)
    return context


class Tls:
    """One end of one TLS connection. Nothing may be written before `is_up`."""

    __slots__ = ("_incoming", "_outgoing", "_pin", "_tls", "is_ended", "is_up")

    def __init__(self, context: ssl.SSLContext, *, host: str | None, pin: bytes | None = None) -> None:
        """`host`: whom we dial; None on the accepting side."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=host is None, server_hostname=host or None
        )
        self._pin = pin
        self.is_up = False
        self.is_ended = False
        """The other side has said that it will write no more."""

    def start(self) -> None:
        """Begin: the dialling side has something to say now."""
        self._shake()

    def feed(self, data: bytes) -> bytes:
        """The plain bytes that `data` completes. Raises TlsFault; what came before the fault is lost with it."""
        self._incoming.write(data)
        if not self.is_up:
            self._shake()
        pieces: list[bytes] = []
        try:
            while self.is_up and (piece := self._tls.read(READ_BYTES)):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return b"".join(pieces)
        except ssl.SSLZeroReturnError:
            self.is_ended = True
        except ssl.SSLError:
            if not pieces:
                raise TlsFault("tls-failed") from None
            self.is_ended = True  # The bytes before the fault were proved; nothing after it counts.
        return b"".join(pieces)

    def write(self, plain: bytes) -> None:
        assert self.is_up
        self._tls.write(plain)

    def take(self) -> bytes:
        """What is to go onto the wire now."""
        return self._outgoing.read()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLCertVerificationError as error:
            raise TlsFault(_certificate_reason(error.verify_code)) from None
        except ssl.SSLError:
            raise TlsFault("tls-failed") from None
        if self._pin is not None and not matches(self._pin, self._tls.getpeercert(binary_form=True) or b""):
            raise TlsFault("pin-wrong")
        self.is_up = True


def _certificate_reason(code: int) -> str:
    if code in _DATE_CODES:
        return "tls-date"
    return "tls-name" if code in _NAME_CODES else "tls-unknown"
