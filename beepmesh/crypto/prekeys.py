"""Prekeys: public keys that others seal to, and the ring of their secrets, destroyed by the clock.

A device publishes a bundle every so often and senders take its newest. Destroying the secret is what gives forward
secrecy to everything that was sealed to it, so it happens on a schedule and needs nobody's consent:

    a bundle is used by senders     until  start + usable
    its secret is destroyed at             start + usable + session + longest message life + clock skew

Bundle, 1,309 B: CBOR [1, device 16, start hour, usable days, capabilities, public 1,216] | Ed25519 signature 64
by the device key over "beepmesh/prekey/1" | that CBOR. Its id is SHA-256("beepmesh/prekey-id/1" | public)[:8].

Laws
1. A ring is a value: rotate and destroy give a new one. The caller makes it durable before the bundle leaves.
2. A clock that cannot be right destroys nothing. It cannot be right where it is more than JUMP_S ahead of both the last
   time it was believed and the newest time headquarters signed. The price is kept secrets, never a lost message.
3. A secret whose start lies AHEAD_S beyond a time that can be right was made under a clock that ran ahead: it lives one
   full life from now. Less than that may be our clock that fell behind, and then shortening would lose messages.
4. Refused carries `prekey-malformed` or `prekey-signature`, and nothing else is raised for bytes from outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeGuard

from beepmesh.crypto.primitives import (
    PREKEY_PUBLIC_BYTES,
    SEED_BYTES,
    SIGNATURE_BYTES,
    CryptoFailure,
    Entropy,
    PrekeySecret,
    SigningKey,
    hpke_seal,
    sha256,
    verify,
)
from beepmesh.errors import Refused
from sync.cbor import CborError, decode, encode

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
WEEK_HOURS: Final = 168
JUMP_S: Final = 7 * DAY_S
AHEAD_S: Final = (
    180 * DAY_S
)  # Certificates live 90 d, so no device that still works has heard nothing signed for longer.
SKEW_S: Final = DAY_S  # Bundles from further ahead are the last choice: their device's clock or ours is wrong.
HOUR_MAX: Final = 2**24  # The year 3883.
USABLE_DAYS_MAX: Final = 255
BUNDLE_BYTES_MAX: Final = 1_400
SECRETS_MAX: Final = 64  # "city" holds 17; the rest is for clocks that jumped to and fro. Beyond it the oldest goes.
RING_BYTES_MAX: Final = 8_192
CAPABILITIES_MAX: Final = 2**32 - 1

_VERSION = 1
_LABEL = b"beepmesh/prekey/1"
_ID_LABEL = b"beepmesh/prekey-id/1"
_DEVICE_BYTES = 16
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Policy:
    """How long what lives, in days. A longer message life is weaker forward secrecy."""

    rotate: int
    usable: int
    session: int
    ttl_max: int
    skew: int

    @property
    def life_s(self) -> int:
        """How long a secret lives, counted from its bundle's start."""
        return (self.usable + self.session + self.ttl_max + self.skew) * DAY_S


POLICIES: Final = {
    "city": Policy(rotate=1, usable=7, session=1, ttl_max=7, skew=1),
    "standard": Policy(rotate=7, usable=21, session=7, ttl_max=14, skew=1),
    "remote": Policy(rotate=7, usable=35, session=7, ttl_max=30, skew=2),
    "expedition": Policy(rotate=14, usable=60, session=14, ttl_max=60, skew=2),
}


@dataclass(frozen=True, slots=True)
class PrekeyBundle:
    """What a device says to whoever wants to seal something to it."""

    device: bytes  # 16 B
    start_hour: int  # hours since 1970
    usable_days: int
    capabilities: int  # bit set; 0 today, unknown bits are ignored
    public: bytes = field(repr=False)  # 1,216 B X-Wing
    signature: bytes = field(repr=False)

    @property
    def prekey_id(self) -> bytes:
        return prekey_id(self.public)

    @property
    def start_s(self) -> int:
        return self.start_hour * HOUR_S

    @property
    def end_s(self) -> int:
        """The last second at which a sender uses it."""
        return self.start_s + self.usable_days * DAY_S

    @property
    def week(self) -> int:
        """The one clear byte of a wrap: it narrows the receiver's choice and is the same for everybody that week."""
        return week(self.start_hour)

    def encode(self) -> bytes:
        return _signed_part(self) + self.signature


