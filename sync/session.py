"""One reconciliation between two nodes over one link: what to say, from the first record to the last.

Rule 1: all protocol state lives here and in what this holds; only `handle` changes it. No clock, no I/O.
Rule 2: both sides say HELLO at once, and then only what the other needs to know them (meeting.py).
Rule 3: knowing what the peer has settled, each pushes what it lacks, lane by lane (push.py), now and live.
Rule 4: an ACK speaks only of what is durable: runs that the node answered with RunDone, states in its frontier.
Rule 5: whatever the peer does wrong ends in one Hangup with a reason, and nothing after it.
Rule 6: the shell performs outputs in their order, and answers every ReadRun, TakeRun and AskDrained exactly once. Sends
        come first in each list, so a shell may answer an order while it performs it: records still leave as made.

The link may break at any moment: the session is dropped, and the next one repeats only what was not settled. What the
next one needs is `memory()`, to be kept as durably as may be: what is lost of it costs bytes, never entries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from math import inf
from typing import assert_never

from sync.events import (
    AskDrained,
    Drained,
    Hangup,
    Input,
    Level,
    LogsGrew,
    Noticed,
    Output,
    PeerSettled,
    PeerTook,
    ReadRun,
    RecordReceived,
    RunDone,
    RunRead,
    Send,
    SourceFree,
    Started,
    TakeRun,
    TimeCame,
    WakeAt,
    Wanted,
    Weighed,
)
from sync.frontier import Frontier
from sync.holding import Holding
from sync.limits import (
    ACK_BYTES_MAX,
    ACK_DELAY_S,
    ACK_RUNS_MAX,
    HEARD_ACKS_MAX,
    LANES,
    RECORD_BYTES_MIN,
    UNTOLD_LOGS_MAX,
)
from sync.logs import LogId, reconciled
from sync.meeting import Meeting
from sync.memory import Memory
from sync.names import Names
from sync.octets import VARINT_END
from sync.peer import Peer, PeerLog
from sync.push import Push, Withholds
from sync.ranges import NOTHING, Ranges
from sync.sharing import Sharing
from sync.sources import SessionId, Sources
from sync.taking import Taking
from sync.wanting import Wanting
from sync.wire import (
    WIRE_VERSION,
    Ack,
    Ask,
    Check,
    Gone,
    Hello,
    LogRef,
    RemoteProtocolError,
    Run,
    Sketch,
    Sketched,
    States,
    Stop,
    Unknown,
    Vector,
    Want,
    Withheld,
    decode,
    encode,
)

__all__ = [
    "Session", "Input", "Started", "RecordReceived", "RunRead", "RunDone", "LogsGrew", "Drained", "SourceFree",
    "Wanted", "Weighed", "TimeCame", "Output", "Send", "ReadRun", "TakeRun", "PeerSettled", "PeerTook", "Level",
    "AskDrained", "Noticed", "WakeAt", "Hangup",
]  # fmt: skip


class Session:
    """One side. `handle` takes an event and the time (seconds, any steady clock) and gives orders."""

    def __init__(
        self,
        frontier: Frontier,
        *,
        record_bytes_max: int,
        salt: bytes = b"",
        memory: Memory | None = None,
        sources: Sources | None = None,
        number: SessionId = 0,
        watched: Collection[bytes] = (),
        lanes: int = (1 << LANES) - 1,
        listed: bool = True,
        later: Callable[[LogId], bool] = lambda _: False,
        withholds: Withholds = lambda _log, _start, _stop: NOTHING,
        apart: bool = False,
    ) -> None:
        """`listed`: whether feeds may be named by the organisation's list; not after `list-differs`. `later`: which
        logs are pushed after all others of their lane. `withholds`: what is not to be pushed for now (push.py); asked
        anew after `Weighed`. `apart`: the peer hears none of the others that we hear (holding.py).

        `salt` is the same at both ends and unknown before: of the link. `watched` are the feeds that PeerSettled is
        told of. Sessions that share `sources` have different numbers."""
        assert record_bytes_max >= RECORD_BYTES_MIN
        self.entries_received = 0
        self._frontier = frontier
        # Records are told in powers of two.
        self._record_bytes_max = 1 << record_bytes_max.bit_length() - 1
        self._watched = tuple(watched)
        self._names = Names(frontier, salt, listed=listed)
        self._peer = Peer(frontier)
        self._meeting = Meeting(frontier, memory, self._names, self._peer, lanes, salt)
        self._push = Push(self._peer, self._names, later, withholds)
        self._wanting = Wanting(self._peer, self._push)
        self._sharing = Sharing(frontier, self._peer, self._names, Sources() if sources is None else sources, number)
        self._taking = Taking()
        self._holding = Holding(self._push, apart)
        self._tells_now = False
        self._changed: dict[LogId, None] = {}  # Logs to tell the peer about, in this order.
        self._told_upto = 0
        self._heard_told = 0
        self._heard_acks = 0
        self._released = False  # The peer does not hold us, or no longer.
        self._introduced = False
        self._ack_due: float | None = None
        self._wake: float | None = None
        self._level = self._was_level = self._hung = self._started = False

    @property
    def entries_sent(self) -> int:
        return self._push.entries_sent

    def memory(self) -> Memory | None:
        """What is to be kept of this peer; None where it is not known, or is too much to be worth it."""
        return self._meeting.memory()

    def handle(self, event: Input, now: float) -> list[Output]:
        """What to do about it, in this order."""
        out: list[Output] = []
        if self._hung:
            return out
        try:
            self._take_in(event, out, now)
        except RemoteProtocolError as error:
            self._hung = True
            out.append(Hangup(error.reason))
            return out
        if self._meeting.open_lanes:
            self._go_on(out, now)
        if len(out) > 1:
            out.sort(key=_not_to_send)
        return out

    def _go_on(self, out: list[Output], now: float) -> None:
        """What follows from whatever came. Mostly nothing, for every session hears of every change: so each step looks
        first whether it has anything to do."""
        known, sharing, push = self._meeting.known, self._sharing, self._push
        if not self._introduced or push.lanes_open < LANES:
            self._open(out)
        if known and sharing.has_news and (ours := sharing.share(out, now)):
            self._resume(ours, out, now)
        if self._holding.count and (when := self._holding.let_go(now, out)) < inf:
            self._wake_at(when, out)
        if push.busy:
            push.pump(out, now)
        if push.offered:
            self._meeting.tell(self._holding.offer(now), out)
            self._wake_at(self._holding.until, out)
        if self._taking.owed or self._changed or self._heard_due:
            self._acknowledge(now, out)
        else:
            self._ack_due = None
        if self._peer.withheld_unsaid and not push.busy and not self._holding.count:
            self._meeting.say_withheld(out)
        self._judge_level(out)
        if known and (not self._taking.count if sharing.awaits else self._peer.awaited):
            self._wake_at(sharing.wait(now), out)
        else:
            sharing.waits = False

    def _take_in(self, event: Input, out: list[Output], now: float) -> None:
        match event:
            case RecordReceived(data):
                self._record(data, out, now)
            case LogsGrew(before):
                for log, settled in before:
                    self._grew(self._peer.log(log, settled), from_elsewhere_at=now)
            case RunDone():
                self._run_done(event)
            case RunRead():
                self._push.read(event, out)
            case Drained():
                self._push.drained(now)
            case SourceFree(logs):
                self._resume(logs, out, now)
            case Wanted():
                self._wanting.want(event)
                if self._meeting.hello is not None:
                    self._wanting.ask(self._meeting.agreed_lanes, out)
            case Weighed():
                self._push.weigh_again()
            case TimeCame():
                self._wake = None
                if self._has_to_come and self._sharing.stalled(now):
                    out.append(Noticed("promise-broken"))
                if self._meeting.known:
                    self._resume(self._sharing.overdue(now), out, now)
            case Started():
                assert not self._started, "a session starts once"
                self._started = True
                self._told_upto = self._frontier.upto
                hold = self._sharing.start()
                self._meeting.start(out, record_bytes_max=self._record_bytes_max, hold=hold)
            case _:
                assert_never(event)

    def _record(self, data: bytes, out: list[Output], now: float) -> None:
        assert self._started, "Started comes first"
        record = decode(data, bytes_max=self._record_bytes_max)
        meeting = self._meeting
        if meeting.hello is None:
            if not isinstance(record, Hello):
                raise RemoteProtocolError("hello-missing")
            self._push.record_bytes_max = record.record_bytes_max
            self._sharing.progress = now
            self._released = not record.hold
            meeting.greeted(record, out)
            self._heard_told = meeting.heard
            self._wanting.ask(meeting.agreed_lanes, out)
            return
        match record:
            case Run():
                self._run(record, out, now)
            case Ack():
                self._ack(record, out)
            case States():
                was_known = meeting.known
                for view in meeting.states(record, out):
                    self._noted(view, out)
                    if was_known and (view.told_again or not self._sharing.crowded):
                        self._sharing.told[view.log] = None
            case Gone(ref, seqs):
                self._noted(self._peer.excuse(self._resolve(ref), seqs), out)
            case Withheld():
                self._peer.withholds(self._taking.under_way)
            case Want(ref, seqs):
                view = self._peer.log(self._resolve(ref))
                self._holding.release(view)
                self._wanting.wanted(view, seqs, self._frontier.settled(view.log), out)
            case Stop(refs):
                self._stop(refs)
            case Vector():
                meeting.vector(record, out)
            case Sketch():
                meeting.sketch(record, out)
            case Sketched():
                meeting.sketched(record, out)
            case Ask():
                meeting.asked(out)
            case Check():
                meeting.checked(record, out)
            case Hello():
                raise RemoteProtocolError("hello-twice")
            case Unknown(kind):
                if meeting.hello.version <= WIRE_VERSION:
                    raise RemoteProtocolError("record-unknown", f"type {kind}")
            case _:
                assert_never(record)

    # Getting to know each other.

    def _open(self, out: list[Output]) -> None:
        """Push in the lanes of which the peer has become known, and in which it does not hold us."""
        before, opened = self._push.lanes_open, self._meeting.open_lanes
        if not self._released:
            opened = min(opened, 1)
        if before < opened:
            self._push.lanes_open = opened
            for view in list(self._peer.views):
                if before <= view.log.lane < opened:
                    self._grew(view)
        if self._meeting.known and not self._introduced:
            self._introduced = True
            states = self._frontier.states
            watched = (log for feed in self._watched for lane in range(LANES) if (log := LogId(feed, lane)) in states)
            out.extend(PeerSettled(log, held) for log in watched if (held := self._peer.holds(log)))

    def _noted(self, view: PeerLog, out: list[Output]) -> None:
        """The peer has said more about this log."""
        if view.log.feed in self._watched and view.holds:
            out.append(PeerSettled(view.log, view.holds))
        self._holding.noted(view)
        self._push.enqueue(view)

    # What we push.

    def _grew(self, view: PeerLog, *, from_elsewhere_at: float | None = None) -> None:
        """Owe the peer what is new here; tell it what is new here that it has, so that it need not push it."""
        log = view.log
        ours = self._frontier.settled(log)
        self._peer.came(view, ours)
        if log.lane >= self._push.lanes_open or not self._agreed(log) or not reconciled(log) or ours is view.seen:
            return
        has_some = view.grew(ours)
        if view.stopped or (has_some and view.told != ours and not view.paused):
            self._changed[log] = None  # What is stopped is not pushed, so it is told.
        view.to_offer = bool(log.lane) and self._sharing.crowded and not self._holding.apart
        if from_elsewhere_at is not None and log.feed not in self._watched and self._sharing.others:
            self._hold_back(view, from_elsewhere_at)
        self._push.enqueue(view)

    def _hold_back(self, view: PeerLog, now: float) -> None:
        """Tell what came from another peer before it is pushed: if the two know each other it would come twice."""
        apart = self._holding.apart
        waits = view.log.lane or (not apart and (self._push.later(view.log) or self._sharing.crowded))
        if view.owes and not view.queued and waits:
            self._holding.hold(view, now)
            if not apart:
                self._changed[view.log] = None
                self._tells_now = True

    def _ack(self, ack: Ack, out: list[Output]) -> None:
        taken = self._push.acked(ack.runs_done, ack.refused)
        out.extend(PeerSettled(sent.view.log, sent.view.holds) for sent in taken if sent.view.log.feed in self._watched)
        out.extend(PeerTook(sent.view.log, sent.start, sent.stop) for sent in taken if sent.view.log.lane)
        meeting = self._meeting
        if ack.advance:
            self._heard_acks += 1
            if meeting.heard + ack.advance >= VARINT_END:
                raise RemoteProtocolError("ack-beyond", "its change number")
            meeting.heard += ack.advance
        if ack.heard:
            meeting.confirmed += ack.heard
            if meeting.confirmed > self._told_upto:
                raise RemoteProtocolError("ack-beyond", "our change number")

    def _stop(self, refs: Iterable[LogRef]) -> None:
        self._released = True
        for ref in refs:
            view = self._peer.log(self._resolve(ref))
            if view.log.lane:
                view.stopped = True
                if view.told != self._frontier.settled(view.log):
                    self._changed[view.log] = None  # It is not pushed, so it is told.

    # What is pushed to us.

    def _resume(self, logs: Collection[LogId], out: list[Output], now: float) -> None:
        """These are this peer's to push now; it hears first what came from elsewhere meanwhile."""
        news = self._sharing.resumed(logs)
        if news:
            self._changed.update(dict.fromkeys(news))
            self._send_ack(out)
        self._sharing.go_on(logs, out, now)

    def _run(self, run: Run, out: list[Output], now: float) -> None:
        log = self._resolve(run.log)
        self._sharing.pushed(log, now)
        count, size = len(run.packed), sum(map(len, run.packed))
        if not reconciled(log) and not self._wanting.asked_for(log, run.start, run.start + count):
            raise RemoteProtocolError("lane-unwanted", f"lane {log.lane}, which is only asked for")
        self._taking.begin(log, run.start, count, size, final=run.prev is not None or not run.start)
        self.entries_received += count
        self._peer.pushed(log, run.start, run.start + count)
        out.append(TakeRun(log, run.start, run.prev, run.packed))

    def _run_done(self, event: RunDone) -> None:
        taken = self._taking.done(event.log, event.start, event.start + event.count)
        view = self._peer.log(event.log)
        self._grew(view)
        left = self._frontier.settled(event.log).gaps(event.start, event.start + event.count)
        if left:  # Whatever the reason, this run did not settle these: they are not waited for any more.
            self._peer.refused(view, Ranges(left), final=taken.final)
            if reconciled(event.log):
                self._changed[event.log] = None

    def _acknowledge(self, now: float, out: list[Output]) -> None:
        owed = self._taking.owed
        if self._ack_due is None:
            self._ack_due = now + ACK_DELAY_S
        # It rides with another record, but not with each of many.
        rides = any(type(output) is Send for output in out) and (2 * owed >= ACK_RUNS_MAX or not self._push.busy)
        at_once = (rides or self._tells_now) or (
            owed
            and (
                owed >= ACK_RUNS_MAX
                or self._taking.bytes >= ACK_BYTES_MAX
                # The first reconciliation is over but for this ACK: the peer may be waiting to leave.
                or (not self._was_level and owed == self._taking.count and self._has_all)
            )
        )
        if at_once or now >= self._ack_due:
            self._send_ack(out)
        else:
            self._wake_at(self._ack_due, out)

    def _send_ack(self, out: list[Output]) -> None:
        refused: list[int] = []
        done = self._taking.acknowledged()
        for index, run in enumerate(done):
            view = self._peer.log(run.log)
            if self._frontier.settled(run.log).covers(run.start, run.stop):
                view.told = view.told.add(run.start, run.stop)
            else:
                refused.append(index)
        news = {log: None for log in self._changed if self._peer.log(log).told != self._frontier.settled(log)}
        self._changed.clear()
        upto = self._frontier.upto
        if self._meeting.known:
            upto = self._untold(news)
        if news:
            self._meeting.tell(news, out)
        advance = max(upto - self._told_upto, 0) if self._meeting.known else 0
        heard = self._meeting.heard - self._heard_told if self._meeting.known else 0
        if done or advance or heard:
            # It comes after the states: when the peer looks at what was refused, it knows every one of them.
            out.append(Send(encode(Ack(len(done), advance, heard, tuple(refused)))))
        self._told_upto += advance
        self._heard_told += heard
        self._heard_acks = self._meeting.learned = 0
        self._tells_now = False
        self._ack_due = None

    def _untold(self, news: dict[LogId, None]) -> int:
        """Up to which change number the peer knows everything, once it is told these news, to which this adds."""
        upto = self._frontier.upto
        for log in self._frontier.since(self._told_upto):
            if log in news or not reconciled(log) or not self._agreed(log):
                continue
            view = self._peer.log(log)
            if view.told == self._frontier.settled(log):
                continue
            if view.owes or view.queued:
                upto = min(upto, self._frontier.number(log) - 1)  # It will hear of this one when it is pushed.
            else:
                news[log] = None
        return upto

    # Shared.

    def _wake_at(self, when: float, out: list[Output]) -> None:
        if self._wake is None or self._wake > when:
            self._wake = when
            out.append(WakeAt(when))

    @property
    def _heard_due(self) -> bool:
        """The peer should hear how much of its news has come."""
        return self._heard_acks >= HEARD_ACKS_MAX or self._meeting.learned >= UNTOLD_LOGS_MAX

    @property
    def _has_to_come(self) -> bool:
        """The peer should be pushing, and nothing of it is being taken."""
        return self._meeting.known and not self._taking.count and self._sharing.awaits

    @property
    def _has_all(self) -> bool:
        """The peer is known, and has nothing that we lack and may still get."""
        return self._meeting.known and not self._peer.awaited

    def _judge_level(self, out: list[Output]) -> None:
        under_way = self._taking.count or self._holding.count or not self._push.idle
        level = not under_way and self._has_all and self._meeting.told
        if level and not self._level:
            out.append(Level())
            if not self._was_level and self._meeting.differed:
                self._meeting.check(out)
            self._was_level = True
        self._level = level

    def _agreed(self, log: LogId) -> bool:
        return bool(self._meeting.agreed_lanes >> log.lane & 1)

    def _resolve(self, ref: LogRef) -> LogId:
        log = self._names.resolve(ref)
        if not self._agreed(log):
            raise RemoteProtocolError("lane-unwanted", f"lane {log.lane}")
        return log


def _not_to_send(output: Output) -> bool:
    return type(output) is not Send
