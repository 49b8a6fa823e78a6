"""The logs of the reference store: what is held, settled, remembered of peers, erased and given up.

Everything is computed from scratch when it is asked for; only what cannot be known later is written down.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from beepmesh.crypto.primitives import Entropy, SigningKey, sha256
from beepmesh.crypto.seal import crowd_of_body
from beepmesh.messages.entry import Entry
from beepmesh.messages.lifetimes import LANE_LATER
from beepmesh.messages.token import TOKEN_PACKED_BYTES, Token, token_log
from beepmesh.policy import EXPIRED, KEPT, NEVER_MS, OTHERS_BULK, TOKENS, HoldingClock, ends_ms, keep_rank
from beepmesh.store.contract import (
    BASE_AGE_MAX,
    EVICTED_BYTES_MAX,
    PACKED_BYTES_MIN,
    PEERS_REMEMBERED_MAX,
    PERISHABLE_FACT,
    VIEWS_BYTES_MAX,
    Batch,
    Changes,
    Fact,
    Fork,
    Place,
    ReadResult,
    Worth,
    packed_bytes,
)
from beepmesh.store.memories import draw_epoch
from beepmesh.store.spans import encode_views
from beepmesh.store.tokens import tip_of
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.ranges import Ranges


@dataclass(slots=True)
class _Log:
    number: int
    """Counts the logs as they became known."""
    entries: dict[int, Entry] = field(default_factory=dict)
    tokens: dict[int, Token] = field(default_factory=dict)
    """Of a log of tokens, which has no entries."""
    ends_ms: dict[int, int] = field(default_factory=dict)
    """Of what is held."""
    proved: set[int] = field(default_factory=set)
    settled: Ranges = field(default_factory=Ranges)
    tip: bytes = b""
    frozen: bool = False
    changed: int = 0
    pasts: list[tuple[int, Ranges]] = field(default_factory=lambda: [(0, Ranges())])
    """(change number, what was settled from then on), of every change that some base may still ask for."""

    def settle(self, more: Ranges, told: Entry | None = None) -> None:
        """`told`: the only entry of `more`, where its token came."""
        top = self.settled.top
        self.settled = self.settled.union(more)
        newest = self.entries.get(self.settled.top - 1, told)
        if newest is not None and newest.seq == self.settled.top - 1:
            self.tip = newest.id
        elif self.settled.top > top:
            self.tip = b""

    def let_go(self, seq: int) -> Entry | Token:
        del self.ends_ms[seq]
        self.proved.discard(seq)
        return self.tokens.pop(seq) if seq in self.tokens else self.entries.pop(seq)

    def settled_at(self, number: int) -> Ranges:
        return self.pasts[bisect_right(self.pasts, number, key=lambda past: past[0]) - 1][1]


_NONE = _Log(-1)
Told = dict[tuple[LogId, int], tuple[Token, Entry | None]]
"""New tokens by their entries' places, and what each tells; None where it contradicts what is known."""


