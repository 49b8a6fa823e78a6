"""Every number that bounds what a peer can make us hold, send or wait for. tests/sync/ steps one beyond each."""

from __future__ import annotations

from typing import Final

SEQ_END: Final = 2**32
"""One beyond the largest seq: entries carry theirs in 4 bytes."""

RECORD_BYTES_MIN: Final = 16_384
"""The least a peer must take in one record, so that a VECTOR chunk always fits. Links cut records up below us."""

LOGS_MAX: Final = 65_536
"""Logs one side may name in a session: twice what a million entries of 10,000 authors came to (29,196)."""

RANGES_MAX: Final = 1_024
"""Spans in one announced state or GONE: at most 10 kB, so one fits into a VECTOR chunk. A log with more holes
announces its lowest ones; the entries above them may then be pushed to us again, and are known when they come."""

SPANS_MAX: Final = 262_144
"""Spans we remember about one peer, all logs together: about 32 MB. Beyond it we hang up."""

STATES_BYTES_MAX: Final = 16_384
"""A VECTOR or ACK chunk: a record of this size delays an urgent entry by 16 s on a 1 kB/s link, not by minutes."""

RUN_ENTRIES_MAX: Final = 8
"""So that an urgent entry waits for eight others at most; their shared header is 1 B for each by then."""

RUN_BYTES_MAX: Final = 16_384
"""Packed bytes in a run of several entries, for the same reason. A single entry may be larger."""

WINDOW_RUNS_MAX: Final = 64
"""Runs pushed and not yet acknowledged: what a receiver may have to hold before it is durable."""

WINDOW_BYTES_MAX: Final = 524_288
"""The same in packed bytes; a single run may always be under way. 4 MB/s at a round trip of 125 ms."""

ACK_RUNS_MAX: Final = 16
"""Processed runs after which an ACK leaves at once: a quarter of the window, so the pusher never stands still."""

ACK_DELAY_S: Final = 0.2
"""How long an ACK waits for company otherwise."""

READ_ENTRIES_MAX: Final = 64
"""Entries asked of the store at once: eight runs for one query."""

READ_BYTES_MAX: Final = 65_536
"""Packed bytes asked of the store at once."""

READS_MAX: Final = 2
"""Reads under way in one lane, so that the store works while the link does."""

PUSHED_LANES: Final = 0b0111
"""Lanes that are reconciled: urgent, messages, status. Lane 3 (bulk) is only ever asked for."""

LANE_MAX: Final = 3
