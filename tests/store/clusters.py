"""PostgreSQL clusters of a test's own: made, started and killed on the loopback, by a user who is not root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

OWNER: Final = "postgres"
_VERSIONS: Final = Path("/usr/lib/postgresql")


def programs() -> Path:
    """The folder with initdb and postgres of the newest version here; skips the test where there is none."""
    found = sorted((path.parent for path in _VERSIONS.glob("*/bin/initdb")), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: PostgreSQL does not run as root")
    return found[-1]


class Cluster:
    """One server. It listens on the loopback and trusts whoever asks, but for the user `guarded`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    def made(cls, folder: Path, *settings: str) -> Cluster:
        cluster = cls(folder, free_port())
        _own(folder)
        cluster.run("initdb", "--pgdata=.", f"--username={OWNER}", "--auth=trust", "--encoding=UTF8", "--no-sync")
        hosts = folder / "pg_hba.conf"
        hosts.write_text("host all guarded all scram-sha-256\n" + hosts.read_text())
        cluster.configure(*settings)
        return cluster

    def standby(self, folder: Path, name: str) -> Cluster:
        """A copy of this running one that follows it, not started; `name` is what the primary knows it by."""
        follower = Cluster(folder, free_port())
        _own(folder)
        where = f"host=127.0.0.1 port={self.port} user={OWNER} application_name={name}"
        follower.run("pg_basebackup", "--pgdata=.", f"--dbname={where}", "--write-recovery-conf", "--checkpoint=fast")
        follower.configure()
        return follower

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"

    def configure(self, *settings: str) -> None:
        with (self.folder / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{line}\n" for line in (f"port = {self.port}", *settings))

    def start(self) -> None:
        """Returns when it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*_as_owner(), programs() / "postgres", "-D", ".", "-c", "listen_addresses=127.0.0.1"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.run("pg_isready", "--host", "127.0.0.1", "--port", str(self.port), "--timeout", "0", tries=200)

    def kill(self) -> None:
        """As a power cut does: all of its processes at once."""
        assert self._server is not None
        children = subprocess.run(["pgrep", "-P", str(self._server.pid)], capture_output=True, text=True).stdout
        for pid in (self._server.pid, *map(int, children.split())):
            os.kill(pid, signal.SIGKILL)
        self._server.wait()
        self._server = None

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait()
            self._server = None

    def ask(self, sql: str, database: str = "postgres") -> str:
        return self.run("psql", "--no-psqlrc", "-AtX", "--dbname", self.url(database), "--command", sql)

    def run(self, program: str, *arguments: str, tries: int = 1) -> str:
        """Its answer. Raises AssertionError with what it complained of."""
        argv = [*_as_owner(), str(programs() / program), *arguments]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True)
        for _ in range(tries - 1):
            if done.returncode == 0:
                break
            subprocess.run(["sleep", "0.05"], check=True)
            done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True)
        log = self.folder / "log"
        assert done.returncode == 0, f"{program}: {done.stderr} {log.read_text()[-2_000:] if log.exists() else ''}"
        return done.stdout.strip()


@contextmanager
def room() -> Iterator[Path]:
    """A folder for clusters, gone afterwards. pytest's own lets in nobody but who runs it, and PostgreSQL's user is not
    always that."""
    with tempfile.TemporaryDirectory(prefix="beepmesh-clusters-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@contextmanager
def running(*settings: str) -> Iterator[Cluster]:
    with room() as folder:
        cluster = Cluster.made(folder / "data", *settings)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _as_owner() -> list[str]:
    return ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--clear-groups"] if os.geteuid() == 0 else []


def _own(folder: Path) -> None:
    """Make it, for the server's user alone."""
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, OWNER, OWNER)
