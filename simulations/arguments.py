"""The words of `python -m simulations`: every verb, what it takes, and what it says when a word is misspelt."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from beepmesh.cli.parsing import near, short
from beepmesh.errors import Usage

PROGRAM: Final = "python -m simulations"


@dataclass(frozen=True, slots=True)
class Verb:
    name: str
    summary: str
    text: str
    examples: tuple[str, ...]
    takes: Callable[[argparse.ArgumentParser], None]


def parse(words: Sequence[str]) -> tuple[Verb, argparse.Namespace] | str:
    """A verb and its arguments, or the help that was asked for. Raises Usage."""
    if not words or words[0] in ("-h", "--help", "help"):
        return _parser(_find(words[1])).format_help() if words[1:] else overview()
    verb = _find(words[0])
    parser = _parser(verb)
    if {"-h", "--help"} & set(words[1:]):
        return parser.format_help()
    found, unknown = parser.parse_known_args(list(words[1:]))
    if unknown:
        raise Usage(_about(unknown, verb, parser))
    return verb, found


def overview() -> str:
    """The text of `python -m simulations --help`."""
    width = max(len(verb.name) for verb in VERBS)
    return "\n".join(
        [
            "Simulations of beepmesh: the product's own engine, sealing and store, on recorded or drawn contacts.",
            "",
            f"usage: {PROGRAM} VERB ...",
            "",
            *(f"  {verb.name:<{width}}  {verb.summary}" for verb in VERBS),
            "",
            f"`{PROGRAM} VERB --help` explains a verb, with examples. To begin with:",
            "",
            f"    {PROGRAM} list                              what there is to run",
            f"    {PROGRAM} run smoke-village --out first     a few seconds; then open first/map.html",
            f"    {PROGRAM} report first                      what it came to",
            "",
            "Exit codes: 0 done, 1 could not or a mark was missed, 2 wrongly asked.",
            "",
        ]
    )


def _find(word: str) -> Verb:
    names = [verb.name for verb in VERBS]
    begun = [verb for verb in VERBS if verb.name == word] or [verb for verb in VERBS if verb.name.startswith(word)]
    if len(begun) == 1 and word:
        return begun[0]
    close = [verb.name for verb in begun] or near(word, names, 2)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"There are {', '.join(names)}."
    raise Usage(f"There is no verb {short(word)}. {hint}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{_sentence(message)} `{self.prog} --help` shows how it is written.")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def _parser(verb: Verb) -> argparse.ArgumentParser:
    examples = "\n".join(["examples:", *(f"  {PROGRAM} {example}" for example in verb.examples)])
    parser = _Parser(
        prog=f"{PROGRAM} {verb.name}",
        description=verb.text,
        epilog=examples,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    verb.takes(parser)
    parser.add_argument("-h", "--help", action="store_true", help="this text")
    return parser


def _about(unknown: Sequence[str], verb: Verb, parser: argparse.ArgumentParser) -> str:
    options = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
    option = next((word for word in unknown if word.startswith("-") and len(word) > 1), None)
    if option is None:
        return f"{short(unknown[0])} is one word too many. `{PROGRAM} {verb.name} --help` shows how it is written."
    close = near(option.partition("=")[0], options)
    hint = f"Did you mean {close[0]}?" if close else f"It takes {', '.join(options)}."
    return f"`{verb.name}` has no option {short(option)}. {hint}"


def _sentence(message: str) -> str:
    """argparse's complaint as a sentence."""
    lacking = re.fullmatch(r"the following arguments are required: (.*)", message)
    if lacking:
        return f"Something is missing: {lacking[1]}."
    wrong = re.fullmatch(r"argument ([^:]*): (.*)", message, re.DOTALL)
    return f"{wrong[1]}: {wrong[2]}." if wrong else f"{message[:1].upper()}{message[1:].rstrip('.')}."


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{short(text)} is no number from {low:g} to {high:g}")
        return value

    return read


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{short(text)} is no whole number from {low} to {high}")
        return int(text)

    return read


_SEED: Final = _whole(0, 2**63 - 1)


