"""What needs no home: `version`, `completion`, `demo`."""

from __future__ import annotations

import platform
from pathlib import Path

from beepmesh.cli.call import Call


def version(call: Call) -> None:
    """Our version, and what it runs on."""
    from importlib.metadata import version as installed

    ours = installed("beepmesh")
    if call.screen.is_json:
        call.screen.result({"version": ours, "python": platform.python_version(), "system": platform.system()})
    call.screen.line(f"beepmesh {ours} (Python {platform.python_version()}, {platform.system()})")


def completion(call: Call, *, shell: str) -> None:
    """A script for the shell; with --json as one text."""
    from beepmesh.cli.completion import script

    if call.screen.is_json:
        call.screen.result({"shell": shell, "script": script(shell)})
    else:
        call.screen.exactly(script(shell))


def demo(call: Call, *, keep: str | None) -> int:
    """The play; its exit code."""
    from beepmesh.demo.play import play

    return play(is_json=call.screen.is_json, keep=None if keep is None else Path(keep).expanduser())
