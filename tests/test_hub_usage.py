"""A month's accounts by department, the statement that is signed, and what passes on a hub's links."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beepmesh import desk
from beepmesh.crypto.certificates import department_code, public_id
from beepmesh.crypto.primitives import SigningKey
from beepmesh.errors import Refused
from beepmesh.events import LinkUp, PeerLeft
from beepmesh.home import Home
from beepmesh.hub.passing import Passing
from beepmesh.hub.usage import Late, Month, Row, check, month_at, signed, total
from beepmesh.port import Traffic
from beepmesh.store.accounting import month_of, month_of_text
from sync import cbor
from tests.homes import DAY_MS, NOW_MS, founded, joined, meet

MONTH = month_of(NOW_MS)
VECTORS = Path(__file__).parent / "vectors" / "own"


@pytest.fixture
def hub(tmp_path: Path) -> Home:
    return founded(tmp_path / "hub")


def member(hub: Home, name: str, department: str, *roles: str) -> Home:
    return joined(hub.path.parent / name, hub, name, department=department, roles=roles or ("field",))


def entries(found: Month) -> dict[str, int]:
    return {row.department: row.entries for row in found.rows}


def test_what_each_department_wrote_is_told_at_every_hub_alike(hub: Home) -> None:
    relay = member(hub, "Relay", "", "relay")
    lab, field, police = (
        member(hub, name, department)
        for name, department in (("Lab", "health/lab"), ("Field", "health/field"), ("Police", "police"))
    )
    meet(hub, relay, lab, field, police, now_ms=NOW_MS)
    before = entries(month_at(hub, MONTH))
    for home, count in ((lab, 3), (field, 2), (police, 1)):
        for number in range(count):
            desk.send(home, "Ayesha Khan", f"Report {number}", now_ms=NOW_MS)
    meet(relay, lab, now_ms=NOW_MS)
    meet(hub, field, police, relay, now_ms=NOW_MS)
    meet(hub, relay, now_ms=NOW_MS)
    found = month_at(hub, MONTH)
    assert {name: count - before[name] for name, count in entries(found).items() if name} == {"health": 5, "police": 1}
    assert {row.department: row.feeds for row in found.rows if row.department} == {"health": 2, "police": 1}
    assert month_at(relay, MONTH).payload == found.payload
    assert b"Report" not in found.payload
    assert total(found.rows).entries == sum(entries(found).values())


def test_what_comes_late_stands_apart_with_the_month_of_its_date(hub: Home) -> None:
    police = member(hub, "Police", "police")
    meet(hub, police, now_ms=NOW_MS)
    before = month_at(hub, MONTH)
    desk.send(police, "Ayesha Khan", "From the valley", now_ms=NOW_MS)
    later_ms = NOW_MS + 45 * DAY_MS
    meet(hub, police, now_ms=later_ms)
    assert month_at(hub, MONTH) == before
    late = month_at(hub, month_of(later_ms)).late
    assert [(each.department, each.month) for each in late] == [("police", MONTH)]


def test_a_code_that_no_known_department_has_is_shown_as_it_is(hub: Home) -> None:
    police = member(hub, "Police", "police")
    meet(hub, police, now_ms=NOW_MS)
    code = department_code(hub.identity.org, "police")
    names = {row.department for row in month_at(hub, MONTH).rows}
    assert "police" in names
    statement = signed(
        hub, cbor.encode([1, hub.identity.org, MONTH, [[b"\x00" * 4, 1, 2, 3, 4, 5], [code, 5, 6, 7, 8, 9]]])
    )
    rows = sorted(check(hub, statement).rows)
    assert rows == sorted([Row("00000000", 1, 2, 3, 4, 5), Row("police", 5, 6, 7, 8, 9)])


def test_a_statement_tells_who_signed_it_to_everybody_of_the_organisation(hub: Home) -> None:
    police = member(hub, "Police", "police")
    meet(hub, police, now_ms=NOW_MS)
    found = month_at(hub, MONTH)
    checked = check(police, signed(hub, found.payload))
    assert (checked.signer, checked.device, checked.month) == ("Ayesha Khan", hub.identity.device, MONTH)
    assert (checked.rows, checked.digest) == (found.rows, found.digest)


def test_a_published_statement_is_signed_and_read_as_written_down(hub: Home) -> None:
    accounts = json.loads((VECTORS / "accounts.json").read_text())
    payload, statement = bytes.fromhex(accounts["payload"]), bytes.fromhex(accounts["statement"])
    device = SigningKey(bytes.fromhex(accounts["device_seed"]))
    signature = device.sign(b"beepmesh/usage-statement/1" + payload)
    assert statement == cbor.encode([payload, public_id(device.public), signature])
    code = bytes.fromhex(accounts["code"])
    read = [1, bytes.fromhex(accounts["org"]), month_of_text("2026-11")]
    assert payload == cbor.encode([*read, [[b"", 1, 5, 12, 3_456, 829_440], [code, 2, 33, 40, 61_500, 20_664_000]]])
    with pytest.raises(Refused, match="statement-foreign"):
        check(hub, statement)


def test_a_statement_that_is_none_is_refused_by_name(hub: Home, tmp_path: Path) -> None:
    payload, org = month_at(hub, MONTH).payload, hub.identity.org
    good = signed(hub, payload)

    def reason(statement: bytes) -> str:
        with pytest.raises(Refused) as caught:
            check(hub, statement)
        return caught.value.reason

    fields = cbor.decode(good, bytes_max=10_000)
    assert isinstance(fields, list)
    assert reason(cbor.encode([cbor.encode([1, org, MONTH + 1, []]), *fields[1:]])) == "statement-signature"
    assert reason(cbor.encode([payload, bytes(16), fields[2]])) == "statement-signer"
    police = member(hub, "Police", "police")
    meet(hub, police, now_ms=NOW_MS)
    assert reason(signed(police, payload)) == "statement-signer", "no accountant"
    elsewhere = founded(tmp_path / "elsewhere")
    assert reason(signed(elsewhere, month_at(elsewhere, MONTH).payload)) == "statement-foreign"
    for row in (
        [b"abcd", 1, 2, 3, 4],
        [b"abc", 1, 2, 3, 4, 5],
        [b"abcd", -1, 2, 3, 4, 5],
        [b"abcd", True, 2, 3, 4, 5],
        "row",
    ):
        assert reason(signed(hub, cbor.encode([1, org, MONTH, [row]]))) == "statement-malformed"
    twice = [[b"abcd", 1, 2, 3, 4, 5]] * 2
    assert reason(signed(hub, cbor.encode([1, org, MONTH, twice]))) == "statement-malformed"
    for wrong in (b"", b"\xa0", good[:-1], good + b"\x00", cbor.encode([payload, fields[1]]), bytes(2_000_000)):
        assert reason(wrong) == "statement-malformed"


@given(st.binary(max_size=200))
def test_any_bytes_are_no_statement(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    home = _shared_home(tmp_path_factory)
    with pytest.raises(Refused, match="statement-malformed"):
        check(home, data)


_kept: list[Home] = []


def _shared_home(factory: pytest.TempPathFactory) -> Home:
    if not _kept:
        _kept.append(founded(factory.mktemp("accounts") / "hub"))
    return _kept[0]


def test_late_ones_are_sums_too() -> None:
    assert Late("health", MONTH, 2, 300)._asdict() == {
        "department": "health",
        "month": MONTH,
        "entries": 2,
        "bytes": 300,
    }


def test_bytes_are_told_once_for_each_device_however_often_its_links_end() -> None:
    one, other = b"1" * 16, b"2" * 16
    passed = {1: Traffic(2, 100, 1, 50), 2: Traffic(3, 30, 0, 0)}
    peers = {one: LinkUp(1, False, "hub", "", 1_000, ()), other: LinkUp(2, False, "hub", "", 1_000, ())}
    passing = Passing(lambda: peers, lambda link: passed[link])
    assert passing.take() == {one: 100, other: 30}
    passed[1] = Traffic(4, 160, 1, 60)
    assert passing.entries() == (7, 1)
    del peers[one]
    passing.told(PeerLeft(1, one, "link-ended"))
    peers[one] = LinkUp(3, False, "hub", "", 1_000, ())
    passed[3] = Traffic(0, 7, 0, 0)
    assert passing.entries() == (7, 1)
    assert passing.take() == {one: 67}
    assert passing.take() == {}
