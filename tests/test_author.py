"""What a device writes: who gets it, who is said to be missing, and control statements only members read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.author import (
    BODY_CONTROL,
    BODY_FEED_CERTIFICATE,
    Composed,
    compose,
    control_draft,
    decode_control,
    feed_certificate_draft,
    feed_certificate_fact,
)
from beepmesh.crypto.primitives import SigningKey
from beepmesh.crypto.seal import WRAPS_MAX
from beepmesh.errors import Refused
from beepmesh.home import Home, first_statements
from beepmesh.messages.content import Text
from beepmesh.messages.entry import NO_PREV, Entry, write
from beepmesh.store.contract import Draft, Statement
from beepmesh.trust.facts import DEVICE_CERTIFICATE, FEED_CERTIFICATE, FEED_PAGE
from sync import cbor
from tests.homes import DAY_MS, NOW_MS, carry, founded, joined, member_identity

KEY = SigningKey(bytes(range(32)))


def entry_of(draft: Draft, *, key: SigningKey = KEY, seq: int = 0, lane: int = 0) -> Entry:
    blank = write(key, lane=lane, seq=0, prev=NO_PREV, time_ms=0, ttl=0, priority=0, hints=b"", body=b"")
    hints, body = draft.make(blank.feed, lane, seq)
    return write(
        key,
        lane=lane,
        seq=seq,
        prev=NO_PREV,
        time_ms=NOW_MS,
        ttl=draft.ttl,
        priority=draft.priority,
        hints=hints,
        body=body,
    )


def composed(
    home: Home, persons: list[bytes], *, now_ms: int = NOW_MS, done: frozenset[bytes] = frozenset()
) -> Composed:
    return compose(
        Text(b"\1" * 16, tuple(persons[:64]), "", "Water at the bridge.", 2),
        persons,
        identity=home.identity,
        roster=home.roster,
        believed_s=now_ms // 1_000,
        lane=1,
        ttl=5,
        priority=2,
        devices_done=done,
        entropy=os.urandom,
    )


def reached(result: Composed) -> list[bytes]:
    return [sealing.device for draft in result.drafts for sealing in draft.sealed_to]


def test_every_device_of_a_person_is_sealed_to_and_done_ones_are_not(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        person = os.urandom(16)
        homes = [joined(tmp_path / str(number), a, "Bilal", person=person) for number in range(3)]
        for home in homes:
            carry(home, a)
        devices = {home.identity.device for home in homes}
        assert set(reached(composed(a, [person]))) == devices
        assert set(reached(composed(a, [person], done=frozenset([homes[0].identity.device])))) == devices - {
            homes[0].identity.device
        }
        for home in homes:
            home.close()


def test_ourselves_are_our_other_devices_and_never_this_one(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, joined(tmp_path / "b", a, "Ayesha Khan", person=a.identity.person) as second:
        carry(second, a)
        assert reached(composed(a, [a.identity.person])) == [second.identity.device]


def test_a_device_without_prekeys_and_a_person_without_devices_are_said_to_be_missing(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        silent = member_identity(a, "Dawood")
        device, feed = first_statements(silent)
        del feed
        entry = entry_of(control_draft(device, silent), key=silent.device_key)
        a.roster.learn(decode_control(entry, a.identity.control_keys))
        stranger = os.urandom(16)
        result = composed(a, [silent.person, stranger])
        assert result.drafts == ()
        assert result.missing == ((silent.person, silent.device), (stranger, None))


def test_prekeys_that_are_too_old_leave_the_device_missing(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, joined(tmp_path / "b", a, "Bilal") as b:
        carry(b, a)
        later = NOW_MS + 22 * DAY_MS
        assert composed(a, [b.identity.person], now_ms=later).missing == ((b.identity.person, b.identity.device),)


def test_a_device_past_its_grace_gets_nothing(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, joined(tmp_path / "b", a, "Bilal") as b:
        carry(b, a)
        later = NOW_MS + 121 * DAY_MS
        assert composed(a, [b.identity.person], now_ms=later).missing == ((b.identity.person, None),)


def test_more_devices_than_one_entry_holds_become_several_entries(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        person = os.urandom(16)
        for number in range(WRAPS_MAX + 1):
            with joined(tmp_path / str(number), a, "Many", person=person) as home:
                carry(home, a)
        result = composed(a, [person])
        assert [len(draft.sealed_to) for draft in result.drafts] == [WRAPS_MAX, 1]
        assert len(set(reached(result))) == WRAPS_MAX + 1


def test_a_control_statement_opens_with_any_of_our_control_keys(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        statement, _ = first_statements(a.identity)
        entry = entry_of(control_draft(statement, a.identity))
        fact = decode_control(entry, (os.urandom(32), *a.identity.control_keys))
        assert (fact.feed, fact.seq, fact.kind, fact.data) == (entry.feed, 0, DEVICE_CERTIFICATE, statement.data)
        assert entry.body is not None
        assert b"Ayesha" not in entry.body


def test_a_control_statement_is_closed_to_others_and_bound_to_its_place(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        statement, _ = first_statements(a.identity)
        draft = control_draft(statement, a.identity)
        entry = entry_of(draft)
        keys = a.identity.control_keys
        moved = [
            entry_of(replace(draft, make=lambda feed, lane, seq: draft.make(feed, lane, 7))),
            entry_of(replace(draft, make=lambda feed, lane, seq: draft.make(bytes(16), lane, seq))),
            entry_of(replace(draft, make=lambda feed, lane, seq: draft.make(feed, 1, seq))),
        ]
        for wrong, held in [(entry, ()), (entry, (os.urandom(32),)), *((place, keys) for place in moved)]:
            with pytest.raises(Refused, match="control-sealed"):
                decode_control(wrong, held)


@pytest.mark.parametrize(
    "data",
    [
        cbor.encode([0, b"x", b"y"]),
        cbor.encode([FEED_PAGE + 1, b"x"]),
        cbor.encode([True, b"x"]),
        cbor.encode("no array"),
        b"\xff",
        b"",
    ],
)
def test_a_sealed_statement_of_no_known_kind_is_malformed(tmp_path: Path, data: bytes) -> None:
    with founded(tmp_path / "a") as a:
        entry = entry_of(control_draft(Statement(DEVICE_CERTIFICATE, data), a.identity))
        with pytest.raises(Refused, match="control-malformed"):
            decode_control(entry, a.identity.control_keys)


def test_a_feed_certificate_is_read_in_clear_and_names_nobody(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        _, statement = first_statements(a.identity)
        entry = entry_of(feed_certificate_draft(statement))
        fact = feed_certificate_fact(entry)
        assert (fact.kind, fact.data) == (FEED_CERTIFICATE, statement.data)
        assert a.identity.device not in statement.data
        assert a.identity.person not in statement.data
        assert b"Ayesha" not in statement.data


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", bytes([BODY_CONTROL]), bytes([BODY_FEED_CERTIFICATE])]))
def test_any_body_is_a_fact_or_refused(body: bytes, kind: bytes) -> None:
    draft = Draft(True, 0, 7, 1, lambda feed, lane, seq: (b"", kind + body))
    entry = entry_of(draft)
    for read in (feed_certificate_fact, lambda entry: decode_control(entry, (bytes(32),))):
        reason = ""
        try:
            fact = read(entry)
        except Refused as refused:
            reason = refused.reason
        else:
            assert fact.feed == entry.feed
        assert reason in ("", "control-malformed", "control-sealed")
