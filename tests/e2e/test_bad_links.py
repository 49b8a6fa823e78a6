"""Whatever comes in at a running node's port: a named reason, counted where `status` shows it, and nothing is lost.

One node runs for all of these tests and has one message in its inbox from the beginning. After each attack the same
process still runs and the message is still there, once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from beepmesh import admission, desk
from beepmesh.author import decode_control
from beepmesh.channel import PREAMBLE, RECORD_BYTES_MAX, Channel, Door
from beepmesh.crypto.primitives import AgreementKey, SigningKey
from beepmesh.demo.device import Answer, Device, until, word
from beepmesh.demo.hosts import LoopbackHosts
from beepmesh.home import Home
from beepmesh.messages.entry import Entry, write
from beepmesh.store.contract import Batch, MessageQuery
from beepmesh.testing import admit
from beepmesh.trust.identity import Identity, found
from sync import cbor, wire
from sync.logs import LogId
from sync.ranges import Ranges
from tests.e2e.intruder import HELLO, Insider, Wire, entries_of, own_logs
from tests.homes import member_identity

FIRST_TEXT = "The dam holds."
DAY_MS = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Village:
    """A running node, and the home of a member who can do to it what members can."""

    def __init__(self, node: Device, founder: Home, member: Home, port: int) -> None:
        self.node, self.founder, self.member, self.port = node, founder, member, port
        self.counted: set[str] = set()

    def count(self, reason: str) -> int:
        """As it stands in the home: what `status` reads, without the cost of a process."""
        found = self.founder.store.counts().get(reason)
        return found.count if found else 0

    @contextmanager
    def counting(self, reason: str) -> Iterator[None]:
        """The block must make this count grow; nothing that was here before goes, and the node lives."""
        before = self.count(reason)
        yield
        until(f"{reason} is counted", lambda: self.count(reason) > before)
        self.counted.add(reason)
        self.assert_unharmed()

    def texts(self) -> list[str]:
        return [message.row.text for message in self.founder.store.messages(MessageQuery())]

    def assert_unharmed(self) -> None:
        assert self.node.is_on, self.node.complaint()
        texts = self.texts()
        assert texts.count(FIRST_TEXT) == 1
        assert len(set(texts)) == len(texts)

    def assert_shown_by_status(self) -> None:
        """`beepmesh status` names every reason that was counted, and says in words what it means."""
        counts = self.node.ask("status")["counts"]
        assert isinstance(counts, dict)
        assert self.counted <= set(counts)
        unexplained = [reason for reason in self.counted if " " not in str(counts[reason]["meaning"])]
        assert not unexplained
        shown = [word(message, "text") for message in self.node.inbox("--keep-unread")]
        assert shown.count(FIRST_TEXT) == 1

    def insider(self, wire_: Wire, identity: Identity | None = None) -> Insider:
        return Insider(wire_, identity or self.member.identity)


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Village]:
    folder = tmp_path_factory.mktemp("village")
    with LoopbackHosts(["here"]) as hosts:
        founder = Home.found(folder / "founder", "Flood Relief", "Amina", None, now_ms())
        member = admit(founder, folder / "member", "Bilal", now_ms=now_ms())
        node = Device(hosts, "here", "Amina", folder / "node", home=founder.path)
        ready = node.start("listen:127.0.0.1:0")
        addresses = ready["addresses"]
        assert isinstance(addresses, list)
        port = int(str(addresses[0]).rpartition(":")[2])
        place = Village(node, founder, member, port)
        introduce(place)
        yield place
        place.assert_shown_by_status()
        assert node.stop() == 0
        founder.close()
        member.close()


def introduce(village: Village) -> None:
    """The node learns of the member, and the member of the node; one message goes to the node by an ordinary link."""
    member = village.member
    device = Device(village.node._hosts, "here", "Bilal", member.path.parent / "bilal", home=member.path)
    device.start(f"tcp:127.0.0.1:{village.port}")
    until("the member knows Amina", lambda: device.knows("Amina"))
    device.send("Amina", FIRST_TEXT)
    village.node.await_event("message")
    assert device.stop() == 0
    member.refresh()
    village.founder.refresh()


def joined_insider(village: Village, wire_: Wire, folder: Path, name: str) -> tuple[Insider, Home]:
    """A fresh member whose certificate, feed and prekeys the node has taken, on a link that goes on."""
    home = admit(village.founder, folder / name, name, now_ms=now_ms())
    insider = village.insider(wire_, home.identity)
    insider.greet()
    for log in own_logs(home):
        insider.push(entries_of(home, log))
        insider.await_ack()
    return insider, home


def next_entry(home: Home, *, lane: int = 1, body: bytes = b"\x7fof a kind to come") -> Entry:
    """What its feed would say next in that lane, of a body kind that nobody knows yet."""
    held = entries_of(home, LogId(home.identity.feed, lane))
    return write(
        home.identity.feed_key,
        lane=lane,
        seq=len(held),
        prev=held[-1].id if held else bytes(32),
        time_ms=now_ms(),
        ttl=5,
        priority=2,
        hints=b"",
        body=body,
    )


# Strangers.


def first_message(psk: bytes) -> bytes:
    channel = Channel(
        dialled=True,
        device=bytes(16),
        link_key=AgreementKey(os.urandom(32)),
        doors=(Door(psk, None),),
        ephemeral_seed=os.urandom(32),
        frame_bytes_max=65_535,
    )
    return channel.start()[0]


@pytest.mark.parametrize(
    ("reason", "first"),
    [
        pytest.param("outsider", lambda: first_message(os.urandom(32)), id="of another organisation"),
        pytest.param("outsider", lambda: PREAMBLE + os.urandom(48), id="noise behind the preamble"),
        pytest.param("outsider", lambda: PREAMBLE, id="nothing behind the preamble"),
        pytest.param("not-beepmesh", lambda: os.urandom(200), id="noise"),
        pytest.param("not-beepmesh", lambda: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="another protocol"),
        pytest.param("not-beepmesh", lambda: PREAMBLE[:2] + b"\x63\x01" + bytes(48), id="a version that is not yet"),
    ],
)
def test_an_outsider_hears_not_one_byte_and_the_link_is_closed(
    village: Village, reason: str, first: Callable[[], bytes]
) -> None:
    with village.counting(reason), Wire(village.port) as stranger:
        stranger.send_frame(first())
        assert stranger.rest() == b""


def test_a_stranger_who_says_nothing_is_left_without_a_word(village: Village) -> None:
    with village.counting("handshake-timeout"), Wire(village.port) as stranger:
        assert stranger.rest() == b""


def test_a_stranger_who_speaks_nonsense_is_left_without_a_word(village: Village) -> None:
    with village.counting("framing-malformed"), Wire(village.port) as stranger:
        stranger.send(b"\xff" * 4096)
        assert stranger.rest() == b""


# Handshakes and frames.


def test_noise_in_the_middle_of_the_handshake_is_counted(village: Village) -> None:
    psk = village.member.identity.link_psks[0]
    with village.counting("handshake-failed"), Wire(village.port) as stranger:
        stranger.send_frame(first_message(psk))
        stranger.receive()
        stranger.send_frame(os.urandom(64))
        stranger.rest()


def tampered(frames: list[bytes]) -> list[bytes]:
    return [frames[0][:-1] + bytes([frames[0][-1] ^ 1]), *frames[1:]]


def replayed(frames: list[bytes]) -> list[bytes]:
    return [frames[0], frames[0]]


def reordered(frames: list[bytes]) -> list[bytes]:
    return frames[::-1]


def truncated(frames: list[bytes]) -> list[bytes]:
    return [frames[0][:-3]]


@pytest.mark.parametrize("harm", [tampered, replayed, reordered, truncated])
def test_frames_that_were_changed_on_the_way_end_the_link(
    village: Village, harm: Callable[[list[bytes]], list[bytes]]
) -> None:
    with village.counting("frame-unreadable"), Wire(village.port) as link:
        insider = village.insider(link)
        insider.answer_introduction()
        two = [*insider.seal(wire.encode(HELLO)), *insider.seal(wire.encode(wire.Vector(more=False, states=())))]
        for frame in harm(two):
            link.send_frame(frame)
        link.rest()


def test_a_record_that_never_ends_is_cut_off(village: Village) -> None:
    with village.counting("record-oversized"), Wire(village.port) as link:
        insider = village.insider(link)
        insider.answer_introduction()
        sending = insider.channel._sending
        assert sending is not None
        for _ in range(1 + RECORD_BYTES_MAX // 60_000):
            link.send_frame(sending.seal(b"\x01" + bytes(60_000)))
        link.rest()


# Certificates.


def test_a_certificate_of_another_organisation_is_refused(village: Village) -> None:
    mallory = found("Elsewhere", "Mallory", now_ms() // 1_000, os.urandom)
    mallory = replace(mallory, link_secrets=village.member.identity.link_secrets)
    with village.counting("certificate-issuer"), Wire(village.port) as link:
        village.insider(link, mallory).introduce()
        link.rest()


def test_an_expired_certificate_is_refused(village: Village) -> None:
    late = member_identity(village.founder, "Late", now_ms=now_ms() - 130 * DAY_MS)
    with village.counting("certificate-expired"), Wire(village.port) as link:
        village.insider(link, late).introduce()
        link.rest()


def test_a_revoked_device_is_refused_and_its_new_entries_too(village: Village, tmp_path: Path) -> None:
    with Wire(village.port) as link:
        _, home = joined_insider(village, link, tmp_path, "Lost")
    village.founder.refresh()
    admission.revoke(village.founder, "Lost", now_ms=now_ms())
    with village.counting("certificate-revoked"), Wire(village.port) as link:
        village.insider(link, home.identity).introduce()
        link.rest()
    home.close()


def test_a_link_key_that_is_not_the_certificate_s_is_refused(village: Village) -> None:
    with village.counting("certificate-link-key"), Wire(village.port) as link:
        Insider(link, village.member.identity, link_key=AgreementKey(os.urandom(32))).introduce()
        link.rest()


def test_a_changed_certificate_is_refused(village: Village) -> None:
    late = member_identity(village.founder, "Forger")
    changed = late.device_certificate[:-1] + bytes([late.device_certificate[-1] ^ 1])
    with village.counting("certificate-signature"), Wire(village.port) as link:
        Insider(link, late, certificates=(changed, late.issuer_certificate)).introduce()
        link.rest()


def test_who_talks_on_without_showing_a_certificate_is_left(village: Village) -> None:
    unknown = member_identity(village.founder, "Quiet")
    with village.counting("talked-before-proof"), Wire(village.port) as link:
        insider = village.insider(link, unknown)
        for _ in range(3):
            insider.say(bytes(100_000))
        link.rest()


@pytest.mark.parametrize(
    "record",
    [b"\xff", cbor.encode([9]), cbor.encode([1, b"", b""]), cbor.encode({})],
    ids=["no cbor", "unknown", "empty certificates", "no array"],
)
def test_a_strange_record_between_owners_ends_the_link(village: Village, record: bytes) -> None:
    with village.counting("owner-record"), Wire(village.port) as link:
        village.insider(link).say(record, owner=True)
        link.rest()


# Records of the session.

LOG = LogId(bytes(16), 1)


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("record-malformed", b"\x04"),
        ("record-malformed", b"\x0a not deflated, and no section of that name"),
        ("record-malformed", b"\x01\x00 and more than belongs there"),
        ("record-unknown", b"\x0f"),
        ("hello-twice", wire.encode(HELLO)),
        ("vector-unexpected", wire.encode(wire.Vector(more=False, states=()))),
        ("run-bounds", wire.encode(wire.Run(LOG, 2**32 - 1, None, (b"x", b"y")))),
        ("log-unknown", wire.encode(wire.Run(5, 0, None, (b"x",)))),
        ("ack-beyond", wire.encode(wire.Ack(4_000, 0, 0))),
        ("ack-empty", b"\x03\x00\x00"),
        ("sketch-unexpected", wire.encode(wire.Sketched(8, given_up=False, hashes=()))),
        ("sketch-malformed", wire.encode(wire.Sketch(b"no symbols"))),
        ("lane-unwanted", wire.encode(wire.Run(LogId(bytes(16), 3), 0, None, (b"x",)))),
        ("ranges-too-many", wire.encode(wire.Gone(LOG, Ranges(tuple((2 * n, 2 * n + 1) for n in range(4_000)))))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_record_against_the_protocol_ends_the_link(village: Village, reason: str, record: bytes) -> None:
    with village.counting(reason), Wire(village.port) as link:
        insider = village.insider(link)
        insider.greet()
        insider.say(record)
        link.rest()


def test_a_record_before_the_first_one_ends_the_link(village: Village) -> None:
    with village.counting("hello-missing"), Wire(village.port) as link:
        insider = village.insider(link)
        insider.answer_introduction()
        insider.say(wire.encode(wire.Vector(more=False, states=())))
        link.rest()


# Entries.


def test_an_entry_with_a_bad_signature_is_refused(village: Village, tmp_path: Path) -> None:
    with village.counting("bad-signature"), Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Saleem")
        bad = next_entry(home)
        insider.push([bad._replace(signature=bytes(64))])
        insider.await_ack()
        home.close()


def test_an_entry_that_hangs_on_nothing_is_refused(village: Village, tmp_path: Path) -> None:
    with village.counting("no-predecessor"), Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Tahira")
        insider.push([next_entry(home)._replace(seq=7)])
        insider.await_ack()
        home.close()


def test_an_entry_that_hangs_on_another_one_proves_a_fork(village: Village, tmp_path: Path) -> None:
    with village.counting("fork"), Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Usman")
        first = next_entry(home)
        insider.push([first])
        insider.await_ack()
        second = write(
            home.identity.feed_key, lane=1, seq=1, prev=os.urandom(32), time_ms=now_ms(), ttl=5, priority=2, hints=b"",
            body=b"\x7fsecond",
        )  # fmt: skip
        insider.push([second], prev=second.prev)
        insider.await_ack()
        home.close()


def test_entries_of_a_feed_that_nobody_vouched_for_are_refused(village: Village) -> None:
    stranger = SigningKey(os.urandom(32))
    entry = write(
        stranger, lane=1, seq=0, prev=bytes(32), time_ms=now_ms(), ttl=5, priority=2, hints=b"", body=b"\x7f",
    )  # fmt: skip
    with village.counting("unknown-feed"), Wire(village.port) as link:
        insider = village.insider(link)
        insider.greet()
        insider.push([entry])
        insider.await_ack()


def test_a_truncated_entry_is_refused(village: Village, tmp_path: Path) -> None:
    with village.counting("entry-malformed"), Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Waqar")
        log = LogId(home.identity.feed, 1)
        insider.say(wire.encode(wire.Run(log, 0, None, (b"\x52 too short",))))
        insider.await_ack()
        home.close()


def test_an_oversized_entry_is_refused(village: Village, tmp_path: Path) -> None:
    with village.counting("entry-oversized"), Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Yasmin")
        log = LogId(home.identity.feed, 1)
        insider.say(wire.encode(wire.Run(log, 0, None, (bytes(120_000),))))
        insider.await_ack()
        home.close()


def test_who_brings_nothing_but_bad_entries_is_left(village: Village, tmp_path: Path) -> None:
    with village.counting("too-many-refusals"), Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Zahid")
        bad = next_entry(home)._replace(signature=bytes(64))
        with pytest.raises(ConnectionError):
            push_for_ever(insider, bad)
        home.close()


def push_for_ever(insider: Insider, entry: Entry) -> None:
    while True:
        insider.push([entry])
        insider.await_ack()


def test_a_message_that_comes_again_and_again_is_there_once(village: Village, tmp_path: Path) -> None:
    with Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Rabia")
        for log in village.founder.store.states():
            if log.feed == village.founder.identity.device:
                carry_facts(village.founder, home, log)
        desk.send(home, "Amina", "said once", now_ms=now_ms())
        (entry,) = entries_of(home, LogId(home.identity.feed, 1))
        for _ in range(3):
            insider.push([entry])
            insider.await_ack()
    with Wire(village.port) as link:
        insider = village.insider(link, home.identity)
        insider.greet()
        insider.push([entry])
        insider.await_ack()
    assert village.texts().count("said once") == 1
    village.assert_unharmed()
    home.close()


def carry_facts(source: Home, target: Home, log: LogId) -> None:
    """Let target know what source's device says of itself: its certificate and prekeys."""

    entries = entries_of(source, log)
    facts = tuple(decode_control(entry, target.identity.control_keys) for entry in entries)
    for fact in facts:
        target.roster.learn(fact)
    target.store.commit(Batch(entries=tuple(entries), facts=facts), keys=target.keys(), now_ms=now_ms())


