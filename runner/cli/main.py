"""``corral``: picks the command, runs it, and turns what went wrong into words and an exit code.

0: done, 1: failed, 2: not understood, 130: Ctrl-C.  Only the module of the command that was asked
for is imported; ``--help`` imports them all.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from runner import __version__
from runner.cli.connect import Need, connect, place
from runner.cli.instead import INSTEAD
from runner.cli.output import Output
from runner.cli.parser import Parser, Subparsers, UsageError, commands_of
from runner.cli.suggest import nearest, suggest_model
from runner.errors import CorralError, ModelNotFound

#: Every command and its module, in the order of ``--help``.
COMMANDS = {
    "serve": "serve",
    "run": "run",
    "pull": "pull",
    "search": "search",
    "jobs": "jobs",
    "verify": "verify",
    "repair": "repair",
    "prune": "prune",
    "du": "du",
    "folder": "folder",
    "list": "list_",
    "ps": "ps",
    "show": "show",
    "create": "create",
    "modelfile": "modelfile",
    "quantize": "quantize",
    "perplexity": "perplexity",
    "bench": "bench",
    "stop": "stop",
    "cancel": "cancel",
    "rm": "rm",
    "cp": "cp",
    "cache": "cache",
    "keys": "keys",
    "devices": "devices",
    "share": "share",
    "doctor": "doctor",
    "daemon": "daemon",
    "completion": "completion",
}
ALIASES = {"ls": "list", "start": "serve"}


def main(argv: Sequence[str]) -> int:
    """Run one command line; return the exit code."""
    out = Output(_tolerant(sys.stdout), _tolerant(sys.stderr))
    try:
        code = _run(argv[1:], out)
        out.flush()
        return code
    except CorralError as error:
        out.fail(error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing may be written when Python ends either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        out.fail(CorralError(f"cannot go on: {error.strerror or error}"))
        sys.stdout = None  # a failed flush would fail once more
        return 1


def build_parser(names: Sequence[str] = tuple(COMMANDS)) -> tuple[Parser, Subparsers]:
    """Return the parser that knows the commands ``names``, and its table of commands."""
    parser = Parser(
        prog="corral",
        description="Run language models on your own computer.",
        epilog="Help for one command: corral COMMAND --help",
        formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=19),
    )
    parser.add_argument(
        "-v", "--version", action="store_true", help="show the version, and the daemon's if other"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name in names:
        importlib.import_module(f"runner.cli.{COMMANDS[name]}").add(commands)
    return parser, commands


def _spelled_out(words: Sequence[str]) -> list[str]:
    """``--think`` may stand without a value, and must not take the next word for it."""
    return ["--think=true" if word == "--think" else word for word in words]


def _run(words: Sequence[str], out: Output) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        return _help(words, out)
    if words[0] in ("-v", "--version"):
        return _version(out)
    name = ALIASES.get(words[0], words[0])
    if name not in COMMANDS:
        raise _unknown(words[0])
    _, commands = build_parser([name])
    parser = commands.choices[name]
    if below := commands_of(parser):
        _expect_command(name, below, words[1:])
        args = parser.parse_args(words[1:])
    else:  # so that options may stand between the words of a prompt
        args = parser.parse_intermixed_args(_spelled_out(words[1:]))
    client = connect(getattr(args, "need", Need.STARTED), out)
    try:
        return int(args.run(args, client, out))
    except ModelNotFound as error:
        suggest_model(error, client)
        raise


def _help(words: Sequence[str], out: Output) -> int:
    if len(words) > 1 and words[0] == "help":
        return _run([*words[1:], "--help"], out)
    parser, _ = build_parser()
    out.text(parser.format_help(), end="")
    return 0


def _version(out: Output) -> int:
    from runner.client import launch

    out.text(f"corral {__version__}")
    try:
        _, address = place()
        found = launch.probe(address, timeout_s=1.0)
    except CorralError:
        return 0
    if found.kind is launch.Kind.CORRAL and not found.is_ours:
        out.warn(
            f"the daemon at {address} is Corral {found.version}",
            hint="restart it with: corral daemon restart",
        )
    return 0


def _unknown(word: str) -> UsageError:
    if word.startswith("-"):
        return UsageError(f"unknown option '{word}'", hint="see: corral --help")
    near = nearest(word, [*COMMANDS, *ALIASES])
    advice = INSTEAD.get(word) or (f"did you mean '{near}'?" if near else "")
    if not advice and any(sign in ":/." or sign.isdigit() for sign in word):  # no command has these
        advice = f"to talk to a model: corral run {word}"
    hint = f"{advice}\nsee: corral --help" if advice else "see: corral --help"
    return UsageError(f"unknown command '{word}'", hint=hint)


def _expect_command(name: str, below: Sequence[str], words: Sequence[str]) -> None:
    """Raise unless ``words`` begin with a command below ``name``, or with an option."""
    if words and (words[0] in below or words[0].startswith("-")):
        return
    near = nearest(words[0], below) if words else ""
    question = f"did you mean 'corral {name} {near}'?\n" if near else ""
    raise UsageError(
        f"unknown command '{name} {words[0]}'" if words else f"corral {name} needs a command",
        hint=f"{question}commands: {', '.join(below)}",
    )


def _tolerant(stream: TextIO | None) -> TextIO:
    """Return ``stream`` such that no character can make writing fail; ``None`` is a closed one."""
    if stream is None:
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream
