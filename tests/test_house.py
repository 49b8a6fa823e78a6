"""The house's own promise: where everything should run, a test that did not is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent / "conftest.py"
ONE_TEST_SKIPS = "import pytest\n\ndef test_works(): pass\n\ndef test_cannot(): pytest.skip({reason!r})\n"
THE_MODULE_SKIPS = "import pytest\npytest.skip({reason!r}, allow_module_level=True)\n"


def run_pytest(folder: Path, text: str, *, in_ci: bool, workers: int) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_one.py").write_text(text)
    (folder / "test_other.py").write_text("def test_runs(): pass\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BEEPMESH_CI", "PYTEST_"))}
    if in_ci:
        env["BEEPMESH_CI"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers), "--rootdir=."]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("text", [ONE_TEST_SKIPS, THE_MODULE_SKIPS])
def test_an_unmet_need_fails_the_run_in_ci(tmp_path: Path, text: str, workers: int) -> None:
    done = run_pytest(tmp_path, text.format(reason="needs a pony"), in_ci=True, workers=workers)
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("needs a pony") == 1
    assert "though BEEPMESH_CI promises" in done.stdout


def test_an_unmet_need_is_a_skip_elsewhere(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, ONE_TEST_SKIPS.format(reason="needs a pony"), in_ci=False, workers=0)
    assert done.returncode == 0, done.stdout


def test_a_skip_for_another_reason_is_a_skip_in_ci_too(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, ONE_TEST_SKIPS.format(reason="only on Windows"), in_ci=True, workers=0)
    assert done.returncode == 0, done.stdout
