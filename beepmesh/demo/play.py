"""The main job, played with real processes: two officers who never meet, and a colleague who carries and cannot read.

    Ayesha (camp, no network) . . . Dawood walks . . . Bilal (village, no network)

Everything a device does here, a person could have typed; `device` has the commands. Each chapter is a function below,
in the order of the day.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from beepmesh.demo.claims import Story, Unproved, same
from beepmesh.demo.device import Answer, Device, NotSeen, rows, until, word
from beepmesh.demo.ground import Ground, LoopbackGround, NetworkGround
from beepmesh.demo.hosts import HostsProblem, LoopbackHosts, NetworkHosts, can_make_hosts
from beepmesh.demo.plaintext import find_in_capture, find_in_folder
from beepmesh.errors import BeepmeshError, Usage

PLAY_S_MAX: Final = 60
AMINA, AYESHA, BILAL, DAWOOD = "Amina Yousafzai", "Ayesha Khan", "Bilal Shah", "Dawood Gul"
HOSTS: Final = ("office", "ayesha", "bilal", "dawood")
TEXT: Final = "The bridge at Kund is gone. Forty families wait at the girls' school. پل ٹوٹ گیا ہے"
ANSWER: Final = "Two boats leave Fatehpur at half past four. کشتیاں آ رہی ہیں"
SECRETS: Final = ("bridge at Kund", "Forty families", "پل ٹوٹ", "Fatehpur", "half past four", "کشتیاں")
NAMES: Final = ("Ayesha", "Bilal", "Dawood", "Amina", "Yousafzai")
SOUGHT: Final = SECRETS + NAMES


class _TooLong(BeepmeshError):
    """The play did not end by itself in its time."""


def play(*, is_json: bool = False, keep: Path | None = None, network: bool | None = None) -> int:
    """Play it, tell it on stdout, and return the exit code: 0 only if every claim was checked and holds.

    `network`: whether each device gets a network of its own; by default where this machine allows it.
    """
    story = Story(is_json=is_json)
    network = can_make_hosts() is None if network is None else network
    try:
        with _ending(), _folder(keep) as folder:
            if network:
                with NetworkHosts(HOSTS) as hosts:
                    _Play(story, NetworkGround(hosts, folder), folder, hosts).all()
            else:
                with LoopbackHosts(HOSTS) as loopback:
                    _Play(story, LoopbackGround(loopback, folder), folder, None).all()
    except KeyboardInterrupt:
        return story.end("stopped; everything it had started is cleaned up", isolated=network)
    except (Unproved, NotSeen, HostsProblem, _TooLong, subprocess.TimeoutExpired) as problem:
        return story.end(str(problem), isolated=network)
    if keep is not None:
        story.tell(f"The four homes are in {keep.absolute()}; look around with `beepmesh --home`.")
    return story.end(isolated=network)


class _Play:
    """The day. `hosts` is there where cables can be pulled and traffic watched."""

    def __init__(self, story: Story, ground: Ground, folder: Path, hosts: NetworkHosts | None) -> None:
        self.story, self.ground, self.folder, self.hosts = story, ground, folder, hosts
        self.office = ground.device("office", AMINA)
        self.ayesha = ground.device("ayesha", AYESHA)
        self.bilal = ground.device("bilal", BILAL)
        self.dawood = ground.device("dawood", DAWOOD)
        self.message = ""

    def all(self) -> None:
        self.story.tell(f"Four devices, real processes: {self.ground.words}.")
        wire = self.folder / "dawood.pcap"
        with self._recorded(wire) if self.hosts is not None else nullcontext():
            self.enrol()
            self.part_ways()
            self.write()
            self.carry()
            self.deliver()
            self.answer()
            self.return_home()
            for device in (self.office, self.ayesha, self.bilal, self.dawood):
                if device.is_on:
                    device.stop()
        self.search(wire if self.hosts is not None else None)

    def enrol(self) -> None:
        story = self.story
        story.chapter("In the morning, at the district office")
        story.tell("Amina makes an organisation on the office computer and lets Ayesha, Bilal and Dawood in.")
        self.office.found("Flood Cell Swat")
        self.ground.turn_on(self.office)
        for device in (self.ayesha, self.bilal, self.dawood):
            code = self.office.invite()
            if self.hosts is not None:
                self.ground.meet(self.office, device)
            device.join(code, "--via", self.ground.via(self.office))
            if self.hosts is None:
                self.ground.meet(self.office, device)
            self.ground.turn_on(device)
        story.claim(
            "All four devices know each other, and can seal messages for each other."
            + (" Nobody typed an address." if self.hosts is not None else ""),
            self._all_know_all,
        )

    def part_ways(self) -> None:
        story = self.story
        story.chapter("At nine they part")
        story.tell("Ayesha goes to the camp, Bilal to the village. Neither place has any network.")
        for device in (self.ayesha, self.bilal, self.dawood):
            self.ground.part(self.office, device)
        if self.hosts is not None:
            story.claim("There is no path from Ayesha's device to any other.", self._ayesha_is_alone)

    def write(self) -> None:
        story = self.story
        story.chapter("At the camp")
        story.tell("Ayesha writes to Bilal. The moment her command returns, the battery is pulled out: kill -9.")
        self.message = self.ayesha.send(BILAL, TEXT)
        self.ayesha.kill()
        story.claim("The message is safe on her disk, and honest about itself: queued.", self._ledger("queued"))

    def carry(self) -> None:
        story = self.story
        story.chapter("Dawood comes by")
        story.tell("Her laptop has power again. Dawood walks into the camp; nobody touches a key.")
        self.ground.turn_on(self.ayesha)
        self.ground.meet(self.ayesha, self.dawood)
        story.claim(
            "Dawood's device has taken the message along. Nobody calls that delivered.", self._ledger("carried")
        )
        story.claim("To Dawood it is no message: his inbox is empty.", self._inbox_of(self.dawood, []))
        story.tell("Dawood leaves for the village. Ayesha's laptop is switched off for the night.")
        self.ground.part(self.ayesha, self.dawood)
        self.ayesha.kill()

    def deliver(self) -> None:
        story = self.story
        story.chapter("In the village")
        story.tell("Dawood arrives where Bilal is. The laptop on which the message was written is still off.")
        self.ground.meet(self.bilal, self.dawood)
        self.bilal.await_event("message")
        story.claim(
            "Bilal's device has the message, once, word for word.", self._inbox_of(self.bilal, [TEXT], "--keep-unread")
        )
        story.tell("Dawood walks back to the camp before Bilal has looked at his screen.")
        self._handed_on(self.bilal)
        self.ground.part(self.bilal, self.dawood)
        self.ground.turn_on(self.ayesha)
        self.ground.meet(self.ayesha, self.dawood)
        story.claim(
            "Ayesha learns that it is on Bilal's device: delivered, and not yet read.", self._ledger("delivered")
        )
        self.ground.part(self.ayesha, self.dawood)

    def answer(self) -> None:
        story = self.story
        story.chapter("In the village, later")
        story.tell("Bilal reads the message and answers. Dawood is on his round again.")
        same([word(message, "text") for message in self.bilal.inbox()], [TEXT], "Bilal's inbox")
        self.bilal.send(AYESHA, ANSWER)
        self.ground.meet(self.bilal, self.dawood)
        self._handed_on(self.bilal)
        self.ground.part(self.bilal, self.dawood)

    def return_home(self) -> None:
        story = self.story
        story.chapter("At the camp, in the evening")
        self.ground.meet(self.ayesha, self.dawood)
        story.claim("The answer has reached Ayesha, once.", self._inbox_of(self.ayesha, [ANSWER]))
        story.claim("She sees that Bilal has read what she wrote.", self._ledger("read"))
        story.claim("Bilal still has it once.", self._inbox_of(self.bilal, [TEXT]))
        story.tell("What she sees when she asks:")
        story.show(f"$ beepmesh show {self.message[:8]}\n{self.ayesha.plain('show', self.message)}")

    def search(self, wire: Path | None) -> None:
        story = self.story
        story.chapter("What Dawood could have known")
        story.tell(
            "Every byte of his store is searched for both texts and all names, as UTF-8, UTF-16, hexadecimal and"
            " base64."
        )
        for device, whose in ((self.dawood, "Dawood's"), (self.office, "the office's")):
            story.claim(
                f"Neither a text nor a name stands in {whose} store, keys and all.",
                partial(self._nothing_in, device),
            )
        if wire is None:
            story.tell("His network traffic is not searched: only root may watch a network card.")
        else:
            story.claim(
                "Nor did one cross the air: his network traffic of the whole day was recorded.",
                partial(self._nothing_on, wire),
            )
            story.claim("The same search finds all of them where they are sent in clear.", self._found_in_clear)

    # Checks. Each returns what it saw, and raises Unproved or NotSeen where it is not as claimed.

    def _all_know_all(self) -> str:
        every = (self.office, self.ayesha, self.bilal, self.dawood)
        for device in every:
            others = [other.person for other in every if other is not device]
            until(f"{device.person} knows {', '.join(others)}", partial(device.knows, *others))
        return "each of the four lists the three others as reachable"

    def _ayesha_is_alone(self) -> str:
        assert self.hosts is not None
        for other in ("bilal", "dawood", "office"):
            address = self.hosts.address(other, "office" if other != "office" else "ayesha")
            knock = f"import socket; socket.create_connection(({address!r}, 7337), timeout=0.5)"
            if self.hosts.run("ayesha", [sys.executable, "-c", knock]).returncode == 0:
                raise Unproved(f"expected no way from Ayesha to {other}, but {address} answered")
        return "three connections tried, all unreachable"

    def _ledger(self, state: str) -> Callable[[], str]:
        """The check that Ayesha's ledger comes to say this of Bilal, and nothing beyond it."""

        def check() -> str:
            def look() -> Answer | None:
                (line,) = rows(self.ayesha.ask("show", self.message), "recipients")
                return line if word(line, "state") == state else None

            line = until(f"the ledger says {state!r}", look, every_s=0.2)
            same(word(line, "who"), BILAL, "the reader in the ledger")
            return f"ledger of {self.message[:8]}: {_words(line)}"

        return check

    def _inbox_of(self, device: Device, texts: list[str], *options: str) -> Callable[[], str]:
        """The check that this is all that its inbox comes to hold."""

        def check() -> str:
            until(
                f"{device.person} has {len(texts)} messages",
                lambda: len(device.inbox("--keep-unread")) >= len(texts),
                every_s=0.2,
            )
            shown = device.inbox(*options)
            same([word(message, "text") for message in shown], texts, f"the inbox of {device.person}")
            return f"inbox of {device.person}: {len(shown)} message{'s' if len(shown) != 1 else ''}"

        return check

    def _nothing_in(self, device: Device) -> str:
        found, searched = find_in_folder(device.home, SOUGHT)
        if found:
            raise Unproved(f"expected none of the words; found {'; '.join(map(str, found))}")
        # The search must be able to find: a note with all of the words is put beside the store and looked for.
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            shutil.copytree(device.home, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
            (Path(copy) / "note").write_text(" ".join(SOUGHT), "utf-16-le")
            same(
                {one.word for one in find_in_folder(Path(copy), SOUGHT)[0]}, set(SOUGHT), "the words of a planted note"
            )
        return f"{searched:,} bytes searched for {len(SOUGHT)} words; a note planted beside them was found"

    def _nothing_on(self, wire: Path) -> str:
        found, searched = find_in_capture(wire, SOUGHT)
        if found:
            raise Unproved(f"expected none of the words; found {'; '.join(map(str, found))}")
        return f"{searched:,} bytes of traffic, every packet and every connection put together"

    def _found_in_clear(self) -> str:
        """Send the words unsealed to Dawood's host, and search the record of that."""
        assert self.hosts is not None
        path = self.folder / "clear.pcap"
        self.ground.meet(self.ayesha, self.dawood)
        with self._recorded(path):
            say = "import socket, sys; socket.socket(type=2).sendto(sys.argv[2].encode(), (sys.argv[1], 9))"
            address = self.hosts.address("dawood", "ayesha")
            self.hosts.run("ayesha", [sys.executable, "-c", say, address, " ".join(SOUGHT)])
        same({one.word for one in find_in_capture(path, SOUGHT)[0]}, set(SOUGHT), "the words found in clear traffic")
        return f"{len(SOUGHT)} of {len(SOUGHT)} found"

    # Means.

    def _handed_on(self, device: Device) -> None:
        """Wait until Dawood's device holds everything that this one holds, its receipts included."""

        def level() -> bool:
            inbox = device.inbox("--keep-unread")
            receipted = all(word(message, "state") != "new" for message in inbox)
            return receipted and _entries(device) == _entries(self.dawood)

        until(f"Dawood's device has everything that {device.person}'s has", level, every_s=0.2)

    @contextmanager
    def _recorded(self, path: Path) -> Iterator[None]:
        """Write down what crosses Dawood's network while the block runs."""
        assert self.hosts is not None
        argv = [sys.executable, "-m", "beepmesh.demo.capture", str(path)]
        capture = self.hosts.popen("dawood", argv, stdout=subprocess.PIPE)
        assert capture.stdout is not None
        same(capture.stdout.readline(), "listening\n", "the first word of the recording")
        yield
        capture.send_signal(signal.SIGTERM)
        said = json.loads(capture.stdout.read())
        same((capture.wait(10), said["dropped"]), (0, 0), "(exit code, packets missed) of the recording")
        if not said["packets"]:
            raise Unproved("the recording of the network holds no packet")


def _words(line: Answer) -> str:
    """A line of a ledger, for a person."""
    state, carriers = word(line, "state"), line.get("carriers")
    if state == "queued":
        return "queued, nobody met yet"
    if state == "carried":
        return f"carried by {carriers} device{'s' if carriers != 1 else ''}"
    return state


def _entries(device: Device) -> int:
    """How many entries its store holds. Whoever has met each other and is level holds as many."""
    disk = device.ask("status").get("disk")
    count = disk.get("entries") if isinstance(disk, dict) else None
    if not isinstance(count, int):
        raise NotSeen(f"{device.person}'s status does not say how many entries there are")
    return count


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the homes stand: kept where somebody asked for it, else gone in the end."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="beepmesh-demo-", ignore_cleanup_errors=True) as path:
            yield Path(path)
        return
    try:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        occupied = any(keep.iterdir())
    except OSError as error:
        raise Usage(f"The folder {keep} cannot be used ({error.strerror}). Name another one.") from error
    if occupied:
        raise Usage(f"The folder {keep} is not empty. Name a new one: the demo must not mix with anything.")
    yield keep


@contextmanager
def _ending() -> Iterator[None]:
    """However this process is told to stop, and at the latest after PLAY_S_MAX, everything is cleaned up."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGALRM:
            raise _TooLong(f"It did not end within {PLAY_S_MAX} seconds. This machine may be very busy; try again.")
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGALRM") if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in numbers}
    if hasattr(signal, "alarm"):
        signal.alarm(PLAY_S_MAX)
    try:
        yield
    finally:
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
