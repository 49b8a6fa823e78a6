"""The shell's end of a link: in which order things leave, and when it is told that they have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest

from beepmesh.port import Port
from transports.link import LinkBroken
from transports.memory import MemoryLink, memory_link_pair


def run(story: Callable[[Port, MemoryLink, list[str]], Awaitable[None]]) -> None:
    """With a port that writes, the link's other end, and what the port was asked to tell."""

    async def main() -> None:
        near, far = memory_link_pair()
        port = Port(near)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(port.write)
                await story(port, far, [])
                tasks.cancel_scope.cancel()

    anyio.run(main)


def test_it_tells_once_that_what_was_given_before_the_question_has_left() -> None:
    async def story(port: Port, far: MemoryLink, told: list[str]) -> None:
        port.send([b"one", b"two"])
        port.tell_drained(partial(told.append, "drained"))
        await anyio.wait_all_tasks_blocked()
        assert told == []
        assert [await far.receive(), await far.receive()] == [b"one", b"two"]
        await anyio.wait_all_tasks_blocked()
        assert told == ["drained"]
        port.send([b"three"])
        assert await far.receive() == b"three"
        await anyio.wait_all_tasks_blocked()
        assert told == ["drained"]

    run(story)


def test_what_is_given_after_the_question_does_not_put_off_its_answer() -> None:
    async def story(port: Port, far: MemoryLink, told: list[str]) -> None:
        port.send([b"before"])
        port.tell_drained(partial(told.append, "first"))
        port.send([b"after"] * 100)
        port.tell_drained(partial(told.append, "second"))
        await anyio.wait_all_tasks_blocked()
        assert await far.receive() == b"before"
        await anyio.wait_all_tasks_blocked()
        assert told == ["first"]
        for _ in range(100):
            assert await far.receive() == b"after"
        await anyio.wait_all_tasks_blocked()
        assert told == ["first", "second"]

    run(story)


def test_where_nothing_waits_the_answer_comes_at_once() -> None:
    async def story(port: Port, _: MemoryLink, told: list[str]) -> None:
        await anyio.wait_all_tasks_blocked()
        port.tell_drained(partial(told.append, "drained"))
        await anyio.wait_all_tasks_blocked()
        assert told == ["drained"]

    run(story)


def test_a_link_that_ends_with_frames_still_here_never_tells_that_they_have_left() -> None:
    async def story(port: Port, far: MemoryLink, told: list[str]) -> None:
        port.send([b"lost"])
        port.tell_drained(partial(told.append, "drained"))
        await anyio.wait_all_tasks_blocked()
        far.cut()
        await anyio.wait_all_tasks_blocked()
        assert told == []

    run(story)


def test_last_words_leave_before_the_link_is_hung_up_also_where_somebody_asked() -> None:
    async def story(port: Port, far: MemoryLink, told: list[str]) -> None:
        port.send([b"last"])
        port.tell_drained(partial(told.append, "drained"))
        port.send([b"words"])
        port.hang_up()
        assert [await far.receive(), await far.receive()] == [b"last", b"words"]
        with pytest.raises(LinkBroken, match="closed-there"):
            await far.receive()
        assert told == ["drained"]

    run(story)
