"""Scripts for the Tab key, made from the table of verbs: nothing is asked of beepmesh while somebody types.

Law: what is written into a script comes from `verbs` alone, and `_quoted` makes it harmless to the shell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from beepmesh.cli.verbs import EVERYWHERE, VERBS, Argument, Verb

_PATHS: Final = ("file", "folder")


def script(shell: str) -> str:
    """The script for bash, zsh or fish."""
    lines = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()
    return "\n".join([*lines, f"# Written by `beepmesh completion {shell}`; write it anew after an update.", ""])


def _first_words() -> list[str]:
    return list(dict.fromkeys(verb.name.split()[0] for verb in VERBS))


def _options(verb: Verb) -> list[Argument]:
    return [argument for argument in (*verb.arguments, *EVERYWHERE) if argument.is_option]


def _places(verb: Verb) -> list[Argument]:
    return [argument for argument in verb.arguments if not argument.is_option]


def _bash() -> Iterator[str]:
    yield "_beepmesh() {"
    yield '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" verb="" at=1'
    yield "    COMPREPLY=()"
    yield "    while (( at < COMP_CWORD )); do"
    yield '        case "${COMP_WORDS[at]}" in'
    yield f"            {'|'.join(option.name for option in EVERYWHERE if option.shows)}) (( at++ )) ;;"
    yield "            -*) ;;"
    yield '            *) verb="${COMP_WORDS[at]}"; break ;;'
    yield "        esac"
    yield "        (( at++ ))"
    yield "    done"
    yield '    case "$verb:$before" in'
    for verb in VERBS:
        for argument in _options(verb):
            if argument.choices:
                yield f"        {verb.name.split()[0]}:{argument.name}) {_bash_words(argument.choices)}; return ;;"
    for argument in sorted({option.name: option for verb in VERBS for option in _options(verb)}.values(), key=str):
        if argument.kind in _PATHS:
            flag = "-d" if argument.kind == "folder" else "-f"
            yield f'        *:{argument.name}) COMPREPLY=($(compgen {flag} -- "$word")); return ;;'
    yield "    esac"
    yield '    case "$verb" in'
    yield f'        "") {_bash_words([*_first_words(), *(option.name for option in EVERYWHERE), "--help"])} ;;'
    for verb in VERBS:
        words = [*verb.name.split()[1:], *(choice for place in _places(verb) for choice in place.choices)]
        words += [*(option.name for option in _options(verb)), "--help"]
        files = any(place.kind in _PATHS for place in _places(verb))
        extra = '; COMPREPLY+=($(compgen -f -- "$word"))' if files else ""
        yield f"        {verb.name.split()[0]}) {_bash_words(words)}{extra} ;;"
    yield "    esac"
    yield "}"
    yield "complete -o filenames -F _beepmesh beepmesh"


def _bash_words(words: list[str] | tuple[str, ...]) -> str:
    return f"""COMPREPLY=($(compgen -W {_quoted(" ".join(words))} -- "$word"))"""


def _zsh() -> Iterator[str]:
    yield "#compdef beepmesh"
    yield "_beepmesh() {"
    yield "    local context state line"
    yield "    typeset -A opt_args"
    yield "    _arguments -C \\"
    for option in EVERYWHERE:
        yield f"        {_zsh_option(option)} \\"
    yield "        '1: :->verb' '*:: :->rest'"
    yield '    case "$state" in'
    yield "        verb)"
    yield "            local -a verbs=("
    for word in _first_words():
        summary = next(verb.summary for verb in VERBS if verb.name.split()[0] == word)
        yield f"                {_quoted(f'{word}:{summary}')}"
    yield "            )"
    yield "            _describe verb verbs ;;"
    yield "        rest)"
    yield '            case "$line[1]" in'
    for verb in VERBS:
        yield f"                {verb.name.split()[0]}) _arguments \\"
        for option in _options(verb):
            yield f"                    {_zsh_option(option)} \\"
        places = [f"'{number}: :({word})'" for number, word in enumerate(verb.name.split()[1:], 1)]
        for number, place in enumerate(_places(verb), len(places) + 1):
            places.append(_quoted(f"{'*' if place.many else number}:{place.name}:{_zsh_action(place)}"))
        yield f"                    {' '.join(places)} ;;" if places else "                    ;;"
    yield "            esac ;;"
    yield "    esac"
    yield "}"
    yield 'if [ "$funcstack[1]" = "_beepmesh" ]; then _beepmesh "$@"; else compdef _beepmesh beepmesh; fi'


def _zsh_option(option: Argument) -> str:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
    again = "*" if option.many else ""
    value = f":{option.shows}:{_zsh_action(option)}" if option.shows else ""
    return _quoted(f"{again}{option.name}[{text}]{value}")


def _zsh_action(argument: Argument) -> str:
    if argument.choices:
        return f"({' '.join(argument.choices)})"
    return {"file": "_files", "folder": "_files -/"}.get(argument.kind, " ")


def _fish() -> Iterator[str]:
    words = " ".join(_first_words())
    yield "complete -c beepmesh -f"
    for word in _first_words():
        summary = next(verb.summary for verb in VERBS if verb.name.split()[0] == word)
        condition = _quoted(f"not __fish_seen_subcommand_from {words}")
        yield f"complete -c beepmesh -n {condition} -a {word} -d {_quoted(summary)}"
    for option in EVERYWHERE:
        yield f"complete -c beepmesh {_fish_option(option)}"
    for verb in VERBS:
        first, *others = verb.name.split()
        seen = f"__fish_seen_subcommand_from {first}"
        for other in others:
            condition = _quoted(f"{seen}; and not __fish_seen_subcommand_from {other}")
            yield f"complete -c beepmesh -n {condition} -a {other} -d {_quoted(verb.summary)}"
        for argument in verb.arguments:
            if argument.is_option:
                yield f"complete -c beepmesh -n {_quoted(seen)} {_fish_option(argument)}"
            elif argument.choices:
                yield f"complete -c beepmesh -n {_quoted(seen)} -a {_quoted(' '.join(argument.choices))}"
            elif argument.kind in _PATHS:
                yield f"complete -c beepmesh -n {_quoted(seen)} -F"


def _fish_option(option: Argument) -> str:
    words = [f"-l {option.name.removeprefix('--')}", f"-d {_quoted(option.help)}"]
    if option.choices:
        words.append(f"-x -a {_quoted(' '.join(option.choices))}")
    elif option.kind in _PATHS:
        words.append("-r -F")
    elif option.shows:
        words.append("-x")
    return " ".join(words)


def _quoted(text: str) -> str:
    """Inside single quotes nothing acts, in all three shells; a quote itself stands between two such texts."""
    return "'" + text.replace("'", "'\\''") + "'"
