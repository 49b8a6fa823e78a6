"""The arguments of one verb: read from words, and written as help. argparse does both.

argparse is loaded here and only where a verb is called or explained.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Final, NoReturn

from beepmesh.cli.parsing import Asked, near, short
from beepmesh.cli.verbs import EVERYWHERE, Argument, Verb, form_of
from beepmesh.errors import Usage

HELP_WIDTH: Final = 96
_GLUE: Final = "\x00"  # Keeps an option and its value on one line.
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}


def read(verb: Verb, words: Sequence[str]) -> Asked:
    parser = parser_of(verb)
    parsed, unknown = parser.parse_known_args(list(words))
    values: dict[str, object] = vars(parsed)
    if unknown:
        raise Usage(_about_unknown(verb, unknown))
    home, file = values.pop("home"), values.pop("passphrase_file")
    is_json = bool(values.pop("json"))
    del values["help"]
    return Asked(verb, values, _text_or_none(home), _text_or_none(file), is_json)


def parser_of(verb: Verb) -> argparse.ArgumentParser:
    """The parser of one verb. It raises Usage where argparse would end the process."""
    parser = _Parser(
        prog=f"beepmesh {verb.name}",
        usage=usage_of(verb),
        description=verb.text,
        epilog=_epilogue(verb),
        formatter_class=_Formatter,
        add_help=False,
    )
    takes = parser.add_argument_group("it takes")
    for argument in verb.arguments:
        _add(takes, argument)
    everywhere = parser.add_argument_group("with every verb")
    for argument in EVERYWHERE:
        _add(everywhere, argument)
    everywhere.add_argument("-h", "--help", action="store_true", help="this text")
    return parser


def usage_of(verb: Verb) -> str:
    """The whole line as it may be written, without what every verb takes."""
    parts = [f"beepmesh {form_of(verb)}"]
    for argument in verb.arguments:
        if argument.is_option:
            option = f"{argument.name} {argument.shows}".strip()
            parts.append(option if argument.required else f"[{option}]" + ("..." if argument.many else ""))
    return textwrap.fill(
        " ".join(part.replace(" ", _GLUE) for part in parts),
        HELP_WIDTH - 7,
        subsequent_indent=" " * 7,
        break_on_hyphens=False,
        break_long_words=False,
    ).replace(_GLUE, " ")


def _add(parser: argparse.ArgumentParser | argparse._ArgumentGroup, argument: Argument) -> None:
    if argument.kind == "flag":
        parser.add_argument(argument.name, action="store_true", dest=argument.parameter, help=argument.help)
        return
    read = {"number": _number, "seconds": _seconds}.get(argument.kind, str)
    default = argument.default
    shown = argument.help if default in (None, "") else f"{argument.help} (default: {default})"
    choices = argument.choices or None
    if choices and argument.is_option:
        shown = f"{', '.join(choices)}: {shown}"
    if not argument.is_option:
        count = {(False, False): None, (True, False): "?", (False, True): "+", (True, True): "*"}
        nargs = count[argument.may_lack, argument.many]
        parser.add_argument(
            argument.parameter, metavar=argument.name, nargs=nargs, type=read, choices=choices, help=shown
        )
    elif argument.many:
        parser.add_argument(
            argument.name, metavar=argument.shows, dest=argument.parameter, action="append", default=[], help=shown
        )
    else:
        parser.add_argument(
            argument.name,
            metavar=argument.shows,
            dest=argument.parameter,
            type=read,
            choices=choices,
            default=default,
            required=argument.required,
            help=shown,
        )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{_sentence(message)} `{self.prog} --help` shows how it is written.")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Paragraphs are filled, examples stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=HELP_WIDTH)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.split("\n\n")
        return "\n\n".join(
            part
            if part.startswith("examples:")
            else super(argparse.RawDescriptionHelpFormatter, self)._fill_text(part, width, indent)
            for part in parts
        )


def _epilogue(verb: Verb) -> str:
    examples = "\n".join(["examples:", *(f"  {example}" for example in verb.examples)])
    return f"{examples}\n\n{verb.next}" if verb.next else examples


def _about_unknown(verb: Verb, unknown: Sequence[str]) -> str:
    """Why the words that are left over cannot be understood."""
    option = next((word for word in unknown if word.startswith("-") and len(word) > 1), None)
    if option is not None:
        names = [argument.name for argument in (*verb.arguments, *EVERYWHERE) if argument.is_option]
        close = near(option.partition("=")[0], names)
        hint = f"Did you mean {close[0]}?" if close else f"It takes {', '.join(names)}."
        return f"`beepmesh {verb.name}` has no option {short(option)}. {hint}"
    return (
        f"{short(unknown[0])} is one word too many: it is written `beepmesh {form_of(verb)}`. Put a name or a text of"
        " several words in quotes."
    )


def _sentence(message: str) -> str:
    """argparse's complaint as a sentence of ours."""
    lacking = re.fullmatch(r"the following arguments are required: (.*)", message)
    if lacking:
        return f"Something is missing: {lacking[1]}."
    value = re.fullmatch(r"argument ([^:]*): invalid choice: (.*) \(choose from (.*)\)", message, re.DOTALL)
    if value:
        names = value[3].replace("'", "").split(", ")
        close = near(value[2].strip("'\""), names)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"{short(value[2].strip(chr(39)))} does not fit {value[1]}: it is one of {', '.join(names)}.{hint}"
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text, re.ASCII) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{short(text)} is no whole number from 1 up")
    return int(text)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([smh]?)", text.strip().lower(), re.ASCII)
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{short(text)} is no length of time; write 90s, 5m or 1h")
    return int(found[1]) * _SECONDS[found[2] or "s"]


def _text_or_none(value: object) -> str | None:
    assert value is None or isinstance(value, str)
    return value
