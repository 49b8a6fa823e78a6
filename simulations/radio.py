"""The air between nodes: bandwidth, set-up time, loss, and contacts that end in the middle of a word.

A `Medium` turns contacts into links between hosts. A host is anything that can be told of a link, a frame and the end.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol, cast

from simulations.engine import Event, Simulation
from simulations.outcome import ContactRecord, Kind
from simulations.traces import Contact
from simulations.workload import Message


@dataclass(frozen=True, slots=True)
class Radio:
    """A class of links."""

    name: str
    bytes_per_s: float
    setup_s: float
    frame_bytes_max: int = 65_535
    loss: float = 0.0
    """The part of packets that is lost and sent again: airtime, not data."""
    exclusive: bool = True
    """Whether a node can be part of one transfer at a time only; a wire or a base station can of more."""


Choice = Callable[[], tuple[object, Mapping[Kind, int]] | None]


class Link(Protocol):
    """One end of a link, in a host's hands."""

    @property
    def peer(self) -> int: ...

    @property
    def dialled(self) -> bool: ...

    @property
    def radio(self) -> Radio: ...

    @property
    def record(self) -> ContactRecord:
        """Where hosts count transmissions and duplicates; bytes are counted by the medium."""
        ...

    def send(self, frame: object, size: Mapping[Kind, int]) -> None:
        """Put these bytes on the air, behind what was sent before. The other host gets `frame` if all arrives."""
        ...

    def send_late(self, choose: Choice) -> None:
        """Like `send`, but what leaves is chosen when the air is free for it; None: nothing after all."""
        ...

    def tell_drained(self) -> None:
        """Have `Host.drained` called once all that was sent on this end so far has left."""
        ...

    def close(self) -> None:
        """End the link once what was sent has left; then both hosts are told."""
        ...


class Host(Protocol):
    """A node as the air knows it."""

    def up(self, link: Link) -> None: ...

    def received(self, link: Link, frame: object) -> None: ...

    def drained(self, link: Link) -> None: ...

    def down(self, link: Link) -> None: ...


class Population(Protocol):
    """All nodes of one run, whatever they run: the product or a baseline."""

    @property
    def hosts(self) -> Sequence[Host]: ...

    def submit(self, message: Message) -> None:
        """Its author writes it now. Deliveries go where the population was told to put them when it was made."""
        ...

    def carried_bytes(self) -> list[int]:
        """What each node carries for others at this moment."""
        ...


RadioOf = Callable[[int, int], Radio]

# A transfer needs both nodes at one moment. Whoever was passed over this often, for the other node was busy, is waited
# for: else two nodes that finish together would go on with each other for ever, and their neighbours never come in.
PASSED_OVER_MAX = 8
# So many of those that wait are looked at when a node is free. The oldest of all is always among them, so it goes on.
LOOKED_AT_MAX = 16


