"""What it costs a whole node to be pushed runs that are not what their author signed, over a link as a member has one.

The author is a member whom the node knows; the runs are on lane 0, where every signature is checked. Handshake,
sealing, the engine, libsodium and the store are the real ones; only the link is not there.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from beepmesh.asking import Asked, answer
from beepmesh.channel import Channel, Door, OwnerRecord, Secured
from beepmesh.crypto.primitives import SigningKey
from beepmesh.engine import Engine
from beepmesh.events import (
    Commit,
    FrameReceived,
    HangUp,
    Input,
    LinkDrained,
    LinkUp,
    ProveRuns,
    ReadEntries,
    RecallPeer,
    RenewEpoch,
    ReopenEntries,
    SendFrames,
    TellDrained,
)
from beepmesh.home import Home
from beepmesh.messages.entry import Entry, pack, write
from beepmesh.messages.lifetimes import TTL_DEFAULT, URGENT
from beepmesh.shell import frontier_of
from benchmarks.bars import Bar
from benchmarks.figures import Line
from benchmarks.village import AUTHORS, KEEPER, Village
from sync import cbor, wire
from sync.limits import RUN_ENTRIES_MAX
from sync.logs import LogId

RUNS: Final = 500
"""Where no rule ends it."""
_FRAME_BYTES_MAX: Final = 65_535
_BAR: Final = Bar({"name": "nobody else was measured"}, {"cpu_ms_per_run_max": 5})
_LINK: Final = 1
