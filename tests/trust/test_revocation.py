"""Revocation: whom it reaches, what it voids, and what stays as it was."""

from __future__ import annotations

import pytest

from beepmesh.crypto.certificates import issue_feed
from beepmesh.errors import UnknownName
from beepmesh.trust import roster as roster_module
from beepmesh.trust.facts import Fact, feed_certificate_data
from tests.trust.village import (
    DAY_S,
    NOW_S,
    Village,
    bundle_of,
    certificate_by,
    device_fact,
    facts_of,
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
