"""Writing what this device holds to a folder: only what the bundles there do not hold already, as far as there is room.

What is there is read, not believed: an entry is left out of a new bundle only where the same bytes stand in one that
this device could open just now. So it does not matter who wrote that, whether it is damaged, or what was done to the
folder meanwhile; and an export that was interrupted goes on behind its last whole file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from beepmesh import locks
from beepmesh.addressing import Names, recipients
from beepmesh.bundles.choosing import entries_of, runs_of, wanted_by
from beepmesh.bundles.chunks import CHUNK_BYTES, CHUNKS_MAX, HEADER_BYTES, chunks_within
from beepmesh.bundles.medium import FILES_MAX, Medium, MediumProblem
from beepmesh.bundles.opened import keys_of, pieces, secret_of
from beepmesh.bundles.records import WRAPS_MAX, Run, encode_audience, encode_run
from beepmesh.bundles.sealing import Opening, Writing, head_chunks
from beepmesh.errors import HomeProblem, Refused, TooLarge, UnknownName
from beepmesh.home import Home
from beepmesh.safe import told

HELD_MAX: Final = 1_000_000
"""Entries of the folder that are remembered while an export lasts, about 60 MB. What is beyond is written again."""
_AUDIENCE: Final = b"beepmesh/bundle-audience/1"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did."""

    files: int = 0
    entries: int = 0
    """Tokens included."""
    bytes: int = 0
    there: int = 0
    """Entries that bundles in the folder held already."""
    left_out: int = 0
    """Entries for which there was no room."""
    without_keys: tuple[str, ...] = ()
    """Named people to none of whose devices anything can be sealed yet."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom the bundle is for."""

    devices: tuple[bytes, ...] = ()
    """Named, the writer's own last; none of them means every member."""
    prekeys: tuple[bytes, ...] = ()
    without_keys: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """32 B, the same for the same devices; empty for everybody."""
        return sha256(_AUDIENCE + b"".join(sorted(self.devices))).digest() if self.devices else b""


