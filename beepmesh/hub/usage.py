"""What a month cost: the sums of the store (store/accounting.py) by department, and a statement of them that is signed.

A statement is `[payload, device 16, signature 64]` in deterministic CBOR. The signature is the device's own key's, over
`"beepmesh/usage-statement/1" | payload`. The payload names nobody, and is the same byte for byte at any two that got
the same entries in time:

    payload = [1, organisation 16, month, [[department 4 or empty, feeds, messages, entries, bytes, byte-hours] ...]]

A month is 12 * year + month - 1.
The departments stand in the order of their codes (crypto/certificates.py), each once. What came too late for its month,
and what a hub has sent to its own devices, is that hub's alone to tell, and stands in no payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from beepmesh.crypto.certificates import DEPARTMENT_CODE_BYTES, ID_BYTES, department_code
from beepmesh.crypto.primitives import SIGNATURE_BYTES, sha256, verify
from beepmesh.errors import Refused
from beepmesh.home import ACCOUNTANTS, Home
from beepmesh.store.accounting import IN_TIME
from sync import cbor

STATEMENT_BYTES_MAX: Final = 1 << 20  # Twenty thousand departments.
_LABEL: Final = b"beepmesh/usage-statement/1"
_VERSION: Final = 1
_NUMBER_END: Final = 1 << 63


class Row(NamedTuple):
    """One department's sums; its name is "" for what belongs to none, and its code in hex where nobody knows a name."""

    department: str
    feeds: int
    """Those that wrote to somebody."""
    messages: int
    entries: int
    bytes: int
    byte_hours: int


class Late(NamedTuple):
    """What came in this month and counts for it, dated in `month`."""

    department: str
    month: int
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Month:
    """One month at one hub."""

    rows: tuple[Row, ...]
    late: tuple[Late, ...]
    relayed: tuple[tuple[str, int], ...]
    """By department, the bytes that this hub sent to devices of it."""
    payload: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.payload)


@dataclass(frozen=True, slots=True)
class Checked:
    """A statement whose signature is good, and who signed it."""

    month: int
    rows: tuple[Row, ...]
    signer: str
    device: bytes
    digest: str


def month_at(home: Home, month: int) -> Month:
    """What this home's store knows of that month. Raises StoreProblem."""
    codes, names = _codes(home), _names(home)
    sums: dict[bytes, list[int]] = {}
    late: dict[tuple[str, int], list[int]] = {}
    for usage in home.store.usage(month):
        code, is_message = codes.get(usage.feed, (b"", False))
        if usage.came == IN_TIME:
            writes = int(is_message and usage.messages > 0)
            _add(sums.setdefault(code, [0] * 5), writes, *usage[3:])
        else:
            _add(late.setdefault((_name(code, names), usage.month), [0, 0]), usage.entries, usage.bytes)
    sent: dict[str, list[int]] = {}
    for device, count in home.store.relayed(month).items():
        _add(sent.setdefault(_name(codes.get(device, (b"", False))[0], names), [0]), count)
    counted = sorted(sums.items())
    payload = cbor.encode([_VERSION, home.identity.org, month, [[code, *numbers] for code, numbers in counted]])
    return Month(
        tuple(Row(_name(code, names), *numbers) for code, numbers in counted),
        tuple(Late(*key, *numbers) for key, numbers in sorted(late.items())),
        tuple((name, count) for name, (count,) in sorted(sent.items())),
        payload,
    )


def signed(home: Home, payload: bytes) -> bytes:
    """The statement, by this device."""
    key = home.identity.device_key
    return cbor.encode([payload, home.identity.device, key.sign(_LABEL + payload)])


def check(home: Home, statement: bytes) -> Checked:
    """Raises Refused: statement-malformed, statement-foreign, statement-signer, statement-signature.

    Who may sign is who keeps accounts, and is not revoked.
    """
    payload, device, signature = _fields(statement, 3)
    if not (isinstance(payload, bytes) and isinstance(device, bytes) and isinstance(signature, bytes)):
        raise Refused("statement-malformed")
    if len(device) != ID_BYTES or len(signature) != SIGNATURE_BYTES:
        raise Refused("statement-malformed")
    version, org, month, listed = _fields(payload, 4)
    rows = _rows(listed)
    if version != _VERSION or type(month) is not int or not 0 <= month < 12 * 10_000 or rows is None:
        raise Refused("statement-malformed")
    if org != home.identity.org:
        raise Refused("statement-foreign")
    signer = home.roster.device(device)
    if signer is None or ACCOUNTANTS.isdisjoint(signer.roles) or home.roster.revoked(device) is not None:
        raise Refused("statement-signer")
    if not verify(signer.public, _LABEL + payload, signature):
        raise Refused("statement-signature")
    names = _names(home)
    shown = tuple(Row(_name(code, names), *numbers) for code, numbers in rows)
    return Checked(month, shown, signer.name, device, digest_of(payload))


def digest_of(payload: bytes) -> str:
    """Sixteen letters that two people compare over the telephone."""
    text = sha256(payload).hex()[:16]
    return " ".join(text[at : at + 4] for at in range(0, 16, 4))


def total(rows: Iterable[Row]) -> Row:
    """The sums of sums, under no name."""
    added = [0] * 5
    for row in rows:
        _add(added, *row[1:])
    return Row("", *added)


def _fields(data: bytes, count: int) -> list[object]:
    try:
        value = cbor.decode(data, bytes_max=STATEMENT_BYTES_MAX)
    except cbor.CborError:
        raise Refused("statement-malformed") from None
    if not isinstance(value, list) or len(value) != count:
        raise Refused("statement-malformed")
    return value


def _rows(listed: object) -> list[tuple[bytes, list[int]]] | None:
    """None where it is not a list of rows as `month_at` makes it."""
    rows: list[tuple[bytes, list[int]]] = []
    for row in listed if isinstance(listed, list) else [None]:
        if not isinstance(row, list) or len(row) != 6:
            return None
        code, *numbers = row
        counts = [number for number in numbers if type(number) is int and 0 <= number < _NUMBER_END]
        if not isinstance(code, bytes) or len(code) not in (0, DEPARTMENT_CODE_BYTES) or len(counts) != 5:
            return None
        if rows and code <= rows[-1][0]:
            return None
        rows.append((code, counts))
    return rows


def _codes(home: Home) -> dict[bytes, tuple[bytes, bool]]:
    """By feed, the department that its certificate names; and whether it is a message feed."""
    roster, org = home.roster, home.identity.org
    devices = (roster.device(device) for device in roster.devices())
    codes = {each.device: (department_code(org, each.department), False) for each in devices if each is not None}
    return codes | {each.feed: (each.department, True) for each in roster.message_feeds()}


def _names(home: Home) -> Mapping[bytes, str]:
    """The names that are known, by their codes."""
    roster, org = home.roster, home.identity.org
    devices = (roster.device(device) for device in roster.devices())
    names = {each.department.partition("/")[0] for each in devices if each is not None}
    return {department_code(org, name): name for name in sorted(names)}


def _name(code: bytes, names: Mapping[bytes, str]) -> str:
    return names.get(code, code.hex())


def _add(sums: list[int], *more: int) -> None:
    for at, number in enumerate(more):
        sums[at] += number
