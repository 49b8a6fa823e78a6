"""Versioned CBOR arrays, the form of everything this folder keeps or hands over: `[version, field, ...]`."""

from __future__ import annotations

from typing import Final

from beepmesh.errors import Refused
from sync import cbor

VERSION: Final = 1


def encode_fields(fields: list[object]) -> bytes:
    return cbor.encode([VERSION, *fields])


def decode_fields(data: bytes, bytes_max: int, reason: str) -> list[object]:
    """The fields behind the version. Raises Refused(reason) for another version or shape."""
    try:
        items = cbor.decode(data, bytes_max=bytes_max)
    except cbor.CborError as error:
        raise Refused(reason, str(error)) from None
    # In Python True is 1; in CBOR it is something else.
    if not isinstance(items, list) or not items or type(items[0]) is not int or items[0] != VERSION:
        raise Refused(reason, "version")
    return items[1:]
