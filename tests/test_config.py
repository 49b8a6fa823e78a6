"""Settings: defaults, what a file sets, and what is refused with which words."""

from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beepmesh.config import (
    FILE_BYTES_MAX,
    FILE_NAME,
    MEGABYTES_MAX,
    MEGABYTES_MIN,
    SPECS_MAX,
    Config,
    Setting,
    keep_links,
    load,
    parse,
)
from beepmesh.errors import HomeProblem


def test_a_home_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Config()
    assert [setting.source for setting in load(tmp_path).effective()] == ["default"] * 4


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[links]\nuse = ["lan", "tcp:192.0.2.7:7700"]\n')
    assert load(tmp_path).effective() == [
        Setting("links.use", ("lan", "tcp:192.0.2.7:7700"), str(file)),
        Setting("links.metered_kilobytes_per_day", 0, "default"),
        Setting("storage.megabytes", 2_000, "default"),
        Setting("storage.carried_megabytes", 0, "default"),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[links]\nuze = []", "links.use"),
        ("[link]\nuse = []", "links.use"),
        ("use = []", "links.use"),
        ("[elsewhere]\nthing = 3", "links.use"),
        ("[elsewhere]", "links.use"),
        ("links = 3", "links.use"),
        ("[links.use]\nx = 1", "links.use"),
        ("[storage]\nmegabyte = 1", "storage.megabytes"),
        ("megabytes = 100", "storage.megabytes"),
    ],
)
def test_an_unknown_key_is_refused_naming_the_nearest(text: str, named: str) -> None:
    with pytest.raises(HomeProblem) as problem:
        parse(text.encode(), "config.toml")
    assert named in str(problem.value)


@pytest.mark.parametrize(
    "text",
    [
        "[links]\nuse = 9",
        "[links]\nuse = 'lan'",
        "[links]\nuse = [1]",
        "[links]\nuse = ['']",
        f"[links]\nuse = {['lan'] * (SPECS_MAX + 1)}",
        "[links",
        "[links]\nuse = []\nuse = []",
        "[storage]\nmegabytes = '100'",
        "[storage]\nmegabytes = 100.0",
        "[storage]\nmegabytes = true",
        "[storage]\nmegabytes = -1",
        f"[storage]\nmegabytes = {MEGABYTES_MIN - 1}",
        f"[storage]\nmegabytes = {MEGABYTES_MAX + 1}",
    ],
)
def test_a_wrong_value_is_refused_naming_the_file(text: str) -> None:
    with pytest.raises(HomeProblem, match="here.toml"):
        parse(text.encode(), "here.toml")


def test_no_links_at_all_is_a_choice() -> None:
    assert parse(b"[links]\nuse = []", "").links_use == ()


@pytest.mark.parametrize("megabytes", [0, MEGABYTES_MIN, MEGABYTES_MAX])
def test_the_store_may_take_what_is_asked_for(megabytes: int) -> None:
    assert parse(f"[storage]\nmegabytes = {megabytes}".encode(), "").storage_megabytes == megabytes


def test_a_file_too_large_or_not_readable_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    with pytest.raises(HomeProblem, match="larger"):
        load(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(HomeProblem, match="read"):
        load(tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_settings_or_a_home_problem(data: bytes) -> None:
    with contextlib.suppress(HomeProblem):
        assert isinstance(parse(data, "x"), Config)


@given(st.lists(st.text(min_size=1, max_size=40), max_size=4, unique=True))
def test_kept_links_are_read_as_they_were_or_refused(specs: list[str]) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        try:
            assert keep_links(home, specs)
        except HomeProblem:
            assert not (home / FILE_NAME).exists()
        else:
            assert load(home).links_use == tuple(specs)


def test_what_a_person_has_set_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("[links]\nuse = []\n")
    assert not keep_links(tmp_path, ["lan", "hub:https://hub.example"])
    assert load(tmp_path).links_use == ()
