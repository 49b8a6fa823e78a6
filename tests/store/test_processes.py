"""Other processes on one home: killed ones lose nothing that they were told was done, and writers do not collide."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from beepmesh.crypto.primitives import sha256
from beepmesh.messages.content import Receipts
from beepmesh.messages.entry import FACE_BYTES, NO_PREV, hash_of, rest_hash, verify_entry
from beepmesh.store.contract import Batch, Count, Invitation, MessageQuery
from beepmesh.store.sqlite import open_store
from sync.ranges import Ranges
from tests.store.writing import (
    FEED,
    NOW_MS,
    OWN_LOG,
    Author,
    draft,
    envelope,
    incoming,
    message_id,
    own,
    put,
    text,
    token,
)

KEY = bytes(32)
BATCH = 7
ROOT = Path(__file__).parents[2]

# Writes batches of own entries with one message each and says the number of each that is done, until it is killed.
_WRITER = """
import sys
from pathlib import Path
from beepmesh.store.sqlite import open_store
from tests.store.test_processes import KEY, batch, put

store = open_store(Path(sys.argv[1]), KEY)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    put(store, batch(sys.argv[4], number))
    print(number, flush=True)
store.close()
"""

# Keeps what came in, two new ones in each batch and one that is known, and says how far it is, until it is killed.
_TAKER = """
import sys
from pathlib import Path
from beepmesh.store.sqlite import open_store
from tests.store.test_processes import KEY, arrivals, put

store = open_store(Path(sys.argv[1]), KEY)
store.number_intake()
for number in range(int(sys.argv[3])):
    put(store, arrivals(sys.argv[2], number))
    print(number, flush=True)
store.close()
"""

_BURNER = """
import sys
from pathlib import Path
from beepmesh.store.sqlite import open_store
from tests.store.test_processes import KEY, NOW_MS

store = open_store(Path(sys.argv[1]), KEY)
print(sum(store.burn(b"%08d" % number, NOW_MS) for number in range(200)))
store.close()
"""


def batch(writer: str, number: int) -> Batch:
    drafts = tuple(draft(b"%d of %d" % (part, number) * 50) for part in range(BATCH))
    carried, delivered = (Author(f"{writer} {of}").entry(envelope()) for of in (number, number - 1))
    return Batch(
        entries=(carried,),
        drafts=drafts,
        payloads=(own(text(f"{writer} {number}")),),
        counts={"batches": 1},
        tokens=(token(delivered),),
    )


def arrivals(writer: str, number: int) -> Batch:
    came = [
        incoming(text(f"{writer} {each}"), writer.encode(), each)
        for each in range(max(2 * number - 1, 0), 2 * number + 2)
    ]
    receipt = incoming(Receipts(((message_id("x"), 1),)), f"{writer} reads".encode(), number)
    return Batch(payloads=(*came, receipt))


def started(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def check(home: Path) -> int:
    """That the store is whole: linked, signed, whole batches only. Returns how many batches it holds."""
    store = open_store(home, KEY)
    try:
        states = store.states()
        settled = states[OWN_LOG].settled if states else Ranges()
        entries = store.read(OWN_LOG, 0, settled.top, bytes_max=1 << 30, with_prev=False).entries
        assert settled == Ranges.of((0, len(entries)))
        assert len(entries) % BATCH == 0
        prev, time_ms = NO_PREV, 0
        for entry in entries:
            assert entry.prev == prev
            assert entry.time_ms > time_ms
            assert entry.body is not None
            assert hash_of(entry.body[:FACE_BYTES], rest_hash(entry.body)) == entry.body_hash
            prev, time_ms = entry.id, entry.time_ms
        assert all(verify_entry(FEED.public, entry) for entry in entries[::BATCH])
        messages = store.messages(MessageQuery(direction="out", limit=1_000_000))
        counted = store.counts()["batches"].count if entries else 0
        assert len(messages) == counted == len(entries) // BATCH
        # Of what each batch brought for others the next one's token has purged all but the last of each writer.
        carried = [log for log in states if log != OWN_LOG and store.entry(log, 0) is not None]
        delivered = [log for log in states if store.read(log, 0, 1, bytes_max=0, with_prev=False).tokens]
        purged = store.counts().get("purged", Count(0, 0)).count
        assert store.size().entries == len(entries) + len(carried)
        assert (len(delivered), len(carried) + purged) == (counted, counted)
        store.rebuild_views()
        assert store.messages(MessageQuery(direction="out", limit=1_000_000)) == messages
        return counted
    finally:
        store.close()


def test_a_killed_process_loses_nothing_that_it_was_told_was_done(tmp_path: Path) -> None:
    chance = random.Random(2_026)
    done = 0
    for round_number in range(6):
        writer = started(_WRITER, tmp_path, 0, 1_000_000, f"round {round_number}")
        assert writer.stdout is not None
        told = 0
        # The kill falls anywhere: after that many answers, and then so many bytes of busy work later.
        for _ in range(chance.randrange(1, 60)):
            assert writer.stdout.readline().strip() == str(told)
            told += 1
        for _ in range(chance.randrange(200)):
            sha256(bytes(50_000))
        writer.kill()
        told += len(writer.stdout.read().splitlines())
        writer.wait()
        writer.stdout.close()
        held = check(tmp_path)
        # One more may have been done whose answer was not printed any more.
        assert done + told <= held <= done + told + 1
        done = held
    assert done > 20


def test_two_processes_append_to_one_own_log_without_a_fork(tmp_path: Path) -> None:
    writers = [started(_WRITER, tmp_path, 0, 60, name) for name in ("first", "second")]
    for writer in writers:
        output, _ = writer.communicate()
        assert writer.returncode == 0
        assert output.split() == [str(number) for number in range(60)]
    assert check(tmp_path) == 120


def test_what_comes_in_is_numbered_without_gaps_though_processes_are_killed(tmp_path: Path) -> None:
    chance = random.Random(2_027)
    for round_number in range(10):
        takers = [started(_TAKER, tmp_path, f"{name} {round_number}", 10_000) for name in ("first", "second")]
        for taker in takers:
            assert taker.stdout is not None
            for _ in range(chance.randrange(1, 15)):
                assert taker.stdout.readline()
        for taker in chance.sample(takers, 2):
            taker.kill()
            taker.communicate()
    with closing(open_store(tmp_path, KEY)) as store:
        found = store.messages(MessageQuery(limit=1_000_000))
        assert [message.intake for message in found] == list(range(1, len(found) + 1))
        assert len(found) > 40
        store.rebuild_views()
        assert store.messages(MessageQuery(limit=1_000_000)) == found


def test_an_invitation_burns_for_one_process_only(tmp_path: Path) -> None:
    store = open_store(tmp_path, KEY)
    for number in range(200):
        store.put_invitation(Invitation(b"%08d" % number, b"secret", NOW_MS))
    burners = [started(_BURNER, tmp_path) for _ in range(2)]
    assert sum(int(burner.communicate()[0]) for burner in burners) == 200
    assert all(invitation.burnt_ms == NOW_MS for invitation in store.invitations())
    store.close()


def test_a_running_node_sees_what_another_process_wrote(tmp_path: Path) -> None:
    node = open_store(tmp_path, KEY)
    version = node.changed_since(0).version
    sender = open_store(tmp_path, KEY)
    put(sender, batch("sender", 0))
    changes = node.changed_since(version)
    assert changes.states == sender.states() == node.states()
    assert OWN_LOG in changes.states
    assert changes.version > version
    assert node.changed_since(changes.version).states == {}
    node.close()
    sender.close()
