"""The arrows between our modules, and the sizes they may have. A new arrow is a decision: change the table, say why.

Every rule is a function from parsed modules to complaints, so that the tests at the end can show, on a few lines of
invented source, that each rule is able to complain. Files are found by walking: a new one is under the rules at once.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("beepmesh", "transports", "sync")
FOLDERS = (*PRODUCT, "tests", "benchmarks", "simulations")
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

# Who of ours may import whom of ours, by top folder. sync and transports know nothing of each other or of beepmesh.
ARROWS: Mapping[str, tuple[str, ...]] = {
    "sync": ("sync",),
    "transports": ("transports",),
    "beepmesh": PRODUCT,
    "simulations": (*PRODUCT, "simulations"),
    "benchmarks": (*PRODUCT, "benchmarks"),
    "tests": FOLDERS,
}

# Who may import a library: an auditor, or somebody who replaces one, reads these places and no others.
KEEPERS: Mapping[str, tuple[str, ...]] = {
    "nacl": ("beepmesh/crypto/", "tests/crypto/"),
    "cryptography": ("beepmesh/crypto/", "tests/crypto/"),
    "zstandard": ("beepmesh/crypto/", "tests/crypto/", "benchmarks/train_dictionary.py"),
    "sqlite3": ("beepmesh/store/", "tests/"),
    "asyncpg": ("beepmesh/store/",),
    "aiosqlite": (),  # One thread of our own with the standard library's sqlite3 does the same with less.
    "zeroconf": ("transports/", "tests/transports/"),
    "websockets": ("transports/", "tests/transports/", "benchmarks/"),
    "ifaddr": ("transports/", "tests/transports/"),
    "bleak": ("transports/", "tests/transports/"),
    "argparse": ("beepmesh/cli/", "beepmesh/demo/", "benchmarks/", "simulations/", "tests/"),
    "rich": ("beepmesh/cli/", "beepmesh/demo/", "simulations/", "tests/"),  # What talks to people on a terminal.
    "segno": ("beepmesh/cli/", "beepmesh/demo/", "tests/"),
    "cbor2": ("sync/cbor.py", "tests/sync/", "tests/crypto/"),
}

# Modules that decide and do nothing else, as path patterns. Whatever one of them imports is a core as well, so that a
# new module below the engine is under the rule without being named here.
CORES = (
    "sync/*.py",
    "transports/framing.py",
    "transports/backoff.py",
    "transports/pins.py",
    "beepmesh/engine*.py",
    "beepmesh/engine/*.py",
    "beepmesh/events.py",
    "beepmesh/metering.py",
    "beepmesh/policy.py",
    "beepmesh/carrying.py",
    "beepmesh/bundles/records.py",
    "beepmesh/bundles/chunks.py",
    "beepmesh/bundles/sealing.py",
    "beepmesh/bundles/choosing.py",
    "beepmesh/crypto/*.py",
    "beepmesh/messages/*.py",
    "beepmesh/trust/*.py",
)
# Inside a core's folder, and cores may stand on it, but it does what they may not.
NOT_CORES = (
    "beepmesh/crypto/keystore.py",  # Owns the secret file.
    "beepmesh/crypto/payload.py",  # One codec for each thread: a zstd context may not be shared by two.
    "beepmesh/crypto/primitives.py",  # Key generation inside the libraries draws its own randomness.
    "beepmesh/crypto/tls_certificate.py",  # The same.
)
NOT_IN_CORES = frozenset(
    "anyio asyncio concurrent http logging multiprocessing os queue random secrets select selectors shutil signal "
    "socket sqlite3 ssl subprocess tempfile threading time urllib uuid".split()
)
CALLS_NOT_IN_CORES = frozenset({"open", "print", "input", "datetime.now", "datetime.utcnow", "date.today"})

EMPTY_NAMES = frozenset(
    "base common core handler handlers helper helpers impl manager managers misc shared stuff tools util utils".split()
)
EMPTY_ENDINGS = ("Manager", "Helper", "Util", "Utils")

# Written in two pieces, so that this file does not contain what it forbids.
PRIVATE_TEXTS = tuple(
    left + right
    for left, right in (
        ("/wo", "rk/"),
        ("/tmp/ba", "sh_jobs"),
        ("pypi", ".org"),
        ("registry", ".npmjs"),
        ("deb", ".debian"),
    )
)


@dataclass(frozen=True, slots=True)
class Import:
    target: str  # The dotted name as far as it can name a module.
    line: int
    when_loaded: bool  # Runs when the module is loaded: not inside a function, not for the type checker only.


class Module:
    """One source file. `path` is relative to the root, with slashes."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.top = path.split("/")[0]
        self.is_package = path.endswith("/__init__.py")
        self.name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.lines = source.splitlines()
        self.tree = ast.parse(source, path)
        self.imports = list(self._imports(self.tree.body, when_loaded=True))

    def at(self, line: int, complaint: str) -> str:
        return f"{self.path}:{line}: {complaint}"

    def _imports(self, nodes: Iterable[ast.AST], *, when_loaded: bool) -> Iterator[Import]:
        for node in nodes:
            match node:
                case ast.Import(names=names):
                    yield from (Import(name.name, node.lineno, when_loaded) for name in names)
                case ast.ImportFrom(names=names):
                    base = self._base(node)
                    yield from (Import(f"{base}.{name.name}", node.lineno, when_loaded) for name in names)
                case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
                    yield from self._imports(body, when_loaded=False)
                case ast.If(test=test, body=body, orelse=orelse) if "TYPE_CHECKING" in ast.unparse(test):
                    yield from self._imports(body, when_loaded=False)
                    yield from self._imports(orelse, when_loaded=when_loaded)
                case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if ast.unparse(function) in (
                    "importlib.import_module",
                    "import_module",
                    "__import__",
                ):
                    yield Import(name, node.lineno, when_loaded)
                case _:
                    yield from self._imports(ast.iter_child_nodes(node), when_loaded=when_loaded)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        kept = package[: len(package) - node.level + 1]
        return ".".join([*kept, node.module] if node.module else kept)