def prekey_id(public: bytes) -> bytes:
    return sha256(_ID_LABEL + public)[:_ID_BYTES]


def week(start_hour: int) -> int:
    return start_hour // WEEK_HOURS % 256


def sign_bundle(
    device_key: SigningKey, *, device: bytes, start_hour: int, usable_days: int, public: bytes, capabilities: int = 0
) -> PrekeyBundle:
    unsigned = PrekeyBundle(device, start_hour, usable_days, capabilities, public, b"")
    return replace(unsigned, signature=device_key.sign(_LABEL + _signed_part(unsigned)))


def decode_bundle(data: bytes) -> PrekeyBundle:
    """The bundle in data, unchecked. Raises Refused("prekey-malformed")."""
    if not SIGNATURE_BYTES < len(data) <= BUNDLE_BYTES_MAX:
        raise Refused("prekey-malformed", "size")
    match _decoded(data[:-SIGNATURE_BYTES], BUNDLE_BYTES_MAX):
        case [version, bytes(device), start_hour, usable_days, capabilities, bytes(public)] if (
            len(device) == _DEVICE_BYTES
            and len(public) == PREKEY_PUBLIC_BYTES
            and _is_int(version, _VERSION, _VERSION)
            and _is_int(start_hour, 0, HOUR_MAX)
            and _is_int(usable_days, 1, USABLE_DAYS_MAX)
            and _is_int(capabilities, 0, CAPABILITIES_MAX)
        ):
            return PrekeyBundle(device, start_hour, usable_days, capabilities, public, data[-SIGNATURE_BYTES:])
    raise Refused("prekey-malformed", "fields")


def check(bundle: PrekeyBundle, device_public: bytes) -> None:
    """Raises Refused unless the device signed it and its key is one. 0.3 ms: for when it is learned, once."""
    if not verify(device_public, _LABEL + _signed_part(bundle), bundle.signature):
        raise Refused("prekey-signature")
    try:
        # The one way to know that a key can be sealed to, so that one bad bundle cannot break a message to many.
        hpke_seal(bundle.public, b"", b"")
    except CryptoFailure:
        raise Refused("prekey-malformed", "key") from None


def newest(bundles: Iterable[PrekeyBundle], now_s: float) -> PrekeyBundle | None:
    """The one to seal to: of those not past their end, the newest; one that starts in the future only if all do."""
    usable = [bundle for bundle in bundles if now_s <= bundle.end_s]
    started = [bundle for bundle in usable if bundle.start_s <= now_s + SKEW_S]
    return max(started or usable, key=lambda bundle: (bundle.start_hour, bundle.public), default=None)


@dataclass(frozen=True, slots=True)
class HeldPrekey:
    """A secret, and the second from which it is to be gone."""

    start_hour: int
    until_s: int
    secret: PrekeySecret = field(compare=False)

    @property
    def prekey_id(self) -> bytes:
        return prekey_id(self.secret.public_bytes)

    def __repr__(self) -> str:
        return f"HeldPrekey({self.prekey_id.hex()}, start_hour={self.start_hour}, until_s={self.until_s})"


