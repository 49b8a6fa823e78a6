"""The secret file through crashes, full disks, wrong passphrases and other people's bytes."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from beepmesh.crypto import keystore as keystore_module
from beepmesh.crypto.keystore import FILE_BYTES_MAX, MEMORY_BYTES_MAX, SLOT_COUNT_MAX, Keystore
from beepmesh.errors import HomeProblem, Locked, Usage
from sync.cbor import decode, encode

SECRETS = b"the secrets of this device"
# The least that argon2id takes: these tests ask what the file does, not how long a guess lasts.
MEMORY = 8_192


def made(path: Path, passphrase: str | None = "open sesame", secrets: bytes = SECRETS) -> Keystore:
    return Keystore.create(path, secrets, passphrase=passphrase, memory_bytes=MEMORY, passes=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystore.cbor"


@pytest.mark.parametrize("passphrase", ["open sesame", None, "کھل جا سم سم", "x" * 1_024])
def test_what_was_created_opens(path: Path, passphrase: str | None) -> None:
    made(path, passphrase)
    assert Keystore.needs_passphrase(path) == (passphrase is not None)
    assert Keystore.open(path, passphrase).secrets == SECRETS


def test_the_default_cost_is_64_mib_three_times(path: Path) -> None:
    Keystore.create(path, SECRETS, passphrase="open sesame")
    match decode(path.read_bytes(), bytes_max=FILE_BYTES_MAX):
        case [1, [[1, memory_bytes, passes, _, _]], _]:
            assert (memory_bytes, passes) == (64 * 1024 * 1024, 3)
        case other:
            pytest.fail(f"another layout: {other!r}")
    assert Keystore.open(path, "open sesame").secrets == SECRETS


@pytest.mark.parametrize("passphrase", ["open sesam", "Open sesame", "open sesame ", "", None])
def test_any_other_passphrase_leaves_it_locked(path: Path, passphrase: str | None) -> None:
    made(path)
    with pytest.raises(Locked):
        Keystore.open(path, passphrase)


def test_letters_that_look_alike_are_alike(path: Path) -> None:
    made(path, "Zu\u0308rich \ufb01ne")
    assert Keystore.open(path, "Z\u00fcrich fine").secrets == SECRETS


def test_the_file_is_its_owners_alone_also_after_a_save(path: Path) -> None:
    previous = os.umask(0)
    try:
        keystore = made(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        keystore.save(b"new")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_save_replaces_the_secrets_and_leaves_no_other_file(path: Path) -> None:
    made(path).save(b"new secrets")
    assert Keystore.open(path, "open sesame").secrets == b"new secrets"
    assert list(path.parent.iterdir()) == [path]


def test_nothing_secret_is_in_the_file_or_the_repr(path: Path) -> None:
    keystore = made(path)
    assert SECRETS not in path.read_bytes()
    assert keystore._master not in path.read_bytes()
    for shown in (repr(keystore), repr(keystore._slots)):
        assert "sesame" not in shown
        assert "secrets" not in shown
        assert repr(keystore._master)[2:12] not in shown


def test_two_keystores_of_one_passphrase_share_no_key(path: Path) -> None:
    first = made(path)
    second = made(path.with_name("other.cbor"))
    assert first.subkey(b"day/1") != second.subkey(b"day/1")


def test_a_subkey_depends_on_its_label_and_outlives_a_change_of_passphrase(path: Path) -> None:
    keystore = made(path)
    day = keystore.subkey(b"day/1")
    assert len(day) == 32
    assert day != keystore.subkey(b"day/2")
    keystore.change_passphrase("another", memory_bytes=MEMORY, passes=1)
    assert Keystore.open(path, "another").subkey(b"day/1") == day


def test_a_changed_passphrase_opens_and_the_old_one_does_not(path: Path) -> None:
    made(path).change_passphrase("another", memory_bytes=MEMORY, passes=1)
    assert Keystore.open(path, "another").secrets == SECRETS
    with pytest.raises(Locked):
        Keystore.open(path, "open sesame")


def test_a_passphrase_can_be_given_up(path: Path) -> None:
    made(path).change_passphrase(None)
    assert not Keystore.needs_passphrase(path)
    assert Keystore.open(path, None).secrets == SECRETS


def test_added_passphrases_all_open_up_to_a_bound(path: Path) -> None:
    keystore = made(path, "0")
    for number in range(1, SLOT_COUNT_MAX):
        keystore.add_passphrase(str(number), memory_bytes=MEMORY, passes=1)
    for number in range(SLOT_COUNT_MAX):
        assert Keystore.open(path, str(number)).secrets == SECRETS
    with pytest.raises(Usage):
        keystore.add_passphrase("one too many", memory_bytes=MEMORY, passes=1)


def test_a_first_passphrase_shuts_the_open_door(path: Path) -> None:
    made(path, None).add_passphrase("open sesame", memory_bytes=MEMORY, passes=1)
    with pytest.raises(Locked):
        Keystore.open(path, None)
    assert Keystore.open(path, "open sesame").secrets == SECRETS


@pytest.mark.parametrize("passphrase", ["", "x" * 1_025])
def test_a_passphrase_of_no_letter_or_too_many_is_refused(path: Path, passphrase: str) -> None:
    with pytest.raises(Usage):
        made(path, passphrase)
    assert not path.exists()


def test_a_second_create_does_not_touch_the_first(path: Path) -> None:
    made(path)
    with pytest.raises(HomeProblem):
        made(path, None, b"other")
    assert Keystore.open(path, "open sesame").secrets == SECRETS


def test_a_missing_file_is_a_problem_of_the_home(path: Path) -> None:
    for ask in (Keystore.needs_passphrase, lambda place: Keystore.open(place, None)):
        with pytest.raises(HomeProblem, match="no keystore"):
            ask(path)


@pytest.mark.parametrize("passphrase", ["open sesame", None])
def test_a_file_cut_anywhere_is_damaged(path: Path, passphrase: str | None) -> None:
    made(path, passphrase)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(HomeProblem, match="damaged"):
            Keystore.open(path, passphrase)
    path.write_bytes(whole + b"\0")
    with pytest.raises(HomeProblem, match="damaged"):
        Keystore.open(path, passphrase)


def test_a_flipped_bit_anywhere_never_opens(path: Path) -> None:
    made(path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        # The lowest bit: a higher one in the cost would be affordable, and slow.
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises((HomeProblem, Locked)):
            Keystore.open(path, "open sesame")


SLOT = [1, MEMORY, 1, bytes(16), bytes(48)]


@pytest.mark.parametrize(
    "value",
    [
        [1, [[1, 2**40, 1, bytes(16), bytes(48)]], b""],
        [1, [[1, MEMORY_BYTES_MAX, 2**40, bytes(16), bytes(48)]], b""],
        [1, [[1, MEMORY_BYTES_MAX, 4, bytes(16), bytes(48)]] * 2, b""],
        [1, [[1, MEMORY - 1, 1, bytes(16), bytes(48)]], b""],
        [1, [[1, MEMORY, 0, bytes(16), bytes(48)]], b""],
        [1, [[1, MEMORY, -1, bytes(16), bytes(48)]], b""],
        [1, [[1, MEMORY, 1, bytes(15), bytes(48)]], b""],
        [1, [[1, MEMORY, 1, bytes(16), bytes(47)]], b""],
        [1, [[0, bytes(31)]], b""],
        [1, [[2, bytes(32)]], b""],
        [1, [SLOT] * (SLOT_COUNT_MAX + 1), b""],
        [1, [], b""],
        [1, [SLOT], "text"],
        [1, SLOT, b""],
        [1, [SLOT]],
        [0, [SLOT], b""],
        {},
    ],
    ids=repr,
)
def test_what_asks_too_much_or_is_no_keystore_is_refused_at_once(path: Path, value: object) -> None:
    path.write_bytes(encode(value))
    before = time.thread_time()
    with pytest.raises(HomeProblem, match="damaged"):
        Keystore.open(path, "open sesame")
    assert time.thread_time() - before < 0.1


def test_a_newer_keystore_says_so(path: Path) -> None:
    path.write_bytes(encode([2, "whatever"]))
    with pytest.raises(HomeProblem, match="newer"):
        Keystore.open(path, None)


def test_an_endless_file_is_not_read_to_its_end(path: Path) -> None:
    path.write_bytes(bytes(FILE_BYTES_MAX + 1))
    with pytest.raises(HomeProblem, match="damaged"):
        Keystore.open(path, None)


def test_without_memory_for_the_passphrase_it_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path)

    def exhausted(_passphrase: bytes, _salt: bytes, *, memory_bytes: int, passes: int) -> bytes:
        raise MemoryError(memory_bytes * passes)

    monkeypatch.setattr(keystore_module, "argon2id", exhausted)
    with pytest.raises(HomeProblem, match="memory"):
        Keystore.open(path, "open sesame")


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_full_disk_at_any_step_of_a_save_keeps_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    keystore = made(path)

    def full(*_arguments: object, **_options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, full)
        with pytest.raises(HomeProblem, match="disk is full"):
            keystore.save(b"new secrets")
    assert keystore.secrets == SECRETS
    assert list(path.parent.iterdir()) == [path]
    assert Keystore.open(path, "open sesame").secrets == SECRETS
    keystore.save(b"new secrets")
    assert Keystore.open(path, "open sesame").secrets == b"new secrets"


class PowerCut(BaseException):
    """Not an Exception: nothing in the code under test may tidy up after it."""


def test_a_power_cut_between_write_and_rename_keeps_the_old_file_and_the_next_save_works(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystore = made(path)

    def cut(*_arguments: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", cut)
        with pytest.raises(PowerCut):
            keystore.save(b"new secrets")
    assert len(list(path.parent.iterdir())) == 2
    reopened = Keystore.open(path, "open sesame")
    assert reopened.secrets == SECRETS
    reopened.save(b"newer secrets")
    assert Keystore.open(path, "open sesame").secrets == b"newer secrets"
    assert list(path.parent.iterdir()) == [path]


def test_the_new_file_is_durable_before_it_takes_the_name_and_the_name_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystore = made(path)
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        steps.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    keystore.save(b"new")
    assert steps == ["file", "rename", "folder"]


def test_a_link_left_where_the_new_file_is_written_is_not_followed(path: Path) -> None:
    keystore = made(path)
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_bytes(b"somebody's file")
    path.with_name("keystore.cbor.new").symlink_to(elsewhere)
    keystore.save(b"new")
    assert elsewhere.read_bytes() == b"somebody's file"
    assert Keystore.open(path, "open sesame").secrets == b"new"


def test_destroyed_secrets_are_gone_from_every_name_of_the_file(path: Path) -> None:
    made(path, None, bytes(range(256)) * 64)
    left_by_a_crash, second_name = path.with_name("keystore.cbor.new"), path.with_name("copy")
    left_by_a_crash.write_bytes(path.read_bytes())
    os.link(path, second_name)
    Keystore.destroy(path)
    assert list(path.parent.iterdir()) == [second_name]
    assert not any(second_name.read_bytes())


def test_a_power_cut_in_the_middle_of_destruction_leaves_no_slot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path, None, bytes(10_000))
    whole = path.read_bytes()

    def cut(_descriptor: int) -> None:
        raise PowerCut

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(PowerCut):
        Keystore.destroy(path)
    left = path.read_bytes()
    assert not any(left[:4_096])
    assert left[4_096:] == whole[4_096:]
    with pytest.raises(HomeProblem):
        Keystore.open(path, None)


def test_destroying_twice_is_destroying_once(path: Path) -> None:
    made(path)
    Keystore.destroy(path)
    Keystore.destroy(path)
    assert not path.exists()


def test_destruction_that_fails_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path)

    def worn_out(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", worn_out)
    with pytest.raises(HomeProblem, match="could not be destroyed"):
        Keystore.destroy(path)


def test_randomness_is_the_callers(path: Path) -> None:
    def count_from_nought(size: int) -> bytes:
        return bytes(range(size))

    for name in ("a", "b"):
        Keystore.create(
            path.with_name(name), SECRETS, passphrase="p", entropy=count_from_nought, memory_bytes=MEMORY, passes=1
        )
    assert path.with_name("a").read_bytes() == path.with_name("b").read_bytes()
