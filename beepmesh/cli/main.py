"""The command line: find the verb, call it, and turn what it raises into one sentence and an exit code.

    0 done        1 could not: one sentence says what happened and what to do        2 wrongly asked

Law: nothing is imported here that a help text does not need. A verb's module is loaded when the verb is called, and it
loads what the verb needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from beepmesh.cli.parsing import Asked, HelpWanted, parse, wants_json
from beepmesh.cli.screen import Screen
from beepmesh.cli.verbs import EVERYWHERE, VERBS, Verb, form_of
from beepmesh.errors import BeepmeshError, Usage

DONE: Final = 0
COULD_NOT: Final = 1
WRONGLY_ASKED: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the words ask (by default those of the process) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    screen = Screen(sys.stdout, sys.stderr, is_json=wants_json(words))
    try:
        asked = parse(words)
        if isinstance(asked, HelpWanted):
            print(overview() if asked.verb is None else explained(asked.verb), end="")
            return DONE
        return _call(asked, screen)
    except BrokenPipeError:
        # Whoever read our output has gone: there is nobody to tell, and Python must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT
    except KeyboardInterrupt:
        screen.failure("Stopped.", "stopped")
        return COULD_NOT
    except (BeepmeshError, BaseExceptionGroup) as error:
        return _fail(_cause(error), screen)
    except Exception as error:  # The edge of the process: a fault of ours is said to be one, with its trace.
        return _fail(error, screen)


def overview() -> str:
    """The text of `beepmesh --help`."""
    width = max(len(form_of(verb)) for verb in VERBS)
    lines = [
        "beepmesh: sealed messages for people whose network comes and goes.",
        "",
        "A message is sealed for its readers, kept on this device, and handed on whenever two devices meet, until it",
        "arrives. Those who carry it cannot read it. It needs no server and no internet.",
        "",
        "usage: beepmesh [--home DIR] [--json] VERB ...",
    ]
    for group in dict.fromkeys(verb.group for verb in VERBS):
        lines += ["", f"{group}:"]
        lines += [f"  {form_of(verb):<{width}}  {verb.summary}" for verb in VERBS if verb.group == group]
    lines += ["", "With every verb:"]
    lines += [f"  {f'{option.name} {option.shows}':<{width}}  {option.help}" for option in EVERYWHERE[:2]]
    lines += [
        "",
        "`beepmesh VERB --help` explains a verb, with examples. The first steps:",
        "",
        '    beepmesh org create "Flood Cell Swat" --as "Amina Khan"     on the first device',
        "    beepmesh invite                                             prints a CODE there; then: beepmesh run",
        '    beepmesh join CODE --as "Bilal Shah"                        on the second device; then: beepmesh run',
        '    beepmesh send "Bilal Shah" "The bridge at Kund is out."     at any time, near or far',
        "",
    ]
    return "\n".join(lines)


def explained(verb: Verb) -> str:
    """The text of `beepmesh VERB --help`."""
    from beepmesh.cli.arguments import parser_of

    return parser_of(verb).format_help()


def _call(asked: Asked, screen: Screen) -> int:
    from importlib import import_module

    from beepmesh.cli.call import Call

    module, _, name = asked.verb.code.partition(":")
    function: Callable[..., int | None] = getattr(import_module(f"beepmesh.cli.{module}"), name)
    call = Call.of(asked, screen)
    return function(call, **asked.arguments) or DONE


def _cause(error: BaseException) -> BaseException:
    """What went wrong in a group of tasks: the first of ours, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, BeepmeshError)), causes[0])


def _fail(error: BaseException, screen: Screen) -> int:
    if isinstance(error, BeepmeshError):
        screen.failure(str(error), reason_of(error))
        return WRONGLY_ASKED if isinstance(error, Usage) else COULD_NOT
    if isinstance(error, KeyboardInterrupt):
        screen.failure("Stopped.", "stopped")
        return COULD_NOT
    import traceback

    trace = "".join(traceback.format_exception(error))
    if not screen.is_json:
        print(trace, file=sys.stderr, end="")
    screen.failure(
        f"This is a fault in beepmesh ({type(error).__name__}), not in what you did. Nothing that was accepted before"
        " is lost. Please report it with the lines above."
        if not screen.is_json
        else f"This is a fault in beepmesh. Nothing that was accepted before is lost. {trace}",
        "fault",
    )
    return COULD_NOT


def reason_of(error: BeepmeshError) -> str:
    """The stable word for programs: the error's own, else its class's name in lower case with dashes."""
    own: object = getattr(error, "reason", None)
    if isinstance(own, str):
        return own
    name = type(error).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
