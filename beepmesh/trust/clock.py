"""Which time to believe, and which time to write: the two questions a field device's clock cannot answer alone.

A clock may say 1970 after a flat battery, or any year after a bad set-up. The newest time that headquarters signed
(`Roster.trusted_s`) is a floor that nobody outside can move, and a clock far ahead of it is a clock that jumped.
"""

from __future__ import annotations

from typing import Final

# Certificates last 90 d: a device that heard nothing signed by HQ for longer could not use its own any more.
AHEAD_S_MAX: Final = 90 * 86_400


def believed_s(local_s: int, trusted_s: int) -> int:
    """The time for judging certificates: ours while it is plausible, else the newest HQ-signed one."""
    return local_s if trusted_s <= local_s <= trusted_s + AHEAD_S_MAX else trusted_s


def author_time(now_ms: int, last_ms: int) -> int:
    """The time of our next entry: our wall clock, but never falling or repeating: order survives a step back."""
    return max(now_ms, last_ms + 1)
