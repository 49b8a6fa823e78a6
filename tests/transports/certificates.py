"""Certificates as a hub has them, in a folder for a while."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from beepmesh.crypto.tls_certificate import VALID, self_signed
from transports.pins import own_pin, pin_of


@contextmanager
def certified(host: str = "hub", valid: timedelta = VALID) -> Iterator[tuple[str, str, bytes]]:
    """The files of a fresh certificate and of its key, and its pin."""
    certificate, key = self_signed(host, valid)
    with tempfile.TemporaryDirectory() as folder:
        certificate_file, key_file = Path(folder, "cert.pem"), Path(folder, "key.pem")
        certificate_file.write_bytes(certificate)
        key_file.write_bytes(key)
        pin = pin_of(own_pin(ssl.PEM_cert_to_DER_cert(certificate.decode())))
        yield str(certificate_file), str(key_file), pin
