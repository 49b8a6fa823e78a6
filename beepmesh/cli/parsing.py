"""From the words of a command line to a verb and its arguments.

    beepmesh [--home DIR] [--json] VERB [ARGUMENT...]

Laws
1. What is not understood raises Usage, whose text names the nearest thing that would be; nothing has happened yet.
2. A verb and an option may be shortened as long as they stay unambiguous.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from beepmesh.cli.verbs import EVERYWHERE, VERBS, Verb
from beepmesh.errors import Usage

_GLOBAL: Final = {argument.name: argument for argument in EVERYWHERE}
_ALONE: Final = ("--help", "--version")


class HelpWanted(NamedTuple):
    """Help was asked for: on `verb`, or on everything."""

    verb: Verb | None


class Asked(NamedTuple):
    """A verb with its arguments by parameter name, and what every verb takes."""

    verb: Verb
    arguments: dict[str, object]
    home: str | None
    passphrase_file: str | None
    is_json: bool


def parse(words: Sequence[str]) -> Asked | HelpWanted:
    """What was asked. Raises Usage."""
    if any(word.partition("=")[0] == "--passphrase" for word in _until_end_of_options(words)):
        # Not an abbreviation of --passphrase-file: what follows would be the passphrase itself.
        raise Usage(
            "A passphrase is never typed on the command line. You are asked for it, or: --passphrase-file FILE."
        )
    before, rest = _leading_options(words)
    if "--help" in before:
        return HelpWanted(None)
    if not rest:
        if "--version" in before:
            return Asked(_named("version"), {}, None, None, "--json" in before)
        return HelpWanted(None)
    if rest[0] == "help":
        return HelpWanted(find_verb(rest[1:])[0] if rest[1:] else None)
    verb, rest = find_verb(rest)
    if any(word in ("-h", "--help") for word in _until_end_of_options(rest)):
        return HelpWanted(verb)
    from beepmesh.cli.arguments import read

    return read(verb, [*before, *rest])


def wants_json(words: Sequence[str]) -> bool:
    """Whether --json was said, even in a line that cannot be understood."""
    return "--json" in _until_end_of_options(words)


def find_verb(words: Sequence[str]) -> tuple[Verb, list[str]]:
    """The verb that these words begin with, and the words behind it. Raises Usage."""
    first = _one_of(words[0], {verb.name.split()[0] for verb in VERBS}, "verb")
    of_first = [verb for verb in VERBS if verb.name.split()[0] == first]
    alone = next((verb for verb in of_first if verb.name == first), None)
    seconds = {verb.name.split()[1]: verb for verb in of_first if verb is not alone}
    if alone is not None and (not seconds or len(words) < 2 or words[1].startswith("-")):
        return alone, list(words[1:])  # It takes no places of its own where there are words below it.
    if len(words) < 2 or words[1].startswith("-"):
        if {"-h", "--help"} & set(words[1:2]):
            return of_first[0], list(words[1:])
        raise Usage(f"`beepmesh {first}` needs a second word: {', '.join(seconds)}.")
    return seconds[_one_of(words[1], seconds, f"word after {first}")], list(words[2:])


def _leading_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options before the verb as --name or --name=value, and what follows them. Raises Usage."""
    before: list[str] = []
    at = 0
    while at < len(words) and words[at].startswith("-"):
        name, equals, value = words[at].partition("=")
        at += 1
        name = "--help" if name == "-h" else _one_of(name, {*_GLOBAL, *_ALONE}, "option before the verb")
        if name in _ALONE or _GLOBAL[name].kind == "flag":
            before.append(name)
            continue
        if not equals:
            if at == len(words):
                raise Usage(f"{name} needs a value: {name} {_GLOBAL[name].shows}.")
            value = words[at]
            at += 1
        before.append(f"{name}={value}")
    return before, list(words[at:])


def _one_of(word: str, known: Iterable[str], what: str) -> str:
    """The known word that this is, or begins alone. Raises Usage naming near ones."""
    names = sorted(known)
    if word in names:
        return word
    begun = [name for name in names if word and name.startswith(word)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise Usage(f"{word!r} could be {' or '.join(begun)}. Write one letter more.")
    close = near(word, names, 3)
    hint = f"Did you mean {' or '.join(close)}?" if close else "`beepmesh --help` lists what there is."
    raise Usage(f"There is no {what} {short(word)}. {hint}")


def _until_end_of_options(words: Sequence[str]) -> Sequence[str]:
    return words[: words.index("--")] if "--" in words else words


def _named(name: str) -> Verb:
    return next(verb for verb in VERBS if verb.name == name)


def near(word: str, names: Sequence[str], most: int = 1) -> list[str]:
    """The names that somebody may have meant, best first."""
    from difflib import get_close_matches

    return get_close_matches(word.lower(), names, n=most, cutoff=0.5)


def short(word: str) -> str:
    """What somebody wrote, in quotes, and not all of something long."""
    return repr(word if len(word) <= 40 else word[:39] + "…")
