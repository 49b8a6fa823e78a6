"""What a message says, once it is opened: typed contents as deterministic CBOR arrays.

    [1, 1, message id 16 B, [person id 16 B, ...], spec, text, priority]        Text
    [1, 2, [[message id 16 B, state], ...]]                                     Receipts

The first number is the oldest format a reader must know, the second the kind. So that today's nodes still show
tomorrow's messages:
1. Fields are only ever appended; a reader ignores those behind the ones it knows.
2. A change that would mislead an older reader raises the first number. What has a higher one, or an unknown kind, is
   `Unknown`: kept, shown as such, and read by a newer version later.

Whatever is wrong with a content raises Refused("content-malformed") and nothing else. A text holds any characters,
control characters too: whoever shows it must escape them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from beepmesh.crypto.primitives import sha256
from beepmesh.errors import Refused, TooLarge, Usage
from sync import cbor

FORMAT: Final = 1
KIND_TEXT: Final = 1
KIND_RECEIPTS: Final = 2
KIND_MAX: Final = 0xFFFF

DELIVERED: Final = 1  # a device of the person holds it, opened
READ: Final = 2  # it was shown
ACKNOWLEDGED: Final = 3  # the person said so
STATE_NAMES: Final = {DELIVERED: "delivered", READ: "read", ACKNOWLEDGED: "acknowledged"}

ID_BYTES: Final = 16
TEXT_BYTES_MAX: Final = 65_536  # About 30 pages: longer things are files.
PERSONS_MAX: Final = 64  # Named one by one, 1.1 kB in each entry of the message; more are named by `spec`.
SPEC_BYTES_MAX: Final = 512
RECEIPTS_MAX: Final = 256  # 5 kB: a day offline in a busy team.
PRIORITY_MAX: Final = 3  # Two bits in the header.
STATE_MAX: Final = 255  # Later states are carried, and shown by whoever knows them.
# A text with all its people, and 4 kB for fields that do not exist yet.
CONTENT_BYTES_MAX: Final = TEXT_BYTES_MAX + PERSONS_MAX * (ID_BYTES + 1) + SPEC_BYTES_MAX + 4_096


@dataclass(frozen=True, slots=True)
class Text:
    """Words to people."""

    message_id: bytes  # 16 B, random; several entries may carry one message
    to: tuple[bytes, ...]  # persons it was written to by name; () where `spec` says it: each entry repeats this
    spec: str  # what the author typed as WHO, e.g. "everyone", "dept:flood"; "" where `to` says it
    text: str
    priority: int  # the author's word; a relay has only the header's


@dataclass(frozen=True, slots=True)
class Receipts:
    """How far messages got with the sender of this content."""

    items: tuple[tuple[bytes, int], ...]  # (message id, state)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A content of a newer version. `raw` is the whole encoding."""

    kind: int
    raw: bytes


Content = Text | Receipts | Unknown


def content_id(content: Content) -> bytes:
    """16 B that name a content: a text by its own id, anything else by its bytes."""
    match content:
        case Text(message_id=message_id):
            return message_id
        case Receipts() | Unknown():
            return sha256(encode_content(content))[:ID_BYTES]


def encode_content(content: Content) -> bytes:
    """The bytes to seal. Raises TooLarge or Usage for what a person asked too much of."""
    match content:
        case Text():
            return _encode_text(content)
        case Receipts(items=items):
            assert 0 < len(items) <= RECEIPTS_MAX
            assert all(len(message_id) == ID_BYTES and 0 <= state <= STATE_MAX for message_id, state in items)
            return cbor.encode([FORMAT, KIND_RECEIPTS, [[message_id, state] for message_id, state in items]])
        case Unknown(raw=raw):
            return raw


def decode_content(data: bytes) -> Content:
    """What the bytes say. Raises Refused("content-malformed")."""
    try:
        fields = cbor.decode(data, bytes_max=CONTENT_BYTES_MAX)
    except cbor.CborError as error:
        raise _malformed(str(error)) from None
    if not isinstance(fields, list) or len(fields) < 2:
        raise _malformed("no content")
    version, kind, rest = _number(fields[0], KIND_MAX), _number(fields[1], KIND_MAX), fields[2:]
    if version == FORMAT and kind == KIND_TEXT:
        return _decode_text(rest)
    if version == FORMAT and kind == KIND_RECEIPTS:
        return _decode_receipts(rest)
    return Unknown(kind, data)


def _encode_text(content: Text) -> bytes:
    assert len(content.message_id) == ID_BYTES
    assert all(len(person) == ID_BYTES for person in content.to)
    assert 0 <= content.priority <= PRIORITY_MAX
    try:
        text_bytes = len(content.text.encode())
        spec_bytes = len(content.spec.encode())
    except UnicodeEncodeError:
        # Python hands over undecodable command-line bytes as lone surrogates, which no encoding can carry.
        raise Usage("The text is not valid Unicode. Check the terminal's character set, or use a file.") from None
    if text_bytes > TEXT_BYTES_MAX:
        raise TooLarge(
            f"The text has {text_bytes} bytes; one message carries {TEXT_BYTES_MAX}. Shorten it, or send several."
        )
    if spec_bytes > SPEC_BYTES_MAX:
        raise TooLarge("The name of the recipients is too long. Use a group, a department or everyone.")
    if len(content.to) > PERSONS_MAX:
        raise TooLarge(
            f"One message names {PERSONS_MAX} people at most; these are {len(content.to)}. Use a group or a department."
        )
    return cbor.encode(
        [FORMAT, KIND_TEXT, content.message_id, list(content.to), content.spec, content.text, content.priority]
    )


def _decode_text(rest: list[object]) -> Text:
    if len(rest) < 5:
        raise _malformed("a text lacks fields")
    message_id, to, spec, text, priority = rest[:5]
    if not isinstance(to, list) or len(to) > PERSONS_MAX:
        raise _malformed("recipients")
    return Text(
        _id(message_id),
        tuple(_id(person) for person in to),
        _string(spec, SPEC_BYTES_MAX),
        _string(text, TEXT_BYTES_MAX),
        _number(priority, PRIORITY_MAX),
    )


def _decode_receipts(rest: list[object]) -> Receipts:
    if not rest or not isinstance(rest[0], list) or not 0 < len(rest[0]) <= RECEIPTS_MAX:
        raise _malformed("receipts")
    return Receipts(tuple(_receipt(item) for item in rest[0]))


def _receipt(item: object) -> tuple[bytes, int]:
    if not isinstance(item, list) or len(item) != 2:
        raise _malformed("a receipt")
    return _id(item[0]), _number(item[1], STATE_MAX)


def _id(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != ID_BYTES:
        raise _malformed("an id")
    return value


def _string(value: object, bytes_max: int) -> str:
    if not isinstance(value, str) or len(value.encode()) > bytes_max:
        raise _malformed("a string")
    return value


def _number(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _malformed("a number")
    return value


def _malformed(detail: str) -> Refused:
    return Refused("content-malformed", detail)