def cores(modules: Iterable[Module]) -> dict[Module, str]:
    """Every core, with how it became one: empty for those the table names, else the path that imports it."""
    by_name = {module.name: module for module in modules}
    patterns = [re.escape(pattern).replace(r"\*", "[^/]*") for pattern in CORES]
    named = [module for module in by_name.values() if any(re.fullmatch(one, module.path) for one in patterns)]
    found = {module: "" for module in named if module.path not in NOT_CORES}
    waiting = list(found)
    while waiting:
        module = waiting.pop()
        for target in (by_name.get(_own_name(each.target, by_name) or "") for each in module.imports):
            if target is not None and target not in found and target.path not in NOT_CORES:
                found[target] = module.path
                waiting.append(target)
    return found


def wrong_arrows(modules: Iterable[Module]) -> list[str]:
    return [
        module.at(found.line, f"{module.top} may not import {found.target}")
        for module in modules
        for found in module.imports
        if found.target.split(".")[0] in FOLDERS and found.target.split(".")[0] not in ARROWS[module.top]
    ]


def strangers_to_a_library(modules: Iterable[Module]) -> list[str]:
    return [
        module.at(found.line, f"only {' and '.join(keepers) or 'nobody'} may import {found.target.split('.')[0]}")
        for module in modules
        for found in module.imports
        if (keepers := KEEPERS.get(found.target.split(".")[0])) is not None and not module.path.startswith(keepers)
    ]


def deeds_in_cores(modules: Iterable[Module]) -> list[str]:
    complaints = []
    for module, below in cores(modules).items():
        core = f"a core ({below} stands on it)" if below else "a core"
        complaints += [
            module.at(found.line, f"{core} may not import {found.target}")
            for found in module.imports
            if found.target.split(".")[0] in NOT_IN_CORES
        ]
        complaints += [
            module.at(node.lineno, f"{core} may not call {ast.unparse(node.func)}")
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and ".".join(ast.unparse(node.func).split(".")[-2:]) in CALLS_NOT_IN_CORES
        ]
    return complaints


def cycle(modules: Iterable[Module]) -> list[str]:
    """One cycle of imports that run at load time, as names in order; empty when there is none."""
    by_name = {module.name: module for module in modules}
    arrows = {
        name: sorted(
            {seen for found in module.imports if found.when_loaded and (seen := _own_name(found.target, by_name))}
            - {name}
        )
        for name, module in by_name.items()
    }
    done: set[str] = set()

    def search(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for target in arrows[name]:
            if found := search(target, [*trail, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := search(name, []))), [])


