"""Figures in the units that people read."""

from __future__ import annotations

NOTHING = "-"
"""What was not measured or cannot be said."""


def span(seconds: float | None) -> str:
    """45 s, 12 min, 3.4 h, 5.2 d."""
    if seconds is None:
        return NOTHING
    for unit_s, name, beyond, digits in ((1, "s", 90, 0), (60, "min", 90, 0), (3600, "h", 48, 1)):
        if seconds < beyond * unit_s:
            return f"{seconds / unit_s:.{digits}f} {name}"
    return f"{seconds / 86_400:.1f} d"


def size(count: float | None) -> str:
    """850 B, 12.3 kB, 4.0 MB."""
    if count is None:
        return NOTHING
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} B"


def share(part: float | None) -> str:
    return NOTHING if part is None else f"{100 * part:.1f} %"


def number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None) -> str:
    return number(value, 2)
