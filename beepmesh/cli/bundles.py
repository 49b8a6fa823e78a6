"""`export` and `import`: bundles in a folder, and `sync bundle:DIR`, which is one after the other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from beepmesh.bundles.exporting import Exported, export
from beepmesh.bundles.importing import Imported, import_all
from beepmesh.cli.call import Call
from beepmesh.cli.reasons import words_for
from beepmesh.cli.text import count_of, listed, safe_line, size
from beepmesh.errors import Usage
from beepmesh.home import Home

STEP_S: Final = 2.0  # Of something long, a line is said so often.
SPEC: Final = "bundle:"
FILES_SHOWN: Final = 3
_SIZE: Final = re.compile(r"(\d{1,12})\s*([kmgt]?)b?", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def export_to(call: Call, *, folder: str, who: Sequence[str], size: str | None) -> None:
    """What is new here, into that folder."""
    path, limit = _folder(folder), None if size is None else bytes_of(size)
    with call.open() as home, _progress(call, "Writing bundles") as progress:
        done = export(home, path, to=who, size=limit, now_ms=call.now_ms(), progress=progress)
    if call.screen.is_json:
        call.screen.result(_exported_json(done))
    for line in _exported_lines(done, path):
        call.screen.line(line)


def import_from(call: Call, *, folder: str) -> None:
    """What is new to us, out of that folder."""
    path = _folder(folder)
    with call.open() as home, _progress(call, "Reading bundles") as progress:
        done = import_all(home, path, now_ms=call.now_ms, progress=progress)
    if call.screen.is_json:
        call.screen.result(_imported_json(done))
    for line in _imported_lines(done, path):
        call.screen.line(line)


def is_bundle(spec: str) -> bool:
    """Whether that spec names a folder with bundles."""
    return spec.strip().startswith(SPEC)


def sync_folder(call: Call, home: Home, spec: str) -> None:
    """Take what is there, then add what is new here: receipts for what came, too."""
    path = _folder(spec.strip().removeprefix(SPEC))
    before = time.monotonic()
    with _progress(call, "Reading and writing bundles") as progress:
        came = Imported()
        if path.exists():
            came = import_all(home, path, now_ms=call.now_ms, progress=progress)
        went = export(home, path, now_ms=call.now_ms(), progress=progress)
    seconds = time.monotonic() - before
    if call.screen.is_json:
        call.screen.result(
            {
                "peer": f"{SPEC}{path}",
                "device": "",
                "sent": {"entries": went.entries, "bytes": went.bytes},
                "received": {"entries": came.new, "bytes": came.bytes},
                "seconds": round(seconds, 3),
                "refused": dict(sorted(came.reasons.items())),
                "left_out": went.left_out,
            }
        )
    for line in (*_imported_lines(came, path), *_exported_lines(went, path)):
        call.screen.line(line)


def bytes_of(text: str) -> int:
    """A size as people write it: 64kB, 500MB, 2 GB. Raises Usage."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise Usage(f"{text[:32]!r} is not a size. Write 64kB, 500MB or 2GB.")
    return int(match[1]) * _UNITS[match[2].lower()]


def _folder(text: str) -> Path:
    if not text or "\0" in text:
        raise Usage("DIR is the folder with the bundles, such as /media/usb/beepmesh.")
    return Path(text).absolute()


@contextmanager
def _progress(call: Call, text: str) -> Iterator[Callable[[str], None]]:
    """Says a step of something long now and then."""
    with call.screen.waiting(text) as progress:
        said = time.monotonic()

        def step(text: str) -> None:
            nonlocal said
            if time.monotonic() - said >= STEP_S:
                said = time.monotonic()
                progress.step(text)

        yield step


def _exported_json(done: Exported) -> Mapping[str, object]:
    return {
        "files": done.files,
        "entries": done.entries,
        "bytes": done.bytes,
        "there": done.there,
        "left_out": done.left_out,
        "without_keys": list(done.without_keys),
    }


def _exported_lines(done: Exported, path: Path) -> Iterator[str]:
    where = safe_line(str(path))
    if done.files:
        files = count_of(done.files, "new bundle")
        yield f"{_entries(done.entries)} written to {where}: {files}, {size(done.bytes)}."
    else:
        yield f"Nothing is new since the last export: {where} holds it all." if not done.left_out else "Nothing fitted."
    if done.left_out:
        yield f"! {_entries(done.left_out)} had to stay here for want of room. Take a larger stick, or a second one."
    if done.without_keys:
        people = listed(map(safe_line, done.without_keys))
        yield f"! Nothing could be sealed to {people}: their keys have not come here."


def _imported_json(done: Imported) -> Mapping[str, object]:
    return {
        "files": done.files,
        "bytes": done.bytes,
        "entries": {"new": done.new, "known": done.known, "refused": done.refused},
        "messages": done.messages,
        "refused": dict(sorted(done.reasons.items())),
        "troubles": [{"file": file, "reason": reason} for file, reason in done.troubles],
    }


def _imported_lines(done: Imported, path: Path) -> Iterator[str]:
    if not done.files:
        yield f"There are no bundles in {safe_line(str(path))}."
        return
    yield f"{_entries(done.new)} taken from {count_of(done.files, 'bundle')}; {done.known} were here already."
    if done.messages:
        yield f"{count_of(done.messages, 'message')} came for you: `beepmesh inbox --unread`."
    for reason, times in sorted(done.reasons.items()):
        files = [file for file, why in done.troubles if why == reason]
        where = f" ({listed(files[:FILES_SHOWN])}{', ...' if len(files) > FILES_SHOWN else ''})" if files else ""
        yield f"! {times} x {safe_line(reason)}: {words_for(reason)}{where}"


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"