def _own_name(target: str, known: Container[str]) -> str | None:
    if target in known:
        return target
    parent = target.rpartition(".")[0]  # `from a.b import c` where c is a name inside a.b.
    return parent if parent in known else None


def oversized(modules: Iterable[Module]) -> list[str]:
    complaints = []
    for module in modules:
        if len(module.lines) > MODULE_LINES_MAX:
            complaints.append(module.at(len(module.lines), f"more than {MODULE_LINES_MAX} lines: find the second idea"))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    complaints.append(module.at(node.lineno, f"{node.name} has {lines} lines of {FUNCTION_LINES_MAX}"))
    return complaints


def empty_names(modules: Iterable[Module]) -> list[str]:
    complaints = []
    for module in modules:
        if module.top == "tests":
            continue
        if module.name.split(".")[-1] in EMPTY_NAMES:
            complaints.append(module.at(1, "this name says nothing about what is inside"))
        complaints += [
            module.at(node.lineno, f"the name {node.name} says nothing about what it is")
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef) and node.name.endswith(EMPTY_ENDINGS)
        ]
    return complaints


def without_a_first_word(modules: Iterable[Module]) -> list[str]:
    return [
        module.at(1, "a module opens with a docstring that says what it is")
        for module in modules
        if module.tree.body and not ast.get_docstring(module.tree)
    ]


def private_texts(path: str, text: str) -> list[str]:
    return [f"{path}: contains {private}" for private in PRIVATE_TEXTS if private in text]


def folders_without_readme(paths: Iterable[str], tests_readme: str) -> list[str]:
    """Folders with code need a README.md; a folder below tests/ needs its line in tests/README.md instead."""
    known = set(paths)
    complaints = []
    for folder in sorted({path.rpartition("/")[0] for path in known if path.endswith(".py")}):
        if folder.startswith("tests/"):
            if f"`{folder.removeprefix('tests/')}/`" not in tests_readme:
                complaints.append(f"tests/README.md says nothing about {folder}/")
        elif f"{folder}/README.md" not in known:
            complaints.append(f"{folder}/ has no README.md")
    return complaints


