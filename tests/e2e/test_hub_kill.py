"""`kill -9` of headquarters' hub while messages come in: nothing accepted is lost, no intake number is given twice.

Three members send as fast as their disks take it, each over a node of their own that knows nothing but the hub. In each
round the hub is killed once it has taken something in, at a moment of chance, and started again at once; now and then
it is killed again before it is up. `make kill` plays 20 rounds. The seed is printed; BEEPMESH_KILL_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from beepmesh.demo.device import Device, until
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.home import Home
from beepmesh.store.contract import MessageQuery
from beepmesh.testing import make_homes
from tests.e2e.test_hub import HubOnLoopback
from tests.e2e.test_kill import (
    Writer,
    assert_numbered,
    assert_shown_once,
    await_arrival,
    await_receipts,
    chosen_seed,
)

ROUNDS = int(os.environ.get("BEEPMESH_HUB_KILL_ROUNDS", "3"))
HQ, *MEMBERS = "Amina", "Ayesha", "Bilal", "Dawood"
INGEST_S = 60.0
"""A member that found no hub waits for up to 8 s before it tries again, and this machine may be busy."""
CATCH_UP_S = 60.0 + 12 * ROUNDS
"""Three writers are faster than a hub that is killed all the time: some 250 messages a round wait at the end."""


def intake(path: Path) -> dict[bytes, int]:
    """The number that each message was given."""
    with Home.open(path) as home:
        found = home.store.messages(MessageQuery(direction="in", limit=10**6))
        return {message.row.message_id: message.intake for message in found}


def kill_during_ingest(hub: HubOnLoopback, chance: random.Random) -> None:
    until("the hub takes messages in", lambda: hub.device.events("message"), INGEST_S)
    time.sleep(chance.uniform(0, 0.8))  # The moment of the kill: what this test is about.
    assert hub.device.is_on, hub.device.complaint()
    hub.device.kill()
    while chance.random() < 0.25:
        hub.device.launch_hub("--listen", hub.address)
        time.sleep(chance.uniform(0, 1))
        hub.device.kill()


@pytest.mark.timeout(300 + 90 * ROUNDS)
def test_a_hub_that_is_killed_while_it_takes_in_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(chosen_seed(ROUNDS))
    homes = make_homes(tmp_path / "homes", HQ, *MEMBERS)
    with LoopbackHosts(["here"]) as hosts:
        hq, *members = (
            Device(hosts, "here", person, tmp_path / person, home=home)
            for person, home in zip((HQ, *MEMBERS), homes, strict=True)
        )
        hub = HubOnLoopback(hq)
        for member in members:
            member.start(hub.spec)
        until("all know headquarters", lambda: all(member.knows(HQ) for member in members))

        writers = [Writer(member.home, HQ, member.person.lower(), tmp_path) for member in members]
        for writer in writers:
            writer.start()
        numbers: dict[bytes, int] = {}
        for _ in range(ROUNDS):
            kill_during_ingest(hub, chance)
            now = intake(hq.home)
            assert now.items() >= numbers.items(), "what was numbered is still here, under the same number"
            numbers = now
            hub.again()
        for writer in writers:
            writer.kill()

        accepted = [writer.accepted() for writer in writers]
        print(f"{ROUNDS} kills; accepted: {list(map(len, accepted))}; {len(numbers)} were in at the last kill")
        await_arrival([text for one in accepted for text in one], hq, CATCH_UP_S)
        for member, texts in zip(members, accepted, strict=True):
            await_receipts(texts, member, CATCH_UP_S)
        assert_shown_once(hq)
        assert_numbered(hq)
        for device in (*members, hq):
            assert device.stop() == 0, device.complaint()
            with Home.open(device.home) as home:
                assert home.store.frozen() == set(), "no node has said two things at once"
