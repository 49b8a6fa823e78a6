"""The roster: what everybody may claim, whom it is believed about, and that order never matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.certificates import GRACE_S, issue_device, issue_feed
from beepmesh.crypto.prekeys import sign_bundle
from beepmesh.errors import Refused, UnknownName
from beepmesh.trust import roster as roster_module
from beepmesh.trust.facts import (
    DEVICE_CERTIFICATE,
    FACT_BYTES_MAX,
    FORK_PROOF,
    PREKEY_BUNDLE,
    REVOCATION,
    Fact,
    device_certificate_data,
    feed_certificate_data,
    fork_proof_data,
    prekey_bundle_data,
    revocation_data,
)
from beepmesh.trust.identity import Identity, found
from beepmesh.trust.renewal import renew_own
from beepmesh.trust.roster import BUNDLES_MAX, Learned, Roster
from tests.trust.village import DAY_S, NOW_S, Entropy, Village, device_fact, facts_of, feed_fact, revocation

HOUR = NOW_S // 3_600
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


def certificate_by(
    registrar: Identity, whom: Identity, *, now_s: int = NOW_S, person: bytes | None = None, department: str = "flood"
) -> Fact:
    """A certificate that this registrar gives to a known device, in that device's own feed."""
    assert registrar.registrar_key is not None
    assert registrar.registrar_certificate is not None
    data = issue_device(
        registrar.registrar_key, person=person or whom.person, device_public=whom.device_key.public,
        link_public=whom.link_key.public, name="Renamed", department=department, roles=("field",), not_before=now_s,
        expires=now_s + DAY_S, serial=bytes(8),
    )  # fmt: skip
    registrar_data = registrar.registrar_certificate
    return Fact(whom.device, 5, DEVICE_CERTIFICATE, device_certificate_data(data, registrar_data))


def bundle_of(member: Identity, start_hour: int = HOUR, signer: Identity | None = None) -> Fact:
    _, template = member.prekeys.rotate(start_hour * 3_600, member.device_key, Entropy(f"{member.name}{start_hour}"))
    bundle = sign_bundle(
        (signer or member).device_key, device=member.device, start_hour=start_hour, usable_days=21,
        public=template.public,
    )  # fmt: skip
    return Fact(member.device, 2, PREKEY_BUNDLE, prekey_bundle_data(bundle.encode()))


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


# Revocation


def test_a_revoked_device_gets_no_prekey_and_no_messages_and_its_old_ones_keep_their_name() -> None:
    roster = village.roster(facts_of(HQ, SANA), bundle_of(SANA), revocation(HQ, SANA, time_s=NOW_S + 5))
    said = roster.revoked(SANA.device)
    assert said is not None
    assert (said.time, said.reason) == (NOW_S + 5, "lost")
    assert roster.bundle(SANA.device, NOW_S) is None
    assert roster.devices_of(SANA.person) == []
    person = roster.person(SANA.person)
    assert person is not None
    assert (person.name, person.revoked) == ("Sana", True)
    assert roster.device(SANA.device) is not None
    with pytest.raises(UnknownName, match="revoked"):
        roster.resolve("sana", NOW_S)


def test_a_person_with_another_device_stays_reachable() -> None:
    phone = village.admit("Sana", person=SANA.person)
    roster = village.roster(facts_of(HQ, SANA, phone), revocation(HQ, SANA))
    assert [device.device for device in roster.devices_of(SANA.person)] == [phone.device]
    assert roster.resolve("Sana", NOW_S)[0].devices == (phone.device,)


def test_a_revocation_reaches_as_far_as_its_registrar() -> None:
    for by, whom, reached in (
        (LEAD, SANA, True), (LEAD, BEN, False), (RESCUE, SANA, False), (RESCUE, BEN, True),
        (LEAD, HQ, False), (LEAD, LEAD, False), (REGISTRAR, BEN, True), (REGISTRAR, LEAD, True),
    ):  # fmt: skip
        roster = village.roster(facts_of(*EVERYBODY), revocation(by, whom))
        assert (roster.revoked(whom.device) is not None) == reached, (by.name, whom.name)


