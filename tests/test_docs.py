"""What a README shows, works: its marked examples run, and every verb of the program is in the first README.

The convention is described, and used, in tests/README.md.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMAND_TIMEOUT_S = 60
PORTS = (8443, 8444, 8445)
"""What examples listen on; others may run beside them, so a test puts free ones in their place."""
READMES = sorted(
    path
    for path in ROOT.rglob("README.md")
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
)


class ExampleFailed(AssertionError):
    """The example does not do what the page says; the text names the line."""


@dataclass(frozen=True, slots=True)
class Example:
    line: int  # Of the opening fence, counted from 1.
    words: tuple[str, ...]  # The info string.
    lines: tuple[str, ...]

    @property
    def is_test(self) -> bool:
        return self.words[:2] in (("console", "test"), ("sh", "test"), ("python", "test"))


@dataclass(frozen=True, slots=True)
class Step:
    line: int
    command: str
    expected: tuple[str, ...]


def examples(text: str) -> Iterator[Example]:
    """Every fenced block of a page, whatever its info string. Raises ExampleFailed for a fence that is never closed."""
    opening: tuple[int, str, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"(`{3,})(.*)", line)
        if opening is None:
            if fence:
                opening, inside = (number, fence[1], fence[2]), []
        elif fence and len(fence[1]) >= len(opening[1]) and not fence[2].strip():
            yield Example(opening[0], tuple(opening[2].split()), tuple(inside))
            opening = None
        else:
            inside.append(line)
    if opening is not None:
        raise ExampleFailed(f"line {opening[0]}: this fence is never closed")


def steps(example: Example) -> list[Step]:
    found: list[Step] = []
    for number, line in enumerate(example.lines, example.line + 1):
        if line.startswith("$ "):
            found.append(Step(number, line[2:], ()))
        elif found:
            last = found[-1]
            found[-1] = Step(last.line, last.command, (*last.expected, line))
        elif line.strip():
            raise ExampleFailed(f"line {number}: output before the first command; commands begin with '$ '")
    return found


def matches(expected: tuple[str, ...], printed: str) -> bool:
    """Whether printed is what the page shows; `...` is any text in a line, alone on a line any number of lines."""
    pattern = ""
    for line in "\n".join(expected).rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*".join(re.escape(part.rstrip()) for part in line.split("...")) + r"[ ]*\n"
    return re.fullmatch(pattern, printed.rstrip() + "\n") is not None


def environment(home: Path) -> dict[str, str]:
    """An empty home, our own `beepmesh` first on the path, and nothing of the user's settings."""
    programs = home.parent / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "beepmesh"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m beepmesh "$@"\n')
        program.chmod(0o755)
    return {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "BEEPMESH_HOME": str(home / "beepmesh"),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
    }