class Medium:
    """Lets contacts happen: links come up after the set-up time, frames take their time on the air, ends cut them.

    Plans itself on the simulation when it is made. Contacts are in the order of their starts. Of two nodes the lower
    one dials. A contact that is shorter than the set-up, or whose link was closed, stays silent. A link that `off` took
    away comes back, set-up and all, if the contact lasts.
    """

    def __init__(
        self,
        simulation: Simulation,
        hosts: Sequence[Host],
        contacts: Iterable[Contact],
        radio: Radio | RadioOf,
    ) -> None:
        self.records: list[ContactRecord] = []
        """One for each contact that has begun, in the order of their starts."""
        self._simulation = simulation
        self._hosts = hosts
        self._contacts = iter(contacts)
        self._radio_of: RadioOf = (lambda _a, _b: radio) if isinstance(radio, Radio) else radio
        self._antennas: dict[tuple[str, int], _Antenna] = {}
        self._near: list[dict[_Meeting, None]] = [{} for _ in hosts]
        self._off: set[int] = set()
        self._plan_next()

    def off(self, node: int) -> None:
        """Switch a node off: its links end, others see it go."""
        self._off.add(node)
        for meeting in list(self._near[node]):
            meeting.hang_up()

    def on(self, node: int) -> None:
        """Switch it on again: contacts under way come up anew."""
        self._off.discard(node)
        for meeting in list(self._near[node]):
            self._set_up(meeting)

    def is_on(self, node: int) -> bool:
        return node not in self._off

    def _plan_next(self) -> None:
        contact = next(self._contacts, None)
        if contact is not None:
            self._simulation.at(contact.start, partial(self._begin, contact))

    def _begin(self, contact: Contact) -> None:
        _, stop, a, b = contact
        radio = self._radio_of(a, b)
        record = ContactRecord(contact.start, stop, a, b, radio.name)
        self.records.append(record)
        antennas = (self._antenna(radio, a), self._antenna(radio, b)) if radio.exclusive else ()
        meeting = _Meeting(self._simulation, (self._hosts[a], self._hosts[b]), record, radio, antennas)
        self._near[a][meeting] = self._near[b][meeting] = None
        self._simulation.at(stop, partial(self._end, meeting))
        self._set_up(meeting)
        self._plan_next()

    def _end(self, meeting: _Meeting) -> None:
        del self._near[meeting.record.a][meeting], self._near[meeting.record.b][meeting]
        meeting.hang_up()

    def _set_up(self, meeting: _Meeting) -> None:
        if self.is_on(meeting.record.a) and self.is_on(meeting.record.b):
            meeting.dial()

    def _antenna(self, radio: Radio, node: int) -> _Antenna:
        return self._antennas.setdefault((radio.name, node), _Antenna())


class _Antenna:
    """One node's part in an exclusive radio."""

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.busy = False
        self.waiting: OrderedDict[_End, None] = OrderedDict()
        """Ends with something to send to or from this node, the one that has waited longest first."""

    def serve(self) -> None:
        """If it is free, give the oldest its turn whose other node is free as well."""
        while self.waiting and not self.busy:
            for end in islice(self.waiting, LOOKED_AT_MAX):
                first, second = end.antennas
                if not first.busy and not second.busy:
                    end.start()
                    break  # Look again: it may have had nothing to send after all.
                if end.passed_over == PASSED_OVER_MAX:
                    return
                end.passed_over += 1
            else:
                return


class _Meeting:
    """A contact under way, and its link while there is one."""

    __slots__ = ("antennas", "dialling", "ends", "hosts", "radio", "record", "simulation")

    def __init__(
        self,
        simulation: Simulation,
        hosts: tuple[Host, Host],
        record: ContactRecord,
        radio: Radio,
        antennas: tuple[_Antenna, ...],
    ) -> None:
        self.simulation = simulation
        self.hosts = hosts
        self.record = record
        self.radio = radio
        self.antennas = antennas
        self.dialling: Event | None = None
        self.ends: tuple[_End, _End] | None = None

    def dial(self) -> None:
        if self.dialling is None and self.ends is None:
            up = self.simulation.now + self.radio.setup_s
            if up < self.record.stop:
                self.dialling = self.simulation.at(up, self.came_up)

    def came_up(self) -> None:
        self.dialling = None
        a, b = self.record.a, self.record.b
        low = _End(self, self.hosts[0], b, dialled=True)
        high = _End(self, self.hosts[1], a, dialled=False)
        low.other, high.other = high, low
        self.ends = (low, high)
        for end in self.ends:
            if end.alive:
                end.host.up(end)

    def hang_up(self) -> None:
        """End the link or the dialling, and tell both hosts."""
        if self.dialling is not None:
            self.dialling.cancel()
            self.dialling = None
        if self.ends is None:
            return
        ends, self.ends = self.ends, None
        for end in ends:
            end.cut()
        for end in ends:
            end.host.down(end)
        for antenna in self.antennas:
            antenna.serve()


class _Flight(NamedTuple):
    """A frame on the air."""

    frame: object
    size: Mapping[Kind, int]
    since: float
    airtime: float
    landing: Event


# What stands in a queue between frames, and takes no time.
_TELL, _CLOSE = object(), object()
_NOTHING: Mapping[Kind, int] = {}
_LATE: Mapping[Kind, int] = {}  # Beside a choice that is not made yet.


