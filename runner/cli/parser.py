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


def has_commands(parser: argparse.ArgumentParser) -> bool:
    """Whether ``parser`` has commands below it."""
    return parser._subparsers is not None
