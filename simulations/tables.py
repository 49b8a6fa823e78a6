"""Tables of a TOML or JSON file, read strictly into dataclasses.

Law: what is not understood is refused before anything happens, with the place it stands at and the nearest word that
would be understood. Numbers stand within the bounds that their field's type names.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from beepmesh.cli.parsing import near, short
from beepmesh.errors import Usage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Between:
    """A number's bounds, both allowed."""

    low: float
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class OneOf:
    """The words that are allowed."""

    words: tuple[str, ...]


def read(kind: type[T], table: Mapping[str, object], where: str) -> T:
    """A dataclass from a table. `where` names the table to whoever has to mend it. Raises Usage."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # T is a dataclass.
    known(table, fields, where)
    for name, field in fields.items():
        if name not in table and field.default is field.default_factory is dataclasses.MISSING:
            raise Usage(f"{where} lacks {name}.")
    return kind(**{name: value(hints[name], table[name], f"{where}: {name}") for name in fields if name in table})


def known(names: Mapping[str, object], expected: Mapping[str, object], where: str) -> None:
    """Raises Usage for the first name that nobody expects."""
    for name in names:
        if name not in expected:
            close = near(name, list(expected))
            hint = f"Did you mean {close[0]}?" if close else f"It may hold {', '.join(expected)}."
            raise Usage(f"{where} has no {short(name)}. {hint}")


def value(kind: Any, given: object, where: str) -> Any:
    """One value of the type that a field names. Raises Usage."""
    rules: tuple[object, ...] = ()
    if get_origin(kind) is Annotated:
        kind, *rest = get_args(kind)
        rules = tuple(rest)
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(option for option in get_args(kind) if option is not type(None))
        return None if given is None else value(Annotated[kind, *rules] if rules else kind, given, where)
    if get_origin(kind) is tuple:
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise Usage(f"{where} is a list.")
        (item, _) = get_args(kind)
        return tuple(value(item, each, f"{where}[{number}]") for number, each in enumerate(given))
    if dataclasses.is_dataclass(kind):
        if isinstance(given, kind):  # type: ignore[arg-type]  # A class, not an instance of one.
            return given
        if not isinstance(given, Mapping):
            raise Usage(f"{where} is a table of its own.")
        return read(kind, given, where)  # type: ignore[arg-type]  # A class, not an instance of one.
    return bounded(kind, given, rules, where)


def bounded(kind: type, given: object, rules: Sequence[object], where: str) -> Any:
    """A number, text or truth that keeps the rules. Raises Usage."""
    return _held(_scalar(kind, given, where), rules, where)


def _scalar(kind: object, given: object, where: str) -> object:
    if kind is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    # A bool is an int to Python, not to a person.
    if not isinstance(given, kind) or (isinstance(given, bool) and kind is not bool):  # type: ignore[arg-type]
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}
        raise Usage(f"{where} is {names[kind]}, not {short(repr(given))}.")  # type: ignore[index]
    return given


def _held(given: object, rules: Sequence[object], where: str) -> object:
    for rule in rules:
        match rule:
            case Between(low, high) if isinstance(given, int | float) and not low <= given <= high:
                limit = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
                raise Usage(f"{where} is {given:g}: it must be {limit}.")
            case OneOf(words) if isinstance(given, str) and given not in words:
                close = near(given, words)
                hint = f"Did you mean {close[0]}?" if close else f"It is one of {', '.join(words)}."
                raise Usage(f"{where} is {short(given)}. {hint}")
            case _:
                pass
    return given
