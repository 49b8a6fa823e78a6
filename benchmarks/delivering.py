"""W4, W5, W6: how long a text takes, how soon a returning device has it, how many bytes a talk costs."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from benchmarks.bars import ALONE, FETCH, FOUR_HOPS, ONE_HOP, TALK
from benchmarks.figures import Line
from benchmarks.ground import JUMBO_MTU, MTU, PORT, Ground
from benchmarks.village import AUTHORS, RECIPIENT, RELAY, Village, text_of
from benchmarks.wraps import WRAP_BYTES, wraps_on_wire

TEXT_BYTES = 100
_LISTEN = f"listen:0.0.0.0:{PORT}"


def latency(village: Village, hops: int, messages: int) -> Iterator[Line]:
    """W4: from the author's call of send to the recipient's MessageArrived; every relay has stored before it passes on.

    One after the other: the next leaves when the sender has the receipt of the one before.
    """
    names = ("a", "b", "c", "d", "e")[: hops + 1]
    chance = random.Random(4)
    taken: list[float] = []
    returned: list[float] = []
    receipts: list[float] = []
    with Ground(*names) as ground:
        workers = []
        for place, name in enumerate(names):
            if place:
                ground.cable(names[place - 1], name)
            workers.append(ground.worker(name, village.known(AUTHORS[place])))
        for place, worker in enumerate(workers):
            before = [ground.dial(names[place], names[place - 1])] if place else []
            worker.ask("serve", "ready", links=[_LISTEN, *before])
            worker.tell("announce")
            if place:
                worker.wait("level")
        ground.until_quiet()
        author, recipient = workers[0], workers[-1]
        with ground.metering(*workers) as meter:
            for _ in range(messages):
                text = text_of(TEXT_BYTES, chance)
                sent = author.ask("send", "sent", to=AUTHORS[hops], text=text)
                message, called_at = sent.text("id"), sent.number("called_at")
                taken.append(recipient.wait_arrived(message).at - called_at)
                returned.append(sent.number("returned_at") - called_at)
                receipts.append(author.wait_arrived(message).at - called_at)
    yield Line(
        "W4",
        "1 hop" if hops == 1 else f"{hops} hops",
        {
            "hops": hops,
            "messages": messages,
            "text_bytes": TEXT_BYTES,
            "median_ms": statistics.median(taken) * 1e3,
            "p95_ms": sorted(taken)[int(len(taken) * 0.95)] * 1e3,
            "fastest_ms": min(taken) * 1e3,
            "send_returned_median_ms": statistics.median(returned) * 1e3,
            "receipt_median_ms": statistics.median(receipts) * 1e3,
            "cpu_ms_per_message_all_nodes": sum(meter.cpu_s(worker) for worker in workers) / messages * 1e3,
            "other_load": meter.other_load,
        },
        ONE_HOP if hops == 1 else FOUR_HOPS,
    )


class _Fetched(NamedTuple):
    """One start of the receiver, in seconds since then and since it was ready."""

    to_open: float
    to_arrival: float
    ready_to_arrival: float
    wire_bytes: int
    other_load: float


def fetch(village: Village, rounds: int) -> Iterator[Line]:
    """W5: the sender is gone, a relay holds the message, the receiver's process starts."""
    seen = [_fetch(village) for _ in range(rounds)]
    yield Line(
        "W5",
        f"{rounds} starts",
        {
            "text_bytes": TEXT_BYTES,
            "from_start_s": statistics.median(one.to_arrival for one in seen),
            "from_start_fastest_s": min(one.to_arrival for one in seen),
            "from_ready_ms": statistics.median(one.ready_to_arrival for one in seen) * 1e3,
            "from_ready_fastest_ms": min(one.ready_to_arrival for one in seen) * 1e3,
            "start_to_home_open_s": statistics.median(one.to_open for one in seen),
            "wire_bytes": int(statistics.median(one.wire_bytes for one in seen)),
            "other_load": max(one.other_load for one in seen),
        },
        FETCH,
    )


