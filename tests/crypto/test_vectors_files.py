"""The vectors themselves: what is here is what was fetched."""

from __future__ import annotations

import hashlib

from tests.crypto.published import FOLDER


def test_every_vector_file_is_as_it_was_published() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text("utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split() for line in lines)}
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in FOLDER.iterdir()
        if file.name != "SHA256SUMS"
    }
    assert found == listed
