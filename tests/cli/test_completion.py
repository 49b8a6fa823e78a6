"""The Tab key: scripts that the shells read, and that offer what the table of verbs says."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from beepmesh.cli.completion import script
from beepmesh.cli.verbs import SHELLS, VERBS

FIRST_WORDS = {verb.name.split()[0] for verb in VERBS}


def offered(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    path = folder / "completion.bash"
    path.write_text(script("bash"))
    ask = (
        f"source {path}; COMP_WORDS=(beepmesh {shlex.join(words)}); COMP_CWORD={len(words)}; _beepmesh;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask], cwd=folder, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_its_script(shell: str, tmp_path: Path) -> None:
    text = script(shell)
    shlex.split(text, comments=True)
    path = tmp_path / "script"
    path.write_text(text)
    if shutil.which(shell):
        done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    for verb in VERBS:
        for word in verb.name.split():
            assert word in text
        for argument in verb.arguments:
            assert not argument.is_option or argument.name.removeprefix("--") in text


def test_zsh_finds_what_the_script_is_for_in_its_first_line() -> None:
    assert script("zsh").startswith("#compdef beepmesh\n")


def test_bash_offers_verbs_options_and_choices(tmp_path: Path) -> None:
    assert set(offered(tmp_path, "")) == FIRST_WORDS | {"--home", "--json", "--passphrase-file", "--help"}
    assert offered(tmp_path, "inb") == ["inbox"]
    assert offered(tmp_path, "send", "Bilal", "--pri") == ["--priority"]
    assert offered(tmp_path, "--home", "x", "send", "Bilal", "--priority", "") == ["sos", "urgent", "routine", "bulk"]
    assert offered(tmp_path, "org", "c") == ["create"]
    assert offered(tmp_path, "completion", "z") == ["zsh"]


def test_bash_offers_files_where_a_file_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "bilal.request").touch()
    (tmp_path / "folder").mkdir()
    assert offered(tmp_path, "admit", "bil") == ["bilal.request"]
    assert offered(tmp_path, "join", "CODE", "--request", "bil") == ["bilal.request"]
    assert offered(tmp_path, "--home", "fo") == ["folder"]
