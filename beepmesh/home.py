"""The home of one device: its folder, keystore, store, roster and settings, without any network.

    keystore.cbor   every secret of the device        store.db     entries, and what was opened of them
    config.toml     what a person set                 node.lock, keystore.lock, wake.sock     between processes

Laws
1. A home is made whole or not at all: it is built in `.making` and moved into place, the keystore last. So the first
   entries of a log are written once, and never again with other words: that would be a fork of our own.
2. Several processes may use one home. What they share goes through the store's transactions; the keystore is changed
   under `keystore.lock` only, and read again first.
3. A prekey's secret is in the keystore, or where sharing.py keeps the identity, before its bundle is in the log.
4. A clock behind what headquarters signed is a clock that lost its battery: nothing is dated before that time here.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from beepmesh import locks, sharing
from beepmesh.author import control_draft, feed_certificate_draft
from beepmesh.config import Config, load
from beepmesh.crypto.keystore import Keystore, make_names_durable
from beepmesh.crypto.primitives import Entropy, SigningKey
from beepmesh.errors import HomeProblem, Refused
from beepmesh.safe import KEYSTORE_NAME, KeystoreSafe, Safe, told
from beepmesh.store.contract import Batch, Committed, Fact, ReadResult, Statement, Store, StoreProblem
from beepmesh.store.sqlite import FILE_NAME as STORE_NAME
from beepmesh.store.sqlite import open_store
from beepmesh.trust import clock
from beepmesh.trust.facts import (
    DEVICE_CERTIFICATE,
    FEED_CERTIFICATE,
    PREKEY_BUNDLE,
    device_certificate_data,
    feed_certificate_data,
    prekey_bundle_data,
)
from beepmesh.trust.identity import Identity, found
from beepmesh.trust.roster import Roster
from sync.logs import LogId, LogState

if TYPE_CHECKING:
    from beepmesh.store.hub_store import SharedStore

EARLIEST_MS: Final = 1_767_225_600_000  # 2026-01-01: there was no beepmesh before.
ACCOUNTANTS: Final = frozenset({"hq", "relay"})
_MAKING: Final = ".making"
_COLUMNS_LABEL: Final = b"beepmesh/columns/1"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What has been written on this home, by any process, since the last look."""

    states: dict[LogId, LogState]
    version: int
    """The change number up to which they are everything."""
    facts: tuple[Fact, ...]
    """Those that the roster has learned just now. What `commit` wrote it knew already, and some are told again."""
    identity_changed: bool
    """Prekeys or certificates are new in `Home.identity`, whether we made them or somebody else did."""


