"""An urgent word on a slow link: it waits for what is already under way, not for the backlog it was written behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from beepmesh.demo.device import Answer, Device, until, word
from beepmesh.demo.hosts import MTU_BYTES, NetworkHosts
from beepmesh.home import Home
from beepmesh.messages.entry import pack
from beepmesh.testing import make_homes
from sync.limits import RUN_ENTRIES_MAX
from sync.logs import LogId
from tests.homes import meet
from tests.test_shell import post_many
from transports.tcp_link import KERNEL_UNSENT_BYTES

RATE: Final = "16kbit"
CABLE_BYTES: Final = 2_000 // 2 + 4 * MTU_BYTES  # What such a cable queues: half a second and a burst.
UNDER_WAY_BYTES: Final = CABLE_BYTES + KERNEL_UNSENT_BYTES + MTU_BYTES  # The kernel takes whole segments.
BACKLOG: Final = 100  # 80 s on this cable.
TEXT_BYTES: Final = 200
WITHIN_S: Final = 45.0


def homes_with_backlog(folder: Path) -> tuple[Path, Path, int]:
    """Ayesha's and Bilal's, who know each other, and the size of each entry that she holds for him."""
    ours, theirs = make_homes(folder, "Ayesha", "Bilal")
    now_ms = time.time_ns() // 1_000_000
    with Home.open(ours) as ayesha, Home.open(theirs) as bilal:
        meet(ayesha, bilal, now_ms=now_ms)
        post_many(ayesha, "Bilal", BACKLOG, TEXT_BYTES)
        first = ayesha.store.entry(LogId(ayesha.identity.feed, 1), 0)
        assert first is not None
        return ours, theirs, len(pack(first))


@pytest.mark.needs_hosts
def test_an_sos_written_behind_a_backlog_waits_for_what_is_under_way_and_one_run(tmp_path: Path) -> None:
    ours, theirs, entry_bytes = homes_with_backlog(tmp_path / "homes")
    with NetworkHosts(["a", "b"]) as hosts:
        hosts.connect("a", "b", rate=RATE)
        a = Device(hosts, "a", "Ayesha", tmp_path / "a", home=ours)
        b = Device(hosts, "b", "Bilal", tmp_path / "b", home=theirs)
        a.start("listen:7337")
        b.start(f"tcp:{hosts.address('a', 'b')}:7337")
        b.await_event("message", BACKLOG // 4, WITHIN_S)

        sos = a.send("Bilal", "The school is under water.", "--priority", "sos")
        before = len(b.events("message"))

        def arrived() -> list[Answer] | None:
            come = b.events("message")
            return come if any(word(message, "id") == sos for message in come) else None

        order = [word(message, "id") for message in until("the SOS arrives", arrived, WITHIN_S)]
        overtaken_by = order.index(sos) - before
        print(f"{overtaken_by} of the {BACKLOG - before} messages that waited came before the SOS")
        assert overtaken_by <= RUN_ENTRIES_MAX + UNDER_WAY_BYTES // entry_bytes