def _seeds(text: str) -> list[int]:
    return [_SEED(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _takes_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", nargs="?", metavar="SCENARIO", help="a name from `list`, or a .toml file")
    parser.add_argument("--trace", metavar="FILE", help="contacts: .ct, .one, .tij or .imote, .gz as well")
    parser.add_argument("--workload", metavar="FILE", help="messages: id,t,src,dst,size,ttl,prio")
    parser.add_argument("--bw", type=_number(1, 1e10), metavar="BYTES", help="bytes a second of a link (20000)")
    parser.add_argument("--setup", type=_number(0, 3600), metavar="S", help="seconds until a link is up (2)")
    parser.add_argument("--store", type=_number(0, 1e6), metavar="MB", help="what a node carries at most (no limit)")
    parser.add_argument("--uplinks", metavar="FILE", help="faster pairs: a,b,bytes_per_s")
    parser.add_argument("--loss", type=_number(0, 0.95), metavar="P", help="packets that are sent again (0)")
    parser.add_argument("--router", metavar="NAME", help="beepmesh, or a baseline (beepmesh)")
    parser.add_argument("--seed", type=_SEED, metavar="N", help="where all chance comes from (1)")
    parser.add_argument("--out", metavar="DIR", help="folder for the files; without it, only the figures are printed")
    parser.add_argument("--map", action="store_true", help="also write map.html, the run as an animation")
    parser.add_argument("--check", action="store_true", help="hold every invariant after every event (slower)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _takes_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="DIR|SCENARIO", help="an earlier run's folder, or a scenario")
    parser.add_argument("--seed", type=_SEED, metavar="N", help="another seed than it names")
    parser.add_argument("--router", metavar="NAME", help="another router than it names")
    parser.add_argument("--until", type=_number(0, 1e10), metavar="S", help="stop at that time of the trace")
    parser.add_argument("--message", type=_whole(0, 2**62), metavar="ID", help="say what happens around that message")
    parser.add_argument("--no-check", action="store_true", help="do not hold the invariants")


def _takes_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dirs", nargs="+", metavar="DIR", help="folders of runs on one trace and workload")
    parser.add_argument("--out", metavar="DIR", help="also draw their curves in pictures there")
    parser.add_argument("--markdown", action="store_true", help="print it for a README")


def _takes_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", help="the folder of a run")
    parser.add_argument("--markdown", action="store_true", help="print it for a README")


def _takes_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _takes_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE|SCENARIO", help="a trace file, or a scenario whose contacts are drawn")
    parser.add_argument("--from", dest="form", metavar="FORMAT", help="ct, one, tij or imote (by the file's name)")
    parser.add_argument("--to", metavar="FILE", help="write it there: .ct, .ct.gz, .one or .one.gz")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _takes_suite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios (all that come with the simulator)")
    parser.add_argument("--routers", type=_names, metavar="A,B", default=["beepmesh"], help="each of these (beepmesh)")
    parser.add_argument("--seeds", type=_seeds, metavar="1,2,3", help="each of these (the scenario's own)")
    parser.add_argument("--workers", type=_whole(1, 256), metavar="N", default=1, help="so many at a time (1)")
    parser.add_argument("--out", metavar="DIR", help="a folder for each run in it")
    parser.add_argument("--map", action="store_true", help="also write each run's map.html")
    parser.add_argument("--check", action="store_true", help="hold every invariant after every event (slower)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a run")


VERBS: Final = (
    Verb(
        "run",
        "one run: a scenario, or a trace with a workload",
        "Run a scenario, or a recorded trace with a workload. Options overrule the scenario. Prints what it came to,\n"
        "and each mark of the scenario, held or missed; exits with 1 when one was missed.",
        (
            "run conference --out conference",
            "run conference --router epidemic+ack --seed 7",
            "run --trace infocom05.ct.gz --workload infocom05-A.csv --bw 20000 --setup 2 --seed 1 --out infocom",
        ),
        _takes_run,
    ),
    Verb(
        "replay",
        "exactly an earlier run again, with every check, up to a moment or around one message",
        "Run again, exactly, what an output folder or a scenario describes. The invariants are held after every event.",
        ("replay first --message 17", "replay churn --seed 40121 --until 86400.5"),
        _takes_replay,
    ),
    Verb(
        "compare",
        "runs beside each other in one table",
        "Put runs of one trace and workload beside each other, and beside the bound.",
        ("compare ours epidemic spray --out picture",),
        _takes_compare,
    ),
    Verb("report", "what a run came to", "What a run came to, from its folder.", ("report first",), _takes_report),
    Verb("list", "the scenarios, a line each", "The scenarios that come with the simulator.", ("list",), _takes_list),
    Verb(
        "trace",
        "a trace's statistics; to and from the ONE's format",
        "Count what is in a trace, or in the contacts that a scenario draws, and write it in another format.",
        ("trace infocom05.ct.gz", "trace haggle.one --to haggle.ct.gz", "trace flood-district --to flood.one"),
        _takes_trace,
    ),
    Verb(
        "suite",
        "many scenarios, routers and seeds, so many at a time",
        "Run scenarios with each router and seed, each in a process of its own. Marks are for beepmesh; other routers\n"
        "stand beside it. Ctrl-C leaves what is done.",
        (
            "suite --workers 4 --out all",
            "suite conference churn --routers beepmesh,epidemic+ack --seeds 1,2,3 --workers 2",
        ),
        _takes_suite,
    ),
)
