"""Words and figures as people read them, and other people's words made safe to show.

Laws
1. Nothing that came from outside acts on a terminal: control characters, line separators and marks that reorder what
   is shown stand as their code points. Letters of every script, their joiners and the small direction marks stay.
2. A message of many lines cannot pretend to be several: every line of it is indented by whoever prints it.
3. Times are local for people (24 hours) and UTC, ISO 8601, for programs.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterable
from typing import Final

INDENT: Final = "    "
_DAY_S: Final = 86_400
# Format characters (category Cf) with which words are spelled or which only lean: ZWNJ, ZWJ, LRM, RLM, ALM, the soft
# hyphen, and the signs that Arabic script sets under or around numbers.
_HARMLESS: Final = frozenset("\u200c\u200d\u200e\u200f\u061c\u00ad\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u08e2")
_ACTING: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")


def safe_line(text: str) -> str:
    """The text as one line in which nothing acts: a tab and a line break are shown as code points too."""
    return "".join(_shown(character) for character in text)


def safe_lines(text: str) -> list[str]:
    """The lines of a message, broken at line feeds alone; tabs are four spaces."""
    whole = text.replace("\r\n", "\n").replace("\t", "    ")
    return [safe_line(line) for line in whole.split("\n")]


def safe_json(text: str) -> str:
    """The same JSON, with every character that acts on a terminal written as an escape."""
    return re.sub(r"[^\x00-\x7e]", lambda found: _json_escape(found[0]), text)


def local_time(ms: int, now_ms: int) -> str:
    """14:03 today, else with the date, else with the year: as short as it can be understood."""
    if not 0 <= ms <= _YEAR_9999_MS:
        return _UNKNOWN  # An author's clock may say anything that fits eight bytes.
    try:
        when, today = time.localtime(ms / 1_000), time.localtime(now_ms / 1_000)
        clock = time.strftime("%H:%M", when)
        if (when.tm_year, when.tm_yday) == (today.tm_year, today.tm_yday):
            return clock
        month = _MONTHS[when.tm_mon - 1]
        year = "" if when.tm_year == today.tm_year else f" {when.tm_year}"
        return f"{when.tm_mday} {month}{year} {clock}"
    except (OverflowError, OSError, ValueError):
        return _UNKNOWN  # A system may know fewer years than that.


def iso_time(ms: int) -> str:
    """2026-11-22T14:03:05.120Z; the nearest end of the calendar for what lies beyond it."""
    within_ms = min(max(ms, 0), _YEAR_9999_MS)
    when = time.gmtime(within_ms // 1_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", when) + f".{within_ms % 1_000:03d}Z"


def span(seconds: float) -> str:
    """A length of time in one unit, rounded: "3 minutes", "14 days"."""
    whole = max(0, round(seconds))
    for unit_s, name in ((_DAY_S, "day"), (3_600, "hour"), (60, "minute")):
        if whole >= unit_s:
            return count_of(round(whole / unit_s), name)
    return count_of(whole, "second")


def size(count: int) -> str:
    """Bytes as people say them: "512 B", "1.4 kB", "23 MB"."""
    if count < 1_000:
        return f"{count} B"
    amount = float(count)
    unit = ""
    for unit in ("kB", "MB", "GB"):  # noqa: B007 - the last one stands below.
        amount /= 1_000
        if amount < 1_000:
            break
    return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"


def count_of(number: int, noun: str) -> str:
    """ "1 device", "3 devices"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(words: Iterable[str], joint: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    every = list(words)
    return f" {joint} ".join([", ".join(every[:-1]), every[-1]] if len(every) > 1 else every)


def columns(rows: Iterable[Iterable[str]], indent: str = "") -> list[str]:
    """Rows as lines whose columns stand under each other."""
    table = [list(row) for row in rows]
    widths = [max(map(cells, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        padded = [cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(padded)).rstrip())
    return lines


def cells(text: str) -> int:
    """How many columns of a terminal a line takes: near enough for setting things under each other."""
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _shown(character: str) -> str:
    if " " <= character <= "~" or character in _HARMLESS:
        return character
    if unicodedata.category(character) not in _ACTING:
        return character
    return _escape(character)


def _escape(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _json_escape(character: str) -> str:
    if _shown(character) == character:
        return character
    return "".join(f"\\u{unit:04x}" for unit in _utf16(character))


def _utf16(character: str) -> list[int]:
    point = ord(character)
    if point < 0x10000:
        return [point]
    point -= 0x10000
    return [0xD800 | point >> 10, 0xDC00 | point & 0x3FF]


_UNKNOWN: Final = "at no known time"
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_YEAR_9999_MS: Final = 253_402_300_799_999
