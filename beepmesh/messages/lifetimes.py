"""How long a message lives and how it ranks: the two small numbers in every entry's header, and their names.

A lifetime class is 4 bits, a priority class 2. Classes instead of seconds keep the header small and tell a relay
nothing finer about the author than it needs. What is asked for is rounded up: no message dies earlier than promised.
"""

from __future__ import annotations

import re
from typing import Final

from beepmesh.errors import Usage

HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S

# The index is the class. Reserved classes live as long as the longest one we know: a holder that is too old to know
# a class should rather keep than erase.
LIFETIMES_S: Final = (HOUR_S, 6 * HOUR_S, DAY_S, 3 * DAY_S, 7 * DAY_S, 14 * DAY_S, 30 * DAY_S, 90 * DAY_S)
TTL_CLASSES: Final = 16
TTL_DEFAULT: Final = 5  # 14 d: the longest that the standard prekey policy keeps openable to its last hour
TTL_LONGEST: Final = 7  # 90 d: SOS and everything on a control feed

SOS: Final = 0
URGENT: Final = 1
ROUTINE: Final = 2
BULK: Final = 3
PRIORITY_NAMES: Final = ("sos", "urgent", "routine", "bulk")

LANE_URGENT: Final = 0
LANE_MESSAGES: Final = 1
LANE_LATER: Final = 2  # Large mail, which is rationed (carrying.py), and what the next one makes worthless.
LANE_FILES: Final = 3

_UNITS_S: Final = {"m": 60, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}
_DURATION: Final = re.compile(r"([0-9]{1,6})\s*([mhdw])", re.ASCII)


def ttl_seconds(ttl: int) -> int:
    """Seconds from the author's time to expiry."""
    assert 0 <= ttl < TTL_CLASSES
    return LIFETIMES_S[min(ttl, TTL_LONGEST)]


def ttl_class(seconds: int) -> int:
    """The smallest class that lives at least so long. Raises Usage beyond the longest."""
    for ttl, lifetime_s in enumerate(LIFETIMES_S):
        if seconds <= lifetime_s:
            return ttl
    raise Usage(f"A message can live {LIFETIMES_S[-1] // DAY_S} days at most. Ask for 90d or less.")


def expires_ms(time_ms: int, ttl: int) -> int:
    """When an entry written at time_ms ends, on the author's clock."""
    return time_ms + ttl_seconds(ttl) * 1_000


def duration_s(text: str) -> int:
    """Seconds of "90m", "36h", "14d" or "2w". Raises Usage for anything else."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise Usage(f"{text[:40]!r} is no length of time. Write a number and m, h, d or w: 90m, 36h, 14d.")
    return int(match[1]) * _UNITS_S[match[2]]


def ttl_of_text(text: str) -> int:
    """The class for what a person typed behind --expires. Raises Usage."""
    return ttl_class(duration_s(text))


def priority_class(name: str) -> int:
    """The class of a name. Raises Usage, naming the four."""
    try:
        return PRIORITY_NAMES.index(name.strip().lower())
    except ValueError:
        raise Usage(f"{name[:40]!r} is no priority. It is one of {', '.join(PRIORITY_NAMES)}.") from None


def priority_name(priority: int) -> str:
    """The name of a class; a reserved one is called by its number."""
    return PRIORITY_NAMES[priority] if 0 <= priority < len(PRIORITY_NAMES) else f"class {priority}"


def lane_of(priority: int) -> int:
    """Where a message of this priority is written.

    What is large is moved to LANE_LATER by whoever seals it (author.py). Lane 3 is never pushed to anybody.
    """
    return LANE_URGENT if priority in (SOS, URGENT) else LANE_MESSAGES


def ttl_default(priority: int) -> int:
    """The class of a message whose author asked for nothing."""
    return TTL_LONGEST if priority == SOS else TTL_DEFAULT
