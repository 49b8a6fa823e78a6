"""`doctor`: look at everything that may keep this device from working, and say what to do about it.

Law: a check never changes anything and never ends the others: what cannot be looked at is said to be so.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final, Literal

from beepmesh.cli.call import Call
from beepmesh.cli.text import count_of, listed, local_time, safe_line, size, span
from beepmesh.errors import BeepmeshError
from beepmesh.home import Home
from beepmesh.safe import KEYSTORE_NAME
from beepmesh.standing import Status
from beepmesh.standing import status as standing_of

Level = Literal["ok", "warn", "fail"]

PYTHON_MIN: Final = (3, 11)
SPACE_FAIL_BYTES: Final = 20_000_000  # A day of messages; SQLite needs room to tidy up.
SPACE_WARN_BYTES: Final = 200_000_000
CERTIFICATE_WARN_S: Final = 14 * 86_400
MDNS_GROUP: Final = "224.0.0.251"  # RFC 6762
MDNS_PORT: Final = 5353


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found. `advice` says what to do; empty where nothing is to be done."""

    check: str
    level: Level
    text: str
    advice: str = ""


def doctor(call: Call) -> int:
    """Every check, a line each; 1 if anything failed."""
    failed = False
    findings: list[Finding] = []
    for finding in _findings(call):
        failed |= finding.level == "fail"
        findings.append(finding)
        call.screen.line(f"{finding.level:<4}  {finding.check}: {safe_line(finding.text)}")
        if finding.advice:
            call.screen.line(f"      -> {safe_line(finding.advice)}")
    if call.screen.is_json:
        checks = [
            {"check": found.check, "level": found.level, "text": found.text, "advice": found.advice}
            for found in findings
        ]
        call.screen.result({"ok": not failed, "checks": checks})
    return 1 if failed else 0


def _findings(call: Call) -> Iterator[Finding]:
    yield _python()
    yield _libraries()
    yield _packages()
    yield _interfaces()
    yield _multicast()
    yield from _home(call)


def _python() -> Finding:
    have = sys.version.split()[0]
    if sys.version_info < PYTHON_MIN:
        return Finding("python", "fail", have, f"Install Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or newer.")
    return Finding("python", "ok", f"{have} on {sys.platform}")


