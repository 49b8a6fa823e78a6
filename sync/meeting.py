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

from collections.abc import Iterable, Sequence

from sync.events import Noticed, Output, Send
from sync.frontier import Frontier
from sync.limits import (
    DELTA_BYTES_MAX,
    LANES,
    RANGES_MAX,
    SPANS_MAX,
    STATES_BYTES_MAX,
    VECTOR_BYTES_MAX,
    ZIP_BYTES_MIN,
)
from sync.logs import NO_CHAIN, LogId, leaf, reconciled, root, view_digest
from sync.memory import Memory
from sync.names import Names
from sync.octets import RemoteProtocolError
from sync.peer import Peer, PeerLog
from sync.ranges import Ranges
from sync.refs import Listed
from sync.sketching import Sketching
from sync.wire import WIRE_VERSION, Ask, Hello, Remembered, Sketch, Sketched, State, States, Vector, encode

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
        self._feeds_known = 0
        self._delta: list[LogId] | None = None
        self._delta_expected = False
        self._deaf = False  # A delta comes that builds on what we do not remember: it is not read.
        self._needed = False  # The peer must be told everything.
        self._spoken = self._was_asked = False
        self._heard_states: dict[LogId, Ranges] = {}
        self._vector: dict[LogId, Ranges] = {}
        self._vector_lane = 0
        self._sketching = Sketching(frontier, salt)

    @property
    def told(self) -> bool:
        """Whether the peer has been told what it needs, as far as it has said."""
        return self.hello is not None and not self._needed

    @property
    def known(self) -> bool:
        return self.open_lanes == LANES

    # HELLO.

    def start(self, out: list[Output], *, record_bytes_max: int, hold: bool) -> None:
        """Say HELLO, and what changed since we last met, if that is little."""
        frontier, memory = self._frontier, self._memory
        if memory is not None and view_digest(frontier.view_of(memory)) != memory.digest:
            out.append(Noticed("memory-damaged"))
            memory = None
        self._memory = memory
        self._root, self._chain, self._upto = frontier.root(self._salt), frontier.chain(self._salt), frontier.upto
        known, remembered, delta = len(frontier.feeds), None, False
        self._feeds_known = known
        if memory is not None:
            self._peer.remembered(memory.views)
            since = min(memory.told, self._upto)
            remembered = Remembered(since, memory.epoch & _EPOCH_CHECK, memory.heard)
            self._names.shared = min(known, memory.known)
            self._delta = self._names.in_order(log for log in frontier.since(since) if self._told_in(self._lanes, log))
            # What has changed beyond `upto` counts too, for the root speaks of it.
            delta = (since < self._upto or bool(self._delta)) and self._size(self._delta) <= DELTA_BYTES_MAX
        check = frontier.feeds.check(known) if known else b""
        assert check is not None
        hello = Hello(
            WIRE_VERSION, self._lanes, record_bytes_max, known, check, frontier.epoch, self._upto, self._root,
            self._chain, remembered, delta, hold,
        )  # fmt: skip
        out.append(Send(encode(hello)))
        if delta and self._delta is not None:
            self._tell(self._delta, out, mention=False)
        elif self._delta:
            self._delta = None  # It was too long to be told.

    def greeted(self, hello: Hello, out: list[Output]) -> None:
        """The peer's HELLO. Raises RemoteProtocolError("list-differs")."""
        self.hello = hello
        self.agreed_lanes = self._lanes & hello.lanes
        self._peer.lanes &= self.agreed_lanes
        known = self._feeds_known  # As our HELLO said: more may be known by now.
        if hello.known and hello.known <= known and self._frontier.feeds.check(hello.known) != hello.check:
            raise RemoteProtocolError("list-differs")
        self._names.shared = min(known, hello.known)
        self._sketching.agree(self.agreed_lanes, with_tips=NO_CHAIN not in (self._chain, hello.chain))
        remembers_us = self._judge_their_memory(hello, out)
        remembered = self._judge_our_memory(hello, out)
        self._deaf = hello.delta and not remembered
        if hello.root == self._root:
            self._delta_expected = remembered and hello.delta
            self._peer.forgotten()
            self._become_known(hello.upto)
            self.confirmed = self._upto  # Our HELLO tells it as much; what a cut takes of that costs bytes only.
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
        try:
            told = self._resolve(record.states, mention=not self._delta_expected)
        except RemoteProtocolError as error:
            if not self._delta_expected or error.reason not in ("log-unknown", "tag-ambiguous"):
                raise
            # It names logs by what it remembers us to know, and our disk may be an older one than it remembers.
            self._delta_expected, self._deaf = False, record.more
            if not self.known:
                self._disbelieve(out)
                self._settle(out)
            return []
        if self._delta_expected or record.rest:
            self._heard_states.update(told)
            if len(self._heard_states) > SPANS_MAX:
                raise RemoteProtocolError("logs-too-many")
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

    def _rest(self, told: dict[LogId, Ranges], out: list[Output]) -> list[PeerLog]:
        hello = self._hello()
        told, forked = self._sketching.explained(told, self._peer)
        if not self.known:
            self._peer.rest(told)
            self._become_known(hello.upto)
        views = [self._peer.announced(log, settled) for log, settled in told.items()]
        for view in views:
            if view.log in forked:
                view.found_forked()
        self.learned += len(views) + 1
        if self._sketching.answered():
            self._answer(self._names.in_order(told), out)
            self._needed = False
        self._settle(out)
        return views

    def vector(self, record: Vector, out: list[Output]) -> None:
        """A part of everything. Raises RemoteProtocolError: vector-order, vector-unexpected."""
        if self.known:
            raise RemoteProtocolError("vector-unexpected")
        told = self._resolve(record.states, mention=False)
        for log in told:
            if log.lane < self._vector_lane or log in self._vector:
                raise RemoteProtocolError("vector-order", f"{log}")
        if told:
            self._open_below(min(log.lane for log in told))
            self._vector_lane = max(log.lane for log in told)
        elif record.more:
            raise RemoteProtocolError("vector-empty")
        self._vector.update(told)
        if len(self._vector) > SPANS_MAX:
            raise RemoteProtocolError("logs-too-many")
        if record.more:
            return
        self._open_below(LANES)
        self._vector.clear()
        self.heard = max(self.heard, self._hello().upto)
        self.learned += 1
        self._settle(out)

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
        self._needed = self._was_asked = True
        self._settle(out)

    # Sketches.

    def sketch(self, record: Sketch, out: list[Output]) -> None:
        """The peer's next symbols. Raises RemoteProtocolError: sketch-malformed, sketch-unexpected."""
        self._hello()
        if not self._sketching.hearing:
            self._peer.told_all()
        answer = self._sketching.hear(record.symbols, no_other_way=self.known)
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
            if self._dense_bytes() <= VECTOR_BYTES_MAX:
                self._speak_vector(out)
            else:
                self._sketch(out)

    def _speak_vector(self, out: list[Output]) -> None:
        self._spoken = True
        self._needed = False
        self._peer.told_all()
        self._tell_everything(out)

    def _answer(self, logs: list[LogId], out: list[Output]) -> None:
        """Tell the difference, or everything where that is shorter."""
        if self._size(logs) > self._dense_bytes() + ZIP_BYTES_MIN:
            self._peer.told_all()
            self._tell_everything(out)
        else:
            self._tell(logs, out, rest=True)

    def _tell(self, logs: Sequence[LogId], out: list[Output], *, rest: bool = False, mention: bool = True) -> None:
        """States of these logs, which are in order."""
        parts = list(self._parts(logs, STATES_BYTES_MAX)) or [[]]
        for number, part in enumerate(parts, 1):
            states = tuple(self._state(log, tagged=self._peer.knows_feed(log.feed)) for log in part)
            out.append(Send(encode(States(states, number < len(parts), rest))))
        if mention:
            self._names.mentioned(logs)
            for log in logs:
                self._peer.log(log).told = self._frontier.settled(log)

    def tell(self, logs: Iterable[LogId], out: list[Output]) -> None:
        """Absolute states of these logs, to a peer that is known."""
        self._tell(self._names.in_order(logs), out)

    def _tell_everything(self, out: list[Output]) -> None:
        # Each part stays inside one lane, and lane 0 comes first, so that it can be pushed while the rest is told.
        parts: list[list[LogId]] = []
        told = [log for log, state in self._frontier.states.items() if state.settled and self._agreed(log)]
        for lane in range(LANES):
            logs = self._names.in_order(log for log in told if log.lane == lane)
            parts += self._parts(logs, 2 * STATES_BYTES_MAX)
        for number, part in enumerate(parts or [[]], 1):
            states = tuple(self._state(log, tagged=False) for log in part)
            out.append(Send(encode(Vector(number < len(parts), states))))

    def _parts(self, logs: Sequence[LogId], bytes_max: int) -> Iterable[list[LogId]]:
        part: list[LogId] = []
        size = 0
        for log in logs:
            more = self._state_bytes(log)
            if part and size + more > bytes_max:
                yield part
                part, size = [], 0
            part.append(log)
            size += more
        if part:
            yield part

    def _state(self, log: LogId, *, tagged: bool) -> State:
        settled = self._frontier.settled(log)
        if len(settled.spans) > RANGES_MAX:
            settled = Ranges(settled.spans[:RANGES_MAX])
        return State(self._names.told(log, tagged=tagged), settled)

    def _size(self, logs: Iterable[LogId]) -> int:
        return sum(map(self._state_bytes, logs))

    def _state_bytes(self, log: LogId) -> int:
        """About what a state takes inside STATES."""
        return (1 if self._is_listed(log) else 18) + 2 + self._spans_bytes(log)

    def _dense_bytes(self) -> int:
        """About what a VECTOR of everything takes, deflated."""
        told = [log for log in self._frontier.states if self._agreed(log)]
        listed = sum(map(self._is_listed, told))
        return listed * 5 // 4 + (len(told) - listed) * 20 + sum(map(self._spans_bytes, told))

    def _spans_bytes(self, log: LogId) -> int:
        return 3 * min(max(len(self._frontier.settled(log).spans) - 1, 0), RANGES_MAX)

    def _is_listed(self, log: LogId) -> bool:
        return isinstance(self._names.told(log, tagged=False), Listed)

    # Knowing.

    def _check_root(self, out: list[Output]) -> None:
        """What we remember and what we were told: does it come to what the peer has?"""
        hello = self._hello()
        total = self._frontier.positions
        for view in self._peer.views:
            total += leaf(view.log, view.holds) - leaf(view.log, self._frontier.settled(view.log))
        if root(total % 2**2048, self._salt) == hello.root:
            self._become_known(hello.upto)
        else:
            self._disbelieve(out)

    def _disbelieve(self, out: list[Output]) -> None:
        """What we remember, or the peer of us, is wrong: ask for everything."""
        out.append(Noticed("memory-wrong"))
        self._peer.forgotten()
        out.append(Send(encode(Ask())))

    def _become_known(self, heard: int) -> None:
        if self._peer.known_lanes < LANES:
            self._peer.rest({})
        self.heard = max(self.heard, heard)
        self.open_lanes = LANES

    def _resolve(self, states: Iterable[State], *, mention: bool) -> dict[LogId, Ranges]:
        told: dict[LogId, Ranges] = {}
        for state in states:
            log = self._names.named(state.log)
            if log in told:
                raise RemoteProtocolError("log-repeated", f"{log}")
            if not self._agreed(log) and not self._delta_expected:
                raise RemoteProtocolError("lane-unwanted", f"lane {log.lane}")
            told[log] = state.settled
        if mention:
            self._names.heard(told)
        # A delta leaves before the other side's lanes are known.
        return {log: settled for log, settled in told.items() if self._agreed(log)}

    def _told_in(self, lanes: int, log: LogId) -> bool:
        return reconciled(log) and bool(lanes >> log.lane & 1)

    def _agreed(self, log: LogId) -> bool:
        return self._told_in(self.agreed_lanes, log)

    def _hello(self) -> Hello:
        assert self.hello is not None
        return self.hello
