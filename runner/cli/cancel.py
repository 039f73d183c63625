"""``corral cancel``: end an answer that is on its way, or one that waits."""

from __future__ import annotations

import argparse

from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "cancel",
        help="end an answer that is on its way",
        description="End an answer that is on its way or waits; whoever asked is told so.",
    )
    parser.add_argument("id", help="of the request; see: corral ps --requests")
    parser.set_defaults(run=run, need=Need.RUNNING)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Cancel the request; one that has ended already is an error."""
    client.cancel(args.id)
    out.say(f"cancelled request {args.id}")
    return 0
