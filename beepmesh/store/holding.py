"""How long entries are held, in SQLite, and which are given up first: the rules of policy.py carried out.

An entry's rank is written when it comes and again when something is learned about it, so that neither expiry nor a
full disk looks at an entry that stays. Every function runs inside the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from beepmesh.crypto.seal import CROWD_END, crowd_of_body
from beepmesh.messages.lifetimes import BULK, LANE_FILES, LANE_LATER, LANE_URGENT
from beepmesh.messages.token import TOKEN_PACKED_BYTES
from beepmesh.policy import EXPIRED, KEPT, NEVER_MS, OTHERS_BULK, TOKENS, HoldingClock, keep_rank
from beepmesh.store import tokens
from beepmesh.store.connection import Connection
from beepmesh.store.contract import EVICTED_BYTES_MAX, PACKED_BYTES_MIN, PERISHABLE_FACT, Place, Worth
from beepmesh.store.spans import decode_spans
from sync.logs import LogId
from sync.ranges import Ranges

_VICTIMS_MAX = 64  # Looked up at once; then the file is measured again.

Went = tokens.Went

_DELETE_ENTRY = "DELETE FROM entries WHERE key = ?"


def clock_at(connection: Connection, now_ms: int) -> HoldingClock:
    """What the holding clock would say now; it is started if it was not."""
    clock = _clock(connection)
    if clock is None:
        clock = HoldingClock.started(now_ms)
        _set_clock(connection, clock)
    return clock.at(now_ms)


def expire(connection: Connection, now_ms: int) -> int:
    """Move the clock on and erase what has outlived its time."""
    clock = clock_at(connection, now_ms)
    _set_clock(connection, clock)
    found: list[Went] = connection.execute(
        "SELECT key, body_bytes FROM entries WHERE rank IN (?, ?, ?, ?, ?, ?) AND expires_ms <= ?",
        (*range(EXPIRED + 1, KEPT + 1), clock.holding_ms),
    ).fetchall()
    connection.executemany(
        "UPDATE entries SET body = NULL, rank = ? WHERE key = ?", [(EXPIRED, key) for key, _ in found]
    )
    lighten(connection, found, 0)
    return len(found)


def rank_again(connection: Connection, places: Iterable[Place], own: Collection[bytes]) -> None:
    """Something may have been learned about these entries, held or not. `own`: the feeds that we write."""
    carried: dict[LogId, Ranges] = {}
    for place in places:
        log = LogId(place.feed, place.lane)
        row = connection.execute(
            "SELECT key, priority, body IS NULL FROM logs JOIN entries ON entries.key = logs.id << 32 | ?"
            " WHERE feed = ? AND lane = ?",
            (place.seq, *log),
        ).fetchone()
        if row is None:
            continue
        key, priority, expired = row
        if log.feed in own and log not in carried:
            carried[log] = _carried(connection, log)
        kind = _fact_kind(connection, place)
        rank = keep_rank(
            lane=place.lane,
            priority=priority,
            own=place.feed in own,
            carried=log in carried and place.seq in carried[log],
            expired=bool(expired),
            needed=kind is not None or _is_pending(connection, place),
        )
        connection.execute("UPDATE entries SET rank = ? WHERE key = ?", (rank, key))
        if kind not in (None, PERISHABLE_FACT):
            connection.execute("UPDATE entries SET expires_ms = ? WHERE key = ?", (NEVER_MS, key))


def known_before(connection: Connection, log: LogId, first: int, last: int) -> list[Place]:
    """Of the entries first to last, those about which something was written before they came."""
    span = (*log, first, last)
    seqs = connection.execute("SELECT seq FROM pending WHERE feed = ? AND lane = ? AND seq BETWEEN ? AND ?", span)
    found = [seq for (seq,) in seqs]
    if log.lane == LANE_URGENT:
        facts = connection.execute(
            "SELECT seq FROM facts WHERE feed = ? AND seq BETWEEN ? AND ?", (log.feed, first, last)
        )
        found += [seq for (seq,) in facts]
    return [Place(*log, seq) for seq in found]


def bulk_among(connection: Connection, log: LogId, seqs: Ranges) -> list[Place]:
    """The held bulk entries of an own log that are among these: it matters to them whether a peer has them."""
    anyhow = log.lane in (LANE_LATER, LANE_FILES)
    return [
        Place(*log, seq)
        for start, stop in seqs.spans
        for (seq,) in connection.execute(
            "SELECT entries.key & 4294967295 FROM logs JOIN entries"
            " ON entries.key BETWEEN logs.id << 32 | ? AND logs.id << 32 | ?"
            " WHERE feed = ? AND lane = ? AND (? OR priority = ?)",
            (start, stop - 1, *log, anyhow, BULK),
        )
    ]


class Limits(NamedTuple):
    """Bytes of the file, and of bodies held for others."""

    used: int | None = None
    carried: int | None = None


def evict(
    connection: Connection,
    limits: Limits,
    own: Collection[bytes],
    worth: Worth | None,
    used_bytes: Callable[[Connection], int],
) -> int:
    """Give up entries until what is used is within its limit, or nothing is left that may go; returns how many."""
    count = freed = 0
    while freed < EVICTED_BYTES_MAX and (excess := _excess(connection, limits, own, used_bytes)) > 0:
        delete, victims = _victims(connection, excess, own, worth)
        if not victims:
            break
        connection.executemany(delete, [(key,) for key, _ in victims])
        lighten(connection, victims, 1)
        count += len(victims)
        freed += sum(PACKED_BYTES_MIN + body_bytes for _, body_bytes in victims)
    return count


def carried_bytes(connection: Connection, own: Collection[bytes]) -> int:
    """The bytes of the bodies that are still here of other feeds than these."""
    query = "SELECT CAST(coalesce(sum(body_bytes), 0) AS BIGINT) FROM logs"
    (total,) = connection.execute(query).fetchone()
    ours = (connection.execute(f"{query} WHERE feed = ?", (feed,)).fetchone() for feed in own)
    carried: int = total - sum(body_bytes for (body_bytes,) in ours)
    return carried


def _excess(
    connection: Connection, limits: Limits, own: Collection[bytes], used_bytes: Callable[[Connection], int]
) -> int:
    used = 0 if limits.used is None else used_bytes(connection) - limits.used
    return max(used, 0 if limits.carried is None else carried_bytes(connection, own) - limits.carried)


def _victims(
    connection: Connection, excess: int, own: Collection[bytes], worth: Worth | None
) -> tuple[str, list[Went]]:
    """The next to go, at most _VICTIMS_MAX, and how."""
    clock = _clock(connection)
    ended_ms = 0 if clock is None else clock.holding_ms
    for rank, upto_ms in ((OTHERS_BULK, ended_ms), (TOKENS, NEVER_MS)):
        if rank > OTHERS_BULK and worth is not None and (victims := _least_worth(connection, excess, worth)):
            return _DELETE_ENTRY, victims
        if victims := _entries_below(connection, rank, excess, own):
            return _DELETE_ENTRY, victims
        if victims := tokens.soonest(connection, upto_ms, min(-(-excess // TOKEN_PACKED_BYTES), _VICTIMS_MAX)):
            return tokens.DELETE, victims
    return _DELETE_ENTRY, _entries_below(connection, KEPT, excess, own)


def _least_worth(connection: Connection, excess: int, worth: Worth) -> list[Went]:
    found = connection.execute(
        "SELECT entries.key, feed, entries.body_bytes, substr(body, 1, ?)"
        " FROM entries JOIN logs ON logs.id = entries.key >> 32"
        " WHERE rank = ? AND lane = ? AND body IS NOT NULL",
        (CROWD_END, OTHERS_BULK, LANE_LATER),
    ).fetchall()
    ordered = sorted(
        (worth((LogId(feed, LANE_LATER), key & 0xFFFFFFFF), int.from_bytes(crowd_of_body(body))), key, body_bytes)
        for key, feed, body_bytes, body in found
    )
    victims: list[Went] = []
    for _, key, body_bytes in ordered[:_VICTIMS_MAX]:
        victims.append((key, body_bytes))
        excess -= PACKED_BYTES_MIN + body_bytes
        if excess <= 0:
            break
    return victims


def _entries_below(connection: Connection, rank: int, excess: int, own: Collection[bytes]) -> list[Went]:
    """Not the newest of an own log: the next one is linked to it."""
    newest = {
        number << 32 | decode_spans(settled).top - 1
        for feed in own
        for number, settled in connection.execute("SELECT id, settled FROM logs WHERE feed = ?", (feed,))
        if settled
    }
    found = connection.execute(
        "SELECT key, length(hints), CASE WHEN body IS NULL THEN 0 ELSE body_bytes END"
        " FROM entries WHERE rank < ? ORDER BY rank, expires_ms, key LIMIT ?",
        (rank, _VICTIMS_MAX + len(newest)),
    )
    victims: list[Went] = []
    for key, hints_bytes, body_bytes in found:
        if key not in newest:
            victims.append((key, body_bytes))
            excess -= PACKED_BYTES_MIN + hints_bytes + body_bytes
        if excess <= 0 or len(victims) == _VICTIMS_MAX:
            break
    return victims


def lighten(connection: Connection, went: Iterable[Went], rows: int) -> None:
    """Their logs hold so many rows each and their bodies' bytes less."""
    freed: dict[int, tuple[int, int]] = {}
    for key, body_bytes in went:
        count, size = freed.get(key >> 32, (0, 0))
        freed[key >> 32] = count + rows, size + body_bytes
    connection.executemany(
        "UPDATE logs SET entries = entries - ?, body_bytes = body_bytes - ? WHERE id = ?",
        [(count, size, number) for number, (count, size) in freed.items()],
    )


