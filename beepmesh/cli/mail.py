"""Messages: `send`, `inbox`, `show`, `ack`.

Law: a message counts as read when it has been printed, not before: what a broken pipe or a power cut kept from the
person's eyes is shown again.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from beepmesh import desk
from beepmesh.cli.call import Call
from beepmesh.cli.text import INDENT, count_of, iso_time, listed, local_time, safe_line, safe_lines
from beepmesh.errors import TooLarge, Usage
from beepmesh.home import Home
from beepmesh.messages.content import READ, TEXT_BYTES_MAX
from beepmesh.receipts import MARKED_MAX, mark
from beepmesh.store.contract import Message, MessageQuery, StoreProblem

LOOK_S: Final = 0.5  # How soon --follow shows what came: a person does not notice, and an idle look costs 0.1 ms.
ALL: Final = 1_000_000
SHORT_ID: Final = 8  # Letters of an id that people are shown: one in four thousand million is shared.
_QUEUED: Final = {
    "nobody-met": "queued - nobody met yet",
    "no-prekey": "queued - the reader's keys have not come here yet",
}


def send(call: Call, *, who: str, text: str | None, priority: str, expires: str | None) -> None:
    """Accept a message; when this returns it is durable."""
    text = _typed(call) if text in (None, "-") else text
    assert text is not None
    with call.open() as home:
        sent = desk.send(home, who, text, priority=priority, expires=expires, now_ms=call.now_ms())
        running = home.node_process() is not None
    screen = call.screen
    if screen.is_json:
        screen.result(
            {
                "id": sent.id,
                "state": sent.state,
                "recipients": list(sent.recipients),
                "waiting": [{"who": waiting.name, "reason": waiting.reason} for waiting in sent.waiting],
            }
        )
        return
    names = [safe_line(name) for name in sent.recipients]
    readers = listed(names) if len(names) <= 5 else f"{', '.join(names[:4])} and {len(names) - 4} more"
    screen.line(f"Safe on this device: message {sent.id[:SHORT_ID]} to {readers}.")
    if sent.waiting:
        waiting = [safe_line(waiting.name) for waiting in sent.waiting]
        screen.line(f"It waits for the keys of {listed(waiting)}, and is sealed as soon as they come.")
    if not running:
        screen.line("No node runs on this home: `beepmesh run`, or `beepmesh sync`, hands it on.")


def inbox(call: Call, *, follow: bool, sender: str | None, unread: bool, limit: int, keep_unread: bool) -> None:
    """Show what has come, and then what comes."""
    with call.open() as home, _ending_quietly(follow):
        marks = not keep_unread and _may_mark(call, home)

        def look(after: int, most: int) -> int:
            """Show what has a greater number than `after`; the greatest there is."""
            found = desk.inbox(
                home, unread=unread, who=sender, after=after, limit=most, mark_read=False, now_ms=call.now_ms()
            ).messages
            held = _held(home, found)
            for message in found:
                _print(call, message, held, marks=marks)
            if marks:
                _mark_read(call, home, [held[message.number] for message in found if message.unread])
            return max([after, *(message.number for message in found)])

        last = look(0, limit)
        _say_what_there_is(call, home, is_empty=not last, follow=follow, unread=unread)
        while follow:
            time.sleep(LOOK_S)
            home.refresh()
            last = look(last, ALL)


def show(call: Call, *, message: str) -> None:
    """One message and its ledger."""
    with call.open() as home:
        ledger = desk.show(home, message, now_ms=call.now_ms())
        held = _held(home, [ledger.message])
    shown = ledger.message
    if call.screen.is_json:
        lines = [
            {
                "who": line.who,
                "state": line.state,
                "at": None if line.at_ms is None else iso_time(line.at_ms),
                "reason": line.reason,
                "carriers": line.carriers,
                "person": line.person,
            }
            for line in ledger.lines
        ]
        call.screen.result(_as_json(shown, held) | {"mine": shown.mine, "recipients": lines})
        return
    now_ms = call.now_ms()
    _print_text(call, shown, now_ms)
    call.screen.line()
    call.screen.line(f"id {shown.id}, sent {local_time(shown.sent_ms, now_ms)}, {_until(shown, now_ms)}")
    if shown.mine and ledger.lines:
        call.screen.table(
            ("reader", "how far it got"), [(safe_line(line.who), state_words(line, now_ms)) for line in ledger.lines]
        )
    elif not shown.mine:
        call.screen.line(f"received {local_time(shown.received_ms, now_ms)}, {shown.state} here")


def acknowledge(call: Call, *, message: str) -> None:
    """Say that a message was understood."""
    with call.open() as home:
        shown = desk.acknowledge(home, message, now_ms=call.now_ms())
    if call.screen.is_json:
        call.screen.result({"id": shown.id, "state": shown.state})
    call.screen.line(f"{safe_line(shown.sender)} will see that you have understood message {shown.id[:SHORT_ID]}.")


def state_words(line: desk.Line, now_ms: int) -> str:
    """How far a message got with one reader. Only the reader's own word makes it delivered, read or acknowledged."""
    if line.state == "queued":
        return _QUEUED.get(line.reason, "queued")
    if line.state == "carried":
        return f"carried by {count_of(line.carriers, 'device')}"
    if line.state == "expired":
        return "expired - no word came that it had arrived"
    return line.state if line.at_ms is None else f"{line.state} {local_time(line.at_ms, now_ms)}"


