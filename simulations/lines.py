"""Text files from elsewhere, line by line: bounded before they are parsed, and each complaint names file and line."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LINE_BYTES_MAX = 65_536
"""The header of a trace is the longest line there is."""
LINE_COUNT_MAX = 20_000_000
"""A hundred times the largest trace here: what does not fit into memory is refused before it fills it."""


class BadFile(Exception):
    """A file cannot be used. The text names it, the line where there is one, and what is wrong there."""


class Lines:
    """The lines of one file, unzipped where its name ends in .gz; without their ends, and never two passes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        """Of the line that was given last, from 1."""

    def __iter__(self) -> Iterator[str]:
        try:
            with self._opened() as file:
                while line := file.readline(LINE_BYTES_MAX + 1):
                    self.number += 1
                    if len(line) > LINE_BYTES_MAX:
                        raise self.wrong(f"longer than {LINE_BYTES_MAX} bytes")
                    if self.number > LINE_COUNT_MAX:
                        raise self.wrong(f"more than {LINE_COUNT_MAX} lines")
                    yield line.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise self.wrong("is not UTF-8 text") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadFile(f"{self.path}: the zipped file is damaged: {error}") from None
        except OSError as error:
            raise BadFile(f"{self.path}: {error.strerror or error}") from None

    def _opened(self) -> BinaryIO | gzip.GzipFile:
        return gzip.open(self.path, "rb") if self.path.name.endswith(".gz") else self.path.open("rb")

    def wrong(self, what: str) -> BadFile:
        return BadFile(f"{self.path}:{self.number}: {what}")

    def integer(self, text: str, name: str, least: int, most: int) -> int:
        # isdecimal keeps out the underscores and blanks that int() takes; the length, numbers that take long to read.
        if len(text) <= 20 and text.removeprefix("-").isdecimal() and text.isascii() and least <= int(text) <= most:
            return int(text)
        raise self.wrong(f"{name} is {text[:40]!r} and should be a whole number from {least} to {most}")

    def real(self, text: str, name: str, least: float, most: float) -> float:
        try:
            value = float(text) if len(text) <= 40 else math.nan
        except ValueError:
            value = math.nan
        if least <= value <= most:
            return value
        raise self.wrong(f"{name} is {text[:40]!r} and should be a number from {least:g} to {most:g}")
