"""`python -m simulations VERB ...`: find the verb, call it, and turn what it raises into one sentence and an exit code.

0 done        1 could not, or a mark was missed        2 wrongly asked
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from beepmesh.cli.screen import Screen
from beepmesh.errors import BeepmeshError, Usage
from simulations.arguments import parse


def main(words: Sequence[str]) -> int:
    screen = Screen(sys.stdout, sys.stderr, is_json="--json" in words)
    try:
        asked = parse(words)
        if isinstance(asked, str):
            print(asked, end="")
            return 0
        return _call(asked[0].name, asked[1], screen)
    except Usage as error:
        screen.failure(str(error), "usage")
        return 2
    except BeepmeshError as error:
        screen.failure(str(error), "could-not")
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone: Python must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        screen.failure("Stopped. A run that was not over has written nothing.", "stopped")
        return 1


def _call(verb: str, asked: object, screen: Screen) -> int:
    # Only now, so that help and a misspelt word need no more than the words.
    from argparse import Namespace

    from simulations.commands import VERBS
    from simulations.extras import ExtraMissing
    from simulations.lines import BadFile
    from simulations.writing import NotARun

    assert isinstance(asked, Namespace)
    try:
        return VERBS[verb](asked, screen)
    except (BadFile, ExtraMissing, NotARun) as error:
        raise BeepmeshError(f"{error}.") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
