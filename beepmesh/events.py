"""What goes into the engine and what comes out: inputs are past tense, outputs are orders.

The shell (`node.py`, or a simulator) performs a list of outputs in its order. A `Commit` may be followed by sends only
through `Committed`: nothing is acknowledged that a power cut could erase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from beepmesh.channel import Door
from beepmesh.messages.inbox import Payload
from beepmesh.proving import Offer, Proof
from beepmesh.store.contract import Batch, Committed, Fork, ReadResult
from sync.events import TakeRun
from sync.limits import RUN_BYTES_MAX
from sync.logs import LogId, LogState
from sync.memory import Memory
from sync.ranges import Span

LinkId: TypeAlias = int
CARRIED: Final[LinkId] = 0
"""No link has this number: what came in a file, by hand."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A transport handed over a link. `doors`: what we dial with (one), or whom we let in (several)."""

    link: LinkId
    dialled: bool
    transport: str
    address: str
    frame_bytes_max: int
    doors: tuple[Door, ...]


@dataclass(frozen=True, slots=True)
class FrameReceived:
    link: LinkId
    frame: bytes


@dataclass(frozen=True, slots=True)
class LinkDown:
    link: LinkId
    broken: str = ""
    """How the transport says it ended, in one of its words."""


@dataclass(frozen=True, slots=True)
class LinkDrained:
    """The answer to `TellDrained`."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class EntriesRead:
    """The answer to `ReadEntries`."""

    order: ReadEntries
    result: ReadResult


@dataclass(frozen=True, slots=True)
class CrowdsRead:
    """The answer to `ReadCrowds`: of each span, by seq, the crowd of each entry that is held with its body."""

    order: ReadCrowds
    crowds: tuple[dict[int, int], ...]


@dataclass(frozen=True, slots=True)
class RunsProved:
    """The answer to `ProveRuns`: a proof for each offer, in their order."""

    order: ProveRuns
    proofs: tuple[Proof, ...]


@dataclass(frozen=True, slots=True)
class RunCarried:
    """A run that came in a file: judged and taken as one from a link is, but nobody waits to hear what became of it."""

    run: TakeRun


@dataclass(frozen=True, slots=True)
class BatchCommitted:
    """The answer to `Commit`: durable now."""

    batch: Batch
    result: Committed


@dataclass(frozen=True, slots=True)
class BatchFailed:
    """The disk refused the batch; nothing of it was kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class PeerRecalled:
    """The answer to `RecallPeer`."""

    order: RecallPeer
    memory: Memory | None


@dataclass(frozen=True, slots=True)
class HomeChanged:
    """Somebody else on this home (a command, or our own desk) wrote to these logs."""

    states: dict[LogId, LogState]
    version: int
    """The change number up to which nothing is missing, once these are known."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """Entries that came before their sender was known, read again now that a new device is."""

    order: ReopenEntries
    result: tuple[ReadResult, ...]


@dataclass(frozen=True, slots=True)
class AdmissionDecided:
    """The registrar's answer to one who joins, or why not; goes to the link that asked."""

    link: LinkId
    record: bytes


@dataclass(frozen=True, slots=True)
class TimeCame:
    pass


Input: TypeAlias = (
    LinkUp
    | FrameReceived
    | LinkDown
    | LinkDrained
    | EntriesRead
    | CrowdsRead
    | RunsProved
    | RunCarried
    | BatchCommitted
    | BatchFailed
    | HomeChanged
    | PeerRecalled
    | Reopened
    | AdmissionDecided
    | TimeCame
)


@dataclass(frozen=True, slots=True)
class SendFrames:
    link: LinkId
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TellDrained:
    """Give LinkDrained once, when all frames given for this link before have left this process, as far as the link can
    tell. A link that ends before gives only LinkDown."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the link once what was sent before has left. `reason` is counted by whoever gave the order."""

    link: LinkId
    reason: str
    device: bytes = b""
    """Whose link it was, where that was proved: a duplicate of a good link is no failure."""


@dataclass(frozen=True, slots=True)
class RecallPeer:
    """What is kept of this device: `Store.recall`."""

    link: LinkId
    device: bytes


@dataclass(frozen=True, slots=True)
class RenewEpoch:
    """Our disk is older than what a peer has heard of us: `Store.renew_epoch`, and tell `Engine.renew_epoch`."""


@dataclass(frozen=True, slots=True)
class ReadEntries:
    """A span of one log for one link's session."""

    link: LinkId
    log: LogId
    start: int
    stop: int
    bytes_max: int
    with_prev: bool
    run_bytes_max: int = RUN_BYTES_MAX
    """Only for whoever cuts what was read."""


@dataclass(frozen=True, slots=True)
class ReadCrowds:
    """Towards whom mail in these spans of logs is carried (`Store.crowds`), before one link's session pushes any."""

    link: LinkId
    spans: tuple[tuple[LogId, Span], ...]


@dataclass(frozen=True, slots=True)
class KeepHistory:
    """Where we met whom (carrying.py), to start the next engine with: `Store.put`, when there is time."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ProveRuns:
    """Check the signatures of these runs, each from a link, by `proving.prove`, off the loop. No commit is ordered
    before the answer."""

    offers: tuple[tuple[LinkId, Offer], ...]


@dataclass(frozen=True, slots=True)
class ReopenEntries:
    """Read again what nobody could open, for senders now known."""

    devices: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction. Answered by BatchCommitted or BatchFailed before the next input."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Admit:
    """A joiner asks, having shown an invitation's secret: decide, and answer with AdmissionDecided."""

    link: LinkId
    invitation: bytes
    request: bytes
    handshake_hash: bytes
    link_public: bytes
    """The Noise key that the joiner has proved: the certificate must name this one."""


@dataclass(frozen=True, slots=True)
class WriteReceipts:
    """Messages have come for which the senders should get receipts."""


@dataclass(frozen=True, slots=True)
class ProveForks:
    """Contradicting entries were found here: tell the others."""

    forks: tuple[Fork, ...]


@dataclass(frozen=True, slots=True)
class SealWaiting:
    """Prekeys or devices have come for which messages may wait."""


@dataclass(frozen=True, slots=True)
class ListFeeds:
    """Devices have come, and this one keeps the organisation's list of feeds."""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Give TimeCame at this monotonic time, or earlier."""

    when: float


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A member is at the other end of a link."""

    link: LinkId
    device: bytes
    transport: str
    address: str


@dataclass(frozen=True, slots=True)
class PeerLeft:
    link: LinkId
    device: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """Opened, and durable."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class MessageDelivered:
    """A device of that person (16 B) has opened a message of ours (16 B), as its token shows."""

    message_id: bytes
    person: bytes


@dataclass(frozen=True, slots=True)
class LevelReached:
    """Nothing is left to say on this link for now."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class JoinDecided:
    """Somebody with an invitation asked to be let in. `reason`: why not; empty for who is in."""

    check_digits: str
    """Six, the same on the new device's screen if nobody sits between the two."""
    reason: str


Told: TypeAlias = PeerJoined | PeerLeft | MessageArrived | MessageDelivered | LevelReached | JoinDecided
Output: TypeAlias = (
    SendFrames
    | TellDrained
    | HangUp
    | RecallPeer
    | RenewEpoch
    | ReadEntries
    | ReadCrowds
    | KeepHistory
    | ProveRuns
    | ReopenEntries
    | Commit
    | Admit
    | WriteReceipts
    | ProveForks
    | SealWaiting
    | ListFeeds
    | WakeAt
    | Told
)