class Home:
    """An open home. Made by `found`, `admit` or `open`; used by one thread at a time."""

    def __init__(
        self,
        path: Path,
        safe: Safe,
        store: Store,
        config: Config,
        *,
        roster: Roster | None = None,
        alone: bool = False,
        entropy: Entropy = os.urandom,
        shared: SharedStore | None = None,
    ) -> None:
        """`roster`: what is known already, besides what the store holds. `alone`: no other process can come here.

        `shared`: the store, where processes of other copies of this home use it too (sharing.py).
        """
        self.path = path
        self.identity = safe.read()
        self.store = store
        self.config = config
        self.roster = Roster(self.identity.root_public) if roster is None else roster
        self.entropy = entropy
        self._safe = safe
        self._identity_told = self.identity
        self._version = 0
        self._seen: dict[LogId, LogState] = {}
        self.facts_refused = 0
        self._is_alone = alone
        self._shared = shared
        self._facts_known = 0
        self._learn_facts()
        self._take_up_role()

    # How a home comes to be.

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether that folder holds an identity."""
        return (path / KEYSTORE_NAME).exists()

    @classmethod
    def found(cls, path: Path, org_name: str, person_name: str, passphrase: str | None, now_ms: int) -> Home:
        """A new organisation with this device as its root, registrar and headquarters. Raises HomeProblem, Usage."""
        _refuse_occupied(path)
        if now_ms < EARLIEST_MS:
            raise HomeProblem(
                "This device's clock is years behind, and everything in the organisation would be dated by it. Set it."
            )
        return cls.admit(path, found(org_name, person_name, now_ms // 1_000, os.urandom), passphrase, now_ms)

    @classmethod
    def admit(cls, path: Path, identity: Identity, passphrase: str | None, now_ms: int) -> Home:
        """The home of a device that was let in: its secrets, and the first entries of its two feeds.

        Raises HomeProblem where there is an identity already, or the disk refuses: then nothing has been made.
        """
        with told(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locks.waiting(path / "keystore.lock"):
                _clear_unfinished(path)
                _refuse_occupied(path)
                making = path / _MAKING
                making.mkdir(mode=0o700)
                _fill(making, identity, passphrase, now_ms)
                _move_in(making, path)
        return cls.open(path, passphrase)

    @classmethod
    def open(cls, path: Path, passphrase: str | None = None, *, store_url: str | None = None) -> Home:
        """Raises HomeProblem for no home, a damaged or an unreadable one, and Locked for its passphrase.

        `store_url`: the database where the store is, or is moved now (sharing.py).
        """
        if not cls.exists(path):
            raise HomeProblem(
                f"There is no identity in {path}. Make an organisation with `beepmesh org create`, enter one with"
                " `beepmesh join`, or name another home with --home."
            )
        config = load(path)
        keystore = Keystore.open(path / KEYSTORE_NAME, passphrase)
        if store_url is not None or sharing.is_shared(path):
            return cls._open_shared(path, keystore, config, store_url)
        if not (path / STORE_NAME).exists():
            # A new one would begin our logs again: two beginnings are what a thief's copy looks like.
            raise HomeProblem(f"The store {path / STORE_NAME} is missing. Put it back, or join again in a new home.")
        store = open_store(path, keystore.subkey(_COLUMNS_LABEL))
        carried_max = config.storage_carried_megabytes * 1_000_000 or None
        store.limit(config.storage_megabytes * 1_000_000 or None, carried_max)
        try:
            return cls(path, KeystoreSafe(path, keystore, passphrase), store, config)
        except BaseException:
            store.close()
            raise

    @classmethod
    def _open_shared(cls, path: Path, keystore: Keystore, config: Config, store_url: str | None) -> Home:
        identity = Identity.decode(keystore.secrets)
        store = sharing.open_shared(path, identity, keystore.subkey(_COLUMNS_LABEL), store_url)
        try:
            # How large a database may become is its server's to say.
            store.limit(None, config.storage_carried_megabytes * 1_000_000 or None)
            return cls(path, sharing.StoreSafe(store), store, config, shared=store)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r}, {self.identity!r})"

    # Time.

    @property
    def trusted_s(self) -> int:
        """The newest time that headquarters signed and we know of."""
        return max(self.roster.trusted_s, self.identity.trusted_s)

    def believed_s(self, now_ms: int) -> int:
        """The time for judging certificates and prekeys."""
        return clock.believed_s(now_ms // 1_000, self.trusted_s)

    def believed_ms(self, now_ms: int) -> int:
        """The time for judging what has expired: ours while it is plausible."""
        believed_s = self.believed_s(now_ms)
        return now_ms if believed_s == now_ms // 1_000 else believed_s * 1_000

    def dated_ms(self, now_ms: int) -> int:
        """The time to write: what our clock says, but not before law 4."""
        return max(now_ms, self.trusted_s * 1_000)

    # Writing.

    def keys(self) -> Mapping[bool, SigningKey]:
        """The signing keys of our control feed (True) and our message feed (False)."""
        return {True: self.identity.device_key, False: self.identity.feed_key}

    def commit(self, batch: Batch, now_ms: int) -> Committed:
        """One durable transaction; then the roster knows our own statements, and a running node is told.

        Raises StoreProblem, leaving everything as it was.
        """
        done = self.store.commit(batch, keys=self.keys(), now_ms=self.dated_ms(now_ms))
        for draft, entry in zip(batch.drafts, done.written, strict=True):
            if draft.statement is not None:
                self.roster.load(Fact(entry.feed, entry.seq, draft.statement.kind, draft.statement.data))
        self.wake()
        return done

    @contextmanager
    def changing_identity(self) -> Iterator[None]:
        """Hold the keystore against other processes, with their last changes read. Raises HomeProblem."""
        if not self.store.writable:
            raise StoreProblem("read-only", str(self.path))
        with self._safe.changing():
            self.identity = self._safe.read()
            yield

    def save_identity(self, identity: Identity) -> None:
        """Durably. Only inside `changing_identity`."""
        self._safe.save(identity)
        self.identity = identity

    # Other processes.

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one node of this home. Raises HomeProblem naming the process that is."""
        with ExitStack() as stack:
            try:
                with told(self.path):
                    stack.enter_context(locks.at_once(self.path / "node.lock"))
            except locks.Held as held:
                who = f"process {held.holder}" if held.holder else "another process"
                raise HomeProblem(
                    f"A node runs on {self.path} already ({who}). Use it, stop it, or name another home with --home."
                ) from None
            if self._shared is not None:
                stack.enter_context(self._shared.hearing(self._call))
            self._is_alone = True
            try:
                yield
            finally:
                self._is_alone = False

    @contextmanager
    def chores(self) -> Iterator[bool]:
        """True for the one of all processes of this device that does what the passing of days asks for, with all that
        the others have written of it known here. Raises StoreProblem."""
        one: AbstractContextManager[bool] = nullcontext(True) if self._shared is None else self._shared.chores()
        with one as mine:
            if mine and self._shared is not None:
                self._learn_facts()
            yield mine

    def node_process(self) -> int | None:
        """The process of the node that runs on this home, 0 if it left no number; None if none does."""
        return locks.holder(self.path / "node.lock")

    @property
    def wake_path(self) -> Path:
        """Where a running node listens for `wake`."""
        return self.path / "wake.sock"

    def wake(self) -> None:
        """Tell a running node that something was written. Where none listens nothing happens: it looks by itself.

        Nor where this home is that node's own: it knows what it does.
        """
        if not self._is_alone:
            self._call()

    def _call(self) -> None:
        if sys.platform == "win32" or not self.wake_path.exists():
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(b"!", str(self.wake_path))

    def refresh(self) -> Refreshed:
        """Learn what others wrote: log states for the caller, facts for the roster, and our own newest secrets.

        The first call gives every log. Raises StoreProblem, Locked where the passphrase was changed meanwhile.
        """
        changes = self.store.changed_since(self._version)
        self._version = changes.version
        fresh = {log: state for log, state in changes.states.items() if self._seen.get(log) != state}
        self._seen.update(fresh)
        facts = self._learn_facts() if any(log.lane == 0 for log in fresh) else ()
        self.identity = self._safe.read()
        told, self._identity_told = self._identity_told, self.identity
        if self.identity is not told:
            self._take_up_role()
        return Refreshed(fresh, changes.version, facts, self.identity is not told)

    def unopened(self) -> tuple[ReadResult, ...]:
        """The entries that nobody here could open yet, each as it is read from the store."""
        return tuple(
            self.store.read(LogId(place.feed, place.lane), place.seq, place.seq + 1, bytes_max=0, with_prev=False)
            for place in self.store.unopened()
        )

    def _take_up_role(self) -> None:
        """Headquarters numbers what comes in; it and its relays keep accounts."""
        if "hq" in self.identity.roles:
            self.store.number_intake()
        if not ACCOUNTANTS.isdisjoint(self.identity.roles):
            self.store.keep_accounts()

    def _learn_facts(self) -> tuple[Fact, ...]:
        """Those that the roster has not been told. They come in the order of learning, so they stand at the end."""
        fresh = tuple(self.store.facts(self._facts_known))
        self._facts_known += len(fresh)
        for fact in fresh:
            try:
                self.roster.load(fact)
            except Refused:
                # An earlier version took it and this one does not: one fact less must not close the home.
                self.facts_refused += 1
        return fresh


