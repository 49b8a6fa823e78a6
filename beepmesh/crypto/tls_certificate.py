"""The certificate by which a hub is known to TLS where nobody has given it one: made once, kept in its home, pinned.

It names nobody: who dials looks at the key alone (`transports/pins.py`), so a name or a place in it would only tell
strangers something. The key is P-256, which every TLS library speaks and which makes a handshake 1 kB smaller than RSA.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

VALID: Final = timedelta(days=365 * 30)
BEGINS: Final = datetime(2020, 1, 1, tzinfo=UTC)  # Whoever does look at dates may have a clock that is years behind.


def self_signed(host: str = "hub", valid: timedelta = VALID) -> tuple[bytes, bytes]:
    """A new certificate and its private key, both as PEM. The key is not encrypted: the home's folder protects it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINS)
        .not_valid_after(BEGINS + valid)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private
