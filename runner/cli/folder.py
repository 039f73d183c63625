"""``corral folder``: where the models are kept, and how to have them elsewhere."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from runner.cli import human
from runner.cli.follow import follow
from runner.cli.jobs import as_json
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.client.client import Client
from runner.domain.storage import Folder, FolderPlan
from runner.paths import given_path

_EPILOG = """\
corral folder /mnt/disk/models              moves all models there
corral folder /mnt/disk/models --no-move    uses the models that are there
corral folder --usual                       moves them back

Models can be used while they move. Ctrl-C only stops following; a move that is cancelled leaves
all of them where they were.

--json prints an object, sizes in bytes: folder usual fixed_by is_there n_bytes n_free;
with --dry-run or --no-move: folder before n_models n_bytes n_left n_free n_there;
of a move: the job (as corral jobs)"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "folder",
        help="show or change where models are kept",
        description="Show where models are kept, or move them to another folder or disk.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", help="where to keep them; left out: only say where")
    parser.add_argument("--usual", action="store_true", help="in the folder of a new installation")
    parser.add_argument(
        "--no-move", action="store_true", help="use what is there, and leave all models here"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what it takes")
    parser.add_argument(
        "--detach", action="store_true", help="begin and return; see it with: corral jobs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Say where they are, or change it."""
    if args.folder and args.usual:
        raise UsageError("name a folder or --usual, not both")
    if not args.folder and not args.usual:
        if args.no_move or args.dry_run or args.detach:
            raise UsageError("which folder?", hint="name one, or --usual")
        return _tell(client.folder(), args, out)
    folder = str(given_path(args.folder).absolute()) if args.folder else None
    if args.dry_run:
        plan = client.plan_folder(folder)
        _tell_plan(plan, args, out)
        return 0 if plan.fits else 1
    if args.no_move:
        return _use(client, folder, args, out)
    job = client.begin_move(folder)
    if not args.detach:
        job = follow(client, job, out)
    if args.json:
        out.json(as_json(job))
    elif args.detach:
        out.say(f"job {job.job_id} moves the models; see it with: corral jobs")
    else:
        out.say(f"the models are in {folder or client.folder().folder} now")
    return 0


def _tell(found: Folder, args: argparse.Namespace, out: Output) -> int:
    if args.json:
        out.json(asdict(found))
        return 0
    out.text(found.folder)
    out.say(f"{human.size(found.n_free)} free of {human.size(found.n_bytes)}")
    if found.folder != found.usual:
        out.say(f"usual: {found.usual}")
    if found.fixed_by:
        out.say(f"{found.fixed_by} in the daemon's environment says so")
    if not found.is_there:
        out.warn("the folder is not there", hint="connect its disk, or choose another folder")
    return 0 if found.is_there else 1


def _tell_plan(plan: FolderPlan, args: argparse.Namespace, out: Output) -> None:
    if args.json:
        out.json(asdict(plan))
        return
    n = "1 model" if plan.n_models == 1 else f"{plan.n_models} models"
    size = human.size(plan.n_bytes)
    out.text(f"{n}, {size}, would go from {plan.before} to {plan.folder}")
    out.text(f"{human.size(plan.n_left)} to write, {human.size(plan.n_free)} free there")
    if plan.n_there:
        there = "1 model is" if plan.n_there == 1 else f"{plan.n_there} models are"
        out.text(f"{there} there already: --no-move uses what is there")
    if not plan.fits:
        out.warn("they do not fit there")


def _use(client: Client, folder: str | None, args: argparse.Namespace, out: Output) -> int:
    plan = client.use_folder(folder)
    if args.json:
        out.json(asdict(plan))
        return 0
    n = "1 model" if plan.n_there == 1 else f"{plan.n_there} models"
    out.say(f"the library is {plan.folder} now, with {n}")
    if plan.n_models:
        out.say(f"  what was used before is still in {plan.before}")
    return 0
