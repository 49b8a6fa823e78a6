"""One person's device: a home on a host, and the beepmesh processes that use it, as that person would start them.

Laws
1. Everything is asked of the command line and read from its JSON: what is shown here, a person could have typed.
2. Nothing is waited for by sleeping: `until` looks again and again at something that can be seen, up to a deadline.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, cast

from beepmesh.demo.hosts import Hosts
from beepmesh.errors import BeepmeshError

Answer: TypeAlias = Mapping[str, object]
T = TypeVar("T")

WAIT_S: Final = 20.0
LOOK_S: Final = 0.05
COMMAND_S: Final = 60.0


class NotSeen(BeepmeshError):
    """Something that was waited for did not come in time, or a command did not do what it was asked."""


class Device:
    """A device that is switched on and off here. Its home is made by `found` or `join`."""

    def __init__(self, hosts: Hosts, host: str, person: str, folder: Path, *, home: Path | None = None) -> None:
        """`folder` holds the home, unless that is elsewhere, and beside it what its node printed."""
        self.host = host
        self.person = person
        self.home = home or folder / "home"
        self._hosts = hosts
        self._events = folder / "events.jsonl"
        self._errors = folder / "errors.txt"
        self._node: subprocess.Popen[str] | None = None
        self._read_from = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # Commands.

    def call(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """`beepmesh WORDS --json` to its end, however that is; `text` is its input."""
        return self._hosts.run(self.host, self._argv(words), env=_environment(), text=text, timeout_s=COMMAND_S)

    def plain(self, *words: str) -> str:
        """What a command prints for people."""
        argv = [*self._argv(())[:-1], *words]
        return self._hosts.run(self.host, argv, env=_environment(), timeout_s=COMMAND_S).stdout

    def popen(self, *words: str) -> subprocess.Popen[str]:
        """`beepmesh WORDS --json`, still running, with pipes to read."""
        pipe = subprocess.PIPE
        return self._hosts.popen(self.host, self._argv(words), env=_environment(), stdout=pipe, stderr=pipe)

    def each(self, *words: str, text: str = "") -> list[Answer]:
        """The objects that a command printed. Raises NotSeen unless it succeeded."""
        done = self.call(*words, text=text)
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip()
            raise NotSeen(f"{self.person}: `beepmesh {words[0]}` ended with {done.returncode}: {said}")
        return [_object(line) for line in done.stdout.splitlines()]

    def ask(self, *words: str, text: str = "") -> Answer:
        """The one object that a command printed. Raises NotSeen unless it succeeded."""
        answers = self.each(*words, text=text)
        if len(answers) != 1:
            raise NotSeen(f"{self.person}: `beepmesh {words[0]}` printed {len(answers)} objects and not one")
        return answers[0]

    def found(self, organisation: str) -> Answer:
        return self.ask("org", "create", organisation, "--as", self.person, "--no-passphrase")

    def invite(self, *options: str) -> str:
        return word(self.ask("invite", *options), "code")

    def join(self, code: str, *options: str) -> Answer:
        return self.ask("join", code, "--as", self.person, "--no-passphrase", *options)

    def send(self, who: str, text: str, *options: str) -> str:
        """The id of the accepted message."""
        return word(self.ask("send", who, "-", *options, text=text), "id")

    def inbox(self, *options: str) -> list[Answer]:
        return self.each("inbox", *options)

    def states(self, message_id: str) -> dict[str, str]:
        """What became of a message, by recipient."""
        lines = rows(self.ask("show", message_id), "recipients")
        return {word(line, "who"): word(line, "state") for line in lines}

    # The node.

    @property
    def is_on(self) -> bool:
        """Whether its node runs."""
        return self._node is not None and self._node.poll() is None

    def start(self, *specs: str) -> Answer:
        """Start the node and wait until it says that it is ready; what it said."""
        self.launch(*specs)
        return self.await_event("ready")

    def start_hub(self, *options: str) -> Answer:
        """Start it as a hub and wait until it says that it is ready; what it said."""
        self.launch_hub(*options)
        return self.await_event("ready")

    def launch_hub(self, *options: str) -> None:
        """Start it as a hub and wait for nothing."""
        self._launch("hub", *options)

    def launch(self, *specs: str) -> None:
        """Start the node and wait for nothing."""
        self._launch("run", *specs)

    def _launch(self, *words: str) -> None:
        assert not self.is_on
        self._read_from = self._events.stat().st_size if self._events.exists() else 0
        with self._events.open("a") as events, self._errors.open("a") as errors:
            argv = self._argv(words)
            self._node = self._hosts.popen(self.host, argv, env=_environment(), stdout=events, stderr=errors)

    def kill(self) -> None:
        """As if the battery were pulled out: kill -9."""
        assert self._node is not None
        self._node.kill()
        self._node.wait()

    def stop(self) -> int:
        """Ask the node to end, as Ctrl-C does; its exit code."""
        assert self._node is not None
        self._node.send_signal(signal.SIGINT)
        return self._node.wait(WAIT_S)

    def complaint(self) -> str:
        """The end of what its nodes have said on stderr."""
        return self._errors.read_text().strip()[-2000:]

    def events(self, kind: str) -> list[Answer]:
        """What the node has said of that kind since it was started."""
        with self._events.open("rb") as file:
            file.seek(self._read_from)
            lines = file.read().split(b"\n")[:-1]
        every = [_object(line.decode()) for line in lines]
        return [event for event in every if event.get("event") == kind]

    def await_event(self, kind: str, count: int = 1, within_s: float = WAIT_S) -> Answer:
        """The count-th event of that kind since the start. Raises NotSeen if the node ends before."""

        def look() -> Answer | None:
            seen = self.events(kind)
            if len(seen) >= count:
                return seen[count - 1]
            if not self.is_on:
                raise NotSeen(f"{self.person}'s node has ended: {self.complaint()}")
            return None

        return until(f"{self.person}'s node says {kind!r}", look, within_s)

    def knows(self, *people: str) -> bool:
        """Whether messages can be sealed to all of them."""
        reachable = {word(person, "name") for person in self.each_person() if person.get("reachable") is True}
        return set(people) <= reachable

    def each_person(self) -> list[Answer]:
        answer = self.each("who")
        return rows(answer[0], "people") if len(answer) == 1 and "people" in answer[0] else answer

    def _argv(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "beepmesh", "--home", str(self.home), *words, "--json"]


def until(what: str, look: Callable[[], T | None], within_s: float = WAIT_S, every_s: float = LOOK_S) -> T:
    """The first result of look that is true. Raises NotSeen, saying what was waited for."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise NotSeen(f"This did not happen within {within_s:g} s: {what}")
        time.sleep(every_s)


def word(answer: Answer, key: str) -> str:
    """A text of an answer."""
    value = answer.get(key)
    if not isinstance(value, str):
        raise NotSeen(f"no text under {key!r} in {dict(answer)}")
    return value


def rows(answer: Answer, key: str) -> list[Answer]:
    """A list of objects of an answer."""
    value = answer.get(key)
    if not isinstance(value, list):
        raise NotSeen(f"no list under {key!r} in {dict(answer)}")
    return cast("list[Answer]", value)


def _object(line: str) -> Answer:
    try:
        value: object = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotSeen(f"not a JSON object: {line[:200]!r}")
    return cast(Answer, value)


def _environment() -> dict[str, str]:
    """Ours, without what would make these commands use our own home or draw on a terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BEEPMESH_")}
    return kept | {"NO_COLOR": "1", "PYTHONUTF8": "1"}
