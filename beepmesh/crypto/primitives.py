"""What is done with which library: the only place where a cryptographic library is called. Bytes in, bytes out.

| what | function | library | bytes added |
|---|---|---|---|
| Ed25519 signature | `SigningKey`, `verify` | PyNaCl | 64 |
| X25519 agreement | `AgreementKey` | cryptography | - |
| ChaCha20-Poly1305 (RFC 8439) | `Aead`, `aead_seal`, `aead_open` | cryptography | 16 |
| XChaCha20-Poly1305, random nonce in front | `sealed_column_seal`, `sealed_column_open` | PyNaCl | 40 |
| HPKE (below) | `PrekeySecret`, `hpke_seal`, `hpke_open` | cryptography | 1,136 |
| SHA-256, HMAC, HKDF-SHA256 | `sha256`, `kdf`, `hkdf_sha256` | hashlib, hmac, cryptography | - |
| argon2id (RFC 9106, one lane) | `argon2id` | PyNaCl | - |

HPKE is RFC 9180 base mode, one message a key: KEM X-Wing (0x647a), HKDF-SHA256, ChaCha20-Poly1305.

Laws
1. One Ed25519 verifier for everybody. PyNaCl and cryptography disagree about 165 of the 914 edge cases of the C2SP
   collection; two nodes that disagree about one signature would disagree about a whole log after it. The accepted
   cases are pinned in `tests/vectors/crypto/cctv_ed25519_accepted.json`.
2. Whatever is wrong with bytes from outside raises CryptoFailure without saying what (an oracle needs an answer);
   only `verify` answers with a truth value. Sizes that only we choose are asserted.
3. Nothing here is a primitive of our own; the X-Wing seed expansion is the one formula, and it has vectors.
4. No secret in any `repr`. Python cannot wipe memory: secrets live until the collector takes them.

The seeds of the key classes are the secrets: they are what is stored, and equal seeds give equal keys.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings
from nacl.exceptions import BadSignatureError, CryptoError

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
COLUMN_NONCE_BYTES = 24
COLUMN_OVERHEAD_BYTES = COLUMN_NONCE_BYTES + TAG_BYTES
PREKEY_PUBLIC_BYTES = 1_216  # ML-KEM-768 1,184, then X25519 32
HPKE_OVERHEAD_BYTES = 1_136  # ML-KEM-768 ciphertext 1,088, X25519 32, tag 16
HKDF_BYTES_MAX = 255 * 32
SALT_BYTES = 16
ARGON2ID_MEMORY_BYTES_MIN = 8_192  # libsodium's own floor; the keystore asks for far more

Entropy = Callable[[int], bytes]
HashName = Literal["sha256", "blake2s", "blake2b"]

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_MLKEM_PUBLIC_BYTES = 1_184


class CryptoFailure(Exception):
    """These bytes are not authentic, or no key at all. Never says which."""


class SigningKey:
    """An Ed25519 key pair from a 32-byte seed."""

    __slots__ = ("_expanded", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES
        self.seed = bytes(seed)
        self.public, self._expanded = bindings.crypto_sign_seed_keypair(self.seed)

    def sign(self, message: bytes) -> bytes:
        return bindings.crypto_sign(message, self._expanded)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey({self.public[:4].hex()}...)"


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether signature (64 B) is public's (32 B) over message. Wrong sizes are False, too."""
    # The binding does not check sizes: a short key would make libsodium read past its end.
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


