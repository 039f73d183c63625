"""``corral du``: what the library takes of the disk."""

from __future__ import annotations

import argparse

from runner.cli import human
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.storage import DiskUse

_EPILOG = """\
FREES is what removing that model alone gives back: files that it shares with another name stay.

--json prints an object, sizes in bytes:
  folder models (model size shared) total unused partial quarantine free"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "du",
        help="show what takes room on the disk",
        description="Show what the library takes of the disk, model by model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the sizes, the largest first."""
    with out.waiting("adding up"):
        use = client.disk_use()
    if args.json:
        out.json(as_json(use))
        return 0
    if use.models:
        rows = [
            (str(one.name), human.size(one.n_bytes), human.size(one.n_bytes - one.n_shared))
            for one in use.models
        ]
        out.table(("NAME", "SIZE", "FREES"), rows)
        out.text("")
    told = [
        ("models", human.size(use.n_model)),
        ("downloads on their way", human.size(use.n_partial)),
        ("in quarantine", human.size(use.n_quarantine)),
        ("of no model", human.size(use.n_unused)),
        ("free on the disk", human.size(use.n_free)),
    ]
    out.table((), told)
    if use.folder:  # only the owner is told
        out.text(f"in {use.folder}")
    if use.n_unused or use.n_quarantine:
        out.say("corral prune removes what nothing needs")
    return 0


def as_json(use: DiskUse) -> dict[str, object]:
    """Return the stable keys."""
    return {
        "folder": use.folder,
        "models": [
            {"model": str(one.name), "size": one.n_bytes, "shared": one.n_shared}
            for one in use.models
        ],
        "total": use.n_model,
        "unused": use.n_unused,
        "partial": use.n_partial,
        "quarantine": use.n_quarantine,
        "free": use.n_free,
    }
