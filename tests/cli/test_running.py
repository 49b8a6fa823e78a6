"""run and sync, and a join over a link, with real processes on the loopback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import pytest

from tests.cli.conftest import AYESHA, BILAL
from tests.cli.typing_in import Person


class Running:
    """A node of somebody, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self._said: IO[str] = process.stdout
        self.ready = self.next("ready")

    @property
    def spec(self) -> str:
        """How others dial it."""
        return f"tcp:{cast('list[str]', self.ready['addresses'])[0]}"

    def next(self, event: str) -> dict[str, object]:
        """The next thing it says of that kind."""
        while line := self._said.readline():
            value = json.loads(line)
            if value["event"] == event:
                return cast("dict[str, object]", value)
        raise AssertionError(f"the node ended before it said {event!r}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, complaints = self.process.communicate(timeout=20)
        return self.process.returncode, complaints


@contextmanager
def node(person: Person, *specs: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "beepmesh", "--home", str(person.home), "run", *specs, "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@contextmanager
def running(person: Person) -> Iterator[Running]:
    with node(person, "listen:127.0.0.1:0") as started:
        yield started


def test_a_node_says_where_it_listens_first(ayesha: Person) -> None:
    with running(ayesha) as started:
        assert set(started.ready) == {"event", "addresses", "device", "pid"}
        assert started.ready["pid"] == started.process.pid
        assert started.ready["device"] == ayesha.asks("status")["device"]
        assert ayesha.asks("status")["node"] == started.process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_ends_cleanly_when_it_is_told_to(ayesha: Person, number: signal.Signals) -> None:
    with running(ayesha) as started:
        assert started.end(number) == (0, "")
    assert ayesha.asks("status")["node"] is None


def test_a_second_node_on_one_home_is_refused_and_names_the_first(ayesha: Person) -> None:
    with running(ayesha) as started:
        done = ayesha.types("run", "listen:127.0.0.1:0", "--json")
        assert done.failure() == (1, "home-problem")
        assert str(started.process.pid) in done.err
        assert ayesha.types("sync", "tcp:127.0.0.1:9", "--json").failure() == (1, "home-problem")


def test_a_device_joins_over_a_link_and_is_written_to(ayesha: Person, tmp_path: Path) -> None:
    bilal = Person(tmp_path / "bilal")
    with running(ayesha) as hers:
        code = str(ayesha.asks("invite")["code"])
        words = ("join", code, "--as", BILAL, "--no-passphrase", "--via", hers.spec)
        joined = bilal.asks(*words)
        assert set(joined) >= {"org", "person", "device", "check_digits"}
        assert len(str(joined["check_digits"])) == 6
        assert bilal.types(*words).code == 1
        late = Person(tmp_path / "late").types("join", code, "--as", "Late", "--no-passphrase", "--via", hers.spec)
        assert late.code == 1
        assert "another device" in late.err
        first = bilal.asks("sync", hers.spec)
        assert {key: first[key] for key in ("peer", "device")} == {"peer": AYESHA, "device": hers.ready["device"]}
        assert set(first) == {"peer", "device", "sent", "received", "seconds"}
        # They were introduced when he joined: neither has anything new for the other.
        assert [cast("dict[str, int]", first[way])["entries"] for way in ("sent", "received")] == [0, 0]
        message = ayesha.asks("send", BILAL, "over the air", "--priority", "urgent")["id"]
        second = bilal.asks("sync", hers.spec)
        assert cast("dict[str, int]", second["received"]) == {"entries": 1, **_bytes(second, "received")}
        assert hers.next("receipt") == {"event": "receipt", "id": message, "from": BILAL, "state": "delivered"}
        assert bilal.asks("inbox")["text"] == "over the air"
        bilal.asks("send", AYESHA, "an answer")
        assert bilal.types("sync", hers.spec).out.startswith(f"Level with {AYESHA}: 2 entries")
        arrived = hers.next("message")
        assert set(arrived) == {"event", "id", "from", "priority"}
        assert ayesha.asks("inbox")["text"] == "an answer"
        assert hers.end() == (0, "")


def _bytes(answer: dict[str, object], way: str) -> dict[str, int]:
    count = cast("dict[str, int]", answer[way])["bytes"]
    assert count > 1_000
    return {"bytes": count}


def test_what_a_node_prints_never_holds_a_text(ayesha: Person, bilal: Person) -> None:
    with running(ayesha) as hers, node(bilal, hers.spec) as his:
        his.next("peer-joined")
        bilal.asks("send", AYESHA, "a secret place")
        assert "secret" not in str(hers.next("message"))
        for one in (hers, his):
            one.process.terminate()
            said, complaints = one.process.communicate(timeout=20)
            assert "secret" not in said + complaints


def test_sync_with_nobody_says_so(ayesha: Person) -> None:
    done = ayesha.types("sync", "tcp:127.0.0.1:9", "--timeout", "1s", "--json")
    assert done.out == ""
    assert done.code == 1
    assert '"reason":"unreachable"' in done.err


@pytest.mark.parametrize("verb", ["run", "sync"])
def test_a_spec_that_means_nothing_is_answered_with_what_there_is(ayesha: Person, verb: str) -> None:
    done = ayesha.types(verb, "tpc:192.0.2.7:7337")
    assert done.code == 2
    assert "tcp:HOST:PORT" in done.err


def test_a_port_that_is_taken_is_a_sentence(ayesha: Person, bilal: Person) -> None:
    with running(ayesha) as hers:
        done = bilal.types("run", hers.spec.replace("tcp:", "listen:"), "--json")
        assert done.failure() == (1, "unreachable")
        assert "port" in done.err
