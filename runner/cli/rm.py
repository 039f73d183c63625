"""``corral rm``: take models out of the library."""

from __future__ import annotations

import argparse

from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.cli.suggest import suggest_model
from runner.client.client import Client
from runner.errors import CorralError, ModelNotFound


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "rm",
        help="remove models from the library",
        description="Remove models from the library, and from memory where they are loaded.",
    )
    parser.add_argument("models", metavar="model", nargs="+", help="a model in the library")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Remove each model; one that cannot be removed does not spare the rest.

    Raises:
        CorralError: The last failure, when the others have been told.
    """
    failures: list[CorralError] = []
    for name in args.models:
        try:
            client.delete(name)
            out.say(f"deleted '{name}'")
        except ModelNotFound as error:
            error.hint = "what is there: corral list"  # and not how to pull what was to go
            failures.append(error)
        except CorralError as error:
            failures.append(error)
    for failure in failures[:-1]:
        if isinstance(failure, ModelNotFound):
            suggest_model(failure, client)
        out.fail(failure)
    if failures:
        raise failures[-1]
    return 0
