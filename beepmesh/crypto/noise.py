"""The Noise Protocol Framework, revision 34, for X25519 and ChaCha20-Poly1305, as a machine without I/O.

Written from the specification (noiseprotocol.org/noise.html); section numbers below are its own. One `Handshake` is one
side of one conversation: the caller moves its messages, and `split` gives the two `Cipher`s for what follows.

Laws
1. Whatever arrives, `Handshake.read` and `Cipher.open` raise NoiseError and nothing else.
2. A handshake that failed once is dead: every later call raises NoiseError("dead").
3. A Cipher whose `open` failed is as it was before: an attacker's record moves no counter.
4. No message is longer than 65,535 bytes, no nonce reaches 2^64 - 1 (section 5.1).
5. The ephemeral key comes from the caller, made for this handshake and used for no other that is answered.

Reasons of NoiseError: `truncated`, `oversized`, `bad-tag`, `bad-key` (the agreement is all zero), `out-of-turn`,
`dead`, `exhausted` (no nonces left, or the direction a one-way pattern does not have).

SHA256 is the product's hash. BLAKE2s and BLAKE2b are here so that every published vector can be run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import NoReturn

from beepmesh.crypto.primitives import (
    KEY_BYTES,
    PUBLIC_BYTES,
    TAG_BYTES,
    Aead,
    AgreementKey,
    CryptoFailure,
    HashName,
    named_hash,
    named_hmac,
)

LINK_PROTOCOL = "Noise_XXpsk0_25519_ChaChaPoly_SHA256"
MESSAGE_BYTES_MAX = 65_535
PLAINTEXT_BYTES_MAX = MESSAGE_BYTES_MAX - TAG_BYTES
NONCE_LIMIT = 2**64 - 1

_HASHES: dict[str, HashName] = {"SHA256": "sha256", "BLAKE2s": "blake2s", "BLAKE2b": "blake2b"}
# 32 zero bits and the counter, little-endian (section 12.3).
_NONCE = Struct("<4xQ")

# Sections 7.4, 7.5 and appendix 18.1. Before the colon: whose static key is known beforehand (i, r). Behind it: the
# messages in turn, the initiator's first.
PATTERNS: dict[str, str] = {
    "N": "r: e es",
    "K": "ir: e es ss",
    "X": "r: e es s ss",
    "NN": ": e / e ee",
    "NK": "r: e es / e ee",
    "NX": ": e / e ee s es",
    "KN": "i: e / e ee se",
    "KK": "ir: e es ss / e ee se",
    "KX": "i: e / e ee se s es",
    "XN": ": e / e ee / s se",
    "XK": "r: e es / e ee / s se",
    "XX": ": e / e ee s es / s se",
    "IN": ": e s / e ee se",
    "IK": "r: e es s ss / e ee se",
    "IX": ": e s / e ee se s es",
    "NK1": "r: e / e ee es",
    "NX1": ": e / e ee s / es",
    "X1N": ": e / e ee / s / se",
    "X1K": "r: e es / e ee / s / se",
    "XK1": "r: e / e ee es / s se",
    "X1K1": "r: e / e ee es / s / se",
    "X1X": ": e / e ee s es / s / se",
    "XX1": ": e / e ee s / es s se",
    "X1X1": ": e / e ee s / es s / se",
    "K1N": "i: e / e ee / se",
    "K1K": "ir: e es / e ee / se",
    "KK1": "ir: e / e ee se es",
    "K1K1": "ir: e / e ee es / se",
    "K1X": "i: e / e ee s es / se",
    "KX1": "i: e / e ee se s / es",
    "K1X1": "i: e / e ee s / se es",
    "I1N": ": e s / e ee / se",
    "I1K": "r: e es s / e ee / se",
    "IK1": "r: e s / e ee se es",
    "I1K1": "r: e s / e ee es / se",
    "I1X": ": e s / e ee s es / se",
    "IX1": ": e s / e ee se s / es",
    "I1X1": ": e s / e ee s / se es",
}


class NoiseError(Exception):
    """What arrived is not the other side's next message. `reason` is a short stable word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cipher:
    """One direction after the handshake: messages in order, each once. `nonce` counts those that went well."""

    __slots__ = ("_aead", "nonce")

    def __init__(self, key: bytes, nonce: int = 0) -> None:
        self._aead = Aead(key)
        self.nonce = nonce

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """The next message. Raises NoiseError("exhausted")."""
        assert len(plaintext) <= PLAINTEXT_BYTES_MAX
        nonce = self.nonce
        if nonce >= NONCE_LIMIT:
            raise NoiseError("exhausted")
        sealed = self._aead.seal(_NONCE.pack(nonce), plaintext, associated)
        self.nonce = nonce + 1
        return sealed

    def open(self, message: bytes, associated: bytes = b"") -> bytes:
        """What the other side sealed next. Raises NoiseError and is then unchanged."""
        nonce = self.nonce
        if nonce >= NONCE_LIMIT:
            raise NoiseError("exhausted")
        if len(message) > MESSAGE_BYTES_MAX:
            raise NoiseError("oversized")
        if len(message) < TAG_BYTES:
            raise NoiseError("truncated")
        try:
            plaintext = self._aead.open(_NONCE.pack(nonce), message, associated)
        except CryptoFailure:
            raise NoiseError("bad-tag") from None
        self.nonce = nonce + 1
        return plaintext

    def rekey(self) -> None:
        """A new key out of the old one (section 4.2); the counter goes on. Both sides do it at the same message."""
        self._aead = Aead(self._aead.seal(_NONCE.pack(NONCE_LIMIT), bytes(KEY_BYTES), b"")[:KEY_BYTES])


