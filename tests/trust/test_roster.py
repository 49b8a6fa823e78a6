"""The roster: what everybody may claim, whom it is believed about, and that order never matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.certificates import GRACE_S
from beepmesh.errors import Refused, UnknownName
from beepmesh.trust import roster as roster_module
from beepmesh.trust.facts import (
    DEVICE_CERTIFICATE,
    FACT_BYTES_MAX,
    FORK_PROOF,
    REVOCATION,
    Fact,
    device_certificate_data,
    fork_proof_data,
    revocation_data,
)
from beepmesh.trust.identity import found
from beepmesh.trust.renewal import renew_own
from beepmesh.trust.roster import BUNDLES_MAX, Learned, Roster
from tests.trust.village import (
    DAY_S,
    HOUR,
    NOW_S,
    Entropy,
    Village,
    bundle_of,
    certificate_by,
    device_fact,
    facts_of,
    feed_fact,
    revocation,
)

village = Village()
HQ = village.hq
REGISTRAR = village.admit("Second HQ", role="registrar")
LEAD = village.admit("Lead", role="lead", department="flood")
RESCUE = village.admit("Rescue lead", role="lead", department="rescue")
SANA = village.admit("Sana", department="flood/swat", by=LEAD)
BEN = village.admit("Ben", department="rescue")
WIDENED = village.with_registrar(LEAD, ("flood", "rescue"))
EVERYBODY = (HQ, REGISTRAR, LEAD, RESCUE, SANA, BEN)


def refusal(roster: Roster, fact: Fact) -> str:
    before = view(roster)
    with pytest.raises(Refused) as caught:
        roster.learn(fact)
    assert view(roster) == before
    return caught.value.reason


def view(roster: Roster) -> object:
    """Everything that can be asked, for all devices and feeds of these tests."""
    devices = [member.device for member in EVERYBODY]
    feeds = devices + [member.feed for member in EVERYBODY]
    return (
        roster.people(),
        roster.devices(),
        [roster.device(device) for device in devices],
        [roster.devices_of(member.person) for member in EVERYBODY],
        [roster.feed(feed) for feed in feeds],
        [roster.bundle(device, NOW_S) for device in devices],
        [roster.revoked(device) for device in devices],
        roster.trusted_s,
    )


HOSTILE = [
    replace(device_fact(SANA), feed=BEN.device),
    replace(feed_fact(SANA), feed=BEN.feed),
    bundle_of(SANA, signer=BEN),
    replace(bundle_of(SANA), feed=BEN.device),
    revocation(RESCUE, SANA, time_s=NOW_S + 1, cuts=((HQ.feed, 0, -1), (SANA.feed, 0, 0))),
    revocation(LEAD, HQ, time_s=NOW_S + 1),
    Fact(SANA.device, 7, REVOCATION, b"\x83\x03\x41x\x41y"),
    Fact(SANA.device, 7, 99, b"\x80"),
    certificate_by(RESCUE, BEN, person=HQ.person, department="rescue", now_s=NOW_S + 5),
    device_fact(found("Another", "HQ", NOW_S, Entropy("foreign"))),
]
FACTS = [
    *facts_of(*EVERYBODY),
    *(bundle_of(member, HOUR + age) for member in (SANA, BEN) for age in (0, 168, 336, 504)),
    certificate_by(LEAD, SANA, now_s=NOW_S + DAY_S),
    certificate_by(HQ, SANA, now_s=NOW_S + 9, department="flood/dir"),
    revocation(LEAD, SANA, time_s=NOW_S + 20, cuts=((SANA.feed, 1, 7),)),
    revocation(REGISTRAR, LEAD, time_s=NOW_S + 10, cuts=((LEAD.feed, 0, 3), (LEAD.device, 0, 4))),
    revocation(LEAD, RESCUE, time_s=NOW_S + 11),
    revocation(LEAD, BEN, time_s=NOW_S + 3),
    revocation(WIDENED, BEN, time_s=NOW_S + 3),
    replace(
        device_fact(SANA), data=device_certificate_data(SANA.device_certificate, WIDENED.registrar_certificate or b"")
    ),
    revocation(HQ, REGISTRAR, time_s=NOW_S + 30, cuts=((LEAD.feed, 0, 1),)),
    *facts_of(renew_own(HQ, NOW_S + 40 * DAY_S, Entropy("renew"))),
    *HOSTILE,
]


def folded(facts: list[Fact]) -> Roster:
    roster = Roster(HQ.root_public)
    for fact in facts:
        try:
            roster.learn(fact)
        except Refused:
            continue
    return roster


WHOLE = view(folded(FACTS))


@given(st.permutations(FACTS), st.data())
@settings(max_examples=60, deadline=None)
def test_the_same_facts_give_the_same_roster_in_any_order_and_with_repeats(
    order: list[Fact], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(FACTS), max_size=10))
    assert view(folded([*order[:20], *again, *order[20:], *again])) == WHOLE


@given(st.lists(st.sampled_from(FACTS), max_size=25, unique=True), st.data())
@settings(max_examples=60, deadline=None)
def test_every_part_of_the_facts_gives_one_roster_whenever_it_is_looked_at(
    some: list[Fact], data: st.DataObject
) -> None:
    looked_at = Roster(HQ.root_public)
    for fact in data.draw(st.permutations(some)):
        try:
            looked_at.learn(fact)
        except Refused:
            continue
        view(looked_at)
    assert view(looked_at) == view(folded(some))


# What is believed of whom


def test_a_fact_that_is_new_is_told_once() -> None:
    roster = Roster(HQ.root_public)
    assert roster.learn(bundle_of(HQ)) == []
    assert roster.learn(device_fact(HQ)) == [Learned("device", HQ.device), Learned("bundle", HQ.device)]
    assert roster.learn(feed_fact(HQ)) == [Learned("feed", HQ.feed)]
    assert roster.learn(revocation(REGISTRAR, SANA)) == [Learned("revocation", SANA.device)]
    for fact in (device_fact(HQ), feed_fact(HQ), bundle_of(HQ), revocation(REGISTRAR, SANA)):
        assert roster.learn(fact) == []


def test_a_device_speaks_only_for_itself() -> None:
    roster = village.roster(facts_of(*EVERYBODY))
    assert refusal(roster, HOSTILE[0]) == "fact-misplaced"
    assert refusal(roster, HOSTILE[1]) == "fact-misplaced"
    assert refusal(roster, HOSTILE[2]) == "prekey-signature"
    assert refusal(roster, HOSTILE[3]) == "fact-misplaced"


def test_nobody_else_s_organisation_is_believed() -> None:
    assert refusal(Roster(HQ.root_public), HOSTILE[-1]) == "certificate-issuer"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x81\x01",
        b"\x82\x01\x02",
        b"\x83\xf5\x41a\x41b",
        b"\x83\x03\x41a\x41b",
        b"\xff",
        b"\x84\x01\x41a\x41b\x41c",
    ],
)
def test_malformed_facts_are_refused(data: bytes) -> None:
    assert refusal(Roster(HQ.root_public), Fact(HQ.device, 0, DEVICE_CERTIFICATE, data)) == "fact-malformed"


def test_a_fact_beyond_its_bound_and_one_of_an_unknown_kind_are_refused() -> None:
    roster = Roster(HQ.root_public)
    large = Fact(HQ.device, 0, DEVICE_CERTIFICATE, device_certificate_data(bytes(FACT_BYTES_MAX), b""))
    assert refusal(roster, large) == "fact-malformed"
    assert refusal(roster, HOSTILE[7]) == "fact-unknown"


@given(st.sampled_from(FACTS), st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_fact_is_refused_or_changes_nobody_else(fact: Fact, data: st.DataObject) -> None:
    raw = bytearray(fact.data)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Refused):
        village.roster(facts_of(HQ, SANA, BEN)).learn(replace(fact, data=bytes(raw)))


def test_fork_proofs_are_somebody_else_s_to_judge() -> None:
    fact = Fact(HQ.device, 3, FORK_PROOF, fork_proof_data(b"a", b"b", b"c", b"d"))
    assert Roster(HQ.root_public).learn(fact) == []


def test_a_certificate_from_outside_its_registrar_s_time_is_refused() -> None:
    roster = village.roster(facts_of(LEAD, SANA))
    assert refusal(roster, certificate_by(LEAD, SANA, now_s=NOW_S - DAY_S)) == "certificate-date"
    assert refusal(roster, certificate_by(LEAD, SANA, now_s=NOW_S + 500 * DAY_S)) == "certificate-date"


def test_a_feed_s_day_may_begin_before_its_registrar_did() -> None:
    member = Village(Entropy("noon"), NOW_S - NOW_S % DAY_S + DAY_S // 2).hq
    roster = Roster(member.root_public)
    assert roster.learn(feed_fact(member)) == [Learned("feed", member.feed)]


# Devices, feeds, prekeys


def test_a_renewed_certificate_replaces_the_older_one() -> None:
    newer = certificate_by(LEAD, SANA, now_s=NOW_S + 60)
    for order in ((device_fact(SANA), newer), (newer, device_fact(SANA))):
        known = village.roster(device_fact(LEAD), *order).device(SANA.device)
        assert known is not None
        assert (known.name, known.not_before) == ("Renamed", NOW_S + 60)


def test_feeds_are_told_apart_and_unknown_ones_are_none() -> None:
    roster = village.roster(facts_of(SANA))
    control, message = roster.feed(SANA.device), roster.feed(SANA.feed)
    assert control is not None
    assert message is not None
    assert (control.kind, control.public, control.cuts) == ("control", SANA.device_key.public, ())
    assert (message.kind, message.public) == ("message", SANA.feed_key.public)
    assert message.last_good(0) is None
    assert roster.feed(bytes(16)) is None


def test_the_newest_prekeys_are_kept_and_the_one_in_use_is_given() -> None:
    hours = [HOUR + 168 * week for week in range(BUNDLES_MAX + 2)]
    roster = village.roster(device_fact(SANA), [bundle_of(SANA, hour) for hour in hours])
    assert [bundle.start_hour for bundle in roster._bundles[SANA.device]] == hours[-1:-4:-1]
    assert getattr(roster.bundle(SANA.device, hours[-1] * 3_600), "start_hour", None) == hours[-1]
    assert roster.bundle(SANA.device, hours[-1] * 3_600 + 22 * DAY_S) is None
    assert roster.bundle(bytes(16), NOW_S) is None


def test_prekeys_without_a_device_wait_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_module, "WAITING_DEVICES_MAX", 1)
    roster = village.roster(bundle_of(SANA))
    assert refusal(roster, bundle_of(BEN)) == "fact-early"
    roster.learn(device_fact(SANA))
    assert roster.bundle(SANA.device, NOW_S) is not None
    roster.learn(bundle_of(BEN))


def test_what_was_learned_before_is_loaded_to_the_same_state() -> None:
    facts = []
    first = Roster(HQ.root_public)
    for fact in FACTS:
        try:
            first.learn(fact)
        except Refused:
            continue
        facts.append(fact)
    second = Roster(HQ.root_public)
    for fact in facts:
        second.load(fact)
    assert view(second) == view(first) == WHOLE


# Time


def test_time_moves_with_what_headquarters_signs_and_not_with_what_leads_sign() -> None:
    roster = village.roster(facts_of(HQ))
    assert roster.trusted_s == NOW_S
    roster.learn(certificate_by(LEAD, SANA, now_s=NOW_S + 90))
    assert roster.trusted_s == NOW_S
    roster.learn(certificate_by(HQ, SANA, now_s=NOW_S + 60))
    assert roster.trusted_s == NOW_S + 60
    roster.learn(revocation(REGISTRAR, BEN, time_s=NOW_S + 70))
    assert roster.trusted_s == NOW_S + 70


def test_a_revoked_registrar_no_longer_moves_the_time() -> None:
    roster = village.roster(facts_of(*EVERYBODY), certificate_by(REGISTRAR, BEN, now_s=NOW_S + 300 * DAY_S))
    assert roster.trusted_s == NOW_S + 300 * DAY_S
    roster.learn(revocation(REGISTRAR, SANA, time_s=NOW_S + 200 * DAY_S))
    roster.learn(revocation(HQ, REGISTRAR, time_s=NOW_S + 5))
    assert roster.trusted_s == NOW_S + 5


def test_an_expired_device_stays_known_and_is_not_addressed_after_its_grace() -> None:
    roster = village.roster(facts_of(SANA))
    known = roster.device(SANA.device)
    assert known is not None
    last_s = known.expires + GRACE_S - 1
    assert roster.resolve("sana", last_s)[0].person == SANA.person
    with pytest.raises(UnknownName, match="expired"):
        roster.resolve("sana", last_s + 1)
    assert roster.device(SANA.device) is not None


def test_revocations_of_strangers_registrars_are_refused() -> None:
    stranger = found("Another", "HQ", NOW_S, Entropy("foreign"))
    fact = revocation(stranger, SANA)
    assert refusal(village.roster(facts_of(SANA)), fact) == "certificate-issuer"
    assert stranger.registrar_certificate is not None
    parts = revocation_data(b"\xd2" + bytes(10), stranger.registrar_certificate)
    assert refusal(village.roster(), Fact(HQ.device, 1, REVOCATION, parts)) == "certificate-issuer"


def test_what_one_fork_learns_the_others_do_not() -> None:
    village = Village()
    amina, bilal = village.admit("Amina"), village.admit("Bilal")
    first = village.roster(facts_of(village.hq), facts_of(amina))
    second, third = first.fork(), first.fork()
    for fact in facts_of(bilal):
        second.learn(fact)
    assert second.device(bilal.device) is not None
    assert [roster.device(bilal.device) for roster in (first, third)] == [None, None]
    assert first.people() == third.people()
    first.learn(revocation(village.hq, amina))
    assert first.revoked(amina.device) is not None
    assert second.revoked(amina.device) is third.revoked(amina.device) is None
