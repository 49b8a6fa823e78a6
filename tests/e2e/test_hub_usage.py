"""Two hubs and a stick: whatever way entries come and however often, both have the same accounts."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beepmesh.home import Home
from beepmesh.testing import admit
from tests.e2e.test_bundles import Device

TEXTS = ("The ford is deep.", "Two families on a roof.", "Send the next carts by the upper bridge. " * 20)


def organisation(folder: Path) -> dict[str, Device]:
    """Headquarters and its relay, and two people of different departments."""
    now_ms = time.time_ns() // 1_000_000
    with Home.found(folder / "Hub", "Flood Cell", "Hub", None, now_ms) as founder:
        for name, department, role in (
            ("Relay", "", "relay"),
            ("Ayesha", "health/field", "field"),
            ("Bilal", "police", "field"),
        ):
            admit(founder, folder / name, name, now_ms=now_ms, roles=(role,), department=department).close()
    return {name: Device(folder / name) for name in ("Hub", "Relay", "Ayesha", "Bilal")}


@contextmanager
def hub_of(device: Device, *words: str) -> Iterator[str]:
    """How others dial it while it runs."""
    process = device.popen("hub", "--listen", "127.0.0.1:0", *words)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield f"hub:https://{ready['addresses'][0]}#{ready['pin']}"
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


def rows(device: Device) -> dict[str, dict[str, Any]]:
    found = device.one("hub", "usage")
    assert found["late"] == []
    return {row.pop("department"): row for row in found["rows"]}


def test_one_bundle_ten_times_and_through_two_hubs_changes_no_accounts(tmp_path: Path) -> None:
    cell = organisation(tmp_path / "homes")
    hub, relay, ayesha, bilal = cell.values()
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    for _ in range(2):
        for device in cell.values():
            device.one("sync", f"bundle:{first}")
    for text in TEXTS:
        ayesha.one("send", "Hub", text)
        bilal.one("send", "Ayesha", text)
    for device in (ayesha, bilal):
        device.one("export", second)
    hub.one("import", second)
    before = hub.one("hub", "usage"), hub.asks("inbox", "--keep-unread")
    assert [message["intake"].rpartition("-")[2] for message in before[1]] == ["1", "2", "3"]
    for _ in range(10):
        hub.one("import", second)
    assert (hub.one("hub", "usage"), hub.asks("inbox", "--keep-unread")) == before
    hub.one("export", second)  # With the tokens of what was opened there.
    for _ in range(3):
        relay.one("import", second)
    relay.one("export", second)
    hub.one("import", second)
    assert rows(relay) == rows(hub)
    assert rows(hub)["health"]["entries"] > len(TEXTS)
    assert rows(hub)["police"]["feeds"] == 1

    with hub_of(hub) as spec, hub_of(relay, "--link", spec):
        for device in (ayesha, bilal):
            device.one("sync", spec)
        ayesha.one("send", "Bilal", "Over the internet, too.", "--priority", "urgent")
        ayesha.one("sync", spec)
        deadline = time.monotonic() + 60
        while (found := hub.one("hub", "usage"))["digest"] != relay.one("hub", "usage")["digest"]:
            assert time.monotonic() < deadline, (rows(hub), rows(relay))
            time.sleep(0.5)
        while not hub.one("hub", "usage")["relayed"]:
            assert time.monotonic() < deadline, "it has sent something to the relay"
            time.sleep(0.5)
    assert rows(relay) == rows(hub)
    assert hub.one("hub", "usage")["digest"] == found["digest"]

    signed = tmp_path / "month.usage"
    relay.one("hub", "usage", "--sign", str(signed))
    checked = ayesha.one("hub", "usage", "--check", str(signed))
    assert (checked["signer"], checked["digest"]) == ("Relay", hub.one("hub", "usage")["digest"])
    signed.write_bytes(signed.read_bytes()[:-1] + b"\x00")
    with ayesha.popen("hub", "usage", "--check", str(signed)) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was changed after it was signed" in err