def first_statements(identity: Identity) -> tuple[Statement, Statement]:
    """(for the control feed, for the message feed): who we are, and that our feed is a member's."""
    issuer = identity.issuer_certificate
    return (
        Statement(DEVICE_CERTIFICATE, device_certificate_data(identity.device_certificate, issuer)),
        Statement(FEED_CERTIFICATE, feed_certificate_data(identity.feed_certificate, issuer)),
    )


def _fill(making: Path, identity: Identity, passphrase: str | None, now_ms: int) -> None:
    """Everything a new home holds, closed again and durable."""
    believed_s = clock.believed_s(now_ms // 1_000, identity.trusted_s)
    ring, bundle = identity.prekeys.rotate(believed_s, identity.device_key, os.urandom)
    identity = identity.with_prekeys(ring)
    keystore = Keystore.create(making / KEYSTORE_NAME, identity.encode(), passphrase=passphrase)
    store = open_store(making, keystore.subkey(_COLUMNS_LABEL))
    if not ACCOUNTANTS.isdisjoint(identity.roles):
        store.keep_accounts()
    try:
        device, feed = first_statements(identity)
        prekey = Statement(PREKEY_BUNDLE, prekey_bundle_data(bundle.encode()))
        drafts = (control_draft(device, identity), control_draft(prekey, identity), feed_certificate_draft(feed))
        store.commit(
            Batch(drafts=drafts),
            keys={True: identity.device_key, False: identity.feed_key},
            now_ms=max(now_ms, believed_s * 1_000),
        )
    finally:
        store.close()


def _move_in(making: Path, home: Path) -> None:
    names = sorted(path.name for path in making.iterdir() if path.name != KEYSTORE_NAME)
    for name in (*names, KEYSTORE_NAME):
        os.replace(making / name, home / name)
        make_names_durable(home)
    making.rmdir()


def _clear_unfinished(path: Path) -> None:
    """Remove what a crash in the middle of making this home left. Its logs have been seen by nobody."""
    making = path / _MAKING
    if not making.exists():
        return
    if (making / KEYSTORE_NAME).exists() and not Home.exists(path):
        for name in (STORE_NAME, STORE_NAME + "-wal", STORE_NAME + "-shm"):
            (path / name).unlink(missing_ok=True)
    shutil.rmtree(making)


def _refuse_occupied(path: Path) -> None:
    if Home.exists(path):
        raise HomeProblem(
            f"There is an identity in {path} already. One home is one device: name another home with --home."
        )
    if (path / STORE_NAME).exists() and not (path / _MAKING).exists():
        raise HomeProblem(
            f"There is a store in {path} without its keystore. Put the keystore back, or name another home with --home."
        )
