"""Homes for tests: an organisation, people in it, and couriers who carry entries by hand from store to store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from beepmesh import desk
from beepmesh.author import BODY_CONTROL, BODY_FEED_CERTIFICATE, decode_control, feed_certificate_fact
from beepmesh.crypto.certificates import department_code, issue_device, issue_feed
from beepmesh.crypto.primitives import AgreementKey, SigningKey
from beepmesh.home import Home
from beepmesh.messages.entry import Entry, verify_entry
from beepmesh.messages.inbox import Payload
from beepmesh.reading import Reader
from beepmesh.store.contract import Batch, Fact
from beepmesh.trust.identity import Identity, found

NOW_MS = 1_780_000_000_000  # 28 May 2026
DAY_MS = 86_400_000
BILAL = "بلال احمد"
URDU = "پل بہہ گیا ہے۔ دو خاندان چھت پر ہیں۔ 🚁"


def founded(path: Path, name: str = "Ayesha Khan", *, now_ms: int = NOW_MS) -> Home:
    return Home.found(path, "Rescue 1122", name, None, now_ms)


def member_identity(
    founder: Home,
    name: str,
    *,
    department: str = "",
    roles: tuple[str, ...] = ("field",),
    person: bytes | None = None,
    now_ms: int = NOW_MS,
) -> Identity:
    """A device that the founder let in, made without any exchange."""
    registrar = founder.identity.registrar_key
    issuer = founder.identity.registrar_certificate
    assert registrar is not None
    assert issuer is not None
    device, feed = SigningKey(os.urandom(32)), SigningKey(os.urandom(32))
    link = AgreementKey(os.urandom(32))
    own = person or os.urandom(16)
    now_s = now_ms // 1_000
    certificate = issue_device(
        registrar,
        person=own,
        device_public=device.public,
        link_public=link.public,
        name=name,
        department=department,
        roles=roles,
        not_before=now_s,
        expires=now_s + 90 * 86_400,
        serial=os.urandom(8),
    )
    vouched = issue_feed(
        registrar,
        feed_public=feed.public,
        not_before=now_s,
        expires=now_s + 90 * 86_400,
        serial=os.urandom(8),
        department=department_code(founder.identity.org, department),
    )
    stranger = found("Elsewhere", name, now_s, os.urandom)
    return replace(
        stranger,
        org_name=founder.identity.org_name,
        root_public=founder.identity.root_public,
        root_seed=None,
        registrar_seed=None,
        registrar_certificate=None,
        issuer_certificate=issuer,
        device_seed=device.seed,
        link_seed=link.seed,
        feed_seed=feed.seed,
        device_certificate=certificate,
        feed_certificate=vouched,
        person=own,
        link_secrets=founder.identity.link_secrets,
        control_keys=founder.identity.control_keys,
        trusted_s=founder.trusted_s,
    )


def joined(
    path: Path,
    founder: Home,
    name: str,
    *,
    department: str = "",
    roles: tuple[str, ...] = ("field",),
    person: bytes | None = None,
    now_ms: int = NOW_MS,
) -> Home:
    identity = member_identity(founder, name, department=department, roles=roles, person=person, now_ms=now_ms)
    return Home.admit(path, identity, None, now_ms)


def carry(source: Home, target: Home, *, now_ms: int = NOW_MS) -> list[Payload]:
    """Give target everything that source holds and target does not; what target could open."""
    theirs = target.store.states()
    fresh: list[Entry] = []
    for log, state in sorted(source.store.states().items(), key=lambda item: (item[0].lane, item[0].feed)):
        known = theirs.get(log)
        for seq in range(state.settled.top):
            if known is None or seq not in known.settled:
                entry = source.store.entry(log, seq)
                if entry is not None:
                    fresh.append(entry)
    facts = [fact for entry in fresh if (fact := _fact(target, entry)) is not None]
    # A device's certificate before the feeds and prekeys that need it.
    for fact in sorted(facts, key=lambda fact: fact.seq):
        target.roster.learn(fact)
    for entry in fresh:
        vouched = target.roster.feed(entry.feed)
        assert vouched is not None
        assert verify_entry(vouched.public, entry)
    reader = Reader(target.identity, target.roster)
    payloads = [letter.payload for entry in fresh if (letter := reader.open(entry, now_ms)) is not None]
    batch = Batch(entries=tuple(fresh), facts=tuple(facts), payloads=tuple(payloads))
    target.store.commit(batch, keys=target.keys(), now_ms=now_ms)
    return payloads


def meet(*homes: Home, now_ms: int = NOW_MS) -> None:
    """Everybody gives everybody everything, twice, so that answers to answers arrive too."""
    for _ in range(2):
        for source in homes:
            for target in homes:
                if source is not target:
                    carry(source, target, now_ms=now_ms)


@contextmanager
def acquainted(folder: Path) -> Iterator[tuple[Home, Home]]:
    """Ayesha, who founded, and Bilal, who know each other."""
    with founded(folder / "a") as a, joined(folder / "b", a, BILAL, department="flood/swat") as b:
        meet(a, b)
        yield a, b


def texts(home: Home) -> list[str]:
    """What came, without marking it as read."""
    return [shown.text for shown in desk.inbox(home, mark_read=False, now_ms=NOW_MS).messages]


def ledger(home: Home, message: str, *, now_ms: int = NOW_MS) -> list[tuple[str, str, str]]:
    return [(line.who, line.state, line.reason) for line in desk.show(home, message, now_ms=now_ms).lines]


def _fact(target: Home, entry: Entry) -> Fact | None:
    if not entry.body:
        return None
    if entry.body[0] == BODY_CONTROL:
        return decode_control(entry, target.identity.control_keys)
    if entry.body[0] == BODY_FEED_CERTIFICATE:
        return feed_certificate_fact(entry)
    return None
