"""One presence on the local networks' multicast DNS: announcing this node and hearing of others (RFC 6762, RFC 6763).

Laws:
1. Nothing announced names a person, a device or a machine: the instance and the host are random names of the caller's.
2. This module alone imports zeroconf, which costs a fifth of a CPU second: `lan` imports it when it serves.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Sequence

import anyio
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from transports.interfaces import Place

SERVICE = "_beepmesh._tcp.local."
RESOLVE_MS = 3_000
CLOSE_S_MAX = 1.0

# What it would log (an interface without multicast, an address that has gone) is counted by us as a failure instead.
logging.getLogger("zeroconf").setLevel(logging.CRITICAL)


class Beacon:
    """Announces and listens on a fixed set of interfaces; when they change, close it and open another."""

    def __init__(self, own: Sequence[Place], heard: Callable[[str], None], lost: Callable[[str], None]) -> None:
        """`heard` and `lost` get instance names, on the event loop. Raises OSError where multicast cannot be joined."""
        self._own = own
        self._heard, self._lost = heard, lost
        ipv4 = [place.address for place in own if not place.is_ipv6]
        ipv6 = list(dict.fromkeys(place.index for place in own if place.is_ipv6))
        both = IPVersion.All if ipv4 and ipv6 else IPVersion.V6Only if ipv6 else IPVersion.V4Only
        try:
            self._zeroconf = AsyncZeroconf(interfaces=[*ipv4, *ipv6], ip_version=both)
        except RuntimeError as error:  # An interface that went away between our look and its own.
            raise OSError(str(error)) from error
        self._browser: AsyncServiceBrowser | None = None

    async def open(self, instance: str, host: str, port: int) -> None:
        """Announce `instance` on `host`.local and `port`, and start listening for others."""
        zeroconf = self._zeroconf.zeroconf
        await zeroconf.async_wait_for_start()
        self._browser = AsyncServiceBrowser(zeroconf, SERVICE, handlers=[self._changed])
        info = AsyncServiceInfo(
            SERVICE,
            f"{instance}.{SERVICE}",
            port=port,
            properties={"v": "1"},
            server=f"{host}.local.",
            addresses=[ipaddress.ip_address(place.address).packed for place in self._own],
        )
        # 64 random bits need no probing for a rival; without it the first announcement leaves 0.7 s sooner.
        await (await self._zeroconf.async_register_service(info, cooperating_responders=True))

    async def resolve(self, instance: str) -> tuple[list[str], int]:
        """The hosts, scoped where they need it, and the port of an instance; no hosts when nobody says."""
        info = AsyncServiceInfo(SERVICE, f"{instance}.{SERVICE}")
        if not await info.async_request(self._zeroconf.zeroconf, RESOLVE_MS):
            return [], 0
        return info.parsed_scoped_addresses(), info.port or 0

    async def close(self) -> None:
        """Say goodbye and leave, also when cancelled; at most CLOSE_S_MAX."""
        with anyio.move_on_after(CLOSE_S_MAX, shield=True):
            if self._browser:
                await self._browser.async_cancel()
            await self._zeroconf.async_close()

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        instance = name.removesuffix(f".{SERVICE}")
        if state_change is ServiceStateChange.Removed:
            self._lost(instance)
        else:
            self._heard(instance)
