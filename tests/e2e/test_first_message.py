"""From a fresh installation to the first delivered message between two machines, as somebody would type it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beepmesh.demo.device import until, word
from beepmesh.demo.hosts import NetworkHosts
from tests.e2e.places import device_in

WITHIN_S = 20


@pytest.mark.needs_hosts
def test_the_first_message_is_delivered_within_20_seconds(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with NetworkHosts(["a", "b"]) as hosts:
        hosts.connect("a", "b")
        a, b = device_in(hosts, "a", "Amina", tmp_path), device_in(hosts, "b", "Bilal", tmp_path)
        began = time.monotonic()
        a.found("Flood Cell Swat")
        a.start()
        b.join(a.invite())
        b.start()
        until(
            "the invitation's giver can be written to", lambda: b.call("send", "Amina", "We are here.").returncode == 0
        )
        a.await_event("message")
        seconds = time.monotonic() - began
        assert [word(message, "text") for message in a.inbox()] == ["We are here."]
    print(f"first message after {seconds:.1f} s")
    record_property("seconds", round(seconds, 2))
    assert seconds <= WITHIN_S
