"""What a device owes to the passing of days: fresh prekeys and no old ones, waiting messages sealed, old bodies erased,
and, where it keeps the organisation's list of feeds, new ones written there.

Each may be repeated without harm, and cut off at any moment by a power cut: the next call does what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from beepmesh.author import Composed, compose, control_draft, feed_certificate_draft, sealable_devices
from beepmesh.crypto.certificates import DAY_S
from beepmesh.crypto.prekeys import HeldPrekey, PrekeyBundle, decode_bundle, sign_bundle
from beepmesh.errors import NotAllowed
from beepmesh.home import Home, first_statements
from beepmesh.messages.content import Receipts, decode_content
from beepmesh.store.contract import Batch, Draft, Statement, Unsealed
from beepmesh.trust.facts import FEED_PAGE, PREKEY_BUNDLE, feed_page_data, parts_of, prekey_bundle_data
from beepmesh.trust.listing import due
from beepmesh.trust.renewal import renew_own

RENEWAL_S: Final = 30 * 86_400  # Certificates last 90 d: whoever hears of us every other month keeps us.
SEALED_MAX: Final = 64  # Entries made in one transaction: at most 0.7 s for which other processes wait.
_LISTED_ON: Final = "feeds/listed-on"  # The day on which message feeds were listed last.


def in_turn(chore: Callable[[Home, int], object], home: Home, now_ms: int) -> None:
    """Do one of these, unless another process of this device is at it. Raises as it does."""
    with home.chores() as mine:
        if mine:
            chore(home, now_ms)


def rotate_prekeys(home: Home, now_ms: int) -> bool:
    """Publish a new prekey if one is due, and destroy those that have outlived their time. True if one was published.

    Raises StoreProblem, HomeProblem, or Locked where the passphrase was changed meanwhile.
    """
    believed_s, now_s = home.believed_s(now_ms), now_ms // 1_000
    ring = home.identity.prekeys
    outdated = ring.outdated(now_s, home.trusted_s)
    if not outdated and not ring.due(believed_s) and _is_published(home, believed_s):
        return False
    with home.changing_identity():
        ring = home.identity.prekeys.destroy(now_s, home.trusted_s)
        bundle: PrekeyBundle | None = None
        if ring.due(believed_s):
            ring, bundle = ring.rotate(believed_s, home.identity.device_key, home.entropy)
        # The secret is durable before anybody can seal to it.
        home.save_identity(home.identity.with_prekeys(ring))
        if bundle is None and not _is_published(home, believed_s):
            # The last time, power went between the keystore and the log.
            bundle = _bundle_of(home, ring.held[-1])
        if bundle is not None:
            statement = Statement(PREKEY_BUNDLE, prekey_bundle_data(bundle.encode()))
            home.commit(Batch(drafts=(control_draft(statement, home.identity),)), now_ms)
    return bundle is not None


def renew_certificates(home: Home, now_ms: int) -> bool:
    """Where this device is a registrar: new certificates for itself once a month. True if they were renewed.

    Besides keeping the device in, this is what tells everybody that headquarters' time goes on. Raises as above.
    """
    if home.identity.registrar_certificate is None:
        return False
    now_s = home.believed_s(now_ms)
    due = now_s >= home.identity.certificate().not_before + RENEWAL_S
    published = home.roster.device(home.identity.device)
    if not due and (published is None or published.data == home.identity.device_certificate):
        return False
    with home.changing_identity():
        if due:
            try:
                home.save_identity(renew_own(home.identity, now_s, home.entropy))
            except NotAllowed:
                return False  # Our own right has ended; only headquarters can help, and `status` says so.
        device, feed = first_statements(home.identity)
        home.commit(Batch(drafts=(control_draft(device, home.identity), feed_certificate_draft(feed))), now_ms)
    return True


def seal_waiting(home: Home, now_ms: int) -> int:
    """Seal living messages to those devices of their recipients that can be sealed to by now; returns to how many."""
    total = 0
    drafts: list[Draft] = []
    for message_id, waiting in _waiting(home, now_ms).items():
        drafts += _sealed_again(home, message_id, waiting, now_ms).drafts
        if len(drafts) >= SEALED_MAX:
            total += _write(home, drafts, now_ms)
            drafts = []
    return total + _write(home, drafts, now_ms)


def list_feeds(home: Home, now_ms: int) -> int:
    """Where this device keeps the organisation's list: write down the feeds that are due; returns how many.

    Only the node of a home may call it: two processes at once would number different feeds alike. Raises StoreProblem.
    """
    identity, roster, store = home.identity, home.roster, home.store
    if not roster.keeps_list(identity.device):
        return 0
    today = home.believed_s(now_ms) // DAY_S
    is_open = store.get(_LISTED_ON) != today.to_bytes(4)
    pages = due(roster.feed_list, roster.devices(), roster.message_feeds() if is_open else None, today)
    feeds = [feed for page in pages for feed in page.feeds]
    if feeds:
        statements = [Statement(FEED_PAGE, feed_page_data(*page.encode())) for page in pages]
        home.commit(Batch(drafts=tuple(control_draft(said, identity) for said in statements)), now_ms)
        if any(roster.device(feed) is None for feed in feeds):
            store.put(_LISTED_ON, today.to_bytes(4))
    return len(feeds)


def expire(home: Home, now_ms: int) -> int:
    """Erase the bodies that have outlived their time, by the time we believe; returns how many."""
    return home.store.expire(home.believed_ms(now_ms))


def _write(home: Home, drafts: list[Draft], now_ms: int) -> int:
    if drafts:
        home.commit(Batch(drafts=tuple(drafts)), now_ms)
    return sum(len(draft.sealed_to) for draft in drafts)


def _waiting(home: Home, now_ms: int) -> dict[bytes, list[Unsealed]]:
    """By message: the recipients of whom some device could be sealed to now, and was not."""
    believed_s = home.believed_s(now_ms)
    reachable: dict[bytes, frozenset[bytes]] = {}
    found: dict[bytes, list[Unsealed]] = {}
    for item in home.store.unsealed(home.believed_ms(now_ms)):
        if item.person not in reachable:
            devices = sealable_devices(item.person, identity=home.identity, roster=home.roster, believed_s=believed_s)
            reachable[item.person] = frozenset(
                device.device for device in devices if home.roster.bundle(device.device, believed_s) is not None
            )
        if reachable[item.person] - item.devices:
            found.setdefault(item.message_id, []).append(item)
    return found


def _sealed_again(home: Home, message_id: bytes, waiting: list[Unsealed], now_ms: int) -> Composed:
    payload = home.store.own_payload(message_id)
    assert payload is not None
    content = decode_content(payload.content)
    own = home.identity.person
    return compose(
        content,
        # Receipts do not wait for our own other devices: see receipts.py.
        tuple(item.person for item in waiting if item.person != own or not isinstance(content, Receipts)),
        identity=home.identity,
        roster=home.roster,
        believed_s=home.believed_s(now_ms),
        lane=payload.lane,
        ttl=payload.ttl,
        priority=payload.priority,
        devices_done=frozenset().union(*(item.devices for item in waiting)),
        entropy=home.entropy,
    )


def _is_published(home: Home, believed_s: int) -> bool:
    """Whether the newest prekey of our ring stands in our log."""
    identity = home.identity
    if not identity.prekeys.held:
        return True
    newest = identity.prekeys.held[-1].prekey_id
    bundle = home.roster.bundle(identity.device, believed_s)
    if bundle is not None and bundle.prekey_id == newest:
        return True
    own = [fact for fact in home.store.facts() if fact.kind == PREKEY_BUNDLE and fact.feed == identity.device]
    return any(decode_bundle(parts_of(fact)[0]).prekey_id == newest for fact in own)


def _bundle_of(home: Home, held: HeldPrekey) -> PrekeyBundle:
    return sign_bundle(
        home.identity.device_key,
        device=home.identity.device,
        start_hour=held.start_hour,
        usable_days=home.identity.prekeys.policy.usable,
        public=held.secret.public_bytes,
    )
