"""The hub's TLS certificate: somebody's files, or one of our own that is made at the first start and kept in the home.

Law: the key is on the disk before the certificate is, each whole or not at all; a certificate that is there has its
key, so a pin that was once given out stays true.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beepmesh.crypto.keystore import make_names_durable
from beepmesh.crypto.tls_certificate import self_signed
from beepmesh.errors import HomeProblem, Usage
from transports.pins import own_pin

CERTIFICATE_NAME: Final = "hub-cert.pem"
KEY_NAME: Final = "hub-key.pem"
FILE_BYTES_MAX: Final = 256 * 1024  # A chain of ten certificates is 20 kB.


@dataclass(frozen=True, slots=True)
class Certificate:
    """The two files, and the pin of the first certificate in them."""

    certificate_file: str
    key_file: str
    pin: str
    is_own: bool
    """Made here: nobody's system trusts it, so that whoever dials needs the pin."""


def given(certificate_file: str, key_file: str) -> Certificate:
    """The certificate in these files. Raises Usage."""
    return Certificate(certificate_file, key_file, _pin(Path(certificate_file)), is_own=False)


def kept(home: Path) -> Certificate:
    """The home's own, made if there is none. Raises HomeProblem."""
    certificate, key = home / CERTIFICATE_NAME, home / KEY_NAME
    try:
        if not certificate.exists():
            certificate_pem, key_pem = self_signed()
            _write(key, key_pem)
            _write(certificate, certificate_pem)
    except OSError as error:
        raise HomeProblem(
            f"The hub's certificate cannot be kept in {home} ({error.strerror}). Free some space, or make the folder"
            " writable."
        ) from None
    return Certificate(str(certificate), str(key), _pin(certificate), is_own=True)


def _write(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    make_names_durable(path.parent)


def _pin(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            text = file.read(FILE_BYTES_MAX).decode("ascii", "replace")
        start = text.index(ssl.PEM_HEADER)
        end = text.index(ssl.PEM_FOOTER, start) + len(ssl.PEM_FOOTER)
        return own_pin(ssl.PEM_cert_to_DER_cert(text[start:end]))
    except OSError as error:
        raise Usage(f"The certificate {path} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise Usage(
            f"{path} holds no certificate in PEM form. Name the file that begins with BEGIN CERTIFICATE."
        ) from None
