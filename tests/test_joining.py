"""Entering an organisation over a real TCP link on loopback, and being refused by name."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from beepmesh import admission
from beepmesh.errors import InvitationProblem
from beepmesh.home import Home
from beepmesh.joining import Admitted, join
from beepmesh.node import Node
from beepmesh.testing import ORGANISATION
from beepmesh.trust.enrol import JoinKeys
from beepmesh.trust.invite import Invitation, decode_code
from transports.specs import parse

DAY_MS = 86_400_000
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def registrar(path: Path, *, founded_days_ago: int = 0) -> AsyncIterator[tuple[Node, str]]:
    """A running registrar and the spec that leads to it."""
    Home.found(path, ORGANISATION, "Ayesha", None, now_ms() - founded_days_ago * DAY_MS).close()
    async with Node.open(path, links=["listen:127.0.0.1:0"]) as node:
        yield node, f"tcp:{node.addresses()[0]}"


async def invited(node: Node) -> Invitation:
    made = await node.act(admission.invite, node.home, now_ms=now_ms())
    await node.refresh_doors()
    return decode_code(made.code)


async def ask(spec: str, invitation: Invitation, keys: JoinKeys, name: str, *, within_s: float = 20) -> Admitted:
    return await join([parse(spec)], invitation, keys, name, within_s=within_s, progress=lambda _: None)


async def test_an_invitation_lets_one_device_in_and_that_one_again(tmp_path: Path) -> None:
    async with registrar(tmp_path / "hq") as (node, spec):
        invitation = await invited(node)
        keys = JoinKeys.generate(os.urandom)
        admitted = await ask(spec, invitation, keys, "Bilal")
        again = await ask(spec, invitation, keys, "Bilal")
        assert again.identity.person == admitted.identity.person
        with pytest.raises(InvitationProblem) as used:
            await ask(spec, invitation, JoinKeys.generate(os.urandom), "Somebody else")
        assert used.value.reason == "invitation-used"
        home = await anyio.to_thread.run_sync(lambda: Home.admit(tmp_path / "bilal", admitted.identity, None, now_ms()))
        assert home.identity.org_name == ORGANISATION
        home.close()


async def test_a_foreign_invitation_is_answered_by_nobody(tmp_path: Path) -> None:
    async with registrar(tmp_path / "hq") as (_, spec):
        with Home.found(tmp_path / "other", "Another", "Zara", None, now_ms()) as other:
            foreign = decode_code(admission.invite(other, now_ms=now_ms()).code)
        with pytest.raises(InvitationProblem) as unanswered:
            await ask(spec, foreign, JoinKeys.generate(os.urandom), "Bilal", within_s=1)
        assert unanswered.value.reason == "unanswered"


async def test_an_ended_invitation_is_named_as_that(tmp_path: Path) -> None:
    async with registrar(tmp_path / "hq", founded_days_ago=3) as (node, spec):
        long_ago = now_ms() - 2 * DAY_MS
        made = await node.act(admission.invite, node.home, now_ms=long_ago)
        await node.refresh_doors()
        with pytest.raises(InvitationProblem) as ended:
            await ask(spec, decode_code(made.code), JoinKeys.generate(os.urandom), "Bilal")
        assert ended.value.reason == "invitation-expired"