def test_neither_a_lead_without_a_department_nor_a_registrar_with_one_reaches_everybody() -> None:
    lead, registrar = village.admit("L", role="lead"), village.admit("R", role="registrar", department="flood")
    for by, whom, reached in (
        (lead, SANA, True), (lead, LEAD, False), (lead, HQ, False),
        (registrar, SANA, True), (registrar, BEN, False), (registrar, HQ, False),
    ):  # fmt: skip
        roster = village.roster(facts_of(*EVERYBODY), revocation(by, whom))
        assert (roster.revoked(whom.device) is not None) == reached, (by.name, whom.name)


def test_a_registrar_whose_right_was_widened_reaches_further_with_the_same_words() -> None:
    narrow, wide = revocation(LEAD, BEN), revocation(WIDENED, BEN)
    roster = village.roster(facts_of(*EVERYBODY), narrow)
    assert roster.revoked(BEN.device) is None
    roster.learn(wide)
    assert roster.revoked(BEN.device) is not None


def test_of_two_certificates_of_one_registrar_the_newer_says_how_far_it_reaches() -> None:
    widened = village.with_registrar(LEAD, ("flood", "rescue"), now_s=NOW_S + 10)
    narrow = certificate_by(LEAD, SANA, now_s=NOW_S + 20, person=BEN.person)
    wide = certificate_by(widened, SANA, now_s=NOW_S + 20, person=BEN.person)
    assert village.roster(facts_of(*EVERYBODY), narrow).device(SANA.device) is None
    for order in ((narrow, wide), (wide, narrow)):
        assert village.roster(facts_of(*EVERYBODY), order).device(SANA.device) is not None


def test_a_revocation_may_come_before_its_device() -> None:
    roster = village.roster(revocation(LEAD, SANA))
    assert roster.revoked(SANA.device) is None
    roster.learn(device_fact(SANA))
    assert roster.revoked(SANA.device) is not None


def test_the_cut_holds_per_lane_and_all_of_a_lane_that_is_not_named() -> None:
    cuts = ((SANA.feed, 0, 4), (SANA.feed, 1, 17), (SANA.device, 0, 2))
    roster = village.roster(facts_of(*EVERYBODY), revocation(LEAD, SANA, cuts=cuts))
    feed, control = roster.feed(SANA.feed), roster.feed(SANA.device)
    assert feed is not None
    assert control is not None
    assert [feed.last_good(lane) for lane in range(4)] == [4, 17, -1, -1]
    assert control.last_good(0) == 2


@pytest.mark.parametrize("goods", [(7, 8, 9), (9, 8, 7), (8, 7, 9)])
def test_of_several_cuts_the_lowest_holds(goods: tuple[int, ...]) -> None:
    facts = [revocation(HQ, SANA, time_s=NOW_S + late, cuts=((SANA.feed, 1, good),)) for late, good in enumerate(goods)]
    feed = village.roster(facts_of(*EVERYBODY), facts).feed(SANA.feed)
    assert feed is not None
    assert feed.cuts == ((1, 7),)


def test_who_revokes_one_device_does_not_thereby_cut_another() -> None:
    roster = village.roster(facts_of(*EVERYBODY), revocation(REGISTRAR, SANA, cuts=((BEN.device, 0, -1),)))
    control = roster.feed(BEN.device)
    assert control is not None
    assert control.cuts == ()


def test_nobody_cuts_a_feed_beyond_his_reach() -> None:
    cuts = ((HQ.feed, 0, -1), (BEN.feed, 1, -1), (BEN.device, 0, -1), (SANA.feed, 1, 3))
    roster = village.roster(facts_of(*EVERYBODY), revocation(LEAD, SANA, cuts=cuts))
    assert roster.revoked(SANA.device) is not None
    for feed in (HQ.feed, BEN.feed, BEN.device):
        info = roster.feed(feed)
        assert info is not None
        assert info.cuts == ()
    cut = roster.feed(SANA.feed)
    assert cut is not None
    assert cut.cuts == ((1, 3),)


