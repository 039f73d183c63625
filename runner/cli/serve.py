"""``corral serve``: run the daemon in the foreground.

Only its help is here: ``runner/__main__.py`` starts the daemon without the command line's modules.
"""

from __future__ import annotations

import argparse

from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.config import SETTING_SPECS
from runner.errors import DaemonError


def add(commands: Subparsers) -> None:
    """Register the command."""
    settings = "\n".join(
        f"  {spec.env:27}{spec.help}"
        + (f"\n{'':29}default: {spec.shown_default}" if spec.shown_default else "")
        for spec in SETTING_SPECS.values()
    )
    parser = commands.add_parser(
        "serve",
        aliases=["start"],
        help="run the daemon in the foreground",
        description="Run the daemon in the foreground; Ctrl-C ends it.",
        epilog=f"environment:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--insecure-no-key",
        action="store_true",
        help="let anybody in who reaches an address that other machines reach",
    )
    parser.set_defaults(run=run, need=Need.NOTHING)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Refuse: the process that gets here was started without ``runner/__main__.py``."""
    raise DaemonError("the daemon starts with: corral serve")
