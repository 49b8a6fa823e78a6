"""who, revoke and peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from beepmesh.home import Home
from beepmesh.store.contract import Peer
from tests.cli.conftest import AYESHA, BILAL, now_ms
from tests.cli.typing_in import Person


def people(person: Person) -> dict[str, dict[str, object]]:
    listed = cast("list[dict[str, object]]", person.asks("who")["people"])
    return {str(one["name"]): one for one in listed}


def test_who_lists_everybody_with_exactly_the_promised_fields(ayesha: Person, bilal: Person) -> None:
    known = people(ayesha)
    assert set(known) == {AYESHA, BILAL}
    assert known[BILAL] == {
        "name": BILAL,
        "person": known[BILAL]["person"],
        "department": "flood/swat",
        "roles": ["field"],
        "devices": 1,
        "reachable": True,
        "revoked": False,
        "expired": False,
        "me": False,
    }
    assert known[AYESHA]["me"] is True
    assert people(bilal)[BILAL]["me"] is True


def test_who_for_people_is_a_table(ayesha: Person, bilal: Person) -> None:
    lines = ayesha.types("who").out.splitlines()
    assert lines[0].split() == ["name", "department", "roles"]
    assert any(line.startswith(BILAL) and "flood/swat" in line for line in lines)


def test_revoking_asks_first_and_takes_only_a_yes(ayesha: Person, bilal: Person) -> None:
    done = ayesha.types("revoke", BILAL, stdin=b"y\n", at_terminal=True)
    assert done.code == 1
    assert f"Shut out {BILAL} with 1 device" in done.err
    assert people(ayesha)[BILAL]["revoked"] is False
    assert ayesha.types("revoke", BILAL, stdin=b"yes\n", at_terminal=True).code == 0
    assert people(ayesha)[BILAL]["revoked"] is True


def test_revoking_without_a_person_needs_yes_to_be_said(
    ayesha: Person, bilal: Person, meeting: Callable[[], None]
) -> None:
    assert ayesha.types("revoke", BILAL, "--json").failure() == (2, "usage")
    assert ayesha.types("revoke", BILAL).code == 2
    assert people(ayesha)[BILAL]["revoked"] is False
    assert set(ayesha.asks("revoke", BILAL, "--yes")) == {"who", "devices", "feeds_cut"}
    assert ayesha.types("send", BILAL, "x", "--json").failure() == (1, "unknown-name")
    assert ayesha.types("revoke", BILAL, "--yes", "--json").failure() == (2, "usage")
    meeting()
    assert any("revoked" in str(trouble) for trouble in cast("list[str]", bilal.asks("status")["troubles"]))


def test_only_a_registrar_revokes_and_nobody_himself(ayesha: Person, bilal: Person) -> None:
    assert bilal.types("revoke", AYESHA, "--yes", "--json").failure() == (1, "not-allowed")
    assert ayesha.types("revoke", AYESHA, "--yes", "--json").failure() == (2, "usage")
    assert ayesha.types("revoke", "Bilaal", "--yes", "--json").failure() == (1, "unknown-name")


def test_peers_are_the_devices_met(ayesha: Person, bilal: Person) -> None:
    assert ayesha.asks("peers") == {"node": None, "peers": []}
    assert "No device has been met yet" in ayesha.types("peers").out
    with Home.open(ayesha.home) as home:
        device = bytes.fromhex(str(bilal.asks("status")["device"]))
        home.store.put_peer(Peer(device, now_ms(), "tcp", "192.0.2.7:7337\x1b[2J"))
    (peer,) = cast("list[dict[str, object]]", ayesha.asks("peers")["peers"])
    assert set(peer) == {"name", "device", "last_seen", "transport", "address"}
    assert peer["name"] == BILAL
    shown = ayesha.types("peers").out
    assert BILAL in shown
    assert "\x1b" not in shown
