"""`hub usage`, as it is typed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.cli.conftest import BILAL
from tests.cli.typing_in import Person


def test_what_a_department_had_carried_is_shown_and_added_up(ayesha: Person, bilal: Person) -> None:
    shown = ayesha.types("hub", "usage").out
    assert "department" in shown
    assert "flood" in shown
    assert "Digest: " in shown
    found = ayesha.asks("hub", "usage")
    assert found.keys() == {"org", "month", "rows", "total", "late", "relayed", "digest", "statement"}
    rows = found["rows"]
    assert isinstance(rows, list)
    assert {row["department"] for row in rows} == {"", "flood"}


def test_a_spreadsheet_gets_one_row_a_department(ayesha: Person, bilal: Person) -> None:
    rows = list(csv.reader(io.StringIO(ayesha.types("hub", "usage", "--csv").out)))
    assert rows[0] == ["kind", "department", "month", "feeds", "messages", "entries", "bytes", "byte_hours"]
    assert {row[1] for row in rows[1:]} == {"", "flood"}
    assert all(row[0] == "usage" and int(row[6]) > 0 for row in rows[1:])


def test_a_signed_statement_is_checked_by_anybody(ayesha: Person, bilal: Person, tmp_path: Path) -> None:
    file = str(tmp_path / "month.usage")
    assert "--check" in ayesha.types("hub", "usage", "--sign", file).err
    shown = bilal.types("hub", "usage", "--check", file).out
    assert "signed by Ayesha Khan" in shown
    assert bilal.asks("hub", "usage", "--check", file)["digest"] == ayesha.asks("hub", "usage")["digest"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--month", "2026-13"), 2, "is no month"),
        (("--month", "November"), 2, "is no month"),
        (("--check", "x", "--csv"), 2, "stands alone"),
        (("--check", "nowhere.usage"), 1, "cannot be read"),
        (("--sign", "/nowhere/at/all"), 1, "cannot be written"),
    ],
)
def test_what_cannot_be_is_said(ayesha: Person, words: tuple[str, ...], code: int, said: str) -> None:
    answer = ayesha.types("hub", "usage", *words)
    assert answer.code == code
    assert said in answer.err


def test_who_keeps_no_accounts_is_told_where_they_are_kept(bilal: Person) -> None:
    answer = bilal.types("hub", "usage")
    assert (answer.code, BILAL in answer.err) == (1, False)
    assert "headquarters and relays" in answer.err
