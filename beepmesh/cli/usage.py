"""`hub usage`: what each department had carried in a month; signed, checked, and as a table for a spreadsheet."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from beepmesh.cli.call import Call
from beepmesh.cli.text import safe_line, size
from beepmesh.errors import HomeProblem, NotAllowed, Refused, Usage
from beepmesh.home import ACCOUNTANTS, Home
from beepmesh.hub.usage import STATEMENT_BYTES_MAX, Checked, Month, Row, check, month_at, signed, total
from beepmesh.store.accounting import month_of, month_of_text, text_of

HEADS: Final = ("department", "feeds", "messages", "entries", "size", "stored")
CSV_HEADS: Final = ("kind", "department", "month", "feeds", "messages", "entries", "bytes", "byte_hours")
_NONE: Final = "-"
_FORMULA: Final = ("=", "+", "-", "@", "\t")  # A spreadsheet would reckon with these instead of showing them.
_WRONG: Final = {
    "statement-malformed": "is no usage statement, or a damaged one",
    "statement-foreign": "is another organisation's",
    "statement-signer": "was signed by a device that is not known here as headquarters or a relay, or is revoked",
    "statement-signature": "was changed after it was signed: the signature does not fit",
}


def usage(call: Call, *, month: str | None, csv: bool, sign: str | None, check: str | None) -> None:
    """Of one month, this one by default; or of a statement that somebody signed."""
    if check is not None and (month is not None or csv or sign is not None):
        raise Usage("--check FILE stands alone: it shows what is in the file.")
    if csv and call.screen.is_json:
        raise Usage("--csv and --json are two forms of one answer. Choose one.")
    if check is not None:
        _check(call, Path(check))
        return
    wanted = _month(month, call.now_ms())
    with call.open() as home:
        if ACCOUNTANTS.isdisjoint(home.identity.roles):
            raise NotAllowed("Accounts are kept by headquarters and relays only. Ask there.")
        found = month_at(home, wanted)
        statement = signed(home, found.payload)
        org = home.identity.org_name
        if sign is not None:
            _write(Path(sign), statement)
    if call.screen.is_json:
        call.screen.result(_json(org, wanted, found) | {"statement": base64.b64encode(statement).decode()})
    elif csv:
        call.screen.exactly(_csv(wanted, found))
    else:
        _show(call, org, wanted, found)
    if sign is not None:
        call.screen.aside(f"Signed: {safe_line(sign)}. Anybody of the organisation checks it with --check.")


def _month(text: str | None, now_ms: int) -> int:
    if text is None:
        return month_of(now_ms)
    try:
        return month_of_text(text.strip())
    except ValueError:
        raise Usage(f"{text[:20]!r} is no month. Write it as {text_of(month_of(now_ms))}.") from None


def _check(call: Call, path: Path) -> None:
    try:
        with path.open("rb") as file:
            data = file.read(STATEMENT_BYTES_MAX + 1)
    except OSError as error:
        raise HomeProblem(f"{path} cannot be read ({error.strerror}).") from None
    with call.open() as home:
        checked = _checked(home, path, data)
    if call.screen.is_json:
        call.screen.result(
            {
                "month": text_of(checked.month),
                "rows": [_row_json(row) for row in checked.rows],
                "digest": checked.digest,
                "signer": checked.signer,
                "device": checked.device.hex(),
            }
        )
        return
    call.screen.line(
        f"Usage in {text_of(checked.month)}, signed by {safe_line(checked.signer)}; the signature is good."
    )
    _table(call, checked.rows)
    call.screen.line(f"Digest: {checked.digest}")


def _checked(home: Home, path: Path, data: bytes) -> Checked:
    try:
        return check(home, data)
    except Refused as refused:
        raise HomeProblem(f"{path} {_WRONG[refused.reason]}.") from None


def _show(call: Call, org: str, month: int, found: Month) -> None:
    call.screen.line(f"Usage of {safe_line(org)} in {text_of(month)}, as far as it has come here")
    if found.rows:
        _table(call, found.rows)
    else:
        call.screen.line("Nothing.")
    if found.late:
        call.screen.line()
        call.screen.line("Came this month, too late for its own or misdated; not in the sums above:")
        rows = [
            (_shown(late.department), text_of(late.month), f"{late.entries:,}", size(late.bytes)) for late in found.late
        ]
        call.screen.table(("department", "dated", "entries", "size"), rows)
    if found.relayed:
        call.screen.line()
        call.screen.line("Sent by this hub to devices of:")
        call.screen.table(("department", "size"), [(_shown(name), size(count)) for name, count in found.relayed])
    call.screen.line()
    call.screen.line(f"Digest: {found.digest} (the same at every hub that got the same in time)")


def _table(call: Call, rows: Sequence[Row]) -> None:
    shown = [_cells(_shown(row.department), row) for row in rows]
    call.screen.table(HEADS, [*shown, _cells("all", total(rows))])


def _cells(name: str, row: Row) -> tuple[str, ...]:
    return (
        name,
        f"{row.feeds:,}",
        f"{row.messages:,}",
        f"{row.entries:,}",
        size(row.bytes),
        f"{size(row.byte_hours // 24)} days",
    )


def _shown(department: str) -> str:
    return safe_line(department) or _NONE


def _json(org: str, month: int, found: Month) -> dict[str, object]:
    return {
        "org": org,
        "month": text_of(month),
        "rows": [_row_json(row) for row in found.rows],
        "total": _row_json(total(found.rows)),
        "late": [
            {"department": late.department, "month": text_of(late.month), "entries": late.entries, "bytes": late.bytes}
            for late in found.late
        ],
        "relayed": [{"department": name, "bytes": count} for name, count in found.relayed],
        "digest": found.digest,
    }


def _row_json(row: Row) -> dict[str, object]:
    return row._asdict()


def _csv(month: int, found: Month) -> str:
    """RFC 4180."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_HEADS)
    for row in found.rows:
        writer.writerow(("usage", _plain(row.department), text_of(month), *row[1:]))
    for late in found.late:
        writer.writerow(("late", _plain(late.department), text_of(late.month), "", "", late.entries, late.bytes, ""))
    for name, count in found.relayed:
        writer.writerow(("relayed", _plain(name), text_of(month), "", "", "", count, ""))
    return out.getvalue()


def _plain(department: str) -> str:
    return f"'{department}" if department.startswith(_FORMULA) else department


def _write(path: Path, statement: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_bytes(statement)
        os.replace(beside, path)
    except OSError as error:
        raise HomeProblem(f"{path} cannot be written ({error.strerror}). Name another place.") from None
