"""``corral modelfile``: look at a Modelfile, or write it in its usual form."""

from __future__ import annotations

import argparse

from runner.cli.connect import Need
from runner.cli.create import read_modelfile
from runner.cli.output import Output
from runner.cli.parser import Parser, Subparsers
from runner.client.client import Client
from runner.modelfile.print import formatted
from runner.paths import given_path


def add(commands: Subparsers) -> None:
    """Register the command and those below it."""
    parser = commands.add_parser(
        "modelfile",
        help="check or format a Modelfile",
        description="Check a Modelfile, or write it in its usual form.",
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    check = below.add_parser(
        "check",
        help="say what is wrong with it, line by line",
        description="Say what is wrong with a Modelfile. Exit code 1 when no model can be made of"
        " it; warnings alone leave it 0.",
    )
    check.add_argument("--json", action="store_true", help="print JSON instead")
    check.set_defaults(run=run_check)
    form = below.add_parser(
        "format",
        help="print it in its usual form",
        description="Print a Modelfile in its usual form, comments kept.",
    )
    form.add_argument("--write", action="store_true", help="write it back to the file instead")
    form.set_defaults(run=run_format, need=Need.ALONE)
    for one in (check, form):
        one.add_argument("file", nargs="?", default="Modelfile", help="else ./Modelfile")


def run_check(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the findings on stdout, one a line as compilers do."""
    text, _ = read_modelfile(args.file)
    checked = client.check_modelfile(text)
    if args.json:
        out.json(checked)
    else:
        for finding in checked["findings"]:
            place = f"{args.file}:{finding['line']}" if finding["line"] else args.file
            out.text(f"{place}: {finding['severity']}: {finding['message']}")
            if finding["hint"]:
                out.text(f"  {finding['hint']}")
        if not checked["findings"]:
            out.say(f"{args.file} is good")
    return 0 if checked["ok"] else 1


def run_format(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the file as it should be, or write it."""
    text, _ = read_modelfile(args.file)
    made = formatted(text)
    if args.write and args.file != "-":
        if made != text:
            given_path(args.file).write_text(made, encoding="utf-8", newline="")
    else:
        out.text(made, end="")
    return 0
