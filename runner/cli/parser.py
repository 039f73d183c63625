"""How command lines are read: ``argparse``, with errors in this program's own form."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from runner.cli.suggest import meant
from runner.errors import RequestError

#: The margin of a line, and the word that the rest of it is about.
_HEAD = re.compile(r" *(?:\S+ {2,})?")


class UsageError(RequestError):
    """The command line itself was not understood."""

    code = "usage"


class _Lines(argparse.RawDescriptionHelpFormatter):
    """Keeps lines as they are written, but for those that a window would cut within words.

    What goes on below a line stands below its text: behind the first word, where blanks follow it.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(self._filled(indent + line, width) for line in text.splitlines())

    def _filled(self, line: str, width: int) -> str:
        if len(line) <= width:
            return line
        import textwrap  # here: seldom does anybody ask for help

        head = _HEAD.match(line)
        return textwrap.fill(line, width, subsequent_indent=" " * (head.end() if head else 0))


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that usage errors look like all others.

    Attributes:
        advise: What to type instead of an option that is unknown; empty: the nearest one.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._positionals.title = "arguments"
        if self.formatter_class is argparse.RawDescriptionHelpFormatter:
            self.formatter_class = _Lines
        self.advise: Callable[[str], str] = lambda word: ""

    def error(self, message: str) -> NoReturn:
        help_is_at = f"see: {self.prog} --help"
        _, _, unknown = message.partition("unrecognized arguments: ")
        # What follows an option that is unknown may be its value, or not: only it is named.
        word = next((word for word in unknown.split() if word.startswith("-")), "")
        if not word:
            raise UsageError(message, hint=help_is_at)
        word = word.partition("=")[0]
        near = self.advise(word) or meant(word, self._option_string_actions)
        raise UsageError(
            f"unknown option '{word}'", hint=f"{near}\n{help_is_at}" if near else help_is_at
        )


if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Parser]
else:
    Subparsers = argparse._SubParsersAction


def commands_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of the commands below ``parser``."""
    tables = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return [name for table in tables for name in table.choices]
