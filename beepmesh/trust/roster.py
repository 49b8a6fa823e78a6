"""Everybody this organisation knows: what control feeds and feed certificates said, put together.

Laws
1. The same set of facts gives the same state, in whatever order and however often they come. What is kept is the top of
   an order, never the first that came; what depends on several facts is judged when it is asked for.
2. A device speaks for itself: its certificate and its prekeys count only from its own control feed, a feed's
   certificate only from that feed. So nobody can re-certify a device that did not agree to it.
3. A registrar reaches as far as its certificate: whole-organisation registrars (role hq or registrar, department "")
   reach everybody, others their departments and the roles they may give. Beyond that it can neither revoke a device,
   nor cut its feeds, nor attach a device to somebody else's person.
4. The device of a registrar and its registrar certificate are one: that certificate's serial is the first half of the
   device id. Once the device is revoked at time t, what it signed with a later date is void: certificates and
   revocations. Revocations are judged in the order of their times; of two with one time both hold.
5. Everything bad raises Refused and changes nothing: the certificates' and prekeys' own reasons, `fact-malformed`,
   `fact-unknown`, `fact-misplaced` (law 2), `certificate-date` (signed when its issuer was not valid), `fact-early`,
   `feed-page` (`listing.py`).

Known limit: dates are the signer's word. Whoever holds a stolen registrar key can sign with a date before the cut; such
a device is seen in the roster, and can be revoked by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Final, Literal

from beepmesh.crypto.certificates import (
    DAY_S,
    GRACE_S,
    DeviceCertificate,
    FeedCertificate,
    RegistrarCertificate,
    Revocation,
    check_device,
    check_feed,
    check_registrar,
    check_revocation,
    public_id,
)
from beepmesh.crypto.names import covers, role_order
from beepmesh.crypto.prekeys import PrekeyBundle, check, decode_bundle, newest
from beepmesh.errors import Refused
from beepmesh.trust import facts
from beepmesh.trust.crowds import Crowds
from beepmesh.trust.facts import Fact
from beepmesh.trust.held import Dated, Held, Said, age, earliness, start, top
from beepmesh.trust.listing import Listing, page_of
from beepmesh.trust.people import Person, resolve
from sync.feeds import FeedList

BUNDLES_MAX: Final = 3  # One in use, one before it, one after a clock that was corrected.
CERTIFICATES_MAX: Final = 4  # Of one key: a year of renewals, so that a void one has another behind it.
STATEMENTS_MAX: Final = 8  # Of one registrar about one device: one, and again with more cuts.
WAITING_DEVICES_MAX: Final = 1_024  # Devices whose prekeys came before their certificate: rare, a feed begins with it.
WAITING_BUNDLES_MAX: Final = 8
_WIDE_ROLES: Final = frozenset({"hq", "registrar"})

Changed = Literal["device", "feed", "bundle", "revocation", "list"]


@dataclass(frozen=True, slots=True)
class Learned:
    """A fact that was new. `id` is the device it is about, the feed for "feed", the keeper for "list"."""

    what: Changed
    id: bytes


@dataclass(frozen=True, slots=True)
class FeedInfo:
    """A feed that a certificate of this organisation vouches for."""

    feed: bytes
    public: bytes
    kind: Literal["control", "message"]
    expires: int  # seconds, the certificate's end without grace
    cuts: tuple[tuple[int, int], ...]  # (lane, last good seq), by lane; of valid revocations, the lowest each

    def last_good(self, lane: int) -> int | None:
        """The last seq of that lane which counts; None without a limit, -1 for none.

        Where some lanes of a feed are cut and this one is not named, whoever cut it knew of no entry there.
        """
        return dict(self.cuts).get(lane, -1) if self.cuts else None


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What the valid revocations amount to."""

    revoked: dict[bytes, Revocation]  # by device, the earliest
    registrar_ends: dict[bytes, int]  # by registrar serial, the time after which its signatures are void
    cutting: dict[bytes, list[Said]]  # by feed that is named in cuts


