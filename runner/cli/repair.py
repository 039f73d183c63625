"""``corral repair``: a damaged model made whole, with as little fetched again as can be."""

from __future__ import annotations

import argparse

from runner.cli import human
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.client.connection import decoded
from runner.client.decode_storage import repaired


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "repair",
        help="mend a damaged model",
        description="Mend a damaged model: only its bad parts are fetched again.",
        epilog="--json prints an object: model n_files n_bytes n_fetched",
    )
    parser.add_argument("model", help="a model in the library")
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Mend it, and say what was done."""
    with client.repair(args.model) as steps, out.progress() as bars:
        for step in steps:
            bars.show(step)
    done = decoded(repaired, steps.last)
    if args.json:
        out.json(
            {
                "model": str(done.model),
                "n_files": done.n_files,
                "n_bytes": done.n_bytes,
                "n_fetched": done.n_fetched,
            }
        )
    elif done.n_files:
        files = "1 file is" if done.n_files == 1 else f"{done.n_files} files are"
        out.text(f"{files} whole again; {human.size(done.n_fetched)} were fetched")
    else:
        out.text(f"{done.model} is good; nothing was changed")
    return 0
