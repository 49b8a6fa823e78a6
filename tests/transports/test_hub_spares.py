"""Several addresses behind which one device is: one link at a time, and the others for when it has ended."""

from __future__ import annotations

import anyio

from tests.transports.arrivals import until
from tests.transports.certificates import certified
from transports.hub import HubListener, HubTransport
from transports.link import Link


async def discard(link: Link) -> None:
    async for _ in link:
        pass


def test_another_address_of_a_linked_device_is_dialled_when_the_link_has_ended() -> None:
    links: list[Link] = []

    async def meet(link: Link) -> None:
        """As a node does that finds the same device behind every address."""
        links.append(link)
        link.established("the hub")
        if len(links) != 2:
            await discard(link)

    async def main() -> None:
        with certified() as (certificate, key, pin):
            listeners = [HubListener("127.0.0.1", 0, certificate, key) for _ in range(2)]
            async with anyio.create_task_group() as group:
                for listener in listeners:
                    await group.start(listener.serve, discard)
                    transport = HubTransport(f"https://{listener.addresses()[0]}#{pin.hex()}")
                    await group.start(transport.serve, meet)
                await until(lambda: len(links) == 2)
                await anyio.sleep(1.5)  # A second is the longest wait after a link that was good.
                assert len(links) == 2
                await links[0].aclose()
                await until(lambda: len(links) >= 3)
                group.cancel_scope.cancel()

    anyio.run(main)
