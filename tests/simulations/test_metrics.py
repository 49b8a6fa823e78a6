"""The figures of a run, on one so small that each can be found by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from simulations.metrics import Bounds, delays, fulfilled, quantile, summarise
from simulations.outcome import Delivery
from simulations.workload import EVERYBODY, Message
from tests.simulations.runs import BOUNDS, FLOOD, MESSAGES, RADIO, small_run


def test_a_share_is_of_what_came_in_time_and_of_what_could() -> None:
    shares = summarise(small_run(), MESSAGES, BOUNDS, [RADIO]).shares
    assert list(shares) == ["SOS", "text", "bulk", "broadcast", "all"]
    assert [(one.wanted, one.delivered, one.late, one.flood) for one in shares.values()] == [
        (1, 1, 0, 1),
        (2, 1, 1, 2),
        (1, 0, 0, 1),
        (3, 2, 0, 3),
        (7, 4, 1, 7),
    ]
    assert shares["all"].of_flood == round(4 / 7, 4)
    assert shares["text"].of_foremost == 0.5
    assert shares["broadcast"].foremost is shares["all"].foremost is None


def test_delays_are_compared_over_the_same_deliveries() -> None:
    shares = summarise(small_run(), MESSAGES, BOUNDS, [RADIO]).shares
    # Ages 70 (broadcast to 1), 100.0 (SOS), 200 (text) and 200 (broadcast to 0); the flood's 70, 50, 100 and 60.
    assert (shares["all"].median_s, shares["all"].p95_s, shares["all"].flood_median_s) == (200.0, 200.0, 70.0)
    assert shares["all"].ratio_to_flood == 2.857
    assert (shares["SOS"].ratio_to_flood, shares["SOS"].ratio_to_foremost) == (2.0, 1.667)
    assert shares["bulk"].median_s is shares["bulk"].ratio_to_flood is None


def test_the_quantile_is_an_element() -> None:
    assert quantile([], 0.5) is None
    assert [quantile([3, 1, 2, 4], part) for part in (0.0, 0.5, 0.95, 1.0)] == [1, 3, 4, 4]


def test_costs_are_for_each_delivery_that_counts() -> None:
    summary = summarise(small_run(), MESSAGES, BOUNDS, [RADIO])
    assert (summary.transmissions, summary.transmissions_per_delivered, summary.duplicates) == (8.0, 2.0, 0.5)
    assert summary.bytes == {"payload": 45_000, "receipts": 30, "reconciliation": 380, "handshake": 980}
    assert summary.bytes_per_delivered == {"payload": 11_250, "receipts": 7.5, "reconciliation": 95, "handshake": 245}
    assert (summary.contacts, summary.contacts_used, summary.idle_contact_bytes) == (6, 5, 260)
    assert (summary.store_peak_bytes, summary.store_mean_bytes) == (1_400, 256.1)
    # Five set-ups and 46,390 bytes at 20 kB/s, at two ends, in 4 x 7,800 s.
    assert summary.radio_s_per_node_day == round(2 * (5 * 2 + 46_390 / 20_000) / (4 * 7_800 / 86_400), 1)
    # Node 1 sees all 45,000 payload bytes, the four of them 90,000.
    assert summary.relay_load_ratio == 2.0


def test_what_cannot_be_is_a_fault_and_no_delivery() -> None:
    outcome = small_run()
    outcome.deliveries += [
        Delivery(0, 2, 300.0, 1),  # Twice.
        Delivery(0, 1, 300.0, 1),  # For 2, not for 1.
        Delivery(3, 2, 300.0, 1),  # To its author.
        Delivery(9, 1, 300.0, 1),  # Never written.
        Delivery(2, 3, 199.9, 1),  # Sooner than the flood.
    ]
    got = fulfilled(outcome, MESSAGES, FLOOD)
    assert len(got.arrivals) == 4
    assert got.faults == {"twice": 1, "not a destination": 3, "before the bound": 1}


def test_what_the_flood_never_brings_is_a_fault_unless_it_is_late() -> None:
    message = Message(0, 0.0, 0, 1, 400, 100, 1)
    outcome = replace(small_run(), deliveries=[Delivery(0, 1, 100.0, 1)])
    assert fulfilled(outcome, [message], {}).faults == {"before the bound": 1}
    late = replace(small_run(), deliveries=[Delivery(0, 1, 100.1, 1)])
    assert fulfilled(late, [message], {}).late == {(0, 1): 100.1}


def test_an_sos_to_everybody_is_an_sos() -> None:
    messages = [Message(0, 0.0, 0, EVERYBODY, 100, 50, 0)]
    shares = summarise(small_run(), messages, Bounds({(0, 1): 10.0, (0, 2): 60.0}), [RADIO]).shares
    assert (shares["SOS"].wanted, shares["SOS"].flood) == (3, 1)


def test_the_delay_curve_ends_where_the_shares_stand() -> None:
    rows = delays(small_run(), MESSAGES, BOUNDS)
    last = {row.kind: row for row in rows}
    for kind, share in summarise(small_run(), MESSAGES, BOUNDS, [RADIO]).shares.items():
        assert (last[kind].delivered, last[kind].flood, last[kind].foremost) == (
            share.delivered,
            share.flood,
            share.foremost,
        )
    sos = [row for row in rows if row.kind == "SOS"]
    assert next(row.delay_s for row in sos if row.delivered) >= 100.0 > next(row.delay_s for row in sos if row.foremost)
    assert all(a.delivered <= b.delivered for a, b in pairwise(sos))
