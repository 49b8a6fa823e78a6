"""Entering an organisation over whatever link leads to a registrar: the joiner's side.

Many strangers may be near and none of them says who he is. So every link is tried: whoever knows the invitation's
secret answers the first message, everybody else stays silent and is left after SILENCE_S.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from beepmesh.channel import Channel, Door, OwnerRecord, Secured
from beepmesh.errors import InvitationProblem, Refused
from beepmesh.introduction import read_decision, request_record
from beepmesh.trust.enrol import JoinKeys, check_answer, join_check_digits, refusal, request
from beepmesh.trust.identity import Identity
from beepmesh.trust.invite import Invitation, invitation_id, psk
from transports.link import Link, LinkBroken, Transport, Welcome

SILENCE_S: Final = (
    5.0  # A registrar answers the first message in milliseconds; a busy Pi over Bluetooth in two seconds.
)
DECISION_S: Final = 30.0  # Writing a grant to a slow card.


@dataclass(frozen=True, slots=True)
class Admitted:
    """The device is in: its identity, and where its registrar was met."""

    identity: Identity
    check_digits: str
    spec: str
    address: str


async def join(
    transports: Sequence[Transport],
    invitation: Invitation,
    keys: JoinKeys,
    name: str,
    *,
    within_s: float,
    progress: Callable[[str], None],
) -> Admitted:
    """Ask every node that is near until a registrar lets this device in.

    Raises InvitationProblem: the registrar's no ("invitation-used", ...), a false answer, or "unanswered" when nobody
    near knew the invitation for within_s seconds.
    """
    tries = _Tries(invitation, keys, name, progress)
    with anyio.move_on_after(within_s):
        async with anyio.create_task_group() as tasks:
            for transport in transports:
                tasks.start_soon(transport.serve, tries.of(transport))
            progress("Looking for a registrar who knows this invitation")
            await tries.over.wait()
            tasks.cancel_scope.cancel()
    if tries.problem is not None:
        raise tries.problem
    if tries.admitted is None:
        raise InvitationProblem(
            "unanswered",
            f"Nobody who could be reached knew this invitation ({tries.links} tried). The device that made it must be"
            " running `beepmesh run` on the same network, or `beepmesh hub`; or name its address with --via.",
        )
    return tries.admitted


class _Tries:
    """Every link that is tried for one invitation, and how it ended."""

    def __init__(self, invitation: Invitation, keys: JoinKeys, name: str, progress: Callable[[str], None]) -> None:
        self._invitation = invitation
        self._keys = keys
        self._name = name
        self._progress = progress
        self.over = anyio.Event()
        self.admitted: Admitted | None = None
        self.problem: InvitationProblem | None = None
        self.links = 0

    def of(self, transport: Transport) -> Welcome:
        """What that transport does with each of its links."""

        async def welcome(link: Link) -> None:
            if not link.info.dialled or self.over.is_set():
                return  # Whoever dials us is a member who takes us for one; the registrar waits to be dialled.
            self.links += 1
            self._progress(f"Asking {link.info.address}")
            try:
                await self._ask(link, transport.spec)
            except (LinkBroken, TimeoutError, Refused):
                return  # A stranger, or somebody without this invitation: the next link may be the right one.
            except InvitationProblem as problem:
                self.problem = problem
                self.over.set()

        return welcome

    async def _ask(self, link: Link, spec: str) -> None:
        channel = Channel(
            dialled=True,
            device=b"",
            link_key=self._keys.link_key,
            doors=(Door(psk(self._invitation.secret), invitation_id(self._invitation.secret)),),
            ephemeral_seed=os.urandom(32),
            frame_bytes_max=link.info.record_bytes_max,
        )
        for frame in channel.start():
            await link.send(frame)
        secured = await self._secured(link, channel)
        link.established(secured.device.hex())
        digits = join_check_digits(secured.handshake_hash)
        self._progress(f"A registrar answers; check digits {digits}")
        for frame in channel.seal(request_record(request(self._keys, self._name, secured.handshake_hash)), owner=True):
            await link.send(frame)
        decision = await self._decision(link, channel)
        if isinstance(decision, str):
            raise refusal(decision)
        identity = check_answer(decision, self._invitation, self._keys)
        self.admitted = Admitted(identity, digits, spec, link.info.address)
        self.over.set()

    async def _secured(self, link: Link, channel: Channel) -> Secured:
        with anyio.fail_after(SILENCE_S):
            answers, events = channel.receive(await link.receive())
        for frame in answers:
            await link.send(frame)
        match events:
            case [Secured() as secured]:
                return secured
            case _:
                raise Refused("handshake-failed")

    async def _decision(self, link: Link, channel: Channel) -> bytes | str:
        with anyio.fail_after(DECISION_S):
            while True:
                for event in channel.receive(await link.receive())[1]:
                    if isinstance(event, OwnerRecord):
                        return read_decision(event.data)
