"""export, import and sync bundle:DIR, as they are typed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from beepmesh.bundles.sealing import Opening
from beepmesh.cli.bundles import bytes_of
from beepmesh.cli.reasons import WORDS
from beepmesh.errors import Usage
from beepmesh.home import Home
from tests.cli.conftest import AYESHA, BILAL, now_ms, together
from tests.cli.typing_in import Person
from tests.homes import joined


@pytest.fixture
def stick(tmp_path: Path) -> str:
    return str(tmp_path / "stick")


def test_what_an_export_did_is_said(ayesha: Person, bilal: Person, stick: str) -> None:
    ayesha.asks("send", BILAL, "The bridge is out.")
    done = ayesha.asks("export", stick)
    assert done.keys() == {"files", "entries", "bytes", "there", "left_out", "without_keys"}
    assert (done["files"], done["left_out"], done["there"]) == (1, 0, 0)
    assert "Nothing is new" in ayesha.types("export", stick).out
    came = bilal.asks("import", stick)
    assert came.keys() == {"files", "bytes", "entries", "messages", "refused", "troubles"}
    assert (came["messages"], came["refused"]) == (1, {})
    assert "0 entries taken from 1 bundle" in bilal.types("import", stick).out
    assert "The bridge is out." in bilal.types("inbox").out


def test_sync_with_a_folder_takes_and_gives(ayesha: Person, bilal: Person, stick: str) -> None:
    message = str(ayesha.asks("send", BILAL, "Where are you?")["id"])
    first = ayesha.asks("sync", f"bundle:{stick}")
    assert first.keys() >= {"peer", "sent", "received", "seconds"}
    assert first["peer"] == f"bundle:{stick}"
    answer = bilal.types("sync", f"bundle:{stick}")
    assert "1 message came for you" in answer.out
    assert "written to" in answer.out
    ayesha.asks("sync", f"bundle:{stick}")
    assert "delivered" in ayesha.types("show", message).out


def test_a_bundle_for_others_is_named_and_counted(ayesha: Person, bilal: Person, stick: str, tmp_path: Path) -> None:
    with Home.open(ayesha.home) as founder:
        joined(tmp_path / "chand", founder, "Chand", now_ms=now_ms()).close()
    chand = Person(tmp_path / "chand")
    together(ayesha, bilal, chand)
    bilal.asks("export", stick, "--to", AYESHA)
    assert chand.asks("import", stick)["refused"] == {"not-for-us": 1}
    (bundle,) = Path(stick).iterdir()
    assert chand.asks("import", stick)["troubles"] == [{"file": bundle.name, "reason": "not-for-us"}]
    assert f"{WORDS['not-for-us']} ({bundle.name})" in chand.types("import", stick).out
    assert "not-for-us" in chand.types("status").out
    assert ayesha.asks("import", stick)["refused"] == {}


def test_an_empty_folder_has_no_bundles(ayesha: Person, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no bundles" in ayesha.types("import", str(tmp_path / "empty")).out


def test_a_missing_stick_is_said(ayesha: Person, stick: str) -> None:
    assert ayesha.types("import", stick, "--json").failure() == (1, "medium-missing")
    assert ayesha.types("export", f"{stick}/deeper", "--json").failure() == (1, "medium-missing")
    assert ayesha.types("import", "").code == 2


def test_little_room_is_said(ayesha: Person, stick: str) -> None:
    done = ayesha.types("export", stick, "--size", "10kB")
    assert done.code == 0
    assert "had to stay here" in done.out


def test_nobody_to_seal_to_is_said(ayesha: Person, stick: str) -> None:
    assert ayesha.types("export", stick, "--to", "Nobody", "--json").failure() == (1, "unknown-name")


def test_run_says_where_a_folder_belongs(ayesha: Person, stick: str) -> None:
    done = ayesha.types("run", f"bundle:{stick}")
    assert done.code == 2
    assert "beepmesh sync bundle:DIR" in done.err


def test_ctrl_c_keeps_what_came_and_the_next_import_brings_the_rest(
    ayesha: Person, bilal: Person, stick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        ayesha.asks("send", BILAL, f"{number}")
    ayesha.asks("export", stick)
    chunk, calls = Opening.chunk, itertools.count()

    def stopping(self: Opening, sealed: bytes) -> object:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return chunk(self, sealed)

    with monkeypatch.context() as patch:
        patch.setattr(Opening, "chunk", stopping)
        assert bilal.types("import", stick, "--json").failure() == (1, "stopped")
    bilal.asks("import", stick)
    assert len(bilal.types("inbox", "--json").objects()) == 60


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("64kB", 64_000), ("500 MB", 5 * 10**8), ("2gb", 2 * 10**9), ("7", 7), ("1T", 10**12)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5GB", "many", "2 bytes", "9" * 13])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        bytes_of(text)
