"""A stick between homes: what it holds, for whom, and that nothing is lost, doubled or believed."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beepmesh import desk
from beepmesh.bundles import importing
from beepmesh.bundles.chunks import CHUNK_BYTES, HEADER_BYTES
from beepmesh.bundles.exporting import Exported
from beepmesh.bundles.importing import Imported
from beepmesh.bundles.medium import Medium, MediumProblem
from beepmesh.bundles.opened import keys_of, pieces, secret_of
from beepmesh.bundles.records import Run, encode_run
from beepmesh.bundles.sealing import Opening, Writing
from beepmesh.errors import HomeProblem, Refused, UnknownName
from beepmesh.home import Home
from beepmesh.locks import at_once
from beepmesh.store.contract import Batch, MessageQuery
from sync.logs import LogId, LogState
from sync.ranges import Ranges
from tests.bundles.sticks import acquainted, give, people, settled, take, words
from tests.homes import NOW_MS, founded, joined

FILE = "bundle-{}.beepmesh"


def send(home: Home, who: str, text: str, priority: str = "routine") -> str:
    return desk.send(home, who, text, priority=priority, now_ms=NOW_MS).id


def states(home: Home, message: str) -> list[str]:
    return [line.state for line in desk.show(home, message, now_ms=NOW_MS).lines]


def runs_in(stick: Path, reader: Home) -> list[Run]:
    found: list[Run] = []
    for path in sorted(stick.glob("bundle-*")):
        with path.open("rb") as file:
            parts = pieces(file, path.stat().st_size)
            opening = Opening(next(parts), keys_of(reader.identity))
            found += [run for part in parts for run in opening.chunk(part)]
    return found


def test_a_message_goes_by_a_courier_and_its_receipt_comes_back(tmp_path: Path) -> None:
    with acquainted(tmp_path, "Ayesha", "Bilal", "Chand") as (a, b, c):
        one, two = tmp_path / "one", tmp_path / "two"
        message = send(a, "Chand", "The bridge is out.")
        give(a, one)
        assert take(b, one).messages == 0
        give(b, two)
        assert take(c, two).messages == 1
        assert words(c) == ["The bridge is out."]
        give(c, two)
        take(b, two)
        give(b, one)
        take(a, one)
        assert states(a, message) == ["delivered"]


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        send(a, "Bilal", "one")
        give(a, stick)
        first = take(b, stick)
        assert first.new > 0
        before = settled(b), words(b), b.store.counts(), b.store.size().entries
        for _ in range(10):
            again = take(b, stick)
            assert (again.new, again.refused, again.known) == (0, 0, first.new + first.known)
        assert (settled(b), words(b), b.store.counts(), b.store.size().entries) == before


def test_a_second_export_writes_only_what_is_new(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, _):
        first = give(a, stick)
        assert first.files == 1
        assert give(a, stick) == Exported(there=first.entries)
        send(a, "Bilal", "news")
        assert (give(a, stick).entries, len(list(stick.iterdir()))) == (1, 2)


def test_what_others_left_there_is_not_written_again(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        assert give(a, stick).entries
        done = give(b, stick)
        assert (done.files, done.left_out) == (0, 0)


def test_what_is_damaged_there_is_written_again(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        first = give(a, stick)
        (file,) = stick.iterdir()
        data = bytearray(file.read_bytes())
        data[HEADER_BYTES + 9] ^= 1
        file.write_bytes(data)
        assert give(a, stick).entries == first.entries
        assert take(b, stick).reasons == {"bundle-unopened": 1}


def test_a_newcomer_across_an_air_gap_learns_everybody_from_a_stick(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        give(b, stick)
        with joined(tmp_path / "dawood", a, "Dawood") as d:
            assert take(d, stick).refused == 0
            assert {person.name for person in desk.people(d, now_ms=NOW_MS)} == {"Ayesha", "Bilal", "Dawood"}
            send(d, "Bilal", "I am new.")
            give(d, stick)
            assert take(b, stick).messages == 1
            assert words(b) == ["I am new."]


def test_a_file_that_leans_on_another_one_is_taken_whatever_their_names_say(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, _), joined(tmp_path / "d", a, "Dawood") as d:
        give(a, stick)
        send(a, "Bilal", "one")
        give(a, stick)
        small, large = sorted(stick.iterdir(), key=lambda path: len(runs_of_file(path, a)))
        small.rename(stick / FILE.format("0" * 32))
        large.rename(stick / FILE.format("f" * 32))
        done = take(d, stick)
        assert (done.refused, done.reasons) == (0, {})
        assert all(settled(d)[log] == ranges for log, ranges in settled(a).items())


def runs_of_file(path: Path, reader: Home) -> list[Run]:
    with path.open("rb") as file:
        parts = pieces(file, path.stat().st_size)
        opening = Opening(next(parts), keys_of(reader.identity))
        return [run for part in parts for run in opening.chunk(part)]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_in_whatever_order_sticks_go_around_everybody_has_everything(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
    names = ("Ayesha", "Bilal", "Chand", "Dawood")
    with people(folder, *names) as homes:
        sticks = [folder / f"stick{number}" for number in range(2)]
        said: dict[str, list[str]] = {name: [] for name in names}
        for step in range(24):
            home, stick = chance.choice(homes), chance.choice(sticks)
            known = [person.name for person in desk.people(home, now_ms=NOW_MS) if not person.me and person.reachable]
            act = chance.randrange(4)
            if act == 0 and known:
                to = chance.choice(known)
                send(home, to, f"text {step}", chance.choice(("routine", "urgent")))
                said[to].append(f"text {step}")
            elif act == 1:
                give(home, stick, size=chance.choice((None, None, 2 * CHUNK_BYTES)))
            elif stick.exists():
                take(home, stick)
        for _ in range(2):
            for home in (*homes, *homes):
                give(home, sticks[0])
                assert take(home, sticks[0]).reasons == {}
        assert {home.identity.name: words(home) for home in homes} == {name: sorted(said[name]) for name in names}
        assert len({str(sorted((log, each.spans) for log, each in settled(home).items())) for home in homes}) == 1


# What goes first, and for whom.


def test_what_matters_most_goes_first_when_there_is_little_room(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        for number in range(200):
            send(a, "Bilal", f"routine {number}")
        send(a, "Bilal", os.urandom(20_000).hex())
        send(a, "Bilal", "We are cut off.", "sos")
        done = give(a, stick, size=2 * CHUNK_BYTES + HEADER_BYTES)
        assert done.bytes <= 2 * CHUNK_BYTES + HEADER_BYTES
        assert done.left_out > 0
        lanes = [run.log.lane for run in runs_in(stick, a)]
        assert lanes == sorted(lanes)
        take(b, stick)
        came = words(b)
        assert "We are cut off." in came
        assert "routine 199" in came
        assert "routine 0" not in came
        rest = give(a, stick)
        assert rest.left_out == 0
        assert rest.entries <= done.left_out + 8
        take(b, stick)
        assert len(words(b)) == 202


def test_a_stick_without_room_says_what_stays(tmp_path: Path) -> None:
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, _):
        done = give(a, tmp_path / "stick", size=1_000)
        assert (done.files, done.entries, done.bytes) == (0, 0, 0)
        assert done.left_out == a.store.size().entries


def test_a_bundle_for_named_people_is_for_their_devices_alone(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal", "Chand") as (a, b, c):
        send(a, "Chand", "for you")
        done = give(a, stick, "Chand")
        assert done.files == 1
        before = settled(b)
        refused = take(b, stick)
        assert refused.reasons == {"not-for-us": 1}
        assert settled(b) == before
        assert b.store.counts()["not-for-us"].count == 1
        assert take(c, stick).messages == 1
        assert give(a, stick, "Chand") == Exported(there=done.entries)


def test_what_is_there_for_some_only_is_written_again_for_all(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal", "Chand") as (a, b, _):
        send(a, "Bilal", "hello")
        named = give(a, stick, "Chand")
        assert give(a, stick).entries == a.store.size().entries
        assert take(b, stick).messages == 1
        assert give(a, stick, "Chand").there == named.entries
        assert give(a, stick, "Bilal").entries == 0


def test_a_bundle_for_some_leaves_out_what_is_for_others(tmp_path: Path) -> None:
    """In an organisation that is large enough for crowds to tell departments apart."""
    stick = tmp_path / "stick"
    with founded(tmp_path / "a", "Ayesha") as a:
        homes = [
            joined(tmp_path / f"{where}{number}", a, f"{where}{number}", department=where)
            for where in ("swat", "dir")
            for number in range(5)
        ]
        for home in homes:
            give(home, stick)
            home.close()
        take(a, stick)
        for number in range(24):
            send(a, "dir1", f"for dir {number}")
        for number in range(24):
            send(a, "swat1", f"for swat {number}")
        send(a, "dir2", "urgent for dir", "urgent")
        other = tmp_path / "other"
        done = give(a, other, "dept:swat")
        taken = {(run.log, seq) for run in runs_in(other, a) for seq in range(run.start, run.start + len(run.packed))}
        held = {(log, seq) for log, state in a.store.states().items() for seq in range(state.settled.top)}
        assert done.entries == len(taken)
        assert {place for place in held if place[0].lane == 0} <= taken
        mail, crowds = LogId(a.identity.feed, 1), a.roster.crowds()
        assert {(mail, seq) for seq in range(24, 48)} <= taken
        named = set(a.store.crowds(mail, 0, 24).values())
        # Where the two departments begin with the same bits, a crowd of the one may hold some of the other.
        if not any(crowds.has(crowd, device_of(a, f"swat{number}")) for crowd in named for number in range(5)):
            assert not {(mail, seq) for seq in range(24)} & taken


def device_of(home: Home, name: str) -> bytes:
    return home.roster.resolve(name, NOW_MS // 1_000)[0].devices[0]


def test_somebody_without_keys_is_said(tmp_path: Path) -> None:
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, _), pytest.raises(UnknownName):
        give(a, tmp_path / "stick", "Nobody")


def spoiled(source: Home, target: Home, keep: int) -> None:
    """Target holds what source does, but only one of `keep` entries of mail with a good signature."""
    entries, proved = [], set()
    for log, state in sorted(source.store.states().items(), key=lambda item: (item[0].lane, item[0].feed)):
        for seq in range(state.settled.top):
            if seq in target.store.states().get(log, LogState(Ranges(), b"")).settled:
                continue
            entry = source.store.entry(log, seq)
            assert entry is not None
            if log.lane and seq % keep != keep - 1 and seq != state.settled.top - 1:
                entry = entry._replace(signature=bytes(64))
            else:
                proved.add(entry.id)
            entries.append(entry)
    batch = Batch(entries=tuple(entries), proved=frozenset(proved))
    target.store.commit(batch, keys=target.keys(), now_ms=NOW_MS)


@pytest.mark.parametrize("chunks", [3, 4, None])
def test_spoiled_signatures_on_the_way_keep_nothing_from_its_reader(tmp_path: Path, chunks: int | None) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal", "Chand") as (a, b, c):
        for number in range(180):
            send(a, "Chand", f"{number}")
        spoiled(a, b, keep=5)
        give(b, stick, size=chunks and chunks * CHUNK_BYTES + HEADER_BYTES)
        take(c, stick)
        give(b, stick)
        for _ in range(3):
            take(c, stick)
        mail = LogId(a.identity.feed, 1)
        assert settled(c)[mail] == settled(b)[mail]
        assert len(c.store.messages(MessageQuery())) == 180


# A hostile or failing medium.


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Home, Home, Path]]:
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        send(a, "Bilal", "still there")
        give(a, tmp_path / "stick")
        yield a, b, tmp_path / "stick"


def arrived(b: Home, stick: Path) -> Imported:
    done = take(b, stick)
    assert words(b) == ["still there"]
    return done


def test_odd_things_in_the_folder_are_left_alone(pair: tuple[Home, Home, Path], tmp_path: Path) -> None:
    _, b, stick = pair
    outside = tmp_path / "outside"
    outside.write_bytes(next(stick.iterdir()).read_bytes())
    (stick / FILE.format("1" * 32)).symlink_to(outside)
    os.mkfifo(stick / FILE.format("2" * 32))
    (stick / FILE.format("3" * 32)).mkdir()
    (stick / FILE.format("4" * 32)).symlink_to("/dev/zero")
    (stick / "bundle-../../x.beepmesh".replace("/", "_")).write_bytes(b"x")
    Path(os.fsdecode(bytes(stick) + b"/bundle-\xff\xfe\n.beepmesh")).write_bytes(b"x")
    (stick / FILE.format("5" * 32)).write_bytes(b"")
    (stick / FILE.format("6" * 32)).write_bytes(b"beepmesh\x02" + bytes(90))
    done = arrived(b, stick)
    assert done.reasons == {"bundle-no-file": 4, "bundle-foreign": 1, "bundle-version": 1}
    assert outside.exists()


def test_a_file_larger_than_any_bundle_costs_what_a_bundle_may(pair: tuple[Home, Home, Path]) -> None:
    _, b, stick = pair
    (bundle,) = stick.iterdir()
    with (stick / FILE.format("7" * 32)).open("wb") as file:
        file.write(bundle.read_bytes()[:HEADER_BYTES])
        file.truncate(1 << 40)
    done = arrived(b, stick)
    assert done.reasons.keys() == {"bundle-unopened", "bundle-oversized"}


def test_only_so_many_files_are_read(
    pair: tuple[Home, Home, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, b, _ = pair
    crowded = tmp_path / "crowded"
    crowded.mkdir()
    monkeypatch.setattr(importing, "FILES_MAX", 5)
    for number in range(9):
        (crowded / FILE.format(f"{number:032x}")).write_bytes(b"x")
    done = take(b, crowded)
    assert done.files == 5
    assert done.reasons == {"bundle-many": 4, "bundle-foreign": 5}


def test_a_member_who_forges_entries_is_found_out(pair: tuple[Home, Home, Path], tmp_path: Path) -> None:
    a, b, stick = pair
    forged = Writing(4)
    for run in runs_in(stick, a):
        packed = tuple(data[:-1] + bytes((data[-1] ^ 1,)) for data in run.packed)
        assert forged.add(encode_run(run._replace(packed=packed)), len(packed))
    for number in range(100):
        run = Run(LogId(number.to_bytes(16), 1), 1, bytes(32), (bytes(200),))
        assert forged.add(encode_run(run), 1)
    other = tmp_path / "forged"
    other.mkdir()
    Medium(other, secret_of(a.identity)).add(forged.sealed(a.identity.bundle_secrets[0], (), a.entropy), a.entropy)
    before = settled(b)
    done = take(b, other)
    assert done.new == 0
    assert done.refused >= 100
    assert done.reasons["unknown-feed"] >= 100
    assert settled(b) == before
    arrived(b, stick)


def test_a_forged_copy_does_not_keep_an_export_from_writing_the_true_one(
    pair: tuple[Home, Home, Path], tmp_path: Path
) -> None:
    a, b, stick = pair
    whole = runs_in(stick, a)
    forged = Writing(4)
    for run in whole:
        assert forged.add(encode_run(run._replace(packed=tuple(data + b"!" for data in run.packed))), len(run.packed))
    other = tmp_path / "forged"
    other.mkdir()
    Medium(other, secret_of(b.identity)).add(forged.sealed(a.identity.bundle_secrets[0], (), a.entropy), a.entropy)
    assert give(a, other).entries == sum(len(run.packed) for run in whole)
    take(b, other)
    assert words(b) == ["still there"]


def test_a_torn_file_gives_what_is_whole_in_it(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        for number in range(90):
            send(a, "Bilal", f"{number}")
        give(a, stick)
        (file,) = stick.iterdir()
        os.truncate(file, HEADER_BYTES + 2 * CHUNK_BYTES + 1_000)
        done = take(b, stick)
        assert done.reasons == {"bundle-torn": 1}
        assert 0 < len(words(b)) < 90
        assert give(a, stick).left_out == 0
        take(b, stick)
        assert len(words(b)) == 90


def test_an_interrupted_export_leaves_nothing_half_and_goes_on(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, _):
        ours, theirs = (Medium(stick, secret) for secret in (secret_of(a.identity), bytes(32)))

        def cut() -> Iterator[bytes]:
            yield b"begun"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ours.add(cut(), os.urandom)
        assert list(stick.iterdir()) == []
        for who in (ours, theirs):  # As a kill leaves it.
            drawn = os.urandom(8)
            (stick / f".bundle-{(drawn + who._mark(drawn)).hex()}.part").write_bytes(b"begun")
        assert give(a, stick).files == 1
        left = [path.name for path in stick.iterdir() if path.name.startswith(".")]
        assert len(left) == 1, "another device's is not ours to remove"


def test_two_exports_at_once_from_one_device_are_refused(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a, at_once(a.path / "export.lock"), pytest.raises(HomeProblem, match="going on"):
        give(a, tmp_path / "stick")


def test_a_stick_that_is_not_there_is_said(tmp_path: Path) -> None:
    with founded(tmp_path / "a") as a:
        for act in (give, take):
            with pytest.raises(MediumProblem) as problem:
                act(a, tmp_path / "none" / "stick")
            assert problem.value.reason == "medium-missing"


@pytest.mark.needs_root
def test_a_full_medium_keeps_whole_files_and_says_so(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    with acquainted(tmp_path, "Ayesha", "Bilal") as (a, b):
        for number in range(90):
            send(a, "Bilal", f"{number} {os.urandom(12_000).hex()}")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(stick)], check=True)
        try:
            done = give(a, stick)
            assert done.files > 0
            assert done.left_out > 0
            assert take(b, stick).reasons == {}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Medium, "room", lambda _: 1 << 30)  # As if another program filled it meanwhile.
                with pytest.raises(MediumProblem, match="export again") as problem:
                    give(a, stick)
            assert problem.value.reason == "medium-full"
            assert [path.name for path in stick.iterdir() if path.name.startswith(".")] == []
            assert take(b, stick).reasons == {}
        finally:
            subprocess.run(["umount", "-l", str(stick)], check=True)


def test_a_file_that_is_renamed_or_removed_meanwhile_is_counted(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    reader = Medium(stick, bytes(32))
    with pytest.raises(Refused) as refused, reader.opened(FILE.format("a" * 32)):
        pass
    assert refused.value.reason == "bundle-unreadable"