def test_what_a_revoked_registrar_grants_later_is_void_and_what_it_granted_before_stands() -> None:
    late = village.admit("Late", department="flood", by=LEAD, now_s=NOW_S + 100)
    roster = village.roster(facts_of(*EVERYBODY, late))
    assert late.device in roster.devices()
    assert roster.device(late.device) is not None
    roster.learn(revocation(HQ, LEAD, time_s=NOW_S + 50))
    assert roster.device(late.device) is None
    assert roster.feed(late.device) is None
    assert late.device not in roster.devices()
    assert "Late" not in [person.name for person in roster.people()]
    assert roster.device(SANA.device) is not None
    assert roster.feed(SANA.feed) is not None


def test_a_void_renewal_leaves_the_certificate_before_it() -> None:
    renewal = certificate_by(LEAD, SANA, now_s=NOW_S + 100)
    roster = village.roster(facts_of(*EVERYBODY), renewal, revocation(HQ, LEAD, time_s=NOW_S + 50))
    known = roster.device(SANA.device)
    assert known is not None
    assert known.data == SANA.device_certificate


def test_a_feed_certificate_from_after_the_cut_is_void() -> None:
    assert LEAD.registrar_key is not None
    assert LEAD.registrar_certificate is not None
    later_s = NOW_S + 2 * DAY_S
    data = issue_feed(
        LEAD.registrar_key, feed_public=SANA.feed_key.public, not_before=later_s, expires=later_s + 1, serial=bytes(8)
    )
    fact = Fact(SANA.feed, 0, 0, feed_certificate_data(data, LEAD.registrar_certificate))
    roster = village.roster(device_fact(LEAD), fact)
    assert roster.feed(SANA.feed) is not None
    roster.learn(revocation(HQ, LEAD, time_s=NOW_S))
    assert roster.feed(SANA.feed) is None


def test_a_registrar_revoked_first_revokes_nobody_after_and_at_one_moment_both_go() -> None:
    first, later = revocation(HQ, REGISTRAR, time_s=NOW_S + 1), revocation(REGISTRAR, HQ, time_s=NOW_S + 2)
    roster = village.roster(facts_of(*EVERYBODY), later, first)
    assert roster.revoked(REGISTRAR.device) is not None
    assert roster.revoked(HQ.device) is None
    both = village.roster(
        facts_of(*EVERYBODY), revocation(HQ, REGISTRAR, time_s=NOW_S), revocation(REGISTRAR, HQ, time_s=NOW_S)
    )
    assert None not in (both.revoked(HQ.device), both.revoked(REGISTRAR.device))


def test_a_lead_cannot_make_its_own_device_headquarters_second_one() -> None:
    crony = village.admit("Crony", department="flood", by=LEAD, person=HQ.person)
    roster = village.roster(facts_of(*EVERYBODY, crony))
    assert roster.device(crony.device) is None
    assert [device.device for device in roster.devices_of(HQ.person)] == [HQ.device]
    assert roster.device(HQ.device) is not None
    phone = village.admit("Headquarters", role="hq", person=HQ.person)
    roster.learn(device_fact(phone))
    assert {device.device for device in roster.devices_of(HQ.person)} == {HQ.device, phone.device}


def test_too_many_statements_of_one_registrar_do_not_push_out_the_first() -> None:
    many = [revocation(HQ, SANA, time_s=NOW_S + 10 + late) for late in range(20)]
    roster = village.roster(facts_of(HQ, SANA), many, revocation(HQ, SANA, time_s=NOW_S + 1))
    said = roster.revoked(SANA.device)
    assert said is not None
    assert said.time == NOW_S + 1
    assert len(list(roster._statements())) == roster_module.STATEMENTS_MAX


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
