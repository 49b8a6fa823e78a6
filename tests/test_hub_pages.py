"""What a hub answers and logs: figures that Prometheus can read, and nobody's name."""

from __future__ import annotations

import io
import json
import re

import pytest

from beepmesh.events import JoinDecided, LevelReached, MessageArrived, PeerJoined, PeerLeft
from beepmesh.hub.journal import Journal
from beepmesh.hub.pages import Figures, metrics, page
from beepmesh.messages.inbox import Payload

NAME, DEVICE = "Ayesha Khan", bytes(range(16))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:10.1.2.3", "192.168.4.2", "fe80::1%eth0"])
def test_figures_are_for_those_near(host: str) -> None:
    assert page("/metrics", host, Figures()).status == 200


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1", "", "x"])
def test_figures_are_for_nobody_else(host: str) -> None:
    assert page("/metrics", host, Figures()).status == 404


def test_health_is_one_word_for_everybody() -> None:
    assert page("/healthz", "8.8.8.8", Figures()).body == b"ok\n"
    assert page("/healthz", "8.8.8.8", Figures(disk_trouble=True)).status == 503


def test_each_line_is_one_that_prometheus_reads() -> None:
    text = metrics(Figures(cpu_s=1.25, links=3, refusals={"pin-wrong": 2, "outsider": 1}))
    line = re.compile(r'(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{reason="[a-z-]+"\})? [0-9.e+]+)')
    assert all(line.fullmatch(one) for one in text.splitlines())
    assert 'beepmesh_refusals_total{reason="pin-wrong"} 2' in text


def test_the_journal_names_nobody() -> None:
    stream = io.StringIO()
    journal = Journal(stream)
    content = NAME.encode()
    payload = Payload(DEVICE, None, 0, 0, DEVICE, DEVICE, 0, 0, content, False, 0, 0)
    for told in (
        PeerJoined(1, DEVICE, "hub", "203.0.113.9:1234"),
        PeerLeft(1, DEVICE, "closed-there"),
        MessageArrived(payload),
        JoinDecided("123456", "invitation-used"),
        LevelReached(1),
    ):
        journal.told(told)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["peer-joined", "peer-left", "message", "join"]
    assert not re.search("Ayesha|203[.]0|123456", re.sub(r'"time":"[^"]*"', "", stream.getvalue()))


def test_a_journal_whose_reader_has_gone_ends_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    journal = Journal(Gone())
    journal.say("ready")
    journal.say("stopping")
