"""How command lines are read: ``argparse``, with errors in this program's own form."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from runner.errors import RequestError


class UsageError(RequestError):
    """The command line itself was not understood."""

    code = "usage"


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that usage errors look like all others."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._positionals.title = "arguments"

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see: {self.prog} --help")


if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Parser]
else:
    Subparsers = argparse._SubParsersAction


def commands_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of the commands below ``parser``."""
    tables = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return [name for table in tables for name in table.choices]
