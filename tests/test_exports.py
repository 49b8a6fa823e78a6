"""What an embedder may import, and what happens where a stranger's package has one of our names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import beepmesh
from beepmesh import errors

ROOT = Path(__file__).parents[1]
PUBLIC = set(
    "Node Home Text Person Message SentMessage Receipt Round Traffic Transport Link LinkInfo LinkBroken SpecError"
    " BeepmeshError HomeProblem InvitationProblem Locked NotAllowed TooLarge UnknownName Unreachable Usage".split()
)


def imported(folder: Path, code: str = "import beepmesh") -> subprocess.CompletedProcess[str]:
    """A program that runs in that folder, which Python searches first, and finds our checkout after it."""
    command = [sys.executable, "-c", code]
    env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(beepmesh.__all__) == PUBLIC
    assert len(beepmesh.__all__) == len(PUBLIC)
    assert set(beepmesh.__all__) <= set(dir(beepmesh))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_name_is_there_and_explains_itself(name: str) -> None:
    value = getattr(beepmesh, name)
    assert value.__name__ == name
    assert value.__doc__


def test_every_error_for_a_caller_is_public() -> None:
    ours = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert ours - {"Refused"} == {name for name in PUBLIC if hasattr(errors, name)}


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'beepmesh' has no attribute 'Hub'"):
        _ = beepmesh.Hub


def test_importing_it_loads_no_library(tmp_path: Path) -> None:
    code = "import sys, beepmesh; print({'anyio', 'nacl', 'cryptography', 'sqlite3', 'rich'} & set(sys.modules))"
    assert imported(tmp_path, code).stdout == "set()\n"


def test_the_star_gives_all_of_it(tmp_path: Path) -> None:
    done = imported(tmp_path, "from beepmesh import *; print(Node, LinkInfo, Usage)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["sync", "transports"])
def test_a_strangers_file_of_our_name_is_named_with_the_cure(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("def copy() -> None: ...\n")
    done = imported(tmp_path)
    assert done.returncode == 1
    assert f"{name}.py is in the way" in done.stderr.replace(str(tmp_path) + "/", "")
    assert "environment of its own" in done.stderr


def test_a_package_that_was_removed_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "beepmesh").symlink_to(ROOT / "beepmesh")
    code = (
        "import sys; sys.path = [path for path in sys.path if path.startswith(sys.base_prefix)"
        " and 'site-packages' not in path]; sys.path.insert(0, sys.argv[1]); import beepmesh"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "The package 'sync' of beepmesh is missing" in done.stderr


def test_a_folder_without_code_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "sync").mkdir()
    assert imported(tmp_path).returncode == 0
