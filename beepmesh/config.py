"""What a person may set for one device: `config.toml` in its home, every key optional.

    [links]
    use = ["lan"]        # where `beepmesh run` looks for neighbours when nothing else is said

    metered_kilobytes_per_day = 0    # what links that cost money (hub:) may carry a day, in 10^3 bytes; 0: no limit

    [storage]
    megabytes = 2000     # what the store may take of the disk, in 10^6 bytes; 0: no limit
    carried_megabytes = 0    # what of it may be other people's mail, in 10^6 bytes of bodies; 0: all

Laws
1. A key that is not known is refused, naming the nearest one that is: a misspelt setting that is silently ignored is
   found out in the field.
2. A value is checked when it is read. Whoever holds a Config need not look again.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from beepmesh.errors import HomeProblem

FILE_NAME: Final = "config.toml"
FILE_BYTES_MAX: Final = 65_536  # A hand-written file of five lines; anything larger is something else.
SPECS_MAX: Final = 16  # More links than any machine has radios.
SPEC_LENGTH_MAX: Final = 256  # A URL with a host name of the longest kind.
MEGABYTES_MIN: Final = 10  # Less does not hold the certificates of an organisation of a thousand.
MEGABYTES_MAX: Final = 1_000_000  # A terabyte: no SQLite file of ours was ever tried beyond it.

KILOBYTES_MIN: Final = 50  # Less is used up by the day's links and handshakes alone.
KILOBYTES_MAX: Final = 1_000_000_000  # A terabyte a day: nobody pays for that by the byte.

_DEFAULT: Final = "default"

Value = tuple[str, ...] | int


@dataclass(frozen=True, slots=True)
class Setting:
    """One key in force. `source` is "default" or the file that set it."""

    key: str
    value: Value
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one device."""

    links_use: tuple[str, ...] = ("lan",)
    links_metered_kilobytes: int = 0
    storage_megabytes: int = 2_000
    storage_carried_megabytes: int = 0
    sources: tuple[tuple[str, str], ...] = ()  # (key, file), for the keys that a file set

    def effective(self) -> list[Setting]:
        """Every key with its value and where that came from, in the order of the list above."""
        values: dict[str, Value] = {
            "links.use": self.links_use,
            "links.metered_kilobytes_per_day": self.links_metered_kilobytes,
            "storage.megabytes": self.storage_megabytes,
            "storage.carried_megabytes": self.storage_carried_megabytes,
        }
        assert values.keys() == _READERS.keys()
        sources = dict(self.sources)
        return [Setting(key, value, sources.get(key, _DEFAULT)) for key, value in values.items()]


def load(home: Path) -> Config:
    """The settings in that home; all defaults where it has no file. Raises HomeProblem, naming the line or the key."""
    path = home / FILE_NAME
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise HomeProblem(f"The settings {path} cannot be read ({error.strerror}). Mend its permissions.") from error
    if len(data) > FILE_BYTES_MAX:
        raise HomeProblem(f"The settings {path} are larger than {FILE_BYTES_MAX} bytes. Is that the right file?")
    return parse(data, str(path))


def keep_links(home: Path, specs: Sequence[str]) -> bool:
    """Let `beepmesh run` look there when nothing else is said; whether it was written. What a person has set stays.

    Raises OSError, and HomeProblem where settings cannot hold them. Whoever is cut off here has a home without
    settings, which is a whole one.
    """
    path = home / FILE_NAME
    if path.exists():
        return False
    # A list of JSON strings is one of TOML; what TOML would read otherwise is refused here.
    text = f"[links]\nuse = {json.dumps(list(specs))}\n"
    if parse(text.encode(), str(path)).links_use != tuple(specs):
        raise HomeProblem(f"Settings cannot hold the links {json.dumps(list(specs))}.")
    beside = path.with_suffix(".new")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    return True


def parse(data: bytes, source: str) -> Config:
    """The settings in a file's bytes. `source` names them in errors. Raises HomeProblem."""
    try:
        tables = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise HomeProblem(f"The settings {source} are not UTF-8 text. Save them as UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise HomeProblem(f"The settings {source} are not TOML: {error}.") from None
    given = _flattened(tables, source)
    config = Config(sources=tuple((key, source) for key in given))
    for key, value in given.items():
        config = _READERS[key](config, value, f"{key} in {source}")
    return config


def _flattened(tables: Mapping[str, object], source: str) -> dict[str, object]:
    """{"links.use": ...} of {"links": {"use": ...}}. Refuses what is not known."""
    flat: dict[str, object] = {}
    for name, table in tables.items():
        if isinstance(table, dict):
            flat |= {f"{name}.{key}": value for key, value in table.items()}
            if not table and not any(key.startswith(f"{name}.") for key in _READERS):
                flat[name] = table
        else:
            flat[name] = table
    for key in flat:
        if key not in _READERS:
            raise HomeProblem(f"The settings {source} have {_shown(key)}, which means nothing here. {_nearest(key)}")
    return flat


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, list(_READERS), n=1, cutoff=0.5)
    # `use = [...]` outside its table, or `[linx] use`: the last word alone may be right.
    word = key.rpartition(".")[2]
    near = near or [known for known in _READERS if known.rpartition(".")[2] == word]
    return f"Did you mean {near[0]}?" if near else f"Known are {', '.join(_READERS)}."


def _shown(key: str) -> str:
    return ascii(key) if len(key) <= 64 else ascii(key[:64]) + "..."


def _specs(config: Config, value: object, where: str) -> Config:
    if not isinstance(value, list) or len(value) > SPECS_MAX:
        raise HomeProblem(f'{where} must be a list of at most {SPECS_MAX} links, such as ["lan"].')
    specs = tuple(item for item in value if isinstance(item, str) and 0 < len(item) <= SPEC_LENGTH_MAX)
    if len(specs) != len(value):
        raise HomeProblem(f'{where} must hold links as text, such as "lan" or "tcp:192.0.2.7:7700".')
    return replace(config, links_use=tuple(dict.fromkeys(specs)))


def _metered_kilobytes(config: Config, value: object, where: str) -> Config:
    if type(value) is not int or (value and not KILOBYTES_MIN <= value <= KILOBYTES_MAX):
        raise HomeProblem(f"{where} must be a whole number, {KILOBYTES_MIN} to {KILOBYTES_MAX}, or 0 for no limit.")
    return replace(config, links_metered_kilobytes=value)


def _megabytes(config: Config, value: object, where: str) -> Config:
    return replace(config, storage_megabytes=_limit(value, where))


def _carried_megabytes(config: Config, value: object, where: str) -> Config:
    return replace(config, storage_carried_megabytes=_limit(value, where))


def _limit(value: object, where: str) -> int:
    # In Python true is a number.
    if type(value) is not int or (value and not MEGABYTES_MIN <= value <= MEGABYTES_MAX):
        raise HomeProblem(f"{where} must be a whole number, {MEGABYTES_MIN} to {MEGABYTES_MAX}, or 0 for no limit.")
    return value


# Every key, with the function that checks its value and sets it.
_READERS: Final[dict[str, Callable[[Config, object, str], Config]]] = {
    "links.use": _specs,
    "links.metered_kilobytes_per_day": _metered_kilobytes,
    "storage.megabytes": _megabytes,
    "storage.carried_megabytes": _carried_megabytes,
}