class MemoryLogs:
    def __init__(self, entropy: Entropy = os.urandom) -> None:
        self._entropy = entropy
        self._epoch = draw_epoch(entropy)
        self._logs: dict[LogId, _Log] = {}
        self._facts: dict[tuple[bytes, int], Fact] = {}
        self._forks: dict[Place, Fork] = {}
        self._delivered: dict[Place, int] = {}
        """Own entries of which a token has come, and when."""
        self._pending: dict[Place, None] = {}
        self._peer_settled: dict[bytes, dict[LogId, Ranges]] = {}
        self._memories: dict[bytes, Memory] = {}
        self._clock: HoldingClock | None = None
        self._bytes_max: int | None = None
        self._carried_max: int | None = None
        self._worth: Worth | None = None

    def states(self) -> dict[LogId, LogState]:
        return self.changed_since(0).states

    def frozen(self) -> set[LogId]:
        return {log_id for log_id, log in self._logs.items() if log.frozen}

    def forks(self) -> list[Fork]:
        return list(self._forks.values())

    def changed_since(self, version: int) -> Changes:
        changed = {log_id: log for log_id, log in self._logs.items() if log.changed > version and log.settled}
        in_order = sorted(changed.items(), key=lambda item: (item[1].changed, item[1].number))
        return Changes(
            self._newest,
            {log_id: LogState(log.settled, log.tip) for log_id, log in in_order},
            {log_id: log.changed for log_id, log in in_order},
        )

    def epoch(self) -> int:
        return self._epoch

    def renew_epoch(self) -> int:
        self._epoch = draw_epoch(self._entropy, self._epoch)
        return self._epoch

    def recall(self, device: bytes) -> Memory | None:
        memory = self._memories.get(device)
        if memory is None:
            return None
        changed = {log_id: self._logs[log_id] for log_id in self.changed_since(memory.base).states}
        at_base = {log_id: log.settled_at(memory.base) for log_id, log in changed.items()}
        return replace(memory, views=at_base | dict(memory.views))

    def forget(self, device: bytes) -> None:
        self._memories.pop(device, None)

    def limit(self, bytes_max: int | None, carried_max: int | None = None) -> None:
        self._bytes_max, self._carried_max = bytes_max, carried_max

    def appraise(self, worth: Worth) -> None:
        self._worth = worth

    def crowds(self, log: LogId, start: int, stop: int) -> dict[int, int]:
        held = ((seq, entry.body or b"") for seq, entry in self._logs.get(log, _NONE).entries.items())
        found = ((seq, crowd_of_body(body)) for seq, body in held if start <= seq < stop)
        return {seq: int.from_bytes(crowd) for seq, crowd in found if crowd}

    def read(self, log: LogId, start: int, stop: int, *, bytes_max: int, with_prev: bool) -> ReadResult:
        held, told = self._logs.get(log, _NONE), self._logs.get(token_log(log), _NONE).tokens
        entries: list[Entry] = []
        tokens: list[Token] = []
        size = 0
        for seq in range(start, stop):
            found = held.tokens.get(seq) or (None if seq in told else held.entries.get(seq))
            if found is None:
                break
            size += _bytes_of(found)
            if (entries or tokens) and size > bytes_max:
                break
            if isinstance(found, Token):
                tokens.append(found)
            else:
                entries.append(found)
        gone = held.settled.intersect(Ranges.of((start, max(start, stop))))
        for seq in {*held.entries, *held.tokens} - set(told):
            gone = gone.minus(Ranges.of((seq, seq + 1)))
        proved = frozenset(entry.id for entry in entries if entry.seq in held.proved)
        prev = entries[0].prev if entries else bytes(32) if tokens else None
        above = told.get(start + len(entries)) if start < stop else None
        return ReadResult(
            prev if with_prev else None,
            tuple(entries),
            gone,
            proved,
            tuple(tokens),
            None if above is None else above.prev,
        )

    def entry(self, log: LogId, seq: int) -> Entry | None:
        return self._logs.get(log, _NONE).entries.get(seq)

    def expire(self, now_ms: int) -> int:
        self._clock = self._clock_at(now_ms)
        ended = [
            (log, seq)
            for log_id, log in self._logs.items()
            for seq, entry in log.entries.items()
            if entry.body is not None and self._ends_ms(log_id, seq) <= self._clock.holding_ms
        ]
        for log, seq in ended:
            log.entries[seq] = log.entries[seq].erased()
        return len(ended)

    def unopened(self) -> list[Place]:
        places: list[Place] = []
        for place in self._pending:
            entry = self.entry(LogId(place.feed, place.lane), place.seq)
            if entry is not None and entry.body is not None:
                places.append(place)
        return places

    def peer_settled(self, device: bytes) -> dict[LogId, Ranges]:
        return dict(self._peer_settled.get(device, {}))

    # --- inside a commit ---
    @property
    def _newest(self) -> int:
        return max((log.changed for log in self._logs.values()), default=0)

    def _log(self, log_id: LogId) -> _Log:
        return self._logs.setdefault(log_id, _Log(len(self._logs)))

    def _clock_at(self, now_ms: int) -> HoldingClock:
        return (self._clock or HoldingClock.started(now_ms)).at(now_ms)

    def _known(self, log_id: LogId, seq: int, told: Told, own: Collection[bytes]) -> Entry | None:
        """What stands there, though only its token may be held, or be about to."""
        held = self.entry(log_id, seq)
        if held is not None and log_id.feed in own:
            return held
        _, entry = told.get((log_id, seq), (None, None))
        token = self._logs.get(token_log(log_id), _NONE).tokens.get(seq)
        return entry or held or (None if token is None else token.entry)

    def _told(self, tokens: tuple[Token, ...], own: Collection[bytes]) -> tuple[Told, list[Fork]]:
        """What new tokens tell, in their order, and how they contradict what is known."""
        told: Told = {}
        found: list[Fork] = []
        for token in tokens:
            if token.place in told or token.seq in self._logs.get(token_log(token.log), _NONE).settled:
                continue
            entry = token.entry
            held = self.entry(*token.place)
            if held is None:
                fork = self._contradiction([entry], told, own)
            else:
                fork = None if held.id == entry.id else Fork(held, entry)
            told[token.place] = token, entry if fork is None else None
            found += [] if fork is None else [fork]
        return told, found

    def _fresh(
        self, entries: tuple[Entry, ...], told: Told, own: Collection[bytes]
    ) -> tuple[dict[tuple[LogId, int], Entry], list[Fork]]:
        """Those that are not known and contradict nothing, and the contradictions: log by log, as they were given."""
        fresh: dict[tuple[LogId, int], Entry] = {}
        found: list[Fork] = []
        for log_id in dict.fromkeys(entry.log for entry in entries):
            its_fresh: dict[int, Entry] = {}
            for entry in entries:
                if entry.log == log_id:
                    held = its_fresh.get(entry.seq) or self._known(log_id, entry.seq, told, own)
                    if held is None:
                        its_fresh[entry.seq] = entry
                    elif held.id != entry.id:
                        found.append(Fork(held, entry))
            for run in _runs(its_fresh):
                contradiction = self._contradiction(run, told, own)
                if contradiction is None:
                    fresh.update(((log_id, entry.seq), entry) for entry in run)
                else:
                    found.append(contradiction)
        return fresh, found

    def _contradiction(self, run: list[Entry], told: Told, own: Collection[bytes]) -> Fork | None:
        first, last = run[0], run[-1]
        below = self._known(first.log, first.seq - 1, told, own)
        above = self._known(last.log, last.seq + 1, told, own)
        if below is not None and below.id != first.prev:
            return Fork(below, first)
        if above is not None and above.prev != last.id:
            return Fork(above, last)
        return None

    def _write_drafts(
        self,
        batch: Batch,
        told: Told,
        fresh: dict[tuple[LogId, int], Entry],
        keys: Mapping[bool, SigningKey],
        now_ms: int,
    ) -> list[Entry]:
        tops: dict[LogId, tuple[int, Entry | None]] = {}
        written: list[Entry] = []
        for draft in batch.drafts:
            key = keys[draft.control]
            log_id = LogId(sha256(key.public)[:16], draft.lane)
            if log_id not in tops:
                settled = self._logs.get(log_id, _NONE).settled
                headers = {place: entry for place, (_, entry) in told.items() if entry is not None}
                for own, seq in (*headers, *fresh):
                    settled = settled.add(seq, seq + 1) if own == log_id else settled
                for own, given_up in batch.settled:
                    settled = settled.union(given_up) if own == log_id else settled
                newest = log_id, settled.top - 1
                last = fresh.get(newest) or self.entry(*newest) or headers.get(newest)
                tops[log_id] = settled.top, last
            seq, last = tops[log_id]
            entry = draft.written(key, log_id, seq, last, now_ms)
            tops[log_id] = seq + 1, entry
            written.append(entry)
        return written

    def _change(
        self,
        batch: Batch,
        told: Told,
        fresh: Collection[Entry],
        written: Collection[Entry],
        found: Iterable[Fork],
        own: Collection[bytes],
        now_ms: int,
    ) -> Changes:
        """Everything that a batch says about logs, in the contract's order."""
        before = self._newest
        self._remember_peers(batch.memories, before)
        for token in batch.tokens:
            self._log(token.log)
            self._log(token_log(token.log))
        for entry in batch.entries:
            self._log(entry.log)
        changed: dict[LogId, None] = {}
        if fresh or written or any(entry is not None for _, entry in told.values()):
            self._clock = self._clock or HoldingClock.started(now_ms)
        for token, header in told.values():
            changed |= dict.fromkeys(self._deliver(token, header, own, now_ms))
        for entry in fresh:
            self._hold(entry, now_ms, proved=entry.id in batch.proved)
            changed[entry.log] = None
        for log_id, given_up in batch.settled:
            if given_up.minus(self._log(log_id).settled):
                self._log(log_id).settle(given_up)
                changed[log_id] = None
        for entry in written:
            self._hold(entry, now_ms, proved=True)
            changed[entry.log] = None
        for fork in (*found, *batch.forks):
            place = Place(fork.first.feed, fork.first.lane, fork.first.seq)
            if place not in self._forks:
                self._forks[place] = Fork(fork.first.erased(), fork.second.erased())
                self._log(fork.first.log).frozen = True
                changed[fork.first.log] = None
        for place in batch.prove:
            log = self._logs.get(LogId(place.feed, place.lane), _NONE)
            if place.seq in log.entries:
                log.proved.add(place.seq)
        for entry in batch.mended:
            self._mend(entry)
        number = before + bool(changed)
        self._number(changed, number)
        states = {log_id: state for log_id, state in self.changed_since(before).states.items() if log_id in changed}
        return Changes(number, states, dict.fromkeys(states, number))

    def _hold(self, entry: Entry, now_ms: int, *, proved: bool) -> None:
        log = self._log(entry.log)
        log.entries[entry.seq] = entry
        log.ends_ms[entry.seq] = ends_ms(self._clock_at(now_ms).holding_ms, now_ms, entry.time_ms, entry.ttl)
        if proved:
            log.proved.add(entry.seq)
        log.settle(Ranges.of((entry.seq, entry.seq + 1)))

    def _deliver(self, token: Token, entry: Entry | None, own: Collection[bytes], now_ms: int) -> list[LogId]:
        """The logs that it changes."""
        (log_id, seq), its_id = token.place, token_log(token.log)
        log, its_log, place = self._log(log_id), self._log(its_id), Ranges.of((seq, seq + 1))
        its_log.settle(place)
        its_log.tip = tip_of(its_id, its_log.settled.top)
        if entry is None:
            return [its_id]
        its_log.tokens[seq] = token
        its_log.ends_ms[seq] = ends_ms(self._clock_at(now_ms).holding_ms, now_ms, token.time_ms, token.ttl)
        held = seq in log.entries
        if log_id.feed in own:
            self._delivered.setdefault(Place(*log_id, seq), now_ms)
            if not held:
                self._hold(entry, now_ms, proved=True)
        elif held:
            log.let_go(seq)
        else:
            log.settle(place, entry)
        return [its_id] if held else [log_id, its_id]

    def _mend(self, entry: Entry) -> None:
        log = self._logs.get(entry.log, _NONE)
        held = log.entries.get(entry.seq)
        if held is not None and held.id == entry.id and entry.seq not in log.proved:
            log.entries[entry.seq] = held._replace(signature=entry.signature)
            log.proved.add(entry.seq)

    def _number(self, changed: Iterable[LogId], number: int) -> None:
        oldest = min([number - BASE_AGE_MAX, *(memory.base for memory in self._memories.values())])
        for log_id in changed:
            log = self._logs[log_id]
            log.changed = number
            log.pasts.append((number, log.settled))
            while log.pasts[1][0] <= oldest:
                del log.pasts[0]

    def _remember_peers(self, memories: Iterable[tuple[bytes, Memory]], newest: int) -> None:
        for device, memory in memories:
            if newest - BASE_AGE_MAX <= memory.base <= newest and len(encode_views(memory.views)) <= VIEWS_BYTES_MAX:
                self._memories.pop(device, None)
                self._memories[device] = replace(memory, views=dict(memory.views))
        for device in list(self._memories)[:-PEERS_REMEMBERED_MAX]:
            del self._memories[device]

    def _evict(self, own: Collection[bytes]) -> int:
        used_max = inf if self._bytes_max is None else self._bytes_max
        carried_max = inf if self._carried_max is None else self._carried_max
        used, carried = self._used_bytes(), self._carried_bytes(own)
        if used <= used_max and carried <= carried_max:
            return 0
        ended_ms = 0 if self._clock is None else self._clock.holding_ms
        queue = [
            (rank := self._rank(log_id, seq, own), *self._order(log_id, seq, rank), log.number, seq, log_id)
            for log_id, log in self._logs.items()
            for seq in log.entries
            if log_id.feed not in own or seq != log.settled.top - 1
        ]
        queue += [
            (EXPIRED if log.ends_ms[seq] <= ended_ms else TOKENS, 1, log.ends_ms[seq], log.number, seq, log_id)
            for log_id, log in self._logs.items()
            for seq in log.tokens
        ]
        count = freed = 0
        for rank, _, _, _, seq, log_id in sorted(queue):
            if rank == KEPT or (used <= used_max and carried <= carried_max) or freed >= EVICTED_BYTES_MAX:
                break
            went = self._logs[log_id].let_go(seq)
            used -= _bytes_of(went)
            if isinstance(went, Entry) and log_id.feed not in own:
                carried -= len(went.body or b"")
            freed += PACKED_BYTES_MIN + (len(went.body or b"") if isinstance(went, Entry) else 0)
            count += 1
        return count

    def _order(self, log_id: LogId, seq: int, rank: int) -> tuple[int, float]:
        """Within its rank: large mail by its worth, and before all others; these as they end."""
        crowd = crowd_of_body(self._logs[log_id].entries[seq].body or b"")
        if self._worth is not None and rank == OTHERS_BULK and log_id.lane == LANE_LATER:
            return -1, self._worth((log_id, seq), int.from_bytes(crowd))
        return 0, self._ends_ms(log_id, seq)

    def _carried_bytes(self, own: Collection[bytes]) -> int:
        others = (log for log_id, log in self._logs.items() if log_id.feed not in own)
        return sum(len(entry.body or b"") for log in others for entry in log.entries.values())

    def _used_bytes(self) -> int:
        logs = self._logs.values()
        entries = sum(packed_bytes(entry) for log in logs for entry in log.entries.values())
        return entries + TOKEN_PACKED_BYTES * sum(len(log.tokens) for log in logs)

    def _rank(self, log_id: LogId, seq: int, own: Collection[bytes]) -> int:
        entry = self._logs[log_id].entries[seq]
        return keep_rank(
            lane=log_id.lane,
            priority=entry.priority,
            own=log_id.feed in own,
            carried=any(seq in settled.get(log_id, Ranges()) for settled in self._peer_settled.values()),
            expired=entry.body is None,
            needed=self._fact(log_id, seq) is not None or Place(*log_id, seq) in self._pending,
        )

    def _ends_ms(self, log_id: LogId, seq: int) -> int:
        fact = self._fact(log_id, seq)
        stays = fact is not None and fact.kind != PERISHABLE_FACT
        return NEVER_MS if stays else self._logs[log_id].ends_ms[seq]

    def _fact(self, log_id: LogId, seq: int) -> Fact | None:
        return self._facts.get((log_id.feed, seq)) if log_id.lane == 0 else None


def _bytes_of(one: Entry | Token) -> int:
    return packed_bytes(one) if isinstance(one, Entry) else TOKEN_PACKED_BYTES


def _runs(entries: dict[int, Entry]) -> list[list[Entry]]:
    """Consecutive entries together."""
    runs: list[list[Entry]] = []
    for seq in sorted(entries):
        if runs and runs[-1][-1].seq == seq - 1:
            runs[-1].append(entries[seq])
        else:
            runs.append([entries[seq]])
    return runs
