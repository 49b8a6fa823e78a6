"""One reconciliation between two nodes over one link: what to say, from the first record to the last.

Rule 1: all protocol state lives here and in what this holds; only `handle` changes it. No clock, no I/O.
Rule 2: both sides say HELLO at once. Equal roots: nothing more to tell. Otherwise each tells its VECTOR.
Rule 3: knowing what the peer has settled, each pushes what it lacks, lane by lane (push.py), now and live.
Rule 4: an ACK speaks only of what is durable: runs that the node answered with RunDone, states in its mapping.
Rule 5: whatever the peer does wrong ends in one Hangup with a reason, and nothing after it.
Rule 6: the shell performs outputs in their order, and answers every ReadRun and TakeRun exactly once. Sends come
        first in each list, so a shell may answer an order while it performs it: records still leave as they were made.

The link may break at any moment: the session is dropped, and the next one repeats only what was not settled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from sync.events import (
    Hangup,
    Input,
    Level,
    LogsGrew,
    Output,
    PeerSettled,
    ReadRun,
    RecordReceived,
    RunDone,
    RunRead,
    Send,
    Started,
    TakeRun,
    TimeCame,
    WakeAt,
)
from sync.limits import (
    ACK_DELAY_S,
    ACK_RUNS_MAX,
    PUSHED_LANES,
    RANGES_MAX,
    RECORD_BYTES_MIN,
    STATES_BYTES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_RUNS_MAX,
)
from sync.logs import TIP_BYTES, LogId, LogState, root
from sync.names import Names
from sync.peer import Peer
from sync.push import Push
from sync.ranges import Ranges
from sync.wire import (
    WIRE_VERSION,
    Ack,
    Gone,
    Hello,
    RemoteProtocolError,
    Run,
    State,
    Unknown,
    Vector,
    decode,
    encode,
    state_bytes,
)

__all__ = [
    "Session", "Input", "Started", "RecordReceived", "RunRead", "RunDone", "LogsGrew", "TimeCame",
    "Output", "Send", "ReadRun", "TakeRun", "PeerSettled", "Level", "WakeAt", "Hangup",
]  # fmt: skip

_LANES = PUSHED_LANES.bit_length()
_STATES_HEAD_BYTES = 8  # Of a VECTOR or ACK, beside its states: three heads and one number.


@dataclass(slots=True)
class _Taking:
    """A run the peer pushed, until our ACK for it leaves."""

    log: LogId
    start: int
    count: int
    size: int
    done: bool = False


class Session:
    """See the rules above.

    logs: the node's live mapping of durable states, only read here. It changes only before a LogsGrew.
    record_bytes_max: the largest record the link gives us, at least RECORD_BYTES_MIN.
    lanes: bit set of the lanes this node takes part in.
    root: gives the root over `logs`; without it the root is computed from nothing, 3 us for each log.
    """

    def __init__(
        self,
        logs: Mapping[LogId, LogState],
        *,
        record_bytes_max: int,
        lanes: int = PUSHED_LANES,
        root: Callable[[], bytes] | None = None,
    ) -> None:
        assert record_bytes_max >= RECORD_BYTES_MIN
        self.entries_received = 0
        self._logs = logs
        self._record_bytes_max = record_bytes_max
        self._lanes = lanes & PUSHED_LANES
        self._root_of_logs = root
        self._names = Names()
        self._peer = Peer(logs)
        self._push = Push(self._peer, self._names)
        self._root: bytes | None = None
        self._at_hello: Mapping[LogId, LogState] = {}
        self._hello: Hello | None = None
        self._agreed_lanes = 0
        self._open = 0  # Lanes below this one are known of the peer, and pushed.
        self._vector_at: tuple[int, bytes] = (-1, b"")
        self._taking: deque[_Taking] = deque()
        self._taking_bytes = 0
        self._owed = 0  # How many at the head of _taking are done.
        self._changed: dict[LogId, None] = {}  # Logs to tell the peer about, in this order.
        self._ack_due: float | None = None
        self._wake: float | None = None
        self._level = self._was_level = self._hung = False

    @property
    def entries_sent(self) -> int:
        return self._push.entries_sent

    def handle(self, event: Input, now: float) -> list[Output]:
        """What to do about it, in this order."""
        out: list[Output] = []
        if self._hung:
            return out
        try:
            self._take_in(event, out)
        except RemoteProtocolError as error:
            self._hung = True
            out.append(Hangup(error.reason))
            return out
        if self._open:
            self._push.pump(out)
            self._acknowledge(now, out)
            self._judge_level(out)
        if len(out) > 1:
            out.sort(key=_not_to_send)
        return out

    def _take_in(self, event: Input, out: list[Output]) -> None:
        match event:
            case RecordReceived(data):
                self._record(data, out)
            case RunDone():
                self._run_done(event)
            case RunRead():
                self._push.read(event, out)
            case LogsGrew(logs):
                for log in logs:
                    self._grew(log)
            case TimeCame():
                self._wake = None
            case Started():
                self._start(out)
            case _:
                assert_never(event)

    def _start(self, out: list[Output]) -> None:
        assert self._root is None, "a session starts once"
        self._root = self._root_of_logs() if self._root_of_logs else root(self._logs)
        self._at_hello = dict(self._logs)
        hello = Hello(WIRE_VERSION, 0, self._root, self._lanes, min(self._record_bytes_max, 2**32 - 1))
        out.append(Send(encode(hello)))

    def _record(self, data: bytes, out: list[Output]) -> None:
        assert self._root is not None, "Started comes first"
        record = decode(data, bytes_max=self._record_bytes_max)
        if self._hello is None:
            if not isinstance(record, Hello):
                raise RemoteProtocolError("hello-missing")
            self._greeted(record, out)
            return
        match record:
            case Run():
                self._run(record, out)
            case Ack():
                self._ack(record, out)
            case Vector():
                self._vector(record, out)
            case Gone(log, seqs):
                self._peer.excuse(self._resolve_pushed(log), seqs)
            case Hello():
                raise RemoteProtocolError("hello-twice")
            case Unknown(kind):
                if self._hello.version <= WIRE_VERSION:
                    raise RemoteProtocolError("record-unknown", f"type {kind}")
            case _:
                assert_never(record)

    # Getting to know each other.

    def _greeted(self, hello: Hello, out: list[Output]) -> None:
        self._hello = hello
        self._agreed_lanes = self._lanes & hello.lanes
        self._push.record_bytes_max = hello.record_bytes_max
        if hello.root == self._root:
            self._peer.equals(self._at_hello)
            out.extend(PeerSettled(log, state.settled) for log, state in self._at_hello.items())
            self._open_lanes(_LANES, {log for log, state in self._logs.items() if state is not self._at_hello.get(log)})
        else:
            told = [log for log, state in self._logs.items() if state.settled and self._agreed_lanes >> log.lane & 1]
            parts = list(self._states(sorted(told, key=_by_lane))) or [()]
            for number, states in enumerate(parts, 1):
                out.append(Send(encode(Vector(number < len(parts), states))))
        self._at_hello = {}

    def _vector(self, vector: Vector, out: list[Output]) -> None:
        if self._open == _LANES:
            raise RemoteProtocolError("vector-unexpected")
        if vector.more and not vector.states:
            raise RemoteProtocolError("vector-empty")
        for state in vector.states:
            log = self._resolve(state.log)
            if _by_lane(log) <= self._vector_at:
                raise RemoteProtocolError("vector-order", f"{log}")
            self._vector_at = _by_lane(log)
            self._open_lanes(log.lane)
            self._learn(log, state, out)
        if not vector.more:
            self._open_lanes(_LANES)

    def _learn(self, log: LogId, state: State, out: list[Output]) -> None:
        view = self._peer.announced(log, state.settled, state.tip)
        out.append(PeerSettled(log, view.holds))
        self._push.enqueue(view)

    def _open_lanes(self, end: int, only: set[LogId] | None = None) -> None:
        """All the peer has in lanes below end is known: push there, of all logs or only of these."""
        if self._open >= end:
            return
        lanes = [lane for lane in range(self._open, end) if self._agreed_lanes >> lane & 1]
        self._open = end
        logs = self._logs if only is None else only
        for log in sorted((log for log in logs if log.lane in lanes), key=_by_lane):
            self._grew(log)

    # What we push.

    def _grew(self, log: LogId) -> None:
        """Owe the peer what is new here; tell it what is new here that it has, so that it need not push it."""
        if log.lane >= self._open or not self._agreed_lanes >> log.lane & 1:
            return
        view = self._peer.log(log)
        ours = self._logs[log].settled
        if ours is view.seen:
            return
        if view.grew(ours):
            self._peer.weigh(view)
            if view.told != ours:
                self._changed[log] = None
        self._push.enqueue(view)

    def _ack(self, ack: Ack, out: list[Output]) -> None:
        self._expect_known()
        if not ack.runs_done and not ack.states:
            raise RemoteProtocolError("ack-empty")
        for state in ack.states:
            self._learn(self._resolve(state.log), state, out)
        self._push.acked(ack.runs_done)

    # What is pushed to us.

    def _run(self, run: Run, out: list[Output]) -> None:
        log = self._resolve_pushed(run.log)
        count, size = len(run.packed), sum(map(len, run.packed))
        self._taking_bytes += size
        if self._taking and (len(self._taking) >= WINDOW_RUNS_MAX or self._taking_bytes > WINDOW_BYTES_MAX):
            raise RemoteProtocolError("window-exceeded")
        self._taking.append(_Taking(log, run.start, count, size))
        self.entries_received += count
        self._peer.pushed(log, run.start, run.start + count)
        out.append(TakeRun(log, run.start, run.prev, run.packed))

    def _run_done(self, event: RunDone) -> None:
        asked = (event.log, event.start, event.count)
        taking = next((run for run in self._taking if not run.done and (run.log, run.start, run.count) == asked), None)
        assert taking is not None, "a RunDone that answers no TakeRun"
        taking.done = True
        while self._owed < len(self._taking) and self._taking[self._owed].done:
            self._owed += 1
        if event.log in self._logs:
            self._grew(event.log)
            left = self._logs[event.log].settled.gaps(event.start, event.start + event.count)
        else:
            left = ((event.start, event.start + event.count),)
        if left:  # Whatever the reason, this run did not settle these: they are not waited for any more.
            self._peer.excuse(event.log, Ranges(left))
        self._changed[event.log] = None

    def _acknowledge(self, now: float, out: list[Output]) -> None:
        if not self._owed and not self._changed:
            self._ack_due = None
            return
        if self._ack_due is None:
            self._ack_due = now + ACK_DELAY_S
        at_once = self._owed and (
            self._owed >= ACK_RUNS_MAX
            or any(type(output) is Send for output in out)
            # The first reconciliation is over but for this ACK: the peer may be waiting to leave.
            or (not self._was_level and self._owed == len(self._taking) and self._has_all)
        )
        if at_once or now >= self._ack_due:
            self._send_ack(out)
        elif self._wake is None or self._wake > self._ack_due:
            self._wake = self._ack_due
            out.append(WakeAt(self._wake))

    def _send_ack(self, out: list[Output]) -> None:
        changed = [log for log in self._changed if log in self._logs]
        news = [log for log in changed if self._peer.log(log).told != self._logs[log].settled]
        parts = list(self._states(news))
        if self._owed and not parts:
            parts = [()]
        for number, states in enumerate(parts, 1):
            # The count comes last: when the peer looks at what was refused, it knows every state.
            out.append(Send(encode(Ack(self._owed if number == len(parts) else 0, states))))
        for _ in range(self._owed):
            self._taking_bytes -= self._taking.popleft().size
        self._owed = 0
        self._changed.clear()
        self._ack_due = None

    # Shared.

    def _states(self, logs: Iterable[LogId]) -> Iterable[tuple[State, ...]]:
        """What we have settled of these logs, in parts that fit into one record each."""
        part: list[State] = []
        size = _STATES_HEAD_BYTES
        for log in logs:
            reference = self._names.mention(log)
            if reference is None:
                continue  # Beyond LOGS_MAX: left unsaid, so the peer may push what we have.
            ours = self._logs[log]
            self._peer.log(log).told = ours.settled
            state = State(reference, ours.settled, ours.tip[:TIP_BYTES])
            if len(ours.settled.spans) > RANGES_MAX:
                state = State(reference, Ranges(ours.settled.spans[:RANGES_MAX]), b"")
            size += state_bytes(state)
            if size > STATES_BYTES_MAX and part:
                yield tuple(part)
                part, size = [], _STATES_HEAD_BYTES + state_bytes(state)
            part.append(state)
        if part:
            yield tuple(part)

    @property
    def _has_all(self) -> bool:
        """The peer is known, and has nothing that we lack and may still get."""
        return self._open == _LANES and not self._peer.awaited

    def _judge_level(self, out: list[Output]) -> None:
        level = self._has_all and not self._taking and self._push.idle
        if level and not self._level:
            out.append(Level())
            self._was_level = True
        self._level = level

    def _resolve(self, reference: bytes | int) -> LogId:
        log = self._names.resolve(reference)
        if not self._agreed_lanes >> log.lane & 1:
            raise RemoteProtocolError("lane-unwanted", f"lane {log.lane}")
        return log

    def _resolve_pushed(self, reference: bytes | int) -> LogId:
        self._expect_known()
        return self._resolve(reference)

    def _expect_known(self) -> None:
        if self._open < _LANES:
            raise RemoteProtocolError("vector-missing")


def _by_lane(log: LogId) -> tuple[int, bytes]:
    return log.lane, log.feed


def _not_to_send(output: Output) -> bool:
    return type(output) is not Send