def _fact_kind(connection: Connection, place: Place) -> int | None:
    if place.lane != LANE_URGENT:
        return None
    row: tuple[int] | None = connection.execute(
        "SELECT kind FROM facts WHERE feed = ? AND seq = ?", (place.feed, place.seq)
    ).fetchone()
    return None if row is None else row[0]


def _is_pending(connection: Connection, place: Place) -> bool:
    query = "SELECT 1 FROM pending WHERE feed = ? AND lane = ? AND seq = ?"
    return connection.execute(query, (place.feed, place.lane, place.seq)).fetchone() is not None


def _carried(connection: Connection, log: LogId) -> Ranges:
    """What of an own log some peer has settled."""
    said = connection.execute("SELECT settled FROM peer_settled WHERE feed = ? AND lane = ?", log)
    carried = Ranges()
    for (settled,) in said:
        carried = carried.union(decode_spans(settled))
    return carried


def _clock(connection: Connection) -> HoldingClock | None:
    row = connection.execute("SELECT holding_ms, seen_ms, latest_ms, latest_holding_ms FROM this").fetchone()
    return None if row[0] is None else HoldingClock(*row)


def _set_clock(connection: Connection, clock: HoldingClock) -> None:
    connection.execute("UPDATE this SET holding_ms = ?, seen_ms = ?, latest_ms = ?, latest_holding_ms = ?", clock)
