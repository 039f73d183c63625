"""``corral stop``: take a model out of memory."""

from __future__ import annotations

import argparse

from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.errors import ModelNotFound


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "stop",
        help="take a model out of memory",
        description="Take a model out of memory; it stays in the library.",
    )
    parser.add_argument("model", help="a model in memory; see: corral ps")
    parser.set_defaults(run=run, need=Need.RUNNING)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Unload the model; one that is not loaded is no failure."""
    try:
        unloaded = client.unload(args.model)
    except ModelNotFound as error:
        error.hint = "see: corral ps"  # and not how to pull what was to go
        raise
    out.say(f"stopped '{args.model}'" if unloaded else f"'{args.model}' is not in memory")
    return 0
