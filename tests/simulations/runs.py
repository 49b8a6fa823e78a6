"""A small invented run, with everything in it that files and figures must tell apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from simulations.metrics import Bounds, delays, summarise
from simulations.outcome import ContactRecord, Delivery, Kind, Occupancy, Outcome
from simulations.radio import Radio
from simulations.workload import EVERYBODY, Message
from simulations.writing import write_run

RADIO = Radio("ble", 20_000, 2.0)

MESSAGES = [
    Message(0, 10.0, 0, 2, 150, 3_000, 0),
    Message(1, 20.0, 1, 3, 400, 3_000, 1),
    Message(2, 30.0, 0, 3, 40_000, 3_000, 2),
    Message(3, 40.0, 2, EVERYBODY, 400, 9_000, 1),
    Message(4, 3_700.0, 3, 0, 400, 100, 1),
]

# Message 4 comes to node 0 in 90 s at best; a simulator lets it come in 120, too late.
FLOOD = {(0, 2): 60.0, (1, 3): 120.0, (2, 3): 200.0, (3, 0): 100.0, (3, 1): 110.0, (3, 3): 120.0, (4, 0): 3_790.0}
BOUNDS = Bounds(FLOOD, {(0, 2): 70.0, (1, 3): 130.0, (2, 3): 500.0, (4, 0): 3_792.0})


def contact(start: float, stop: float, a: int, b: int, sent: dict[Kind, int], transmissions: float) -> ContactRecord:
    return ContactRecord(start, stop, a, b, "ble", Counter(sent), transmissions)


def small_run(router: str = "beepmesh") -> Outcome:
    contacts = [
        contact(50.0, 400.0, 0, 1, {"payload": 1_000, "handshake": 200, "reconciliation": 90}, 4.0),
        contact(60.0, 300.5, 1, 2, {"payload": 3_000, "handshake": 200, "reconciliation": 110, "receipts": 30}, 2.5),
        contact(500.0, 600.0, 0, 1, {"handshake": 200, "reconciliation": 60}, 0.0),
        contact(700.0, 800.0, 0, 1, {"handshake": 180, "reconciliation": 40}, 0.0),
        contact(900.0, 901.0, 2, 3, {}, 0.0),
        contact(3_000.0, 7_800.0, 1, 3, {"payload": 41_000, "handshake": 200, "reconciliation": 80}, 1.5),
    ]
    contacts[1].duplicates = 0.5
    return Outcome(
        router,
        "small",
        7,
        4,
        7_800.0,
        [
            Delivery(3, 1, 110.0, 1),
            Delivery(0, 2, 110.0004, 2),
            Delivery(1, 3, 220.0, 3),
            Delivery(3, 0, 240.0, 2),
            Delivery(4, 0, 3_820.0, 2),
        ],
        contacts,
        [Occupancy(0.0, 0.0, 0), Occupancy(3_600.0, 512.25, 1_400)],
        Counter({"evicted": 2, "purged": 5}),
        1.234,
        50_000_000,
    )


def write_small_run(folder: Path, router: str = "beepmesh") -> None:
    outcome = small_run(router)
    summary = summarise(outcome, MESSAGES, BOUNDS, [RADIO], command="python -m simulations run", versions={"x": "1"})
    write_run(folder, outcome, MESSAGES, FLOOD, summary, delays(outcome, MESSAGES, BOUNDS))
