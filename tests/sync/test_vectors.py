"""The vectors, both ways, and read by a second implementation; the README's bytes are among them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import sync
from sync.wire import decode, encode
from tests.sync import naive, vectors
from tests.sync.naive import Json

README = Path(sync.__file__).parent / "README.md"


def load(name: str) -> Json:
    value: Json = json.loads((vectors.FOLDER / f"{name}.json").read_text())
    return value


@pytest.mark.parametrize("name", sorted(vectors.everything()))
def test_the_code_still_makes_the_vectors(name: str) -> None:
    assert vectors.text(vectors.everything()[name]) == (vectors.FOLDER / f"{name}.json").read_text()


def test_both_implementations_read_every_record_alike() -> None:
    listed = load("records")
    assert isinstance(listed, list)
    assert len(listed) == len(vectors.RECORDS)
    for case in listed:
        assert isinstance(case, dict)
        data = bytes.fromhex(str(case["hex"]))
        record = decode(data, bytes_max=1 << 20)
        assert vectors.as_json(record) == naive.record(data) == case["record"]
        assert encode(vectors.RECORDS[str(case["name"])]) == data


def test_both_implementations_refuse_what_is_wrong() -> None:
    listed = load("refused")
    assert isinstance(listed, list)
    assert len(listed) == len(vectors.REFUSED)
    for case in listed:
        assert isinstance(case, dict)
        with pytest.raises(naive.NotARecord):
            naive.record(bytes.fromhex(str(case["hex"])))


def test_both_implementations_compute_the_same_roots() -> None:
    listed = load("roots")
    assert isinstance(listed, list)
    for case in listed:
        assert isinstance(case, dict)
        logs = json.loads(json.dumps(case["logs"]))
        assert naive.root(logs) == case["root"]


def test_the_second_implementation_follows_a_session_to_its_end() -> None:
    whole = json.loads((vectors.FOLDER / "session.json").read_text())
    pushed = naive.follow([(speaker, said) for speaker, said in whole["said"]])
    held = {name: {(log, seq, packed) for log, seq, packed in entries} for name, entries in whole["held"].items()}
    assert pushed["a"]
    assert pushed["b"]
    assert pushed["a"] <= held["b"]
    assert pushed["b"] <= held["a"]
    assert held["a"] == held["b"]


def test_every_hex_example_of_the_readme_is_a_vector_of_that_name() -> None:
    shown = re.findall(r"^([0-9a-f]+)  +(\S.*)$", README.read_text(), re.MULTILINE)
    assert len(shown) >= 8
    for data, name in shown:
        assert encode(vectors.RECORDS[name]).hex() == data, name
    assert {type(vectors.RECORDS[name]) for _, name in shown} == {type(item) for item in vectors.RECORDS.values()}


def test_every_bound_and_reason_stands_in_the_readme() -> None:
    text = README.read_text()
    folder = Path(sync.__file__).parent
    names = re.findall(r"^([A-Z_]+): Final", (folder / "limits.py").read_text(), re.MULTILINE)
    reasons = {
        reason
        for module in sorted(folder.glob("*.py"))
        for reason in re.findall(r'RemoteProtocolError\("([a-z-]+)"', module.read_text())
    }
    assert len(names) > 10
    assert len(reasons) > 10
    for word in [*names, *sorted(reasons)]:
        assert f"`{word}`" in text, word
