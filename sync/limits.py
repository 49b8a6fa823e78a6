"""Every number that bounds what a peer can make us hold, send or wait for. tests/sync/ steps one beyond each."""

from __future__ import annotations

from typing import Final

SEQ_END: Final = 2**32
"""One beyond the largest seq: entries carry theirs in 4 bytes."""

RECORD_BYTES_MIN: Final = 16_384
"""The least a peer must take in one record, so that a part of a VECTOR always fits. Links cut records up below us."""

LOGS_MAX: Final = 65_536
"""Logs named in one direction, feeds of the organisation's list, logs of one record: twice what a million entries of
10,000 authors came to (29,196). Beyond it logs are named in full each time."""

RANGES_MAX: Final = 1_024
"""Spans in one announced state or GONE: at most 10 kB, so one fits into any record. A log with more holes announces its
lowest ones; the entries above them may then be pushed to us again, and are known when they come."""

SPANS_MAX: Final = 131_072
"""Spans we remember about one peer, all logs together, and logs: some 15 MB, or 55 MB if each is of another log.
Beyond it we hang up."""

STATES_BYTES_MAX: Final = 12_288
"""About what one part of STATES or VECTOR says before it is deflated (a sender's rule): a record of this size delays an
urgent entry by seconds on a 1 kB/s link, not by minutes."""

PLAIN_BYTES_MAX: Final = 98_304
"""What a deflated part may come to: LOGS_MAX zeros of a dense column, and as much as fits into a record. A lying peer
gets some 6 MB and 70 ms out of us for a record of 200 B, and no more."""

ZIP_BYTES_MIN: Final = 64
"""Below it deflating gains nothing."""

DELTA_BYTES_MAX: Final = 4_096
"""A delta beyond this is not sent unasked: where two have heard the same from others, a sketch is smaller."""

DELTA_PART: Final = 4
"""But for a delta that takes a quarter or less of what everything would: where they have not, a sketch is given up."""

VECTOR_BYTES_MAX: Final = 4_096
"""The same for a vector of everything: beyond it a sketch is tried first."""

SYMBOLS_FIRST: Final = 96
"""Coded symbols sent unasked: 1.2 kB, enough for some 30 differing logs."""

SYMBOLS_MAX: Final = 8_192
"""Coded symbols of one sketch: some 100 kB. Beyond it, or beyond what a VECTOR would cost, it is given up."""

SYMBOLS_MORE_MAX: Final = 960
"""Coded symbols asked for at once: 16 kB if each took the most it can, so they fit into any record."""

SYMBOL_BYTES: Final = 13
"""About what one of them takes."""

SYMBOLS_PER_ITEM: Final = 1.6
"""How many are asked for by somebody who guesses how many items differ: 1.4 are enough on the average, and guesses are
mostly within a third. Once more is asked in one meeting of five; doubling took a fifth more bytes, and more answers."""

HASHES_MAX: Final = 8_192
"""Items of a sketch asked back by their hash."""

STOP_LOGS_MAX: Final = 512
"""Logs of one STOP, so that it fits into any record though each is named in full (a sender's rule)."""

RUN_ENTRIES_MAX: Final = 8
"""So that an urgent entry waits for eight others at most; their shared header is 1 B for each by then."""

RUN_BYTES_MAX: Final = 16_384
"""Packed bytes in a run of several entries, for the same reason. A single entry may be larger."""

RUN_BYTES_SLOW: Final = 1_024
"""The same on a slow link: half a second at 2 kB/s."""

WINDOW_RUNS_MAX: Final = 64
"""Runs pushed and not yet acknowledged: what a receiver may have to hold before it is durable."""

WINDOW_BYTES_MAX: Final = 524_288
"""The same in packed bytes; a single run may always be under way. 4 MB/s at a round trip of 125 ms."""

LINK_BYTES_FIRST, LINK_BYTES_MIN, LINK_BYTES_MAX = 4_096, 1_024, 524_288
"""Packed bytes given to the link before it has said that they left: at first, at least, at most."""

LINK_FAST_S, LINK_SLOW_S = 0.05, 0.25
"""If they left sooner than the first, twice as many are given next time; if later than the second, fewer."""

ACK_RUNS_MAX: Final = 16
"""Processed runs after which an ACK leaves at once: a quarter of the window, so the pusher never stands still."""

ACK_BYTES_MAX: Final = 131_072
"""The same in packed bytes of these runs and those that are being taken."""

ACK_DELAY_S: Final = 0.5
"""How long an ACK waits for company otherwise."""

HEARD_ACKS_MAX: Final = 4
"""ACKs after which a pusher says that it heard them: what must be told again after a cut is what 64 runs changed."""

UNTOLD_LOGS_MAX: Final = 32
"""Logs that changed since we last told our change number, after which we tell it with nothing else to say."""

HOLD_BACK_URGENT_S, HOLD_BACK_S = 0.1, 2.0
"""How long what came from one peer is told to another before it is pushed there: in lane 0, where only what comes later
waits unless there are more links than LINKS_FEW, and in the others. Of ten who hear each other each would else push it
to nine (recorded contacts: four of five receptions were repeats; of an SOS five of six, which kept the next one off the
air)."""

HOLD_BACK_APART_S: Final = 0.25
"""The same, untold, for a peer that hears none of the others, as most of a hub's; in lane 0 it waits for nothing."""

OFFER_BYTES_MIN: Final = 4_096
"""A run of more packed bytes than this, of what came from another peer, is offered in a crowd before it is pushed."""

OFFER_S: Final = 10.0
"""How long the answer is waited for."""

LINKS_FEW: Final = 2
"""With so many links or fewer, what a peer tells is wanted at once: along a chain nothing waits. In a crowd it spreads
all the better for going slowly: its receipts overtake it."""

STALL_S: Final = 30.0
"""A peer that has something for us and pushes nothing for so long is not waited for, and another may push it."""

TAKE_OVER_LOGS_MAX: Final = 64
"""Logs that a peer takes over at once from one that gives nothing of them."""

READ_ENTRIES_MAX: Final = 64
"""Entries asked of the store at once: eight runs for one query."""

READ_BYTES_MAX: Final = 65_536
"""Packed bytes asked of the store at once."""

READS_MAX: Final = 2
"""Reads under way in one lane, so that the store works while the link does."""

PUSHED_LANES: Final = 0b0111
"""Lanes that are reconciled: urgent, messages, status. Lane 3 (bulk) is only ever asked for."""

LANE_MAX: Final = 3

LANES: Final = LANE_MAX + 1
