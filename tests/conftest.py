"""House rules for every test: homes of its own, one hypothesis profile, and no skip that goes unseen.

A test that this machine cannot run is skipped with a reason that begins with "needs " (mark it `needs_root` or
`needs_hosts`, or call `pytest.skip("needs ...")`). Where BEEPMESH_CI is set the machine is supposed to have everything,
so such a skip makes the whole run fail and is listed at its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.store.clusters import Cluster

# Two test processes share two cores: an example's wall time says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("house"), derandomize=True)
settings.load_profile("ci" if os.environ.get("BEEPMESH_CI") else "house")

UNMET = pytest.StashKey[list[str]]()


class _Worker(Protocol):
    """The part of xdist's WorkerController that is read here."""

    workeroutput: dict[str, list[str]]


@pytest.fixture(scope="session", autouse=True)
def _no_test_touches_the_users_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEEPMESH_HOME", str(tmp_path_factory.mktemp("home") / "beepmesh"))
        yield


def pytest_configure(config: pytest.Config) -> None:
    config.stash[UNMET] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_root") and (not hasattr(os, "geteuid") or os.geteuid() != 0):
        pytest.skip("needs root")
    if item.get_closest_marker("needs_hosts"):
        from beepmesh.demo.hosts import can_make_hosts

        reason = can_make_hosts()
        if reason is not None:
            pytest.skip(f"needs network namespaces: {reason}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for all tests of this process, with a database `template` in our newest format."""
    from beepmesh.store.postgres import Address, PostgresDatabase
    from tests.store.clusters import running

    with running("fsync = off", "max_connections = 50") as server:
        server.ask("CREATE DATABASE template")
        PostgresDatabase(Address(server.url("template"))).close()
        yield server


_databases = count(1)


@pytest.fixture
def database_url(cluster: Cluster) -> str:
    """Of a new database in our newest format, in which no store has been yet."""
    name = f"database{next(_databases)}"
    cluster.ask(f"CREATE DATABASE {name} TEMPLATE template")
    return cluster.url(name)


class SkipWatch:
    """Collects the skips with a reason that begins with "needs ", from this process and from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._unmet = config.stash[UNMET]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: _Worker) -> None:
        # Module-level skips happen while a worker collects, and xdist passes on none of its collection reports.
        reported = getattr(node, "workeroutput", {}).get("unmet", [])
        self._unmet.extend(line for line in reported if line not in self._unmet)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or not isinstance(report.longrepr, tuple):
            return
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        line = f"{report.nodeid}: {reason}"
        if reason.startswith("needs ") and line not in self._unmet:
            self._unmet.append(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.pluginmanager.register(SkipWatch(session.config), "skip-watch")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    unmet = session.config.stash[UNMET]
    output: object = getattr(session.config, "workeroutput", None)
    if isinstance(output, dict):
        output["unmet"] = list(unmet)
    elif unmet and os.environ.get("BEEPMESH_CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    unmet = config.stash[UNMET]
    if unmet and os.environ.get("BEEPMESH_CI"):
        terminalreporter.section("Not run here, though BEEPMESH_CI promises that this machine can", red=True)
        for line in unmet:
            terminalreporter.line(line)
