"""``corral cp``: give a model a second name."""

from __future__ import annotations

import argparse

from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "cp",
        help="give a model a second name",
        description="Give a model a second name; the weights are not copied.",
    )
    parser.add_argument("source", help="a model in the library")
    parser.add_argument("destination", help="its second name")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Copy the name."""
    client.copy(args.source, args.destination)
    out.say(f"copied '{args.source}' to '{args.destination}'")
    return 0