class _End:
    """One end of a link, and the frames that leave by it, in their order."""

    __slots__ = (
        "alive",
        "antennas",
        "asked",
        "closing",
        "dialled",
        "flight",
        "host",
        "meeting",
        "other",
        "passed_over",
        "peer",
        "queue",
        "radio",
        "record",
    )

    other: _End

    def __init__(self, meeting: _Meeting, host: Host, peer: int, *, dialled: bool) -> None:
        self.meeting = meeting
        self.host = host
        self.peer = peer
        self.dialled = dialled
        self.radio = meeting.radio
        self.record = meeting.record
        self.antennas = meeting.antennas
        self.queue: deque[tuple[object, Mapping[Kind, int]]] = deque()
        self.flight: _Flight | None = None
        self.asked = False
        self.passed_over = 0
        self.alive = True
        self.closing = False

    def send(self, frame: object, size: Mapping[Kind, int]) -> None:
        self._put(frame, size)

    def send_late(self, choose: Choice) -> None:
        self._put(choose, _LATE)

    def tell_drained(self) -> None:
        self._put(_TELL, _NOTHING)

    def close(self) -> None:
        self._put(_CLOSE, _NOTHING)
        self.closing = True

    def start(self) -> None:
        """Put the first frame on the air. Both nodes are free, or need not be."""
        for antenna in self.antennas:
            del antenna.waiting[self]
        self.asked = False
        self.passed_over = 0
        frame, size = self.queue.popleft()
        if size is _LATE:
            chosen = cast(Choice, frame)()
            if chosen is None:
                self._go_on()
                return
            frame, size = chosen
        for antenna in self.antennas:
            antenna.busy = True
        simulation, radio = self.meeting.simulation, self.radio
        airtime = sum(size.values()) / (radio.bytes_per_s * (1.0 - radio.loss))
        now = simulation.now
        self.flight = _Flight(frame, size, now, airtime, simulation.at(now + airtime, self._landed))

    def cut(self) -> None:
        """The link is gone. What part of a frame had left is counted; the rest never was."""
        self.alive = False
        self.queue.clear()
        if self.flight is not None:
            flight, self.flight = self.flight, None
            flight.landing.cancel()
            self._count(flight.size, (self.meeting.simulation.now - flight.since) / (flight.airtime or 1.0))
            for antenna in self.antennas:
                antenna.busy = False
        elif self.asked:
            for antenna in self.antennas:
                del antenna.waiting[self]

    def _put(self, frame: object, size: Mapping[Kind, int]) -> None:
        if not self.alive or self.closing:
            return
        self.queue.append((frame, size))
        if len(self.queue) > 1 or self.flight is not None:
            return
        if frame is _TELL or frame is _CLOSE:
            # Nothing has to leave before it; still, no host is called from inside its own call.
            self.meeting.simulation.after(0.0, self._go_on)
        else:
            self._ask()

    def _go_on(self) -> None:
        """Do what stands before the next frame and takes no air, then get in line with that frame."""
        while self.flight is None and self.queue and self.queue[0][0] is _TELL:
            self.queue.popleft()
            self.host.drained(self)
        if self.flight is not None:
            return  # The host has sent again, nobody else was on the air, and it goes on when that has landed.
        if self.queue and self.queue[0][0] is _CLOSE:
            self.meeting.hang_up()
        elif self.queue:
            self._ask()

    def _ask(self) -> None:
        if self.asked:
            return
        self.asked = True
        if self.antennas:
            for antenna in self.antennas:
                antenna.waiting[self] = None
            self.antennas[0].serve()
        else:
            self.start()

    def _landed(self) -> None:
        flight = self.flight
        assert flight is not None
        self.flight = None
        self._count(flight.size, 1.0)
        other = self.other
        other.host.received(other, flight.frame)
        self._go_on()
        # Only now, so that an answer waits its turn behind those that have waited longer.
        for antenna in self.antennas:
            antenna.busy = False
        for antenna in self.antennas:
            antenna.serve()

    def _count(self, size: Mapping[Kind, int], part: float) -> None:
        on_air = part / (1.0 - self.radio.loss)
        counted = self.record.bytes
        for kind, count in size.items():
            counted[kind] += count if on_air == 1.0 else int(count * on_air)
