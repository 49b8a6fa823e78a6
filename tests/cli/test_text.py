"""Other people's words on our terminal: shown, never obeyed."""

from __future__ import annotations

import json
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.cli.text import (
    cells,
    columns,
    count_of,
    iso_time,
    listed,
    local_time,
    safe_json,
    safe_line,
    safe_lines,
    size,
    span,
)

DAY_MS = 86_400_000
ACTING = ("Cc", "Cs", "Zl", "Zp")
REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    ("attack", "shown"),
    [
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("read\rREAD", "read\\x0dREAD"),
        ("a\nb", "a\\x0ab"),
        ("abc\b\b\bxyz", "abc\\x08\\x08\\x08xyz"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\u2066isolated\u2069", "\\u2066isolated\\u2069"),
        ("line\u2028sep", "line\\u2028sep"),
        ("\ud800", "\\ud800"),
        ("hidden\U000e0041tag", "hidden\\U000e0041tag"),
        ("\ufeffbom", "\\ufeffbom"),
        ("del\x7f", "del\\x7f"),
    ],
)
def test_what_would_act_on_a_terminal_is_shown_as_its_code_point(attack: str, shown: str) -> None:
    assert safe_line(attack) == shown


@pytest.mark.parametrize(
    "text", ["بارش ہو رہی ہے", "می‌خواهم", "👩‍👩‍👧", "Zoë", "سوات\u200f (Swat)", "۱۴۴۷\u0600", "x = 3 \\ 4"]
)
def test_letters_of_every_script_are_shown_as_they_are(text: str) -> None:
    assert safe_line(text) == text


@settings(max_examples=200)
@given(st.text())
def test_no_text_at_all_keeps_a_character_that_acts(text: str) -> None:
    for line in [safe_line(text), *safe_lines(text)]:
        assert not any(unicodedata.category(character) in ACTING for character in line)
        assert not any(character in REORDERING for character in line)


@settings(max_examples=200)
@given(st.text())
def test_json_is_the_same_data_with_nothing_that_acts(text: str) -> None:
    dumped = safe_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(dumped) == {"text": text}
    assert safe_line(dumped) == dumped


def test_a_text_of_lines_keeps_its_lines_and_nothing_else() -> None:
    assert safe_lines("one\r\n\ttwo\n\nthree\r") == ["one", "    two", "", "three\\x0d"]


def test_times_are_as_short_as_they_can_be_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = 1_780_000_000_000  # 2026-05-28 20:26:40
    assert local_time(now, now) == "20:26"
    assert local_time(now - DAY_MS, now) == "27 May 20:26"
    assert local_time(now - 365 * DAY_MS, now) == "28 May 2025 20:26"
    assert local_time(0, now) == "1 Jan 1970 00:00"
    assert local_time(2**63, now) == "at no known time"
    monkeypatch.undo()
    time.tzset()


def test_times_for_programs_are_utc_with_milliseconds() -> None:
    assert iso_time(1_780_000_000_123) == "2026-05-28T20:26:40.123Z"
    assert iso_time(0) == "1970-01-01T00:00:00.000Z"
    assert iso_time(-1) == "1970-01-01T00:00:00.000Z"
    assert iso_time(2**64) == "9999-12-31T23:59:59.999Z"


def test_amounts_are_said_as_people_say_them() -> None:
    assert [span(seconds) for seconds in (0, 1, 59, 60, 3_600, 86_400, 14 * 86_400)] == [
        "0 seconds",
        "1 second",
        "59 seconds",
        "1 minute",
        "1 hour",
        "1 day",
        "14 days",
    ]
    assert [size(count) for count in (0, 999, 1_400, 23_000_000, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.4 kB",
        "23 MB",
        "5000 GB",
    ]
    assert (count_of(1, "device"), count_of(3, "device")) == ("1 device", "3 devices")
    assert [listed("a"), listed("ab"), listed("abc"), listed("")] == ["a", "a and b", "a, b and c", ""]


def test_columns_stand_under_each_other_for_wide_and_joined_letters_too() -> None:
    lines = columns([("name", "x"), ("日本", "y"), ("é", "z")])
    assert {cells(line[: line.index(last)]) for line, last in zip(lines, "xyz", strict=True)} == {6}
