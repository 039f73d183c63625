"""``corral completion``: what a shell needs to know to finish a command line of ours.

The scripts are made from the parser, so they know every command and option there is.  Names of
models are asked for while typing, and only of a daemon that runs: a key press starts none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client

_EPILOG = """\
bash  corral completion bash > ~/.local/share/bash-completion/completions/corral
zsh   corral completion zsh > a file named _corral in a folder of $fpath
fish  corral completion fish > ~/.config/fish/completions/corral.fish"""

#: Prints the names in the library, one a line; nothing when no daemon runs.
_MODELS = (
    "corral daemon status >/dev/null 2>&1 && corral list 2>/dev/null"
    " | sed -e 1d -e 's/ .*//' -e 's/:latest$//'"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What may follow the words of one command.

    Attributes:
        commands: Names of the commands below it, with their help.
        options: Each way to write each option, with its help.
        takes_model: Whether it names a model that is in the library.
    """

    commands: Mapping[str, str]
    options: Mapping[str, str]
    takes_model: bool


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "completion",
        help="print what makes a shell complete command lines",
        description="Print a script that makes a shell complete our commands, options and models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=sorted(SHELLS), help="the shell to print it for")
    parser.set_defaults(run=run, need=Need.ALONE)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the script."""
    from runner.cli.main import build_parser  # it imports this module, to know this command

    parser, _ = build_parser()
    out.text(SHELLS[args.shell](places(parser)), end="")
    return 0


def places(parser: argparse.ArgumentParser) -> dict[str, Place]:
    """Return what may follow, by the words before it; the empty text is for ``corral`` itself."""
    return dict(_places(parser, ""))


def _places(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, Place]]:
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    helps = {action.dest: action.help or "" for t in below for action in t._choices_actions}
    options = {
        word: (action.help or "").replace("%%", "%")
        for action in parser._actions
        for word in action.option_strings
    }
    takes_model = any(
        not action.option_strings and action.dest in ("model", "models", "source")
        for action in parser._actions
    )
    yield path, Place(helps, options, takes_model)
    for table in below:
        for name in helps:
            yield from _places(table.choices[name], f"{path} {name}".strip())


def _bash(found: Mapping[str, Place]) -> str:
    pairs = [path for path in found if " " in path]
    cases = [
        f"    {_quoted(path)}) words={_quoted(' '.join((*place.commands, *place.options)))}"
        + ("; models=yes" if place.takes_model else "")
        + " ;;"
        for path, place in found.items()
    ]
    return f"""\
# Completion of corral for bash; written by: corral completion bash
_corral() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} path="" words="" models=""
  if ((COMP_CWORD > 1)); then path=${{COMP_WORDS[1]}}; fi
  if ((COMP_CWORD > 2)); then
    case "$path ${{COMP_WORDS[2]}}" in
    {" | ".join(map(_quoted, pairs))}) path="$path ${{COMP_WORDS[2]}}" ;;
    esac
  fi
  case "$path" in
{chr(10).join(cases)}
  esac
  if [[ $models && $cur != -* ]]; then
    words="$words $({_MODELS})"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _corral corral
"""


def _zsh(found: Mapping[str, Place]) -> str:
    cases = []
    for path, place in found.items():
        words = {**place.commands, **place.options}
        told = " ".join(_quoted(f"{_escaped(word)}:{text}") for word, text in words.items())
        models = " models=yes" if place.takes_model else ""
        cases.append(f"    {_quoted(path)}) found=({told}){models} ;;")
    pairs = " | ".join(_quoted(path) for path in found if " " in path)
    return f"""\
#compdef corral
# Completion of corral for zsh; written by: corral completion zsh
_corral() {{
  local path_words="" models=""
  local -a found names
  if ((CURRENT > 2)); then path_words=$words[2]; fi
  if ((CURRENT > 3)); then
    case "$path_words $words[3]" in
    {pairs}) path_words="$path_words $words[3]" ;;
    esac
  fi
  case "$path_words" in
{chr(10).join(cases)}
  esac
  _describe corral found
  if [[ -n $models ]]; then
    names=(${{(f)"$({_MODELS})"}})
    compadd -a names
    _files
  fi
}}
if [[ $funcstack[1] == _corral ]]; then _corral "$@"; else compdef _corral corral; fi
"""


def _escaped(word: str) -> str:
    """A colon ends the word in what zsh describes."""
    return word.replace(":", "\\:")


def _fish(found: Mapping[str, Place]) -> str:
    lines = ["# Completion of corral for fish; written by: corral completion fish"]
    for path, place in found.items():
        first, _, second = path.partition(" ")
        if not path:
            when = "__fish_use_subcommand"
        elif second:
            when = f"__fish_seen_subcommand_from {first}; and __fish_seen_subcommand_from {second}"
        else:
            when = f"__fish_seen_subcommand_from {first}"
        head = f"complete -c corral -n {_quoted(when)}"
        lines += [
            f"{head} -f -a {_quoted(word)} -d {_quoted(text)}"
            for word, text in place.commands.items()
        ]
        for word, text in place.options.items():
            kind = "-l" if word.startswith("--") else "-s"
            lines.append(f"{head} {kind} {_quoted(word.lstrip('-'))} -d {_quoted(text)}")
        if place.takes_model:
            lines.append(f"{head} -a {_quoted(f'({_MODELS})')}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """``text`` in single quotes, as all three shells read them; a quote in it ends them a while."""
    return "'" + " ".join(text.split()).replace("'", "'\\''") + "'"


SHELLS: dict[str, Callable[[Mapping[str, Place]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
