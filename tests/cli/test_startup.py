"""Help is there at once, also on a small computer: it loads nothing of ours that does work."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence

import pytest

from beepmesh.cli.verbs import VERBS

HEAVY = ("anyio", "asyncio", "rich", "nacl", "cryptography", "zeroconf", "zstandard", "cbor2", "sqlite3", "segno")
LOADED = (
    "import sys; from beepmesh.cli.main import main; code = main(sys.argv[1:]); "
    "print([name for name in sys.modules if '.' not in name], file=sys.stderr); sys.exit(code)"
)


def loaded(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.strip().strip("[]").replace("'", "").split(", "))


@pytest.mark.parametrize("words", [("--help",), ("send", "--help"), ("join", "--help"), ("completion", "bash")])
def test_help_loads_none_of_the_libraries(words: Sequence[str]) -> None:
    assert not loaded(*words) & set(HEAVY)


def test_the_first_help_does_without_argparse_too() -> None:
    assert not loaded("--help") & {"argparse", "dataclasses", "inspect", "json", "difflib"}


def test_the_cpu_time_of_help_is_told() -> None:
    """A figure for the reader of a test's output; only what is beyond any doubt wrong fails."""
    for words in (["--help"], *([*verb.name.split(), "--help"] for verb in VERBS[:3])):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "beepmesh", *words], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent_ms = 1_000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        print(f"beepmesh {' '.join(words)}: {spent_ms:.0f} ms of CPU")
        assert spent_ms < 500