@functools.cache
def our_paths() -> tuple[str, ...]:
    """Every file that belongs to the project, new ones too; generated ones not."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        return tuple(sorted({path for path in listed if path and (ROOT / path).is_file()}))
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if not name.startswith(".") and name not in ("__pycache__", "dist")]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in names]
    return tuple(sorted(found))


@functools.cache
def our_modules() -> tuple[Module, ...]:
    return tuple(
        Module(path, (ROOT / path).read_text(encoding="utf-8"))
        for path in our_paths()
        if path.endswith(".py") and path.split("/")[0] in FOLDERS
    )


def test_there_is_something_to_judge() -> None:
    tops = {module.top for module in our_modules()}
    assert {*PRODUCT, "tests"} <= tops
    assert "sync/cbor.py" in {module.path for module in cores(our_modules())}


@pytest.mark.parametrize(
    "rule",
    [
        wrong_arrows,
        strangers_to_a_library,
        deeds_in_cores,
        oversized,
        empty_names,
        without_a_first_word,
    ],
    ids=lambda rule: rule.__name__,
)
def test_every_module_keeps(rule: Callable[[Iterable[Module]], list[str]]) -> None:
    complaints = rule(our_modules())
    assert not complaints, "\n".join(complaints)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not (found := cycle(our_modules())), " -> ".join(found)


def test_no_file_names_the_machine_it_was_written_on() -> None:
    complaints = []
    for path in our_paths():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            complaints += private_texts(path, data.decode("utf-8", "replace"))
    assert not complaints, "\n".join(complaints)


def test_every_folder_explains_itself() -> None:
    readme = ROOT / "tests" / "README.md"
    complaints = folders_without_readme(our_paths(), readme.read_text(encoding="utf-8"))
    assert not complaints, "\n".join(complaints)


# From here on: each rule can fail.


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sync/a.py", "import beepmesh.errors"),
        ("sync/a.py", "def f():\n    from transports import link"),
        ("sync/a.py", "import importlib\nimportlib.import_module('beepmesh.node')"),
        ("transports/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sync.logs"),
        ("beepmesh/a.py", "from tests.hosts import x"),
        ("benchmarks/a.py", "import tests"),
    ],
)
def test_a_wrong_arrow_is_seen(path: str, source: str) -> None:
    assert len(wrong_arrows([Module(path, source)])) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("beepmesh/node.py", "from nacl.signing import SigningKey"),
        ("tests/sync/test_a.py", "import cryptography"),
        ("beepmesh/engine.py", "import sqlite3"),
        ("beepmesh/store/log.py", "import aiosqlite"),
        ("beepmesh/node.py", "def f():\n    try:\n        import zeroconf\n    finally:\n        pass"),
        ("sync/wire.py", "import cbor2"),
    ],
)
def test_a_stranger_to_a_library_is_seen(path: str, source: str) -> None:
    assert len(strangers_to_a_library([Module(path, source)])) == 1
    assert not strangers_to_a_library([Module("beepmesh/crypto/a.py", "import nacl, cryptography, zstandard")])


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import urandom",
        "def f():\n    import random",
        "x = open('y')",
        "datetime.datetime.now()",
    ],
)
@pytest.mark.parametrize("path", ["sync/new.py", "beepmesh/trust/new.py", "beepmesh/engine_new.py"])
def test_a_deed_in_a_core_is_seen(path: str, source: str) -> None:
    assert len(deeds_in_cores([Module(path, source)])) == 1
    assert not deeds_in_cores([Module("beepmesh/node.py", source)])


def test_what_a_core_stands_on_is_a_core() -> None:
    home = Module("beepmesh/home.py", "from os import path")
    notice = Module("beepmesh/notice.py", "import beepmesh.home")
    engine = Module("beepmesh/engine.py", "def f():\n    from beepmesh.notice import Notice")
    node = Module("beepmesh/node.py", "import beepmesh.home, asyncio")
    complaint = "beepmesh/home.py:1: a core (beepmesh/notice.py stands on it) may not import os.path"
    assert deeds_in_cores([home, notice, engine, node]) == [complaint]
    assert not deeds_in_cores([home, notice, node])


def test_a_circle_is_seen() -> None:
    a = Module("sync/a.py", "from sync import b")
    b = Module("sync/b.py", "from .c import x")
    closed = Module("sync/c.py", "try:\n    import sync.a\nexcept ImportError:\n    pass")
    assert cycle([a, b, closed]) == ["sync.a", "sync.b", "sync.c", "sync.a"]
    later = Module("sync/c.py", "def f():\n    import sync.a")
    typed = Module("sync/c.py", "import typing\nif typing.TYPE_CHECKING:\n    import sync.a")
    assert cycle([a, b, later]) == cycle([a, b, typed]) == []


def test_a_size_one_beyond_its_bound_is_seen() -> None:
    function = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    assert not oversized([Module("sync/a.py", function)])
    assert len(oversized([Module("sync/a.py", function + "    x = 2\n")])) == 1
    assert not oversized([Module("tests/a.py", "x = 1\n" * MODULE_LINES_MAX)])
    assert len(oversized([Module("tests/a.py", "x = 1\n" * (MODULE_LINES_MAX + 1))])) == 1


def test_a_name_that_says_nothing_is_seen() -> None:
    assert len(empty_names([Module("beepmesh/utils.py", "class LinkManager: ...")])) == 2
    assert not empty_names([Module("tests/helpers.py", "")])


def test_a_module_without_a_first_word_is_seen() -> None:
    assert len(without_a_first_word([Module("sync/a.py", "x = 1")])) == 1
    assert not without_a_first_word([Module("sync/__init__.py", "")])


def test_a_private_text_is_seen() -> None:
    assert len(private_texts("README.md", "see " + PRIVATE_TEXTS[0] + "x and " + PRIVATE_TEXTS[2])) == 2


def test_a_folder_without_words_is_seen() -> None:
    paths = ["sync/a.py", "sync/README.md", "transports/b.py", "tests/sync/c.py", "tests/crypto/d.py"]
    complaints = folders_without_readme(paths, "- `sync/`: the protocol")
    assert complaints == ["tests/README.md says nothing about tests/crypto/", "transports/ has no README.md"]
