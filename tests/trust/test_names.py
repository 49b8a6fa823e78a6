"""Names in any script, and nothing in them that acts on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto.names import name_problem
from beepmesh.errors import Usage
from beepmesh.trust.names import clean_name, name_key, near_names, shown


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("  Amina   Khan ", "Amina Khan"),
        ("آمنہ خان", "آمنہ خان"),
        ("e\u0301mile", "émile"),
        ("🚑 Team 7", "🚑 Team 7"),
        ("👩\u200d⚕️ Sana", "👩\u200d⚕️ Sana"),
        ("خانہ\u200cبدوش", "خانہ\u200cبدوش"),
        ("A\tB", "A B"),
        ("\u200dAli\u200c", "Ali"),
    ],
)
def test_a_name_is_brought_into_one_spelling(typed: str, name: str) -> None:
    assert clean_name(typed) == name


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "\u200d",
        "a\x00b",
        "\x1b[31mred",
        "\u202eevil",
        "a\u2066b",
        "a\ufeffb",
        "x" * 65,
        "پ" * 65,
        "\udcff",
        "🚑" * 33,
    ],
)
def test_what_cannot_be_a_name_is_said(typed: str) -> None:
    with pytest.raises(Usage) as caught:
        clean_name(typed)
    assert str(caught.value).isprintable()


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_a_clean_name_may_stand_in_a_certificate_and_is_clean_already(text: str) -> None:
    try:
        name = clean_name(text)
    except Usage:
        return
    assert name_problem(name) is None
    assert clean_name(name) == name


def test_case_form_and_joiners_do_not_tell_names_apart() -> None:
    assert name_key("STRASSE") == name_key("straße")
    assert name_key("E\u0301mile") == name_key("émile")
    assert name_key("خانہ\u200cبدوش") == name_key("خانہبدوش")
    assert name_key("Ali") != name_key("Alia")


def test_near_names_begin_alike_or_are_spelled_alike() -> None:
    known = ["Amina Khan", "Amir Khan", "Sana Gul", "آمنہ"]
    assert near_names("amina", known)[0] == "Amina Khan"
    assert near_names("gul", known) == ["Sana Gul"]
    assert near_names("Amina Kahn", known)[0] == "Amina Khan"
    assert near_names("آمن", known) == ["آمنہ"]
    assert near_names("zzzz", known) == []


@given(st.text(max_size=100))
@settings(max_examples=100, deadline=None)
def test_what_is_shown_is_short_and_printable(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 48 * 10 + 2