class Handshake:
    """One side of a handshake. Its first `write` is the initiator's; then the sides take turns until `finished`."""

    def __init__(
        self,
        protocol: str,
        *,
        initiator: bool,
        prologue: bytes,
        static: AgreementKey | None,
        psks: Sequence[bytes] = (),
        remote_static: bytes | None = None,
        ephemeral: AgreementKey,
    ) -> None:
        """psks are in the order in which the pattern mixes them; remote_static is given if it is known beforehand."""
        pattern, hash_name = _parsed(protocol)
        ours, theirs = ("i", "r") if initiator else ("r", "i")
        own_turns = pattern.messages[0 if initiator else 1 :: 2]
        assert static is not None or not (ours in pattern.known or any("s" in turn for turn in own_turns))
        assert (remote_static is not None) == (theirs in pattern.known)
        assert remote_static is None or len(remote_static) == PUBLIC_BYTES
        assert len(psks) == pattern.psk_count and all(len(psk) == KEY_BYTES for psk in psks)  # noqa: PT018 one promise
        self._pattern = pattern
        self._initiator = initiator
        self._static = static
        self._ephemeral = ephemeral
        self._psks = list(psks)
        self._remote_ephemeral: bytes | None = None
        self._turn = 0
        self._dead = False
        self._given_away = False
        self.remote_static = remote_static
        self._symmetric = _Symmetric(protocol.encode("ascii"), hash_name)
        self._symmetric.mix_hash(prologue)
        for owner in pattern.known:
            self._symmetric.mix_hash(_public(static) if owner == ours else _received(remote_static))

    @property
    def finished(self) -> bool:
        return not self._dead and self._turn == len(self._pattern.messages)

    @property
    def hash(self) -> bytes:
        """h: binds everything both sides have sent so far. Equal on both sides, and public (section 11.2)."""
        return self._symmetric.hash

    def write(self, payload: bytes = b"") -> bytes:
        """Our next message. Raises NoiseError: `bad-key` (the other side's has low order), `out-of-turn`, `dead`."""
        tokens = self._next_tokens(writing=True)
        parts: list[bytes] = []
        try:
            for token in tokens:
                match token:
                    case "e":
                        parts.append(self._ephemeral.public)
                        self._mix_ephemeral(self._ephemeral.public)
                    case "s":
                        parts.append(self._symmetric.seal(_public(self._static)))
                    case _:
                        self._mix_secret(token)
            parts.append(self._symmetric.seal(payload))
        except CryptoFailure:
            self._die("bad-key")
        message = b"".join(parts)
        assert len(message) <= MESSAGE_BYTES_MAX
        return message

    def read(self, message: bytes) -> bytes:
        """The payload of the other side's next message. Raises NoiseError, after which the handshake is dead."""
        tokens = self._next_tokens(writing=False)
        if len(message) > MESSAGE_BYTES_MAX:
            self._die("oversized")
        rest = message
        for token in tokens:
            match token:
                case "e":
                    self._remote_ephemeral, rest = self._cut(rest, PUBLIC_BYTES)
                    self._mix_ephemeral(self._remote_ephemeral)
                case "s":
                    sealed, rest = self._cut(rest, PUBLIC_BYTES + self._symmetric.tag_bytes)
                    self.remote_static = self._opened(sealed)
                case _:
                    try:
                        self._mix_secret(token)
                    except CryptoFailure:
                        self._die("bad-key")
        if len(rest) < self._symmetric.tag_bytes:
            self._die("truncated")
        return self._opened(rest)

    def split(self) -> tuple[Cipher, Cipher]:
        """The ciphers for sending and for receiving, once. A one-way pattern's second direction is exhausted."""
        assert self.finished
        assert not self._given_away
        self._given_away = True
        first, second = self._symmetric.split()
        forth, back = Cipher(first), Cipher(second, NONCE_LIMIT if len(self._pattern.messages) == 1 else 0)
        return (forth, back) if self._initiator else (back, forth)

    def _next_tokens(self, *, writing: bool) -> tuple[str, ...]:
        if self._dead:
            raise NoiseError("dead")
        initiators_turn = self._turn % 2 == 0
        if self._turn == len(self._pattern.messages) or (initiators_turn == self._initiator) != writing:
            self._die("out-of-turn")
        self._turn += 1
        return self._pattern.messages[self._turn - 1]

    def _die(self, reason: str) -> NoReturn:
        self._dead = True
        raise NoiseError(reason) from None

    def _cut(self, data: bytes, size: int) -> tuple[bytes, bytes]:
        if len(data) < size:
            self._die("truncated")
        return data[:size], data[size:]

    def _opened(self, sealed: bytes) -> bytes:
        try:
            return self._symmetric.open(sealed)
        except CryptoFailure:
            self._die("bad-tag")

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        # With a psk the ephemeral key must also make the keys fresh (section 9.2).
        if self._pattern.psk_count:
            self._symmetric.mix_key(public)

    def _mix_secret(self, token: str) -> None:
        """psk, or an agreement: ee, es, se, ss name the initiator's key, then the responder's. Raises CryptoFailure."""
        if token == "psk":  # noqa: S105 the name of a token, not a secret
            self._symmetric.mix_key_and_hash(self._psks.pop(0))
            return
        initiators, responders = token[0], token[1]
        ours, theirs = (initiators, responders) if self._initiator else (responders, initiators)
        key = self._ephemeral if ours == "e" else self._static
        public = self._remote_ephemeral if theirs == "e" else self.remote_static
        assert key is not None
        self._symmetric.mix_key(key.agree(_received(public)))