def _libraries() -> Finding:
    """Whether every library that beepmesh asks for is there; which version, for a report."""
    try:
        asked = [line for line in requires("beepmesh") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return Finding("libraries", "warn", "beepmesh runs without being installed", "Install it: pipx install .")
    have: list[str] = []
    lacking: list[str] = []
    for line in asked:
        name = line.split(";")[0].split(">")[0].split("<")[0].split("=")[0].split("[")[0].strip()
        try:
            have.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lacking.append(name)
    if lacking:
        return Finding("libraries", "fail", f"missing: {listed(lacking)}", "Install beepmesh again.")
    return Finding("libraries", "ok", ", ".join(have))


def _packages() -> Finding:
    """`import beepmesh` has refused strangers; here is where ours were found, for a report."""
    import sync
    import transports

    ours = Path(__file__).resolve().parents[2]
    places = {package.__name__: Path(package.__file__ or "").resolve().parent for package in (sync, transports)}
    elsewhere = [f"{name} in {place}" for name, place in places.items() if place.parent != ours]
    if elsewhere:
        return Finding(
            "packages",
            "warn",
            f"not all of one installation: {listed(elsewhere)}",
            "Install beepmesh on its own (pipx).",
        )
    return Finding("packages", "ok", f"in {ours}")


def _interfaces() -> Finding:
    from transports.interfaces import places

    found = sorted({f"{place.address} ({place.interface})" for place in places()})
    outside = [place for place in places() if not place.address.startswith("127.")]
    if not outside:
        return Finding(
            "network", "warn", "only this machine's own loopback", "Join a network, or carry messages by other devices."
        )
    return Finding("network", "ok", listed(found))


def _multicast() -> Finding:
    """Whether this machine lets out what others find it by. An empty datagram says nothing to anybody."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            member = socket.inet_aton(MDNS_GROUP) + socket.inet_aton("0.0.0.0")  # noqa: S104 - any interface
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            probe.sendto(b"", (MDNS_GROUP, MDNS_PORT))
    except OSError as error:
        return Finding(
            "multicast",
            "warn",
            f"not possible here ({error.strerror})",
            "Others will not be found by themselves: name them, `beepmesh run lan tcp:HOST:PORT`.",
        )
    return Finding("multicast", "ok", "can be sent")


def _home(call: Call) -> Iterator[Finding]:
    path = call.path
    if not Home.exists(path):
        yield Finding(
            "home", "warn", f"there is no identity in {path}", "`beepmesh org create` or `beepmesh join` makes one."
        )
        return
    yield _writable(path)
    yield _private(path)
    yield _space(path)
    try:
        home = call.open()
    except BeepmeshError as error:
        yield Finding("identity", "fail", "this home could not be opened", str(error))
        return
    with home:
        standing = standing_of(home, now_ms=call.now_ms())
    yield Finding("identity", "ok", f"{standing.name}, {', '.join(standing.roles)}, of {standing.org}")
    yield _clock(standing)
    yield _certificate(standing)
    yield _prekey(standing)
    for trouble in standing.troubles:
        yield Finding("standing", "warn", trouble)
    yield _node(standing)


def _writable(path: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-") as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        return Finding(
            "home", "fail", f"{path} cannot be written ({error.strerror})", "Make it writable, or free some space."
        )
    return Finding("home", "ok", f"{path} can be written")


def _private(path: Path) -> Finding:
    """Whether other users of this machine could take the keys."""
    if sys.platform == "win32":
        return Finding("keystore", "ok", "file rights are Windows' own")
    for place, right in ((path, 0o700), (path / KEYSTORE_NAME, 0o600)):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & 0o077:
            return Finding("keystore", "fail", f"others may get at {place} ({mode:o})", f"chmod {right:o} {place}")
    if os.stat(path).st_uid != os.geteuid():
        return Finding("keystore", "warn", f"{path} belongs to another user", "Use beepmesh as the user who owns it.")
    return Finding("keystore", "ok", "for its owner alone")


def _space(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    text = f"{size(free)} free"
    if free < SPACE_FAIL_BYTES:
        return Finding("disk", "fail", text, "Free some space: nothing can be received for long.")
    if free < SPACE_WARN_BYTES:
        return Finding("disk", "warn", text, "Free some space before it runs out.")
    return Finding("disk", "ok", text)


def _clock(standing: Status) -> Finding:
    if standing.local_s == standing.believed_s:
        return Finding("clock", "ok", "fits what headquarters has signed")
    said, believed = (local_time(seconds * 1_000, 0) for seconds in (standing.local_s, standing.believed_s))
    return Finding("clock", "fail", f"says {said}, and headquarters' word is of {believed}", "Set this device's clock.")


# Only registrars' own devices can be renewed today.
_JOIN_AGAIN: Final = (
    "Ask a registrar for an invitation, and join with it in a new home. A registrar's device: `beepmesh run`."
)


def _certificate(standing: Status) -> Finding:
    left = standing.certificate_ends_s - standing.believed_s
    if left <= 0:
        return Finding("certificate", "fail", "has ended", _JOIN_AGAIN)
    if left < CERTIFICATE_WARN_S:
        return Finding("certificate", "warn", f"ends in {span(left)}", _JOIN_AGAIN)
    return Finding("certificate", "ok", f"good for {span(left)}")


def _prekey(standing: Status) -> Finding:
    left = standing.prekey_ends_s - standing.believed_s
    if left <= 0:
        return Finding(
            "keys for others",
            "fail",
            "nobody can write to this device at present",
            "Start `beepmesh run`: it makes new ones.",
        )
    return Finding("keys for others", "ok", f"good for {span(left)}")


def _node(standing: Status) -> Finding:
    if standing.node is None:
        return Finding("node", "warn", "none runs on this home", "Start one: `beepmesh run`.")
    met = count_of(len(standing.neighbours), "device")
    return Finding("node", "ok", f"process {standing.node or 'unknown'} runs; {met} met so far")
