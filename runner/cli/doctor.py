"""``corral doctor``: is everything there that Corral needs?  Works without a daemon."""

from __future__ import annotations

import argparse
import json
import subprocess
from typing import Any

from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.check import Check, State
from runner.errors import DaemonError
from runner.paths import own_command

_EPILOG = """\
Looked at: settings, engine, devices, memory, disk, the daemon's port, the store, the hubs.

The exit code is 1 when something will not work.

--json prints an array of objects: name state (ok, warn, fail) message fix"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "doctor",
        help="look whether everything is in order",
        description="Look whether everything that Corral needs is in order, with a fix for each.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run, need=Need.ALONE)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print what was found."""
    with out.waiting("looking"):
        checks = examine()
    if args.json:
        rows = [
            {"name": c.name, "state": c.state.value, "message": c.message, "fix": c.fix}
            for c in checks
        ]
        out.json(rows)
    else:
        out.listing([(check.state.value, check.name, check.message) for check in checks])
        for check in checks:
            if check.fix:
                out.text("")
                out.text(f"{check.name}: {check.message}")
                out.text(f"  {check.fix}")
    return 1 if any(check.state is State.FAIL for check in checks) else 0


def examine() -> list[Check]:
    """Return what the doctor's own process found.

    Raises:
        DaemonError: It ended without an answer.
    """
    done = subprocess.run(
        own_command("_doctor"), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return [
            Check(str(c["name"]), State(c["state"]), str(c["message"]), str(c["fix"]))
            for c in found
        ]
    except (ValueError, KeyError, TypeError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        reason = last[0] if last else f"it ended with {done.returncode}"
        raise DaemonError(
            f"the doctor gave no answer: {reason}", hint="install Corral again"
        ) from None
