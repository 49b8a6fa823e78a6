"""`status`: who this device is, what waits and why, whom it met, what it refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from beepmesh.cli.call import Call
from beepmesh.cli.people import peers_json, peers_rows
from beepmesh.cli.reasons import words_for
from beepmesh.cli.text import count_of, iso_time, local_time, safe_line, size, span
from beepmesh.config import Setting, Value
from beepmesh.standing import Status
from beepmesh.standing import status as standing_of
from beepmesh.store.contract import Size

PEERS_SHOWN: Final = 10
_STATES: Final = {
    "queued": "queued here: no other device has them yet",
    "carried": "carried by other devices, no word from the reader yet",
    "delivered": "delivered, not yet read",
    "read": "read",
    "acknowledged": "acknowledged",
}


def status(call: Call, *, config: bool) -> None:
    """How things stand; with `config` the settings in force."""
    now_ms = call.now_ms()
    with call.open() as home:
        standing = standing_of(home, now_ms=now_ms)
    if call.screen.is_json:
        call.screen.result({"settings": _settings_json(standing.settings)} if config else _as_json(standing))
        return
    if config:
        rows = [
            (setting.key, safe_line(_shown(setting.value)), safe_line(setting.source)) for setting in standing.settings
        ]
        call.screen.table(("setting", "value", "set by"), rows)
        return
    for line in _identity_lines(standing):
        call.screen.line(line)
    for trouble in standing.troubles:
        call.screen.line(f"! {safe_line(trouble)}")
    _messages(call, standing)
    _neighbours(call, standing, now_ms)
    _refusals(call, standing)


def _identity_lines(standing: Status) -> list[str]:
    now_ms = standing.local_s * 1_000
    where = f" in {safe_line(standing.department)}" if standing.department else ""
    node = "no node runs on this home" if standing.node is None else "a node runs on this home"
    if standing.node:
        node += f" (process {standing.node})"
    ends = standing.certificate_ends_s
    left = span(ends - standing.believed_s) if ends > standing.believed_s else "no time"
    known = f"{standing.people} {'person' if standing.people == 1 else 'people'} known here"
    return [
        f"{safe_line(standing.name)}, {', '.join(standing.roles)}{where}, of {safe_line(standing.org)}; {known}",
        f"device {standing.device}: {node}",
        f"certificate good for {left} (until {local_time(ends * 1_000, now_ms)})",
        f"{size(standing.size.file_bytes)} on disk{_limit(standing.size)}, {standing.size.entries} entries"
        + ("" if standing.writable else "; this home can only be read"),
    ]


def _messages(call: Call, standing: Status) -> None:
    call.screen.line()
    unread = count_of(standing.unread, "unread message")
    call.screen.line(f"{unread}: `beepmesh inbox --unread`" if standing.unread else "Nothing unread.")
    if not standing.underway:
        call.screen.line("None of your messages is under way.")
        return
    call.screen.line("Your messages under way, counted once for each reader:")
    for state, count in standing.underway.items():
        call.screen.line(f"  {count:>5}  {_STATES.get(state, state)}")
    if standing.waiting_for_prekeys:
        call.screen.line(f"  {standing.waiting_for_prekeys:>5}  of the queued wait for the keys of their readers")


def _neighbours(call: Call, standing: Status, now_ms: int) -> None:
    call.screen.line()
    if not standing.neighbours:
        call.screen.line("No device has been met yet.")
        return
    rows = peers_rows(standing.neighbours[:PEERS_SHOWN], now_ms)
    call.screen.table(("device of", "last met", "over", "address"), rows)


def _refusals(call: Call, standing: Status) -> None:
    if not standing.counts:
        return
    now_ms = standing.local_s * 1_000
    rows = [
        (str(count.count), local_time(count.last_ms, now_ms), safe_line(reason), words_for(reason))
        for reason, count in sorted(standing.counts.items(), key=lambda item: -item[1].last_ms)
    ]
    call.screen.line()
    call.screen.table(("refused", "last", "reason", "what it means"), rows)
    if standing.frozen_logs:
        call.screen.line(f"{count_of(standing.frozen_logs, 'log')} frozen because of contradicting entries.")


def _as_json(standing: Status) -> dict[str, object]:
    return {
        "org": standing.org,
        "name": standing.name,
        "person": standing.person,
        "device": standing.device,
        "roles": list(standing.roles),
        "department": standing.department,
        "people": standing.people,
        "node": standing.node,
        "unread": standing.unread,
        "underway": standing.underway,
        "waiting_for_prekeys": standing.waiting_for_prekeys,
        "certificate_ends": iso_time(standing.certificate_ends_s * 1_000),
        "prekey_ends": iso_time(standing.prekey_ends_s * 1_000) if standing.prekey_ends_s else None,
        "clock": {"local": iso_time(standing.local_s * 1_000), "believed": iso_time(standing.believed_s * 1_000)},
        "counts": {
            reason: {"count": count.count, "last": iso_time(count.last_ms), "meaning": words_for(reason)}
            for reason, count in sorted(standing.counts.items())
        },
        "frozen_logs": standing.frozen_logs,
        "peers": peers_json(standing.neighbours),
        "disk": {
            "entries": standing.size.entries,
            "body_bytes": standing.size.body_bytes,
            "file_bytes": standing.size.file_bytes,
            "used_bytes": standing.size.used_bytes,
            "limit_bytes": standing.size.limit_bytes,
        },
        "writable": standing.writable,
        "troubles": list(standing.troubles),
        "settings": _settings_json(standing.settings),
    }


def _settings_json(settings: Sequence[Setting]) -> list[dict[str, object]]:
    return [{"key": setting.key, "value": setting.value, "source": setting.source} for setting in settings]


def _shown(value: Value) -> str:
    return str(value) if isinstance(value, int) else ", ".join(value)


def _limit(stored: Size) -> str:
    return "" if stored.limit_bytes is None else f" ({size(stored.used_bytes)} of {size(stored.limit_bytes)} used)"
