"""What goes into a session (past tense) and what comes out of it (orders), see session.py for who does what when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sync.logs import LogId
from sync.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Started:
    """The link is up. The first input, once."""


@dataclass(frozen=True, slots=True)
class RecordReceived:
    data: bytes


@dataclass(frozen=True, slots=True)
class RunRead:
    """The answer to one ReadRun. Whatever of the span is in neither `packed` nor `gone` is asked for again."""

    log: LogId
    start: int
    prev: bytes | None
    """32 B, the id of entry start - 1, if it was asked for; None when start is 0 or nothing could be read; empty where
    nothing links the entries of this log, so that there is nothing to say."""
    packed: tuple[bytes, ...]
    """Consecutive entries from start on; at least one, if the entry at start is held."""
    gone: Ranges
    """What of the span is settled and not held."""
    ends: tuple[int, ...] = ()
    """Where runs may end: exclusive indexes into `packed`, ascending, the last one its length. None: anywhere."""


@dataclass(frozen=True, slots=True)
class RunDone:
    """A TakeRun was dealt with. Comes after the commit, and after the LogsGrew of that commit."""

    log: LogId
    start: int
    count: int
    taken: bool


@dataclass(frozen=True, slots=True)
class LogsGrew:
    """More is settled in these logs than before, from whatever source; it is durable and in the frontier."""

    before: tuple[tuple[LogId, Ranges], ...]
    """Each log, and what was settled of it until then, as Frontier.change gave it."""


@dataclass(frozen=True, slots=True)
class Drained:
    """All that was given to the link before AskDrained has left."""


@dataclass(frozen=True, slots=True)
class SourceFree:
    """These logs are this session's to receive now, see sources.py."""

    logs: tuple[LogId, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """We want these entries of a log from this peer, in whatever lane, settled here or not: the only way for bulk to
    come, and to see the peer's branch of a forked log. 1 to RANGES_MAX spans."""

    log: LogId
    seqs: Ranges


@dataclass(frozen=True, slots=True)
class Weighed:
    """What may be pushed to this peer may be another answer now (`Session(withholds=...)`)."""


@dataclass(frozen=True, slots=True)
class TimeCame:
    """It is as late as a WakeAt asked for, or later."""


Input: TypeAlias = (
    Started | RecordReceived | RunRead | RunDone | LogsGrew | Drained | SourceFree | Wanted | Weighed | TimeCame
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this record, after all earlier ones."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ReadRun:
    """Read entries [start, stop) of a log, as many as bytes_max allows; answer with one RunRead."""

    log: LogId
    start: int
    stop: int
    bytes_max: int
    """Packed bytes, unless the first entry alone is larger."""
    run_bytes_max: int
    """Packed bytes of one run of several entries, for whoever says where runs end."""
    with_prev: bool


@dataclass(frozen=True, slots=True)
class TakeRun:
    """The peer pushed these consecutive entries. Verify, commit, answer with one RunDone."""

    log: LogId
    start: int
    prev: bytes | None
    """32 B, the id of entry start - 1 by the peer's word; None when it is our own tip, or start is 0."""
    packed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PeerSettled:
    """All we know the peer to have settled in this log."""

    log: LogId
    settled: Ranges


@dataclass(frozen=True, slots=True)
class PeerTook:
    """The peer has settled these entries, which we pushed."""

    log: LogId
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Level:
    """Neither side lacks anything the other could give, and each knows it."""


@dataclass(frozen=True, slots=True)
class AskDrained:
    """Answer with one Drained when everything given to the link so far has left."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that is no fault to hang up for, by a stable word for counting."""

    reason: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Give TimeCame at this time (same clock as `now`) or soon after."""

    when: float


@dataclass(frozen=True, slots=True)
class Hangup:
    """The peer broke the protocol, for this reason. Close the link; this session does nothing more."""

    reason: str


Output: TypeAlias = Send | ReadRun | TakeRun | PeerSettled | PeerTook | Level | AskDrained | Noticed | WakeAt | Hangup
