"""How two nodes get to know each other: HELLO, and after it as little as there is to tell.

    both remember       HELLO + what changed since (STATES)                         half a round trip
    one remembers       the other is answered with what differs from its own states
    neither             the one with the smaller root tells everything (VECTOR, or SKETCH where that would be long),
                        the other answers with what differs

Law 1: the peer is known only when its root fits, or when it has told everything that is not the same as ours.
Law 2: what is said with `rest` is relative to what the other has told, so both keep what they have told (PeerLog.told).
Law 3: whatever is wrong with what was remembered leads to the form that needs no memory, never to less being told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sync.events import Noticed, Output, Send
from sync.frontier import Frontier
from sync.limits import (
    LANES,
    LOGS_MAX,
    PUSHED_LANES,
    SPANS_MAX,
    SYMBOL_BYTES,
    SYMBOLS_MORE_MAX,
    VECTOR_BYTES_MAX,
)
from sync.logs import NO_CHAIN, SUM_MODULUS, LogId, reconciled, root, step, view_digest
from sync.memory import Memory
from sync.names import Names
from sync.octets import RemoteProtocolError
from sync.peer import Peer, PeerLog
from sync.ranges import Ranges
from sync.sketching import Sketching
from sync.telling import Telling, told_in
from sync.wire import (
    CHECK_ROOT_BYTES,
    WIRE_VERSION,
    Ask,
    Check,
    Hello,
    Remembered,
    Sketch,
    Sketched,
    State,
    States,
    Vector,
    Withheld,
    encode,
)

_EPOCH_CHECK = 0xFFFF


class Meeting:
    """One side of it. `open_lanes` says how many lanes of the peer are known, from lane 0 on."""

    def __init__(
        self, frontier: Frontier, memory: Memory | None, names: Names, peer: Peer, lanes: int, salt: bytes
    ) -> None:
        self.hello: Hello | None = None
        self.agreed_lanes = 0
        self.open_lanes = 0
        self.heard = 0
        """The peer's change number up to which we know it."""
        self.confirmed = 0
        """Ours up to which it said that it knows us."""
        self.learned = 0
        """States heard since we last said how far we have heard."""
        self._frontier = frontier
        self._memory = memory
        self._names = names
        self._peer = peer
        self._lanes = lanes
        self._salt = salt
        self._root = b""
        self._chain = b""
        self._upto = 0
        self._delta: list[LogId] | None = None  # What was told with our HELLO, if anything was.
        self._delta_expected = False
        self._deaf = False  # A delta comes that builds on what we do not remember: it is not read.
        self._needed = False  # The peer must be told everything.
        self._spoken = self._was_asked = self._rechecked = False
        self._heard_states: dict[LogId, Ranges] = {}
        self._vector: dict[LogId, Ranges] = {}
        self._vector_lane = 0
        self._parts_spans = 0
        self._telling = Telling(frontier, names, peer)
        self._sketching = Sketching(frontier, salt)

    @property
    def told(self) -> bool:
        """Whether the peer has been told what it needs, as far as it has said."""
        return self.hello is not None and not self._needed

    @property
    def differed(self) -> bool:
        """Whether the two had not settled the same when they met: then their HELLOs said nothing of forks."""
        return self.hello is not None and self.hello.root != self._root

    @property
    def known(self) -> bool:
        return self.open_lanes == LANES

    def memory(self) -> Memory | None:
        """What is to be kept of the peer; None where it is not known, or is too much to be worth it."""
        frontier, hello = self._frontier, self.hello
        if not self.known or hello is None or PUSHED_LANES & ~self.agreed_lanes:
            return None  # Of lanes that were not spoken of there is nothing to keep, and a root speaks of all.
        logs = [*self._peer.differing(), *frontier.since(frontier.upto)]
        if len(logs) > LOGS_MAX:
            return None
        views = {log: self._peer.holds(log) for log in logs if reconciled(log)}
        digest = view_digest(frontier.view_of(views))
        return Memory(hello.epoch, self.heard, self.confirmed, frontier.upto, hello.known, digest, views)

    # HELLO.

    def start(self, out: list[Output], *, record_bytes_max: int, hold: bool) -> None:
        """Say HELLO, and what changed since we last met, if that is little."""
        frontier, memory = self._frontier, self._memory
        if memory is not None and view_digest(frontier.view_of(memory.views)) != memory.digest:
            out.append(Noticed("memory-damaged"))
            memory = None
        self._memory = memory
        self._root, self._chain, self._upto = frontier.root(self._salt), frontier.chain(self._salt), frontier.upto
        names, remembered, delta = self._names, None, False
        if memory is not None:
            self._peer.remembered(memory.views)
            since = min(memory.told, self._upto)
            remembered = Remembered(since, memory.epoch & _EPOCH_CHECK, memory.heard)
            names.shared = min(names.known, memory.known)
            self._delta = names.in_order(log for log in frontier.since(since) if told_in(self._lanes, log))
            # Some may have changed beyond `upto`, which is the number of what is told; the root speaks of them too. And
            # where only lanes changed that are not told, that is told: nothing.
            changed = since < self._upto or bool(self._delta)
            delta = changed and self._telling.is_short_unasked(self._delta, self._lanes)
        check = names.feeds.check(names.known) if names.known else b""
        assert check is not None, "nobody grows a list while a session begins"
        hello = Hello(
            WIRE_VERSION, self._lanes, record_bytes_max, names.known, check, frontier.epoch, self._upto, self._root,
            self._chain, remembered, delta, hold,
        )  # fmt: skip
        out.append(Send(encode(hello)))
        if delta and self._delta is not None:
            out.extend(Send(encode(record)) for record in self._telling.states(self._delta, rest=False))
        else:
            self._delta = None

    def greeted(self, hello: Hello, out: list[Output]) -> None:
        """The peer's HELLO. Raises RemoteProtocolError("list-differs")."""
        self.hello = hello
        self.agreed_lanes = self._lanes & hello.lanes
        self._peer.lanes &= self.agreed_lanes
        names = self._names
        if hello.known and hello.known <= names.known and names.feeds.check(hello.known) != hello.check:
            raise RemoteProtocolError("list-differs")
        names.shared = min(names.known, hello.known)
        self._sketching.agree(self.agreed_lanes, with_tips=NO_CHAIN not in (self._chain, hello.chain))
        remembers_us = self._judge_their_memory(hello, out)
        remembered = self._judge_our_memory(hello, out)
        self._deaf = hello.delta and not remembered
        if hello.root == self._root:
            self._delta_expected = remembered and hello.delta
            self._peer.forgotten()
            self._become_known(hello.upto)
            self.confirmed = max(self.confirmed, self._upto)  # It sees the same, and knows us by it.
            if NO_CHAIN < self._chain < hello.chain:
                self._sketch(out)
            return
        self._needed = not remembers_us
        self._delta_expected = remembered and hello.delta
        if remembered and not hello.delta:
            self._check_root(out)
        elif not remembered:
            self._peer.forgotten()
        self._settle(out)

    def _judge_their_memory(self, hello: Hello, out: list[Output]) -> bool:
        """Whether what we have told with our HELLO is all that the peer needs."""
        theirs, ours = hello.memory, self._memory
        if theirs is None or theirs.epoch != self._frontier.epoch & _EPOCH_CHECK:
            return False
        if theirs.heard > self._upto:
            out.append(Noticed("rolled-back"))  # It has heard more of us than we know: our disk is an older one.
            return False
        self.confirmed = theirs.heard
        if ours is None or self._delta is None:
            return theirs.heard == self._upto
        return theirs.heard >= min(ours.told, self._upto)

    def _judge_our_memory(self, hello: Hello, out: list[Output]) -> bool:
        """Whether what the peer tells with its HELLO, together with what we remember, is all of it."""
        ours, theirs = self._memory, hello.memory
        if ours is None:
            return False
        if ours.epoch & _EPOCH_CHECK != hello.epoch & _EPOCH_CHECK:
            if theirs is not None:  # Who has lost its disk has forgotten us with it: that is no surprise.
                out.append(Noticed("epoch-new"))
            return False
        if ours.heard > hello.upto:
            out.append(Noticed("peer-rolled-back"))
            return False
        self.heard = ours.heard
        if theirs is None or not hello.delta:
            return hello.upto == ours.heard
        return theirs.since <= ours.heard

    # What the peer tells.

    def states(self, record: States, out: list[Output]) -> list[PeerLog]:
        """Some of its states; the views that this changed. Raises RemoteProtocolError."""
        if self._deaf:
            self._deaf = record.more
            return []
        told = self._delta_of(record) if self._delta_expected else self._resolve(record.states)
        if told is None:
            self._delta_expected, self._deaf, self._heard_states = False, record.more, {}
            if not self.known:
                self._disbelieve(out)
            self._settle(out)
            return []
        if self._delta_expected or record.rest:
            self._heard_states.update(told)
            self._bound(told)
            if record.more:
                return []
            told, self._heard_states = self._heard_states, {}
        if record.rest:
            return self._rest(told, out)
        views = [self._peer.announced(log, settled) for log, settled in told.items()]
        self.learned += len(views)
        if self._delta_expected:
            self._delta_expected = False
            if not self.known:
                self._check_root(out)
                self._settle(out)
        return views

    def _delta_of(self, record: States) -> dict[LogId, Ranges] | None:
        """What a delta tells of the lanes that both take part in; None where it names what is not known here.

        Its sender named by what it remembered of us, before it could see that our disk is an older one.
        """
        told: dict[LogId, Ranges] = {}
        for state in record.states:
            try:
                log = self._names.named(state.log)
            except RemoteProtocolError:
                return None
            if log in told:
                raise RemoteProtocolError("log-repeated", f"{log}")
            if self._agreed(log):
                told[log] = state.settled
        return told

    def _rest(self, told: dict[LogId, Ranges], out: list[Output]) -> list[PeerLog]:
        hello = self._hello()
        told, forked = self._sketching.explained(told)
        answer = self._tell_rest if self.known else self._answer
        if self.known:
            # What it has grown to since the sketch, by our own run for one, is no other story.
            forked = {log for log in forked if self._peer.holds(log) == told[log]}
        else:
            self._peer.rest({**self._telling.in_part, **told})
            self._become_known(hello.upto)
        views = [self._peer.announced(log, settled) for log, settled in told.items()]
        for view in views:
            if view.log in forked:
                view.found_forked()
        self.learned += len(views) + 1
        if self._sketching.answered():
            answer(self._names.in_order(told), out)
            self._needed = False
        self._settle(out)
        return views

    def vector(self, record: Vector, out: list[Output]) -> None:
        """A part of everything. Raises RemoteProtocolError: vector-order, vector-unexpected."""
        if self.known:
            raise RemoteProtocolError("vector-unexpected")
        told = self._told(record.states)
        for log in told:
            if log.lane < self._vector_lane or log in self._vector:
                raise RemoteProtocolError("vector-order", f"{log}")
        if told:
            self._open_below(min(log.lane for log in told))
            self._vector_lane = max(log.lane for log in told)
        elif record.more:
            raise RemoteProtocolError("vector-empty")
        self._vector.update(told)
        self._bound(told)
        if record.more:
            return
        self._open_below(LANES)
        self._vector.clear()
        self.heard = max(self.heard, self._hello().upto)
        self.learned += 1
        self._settle(out)

    def _bound(self, told: Mapping[LogId, Ranges]) -> None:
        """Parts wait for the last one; all of them that a session hears are bounded together."""
        self._parts_spans += sum(1 + len(settled.spans) for settled in told.values())
        if self._parts_spans > SPANS_MAX:
            raise RemoteProtocolError("ranges-too-many", "in all parts together")

    def _open_below(self, lane: int) -> None:
        lanes = range(self.open_lanes, lane)
        if lanes:
            self._peer.everything({log: told for log, told in self._vector.items() if log.lane in lanes}, lanes)
            self.open_lanes = lane

    def asked(self, out: list[Output]) -> None:
        """The peer does not know us. Raises RemoteProtocolError("ask-twice")."""
        self._hello()
        if self._was_asked:
            raise RemoteProtocolError("ask-twice")
        self._was_asked = True
        self._needed = self._needed or not self._spoken  # What was spoken is everything already.
        self._settle(out)

    # Forks.

    def check(self, out: list[Output]) -> None:
        """Say what we have now, so that a fork of equal length is found."""
        root, chain = self._frontier.root(self._salt), self._frontier.chain(self._salt)
        out.append(Send(encode(Check(root[:CHECK_ROOT_BYTES], chain))))

    def checked(self, record: Check, out: list[Output]) -> None:
        """What the peer has. If it is the same and the tips differ, the one with the smaller chain looks where."""
        chain = self._frontier.chain(self._salt)
        same = record.root == self._frontier.root(self._salt)[:CHECK_ROOT_BYTES]
        if not self.known or not same or NO_CHAIN in (chain, record.chain):
            return
        if chain < record.chain and not self._sketching.used:
            self._sketch(out)
        elif chain > record.chain and not self._rechecked:
            self._rechecked = True
            self.check(out)

    # Sketches.

    def sketch(self, record: Sketch, out: list[Output]) -> None:
        """The peer's next symbols. Raises RemoteProtocolError: sketch-malformed, sketch-unexpected."""
        self._hello()
        if not self._sketching.hearing and not self.known:
            self._peer.told_all()
        # Of one that is known only forks are to be found, and no VECTOR would tell of them.
        least = SYMBOL_BYTES * SYMBOLS_MORE_MAX if self.known else 0
        answer = self._sketching.hear(record.symbols, max(self._telling.everything_bytes(self.agreed_lanes), least))
        out.append(Send(encode(answer)))
        if answer.more or answer.given_up:
            return
        differing = self._names.in_order(log for log in self._sketching.mine if self._agreed(log))
        self._tell(differing, out, rest=True)
        self._needed = False

    def sketched(self, record: Sketched, out: list[Output]) -> None:
        """The peer's answer to ours. Raises RemoteProtocolError: sketch-unexpected, sketch-malformed."""
        more = self._sketching.heard(record)
        if more is not None:
            out.append(Send(encode(more)))
        elif record.given_up and not self.known:
            self._speak_vector(out)

    def _sketch(self, out: list[Output]) -> None:
        if not self.known:  # Otherwise it is for tips, and what it shows of states is not looked at.
            self._peer.told_all()
        out.append(Send(encode(self._sketching.begin())))
        self._spoken = True

    # What we tell.

    def _settle(self, out: list[Output]) -> None:
        """Tell the peer what it needs, as soon as we may."""
        if not self._needed or self._delta_expected:
            return
        if self.known:
            self._needed = False
            self._answer(self._names.in_order(filter(self._agreed, self._peer.differing())), out)
        elif not self._spoken and self._root < self._hello().root:
            if self._telling.everything_bytes(self.agreed_lanes) <= VECTOR_BYTES_MAX:
                self._speak_vector(out)
            else:
                self._sketch(out)

    def _speak_vector(self, out: list[Output]) -> None:
        self._spoken = True
        self._needed = False
        self._tell_everything(out)

    def _answer(self, logs: list[LogId], out: list[Output]) -> None:
        """Tell the difference, or everything where that is shorter."""
        if self._telling.is_short(logs, self.agreed_lanes):
            self._tell_rest(logs, out)
        else:
            self._tell_everything(out)

    def _tell_rest(self, logs: list[LogId], out: list[Output]) -> None:
        self._tell(logs, out, rest=True)

    def _tell(self, logs: Sequence[LogId], out: list[Output], *, rest: bool = False) -> None:
        """States of these logs, which are in order."""
        out.extend(Send(encode(record)) for record in self._telling.states(logs, rest=rest))
        self._names.mentioned(logs)
        for log in logs:
            view = self._peer.log(log)
            view.told = self._frontier.settled(log)
            self._peer.withheld_unsaid |= bool(view.withheld)

    def tell(self, logs: Iterable[LogId], out: list[Output]) -> None:
        """Absolute states of these logs, to a peer that is known."""
        self._tell(self._names.in_order(logs), out)

    def say_withheld(self, out: list[Output]) -> None:
        """All that the peer waits for is withheld. Not before it knows us: it would wait for what it hears later."""
        if self.told and self.known:
            self._peer.withheld_unsaid = False
            out.append(Send(encode(Withheld())))

    def _tell_everything(self, out: list[Output]) -> None:
        self._peer.told_all()
        out.extend(Send(encode(record)) for record in self._telling.everything(self.agreed_lanes))

    # Knowing.

    def _check_root(self, out: list[Output]) -> None:
        """What we remember and what we were told: does it come to what the peer has?"""
        hello = self._hello()
        total = self._frontier.positions
        for view in self._peer.views:
            total += step(view.log, self._frontier.settled(view.log), view.holds)
        if root(total % SUM_MODULUS, self._salt) == hello.root:
            self._become_known(hello.upto)
            return
        self._disbelieve(out)

    def _disbelieve(self, out: list[Output]) -> None:
        out.append(Noticed("memory-wrong"))
        self._peer.forgotten()
        out.append(Send(encode(Ask())))

    def _become_known(self, heard: int) -> None:
        if self._peer.known_lanes < LANES:
            self._peer.rest({})
        self.heard = max(self.heard, heard)
        self.open_lanes = LANES

    def _resolve(self, states: Iterable[State]) -> dict[LogId, Ranges]:
        told = self._told(states)
        self._names.heard(told)
        return told

    def _told(self, states: Iterable[State]) -> dict[LogId, Ranges]:
        told: dict[LogId, Ranges] = {}
        for state in states:
            log = self._names.named(state.log)
            if log in told:
                raise RemoteProtocolError("log-repeated", f"{log}")
            if not self._agreed(log):
                raise RemoteProtocolError("lane-unwanted", f"lane {log.lane}")
            told[log] = state.settled
        return told

    def _agreed(self, log: LogId) -> bool:
        return told_in(self.agreed_lanes, log)

    def _hello(self) -> Hello:
        assert self.hello is not None
        return self.hello