def export(
    home: Home, folder: Path, *, to: Sequence[str] = (), size: int | None = None, now_ms: int, progress: Progress
) -> Exported:
    """Write bundles into the folder, of `size` bytes at most, or of what is free there.

    Raises MediumProblem (what was written before is whole), UnknownName, TooLarge, HomeProblem where another export is
    going on here.
    """
    audience = audience_of(home, to, now_ms)
    medium = Medium(folder, secret_of(home.identity))
    medium.make()
    with _alone(home):
        return _export(home, medium, audience, size, progress)


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Two at once would write everything twice, and each remove what the other one has begun."""
    with ExitStack() as stack:
        try:
            with told(home.path):
                stack.enter_context(locks.at_once(home.path / "export.lock"))
        except locks.Held:
            raise HomeProblem("Another export from this device is going on. Wait for it, or stop it.") from None
        yield


def audience_of(home: Home, to: Sequence[str], now_ms: int) -> Audience:
    """The devices of these people, and our own, so that we can read what we wrote. Raises UnknownName, TooLarge."""
    if not to:
        return Audience()
    people = {person.person: person for who in to for person in recipients(home, who, now_ms)[0]}
    names, believed_s = Names(home), home.believed_s(now_ms)
    prekeys: dict[bytes, bytes] = {}
    without: list[str] = []
    for person in people.values():
        bundles = {device: home.roster.bundle(device, believed_s) for device in person.devices}
        found = {device: bundle.public for device, bundle in bundles.items() if bundle is not None}
        prekeys |= found
        without += [] if found else [names.of(person.person)]
    prekeys.pop(home.identity.device, None)
    if not prekeys:
        raise UnknownName(
            f"The keys of {', '.join(without)} have not come here yet, so nothing can be sealed to them. Export without"
            " --to, for every member."
        )
    if len(prekeys) >= WRAPS_MAX:
        raise TooLarge(f"A bundle names {WRAPS_MAX - 1} devices at most. Export without --to, for every member.")
    if held := home.identity.prekeys.held:
        prekeys[home.identity.device] = held[-1].secret.public_bytes
    return Audience(tuple(prekeys), tuple(prekeys.values()), tuple(without))


def _export(home: Home, medium: Medium, audience: Audience, size: int | None, progress: Progress) -> Exported:
    medium.clear_unfinished()
    room = medium.room() if size is None else min(size, medium.room())
    there = _There(home, audience)
    there.read(medium, progress)
    _, about = entries_of(home.store)
    filling = _Filling(home, medium, audience, room, progress)
    # Mail for our own neighbours is not for them: we can open what we wrote, but need nothing of it.
    readers = [device for device in audience.devices if device != home.identity.device]
    wanted = wanted_by(readers, home.store, home.roster)
    for run in runs_of(home.store, home.roster, wanted, all_fits=about <= room):
        if there.has(run):
            filling.done = replace(filling.done, there=filling.done.there + len(run.packed))
        else:
            filling.add(run)
    filling.close()
    return replace(filling.done, without_keys=audience.without_keys)


class _There:
    """What the bundles in a folder hold that this audience can open."""

    def __init__(self, home: Home, audience: Audience) -> None:
        self._home = home
        self._digest = audience.digest
        self._salt = home.entropy(16)  # So that nobody can prepare an entry that looks like another one here.
        self._held: set[int] = set()

    def read(self, medium: Medium, progress: Progress) -> None:
        names = medium.names()[:FILES_MAX]
        keys = keys_of(self._home.identity)
        for number, name in enumerate(names, 1):
            progress(f"Reading what is there: {number} of {len(names)}")
            try:
                with medium.opened(name) as (file, size):
                    self._take(pieces(file, size), lambda header: Opening(header, keys))
            except Refused:
                continue  # Whatever it is, we could not have it from there.

    def _take(self, found: Iterable[bytes], opening_of: Callable[[bytes], Opening]) -> None:
        opening: Opening | None = None
        for piece in found:
            if opening is None:
                opening = opening_of(piece)
                continue
            for run in opening.chunk(piece):
                if opening.audience in (b"", self._digest) and len(self._held) < HELD_MAX:
                    self._held.update(self._digests(run))

    def has(self, run: Run) -> bool:
        return bool(self._held) and self._held.issuperset(self._digests(run))

    def _digests(self, run: Run) -> list[int]:
        log = self._salt + run.log.feed + bytes((run.log.lane,))
        return [
            int.from_bytes(sha256(log + seq.to_bytes(4) + packed).digest()[:8])
            for seq, packed in enumerate(run.packed, run.start)
        ]


class _Filling:
    """File after file, until the room is used up."""

    def __init__(self, home: Home, medium: Medium, audience: Audience, room: int, progress: Progress) -> None:
        self._home = home
        self._medium = medium
        self._audience = audience
        self._room = room
        self._progress = progress
        self._writing: Writing | None = None
        self.done = Exported()

    def add(self, run: Run) -> None:
        """Into this file, or the next one, or left out."""
        record, entries = encode_run(run), len(run.packed)
        if self._writing is None or not self._writing.add(record, entries):
            self.close()
            self._writing = self._next()
            if self._writing is None or not self._writing.add(record, entries):
                self.done = replace(self.done, left_out=self.done.left_out + entries)

    def close(self) -> None:
        """Write the file that was begun."""
        writing, self._writing = self._writing, None
        if writing is None or not writing.entries:
            return
        home, audience = self._home, self._audience
        sealed = writing.sealed(home.identity.bundle_secrets[0], audience.prekeys, home.entropy)
        try:
            size = self._medium.add(sealed, home.entropy)
        except MediumProblem as problem:
            done = self.done
            raise MediumProblem(
                problem.reason,
                f"{problem} {done.files} new files with {done.entries} entries are whole on it; the rest is not there."
                " Make room or take another stick, and export again: it goes on from here.",
            ) from None
        self._room -= size
        done = self.done
        self.done = replace(done, files=done.files + 1, entries=done.entries + writing.entries, bytes=done.bytes + size)
        self._progress(f"{self.done.entries} entries in {self.done.files} files")

    def _next(self) -> Writing | None:
        named = len(self._audience.devices)
        chunks = chunks_within(min(CHUNKS_MAX, (self._room - HEADER_BYTES) // CHUNK_BYTES))
        if chunks <= head_chunks(named):
            return None
        writing = Writing(chunks, named)
        if named:
            writing.add(encode_audience(self._audience.digest), 0)
        return writing
