"""The vectors, both ways, and read by a second implementation; the README's bytes are among them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import sync
from sync.ranges import NOTHING, Ranges
from sync.wire import WIRE_VERSION, Hello, RemoteProtocolError, decode, encode
from tests.sync import listener, naive, vectors
from tests.sync.naive import Json

README = Path(sync.__file__).parent / "README.md"
DEFLATED = [name for name in vectors.RECORDS if name.endswith("deflated")]


def load(name: str) -> Json:
    return json.loads((vectors.FOLDER / f"{name}.json").read_text())


def settled(logs: Json) -> dict[tuple[str, int], Ranges]:
    return {(feed, lane): Ranges.of(*map(tuple, spans)) for feed, lane, spans, _ in logs}


@pytest.mark.parametrize("name", sorted(vectors.everything()))
def test_the_code_still_makes_the_vectors(name: str) -> None:
    made, kept = json.loads(vectors.text(vectors.everything()[name])), load(name)
    if name in ("records", "refused"):  # Deflate has many forms of one text; what each inflates to is compared below.
        made, kept = ([case for case in cases if "deflated" not in case["name"]] for cases in (made, kept))
    assert made == kept


def test_both_implementations_read_and_write_every_record_alike() -> None:
    listed = load("records")
    assert [case["name"] for case in listed] == list(vectors.RECORDS)
    for case in listed:
        data, record = bytes.fromhex(case["hex"]), vectors.RECORDS[case["name"]]
        deflated = case["name"] in DEFLATED
        assert decode(data, bytes_max=1 << 20) == record
        assert vectors.as_json(record) == naive.read(data) == case["record"]
        assert deflated == bool(data[0] & 15 in (1, 10) and data[0] & 128)
        assert decode(naive.write(case["record"], deflate=deflated), bytes_max=1 << 20) == record
        if not deflated:
            assert encode(record) == naive.write(case["record"]) == data


def test_both_implementations_refuse_what_is_wrong_for_the_same_reason() -> None:
    listed = load("refused")
    assert [case["name"] for case in listed] == list(vectors.REFUSED)
    for case in listed:
        data = bytes.fromhex(case["hex"])
        with pytest.raises(RemoteProtocolError) as ours:
            decode(data, bytes_max=1 << 20)
        with pytest.raises(naive.NotARecord) as theirs:
            naive.read(data)
        assert (ours.value.reason, str(theirs.value)) == (case["reason"], case["reason"]), case["name"]


def test_both_implementations_come_to_the_same_sums_tags_and_items() -> None:
    whole = load("sums")
    salt = bytes.fromhex(whole["salt"])
    for case in whole["sums"]:
        logs = case["logs"]
        assert naive.root(logs, salt) == case["root"]
        assert naive.chain(logs, salt) == case["chain"]
        assert naive.digest(logs) == case["digest"]
        assert [naive.item(log, salt) for log in logs if log[2]] == case["items"]
    assert {feed: naive.tag(feed, salt) for feed in whole["tags"]} == whole["tags"]
    assert naive.list_check(whole["list"]["pages"]) == whole["list"]["check"]


@pytest.mark.parametrize("name", vectors.sessions())
def test_the_second_implementation_follows_every_session_to_its_end(name: str) -> None:
    session = load("sessions")[name]
    sides = listener.follow(session)
    before, after = ({side: settled(logs) for side, logs in session[when].items()} for when in ("before", "after"))
    for mine, theirs in ("ab", "ba"):
        for feed, lane, spans in sides[mine].gone:
            after[theirs][feed, lane] = after[theirs][feed, lane].union(Ranges.of(*map(tuple, spans)))
    assert after["a"] == after["b"]
    for mine, theirs in ("ab", "ba"):
        for feed, lane, seq, _ in sides[mine].pushed:
            assert name == "forked" or seq not in before[theirs].get((feed, lane), NOTHING)
            assert seq in after[theirs][feed, lane]


def test_the_sessions_say_each_kind_of_record() -> None:
    said = {
        naive.read(bytes.fromhex(data))["type"] for session in load("sessions").values() for _, data in session["said"]
    }
    assert said >= {"hello", "states", "vector", "run", "ack", "gone", "ask", "sketch", "sketched", "check", "withheld"}


def test_every_hex_example_of_the_readme_is_a_vector_of_that_name() -> None:
    shown = re.findall(r"^([0-9a-f]+)  +(\S.*)$", README.read_text(), re.MULTILINE)
    assert len(shown) >= 16
    for data, name in shown:
        assert encode(vectors.RECORDS[name]).hex() == data, name
    assert {type(vectors.RECORDS[name]) for _, name in shown} == {type(item) for item in vectors.RECORDS.values()}


def test_every_bound_reason_and_notice_stands_in_the_readme() -> None:
    text = README.read_text()
    folder = Path(sync.__file__).parent
    names = re.findall(r"^([A-Z_]+): Final", (folder / "limits.py").read_text(), re.MULTILINE)
    sources = [module.read_text() for module in sorted(folder.glob("*.py"))]
    reasons = {word for source in sources for word in re.findall(r'RemoteProtocolError\(\s*"([a-z-]+)"', source)}
    noticed = {word for source in sources for word in re.findall(r'Noticed\("([a-z-]+)"', source)}
    assert (len(names) > 20, len(reasons) > 15, len(noticed) > 5) == (True, True, True)
    for word in [*names, *sorted(reasons | noticed)]:
        assert f"`{word}`" in text, word


def test_the_hello_in_the_vectors_is_of_the_version_we_speak() -> None:
    hello = vectors.RECORDS["hello"]
    assert isinstance(hello, Hello)
    assert hello.version == WIRE_VERSION == 3
