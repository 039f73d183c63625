"""``corral prune``: remove what no model and no download needs."""

from __future__ import annotations

import argparse

from runner.cli import human
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client

_EPILOG = """\
Models stay, and so do downloads that paused or failed: a pull goes on with them.

--json prints an object: dry_run size files (file size reason) kept"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "prune",
        help="remove files that nothing needs",
        description="Remove files of the library that no model and no download needs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="only say what would be removed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Remove them, and say what went."""
    with out.waiting("looking for what nothing needs"):
        told = client.prune(dry_run=args.dry_run)
    if args.json:
        out.json(
            {
                "dry_run": told.is_dry,
                "size": told.n_bytes,
                "files": [
                    {"file": file.path, "size": file.n_bytes, "reason": file.reason}
                    for file in told.files
                ],
                "kept": told.kept,
            }
        )
        return 0
    if told.kept:
        out.warn(f"no model's file was removed: {told.kept}", hint="see: corral verify")
    if told.files:
        rows = [(file.path, human.size(file.n_bytes), file.reason) for file in told.files]
        out.table(("FILE", "SIZE", "WHY"), rows)
    would = "would be" if told.is_dry else "is"
    out.text(
        f"{human.size(told.n_bytes)} {would} free again" if told.files else "nothing to remove"
    )
    return 0
