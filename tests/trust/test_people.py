"""Who is meant by what was typed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.errors import UnknownName
from beepmesh.trust.people import Person, resolve

NOW_S = 1_800_000_000


def person(
    name: str, number: int, department: str = "", roles: tuple[str, ...] = ("field",), until_s: int = 0
) -> Person:
    devices = (bytes([number]) * 16,)
    return Person(bytes([number]) * 16, name, department, roles, devices, until_s or NOW_S + 1)


PEOPLE = [
    person("Amina Khan", 1, "flood/swat"),
    person("amina khan", 2, "rescue"),
    person("Sana Gul", 3, "flood"),
    person("آمنہ خان", 4, "سیلاب/سوات"),
    person("Headquarters", 5, "", ("hq", "registrar")),
    person("everyone", 6, "floodplain"),
    person("émile#7", 7),
    person("خانہ\u200cبدوش", 8),
    person("🚑 Team 7", 9),
]


def named(who: str) -> list[int]:
    return [one.person[0] for one in resolve(PEOPLE, who, NOW_S)]


def complaint(who: str) -> str:
    with pytest.raises(UnknownName) as caught:
        resolve(PEOPLE, who, NOW_S)
    return str(caught.value)


@pytest.mark.parametrize(
    ("who", "numbers"),
    [
        ("Sana Gul", [3]),
        ("  SANA GUL ", [3]),
        ("آمنہ خان", [4]),
        ("E\u0301MILE#7", [7]),
        ("خانہبدوش", [8]),
        ("🚑 team 7", [9]),
        ("hq", [5]),
        ("HQ", [5]),
        ("everyone", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("everyone#06060606", [6]),
        ("Amina Khan#01010101", [1]),
        ("amina khan#0202020202", [2]),
        ("dept:flood", [1, 3]),
        ("dept: Flood/Swat/", [1]),
        ("dept:سیلاب", [4]),
    ],
)
def test_who_is_meant(who: str, numbers: list[int]) -> None:
    assert named(who) == numbers


def test_an_ambiguous_name_lists_everybody_who_has_it_with_department_and_id() -> None:
    text = complaint("Amina Khan")
    assert "2 people" in text
    for part in ("'Amina Khan#01010101' (flood/swat)", "'amina khan#02020202' (rescue)"):
        assert part in text


def test_an_unknown_name_is_told_what_is_near() -> None:
    assert "'Sana Gul'" in complaint("Sanna Gul")
    assert "'Sana Gul'" in complaint("gul")
    assert "'آمنہ خان'" in complaint("آمنہ")
    assert "beepmesh who" in complaint("zzzzzz")
    assert "'flood/swat'" in complaint("dept:flood/swta")


def test_a_name_with_the_wrong_id_is_unknown() -> None:
    assert "Nobody" in complaint("Sana Gul#01010101")


@pytest.mark.parametrize("who", ["dept:", "dept:/", "dept:floo", ""])
def test_no_department_and_no_name_are_nobody(who: str) -> None:
    assert "Nobody" in complaint(who)


def test_those_whose_devices_have_all_ended_are_not_meant() -> None:
    gone = [person("Old", 1, until_s=NOW_S), Person(b"r" * 16, "Revoked", "flood", ("hq",), (), 0)]
    for who, why in (("old", "expired"), ("revoked", "was revoked"), ("everyone", "Nobody"), ("hq", "No headquarters")):
        with pytest.raises(UnknownName, match=why):
            resolve(gone, who, NOW_S)


def outcome(who: str) -> str:
    try:
        return ", ".join(one.label for one in resolve(PEOPLE, who, NOW_S)).replace("\u200c", "")
    except UnknownName as unknown:
        return str(unknown)


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_whatever_is_typed_is_somebody_or_a_printable_sentence(who: str) -> None:
    text = outcome(who)
    assert text.isprintable()
    assert len(text) < 1_500