class Roster:
    """The fold. Only `learn` and `load` change it."""

    def __init__(self, root_public: bytes) -> None:
        self._root_public = root_public
        self._registrars: dict[bytes, RegistrarCertificate] = {}
        self._devices: dict[bytes, list[Held[DeviceCertificate]]] = {}
        self._feeds: dict[bytes, list[Held[FeedCertificate]]] = {}
        self._of_person: dict[bytes, dict[bytes, None]] = {}
        self._bundles: dict[bytes, list[PrekeyBundle]] = {}
        self._waiting: dict[bytes, list[PrekeyBundle]] = {}
        self._said: dict[bytes, dict[bytes, list[Said]]] = {}  # by device and issuer's public key
        self._listing = Listing()
        self._judged: _Judgement | None = None
        self._standing: dict[bytes, dict[bytes, Held[DeviceCertificate]]] = {}  # by person and device
        self._listed: tuple[bytes, ...] | None = None
        self._crowds: Crowds | None = None
        self._people: list[Person] | None = None
        self._trusted_s: int | None = None
        self._is_shared = False

    def fork(self) -> Roster:
        """Another roster that knows the same. What either learns from now on the other does not; until then they are
        one in memory."""
        self._is_shared = True
        return copy(self)

    def learn(self, fact: Fact) -> list[Learned]:
        """Verify and take one fact; what it changed, nothing for a repeat. Raises Refused."""
        return self._take(fact, trusted=False)

    def load(self, fact: Fact) -> None:
        """Take a fact that `learn` has taken before. Prekeys are not verified again (0.3 ms each). Raises Refused."""
        self._take(fact, trusted=True)

    # What is known

    def device(self, device: bytes) -> DeviceCertificate | None:
        """Its newest certificate that counts; also of one revoked or expired, so that old messages keep their names."""
        held = self._current(device)
        if held is None or device not in self._standing_of(held.certificate.person):
            return None
        return held.certificate

    def devices(self) -> tuple[bytes, ...]:
        """The ids of all devices that `device` knows, sorted."""
        if self._listed is None:
            self._listed = tuple(sorted(device for device in self._devices if self.device(device) is not None))
            self._crowds = None
        return self._listed

    def crowds(self) -> Crowds:
        """The crowds of all `devices`, as mail is carried towards them."""
        devices = self.devices()
        if self._crowds is None:
            known = map(self.device, devices)
            departments = {each.device: each.department for each in known if each}
            self._crowds = Crowds(public_id(self._root_public), departments)
        return self._crowds

    def devices_of(self, person: bytes) -> list[DeviceCertificate]:
        """The person's devices that are not revoked, the newest certificate first."""
        revoked = self._judgement().revoked
        held = [held for device, held in self._standing_of(person).items() if device not in revoked]
        return [item.certificate for item in sorted(held, key=age, reverse=True)]

    def people(self) -> list[Person]:
        """Everybody ever known, by name and id; those without a device left are marked as revoked."""
        if self._people is None:
            people = (self.person(person) for person in self._of_person)
            known = (person for person in people if person is not None)
            self._people = sorted(known, key=lambda one: (one.name, one.person))
        return list(self._people)

    def person(self, person: bytes) -> Person | None:
        """One person, also if revoked."""
        standing = [held.certificate for held in sorted(self._standing_of(person).values(), key=age, reverse=True)]
        if not standing:
            return None
        counting = self.devices_of(person)
        named = (counting or standing)[0]
        held_roles = {role for device in counting or standing for role in device.roles}
        return Person(
            person=person,
            name=named.name,
            department=named.department,
            roles=tuple(sorted(held_roles, key=role_order)),
            devices=tuple(device.device for device in counting),
            usable_until_s=max((device.expires + GRACE_S for device in counting), default=0),
        )

    def resolve(self, who: str, now_s: int) -> list[Person]:
        """The people meant by what was typed. Raises UnknownName."""
        return resolve(self.people(), who, now_s)

    def feed(self, feed: bytes) -> FeedInfo | None:
        """The feed, control or message, if a certificate that counts vouches for it."""
        device = self.device(feed)
        cuts = self._cuts_of(feed)
        if device is not None:
            return FeedInfo(feed, device.public, "control", device.expires, cuts)
        held = self._newest(self._feeds.get(feed, []))
        if held is None:
            return None
        return FeedInfo(feed, held.certificate.public, "message", held.certificate.expires, cuts)

    def vouches(self, feed: bytes) -> bool:
        """Whether `feed` knows it."""
        return self.device(feed) is not None or self._newest(self._feeds.get(feed, ())) is not None

    def bundle(self, device: bytes, now_s: int) -> PrekeyBundle | None:
        """The prekey to seal to; None for a device that is unknown, revoked, or whose prekeys are all too old."""
        if self.device(device) is None or self.revoked(device) is not None:
            return None
        return newest(self._bundles.get(device, []), now_s)

    def revoked(self, device: bytes) -> Revocation | None:
        """The earliest valid revocation."""
        return self._judgement().revoked.get(device)

    @property
    def feed_list(self) -> FeedList:
        """The organisation's list of feeds, as far as it is known here."""
        return self._listing.feed_list

    @property
    def names(self) -> FeedList:
        """The same as sessions name logs by it."""
        return self._listing.names

    def keeps_list(self, device: bytes) -> bool:
        """Whether that list is this device's to write (`listing.py`, law 1)."""
        return self._listing.keeps(registrar_serial(device))

    def message_feeds(self) -> list[FeedCertificate]:
        """The newest certificate that counts of each message feed."""
        newest_of = (self._newest(held) for held in self._feeds.values())
        return [held.certificate for held in newest_of if held is not None]

    @property
    def trusted_s(self) -> int:
        """The newest time that the root or a whole-organisation registrar signed; 0 if none is known."""
        if self._trusted_s is None:
            self._trusted_s = max(self._signed_times(), default=0)
        return self._trusted_s

    # Taking facts

    def _take(self, fact: Fact, *, trusted: bool) -> list[Learned]:
        parts = facts.parts_of(fact)
        if self._is_shared:
            self._part()
        self._people = None
        match fact.kind:
            case facts.FEED_CERTIFICATE:
                return self._take_feed(fact, *parts)
            case facts.DEVICE_CERTIFICATE:
                return self._take_device(fact, *parts)
            case facts.PREKEY_BUNDLE:
                return self._take_bundle(fact, *parts, trusted=trusted)
            case facts.REVOCATION:
                return self._take_revocation(*parts)
            case facts.FEED_PAGE:
                return self._take_page(fact, *parts)
            case _:
                return []  # A fork proof is about entries: whoever keeps the logs judges it.

    def _part(self) -> None:
        """What forks have in common is left to the others. The lists inside are never changed in place."""
        self._registrars = dict(self._registrars)
        self._devices = dict(self._devices)
        self._feeds = dict(self._feeds)
        self._of_person = {person: dict(devices) for person, devices in self._of_person.items()}
        self._bundles = dict(self._bundles)
        self._waiting = dict(self._waiting)
        self._said = {device: dict(said) for device, said in self._said.items()}
        self._listing = deepcopy(self._listing)
        self._standing = dict(self._standing)
        self._is_shared = False

    def _take_device(self, fact: Fact, data: bytes, registrar: bytes) -> list[Learned]:
        known = self._devices.get(fact.feed, [])
        if any((held.certificate.data, held.issuer.data) == (data, registrar) for held in known):
            return []
        issuer = self._registrar(registrar)
        certificate = check_device(data, issuer)
        if certificate.device != fact.feed:
            raise Refused("fact-misplaced", "another device's certificate")
        _require_date(issuer, certificate.not_before, 0)
        held = Held(certificate, issuer)
        kept, is_new = top(known, held, age, CERTIFICATES_MAX)
        if not is_new:
            return []
        self._devices[certificate.device] = kept
        self._of_person.setdefault(certificate.person, {})[certificate.device] = None
        self._listed = None
        if certificate.device in self._said:
            self._forget_judgement()  # Whether a revocation reaches a device depends on its certificate.
        for item in [*known, held]:
            self._standing.pop(item.certificate.person, None)
        self._learn_time(held)
        return [Learned("device", certificate.device), *self._waited(certificate)]

    def _take_feed(self, fact: Fact, data: bytes, registrar: bytes) -> list[Learned]:
        known = self._feeds.get(fact.feed, [])
        if any((held.certificate.data, held.issuer.data) == (data, registrar) for held in known):
            return []
        issuer = self._registrar(registrar)
        certificate = check_feed(data, issuer, public_id(self._root_public))
        if certificate.feed != fact.feed:
            raise Refused("fact-misplaced", "another feed's certificate")
        # It is dated by the day on purpose, which may begin before its issuer did.
        _require_date(issuer, certificate.not_before, DAY_S)
        held = Held(certificate, issuer)
        kept, is_new = top(known, held, age, CERTIFICATES_MAX)
        if not is_new:
            return []
        self._feeds[certificate.feed] = kept
        self._learn_time(held)
        return [Learned("feed", certificate.feed)]

    def _take_bundle(self, fact: Fact, data: bytes, *, trusted: bool) -> list[Learned]:
        bundle = decode_bundle(data)
        if bundle.device != fact.feed:
            raise Refused("fact-misplaced", "another device's prekeys")
        held = self._devices.get(bundle.device)
        if held is None:
            waiting = self._waiting.get(bundle.device, [])
            if not waiting and len(self._waiting) >= WAITING_DEVICES_MAX:
                raise Refused("fact-early", "too many prekeys without a device")
            self._waiting[bundle.device], _ = top(waiting, bundle, start, WAITING_BUNDLES_MAX)
            return []
        if bundle in self._bundles.get(bundle.device, []):
            return []
        if not trusted:
            check(bundle, held[0].certificate.public)
        return self._keep_bundle(bundle)

    def _waited(self, certificate: DeviceCertificate) -> list[Learned]:
        learned: list[Learned] = []
        for bundle in self._waiting.pop(certificate.device, []):
            try:
                check(bundle, certificate.public)
            except Refused:
                continue  # It would have been refused had it come now; its entry was written by the device itself.
            learned += self._keep_bundle(bundle)
        return learned

    def _keep_bundle(self, bundle: PrekeyBundle) -> list[Learned]:
        kept, is_new = top(self._bundles.get(bundle.device, []), bundle, start, BUNDLES_MAX)
        self._bundles[bundle.device] = kept
        return [Learned("bundle", bundle.device)] if is_new else []

    def _take_revocation(self, data: bytes, registrar: bytes) -> list[Learned]:
        issuer = self._registrar(registrar)
        revocation = check_revocation(data, issuer)
        _require_date(issuer, revocation.time, 0)
        by_issuer = self._said.setdefault(revocation.device, {})
        # The earliest win, so that no number of later ones can push out the one that counts.
        kept, is_new = top(by_issuer.get(issuer.public, []), Said(revocation, issuer), earliness, STATEMENTS_MAX)
        if not is_new:
            return []
        by_issuer[issuer.public] = kept
        self._forget_judgement()
        return [Learned("revocation", revocation.device)]

    def _take_page(self, fact: Fact, start: bytes, feeds: bytes) -> list[Learned]:
        serial = registrar_serial(fact.feed)
        is_known = fact.feed in self._devices or fact.feed in self._feeds
        if is_known and not self._listing.may_keep(serial):
            raise Refused("feed-page", "not the keeper's")
        has_grown = self._listing.learn_page(serial, fact.seq, page_of(start, feeds))
        return [Learned("list", fact.feed)] if has_grown else []

    def _registrar(self, data: bytes) -> RegistrarCertificate:
        known = self._registrars.get(data)
        if known is None:
            known = self._registrars[data] = check_registrar(data, self._root_public)
            self._listing.learn_registrar(known)
            self._trusted_s = None
        return known

    # Judging

    def _judgement(self) -> _Judgement:
        if self._judged is None:
            self._judged = self._judge()
        return self._judged

    def _judge(self) -> _Judgement:
        judged = _Judgement({}, {}, {})
        for item in sorted(self._statements(), key=earliness, reverse=True):
            revocation, issuer = item.revocation, item.issuer
            if _is_after(revocation.time, judged.registrar_ends.get(issuer.serial)):
                continue
            if not self._may_revoke(issuer, revocation.device):
                continue
            judged.revoked.setdefault(revocation.device, revocation)
            judged.registrar_ends.setdefault(registrar_serial(revocation.device), revocation.time)
            for feed in {feed: None for feed, _, _ in revocation.cuts}:
                judged.cutting.setdefault(feed, []).append(item)
        return judged

    def _statements(self) -> Iterator[Said]:
        for by_issuer in self._said.values():
            for statements in by_issuer.values():
                yield from statements

    def _may_revoke(self, issuer: RegistrarCertificate, device: bytes) -> bool:
        held = self._devices.get(device)
        return _is_wide(issuer) or (held is not None and _reaches(issuer, held[0].certificate))

    def _cuts_of(self, feed: bytes) -> tuple[tuple[int, int], ...]:
        lanes: dict[int, int] = {}
        for item in self._judgement().cutting.get(feed, []):
            if self._may_cut(item.issuer, item.revocation.device, feed):
                for named, lane, last_good in item.revocation.cuts:
                    if named == feed:
                        lanes[lane] = min(last_good, lanes.get(lane, last_good))
        return tuple(sorted(lanes.items()))

    def _may_cut(self, issuer: RegistrarCertificate, device: bytes, feed: bytes) -> bool:
        """The tie between a device and its message feed is its registrar's secret: others are not believed about it."""
        if feed == device:
            return True
        if feed in self._devices:
            return False
        held = self._feeds.get(feed)
        return _is_wide(issuer) or (held is not None and held[0].issuer.public == issuer.public)

    def _standing_of(self, person: bytes) -> dict[bytes, Held[DeviceCertificate]]:
        """The person's devices, by law 3: those whose registrar reaches the one with which the person began."""
        known = self._standing.get(person)
        if known is not None:
            return known
        current = [(device, self._current(device)) for device in self._of_person.get(person, {})]
        held = {device: item for device, item in current if item is not None and item.certificate.person == person}
        if held:
            first = min(held.values(), key=lambda item: (not _is_wide(item.issuer), *age(item)))
            held = {
                device: item
                for device, item in held.items()
                if item.issuer.public == first.issuer.public or _reaches(item.issuer, first.certificate)
            }
        self._standing[person] = held
        return held

    def _current(self, device: bytes) -> Held[DeviceCertificate] | None:
        return self._newest(self._devices.get(device, []))

    def _newest(self, held: Iterable[Held[Dated]]) -> Held[Dated] | None:
        return next((item for item in held if not self._is_void(item)), None)

    def _is_void(self, held: Held[Dated]) -> bool:
        return _is_after(held.certificate.not_before, self._judgement().registrar_ends.get(held.issuer.serial))

    def _forget_judgement(self) -> None:
        self._judged = self._listed = self._trusted_s = None
        self._standing.clear()

    def _learn_time(self, held: Held[Dated]) -> None:
        if self._trusted_s is not None and _is_wide(held.issuer) and not self._is_void(held):
            self._trusted_s = max(self._trusted_s, held.certificate.not_before)

    def _signed_times(self) -> Iterator[int]:
        for registrar in self._registrars.values():
            yield registrar.not_before
        for devices in self._devices.values():
            yield from (self._signed_time(held) for held in devices)
        for feeds in self._feeds.values():
            yield from (self._signed_time(held) for held in feeds)
        ends = self._judgement().registrar_ends
        for item in self._statements():
            if _is_wide(item.issuer) and not _is_after(item.revocation.time, ends.get(item.issuer.serial)):
                yield item.revocation.time

    def _signed_time(self, held: Held[Dated]) -> int:
        return held.certificate.not_before if _is_wide(held.issuer) and not self._is_void(held) else 0


def registrar_serial(device: bytes) -> bytes:
    """The serial of the registrar certificate of this device: who revokes the device ends the registrar, too."""
    return device[:8]


def _is_wide(issuer: RegistrarCertificate) -> bool:
    return "" in issuer.departments and not _WIDE_ROLES.isdisjoint(issuer.roles)


def _reaches(issuer: RegistrarCertificate, device: DeviceCertificate) -> bool:
    return _is_wide(issuer) or (
        set(device.roles) <= set(issuer.roles) and covers(issuer.departments, device.department)
    )


def _is_after(time_s: int, end_s: int | None) -> bool:
    return end_s is not None and time_s > end_s


def _require_date(issuer: RegistrarCertificate, date_s: int, slack_s: int) -> None:
    if not issuer.not_before - slack_s <= date_s < issuer.expires + GRACE_S:
        raise Refused("certificate-date")