def run_console(example: Example, folder: Path, env: Mapping[str, str], groups: list[int]) -> None:
    """What a command leaves running is in its process group, which is added to groups."""
    for step in steps(example):
        shell = subprocess.Popen(
            ["bash", "-c", step.command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            printed, _ = shell.communicate(timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            printed, _ = shell.communicate()
            raise ExampleFailed(f"line {step.line}: {step.command}\ndoes not end:\n{printed}") from None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, 0)
            groups.append(shell.pid)
        if shell.returncode != 0:
            raise ExampleFailed(f"line {step.line}: {step.command}\nended with {shell.returncode}:\n{printed}")
        if step.expected and not matches(step.expected, printed):
            raise ExampleFailed(f"line {step.line}: {step.command}\nprinted:\n{printed}")


def run_python(example: Example, folder: Path, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(example.lines)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise ExampleFailed(f"line {example.line}: this program ended with {done.returncode}:\n{done.stdout}")


def with_free_ports(text: str) -> str:
    """The page with free ports in the place of the three that its examples listen on."""
    with contextlib.ExitStack() as servers:
        for port in PORTS:
            server = servers.enter_context(socket.create_server(("127.0.0.1", 0)))
            text = re.sub(rf"\b{port}\b", str(server.getsockname()[1]), text)
    return text


def run_page(text: str, folder: Path) -> int:
    """Run every marked example of a page; how many there were. What they leave running is ended."""
    count = 0
    home = folder
    groups: list[int] = []
    try:
        for example in examples(with_free_ports(text)):
            if not example.is_test:
                continue
            if "continued" not in example.words or not count:
                home = folder / f"block{count}"
                home.mkdir()
            count += 1
            if example.words[0] == "python":
                run_python(example, home, environment(home))
            else:
                run_console(example, home, environment(home), groups)
    finally:
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
    return count


def listed_verbs(text: str) -> list[str]:
    """The verbs in a help text: indented lines that begin with one word, or argparse's {a,b,c}."""
    verbs = {verb for group in re.findall(r"\{([a-z,-]+)\}", text) for verb in group.split(",")}
    verbs.update(re.findall(r"^ {2,6}(?:beepmesh )?([a-z][a-z-]*)(?: [^ \n][^\n]*?)?(?:  +\S|$)", text, re.MULTILINE))
    return sorted(verbs)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_do_what_the_page_says(readme: Path, tmp_path: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    if "$ curl " in text and shutil.which("curl") is None:
        pytest.skip("needs curl")
    run_page(text, tmp_path)


def test_every_verb_is_in_the_readme(tmp_path: Path) -> None:
    if not (ROOT / "beepmesh" / "cli" / "main.py").exists():
        assert not (ROOT / "beepmesh" / "__main__.py").exists(), "a program without its verbs"
        return
    command = [sys.executable, "-m", "beepmesh", "--help"]
    env = environment(tmp_path)
    help_text = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    verbs = listed_verbs(help_text)
    assert {"send", "inbox", "run", "sync"} <= set(verbs), help_text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [verb for verb in verbs if not re.search(rf"\bbeepmesh {verb}\b", readme)]


# From here on: an example that lies is seen.


def page(info: str, *lines: str) -> str:
    return "\n".join(["Words.", f"```{info}", *lines, "```", ""])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (page("console test", "$ false"), "line 3: false\nended with 1"),
        (page("console test", "$ echo one", "two"), "printed:\none"),
        (page("console test", "$ printf 'one\\ntwo\\n'", "one"), "printed:\none\ntwo"),
        (page("console test", "one"), "output before the first command"),
        (page("console test", "$ echo x > file") + page("console test", "$ cat file"), "No such file"),
        (page("python test", "raise SystemExit(3)"), "ended with 3"),
        (page("python test", "import warnings", "warnings.warn('old')"), "UserWarning"),
        ("```console test\n$ true\n", "never closed"),
    ],
)
def test_an_example_that_lies_is_seen(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ExampleFailed) as raised:
        run_page(text, tmp_path)
    assert complaint in str(raised.value)


def test_a_block_may_go_on_with_the_one_before(tmp_path: Path) -> None:
    text = page("console test", "$ echo x > file") + page("console test continued", "$ cat file", "x")
    assert run_page(text, tmp_path) == 2


def test_an_example_that_does_not_end_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "COMMAND_TIMEOUT_S", 0.1)
    with pytest.raises(ExampleFailed, match="does not end"):
        run_page(page("console test", "$ sleep 100"), tmp_path)


def test_what_an_example_leaves_running_ends_with_its_page(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run_page(page("console test", f"$ sleep 100 > {pipe} 2>&1 & true"), tmp_path) == 1
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b"", "nobody holds its other end any more"
    finally:
        os.close(reader)


def test_a_port_of_a_page_is_a_free_one_in_its_test(tmp_path: Path) -> None:
    changed = with_free_ports("127.0.0.1:8443 18443 8444")
    assert re.fullmatch(r"127[.]0[.]0[.]1:\d+ 18443 \d+", changed)
    assert not re.search(r"\b844[34]\b", changed)


def test_an_unmarked_block_is_not_run(tmp_path: Path) -> None:
    assert run_page(page("console", "$ false") + page("", "x") + page("python", "1/0"), tmp_path) == 0


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (("a ... c",), "a b c\n", True),
        (("a ... c",), "a b d\n", False),
        (("...", "c"), "a\nb\nc\n", True),
        (("a", "..."), "a\n", True),
        (("a", "..."), "a\nb\nc\n", True),
        (("a", "...", "c"), "a\nc\nd\n", False),
        (("a", ""), "a  \n\n", True),
        ((".*",), "x\n", False),
    ],
)
def test_dots_stand_for_any_text_and_nothing_else_does(expected: tuple[str, ...], printed: str, same: bool) -> None:
    assert matches(expected, printed) is same


@pytest.mark.parametrize(
    "text",
    [
        "usage: beepmesh [-h] {inbox,run,send,sync}\n",
        "Daily:\n  send WHO [TEXT]   a message\n  inbox  what has come\n  run [SPEC...]   node\n  sync SPEC  a round\n",
    ],
)
def test_verbs_are_found_in_a_help_text(text: str) -> None:
    assert listed_verbs(text) == ["inbox", "run", "send", "sync"]
