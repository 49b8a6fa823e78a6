"""What a device is: founded, kept, renewed, and never shown."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.errors import HomeProblem, NotAllowed, Usage
from beepmesh.trust.identity import IDENTITY_BYTES_MAX, Identity, found
from beepmesh.trust.renewal import renew_own
from beepmesh.trust.roster import registrar_serial
from sync import cbor
from tests.trust.village import DAY_S, NOW_S, Entropy, Village, facts_of

village = Village()


def test_the_founder_is_root_registrar_and_headquarters_in_one() -> None:
    hq = village.hq
    assert hq.roles == ("hq", "registrar")
    assert hq.department == ""
    assert hq.root_key is not None
    assert hq.root_key.public == hq.root_public
    registrar = hq.registrar()
    assert registrar is not None
    assert registrar.departments == ("",)
    assert registrar.serial == registrar_serial(hq.device)
    assert hq.prekeys.due(NOW_S)
    assert len({hq.device, hq.feed, hq.org, hq.person}) == 4


def test_two_organisations_of_one_name_have_nothing_in_common() -> None:
    other = found("Swat Relief", "Headquarters", NOW_S, Entropy("other"))
    assert {village.hq.org, village.hq.device, village.hq.person}.isdisjoint({other.org, other.device, other.person})
    assert village.hq.link_psks != other.link_psks


def test_names_are_brought_into_their_one_spelling_or_refused() -> None:
    assert found("  سوات\tریلیف ", "e\u0301mile", NOW_S, Entropy("n")).org_name == "سوات ریلیف"
    with pytest.raises(Usage):
        found("", "Amina", NOW_S, Entropy("n"))
    with pytest.raises(Usage):
        found("Swat", "\x1b[31m", NOW_S, Entropy("n"))


@pytest.mark.parametrize("member", [village.hq, village.admit("Sana"), village.admit("Lead", role="lead")])
def test_the_keystore_gives_back_what_it_was_given(member: Identity) -> None:
    ring, _ = member.prekeys.rotate(NOW_S, member.device_key, Entropy("ring"))
    member = member.with_prekeys(ring)
    again = Identity.decode(member.encode())
    assert again == member
    assert again.prekeys.held[0].secret.to_bytes() == ring.held[0].secret.to_bytes()


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_keys_are_said_to_be_damaged(data: st.DataObject) -> None:
    whole = village.hq.encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(HomeProblem, match="damaged"):
        Identity.decode(cut)


def test_keys_of_a_wrong_size_are_damaged() -> None:
    short = b"s" * 31
    items = cbor.decode(village.hq.encode(), bytes_max=IDENTITY_BYTES_MAX)
    assert isinstance(items, list)
    device_seed = [short if item == village.hq.device_seed else item for item in items]
    for changed in (
        cbor.encode(device_seed),
        replace(village.hq, root_seed=short).encode(),
        replace(village.hq, link_secrets=(short,)).encode(),
        replace(village.hq, control_keys=()).encode(),
        replace(village.hq, control_keys=(bytes(32),) * 4).encode(),
    ):
        with pytest.raises(HomeProblem):
            Identity.decode(changed)


def test_nothing_secret_is_shown() -> None:
    hq = village.hq
    text = repr(hq) + str(hq)
    secrets = [hq.root_seed, hq.registrar_seed, hq.device_seed, hq.link_seed, hq.feed_seed, *hq.link_secrets]
    for secret in [*secrets, *hq.control_keys]:
        assert secret is not None
        assert secret.hex() not in text
        assert repr(secret) not in text
    assert hq.device.hex() in text
    assert "seed" not in text
    assert {field.name for field in fields(Identity) if "seed" in field.name} == {
        "root_seed", "registrar_seed", "device_seed", "link_seed", "feed_seed",
    }  # fmt: skip


def test_a_founder_renews_itself_and_stays_who_it_was() -> None:
    later_s = NOW_S + 80 * DAY_S
    renewed = renew_own(village.hq, later_s, Entropy("renew"))
    assert renewed.device == village.hq.device
    assert renewed.certificate().expires == later_s + 90 * DAY_S
    assert renewed.roles == village.hq.roles
    roster = village.roster(facts_of(village.hq, renewed))
    known = roster.device(renewed.device)
    assert known is not None
    assert known.data == renewed.device_certificate
    assert len(roster.people()) == 1
    assert roster.trusted_s == later_s


def test_a_founder_can_renew_itself_even_after_its_registrars_year() -> None:
    later_s = NOW_S + 400 * DAY_S
    renewed = renew_own(village.hq, later_s, Entropy("renew"))
    registrar = renewed.registrar()
    assert registrar is not None
    assert registrar.valid_at(later_s)
    assert renewed.certificate().valid_at(later_s)


def test_a_field_device_cannot_renew_itself() -> None:
    with pytest.raises(NotAllowed):
        renew_own(village.admit("Field"), NOW_S, Entropy("x"))