@dataclass(frozen=True, slots=True)
class _Pattern:
    known: str  # "", "i", "r" or "ir": whose static key both sides know beforehand
    messages: tuple[tuple[str, ...], ...]
    psk_count: int


@lru_cache(maxsize=512)
def _parsed(protocol: str) -> tuple[_Pattern, HashName]:
    """A protocol name taken apart (section 8). Names are ours, so an unknown one is our own broken promise."""
    prefix, name, curve, cipher, hash_name = protocol.split("_")
    assert (prefix, curve, cipher) == ("Noise", "25519", "ChaChaPoly"), protocol
    base, *positions = name.replace("+", "").split("psk")
    known, messages = PATTERNS[base].split(":")
    turns = [message.split() for message in messages.split("/")]
    for position in map(int, positions):
        # psk0 opens the first message; pskN closes message N (section 9.4).
        if position == 0:
            turns[0].insert(0, "psk")
        else:
            turns[position - 1].append("psk")
    return _Pattern(known, tuple(map(tuple, turns)), len(positions)), _HASHES[hash_name]


def _public(key: AgreementKey | None) -> bytes:
    assert key is not None
    return key.public


def _received(public: bytes | None) -> bytes:
    assert public is not None
    return public


class _Symmetric:
    """The chaining key, the running hash and the handshake's cipher (section 5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "_hash_name", "_nonce", "hash")

    def __init__(self, protocol: bytes, hash_name: HashName) -> None:
        self._hash_name: HashName = hash_name
        hash_bytes = 64 if hash_name == "blake2b" else 32
        self.hash = named_hash(hash_name, protocol) if len(protocol) > hash_bytes else protocol.ljust(hash_bytes, b"\0")
        self._chaining_key = self.hash
        self._cipher: Aead | None = None
        self._nonce = 0

    @property
    def tag_bytes(self) -> int:
        """How much longer the next sealed part is than its plaintext: nothing until there is a key."""
        return TAG_BYTES if self._cipher else 0

    def mix_hash(self, data: bytes) -> None:
        self.hash = named_hash(self._hash_name, self.hash + data)

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, key = self._derived(secret, 2)
        self._set_key(key)

    def mix_key_and_hash(self, secret: bytes) -> None:
        self._chaining_key, hashed, key = self._derived(secret, 3)
        self.mix_hash(hashed)
        self._set_key(key)

    def seal(self, plaintext: bytes) -> bytes:
        sealed = self._cipher.seal(self._next_nonce(), plaintext, self.hash) if self._cipher else plaintext
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """The plaintext. Raises CryptoFailure."""
        plaintext = self._cipher.open(self._next_nonce(), sealed, self.hash) if self._cipher else sealed
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        first, second = self._derived(b"", 2)
        return first[:KEY_BYTES], second[:KEY_BYTES]

    def _set_key(self, key: bytes) -> None:
        self._cipher = Aead(key[:KEY_BYTES])
        self._nonce = 0

    def _next_nonce(self) -> bytes:
        self._nonce += 1
        return _NONCE.pack(self._nonce - 1)

    def _derived(self, secret: bytes, count: int) -> list[bytes]:
        """HKDF of section 4.3: count outputs, each as long as the hash."""
        extracted = named_hmac(self._hash_name, self._chaining_key, secret)
        outputs: list[bytes] = []
        previous = b""
        for number in range(1, count + 1):
            previous = named_hmac(self._hash_name, extracted, previous + bytes([number]))
            outputs.append(previous)
        return outputs