def test_two_entries_in_one_place_are_kept_and_the_log_is_frozen(village: Village, tmp_path: Path) -> None:
    before = frozen(village.node.ask("status"))
    with village.counting("fork"), Wire(village.port) as link:
        insider, home = joined_insider(village, link, tmp_path, "Forked")
        one, other = next_entry(home, body=b"\x7fone"), next_entry(home, body=b"\x7fother")
        insider.push([one])
        insider.await_ack()
        insider.push([other])
        insider.await_ack()
    assert frozen(village.node.ask("status")) == before + 1
    with village.counting("log-frozen"), Wire(village.port) as link:
        insider = village.insider(link, home.identity)
        insider.greet()
        later = write(
            home.identity.feed_key, lane=1, seq=1, prev=one.id, time_ms=now_ms(), ttl=5, priority=2, hints=b"",
            body=b"\x7flater",
        )  # fmt: skip
        insider.push([later], prev=one.id)
        insider.await_ack()
    village.founder.refresh()
    assert one.log in village.founder.store.frozen()
    held = village.founder.store.entry(one.log, 0)
    assert held is not None
    assert held.id == one.id, "what was there first is still there"
    home.close()


def frozen(status: Answer) -> int:
    number = status["frozen_logs"]
    assert isinstance(number, int)
    return number