def _typed(call: Call) -> str:
    """The text from the input, without its last line end. Raises Usage, TooLarge."""
    if call.passphrase.takes_stdin:
        raise Usage("The input cannot give both the text and the passphrase. Put the passphrase into a file.")
    if sys.stdin.isatty():
        call.screen.aside("Write the message. Ctrl-D on an empty line ends it.")
    data = sys.stdin.buffer.read(TEXT_BYTES_MAX + 2)
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > TEXT_BYTES_MAX:
        raise TooLarge(f"The text is longer than {TEXT_BYTES_MAX} bytes, which is the most one message carries.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Usage("The input is not UTF-8 text. Save it as UTF-8.") from None


def _may_mark(call: Call, home: Home) -> bool:
    if not home.store.writable:
        call.screen.aside(f"The home {home.path} can only be read: nothing is marked as read.")
    return home.store.writable


def _mark_read(call: Call, home: Home, fresh: Sequence[Message]) -> None:
    try:
        for at in range(0, len(fresh), MARKED_MAX):
            mark(home, fresh[at : at + MARKED_MAX], READ, call.now_ms())
    except StoreProblem as problem:
        call.screen.aside(f"They were not marked as read: {problem}")


def _held(home: Home, found: Sequence[desk.Shown]) -> dict[int, Message]:
    """What the store holds of these messages, by number."""
    if not found:
        return {}
    numbers = [message.number for message in found]
    query = MessageQuery(direction="both", after=min(numbers) - 1, limit=ALL)
    return {held.number: held for held in home.store.messages(query) if held.number <= max(numbers)}


def _say_what_there_is(call: Call, home: Home, *, is_empty: bool, follow: bool, unread: bool) -> None:
    running = home.node_process() is not None
    if follow:
        where = "Ctrl-C ends." if running else "No node runs on this home: start `beepmesh run`, so that any can come."
        call.screen.aside(f"Waiting for messages. {where}")
    elif is_empty:
        call.screen.line("Nothing new." if unread else "Nothing has come.")
        if not running:
            call.screen.aside("No node runs on this home: `beepmesh run`, or `beepmesh sync`, fetches what is due.")


def _print(call: Call, message: desk.Shown, held: dict[int, Message], *, marks: bool) -> None:
    if call.screen.is_json:
        shown = _as_json(message, held)
        if marks and message.state in ("new", "delivered"):
            shown["state"] = "read"
        call.screen.result(shown)
        return
    _print_text(call, message, call.now_ms())
    call.screen.line()


def _print_text(call: Call, message: desk.Shown, now_ms: int) -> None:
    """A head at the margin and the text indented: no text can look like another message's head."""
    to = listed(safe_line(name) for name in message.to)
    parts = [local_time(message.sent_ms, now_ms), f"{safe_line(message.sender)} -> {to}"]
    if message.priority != "routine":
        parts.append(message.priority.upper())
    parts.append(f"[{message.id[:SHORT_ID]}]")
    if message.intake:
        parts.append(f"no. {message.intake}")
    call.screen.line("  ".join(parts))
    if message.kind != "text":
        call.screen.line(f"{INDENT}(a newer version of beepmesh wrote this; update this one to read it)")
    for line in safe_lines(message.text) if message.kind == "text" else ():
        call.screen.line(f"{INDENT}{line}".rstrip())


def _until(message: desk.Shown, now_ms: int) -> str:
    verb = "carried until" if message.expires_ms > now_ms else "carried no longer since"
    return f"{verb} {local_time(message.expires_ms, now_ms)}"


def _as_json(message: desk.Shown, held: dict[int, Message]) -> dict[str, object]:
    return {
        "id": message.id,
        "from": message.sender,
        "to": list(message.to),
        "text": message.text,
        "sent": iso_time(message.sent_ms),
        "received": iso_time(message.received_ms),
        "priority": message.priority,
        "state": message.state,
        "person": message.sender_person,
        "device": held[message.number].row.sender.hex(),
        "expires": iso_time(message.expires_ms),
        "intake": message.intake,
    }


@contextmanager
def _ending_quietly(follow: bool) -> Iterator[None]:
    """While following, Ctrl-C and SIGTERM are how it ends: exit code 0."""
    if not follow:
        yield
        return
    from beepmesh.cli.signals import raising_interrupt

    with raising_interrupt(signal.SIGTERM):
        try:
            yield
        except KeyboardInterrupt:
            return
