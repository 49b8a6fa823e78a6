"""What is typed: understood when it is clear, and answered with the nearest thing when it is not."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from beepmesh.cli.arguments import parser_of
from beepmesh.cli.main import explained, main, overview
from beepmesh.cli.parsing import Asked, HelpWanted, parse
from beepmesh.cli.verbs import VERBS, Verb
from beepmesh.errors import Usage
from tests.cli.typing_in import Person

LATER = ("group", "web", "wipe", "ble")
NAMES = [verb.name for verb in VERBS]


def asked(*words: str) -> Asked:
    found = parse(words)
    assert isinstance(found, Asked)
    return found


def complaint(*words: str) -> str:
    with pytest.raises(Usage) as raised:
        parse(words)
    return str(raised.value)


@pytest.mark.parametrize(
    ("typed", "verb"),
    [
        (("inb",), "inbox"),
        (("w",), "who"),
        (("stat",), "status"),
        (("org", "cr", "N", "--as", "P"), "org create"),
        (("v",), "version"),
        (("--version",), "version"),
    ],
)
def test_a_verb_may_be_shortened_while_it_is_clear(typed: tuple[str, ...], verb: str) -> None:
    assert asked(*typed).verb.name == verb


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("sned", "x"), "Did you mean send"),
        (("inbx",), "Did you mean inbox"),
        (("xyzzy",), "`beepmesh --help` lists what there is"),
        (("s",), "send or show or status or sync"),
        (("org",), "needs a second word: create"),
        (("org", "creat3"), "Did you mean create"),
        (("send",), "missing: WHO"),
        (("send", "a", "b", "c"), "in quotes"),
        (("send", "a", "b", "--prioritty", "sos"), "Did you mean --priority"),
        (("send", "a", "b", "--priority", "urgnt"), "Did you mean urgent"),
        (("inbox", "--limit", "0"), "whole number"),
        (("inbox", "--limit", "many"), "whole number"),
        (("inbox", "--limit"), "expected one argument"),
        (("join", "CODE", "--timeout", "soon"), "write 90s, 5m or 1h"),
        (("--hom", "x", "--jsno", "who"), "Did you mean --json"),
        (("--home",), "--home needs a value"),
        (("org", "create", "N"), "missing: --as"),
        (("completion", "tcsh"), "one of bash, zsh, fish"),
        (("who", "-x"), "has no option '-x'"),
        (("status", "now"), "one word too many"),
    ],
)
def test_what_is_not_understood_names_the_nearest_that_would_be(typed: tuple[str, ...], said: str) -> None:
    assert said in complaint(*typed)


def test_what_every_verb_takes_stands_before_or_behind_it() -> None:
    for words in (("--home", "x", "--json", "who"), ("--home=x", "who", "--json"), ("who", "--json", "--home", "x")):
        found = asked(*words)
        assert (found.home, found.is_json) == ("x", True)


def test_a_text_may_begin_with_a_dash() -> None:
    assert asked("send", "Bilal", "-").arguments["text"] == "-"
    assert asked("send", "Bilal", "--", "--json").arguments["text"] == "--json"
    assert not asked("send", "Bilal", "--", "--json").is_json
    assert asked("send", "Bilal", "-5 degrees").arguments["text"] == "-5 degrees"


def test_lengths_of_time_are_seconds_minutes_or_hours() -> None:
    for typed, seconds in (("90", 90), ("90s", 90), ("5m", 300), ("1h", 3_600)):
        assert asked("sync", "lan", "--timeout", typed).arguments["timeout"] == seconds
    assert asked("sync", "lan").arguments["timeout"] == 30


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",), ("--hel",)])
def test_without_a_verb_the_whole_is_explained(words: tuple[str, ...]) -> None:
    assert parse(words) == HelpWanted(None)


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_every_verb_explains_itself(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    words = verb.name.split()
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert text == explained(verb)
    assert main(["help", *words]) == 0
    assert capsys.readouterr().out == text
    assert text.startswith(f"usage: beepmesh {verb.name}")
    for argument in verb.arguments:
        assert argument.name in text
    assert all(example in text for example in verb.examples)
    assert max(map(len, text.splitlines())) <= 100
    assert not any(f" {word} " in text for word in LATER)


def test_the_whole_names_every_verb_once_and_no_later_one() -> None:
    lines = overview().splitlines()
    listed = [line for line in lines if line.startswith("  ") and not line.startswith(("   ", "  -"))]
    assert [line.split("  ")[1].split(" [")[0] for line in listed if line.split()[0] in ("who", "inbox")] == [
        "inbox",
        "who",
    ]
    assert len(listed) == len(VERBS)
    assert all(any(line.startswith(f"  {name}") for line in listed) for name in NAMES)
    assert not any(line.split()[0] in LATER for line in listed)
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_a_verbs_function_takes_what_its_help_says(verb: Verb) -> None:
    module, _, name = verb.code.partition(":")
    parameters = inspect.signature(getattr(import_module(f"beepmesh.cli.{module}"), name)).parameters
    assert [*parameters] == ["call", *(argument.parameter for argument in verb.arguments)]
    assert all(parameters[argument.parameter].kind is inspect.Parameter.KEYWORD_ONLY for argument in verb.arguments)
    known = {*vars(parser_of(verb).parse_known_args(_least(verb))[0])}
    assert known == {argument.parameter for argument in verb.arguments} | {"home", "json", "passphrase_file", "help"}


def _least(verb: Verb) -> list[str]:
    """The fewest words with which a verb can be called."""
    words: list[str] = []
    for argument in verb.arguments:
        value = argument.choices[0] if argument.choices else "x"
        if argument.is_option:
            words += [argument.name, value] if argument.required else []
        elif not argument.may_lack:
            words.append(value)
    return words


def test_a_wrong_question_ends_with_two_and_json_on_stderr(tmp_path: Path) -> None:
    nobody = Person(tmp_path)
    assert nobody.types("sned").code == 2
    assert nobody.types("sned", "--json").failure() == (2, "usage")
    assert nobody.types("sned").err.startswith("beepmesh: There is no verb 'sned'")
    assert nobody.types("s\x1b[2Jend").err.count("\x1b") == 0


def test_an_unknown_users_home_is_named(tmp_path: Path) -> None:
    assert main(["--home", "~nobody-of-that-name/x", "who"]) == 2
