"""The vectors of bundles, read by two implementations."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from beepmesh.bundles.records import encode_run
from beepmesh.bundles.sealing import Keys
from beepmesh.crypto.primitives import PrekeySecret, kdf
from tests.bundles import vectors
from tests.bundles.files import read, run, written
from tests.crypto import naive_bundle

SAID: dict[str, Any] = json.loads((vectors.FOLDER / "bundles.json").read_text())
LINK_SECRET = bytes.fromhex(SAID["link_secret"])
SEED = bytes.fromhex(SAID["prekey_seed"])


def test_the_files_are_those_that_were_published() -> None:
    for name, about in SAID["files"].items():
        data = (vectors.FOLDER / f"{name}.beepmesh").read_bytes()
        assert (len(data), sha256(data).hexdigest()) == (about["bytes"], about["sha256"])


def test_the_code_still_writes_the_file_for_everybody() -> None:
    assert vectors.written(named=False) == (vectors.FOLDER / "everyone.beepmesh").read_bytes()


def test_both_implementations_read_the_files() -> None:
    keys = Keys((kdf(LINK_SECRET, b"beepmesh/bundle/1"),), (PrekeySecret(SEED),))
    for name in SAID["files"]:
        data = (vectors.FOLDER / f"{name}.beepmesh").read_bytes()
        runs, counts = read(data, keys)
        assert not counts
        ours = [encode_run(each)[4:] for each in runs]
        theirs = naive_bundle.records(data, LINK_SECRET, [SEED])
        assert theirs is not None
        if name == "named":
            assert theirs.pop(0) == b"\x03" + bytes.fromhex(SAID["audience"])
        assert [sha256(record).hexdigest() for record in ours] == SAID["records_sha256"]
        assert theirs == ours


def test_both_implementations_agree_about_whom_a_file_is_for() -> None:
    data = (vectors.FOLDER / "named.beepmesh").read_bytes()
    assert naive_bundle.records(data, LINK_SECRET, [bytes(32)]) is None


def test_the_second_reader_reads_what_the_code_writes_today() -> None:
    link_secret = bytes(range(32))
    secret = kdf(link_secret, b"beepmesh/bundle/1")
    runs = [run(number, *(3_000,) * (1 + number % 5)) for number in range(30)]
    data = written(runs, secret=secret)
    assert naive_bundle.records(data, link_secret, []) == [encode_run(each)[4:] for each in runs]
