"""W1, W2, W3: a newcomer gets everything; two that hold the same meet again; two that each have something new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from beepmesh.home import Home
from benchmarks.bars import COLD_SYNC, RECONNECT, TEN_NEW
from benchmarks.figures import Line
from benchmarks.ground import BenchmarkProblem, Ground
from benchmarks.village import AUTHORS, RECIPIENT, RELAY, Village, write
from benchmarks.wraps import WRAP_BYTES, record_bytes

NEW_EACH = 10


def cold_sync(village: Village, messages: int) -> Iterator[Line]:
    """W1: a device that has just been let in gets all messages of ten authors, as a relay and as their recipient."""
    for variant, name in (("relay", RELAY), ("recipient", RECIPIENT)):
        yield _cold_sync(village.keeper_of(messages), village.fresh(name), messages, variant)


def _cold_sync(source: Path, newcomer: Path, messages: int, variant: str) -> Line:
    with Ground("a", "b") as ground:
        keeper, receiver = ground.pair(source, newcomer)
        with ground.metering(keeper, receiver) as meter:
            ground.link(receiver)
            level = receiver.wait("level")
            while receiver.ask("held", "held").number("entries") < messages:
                level = receiver.wait("level")
            ground.until_quiet()
        held = receiver.ask("held", "held")
        opened = int(held.number("arrived"))
        if opened != (messages if variant == "recipient" else 0):
            raise BenchmarkProblem(f"{opened} messages were opened by the {variant}, of {messages}.")
    cpu_s = meter.cpu_s(receiver)
    per_message = meter.wire_bytes / messages
    return Line(
        "W1",
        f"{messages} messages, receiver is the {variant}",
        {
            "messages": messages,
            "text_bytes": 200,
            "authors": len(AUTHORS),
            "opened": opened,
            "seconds": level.at - meter.since,
            "messages_per_cpu_s": messages / cpu_s,
            "receiver_cpu_s": cpu_s,
            "sender_cpu_s": meter.cpu_s(keeper),
            "wire_bytes": meter.wire_bytes,
            "bytes_per_message": per_message,
            "wrap_bytes_per_message": WRAP_BYTES,
            "bytes_per_message_without_wraps": per_message - WRAP_BYTES,
            "peak_mb": meter.peak_mb(receiver),
            "sender_peak_mb": meter.peak_mb(keeper),
            "other_load": meter.other_load,
        },
        COLD_SYNC,
    )


def reconnect(village: Village, held: int) -> Iterator[Line]:
    """W2: both hold the same; nothing is new."""
    with Ground("a", "b") as ground:
        keeper, relay = ground.pair(village.keeper_of(held), village.relay_of(held), count=True)
        with ground.metering(keeper, relay) as meter:
            ground.link(relay)
            level = relay.wait("level")
            ground.until_quiet()
        frames = relay.ask("frames", "frames").sizes("sizes")
    yield Line(
        "W2",
        f"{held} held",
        {
            "held": held,
            "wire_bytes": meter.wire_bytes,
            "record_bytes": record_bytes(frames),
            "packets": meter.packets,
            "seconds": level.at - meter.since,
            "peak_mb": meter.peak_mb(relay),
            "other_load": meter.other_load,
        },
        RECONNECT,
    )


def ten_new(village: Village, held: int) -> Iterator[Line]:
    """W3: each side has written ten messages to a third person."""
    source, other = village.keeper_of(held), village.relay_of(held)
    for path in (source, other):
        with Home.open(path) as home:
            write(home, RECIPIENT, NEW_EACH)
    with Ground("a", "b") as ground:
        keeper, relay = ground.pair(source, other, count=True)
        before = relay.ask("held", "held").number("entries")
        with ground.metering(keeper, relay) as meter:
            ground.link(relay)
            level = relay.wait("level")
            ground.until_quiet()
        gained = relay.ask("held", "held").number("entries") - before
        frames = relay.ask("frames", "frames").sizes("sizes")
        if gained != NEW_EACH:
            raise BenchmarkProblem(f"{gained:.0f} of {NEW_EACH} messages came.")
    wraps_bytes = 2 * NEW_EACH * WRAP_BYTES
    yield Line(
        "W3",
        f"{held} held, {NEW_EACH} new on each side",
        {
            "held": held,
            "new_each": NEW_EACH,
            "wire_bytes": meter.wire_bytes,
            "wraps_bytes": wraps_bytes,
            "wire_bytes_without_wraps": meter.wire_bytes - wraps_bytes,
            "record_bytes": record_bytes(frames),
            "packets": meter.packets,
            "seconds": level.at - meter.since,
            "other_load": meter.other_load,
        },
        TEN_NEW,
    )