class AgreementKey:
    """An X25519 key pair from a 32-byte seed (clamped as RFC 7748 says; any seed is a key)."""

    __slots__ = ("_private", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES
        self.seed = bytes(seed)
        self._private = X25519PrivateKey.from_private_bytes(self.seed)
        self.public = self._private.public_key().public_bytes_raw()

    def agree(self, other_public: bytes) -> bytes:
        """The shared 32 bytes. Raises CryptoFailure where they are all zero (a point of low order)."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(other_public))
        except ValueError:
            raise CryptoFailure from None

    def __repr__(self) -> str:
        return f"AgreementKey({self.public[:4].hex()}...)"


class Aead:
    """ChaCha20-Poly1305 under one key, kept ready: half the price of `aead_seal` for many small messages."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._cipher = ChaCha20Poly1305(key)

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """The ciphertext with its 16-byte tag behind. The caller never uses a nonce twice under one key."""
        return self._cipher.encrypt(nonce, plaintext, associated)

    def open(self, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """The plaintext. Raises CryptoFailure."""
        try:
            return self._cipher.decrypt(nonce, ciphertext, associated)
        except (InvalidTag, ValueError):
            raise CryptoFailure from None


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return Aead(key).seal(nonce, plaintext, associated)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The plaintext. Raises CryptoFailure."""
    return Aead(key).open(nonce, ciphertext, associated)


def sealed_column_seal(key: bytes, plaintext: bytes, associated: bytes, entropy: Entropy) -> bytes:
    """One value at rest: nonce 24 | ciphertext | tag 16. A nonce this long may be random for ever under one key."""
    nonce = entropy(COLUMN_NONCE_BYTES)
    assert len(nonce) == COLUMN_NONCE_BYTES
    assert len(key) == KEY_BYTES
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def sealed_column_open(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """What sealed_column_seal was given. Raises CryptoFailure."""
    assert len(key) == KEY_BYTES
    if len(sealed) < COLUMN_OVERHEAD_BYTES:
        raise CryptoFailure
    nonce, ciphertext = sealed[:COLUMN_NONCE_BYTES], sealed[COLUMN_NONCE_BYTES:]
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, associated, nonce, key)
    except CryptoError:
        raise CryptoFailure from None


class PrekeySecret:
    """An X-Wing key pair (ML-KEM-768 with X25519) from the 32-byte seed that draft-connolly-cfrg-xwing-kem stores."""

    __slots__ = ("_private", "_public_bytes", "_seed")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES
        self._seed = bytes(seed)
        # expandDecapsulationKey of the draft: 64 bytes d | z for ML-KEM, 32 for X25519.
        expanded = hashlib.shake_256(self._seed).digest(96)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._private = MLKEM768X25519PrivateKey(lattice, curve)
        self._public_bytes = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, entropy: Entropy = os.urandom) -> PrekeySecret:
        return cls(entropy(SEED_BYTES))

    @classmethod
    def from_bytes(cls, data: bytes) -> PrekeySecret:
        """What to_bytes gave. Raises CryptoFailure for another size."""
        if len(data) != SEED_BYTES:
            raise CryptoFailure
        return cls(data)

    def to_bytes(self) -> bytes:
        """The seed, 32 B: secret."""
        return self._seed

    @property
    def public_bytes(self) -> bytes:
        """1,216 B: ML-KEM-768 encapsulation key 1,184 | X25519 public key 32."""
        return self._public_bytes

    def __repr__(self) -> str:
        return f"PrekeySecret({sha256(self._public_bytes)[:4].hex()}...)"


def hpke_seal(public_bytes: bytes, info: bytes, plaintext: bytes) -> bytes:
    """plaintext for the holder of the prekey: KEM part 1,120 | ciphertext | tag 16. Raises CryptoFailure for no key.

    The encapsulation draws on the library's own randomness, so no two results are alike.
    """
    try:
        return _SUITE.encrypt(plaintext, _prekey_public(public_bytes), info)
    except ValueError:  # the X25519 half has low order
        raise CryptoFailure from None


def hpke_open(secret: PrekeySecret, info: bytes, ciphertext: bytes) -> bytes:
    """The plaintext. Raises CryptoFailure."""
    try:
        return _SUITE.decrypt(ciphertext, secret._private, info)
    except (InvalidTag, ValueError):
        raise CryptoFailure from None


# Building the key object is a fifth of a seal (26 of 150 us); a team writes to the same few devices all week.
@lru_cache(maxsize=128)
def _prekey_public(public_bytes: bytes) -> MLKEM768X25519PublicKey:
    if len(public_bytes) != PREKEY_PUBLIC_BYTES:
        raise CryptoFailure
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(public_bytes[:_MLKEM_PUBLIC_BYTES])
        curve = X25519PublicKey.from_public_bytes(public_bytes[_MLKEM_PUBLIC_BYTES:])
    except ValueError:
        raise CryptoFailure from None
    return MLKEM768X25519PublicKey(lattice, curve)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def kdf(key: bytes, label: bytes) -> bytes:
    """32 bytes for one purpose: HMAC-SHA256(key, label). The key is uniform already; for anything else, hkdf_sha256."""
    return hmac.digest(key, label, "sha256")


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, extract and expand. An empty salt is 32 zero bytes."""
    assert 0 < length <= HKDF_BYTES_MAX
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


def named_hash(name: HashName, data: bytes) -> bytes:
    """A hash that Noise names: the product uses sha256; BLAKE2 is here so that all published vectors run."""
    return hashlib.new(name, data).digest()


def named_hmac(name: HashName, key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, name)


def argon2id(passphrase: bytes, salt: bytes, *, memory_bytes: int, passes: int) -> bytes:
    """32 bytes from a passphrase (RFC 9106, version 0x13, one lane). Raises MemoryError if there is too little."""
    assert len(salt) == SALT_BYTES
    assert memory_bytes >= ARGON2ID_MEMORY_BYTES_MIN
    assert passes >= 1
    try:
        return bindings.crypto_pwhash_alg(
            KEY_BYTES, passphrase, salt, passes, memory_bytes, bindings.crypto_pwhash_ALG_ARGON2ID13
        )
    except CryptoError:
        raise MemoryError(f"argon2id could not have {memory_bytes} bytes") from None


def equal(left: bytes, right: bytes) -> bool:
    """Whether they are equal, in a time that tells nothing but their lengths."""
    return hmac.compare_digest(left, right)