@dataclass(frozen=True, slots=True)
class PrekeyRing:
    """All secrets a device still has, oldest start first."""

    policy_name: str
    believed_s: int
    """The last time at which the clock was believed; 0 before the first rotation."""
    held: tuple[HeldPrekey, ...]

    @classmethod
    def empty(cls, policy_name: str = "standard") -> PrekeyRing:
        assert policy_name in POLICIES
        return cls(policy_name, 0, ())

    @property
    def policy(self) -> Policy:
        return POLICIES[self.policy_name]

    def due(self, now_s: float) -> bool:
        """Whether a new bundle should be made now: there is none, it is old, or it claims to be from the future."""
        return not any(
            start_s - SKEW_S <= now_s < start_s + self.policy.rotate * DAY_S
            for start_s in (held.start_hour * HOUR_S for held in self.held)
        )

    def rotate(self, now_s: float, device_key: SigningKey, entropy: Entropy) -> tuple[PrekeyRing, PrekeyBundle]:
        """A ring with one more secret, and its bundle, which may leave once the ring is durable."""
        secret = PrekeySecret.generate(entropy)
        start_hour = max(0, int(now_s)) // HOUR_S
        bundle = sign_bundle(
            device_key,
            device=sha256(device_key.public)[:_DEVICE_BYTES],
            start_hour=start_hour,
            usable_days=self.policy.usable,
            public=secret.public_bytes,
        )
        held = (*self.held, HeldPrekey(start_hour, bundle.start_s + self.policy.life_s, secret))
        if len(held) > SECRETS_MAX:
            held = tuple(sorted(held, key=lambda item: item.until_s)[-SECRETS_MAX:])
        ordered = tuple(sorted(held, key=lambda item: (item.start_hour, item.prekey_id)))
        return replace(self, held=ordered, believed_s=self.believed_s or int(now_s)), bundle

    def destroy(self, now_s: float, trusted_s: float) -> PrekeyRing:
        """A ring without the secrets whose time has come. trusted_s: newest time that headquarters signed, 0 if none.

        Time is at least trusted_s. A clock that jumped ahead is not believed, and then the ring stays as it is.
        """
        if now_s > max(trusted_s, self.believed_s) + JUMP_S:
            return self
        time_s = int(max(now_s, trusted_s))
        # Only a clock that agrees with something signed can say of another time that it was too late.
        ran_ahead_s = time_s + AHEAD_S if 0 < trusted_s <= now_s else HOUR_MAX * HOUR_S
        kept = tuple(
            replace(item, until_s=min(item.until_s, time_s + self.policy.life_s))
            if item.start_hour * HOUR_S > ran_ahead_s
            else item
            for item in self.held
            if time_s < item.until_s
        )
        believed_s = time_s if self.believed_s > ran_ahead_s else max(self.believed_s, time_s)
        return replace(self, held=kept, believed_s=believed_s)

    def outdated(self, now_s: float, trusted_s: float) -> bool:
        """Whether what destroy gives should be made durable: a secret's end changed or came, or the time is a day on.

        The believed time must be kept that often: where it is older than JUMP_S, the clock itself looks like a jump.
        """
        after = self.destroy(now_s, trusted_s)
        return after.held != self.held or abs(after.believed_s - self.believed_s) >= DAY_S

    def candidates(self, week_byte: int) -> list[tuple[bytes, PrekeySecret]]:
        """(prekey id, secret) of every secret that a wrap of that week may be for, newest first; one or two."""
        return [(item.prekey_id, item.secret) for item in reversed(self.held) if week(item.start_hour) == week_byte]

    def encode(self) -> bytes:
        """For the keystore: all of it is secret."""
        held: list[object] = [[item.start_hour, item.until_s, item.secret.to_bytes()] for item in self.held]
        return encode([_VERSION, self.policy_name, self.believed_s, held])

    @classmethod
    def decode(cls, data: bytes) -> PrekeyRing:
        """What encode gave. Raises Refused("prekey-malformed")."""
        match _decoded(data, RING_BYTES_MAX):
            case [version, str(policy_name), int(believed_s), list(held)] if (
                _is_int(version, _VERSION, _VERSION) and policy_name in POLICIES
            ):
                return cls(policy_name, believed_s, tuple(_held(item) for item in held))
        raise Refused("prekey-malformed", "ring")


def _held(value: object) -> HeldPrekey:
    match value:
        case [int(start_hour), int(until_s), bytes(seed)] if len(seed) == SEED_BYTES:
            return HeldPrekey(start_hour, until_s, PrekeySecret.from_bytes(seed))
    raise Refused("prekey-malformed", "ring")


def _is_int(value: object, low: int, high: int) -> TypeGuard[int]:
    # Not isinstance: in Python True is an int, in CBOR it is another value.
    return type(value) is int and low <= value <= high


def _signed_part(bundle: PrekeyBundle) -> bytes:
    return encode([_VERSION, bundle.device, bundle.start_hour, bundle.usable_days, bundle.capabilities, bundle.public])


def _decoded(data: bytes, bytes_max: int) -> object:
    try:
        return decode(data, bytes_max=bytes_max)
    except CborError:
        raise Refused("prekey-malformed", "not CBOR") from None
