"""Makes tests/vectors/bundles/: `python -m tests.bundles.vectors`. HPKE draws the named bundle anew each time."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Final

from beepmesh.bundles.chunks import DATA_BYTES
from beepmesh.bundles.records import Run, encode_audience, encode_run
from beepmesh.bundles.sealing import Writing
from beepmesh.crypto.primitives import PrekeySecret, kdf
from sync.logs import LogId
from tests.trust.village import Entropy

FOLDER: Final = Path(__file__).parents[1] / "vectors" / "bundles"
LINK_SECRET: Final = sha256(b"beepmesh vectors: link secret").digest()
PREKEY_SEED: Final = sha256(b"beepmesh vectors: prekey").digest()
SALT_SEED: Final = "vectors"


def records() -> list[bytes]:
    """Runs of several kinds; the third crosses the edge of a chunk."""
    feed = bytes(range(16))
    packed = tuple(sha256(bytes((number,))).digest() * 8 for number in range(3))
    large = Run(LogId(feed, 2), 7, bytes(range(32)), (sha256(b"large").digest() * 2_047,))
    return [
        encode_run(run)
        for run in (
            Run(LogId(feed, 0), 0, bytes(32), packed),
            Run(LogId(feed, 1), 4_294_967_293, bytes(range(32)), packed),
            large,
            Run(LogId(feed, 1), 1, bytes(range(1, 33)), packed[:1]),
        )
    ]


def written(named: bool) -> bytes:
    """A file of these records: for all members, or for the holder of the prekey."""
    prekey = PrekeySecret(PREKEY_SEED)
    writing = Writing(4, int(named))
    for record in ([encode_audience(sha256(b"audience").digest())] if named else []) + records():
        assert writing.add(record, 1)
    prekeys = [prekey.public_bytes] if named else []
    return b"".join(writing.sealed(kdf(LINK_SECRET, b"beepmesh/bundle/1"), prekeys, Entropy(SALT_SEED)))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    files = {name: written(named) for name, named in (("everyone", False), ("named", True))}
    for name, data in files.items():
        (FOLDER / f"{name}.beepmesh").write_bytes(data)
    assert sum(map(len, records())) > DATA_BYTES
    said = {
        "link_secret": LINK_SECRET.hex(),
        "prekey_seed": PREKEY_SEED.hex(),
        "records_sha256": [sha256(record[4:]).hexdigest() for record in records()],
        "audience": sha256(b"audience").hexdigest(),
        "files": {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()},
    }
    (FOLDER / "bundles.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