def _fetch(village: Village) -> _Fetched:
    with Ground("a", "b", "c") as ground:
        ground.cable("a", "b")
        ground.cable("b", "c")
        sender, relay = ground.worker("a", village.known(AUTHORS[0])), ground.worker("b", village.known(RELAY))
        relay.ask("serve", "ready", links=[_LISTEN])
        sender.ask("serve", "ready", links=[ground.dial("a", "b")])
        sender.wait("level")
        before = relay.ask("held", "held").number("entries")
        sent = sender.ask("send", "sent", to=RECIPIENT, text=text_of(TEXT_BYTES, random.Random(5)))
        while relay.ask("held", "held").number("entries") == before:
            time.sleep(0.01)
        sender.kill()
        ground.until_quiet()
        home = village.known(RECIPIENT)
        with ground.metering() as meter:
            started = time.monotonic()
            receiver = ground.worker("c", home, [ground.dial("c", "b")])
            receiver.tell("announce")
            opened, ready = receiver.wait("opened"), receiver.wait("ready")
            arrived = receiver.wait_arrived(sent.text("id"))
            ground.until_quiet()
    return _Fetched(
        to_open=opened.at - started,
        to_arrival=arrived.at - started,
        ready_to_arrival=arrived.at - ready.at,
        wire_bytes=meter.wire_bytes,
        other_load=meter.other_load,
    )


def talk(village: Village, messages: int) -> Iterator[Line]:
    """W6: texts over an open link between two who know each other's prekeys, each with its delivery receipt.

    At an MTU of 1,500 a wrap pushes each message into a second TCP segment, with headers of its own, and Linux
    acknowledges two segments at once that it would have acknowledged with the answer. So the same talk is measured at
    an MTU of 9,000, too: there a message is one segment with or without its wrap, and taking the wraps off is exact.
    """
    yield _talk(village, messages, MTU)
    yield _talk(village, messages, JUMBO_MTU)


def _talk(village: Village, messages: int, mtu: int) -> Line:
    chance = random.Random(6)
    with Ground("a", "b") as ground:
        one, other = ground.pair(village.known(AUTHORS[0]), village.known(AUTHORS[1]), count=True, mtu=mtu)
        ground.link(other)
        other.wait("level")
        other.tell("announce")
        ground.until_quiet()
        other.ask("frames", "frames")
        with ground.metering(one, other) as meter:
            for _ in range(messages):
                sent = other.ask("send", "sent", to=AUTHORS[0], text=text_of(TEXT_BYTES, chance))
                other.wait_arrived(sent.text("id"))
            ground.until_quiet()
        frames = other.ask("frames", "frames").sizes("sizes")
    wraps, wraps_bytes = wraps_on_wire(frames, mtu)
    return Line(
        "W6",
        f"{messages} texts, MTU {mtu:,}",
        {
            "messages": messages,
            "text_bytes": TEXT_BYTES,
            "bytes_per_message": meter.wire_bytes / messages,
            "packets_per_message": meter.packets / messages,
            "frames_per_message": len(frames) / messages,
            "wraps_per_message": wraps / messages,
            "wrap_bytes": WRAP_BYTES,
            "wraps_bytes_per_message": wraps_bytes / messages,
            "bytes_per_message_without_wraps": (meter.wire_bytes - wraps_bytes) / messages,
            "other_load": meter.other_load,
        },
        TALK if mtu == JUMBO_MTU else replace(TALK, first_target={}),
    )


def alone(village: Village, messages: int) -> Iterator[Line]:
    """Sending while nobody is near: accepted, sealed and durable one by one."""
    with Ground("a") as ground:
        author = ground.worker("a", village.known(AUTHORS[0]))
        with ground.metering(author) as meter:
            done = author.ask("send_many", "sent_many", to=AUTHORS[1], text="x" * TEXT_BYTES, count=messages)
    yield Line(
        "send",
        "nobody near",
        {
            "messages": messages,
            "text_bytes": TEXT_BYTES,
            "cpu_ms_per_message": done.number("cpu_s") / messages * 1e3,
            "ms_per_message": done.number("seconds") / messages * 1e3,
            "other_load": meter.other_load,
        },
        ALONE,
    )
