"""Certificates and revocations: who is believed, and everything that is not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.crypto import certificates
from beepmesh.crypto.certificates import (
    CERTIFICATE_BYTES_MAX,
    CUTS_MAX,
    DAY_S,
    GRACE_S,
    REVOCATION_BYTES_MAX,
    DeviceCertificate,
    RegistrarCertificate,
    check_device,
    check_feed,
    check_registrar,
    check_revocation,
    department_code,
    issue_device,
    issue_feed,
    issue_registrar,
    issue_revocation,
    key_id,
    public_id,
    to_be_signed,
)
from beepmesh.crypto.names import ROLES, covers, department_problem, name_problem
from beepmesh.crypto.primitives import SIGNATURE_BYTES, AgreementKey, SigningKey, verify
from beepmesh.errors import Refused, Usage
from sync.cbor import decode, encode
from tests.crypto.devices import NOW_S, seed

VECTORS = Path(__file__).parents[1] / "vectors"
ROOT, REGISTRAR, OTHER = SigningKey(seed("root")), SigningKey(seed("registrar")), SigningKey(seed("other"))
DEVICE, LINK, FEED = SigningKey(seed("device")), AgreementKey(seed("link")), SigningKey(seed("feed"))
YEAR_S = 365 * DAY_S
REASONS = {"certificate-malformed", "certificate-signature", "certificate-issuer", "certificate-scope"}


def registrar_data(
    root: SigningKey = ROOT,
    registrar: SigningKey = REGISTRAR,
    departments: tuple[str, ...] = ("flood", "health/field"),
    roles: tuple[str, ...] = ("lead", "field", "relay"),
) -> bytes:
    return issue_registrar(
        root,
        registrar_public=registrar.public,
        departments=departments,
        roles=roles,
        not_before=NOW_S,
        expires=NOW_S + YEAR_S,
        serial=b"registra",
    )


def device_data(
    registrar: SigningKey = REGISTRAR,
    name: str = "Ayesha Khan",
    department: str = "flood/swat",
    roles: tuple[str, ...] = ("field", "relay"),
    link_public: bytes = LINK.public,
) -> bytes:
    return issue_device(
        registrar,
        person=b"p" * 16,
        device_public=DEVICE.public,
        link_public=link_public,
        name=name,
        department=department,
        roles=roles,
        not_before=NOW_S,
        expires=NOW_S + 90 * DAY_S,
        serial=b"device-1",
    )


def feed_data(registrar: SigningKey = REGISTRAR, department: bytes = b"") -> bytes:
    return issue_feed(
        registrar,
        feed_public=FEED.public,
        not_before=NOW_S,
        expires=NOW_S + 90 * DAY_S,
        serial=b"feed-001",
        department=department,
    )


def revocation_data(registrar: SigningKey = REGISTRAR, reason: str = "lost at the ford") -> bytes:
    return issue_revocation(
        registrar,
        device=public_id(DEVICE.public),
        serial=b"device-1",
        time=NOW_S + 5,
        reason=reason,
        cuts=((public_id(DEVICE.public), 0, 12), (public_id(FEED.public), 1, -1)),
    )


def the_registrar() -> RegistrarCertificate:
    return check_registrar(registrar_data(), ROOT.public)


def refused(data: bytes, check: str) -> str:
    checks: dict[str, Callable[[], object]] = {
        "registrar": lambda: check_registrar(data, ROOT.public),
        "device": lambda: check_device(data, the_registrar()),
        "feed": lambda: check_feed(data, the_registrar(), public_id(ROOT.public)),
        "revocation": lambda: check_revocation(data, the_registrar()),
    }
    with pytest.raises(Refused) as caught:
        checks[check]()
    assert caught.value.reason in REASONS
    return caught.value.reason


def resigned(data: bytes, change: dict[Any, Any], label: bytes, drop: tuple[int, ...] = ()) -> bytes:
    """The same statement with other claims, correctly signed: what a hostile registrar could send."""
    protected, unprotected, payload, _ = _list(decode(data[1:], bytes_max=4096))
    claims = decode(payload, bytes_max=4096)
    assert isinstance(claims, dict)
    changed = encode({key: value for key, value in {**claims, **change}.items() if key not in drop})
    signature = REGISTRAR.sign(to_be_signed(protected, label, changed))
    return b"\xd2" + encode([protected, unprotected, changed, signature])


def _list(value: object) -> list[Any]:
    assert isinstance(value, list)
    return value


def test_what_is_issued_is_what_is_checked() -> None:
    registrar = the_registrar()
    assert registrar == RegistrarCertificate(
        not_before=NOW_S,
        expires=NOW_S + YEAR_S,
        public=REGISTRAR.public,
        departments=("flood", "health/field"),
        roles=("lead", "field", "relay"),
        serial=b"registra",
        data=registrar_data(),
    )
    assert check_device(device_data(), registrar) == DeviceCertificate(
        not_before=NOW_S,
        expires=NOW_S + 90 * DAY_S,
        device=public_id(DEVICE.public),
        person=b"p" * 16,
        public=DEVICE.public,
        link_public=LINK.public,
        name="Ayesha Khan",
        department="flood/swat",
        roles=("field", "relay"),
        serial=b"device-1",
        issuer=key_id(REGISTRAR.public),
        data=device_data(),
    )
    revocation = check_revocation(revocation_data(), registrar)
    assert revocation.cuts == ((public_id(DEVICE.public), 0, 12), (public_id(FEED.public), 1, -1))
    assert (revocation.time, revocation.reason, revocation.serial) == (NOW_S + 5, "lost at the ford", b"device-1")


def test_a_feed_certificate_names_nobody_and_no_hour() -> None:
    feed = check_feed(feed_data(), the_registrar(), public_id(ROOT.public))
    assert feed.feed == public_id(FEED.public)
    assert feed.not_before % DAY_S == feed.expires % DAY_S == 0
    assert feed.not_before <= NOW_S < NOW_S + 90 * DAY_S <= feed.expires < NOW_S + 91 * DAY_S
    assert not any(secret in feed.data for secret in (DEVICE.public, LINK.public, b"p" * 16, b"device-1"))


def test_the_sizes_are_the_designed_ones() -> None:
    assert len(device_data()) <= 290
    assert len(feed_data()) == 147
    longest = device_data(name="ن" * 64, department="/".join(["flood", "ن" * 61]), roles=("field", "relay", "lead"))
    assert len(longest) < CERTIFICATE_BYTES_MAX
    cuts = tuple((seed(str(number))[:16], 255, 2**32 - 1) for number in range(CUTS_MAX))
    most = issue_revocation(REGISTRAR, device=b"d" * 16, serial=b"s" * 8, time=2**40, reason="ن" * 100, cuts=cuts)
    assert len(most) <= REVOCATION_BYTES_MAX
    assert check_revocation(most, the_registrar()).cuts == cuts


def test_the_signed_structure_is_that_of_the_published_cose_example() -> None:
    example = json.loads((VECTORS / "crypto" / "cose_eddsa-sig-01.json").read_text())
    cose = bytes.fromhex(example["output"]["cbor"])
    assert cose[:1] == b"\xd2"
    protected, _, payload, signature = _list(decode(cose[1:], bytes_max=4096))
    signed = to_be_signed(protected, b"", payload)
    assert signed == bytes.fromhex(example["intermediates"]["ToBeSign_hex"])
    key = SigningKey(bytes.fromhex(example["input"]["sign0"]["key"]["d_hex"]))
    assert key.sign(signed) == signature
    assert verify(key.public, signed, signature)


@pytest.mark.parametrize(
    ("check", "data"),
    [
        ("registrar", registrar_data()),
        ("device", device_data()),
        ("feed", feed_data()),
        ("revocation", revocation_data()),
    ],
)
def test_a_flipped_bit_anywhere_is_refused_with_a_named_reason(check: str, data: bytes) -> None:
    seen = set()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        seen.add(refused(bytes(changed), check))
        refused(data[:at], check)
    assert {"certificate-malformed", "certificate-signature", "certificate-issuer"} <= seen
    assert refused(data + b"\0", check) == "certificate-malformed"


def test_a_certificate_from_another_organisation_or_registrar_is_refused() -> None:
    assert refused(registrar_data(root=OTHER), "registrar") == "certificate-issuer"
    assert refused(device_data(registrar=OTHER), "device") == "certificate-issuer"
    assert refused(feed_data(registrar=OTHER), "feed") == "certificate-issuer"
    assert refused(revocation_data(registrar=OTHER), "revocation") == "certificate-issuer"


def test_the_right_issuer_named_over_a_wrong_signature_is_refused() -> None:
    protected, unprotected, payload, _ = _list(decode(device_data()[1:], bytes_max=4096))
    signature = OTHER.sign(to_be_signed(protected, certificates.DEVICE_LABEL, payload))
    forged = b"\xd2" + encode([protected, unprotected, payload, signature])
    assert refused(forged, "device") == "certificate-signature"


def test_a_registrar_cannot_make_registrars() -> None:
    assert refused(registrar_data(root=REGISTRAR, registrar=OTHER), "registrar") == "certificate-issuer"


def test_one_kind_of_statement_is_never_another() -> None:
    kinds = {"device": device_data(), "feed": feed_data(), "revocation": revocation_data()}
    for check in kinds:
        for kind, data in kinds.items():
            if kind != check:
                assert refused(data, check) == "certificate-malformed"
    moved = resigned(device_data(), {}, certificates.FEED_LABEL)
    assert refused(moved, "device") == "certificate-signature"


@pytest.mark.parametrize("department", ["", "health", "floodplain", "fl", "health/fieldwork", "logistics"])
def test_a_registrar_grants_no_department_but_its_own(department: str) -> None:
    assert refused(device_data(department=department), "device") == "certificate-scope"


@pytest.mark.parametrize("department", ["flood", "flood/swat/kalam", "health/field", "health/field/east"])
def test_a_registrar_grants_its_departments_and_what_is_below(department: str) -> None:
    assert check_device(device_data(department=department), the_registrar()).department == department


@pytest.mark.parametrize("roles", [("hq",), ("registrar",), ("field", "hq")])
def test_a_registrar_grants_no_role_but_its_own(roles: tuple[str, ...]) -> None:
    assert refused(device_data(roles=roles), "device") == "certificate-scope"


def test_the_whole_organisation_covers_everything_and_is_covered_by_nothing_less() -> None:
    everything = check_registrar(registrar_data(departments=("",), roles=ROLES), ROOT.public)
    assert check_device(device_data(department="", roles=("hq",)), everything).roles == ("hq",)
    assert covers(("",), "flood/swat")
    assert not covers(("flood",), "")
    assert not covers((), "flood")


def test_validity_is_a_question_of_the_given_time() -> None:
    certificate = check_device(device_data(), the_registrar())
    start, end = NOW_S, NOW_S + 90 * DAY_S
    assert [certificate.valid_at(at) for at in (0, start - 1, start, end - 1, end, 4_102_444_800)] == [
        False, False, True, True, False, False,
    ]  # fmt: skip
    graces = (start - 1, start, end, end + GRACE_S - 1, end + GRACE_S)
    assert [certificate.usable_at(at) for at in graces] == [False, True, True, True, False]


@pytest.mark.parametrize(
    "name",
    ["Ayesha", "عائشہ خان", "نیشنل\u200cپارک", "👩‍🚒 Sara", "O'Neil-Ö 2", "李雷", "آفتاب احمد", "🇵🇰", "x" * 64],
)
def test_names_of_many_scripts_are_names(name: str) -> None:
    assert name_problem(name) is None
    assert check_device(device_data(name=name), the_registrar()).name == name


BAD_NAMES = [
    "", " ", " Ali", "Ali ", "Ali\n", "A\x00li", "A\x1b[31mli", "A\u202eli", "A\u200bli", "Ali\u200c", "\u200dAli",
    "A\u2028li", "A\ufeffli", "e\u0301", "x" * 65, "👩" * 33, "\u0301", "\u00a0Ali", "\ud800", "\u2066Ali\u2069",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_hides_something_is_refused_on_both_sides(name: str) -> None:
    assert name_problem(name) is not None
    with pytest.raises(Usage, match="cannot be a name"):
        device_data(name=name)
    if name != "\ud800":
        changed = resigned(device_data(), {-70003: name}, certificates.DEVICE_LABEL)
        assert refused(changed, "device") == "certificate-malformed"


@pytest.mark.parametrize(
    "department", ["/", "flood/", "/flood", "a//b", "a/ b", "a/b\n", "x" * 129, "a/b/c/d/e/f/g/h/i"]
)
def test_a_department_that_is_no_path_is_refused_on_both_sides(department: str) -> None:
    assert department_problem(department) is not None
    with pytest.raises(Usage, match="cannot be a department"):
        device_data(department=department)
    changed = resigned(device_data(), {-70004: department}, certificates.DEVICE_LABEL)
    assert refused(changed, "device") == "certificate-malformed"


@pytest.mark.parametrize("roles", [(), ("field", "field"), ("Field",), ("a b",), ("x" * 17,), tuple("abcdefghi")])
def test_roles_that_are_none_are_refused_on_both_sides(roles: tuple[str, ...]) -> None:
    with pytest.raises(Usage, match="cannot be the roles"):
        device_data(roles=roles)
    changed = resigned(device_data(), {-70005: list(roles)}, certificates.DEVICE_LABEL)
    assert refused(changed, "device") == "certificate-malformed"


def test_a_reason_is_one_plain_line_on_both_sides() -> None:
    assert check_revocation(revocation_data(reason="گم\u200cشدہ"), the_registrar()).reason == "گم\u200cشدہ"
    assert check_revocation(revocation_data(reason=""), the_registrar()).reason == ""
    for reason in ("two\nlines", "x" * 201, "\x1b[2J"):
        with pytest.raises(Usage, match="A reason"):
            revocation_data(reason=reason)
        changed = resigned(revocation_data(), {-70032: reason}, certificates.REVOCATION_LABEL)
        assert refused(changed, "revocation") == "certificate-malformed"


@pytest.mark.parametrize(
    "change",
    [
        {4: NOW_S},
        {4: NOW_S - 1},
        {5: -1},
        {4: 2**41},
        {4: True},
        {5: "soon"},
        {2: b"short"},
        {7: b"123456789"},
        {-70001: b"k" * 31},
        {-70002: bytes(32)},  # X25519 of low order: its agreement would be known to everybody
        {-70003: None},
        {-70005: "field"},
        {-70006: 1},
        {-70999: 1},
        {8: 1},
        {"x": 1},
    ],
)
def test_a_signed_certificate_of_the_wrong_shape_is_refused(change: dict[Any, Any]) -> None:
    assert refused(resigned(device_data(), change, certificates.DEVICE_LABEL), "device") == "certificate-malformed"


@pytest.mark.parametrize("label", [1, 2, 4, 5, 7, -70001, -70002, -70003, -70004, -70005])
def test_a_missing_claim_is_refused(label: int) -> None:
    changed = resigned(device_data(), {}, certificates.DEVICE_LABEL, drop=(label,))
    assert refused(changed, "device") == "certificate-malformed"


def test_additions_that_an_older_reader_may_ignore_are_ignored() -> None:
    changed = resigned(device_data(), {-71000: [1, 2], -80000: "later"}, certificates.DEVICE_LABEL)
    assert check_device(changed, the_registrar()).name == "Ayesha Khan"


def test_too_many_cuts_or_wrong_ones_are_refused() -> None:
    good = [b"f" * 16, 0, 5]
    for cuts in (
        [good] * (CUTS_MAX + 1),
        [[b"f" * 16, 0]],
        [[b"f", 0, 5]],
        [[b"f" * 16, 256, 5]],
        [[b"f" * 16, 0, -2]],
    ):
        changed = resigned(revocation_data(), {-70033: cuts}, certificates.REVOCATION_LABEL)
        assert refused(changed, "revocation") == "certificate-malformed"


def test_headers_are_exactly_ours() -> None:
    protected, _, payload, signature = _list(decode(device_data()[1:], bytes_max=4096))
    for forged in (
        [encode({1: -8}), {}, payload, signature],
        [protected, {4: b"kid"}, payload, signature],
        [protected, {}, payload, signature, b""],
        [protected, {}, [payload], signature],
        [protected, {}, payload, signature[:-1]],
        {"not": "a list"},
    ):
        assert refused(b"\xd2" + encode(forged), "device") == "certificate-malformed"
    assert refused(device_data()[1:], "device") == "certificate-malformed"
    assert refused(b"", "device") == "certificate-malformed"


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for check in ("registrar", "device", "feed", "revocation"):
        refused(data, check)
        refused(b"\xd2" + data, check)


@given(st.dictionaries(st.integers(-70040, 8) | st.booleans(), st.integers() | st.binary() | st.text(), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_signed_claims_are_refused_and_nothing_else_happens(claims: dict[Any, Any]) -> None:
    try:
        payload = encode({1: key_id(REGISTRAR.public), **claims})
    except ValueError:
        return  # An integer that CBOR here does not hold.
    protected = encode({1: -19})
    for label, check in ((certificates.DEVICE_LABEL, "device"), (certificates.FEED_LABEL, "feed")):
        signature = REGISTRAR.sign(to_be_signed(protected, label, payload))
        assert len(signature) == SIGNATURE_BYTES
        refused(b"\xd2" + encode([protected, {}, payload, signature]), check)


def test_a_feed_certificate_may_name_a_department_by_its_code() -> None:
    accounts = json.loads((VECTORS / "own" / "accounts.json").read_text())
    org, code = bytes.fromhex(accounts["org"]), bytes.fromhex(accounts["code"])
    assert (
        department_code(org, accounts["department"]) == public_id(b"beepmesh/department/1" + org + b"flood")[:4] == code
    )
    assert feed_data(department=code).hex() == accounts["certificate"]
    assert check_feed(bytes.fromhex(accounts["certificate"]), the_registrar(), org).department == code
    assert (
        check_feed(feed_data(), the_registrar(), public_id(ROOT.public)).department == department_code(org, "") == b""
    )
    assert department_code(org, "flood") == department_code(org, "flood/lower/dir") != department_code(org, "floods")
    for wrong in (b"abc", b"abcde"):
        refused(feed_data(department=wrong), "feed")
    another_ones_department = department_code(org, "police")
    assert refused(feed_data(department=another_ones_department), "feed") == "certificate-scope"
    whole = check_registrar(registrar_data(departments=("",)), ROOT.public)
    assert check_feed(feed_data(department=another_ones_department), whole, org).department == another_ones_department


def test_a_published_certificate_is_issued_and_checked_as_written_down() -> None:
    vectors = json.loads((VECTORS / "own" / "certificates.json").read_text())
    root = SigningKey(bytes.fromhex(vectors["root_seed"]))
    registrar = check_registrar(bytes.fromhex(vectors["registrar"]["certificate"]), root.public)
    checks = (
        ("device", check_device),
        ("feed", partial(check_feed, org=public_id(root.public))),
        ("revocation", check_revocation),
    )
    for kind, check in checks:
        data = bytes.fromhex(vectors[kind]["certificate"])
        found = dataclasses.asdict(check(data, registrar))
        shown = json.loads(json.dumps(found, default=lambda value: value.hex()))
        newer = {"department": ""} if kind == "feed" else {}
        assert shown == {**newer, **vectors[kind]["fields"], "data": data.hex()}
    signer = SigningKey(bytes.fromhex(vectors["registrar_seed"]))
    fields = vectors["device"]["fields"]
    again = issue_device(
        signer,
        person=bytes.fromhex(fields["person"]),
        device_public=bytes.fromhex(fields["public"]),
        link_public=bytes.fromhex(fields["link_public"]),
        name=fields["name"],
        department=fields["department"],
        roles=tuple(fields["roles"]),
        not_before=fields["not_before"],
        expires=fields["expires"],
        serial=bytes.fromhex(fields["serial"]),
    )
    assert again.hex() == vectors["device"]["certificate"]
