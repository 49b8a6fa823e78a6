"""A program that sends one message after the other and prints each text once it is accepted, until it is killed.

    python sending.py HOME WHO LABEL

A line on its output is the promise that test_kill.py holds the store to: printed after `send` returned.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path

from beepmesh import desk
from beepmesh.home import Home


def send_until_killed(path: Path, who: str, label: str) -> None:
    with Home.open(path) as home:
        for number in count():
            text = f"{label}-{number}"
            sent = desk.send(home, who, text, now_ms=time.time_ns() // 1_000_000)
            print(sent.id, text, flush=True)
            time.sleep(0.01)  # Fast enough to be killed in the middle of a send one time in three.


if __name__ == "__main__":
    send_until_killed(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
