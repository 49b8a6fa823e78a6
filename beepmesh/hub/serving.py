"""A hub in the world: a node on a TLS listener and whatever other links it is given, with its pages and its journal.

Where its store is kept is decided by whoever opens the home; nothing here knows.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import anyio

from beepmesh.errors import HomeProblem, Usage
from beepmesh.home import Home
from beepmesh.hub.certificate import Certificate
from beepmesh.hub.journal import Journal
from beepmesh.hub.pages import Figures, page
from beepmesh.hub.passing import Passing
from beepmesh.node import Node
from beepmesh.store.accounting import month_of
from transports.hub import HubListener
from transports.link import Transport
from transports.wss_wire import Page

SAMPLE_S: Final = 10.0  # Prometheus asks every 15 s or less often.
FILES_WANTED: Final = 16_384  # A link is one open file; the store and the rest need a few dozen.


class Hub:
    """One hub, until it is cancelled."""

    def __init__(
        self,
        home: Home,
        certificate: Certificate,
        listen: tuple[str, int],
        links: Sequence[Transport],
        journal: Journal,
    ) -> None:
        """Raises Usage where certificate and key do not fit."""
        self._node = Node(home)
        self._home = home
        self._journal = journal
        self._figures = Figures(started_s=time.time())
        try:
            self._listener = HubListener(*listen, certificate.certificate_file, certificate.key_file, pages=self._page)
        except OSError as error:
            raise Usage(
                f"The certificate or its key cannot be used ({error}). Do the two files belong together?"
            ) from None
        self._certificate = certificate
        self._links = list(links)
        self._passing = Passing(lambda: self._node.peers, self._node.traffic)

    async def serve(self) -> None:
        """Raises HomeProblem where another node runs on this home, OSError where nothing can be listened on."""
        files = _raise_files_limit()
        self._node.listen(self._journal.told)
        self._node.listen(self._passing.told)

        async def ready() -> None:
            self._journal.say(
                "ready",
                addresses=self._listener.addresses(),
                pin=self._certificate.pin,
                pin_needed=self._certificate.is_own,
                device=self._home.identity.device.hex()[:8],
                files_max=files,
                pid=os.getpid(),
            )
            tasks.start_soon(self._sample)

        async with anyio.create_task_group() as tasks:
            try:
                await self._node.serve([self._listener, *self._links], ready=ready)
            finally:
                self._journal.say("stopping", links=len(self._node.peers))

    async def _sample(self) -> None:
        """Look at what only the store knows, now and then; say when the disk is in trouble and when it is not.

        What was sent since the last look is not in the accounts of a hub that stops: they are ten seconds short then.
        """
        trouble = ""
        while True:
            sent = self._passing.take()
            try:
                await self._node.act(_note_relayed, self._home, sent)
                entries, stored_bytes, refusals = await self._node.act(_stored, self._home)
                self._figures = replace(self._figures, entries=entries, stored_bytes=stored_bytes, refusals=refusals)
            except HomeProblem:
                pass  # It is said below, and by the page: reading fails where writing has failed before.
            if self._node.disk_trouble != trouble:
                trouble = self._node.disk_trouble
                self._journal.say("trouble" if trouble else "trouble-over")
            await anyio.sleep(SAMPLE_S)

    def _page(self, path: str, host: str) -> Page:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        entries_sent, entries_received = self._passing.entries()
        figures = replace(
            self._figures,
            cpu_s=usage.ru_utime + usage.ru_stime,
            resident_bytes=_resident_bytes(),
            links=self._listener.link_count,
            peers=len(self._node.peers),
            entries_sent=entries_sent,
            entries_received=entries_received,
            disk_trouble=bool(self._node.disk_trouble),
            link_failures=dict(self._listener.failures),
        )
        return page(path, host, figures)


def _note_relayed(home: Home, sent: Mapping[bytes, int]) -> None:
    if sent:
        home.store.note_relayed(month_of(time.time_ns() // 1_000_000), sent)


def _stored(home: Home) -> tuple[int, int, dict[str, int]]:
    size = home.store.size()
    return size.entries, size.file_bytes, {reason: count.count for reason, count in home.store.counts().items()}


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _raise_files_limit() -> int:
    """Let this process have as many open files as it may; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft
