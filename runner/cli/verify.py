"""``corral verify``: whether models are what they should be."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from runner.cli import human
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.client.connection import decoded
from runner.client.decode_storage import verified

_EPILOG = """\
Without --deep only sizes and headers are looked at, which takes a moment.

The exit code is 1 when something is wrong.

--json prints an object: n_models n_bytes faults (model file reason hint n_bad)"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "verify",
        help="look whether models are whole",
        description="Look whether one model, or all, are whole and what they should be.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", help="a model in the library; left out: all")
    parser.add_argument("--deep", action="store_true", help="read every byte, compare digests")
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print what is wrong, or that nothing is."""
    with client.verify(args.model, deep=args.deep) as steps, out.progress() as bars:
        for step in steps:
            if step.phase != "success":  # of the look; what was found is told below
                bars.show(step)
        bars.done()
    found = decoded(verified, steps.last)
    if args.json:
        out.json(asdict(found))
        return 1 if found.faults else 0
    for fault in found.faults:
        of = f", file {fault.file}" if fault.file else ""
        out.text(f"{fault.model}{of}: {fault.reason}")
        if fault.hint:
            out.text(f"  {fault.hint}")
    if not found.faults:
        models = "1 model is" if found.n_models == 1 else f"{found.n_models} models are"
        how = (
            f"every byte of {human.size(found.n_bytes)} was read"
            if args.deep
            else "sizes and headers"
        )
        out.text(f"{models} good ({how})")
    return 1 if found.faults else 0
